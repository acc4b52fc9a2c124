"""cryo-EMMAE from a micrograph of 4096² to its picks: seconds of CPU, peak memory and F1 of the presets.

Each preset is trained on the picture itself for the same few windows; then a process of its own picks, so
that the peak of its memory is that of picking. One thread. Discs in noise, as in benchmarks/pick.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from pick import make_micrograph

from vitreous.metrics.pick_matching import match
from vitreous.picking.emmae.picker import find_candidates, load_model, train
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.training import Source
from vitreous.runtime.device import Runtime

BUDGET = {"epochs": 1, "epoch_windows": 256}
RUNTIME = Runtime(threads=1)


def train_on(preset: str, path: Path, picture: tuple[int, float, float]) -> dict[str, float]:
    """Train on the picture, leave the model at `path`; CPU seconds."""
    image, _ = make_micrograph(*picture)
    source = Source("bench", "discs", 1.0, picture[1], "dark", lambda: image)
    start = time.process_time()
    torch.save(dict(train([source], settings_of(preset), RUNTIME).model), path)
    return {"train_s": time.process_time() - start}


def pick_with(preset: str, path: Path, picture: tuple[int, float, float]) -> dict[str, float]:
    """Pick the picture; CPU seconds, peak memory in MB, F1 at the picker's own decision."""
    image, centres = make_micrograph(*picture)
    diameter, model = picture[1], load_model(path, RUNTIME)
    start = time.process_time()
    found = find_candidates(image, 1.0, diameter, "dark", settings_of(preset), RUNTIME, model)
    seconds = time.process_time() - start
    kept = found.score >= found.decision
    picks = np.stack([found.x, found.y], axis=1)[kept]
    f1 = 2 * len(match(centres, picks, diameter / 2)) / (len(picks) + len(centres))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"pick_s": seconds, "peak_mb": peak, "f1": f1}


def settings_of(preset: str) -> EmmaeSettings:
    """A preset with the training of this benchmark."""
    return EmmaeSettings.model_validate({"preset": preset, "training": BUDGET})


def in_own_process(step: str, preset: str, path: Path, options: argparse.Namespace) -> dict[str, float]:
    """Run `train_on` or `pick_with` in a process of its own."""
    size = [f"--{key}={getattr(options, key)}" for key in ("side", "diameter", "snr")]
    command = [sys.executable, __file__, f"--step={step}", f"--preset={preset}", f"--model={path}", *size]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--diameter", type=float, default=200.0)
    parser.add_argument("--snr", type=float, default=0.05)
    for hidden in ("step", "preset", "model"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.step:
        step = train_on if options.step == "train" else pick_with
        picture = (options.side, options.diameter, options.snr)
        print(json.dumps(step(options.preset, Path(options.model), picture)))
        return
    print(f"{'preset':8s} {'train, s':>9s} {'pick, s':>8s} {'peak, MB':>9s} {'F1':>6s}")
    seconds = {}
    for preset in ("small", "paper"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pt"
            row = in_own_process("train", preset, path, options)
            row |= in_own_process("pick", preset, path, options)
        seconds[preset] = row
        cells = f"{row['train_s']:9.1f} {row['pick_s']:8.2f} {row['peak_mb']:9.0f} {row['f1']:6.3f}"
        print(f"{preset:8s} {cells}", flush=True)
    for key, word in (("train_s", "trains"), ("pick_s", "picks")):
        print(f"small {word} {seconds['paper'][key] / seconds['small'][key]:.1f} times faster than paper")


if __name__ == "__main__":
    main()
