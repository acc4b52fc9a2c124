"""Questions whose answer is known, each answered in seconds: what `vitreous selftest` asks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from vitreous.runtime.device import Runtime


@dataclass(frozen=True)
class Answer:
    """What came out, what is right, and whether the two agree."""

    found: str
    expected: str
    right: bool


def fsc_of_a_map_and_its_negative(runtime: Runtime) -> Answer:
    """Minus one in every shell, by definition."""
    from vitreous.metrics.fsc import fourier_shell_correlation

    volume = _blobs(24, runtime).to(runtime.torch_device())
    worst = float((fourier_shell_correlation(volume, -volume) + 1).abs().max())
    return Answer(f"-1 within {worst:.0e}", "-1 within 1e-06", worst < 1e-6)


def backprojection_is_the_adjoint(runtime: Runtime) -> Answer:
    """<project(x), y> equals <x, backproject(y)>."""
    import torch

    from vitreous.physics.projection import backproject, project
    from vitreous.physics.rotations import random_rotations

    where, draw = runtime.torch_device(), runtime.generator("selftest", "adjoint")
    x = torch.randn(24, 24, 24, generator=draw, dtype=torch.float64).to(where)
    y = torch.randn(8, 24, 24, generator=draw, dtype=torch.float64).to(where)
    poses = random_rotations(8, draw).to(x)
    one, other = float((project(x, poses) * y).sum()), float((x * backproject(y, poses)).sum())
    worst = abs(one - other) / abs(one)
    return Answer(f"relative difference {worst:.0e}", "below 1e-10", worst < 1e-10)


def first_zero_of_the_ctf(runtime: Runtime) -> Answer:
    """Without Cs and amplitude contrast the first zero lies at 1/sqrt(wavelength · defocus)."""
    import torch

    from vitreous.physics.ctf import Ctf, ctf_1d, wavelength_A

    ctf = Ctf(15000.0, 15000.0, 0.0, 300.0, 0.0, 0.0)
    k = torch.linspace(0.02, 0.09, 70001, dtype=torch.float64)
    values = ctf_1d(ctf, k)
    sign_change = int((values[1:] * values[:-1] <= 0).nonzero()[0])
    found, expected = 1 / float(k[sign_change]), math.sqrt(wavelength_A(300.0) * 15000.0)
    return Answer(f"{found:.2f} Å", f"{expected:.2f} Å", abs(found / expected - 1) < 1e-3)


def defocus_of_a_simulated_micrograph(runtime: Runtime) -> Answer:
    """The CTF fit finds the defocus that was put in."""
    import torch

    from vitreous.physics.ctf import Ctf, apply_ctf, ctf_2d
    from vitreous.physics.ctf_fit import fit_ctf

    truth = Ctf(15200.0, 14800.0, 30.0, 300.0, 2.7, 0.1)
    noise = torch.randn(512, 512, generator=runtime.generator("selftest", "defocus"))
    image = apply_ctf(noise, ctf_2d(truth, (512, 512), 2.0)) + 0.5 * torch.randn(
        512, 512, generator=runtime.generator("selftest", "shot noise")
    )
    found = fit_ctf(image.numpy(), 2.0, 300.0, 2.7, 0.1, window_px=256).mean_defocus_A
    return Answer(f"{found:.0f} Å", "15000 Å within 2 %", abs(found / 15000.0 - 1) < 0.02)


def a_map_from_its_projections(runtime: Runtime) -> Answer:
    """200 noise-free projections at known poses give the map back."""
    from vitreous.metrics.fsc import fourier_shell_correlation
    from vitreous.physics.insertion import finish, insert_images, new_grid
    from vitreous.physics.projection import project
    from vitreous.physics.rotations import random_rotations

    where = runtime.torch_device()
    volume = _blobs(32, runtime).to(where)
    poses = random_rotations(200, runtime.generator("selftest", "poses")).to(volume)
    grid = new_grid(32, device=where)
    insert_images(grid, project(volume, poses), poses, None)
    worst = float(fourier_shell_correlation(finish(grid), volume)[1:9].min())
    return Answer(f"FSC {worst:.3f} to half of Nyquist", "above 0.98", worst > 0.98)


def a_map_written_and_read(runtime: Runtime) -> Answer:
    """An MRC file gives back the same voxels and pixel size."""
    from vitreous.io.mrc import read_volume, write_volume

    volume = _blobs(16, runtime).numpy()
    with TemporaryDirectory() as folder:
        write_volume(Path(folder) / "map.mrc", volume, 1.25)
        stored, pixel_size_A = read_volume(Path(folder) / "map.mrc")
    same = bool((stored == volume).all()) and abs(pixel_size_A - 1.25) < 1e-5
    return Answer("the same" if same else "something else", "the same", same)


def picks_in_a_simulated_micrograph(runtime: Runtime) -> Answer:
    """The blob picker finds the particles that were simulated, at its automatic threshold."""
    from vitreous.cli.simulation import from_options
    from vitreous.io.batches import batch_name
    from vitreous.simulate.stages import collect_dataset, simulate_batch

    options = {"size_px": 512, "count": 12.0, "pixel_size_A": 3.0, "snr": 0.1}
    settings = from_options(options).model_copy(update={"micrographs": 1})
    with TemporaryDirectory() as folder:
        place = Path(folder) / "simulated"
        batch = place / batch_name(0, 1)
        simulate_batch(batch, [0], place, settings, runtime)
        collect_dataset([batch], place, settings, runtime, name="simulated")
        files = [place / "micrographs"]
        f1 = _f1(files, place / "truth" / "picks.star", settings.pixel_size_A, 150.0, Path(folder), runtime)
    return Answer(f"F1 {f1:.2f}", "above 0.85", f1 > 0.85)


def picks_in_two_micrographs_of_empiar_10146(runtime: Runtime) -> Answer:
    """The blob picker finds the apoferritin of the bundled sample (its README says whose picks they are)."""
    from vitreous.cli.workflow import repository

    sample = repository() / "resources" / "empiar-10146-sample"
    with TemporaryDirectory() as folder:
        f1 = _f1([sample / "micrographs"], sample / "coords", 1.5, 130.0, Path(folder), runtime)
    return Answer(f"F1 {f1:.2f}", "above 0.85", f1 > 0.85)


QUESTIONS: dict[str, Callable[[Runtime], Answer]] = {
    "FSC of a map and its negative": fsc_of_a_map_and_its_negative,
    "back-projection is projection's adjoint": backprojection_is_the_adjoint,
    "first zero of the CTF at 1.5 µm": first_zero_of_the_ctf,
    "defocus of a simulated micrograph": defocus_of_a_simulated_micrograph,
    "a map from its projections": a_map_from_its_projections,
    "a map written and read": a_map_written_and_read,
    "picks in a simulated micrograph": picks_in_a_simulated_micrograph,
    "picks in two micrographs of EMPIAR-10146": picks_in_two_micrographs_of_empiar_10146,
}


def _blobs(box: int, runtime: Runtime) -> torch.Tensor:
    """A few Gaussian blobs within a ball of 0.3 of the box, (box, box, box) float32."""
    import torch

    draw = runtime.generator("selftest", "blobs")
    axis = torch.arange(box, dtype=torch.float32) - box // 2
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    volume = torch.zeros(box, box, box)
    for cx, cy, cz in ((torch.rand(12, 3, generator=draw) - 0.5) * 0.35 * box).tolist():
        volume += torch.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / (2 * (0.05 * box) ** 2))
    return volume


def _f1(
    places: list[Path], known: Path, pixel_size_A: float, diameter_A: float, scratch: Path, runtime: Runtime
) -> float:
    """F1 of the blob picker against the picks in `known` (a file or a folder), within half a diameter."""
    import pandas as pd

    from vitreous.cli.loose import dataset_of
    from vitreous.cli.pick import picker_settings, run_picker
    from vitreous.io.coordinates import read_coordinates
    from vitreous.io.micrograph import micrograph_shape
    from vitreous.io.picks import read_picks
    from vitreous.metrics.pick_matching import match

    with dataset_of(places, scratch=scratch, pixel_size_A=pixel_size_A, diameter_A=diameter_A) as loose:
        shapes = {name: micrograph_shape(path) for name, path in loose.files.items()}
        files = sorted(known.iterdir()) if known.is_dir() else [known]
        truth = pd.concat([read_coordinates(file, micrograph_shapes=shapes) for file in files])
        picks = read_picks(run_picker(loose, picker_settings("blob", "auto"), None, runtime) / "picks.star")
    hits = 0
    for name in shapes:
        one, other = (
            table[table["micrograph"] == name][["x", "y"]].to_numpy(float) for table in (truth, picks)
        )
        hits += len(match(one, other, diameter_A / pixel_size_A / 2))
    return 2 * hits / max(len(truth) + len(picks), 1)
