"""A small made-up run in the layout of the results, for the tests of the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd

from vitreous.io.star import write_star
from vitreous.io.tidy import write_tidy
from vitreous.runtime.provenance import code_hash, versions

SIDE, DIAMETER_PX, PIXEL_A = 256, 22, 4.0
STAGE = "vitreous.io.tidy:write_tidy"


@dataclass(frozen=True)
class FakeRun:
    """Where the made-up run and its data sets lie."""

    folder: Path
    datasets: dict[str, Path]


def make_run(root: Path, *, micrographs: int = 5, seeds: int = 3) -> FakeRun:
    """Two data sets, two pickers, two engines, one trained model, one failed micrograph, one stale result."""
    rng = np.random.default_rng(1)
    run = root / "results" / "trial"
    datasets = {}
    for name, accession in (("two-shapes", None), ("empiar-10291-part", "EMPIAR-10291")):
        folder = root / "datasets" / name
        datasets[name] = folder
        names = [f"micrographs/m{index:03d}.mrc" for index in range(1, micrographs + 1)]
        _dataset(folder, name, accession, names, rng)
        _ctf(run / "sets" / name / "ctf" / "native", names, rng)
        for picker, quality in (("emmae-a", 0.9), ("blob", 0.7)):
            _picks(run / "sets" / name / "picks" / "raw" / picker, folder, names, quality, rng)
        particles = run / "sets" / name / "particles" / "raw" / "emmae-a"
        _write(particles / "failed.csv", "micrograph,error\n")
        _provenance(particles / "provenance.json")
    maps = run / "sets" / "two-shapes" / "maps" / "raw" / "emmae-a" / "all" / "sphere-a"
    for engine, reach in (("native", 11.0), ("relion", 10.2)):
        _map(maps / engine, reach, seeds, rng)
    for seed in range(2):
        _model(run / "models" / "picking" / "emmae-a" / "all" / f"seed-{seed}", rng)
    _benchmarks(run / "benchmarks", rng)
    log = "INFO device cpu\nWARNING vitreous.picking.stages: left out micrographs/m005.mrc: constant image\n"
    _write(run / "logs" / "pick" / "two-shapes-raw-blob-01-of-02.log", log)
    return FakeRun(run, datasets)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _provenance(path: Path, *, stale: bool = False, **facts: object) -> None:
    record = {
        "stage": STAGE,
        "modules": [STAGE],
        "code": "0" * 16 if stale else code_hash(STAGE),
        "settings": {"variant": "made-up", "radius": "half-diameter"},
        "inputs": {"datasets/two-shapes/micrographs.star": {"bytes": 1024, "mtime_ns": 1}},
        "seed": 0,
        "versions": versions(),
        "created": "2026-11-21T10:00:00+00:00",
        "command": "snakemake --cores 2",
        **facts,
    }
    _write(path, json.dumps(record))


def _dataset(
    folder: Path, name: str, accession: str | None, names: list[str], rng: np.random.Generator
) -> None:
    targets = [{"name": "sphere-a", "diameter_A": DIAMETER_PX * PIXEL_A, "symmetry": "C1", "reference": None}]
    info = {
        "name": name, "accession": accession, "source": "simulated" if accession is None else "CryoPPP",
        "licence": "CC0", "pixel_size_A": PIXEL_A, "voltage_kv": 300.0, "cs_mm": 2.7,
        "amplitude_contrast": 0.1, "dose_e_per_A2": 40.0, "contrast": "dark", "targets": targets,
        "verified": {"pixel_size_A": "as simulated"},
    }  # fmt: skip
    _write(folder / "dataset.json", json.dumps(info))
    _provenance(folder / "provenance.json")
    write_star(folder / "micrographs.star", {"micrographs": pd.DataFrame({"rlnMicrographName": names})})
    centres = {}
    y, x = np.mgrid[:SIDE, :SIDE]
    for one in names:
        places = rng.uniform(20, SIDE - 20, (14, 2))
        image = rng.normal(0, 1, (SIDE, SIDE)) + 0.004 * (x - SIDE / 2)
        for cx, cy in places:
            image -= 1.1 * np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / (2 * (DIAMETER_PX / 3.5) ** 2)))
        _mrc(folder / one, image)
        centres[one] = places
    table = pd.concat([pd.DataFrame(p, columns=["x", "y"]).assign(micrograph=n) for n, p in centres.items()])
    (folder / "truth").mkdir(parents=True)
    table.to_csv(folder / "truth" / "centres.csv", index=False)


def _mrc(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as handle:
        handle.set_data(array.astype(np.float32))
        if array.ndim == 3:
            handle.set_volume()
        handle.voxel_size = PIXEL_A


def _ctf(folder: Path, names: list[str], rng: np.random.Generator) -> None:
    count = len(names)
    defocus = rng.uniform(9000, 26000, count)
    astigmatism = rng.uniform(50, 500, count)
    failed = np.zeros(count, int)
    failed[-1] = 1
    table = pd.DataFrame(
        {
            "rlnMicrographName": names,
            "rlnDefocusU": defocus + astigmatism / 2,
            "rlnDefocusV": defocus - astigmatism / 2,
            "rlnDefocusAngle": rng.uniform(0, 180, count),
            "rlnCtfFigureOfMerit": rng.uniform(0.1, 0.3, count),
            "rlnCtfMaxResolution": rng.uniform(8, 14, count),
            "vitreousCtfAstigmatism": astigmatism,
            "vitreousCtfFailed": failed,
        }
    )
    folder.mkdir(parents=True)
    write_star(folder / "micrographs.star", {"micrographs": table})
    frequency = np.linspace(0.05, 0.19, 90)
    curves = []
    for index, name in enumerate(names):
        model = -np.cos(2 * (np.pi * 0.0197 * defocus[index] * frequency**2 + 0.1))
        measured = (1 - 0.2 * index) * model * np.exp(-60 * frequency**2) + rng.normal(0, 0.05, len(model))
        one = {"micrograph": name, "frequency_per_A": frequency, "measured": measured, "model": model}
        curves.append(pd.DataFrame(one))
    pd.concat(curves).to_csv(folder / "curves.csv", index=False)
    _write(folder / "failed.csv", "micrograph,error\n")
    _provenance(folder / "provenance.json")
    _provenance(folder / "scores.provenance.json")
    quartiles = {"spread_kind": "quartiles", "n": count - 1, "seed": 0}
    rows = [
        {"metric": "ctf_failed", "value": 1, "n": count, "seed": 0},
        {
            "metric": "defocus_u_median",
            "value": 17000.0,
            "unit": "Å",
            "low": 12000.0,
            "high": 22000.0,
            **quartiles,
        },
        {
            "metric": "defocus_error_median",
            "value": 61.0,
            "unit": "Å",
            "low": 20.0,
            "high": 104.0,
            **quartiles,
        },
    ]
    write_tidy(
        folder / "scores.csv",
        [{"dataset": folder.parents[1].name, "engine": "native", **row} for row in rows],
    )


def _picks(folder: Path, dataset: Path, names: list[str], quality: float, rng: np.random.Generator) -> None:
    truth = pd.read_csv(dataset / "truth" / "centres.csv")
    matches, counts = [], []
    for index, name in enumerate(names):
        own = truth[truth["micrograph"] == name][["x", "y"]].to_numpy()
        found = rng.random(len(own)) < (quality - 0.06 * index if index + 1 < len(names) else 0)
        for kind, points in (
            ("hit", own[found] + rng.normal(0, 1, (int(found.sum()), 2))),
            ("miss", own[~found]),
            ("false", rng.uniform(20, SIDE - 20, (2 + index if index + 1 < len(names) else 0, 2))),
        ):
            matches += [
                {
                    "micrograph": name,
                    "kind": kind,
                    "x": x,
                    "y": y,
                    "score": rng.random(),
                    "partner": -1,
                    "distance": 1.0,
                }
                for x, y in points
            ]
        hits, picks = int(found.sum()), int(found.sum()) + 2 + index
        row = {"micrograph": name, "truth": len(own), "picks": picks, "hits": hits, "missing": False}
        counts.append(
            {**row, "precision": hits / picks, "recall": hits / len(own), "f1": 2 * hits / (picks + len(own))}
        )
    counts[-1] = {
        **counts[-1],
        "picks": 0,
        "hits": 0,
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "missing": True,
    }
    folder.mkdir(parents=True)
    pd.DataFrame(matches).to_csv(folder / "matches.csv", index=False)
    table = pd.DataFrame(counts)
    table.to_csv(folder / "per_micrograph.csv", index=False)
    threshold = np.linspace(1, 0, 120)
    recall = 1 - threshold**2 * (1 - 0.05 * quality)
    precision = 0.35 + 0.6 * quality * threshold**0.5
    f1 = 2 * precision * recall / (precision + recall + 1e-9)
    curve = {
        "threshold": threshold,
        "count": 100,
        "hits": 50,
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    pd.DataFrame(curve).to_csv(folder / "curve.csv", index=False)
    _write(
        folder / "threshold.json", json.dumps({"automatic": 0.42, "rule": "where the components are stable"})
    )
    _write(
        folder / "failed.csv", "micrograph,error\nmicrographs/m005.mrc,constant image (every pixel is 3)\n"
    )
    _provenance(folder / "provenance.json")
    _provenance(folder / "batch-01-of-02.provenance.json")
    _provenance(folder / "batch-02-of-02.provenance.json", stale=folder.name == "blob")
    _provenance(folder / "scores.provenance.json")
    write_tidy(folder / "scores.csv", _pick_rows(table, dataset.name, folder.name, quality))


def _pick_rows(table: pd.DataFrame, dataset: str, picker: str, quality: float) -> list[dict[str, object]]:
    truth, picks, hits = (int(table[name].sum()) for name in ("truth", "picks", "hits"))
    values = {"precision": hits / picks, "recall": hits / truth, "f1": 2 * hits / (picks + truth)}
    kind = "bootstrap over micrographs, 95%"
    rows: list[dict[str, object]] = [
        {
            "metric": f"{name}_micro",
            "value": v,
            "low": v - 0.07,
            "high": v + 0.05,
            "spread_kind": kind,
            "n": len(table),
        }
        for name, v in values.items()
    ]
    rows += [{"metric": "count_picks", "value": picks}, {"metric": "count_truth", "value": truth}]
    rows += [
        {"metric": "oracle_f1", "value": values["f1"] + 0.02},
        {"metric": "average_precision", "value": quality - 0.1},
    ]
    rows += [
        {"metric": "iou_published_f1", "value": values["f1"] - 0.1},
        {"metric": "frame_warning", "value": 0},
    ]
    names = {"dataset": dataset, "denoiser": "raw", "picker": picker, "seed": 0}
    return [{**names, **row} for row in rows]


def _map(folder: Path, reach_A: float, seeds: int, rng: np.random.Generator) -> None:
    n = 48
    z, y, x = np.mgrid[:n, :n, :n] - n // 2
    volume = ((x / 1.0) ** 2 + (y / 0.8) ** 2 + (z / 1.2) ** 2 < 13**2) + 0.5 * (
        (x - 9) ** 2 + y**2 + z**2 < 36
    )
    _mrc(folder / "map.mrc", volume + rng.normal(0, 0.08, volume.shape))
    shell = np.arange(n // 2 + 1)
    with np.errstate(divide="ignore"):
        resolution = n * PIXEL_A / shell
    frequency = shell / (n * PIXEL_A)

    def fall(at_A: float) -> np.ndarray:
        return 1 / (1 + np.exp((frequency - 1 / at_A) / 0.006 + 1.79))

    curves = {"unmasked": fall(reach_A * 1.25), "masked": fall(reach_A * 0.97), "corrected": fall(reach_A)}
    curves["randomised"] = np.where(frequency < 0.07, curves["masked"], 0.05 * rng.normal(1, 0.6, len(shell)))
    curves["truth"] = fall(reach_A * 1.1)
    table = pd.DataFrame({"shell": shell, "resolution_A": resolution, **curves})
    table.to_csv(folder / "fsc.csv", index=False)
    _write(
        folder / "reconstruct.json",
        json.dumps({"particles": 61, "used": 58, "symmetry": "C1", "status": "ok"}),
    )
    _provenance(folder / "provenance.json")
    _provenance(folder / "scores.provenance.json", mask_too_tight=folder.name == "relion")
    names = {
        "dataset": "two-shapes",
        "denoiser": "raw",
        "picker": "emmae-a",
        "selection": "all",
        "target": "sphere-a",
    }
    rows: list[dict[str, object]] = []
    for seed in range(seeds):
        shift = 0.15 * (seed - 1)
        for metric, value in (
            ("resolution_corrected_0.143", reach_A), ("resolution_masked_0.143", reach_A * 0.97),
            ("resolution_unmasked_0.143", reach_A * 1.25), ("resolution_corrected_0.5", reach_A * 1.2),
            ("resolution_truth_0.5", reach_A * 1.3),
        ):  # fmt: skip
            rows.append(
                {
                    **names,
                    "engine": folder.name,
                    "metric": metric,
                    "value": value + shift,
                    "unit": "Å",
                    "seed": seed,
                }
            )
    write_tidy(folder / "scores.csv", rows)


def _model(folder: Path, rng: np.random.Generator) -> None:
    steps = np.arange(1, 61) * 10
    loss = 0.2 + 0.8 * np.exp(-steps / 150) + rng.normal(0, 0.01, len(steps))
    table = pd.DataFrame(
        {
            "step": steps,
            "loss": loss,
            "validation_loss": loss + 0.04,
            "learning_rate": 1e-3 * 0.5 ** (steps / 300),
        }
    )
    folder.mkdir(parents=True)
    table.to_csv(folder / "training.csv", index=False)
    _provenance(folder / "provenance.json")


def _benchmarks(folder: Path, rng: np.random.Generator) -> None:
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for job in (
        "simulate/two-shapes-01-of-02",
        "pick/two-shapes-raw-blob-01-of-02",
        "train/picking-emmae-a-0",
    ):
        seconds = float(rng.uniform(2, 400))
        line = (
            f"{seconds:.4f}\t0:00:30\t{rng.uniform(200, 3000):.2f}\t1\t1\t1\t0\t0\t90\t{seconds * 0.9:.2f}\n"
        )
        _write(folder / f"{job}.tsv", head + line)
