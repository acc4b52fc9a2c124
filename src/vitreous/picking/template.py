"""A small trained picker without labels: a radial template, averaged from the picks of a blob picker.

The template is a profile over r/D, so that it serves datasets of any pixel size. Picking is the normalised
cross-correlation over the part of the template's disc that lies in the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from vitreous.errors import StageError, VitreousError
from vitreous.nets.model_files import read_model
from vitreous.picking.blob import blob_candidates, robust_spread, smoothed
from vitreous.picking.candidates import Array, Candidates, Image
from vitreous.picking.model_files import required_model
from vitreous.picking.peaks import local_maxima
from vitreous.picking.polarity import refuse_auto
from vitreous.picking.settings import TemplateSettings
from vitreous.picking.structure import combined, median, skewness_significance
from vitreous.picking.threshold import choose_threshold
from vitreous.picking.training import Source, Training
from vitreous.picking.working import (
    WorkingImage,
    picking_mask,
    white_noise_level,
    working_image,
)
from vitreous.runtime.device import Runtime
from vitreous.runtime.plural import plural

KIND = "vitreous radial template 1"
BINS_PER_DIAMETER = 32
MIN_COVER = 0.2  # least part of the disc that must lie in the image: a corner has a quarter
SOFT_SHARE = 0.1  # ASSUME: the outer two fifths of the template's radius fade


def find_candidates(
    image: Image,
    pixel_size_A: float,
    diameter_A: float,
    contrast: str,
    settings: TemplateSettings,
    runtime: Runtime,
    model: Any = None,
) -> Candidates:
    """Candidates of a micrograph (h, w) by the profile `model` (see `load_model`); scores are correlations.

    Raises SettingsError without a model and for contrast auto.
    """
    profile: Array = np.asarray(required_model(model, "the template picker"), dtype=float)
    refuse_auto(contrast, "a template")
    work = working_image(image, diameter_A / pixel_size_A, contrast)
    return template_candidates(work, profile, settings, runtime)


def load_model(path: Path, runtime: Runtime) -> Array:
    """The profile (bins,) of a model file; raises InputError for what is no template."""
    stored = read_model(path, KIND)
    profile: Array = stored["profile"].numpy().astype(float)
    return profile


def train(
    sources: Sequence[Source], settings: TemplateSettings, runtime: Runtime, folder: Path | None = None
) -> Training:
    """Average the picks of the blob picker, then pick with the average and average again, `rounds` times.

    A round is short: `folder` is left empty.

    Returns the model (kind, profile) and a row a round. Micrographs that cannot be used are left out. Raises
    StageError where nothing is picked.
    """
    profile: Array | None = None
    rows: list[dict[str, float]] = []
    for number in range(1, settings.rounds + 1):
        found, failed = _pick_all(sources, profile, settings, runtime)
        halves, used = _average(sources, found, settings)
        if used < 2:
            seen = f"{plural(used, 'pick')} in {plural(len(found), 'micrograph')}"
            raise StageError("no picks to average", found=seen)
        profile = _combine(halves)
        rows.append({
            "round": number, "micrographs": len(found), "failed": failed, "picks": used,
            "half_correlation": _correlation(halves[0], halves[1]), "sharpness": float(profile.std()),
        })  # fmt: skip
    assert profile is not None  # rounds >= 1
    return Training({"kind": KIND, "profile": torch.tensor(profile, dtype=torch.float32)}, rows)


def template_candidates(
    work: WorkingImage, profile: Array, settings: TemplateSettings, runtime: Runtime
) -> Candidates:
    """Candidates of an image at working scale by a profile (bins,) over r/D."""
    template, weight = draw_template(profile, work.diameter_px, settings.radius)
    image = smoothed(work.image, work.mask, settings.smooth * work.diameter_px, runtime.threads)
    score = masked_correlation(image, work.mask, template, weight, runtime.threads)
    mask = picking_mask(work, settings.border)
    x, y, value = local_maxima(score, mask, settings.min_distance * work.diameter_px)
    white = white_noise_level(work)
    sigma = settings.smooth * work.diameter_px
    noise = white * white_noise_gain(template, weight, sigma) if math.isfinite(white) else math.nan
    spread, structure = robust_spread(score[work.mask]), skewness_significance(work)
    found = Candidates(*work.to_full(x, y), value, noise, spread, structure)
    return found.best(settings.max_picks)


def draw_template(profile: Array, diameter_px: float, radius: float) -> tuple[Image, Image]:
    """The template (n, n), n odd, centred, and the weight of its pixels: 1 inside, falling to 0 at `radius`.

    The soft rim keeps the correlation map smooth, so that noise has few maxima.
    """
    reach = int(math.ceil(radius * diameter_px))
    axis = np.arange(-reach, reach + 1)
    distance = np.hypot(axis[:, None], axis[None]) / diameter_px
    template = np.interp(distance, _centres(len(profile)), profile)
    fall = np.clip((distance - (1 - SOFT_SHARE) * radius) / (SOFT_SHARE * radius), 0, 1)
    return template.astype(np.float32), (0.5 + 0.5 * np.cos(np.pi * fall)).astype(np.float32)


def masked_correlation(
    image: Image, mask: NDArray[np.bool_], template: Image, weight: Image, threads: int = 1
) -> Image:
    """Weighted correlation coefficient (h, w) of template and image over the weights inside the mask.

    Multiplied by the square root of their share of all weights, so that noise is the same everywhere; 0 where
    that share is under a fifth.
    """
    h, w = image.shape
    reach = template.shape[0] // 2
    size = tuple(fft.next_fast_len(side + 2 * reach, real=True) for side in image.shape)
    part = mask.astype(np.float32)
    held = np.where(mask, image, np.float32(0))
    spectra = [fft.rfft2(plane, size, workers=threads) for plane in (part, held)]

    def correlate(plane: int, kernel: Image) -> NDArray[np.float64]:
        both = spectra[plane] * fft.rfft2(kernel[::-1, ::-1].copy(), size, workers=threads)
        full = fft.irfft2(both, size, workers=threads)
        return full[reach : reach + h, reach : reach + w].astype(float)

    total = np.maximum(correlate(0, weight), 1.0)
    sum_t, sum_tt = correlate(0, weight * template), correlate(0, weight * template**2)
    sum_i, cross = correlate(1, weight), correlate(1, weight * template)
    variance_t = np.maximum(sum_tt - sum_t**2 / total, 1e-9)
    score = (cross - sum_t * sum_i / total) / np.sqrt(variance_t * weight.sum())
    return np.where(total >= MIN_COVER * weight.sum(), score, 0.0).astype(np.float32)


def white_noise_gain(template: Image, weight: Image, smooth_px: float) -> float:
    """Standard deviation of smoothed white noise's correlation with a template (n, n), as measured."""
    side = max(256, 8 * template.shape[0])
    noise = np.random.default_rng(0).standard_normal((side, side)).astype(np.float32)
    mask = np.ones(noise.shape, dtype=bool)
    score = masked_correlation(smoothed(noise, mask, smooth_px), mask, template, weight)
    return float(score.std())


def _centres(bins: int) -> Array:
    return np.arange(bins) / BINS_PER_DIAMETER


def _readable(sources: Sequence[Source]) -> Iterator[tuple[int, WorkingImage | None]]:
    for index, source in enumerate(sources):
        try:
            yield index, working_image(source.read(), source.diameter_px, source.contrast)
        except VitreousError:
            yield index, None


def _pick_all(
    sources: Sequence[Source], profile: Array | None, settings: TemplateSettings, runtime: Runtime
) -> tuple[dict[int, Candidates], int]:
    """Confident picks by index of the micrograph: above the automatic threshold of their dataset."""
    found: dict[int, Candidates] = {}
    failed = 0
    for index, work in _readable(sources):
        if work is None:
            failed += 1
        elif profile is None:
            found[index] = blob_candidates(work, settings.start, runtime)
        else:
            found[index] = template_candidates(work, profile, settings, runtime)
    for dataset in sorted({source.dataset for source in sources}):
        members = [index for index in found if sources[index].dataset == dataset]
        cut = _threshold([found[index] for index in members])
        for index in members:
            count = int((found[index].score >= cut).sum())
            found[index] = found[index].best(count)
    share = max(1, settings.max_particles // max(len(found), 1))
    return {index: candidates.best(share) for index, candidates in found.items()}, failed


def _threshold(found: Sequence[Candidates]) -> float:
    if not found:
        return math.inf
    scores = np.concatenate([candidates.score for candidates in found])
    evidence = np.concatenate([candidates.evidence for candidates in found])
    noise, spread = (median([getattr(part, key) for part in found]) for key in ("noise", "spread"))
    structure = combined([candidates.structure for candidates in found])
    return choose_threshold(scores, noise, spread, structure, evidence).value


def _average(
    sources: Sequence[Source], found: dict[int, Candidates], settings: TemplateSettings
) -> tuple[NDArray[np.float64], int]:
    """Radial averages (2, bins) of every other pick, and how many picks went into them."""
    bins = int(math.ceil(settings.radius * BINS_PER_DIAMETER)) + 1
    total, weight = np.zeros((2, bins)), np.zeros((2, bins))
    used = 0
    for index, work in _readable(sources):
        if work is None or index not in found:
            continue
        picks = found[index]
        for half in (0, 1):
            part = slice((half + used) % 2, None, 2)
            values, pixels = _radial_sums(work, picks.x[part], picks.y[part], bins, settings.radius)
            total[half] += values
            weight[half] += pixels
        used += len(picks.x)
    return total / np.maximum(weight, 1), used


def _radial_sums(work: WorkingImage, x: Array, y: Array, bins: int, radius: float) -> tuple[Array, Array]:
    """Sums of the pixels around centres (n,), each less the mean of its disc, and their number, by r/D."""
    sums, pixels = np.zeros(bins), np.zeros(bins)
    h, w = work.image.shape
    reach = int(math.ceil(radius * work.diameter_px)) + 1
    around = np.arange(-reach, reach + 1)
    for cx, cy in zip((x + 0.5) / work.bin - 0.5, (y + 0.5) / work.bin - 0.5, strict=True):
        rows, columns = around + round(cy), around + round(cx)
        rows, columns = rows[(rows >= 0) & (rows < h)], columns[(columns >= 0) & (columns < w)]
        window = np.ix_(rows, columns)
        distance = np.hypot(rows[:, None] - cy, columns[None] - cx) / work.diameter_px
        inside = (distance <= radius) & work.mask[window]
        values = work.image[window][inside].astype(float)
        where = np.minimum((distance[inside] * BINS_PER_DIAMETER + 0.5).astype(int), bins - 1)
        sums += np.bincount(where, values - values.mean(), bins) if len(values) else 0
        pixels += np.bincount(where, minlength=bins)
    return sums, pixels


def _combine(halves: NDArray[np.float64]) -> Array:
    profile: Array = halves.mean(axis=0)
    return profile


def _correlation(a: Array, b: Array) -> float:
    """Correlation of two profiles, each bin weighted by its area."""
    weight = np.arange(len(a)) + 0.25
    a, b = (values - np.average(values, weights=weight) for values in (a, b))
    norm = math.sqrt(float((weight * a * a).sum() * (weight * b * b).sum()))
    return float((weight * a * b).sum() / norm) if norm > 0 else 0.0
