"""What bad measurements, targets and settings of multi-target detection get: errors that say what to do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vitreous.errors import InputError, SettingsError, VitreousError
from vitreous.io.mrc import write_image, write_stack
from vitreous.multitarget.em import estimate
from vitreous.multitarget.image_settings import StackImages
from vitreous.multitarget.measurement import noise_sd, plant
from vitreous.multitarget.own_measurement import Wanted, detect_in_file
from vitreous.multitarget.patches import cut_patches
from vitreous.multitarget.prior_settings import ImplicitPriorSettings
from vitreous.multitarget.prior_training import stored_model, trained_prior
from vitreous.multitarget.settings import EmSettings, MeasurementSettings
from vitreous.multitarget.stages import run_trials
from vitreous.multitarget.whole import WholeStep
from vitreous.nets.model_files import write_model
from vitreous.runtime.device import Runtime

RUNTIME = Runtime(seed=1)
SIZE = 6


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tried(folder: Path, targets: Tensor, **changes: Any) -> None:
    write_stack(folder / "targets.mrcs", targets.numpy(), 1.0)
    arguments: dict[str, Any] = {
        "settings": EmSettings(iterations=2), "images": StackImages(targets="targets.mrcs"),
        "measurement": MeasurementSettings(size_in_images=5), "snr": 5.0, "seeds": 1, "controls": 1,
        "root": folder, "prior": None, "provenance": folder / "p.json", "runtime": RUNTIME,
    }  # fmt: skip
    run_trials(folder / "t.csv", folder / "e.mrcs", folder / "o.mrcs", **arguments | changes)


def detected(folder: Path, pixels: Tensor, *, size: int = SIZE, snr: Any = None, **changes: Any) -> None:
    write_image(folder / "measurement.mrc", pixels.numpy(), 1.0)
    arguments: dict[str, Any] = {
        "wanted": Wanted(size, snr), "settings": EmSettings(iterations=2),
        "layout": MeasurementSettings(), "runtime": RUNTIME,
    }  # fmt: skip
    detect_in_file(folder / "measurement.mrc", folder / "estimate.mrc", **arguments | changes)


def planted(side: float = 11) -> Tensor:
    settings = MeasurementSettings(size_in_images=side)
    return plant(noise(SIZE, SIZE), settings, 5.0, np.random.default_rng(0)).pixels.float()


# Sizes


@pytest.mark.parametrize("size", [4, 5, 7])
@pytest.mark.parametrize("extra", [(1, 0), (0, 1), (-1, -1)])
def test_patches_that_do_not_fit_are_refused_with_the_sides_that_would(
    size: int, extra: tuple[int, int]
) -> None:
    shape = (5 * size + extra[0], 5 * size + extra[1])
    words = rf"{shape[0]} x {shape[1]} px for images of {size} px.*e_step: whole"
    with pytest.raises(InputError, match=words):
        cut_patches(noise(1, *shape), size)


@pytest.mark.parametrize("side", [5.5, 10.9])
def test_the_whole_form_takes_the_sides_that_patches_cannot(side: float) -> None:
    pixels = planted(side)[None]
    assert pixels.shape[-1] % SIZE
    start, sigma = noise(1, SIZE, SIZE), torch.ones(1)
    with pytest.raises(InputError, match="multiple of the image's"):
        estimate(pixels, start, sigma, EmSettings(e_step="patch"), rotations=4, separation=12)
    found = estimate(pixels, start, sigma, EmSettings(iterations=2), rotations=4, separation=12)
    assert bool(torch.isfinite(found.images).all())


def test_a_measurement_smaller_than_two_images_is_refused() -> None:
    with pytest.raises(InputError, match="too small .*at least 10 px"):
        WholeStep(noise(1, 9, 40), 5, 10)


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("method", ["patch", "whole"])
def test_the_smallest_measurements_are_taken(size: int, method: str) -> None:
    settings = EmSettings.model_validate({"e_step": method, "iterations": 2})
    pixels = noise(1, 2 * size, 2 * size)
    found = estimate(pixels, noise(1, size, size), torch.ones(1), settings, rotations=4, separation=2 * size)
    assert bool(torch.isfinite(found.images).all())


def test_a_density_that_cannot_be_placed_is_refused_before_em(tmp_path: Path) -> None:
    measurement = MeasurementSettings(size_in_images=5, density=0.6)
    with pytest.raises(SettingsError, match="density: so many targets do not fit.*at most about"):
        tried(tmp_path, noise(1, SIZE, SIZE), measurement=measurement)


# Pixels


@pytest.mark.parametrize("pixel", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("method", ["patch", "whole"])
def test_pixels_that_are_no_numbers_are_counted_and_refused(pixel: float, method: str) -> None:
    pixels = planted()[None]
    pixels[0, 3, 5:7] = pixel
    settings = EmSettings.model_validate({"e_step": method, "iterations": 2})
    with pytest.raises(InputError, match="a measurement has pixels that are not finite .found 2 of 4356"):
        estimate(pixels, noise(1, SIZE, SIZE), torch.ones(1), settings, rotations=4, separation=12)
    with pytest.raises(InputError, match="starts from has pixels that are not finite"):
        start = torch.full((1, SIZE, SIZE), pixel)
        estimate(planted()[None], start, torch.ones(1), settings, rotations=4, separation=12)


@pytest.mark.parametrize("pixel", [0.0, math.nan, math.inf])
def test_a_target_that_is_no_image_is_named(tmp_path: Path, pixel: float) -> None:
    targets = noise(3, SIZE, SIZE)
    targets[1] = pixel
    # The reader of stacks refuses pixels that are not finite, with the place.
    with pytest.raises(InputError, match=r"targets(-1|\.mrcs)"):
        tried(tmp_path, targets)


def test_a_constant_target_is_an_image_all_the_same(tmp_path: Path) -> None:
    tried(tmp_path, torch.ones(1, SIZE, SIZE))
    assert (tmp_path / "t.csv").exists()


def test_a_measurement_without_noise_asks_for_its_deviation() -> None:
    pixels = torch.zeros(1, 60, 60)
    pixels[0, 5:11, 5:11] = 1.0
    for sigma in (None, torch.zeros(1), torch.tensor([-1.0]), torch.tensor([math.nan])):
        with pytest.raises(InputError, match="standard deviation must be positive .*give it"):
            estimate(pixels, noise(1, SIZE, SIZE), sigma, EmSettings(), rotations=4, separation=12)


@pytest.mark.parametrize("fault", ["nan", "constant", "zero", "small", "offset"])
def test_a_file_that_is_no_measurement_is_refused(tmp_path: Path, fault: str) -> None:
    pixels = planted()
    if fault == "nan":
        pixels[2, 2] = math.nan
    elif fault == "constant":
        pixels[:] = 3.0
    elif fault == "zero":
        pixels[:] = 0.0
    elif fault == "small":
        pixels = pixels[: 2 * SIZE - 1]
    else:
        pixels += 100.0
    words = {"nan": "not finite|NaN", "constant": "constant", "zero": "constant", "small": "too small",
             "offset": "background"}  # fmt: skip
    with pytest.raises(InputError, match=rf"measurement\.mrc.*({words[fault]})"):
        detected(tmp_path, pixels)


@pytest.mark.parametrize("factor", [255.0, 1 / 255])
def test_a_measurement_in_other_units_than_the_prior_is_refused(tmp_path: Path, factor: float) -> None:
    settings = ImplicitPriorSettings(width=4, steps=1, samples=8)
    trained = trained_prior(noise(8, SIZE, SIZE, seed=2), settings, RUNTIME)
    write_model(tmp_path / "prior.pt", stored_model(trained, settings))
    method = EmSettings(iterations=2, m_step="closed-form")
    with pytest.raises(InputError, match="range does not fit the prior"):
        detected(tmp_path, factor * planted(), snr=5.0, prior=tmp_path / "prior.pt", settings=method)
    detected(tmp_path, planted(), snr=5.0, prior=tmp_path / "prior.pt", settings=method)
    assert (tmp_path / "estimate.mrc").exists()


# Signal-to-noise ratios


@pytest.mark.parametrize("snr", [0, 0.0, -1, math.nan, math.inf, "1", None])
def test_an_snr_that_is_none_is_said_to_be_one(tmp_path: Path, snr: Any) -> None:
    with pytest.raises(SettingsError, match="signal-to-noise ratio must be a positive number"):
        noise_sd(noise(5, 5), snr)
    with pytest.raises(SettingsError, match="signal-to-noise ratio must be a positive number"):
        tried(tmp_path, noise(1, SIZE, SIZE), snr=snr)


@pytest.mark.parametrize("snr", [0.0, -1.0, math.nan])
def test_an_snr_of_ones_own_measurement_is_checked(tmp_path: Path, snr: float) -> None:
    with pytest.raises(SettingsError, match="--snr: must be a positive number"):
        detected(tmp_path, planted(), snr=snr)


# Whatever is wrong, it is said in a line


@pytest.mark.parametrize(
    "changes",
    [
        {"images": StackImages(targets="nowhere.mrcs")},
        {"images": StackImages(targets="targets.mrcs", first=7)},
        {"prior": Path("nowhere.pt")},
        {"settings": EmSettings(m_step="plug-and-play")},
        {"measurement": MeasurementSettings(size_in_images=2, separation=3, density=0.5)},
        {"settings": EmSettings(e_step="patch"), "measurement": MeasurementSettings(size_in_images=5.5)},
        {"settings": EmSettings(alarm_rate=0.01), "measurement": MeasurementSettings(size_in_images=3)},
    ],
)
def test_a_stage_that_cannot_work_says_so_in_a_line(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(VitreousError) as caught:
        tried(tmp_path, noise(1, SIZE, SIZE), **changes)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert not (tmp_path / "t.csv").exists()


def test_a_rate_that_diverges_ends_without_a_crash(tmp_path: Path) -> None:
    settings = EmSettings(published=True, learning_rate=10.0, iterations=20)
    tried(tmp_path, noise(1, SIZE, SIZE), settings=settings, snr=50.0)
    assert (tmp_path / "t.csv").exists()
