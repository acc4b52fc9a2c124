"""Topaz's pretrained detectors (Bepler et al. 2019, topaz-em 0.3.20, GPL-3), in this process, optional.

Its command line is not used: it needs torchvision, which replaces the installed torch. Scores are log-odds;
the traps of its scale and its random numbers are handled here (methods: docs/picking.md).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.errors import MissingToolError
from vitreous.physics.fourier import rescale_2d
from vitreous.picking.candidates import Candidates, Image
from vitreous.picking.peaks import local_maxima
from vitreous.picking.polarity import refuse_auto
from vitreous.picking.settings import TopazSettings
from vitreous.picking.working import WorkingImage, picking_mask, working_image
from vitreous.runtime.device import Runtime

FLOOR = -6.0  # Topaz's own lowest score of a candidate
PRIOR = (900, 1)  # Beta prior on the share of bright pixels, Topaz's default
SAMPLE = 10  # one pixel in ten goes into the normalisation, Topaz's default


def find_candidates(
    image: Image,
    pixel_size_A: float,
    diameter_A: float,
    contrast: str,
    settings: TopazSettings,
    runtime: Runtime,
    model: Any = None,
) -> Candidates:
    """Candidates of a micrograph (h, w); the score is the log-odds of a particle, above -6.

    With `diameter_px: scan` the scale is taken at which the detector expects the most particles. Raises
    MissingToolError without topaz-em, SettingsError for contrast auto.
    """
    refuse_auto(contrast, "Topaz")
    work = working_image(image, diameter_A / pixel_size_A, contrast)
    dark = image if contrast == "dark" else -image
    sizes = settings.scan if settings.diameter_px == "scan" else [settings.diameter_px]
    full_px = diameter_A / pixel_size_A
    found = [_at_scale(dark, work, min(size / full_px, 1.0), settings, runtime) for size in sizes]
    return max(found, key=_expected_count).best(settings.max_picks)


def _at_scale(
    image: Image, work: WorkingImage, scale: float, settings: TopazSettings, runtime: Runtime
) -> Candidates:
    """Candidates with the image scaled by `scale` (at most 1)."""
    shape = tuple(max(2, round(side * scale)) for side in image.shape)
    small = rescale_2d(torch.from_numpy(image.copy()), shape).numpy()
    log_odds = _log_odds(_normalised(small, runtime), settings.model, runtime)
    ratio_y, ratio_x = (full / part for full, part in zip(image.shape, shape, strict=True))
    full_px = work.diameter_px * work.bin
    distance = settings.min_distance * full_px / math.sqrt(ratio_x * ratio_y)
    x, y, score = local_maxima(log_odds, np.ones(log_odds.shape, dtype=bool), distance)
    # rescaling keeps the pixel n//2 in its place; the true ratio, not the nominal factor
    x = (x - shape[1] // 2) * ratio_x + image.shape[1] // 2
    y = (y - shape[0] // 2) * ratio_y + image.shape[0] // 2
    keep = (score > FLOOR) & _allowed(x, y, picking_mask(work, settings.border), work.bin)
    return Candidates(x[keep], y[keep], score[keep])


def _allowed(
    x: NDArray[np.float64], y: NDArray[np.float64], mask: NDArray[np.bool_], factor: int
) -> NDArray[np.bool_]:
    rows = np.clip(np.floor((y + 0.5) / factor).astype(int), 0, mask.shape[0] - 1)
    columns = np.clip(np.floor((x + 0.5) / factor).astype(int), 0, mask.shape[1] - 1)
    allowed: NDArray[np.bool_] = mask[rows, columns]
    return allowed


def _expected_count(found: Candidates) -> float:
    """Sum of the probabilities: how many particles the detector believes in."""
    return float((1 / (1 + np.exp(-np.clip(found.score, -50, 50)))).sum())


def _normalised(image: Image, runtime: Runtime) -> Image:
    """Topaz's two-component normalisation, repeatable: it draws from NumPy's global generator."""
    from_topaz = _topaz("topaz.stats")
    before = np.random.get_state()
    np.random.seed(runtime.key("topaz normalisation") % 2**32)
    try:
        normalised, _ = from_topaz.normalize(image, alpha=PRIOR[0], beta=PRIOR[1], sample=SAMPLE)
    finally:
        np.random.set_state(before)
    plain: Image = np.asarray(normalised, dtype=np.float32)
    return plain


def _log_odds(image: Image, name: str, runtime: Runtime) -> Image:
    device = runtime.torch_device()
    detector = _detector(name, str(device))
    with torch.inference_mode():
        scores = detector(torch.from_numpy(image)[None, None].to(device))
    plain: Image = scores[0, 0].float().cpu().numpy()
    return plain


@cache
def _detector(name: str, device: str) -> Any:
    detector = _topaz("topaz.model.factory").load_model(name)
    detector.eval()
    detector.fill()  # dense scores, one for each pixel
    return detector.to(device)


def _topaz(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingToolError(
            "the picker `topaz` needs topaz-em", found=str(error), todo="install it with `make topaz`"
        ) from error
