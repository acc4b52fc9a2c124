"""The coordinates that come with a local folder: merged, counted, and checked against the images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.data.settings import LocalSettings
from vitreous.errors import InputError
from vitreous.io.coordinates import boxed, coordinate_kind, read_coordinates
from vitreous.io.frames import flipped_rows
from vitreous.io.micrograph import read_micrograph
from vitreous.io.names import index_by_key, match_names, micrograph_key
from vitreous.io.particles import ParticleSet
from vitreous.io.picks import outside
from vitreous.runtime.plural import plural

Shapes = Mapping[str, tuple[int, int]]
_COLUMNS = ["micrograph", "x", "y", "score"]
_LOOKED_AT = 3  # micrographs for the check of the frame
_log = logging.getLogger(__name__)


def merged_coordinates(
    files: Sequence[Path], settings: LocalSettings, shapes: Shapes
) -> tuple[pd.DataFrame, set[str], str]:
    """Picks (micrograph, x, y, score) inside their micrographs, in pixels; who is annotated; counts in words.

    `shapes` are (h, w) by name. Raises InputError where no name matches and where the coordinates belong to
    another size.
    """
    index = index_by_key(shapes)
    parts, annotated, strange, low = [], set[str](), dict[str, int](), 0
    for path in files:
        kind = coordinate_kind(path) if settings.coordinates_kind == "auto" else settings.coordinates_kind
        picks = read_coordinates(path, kind=kind)
        matched, unmatched = match_names([*picks["micrograph"], path.name], index)
        strange |= {name: int((picks["micrograph"] == name).sum()) for name in unmatched if name != path.name}
        annotated |= set(matched.values())
        picks = picks[picks["micrograph"].isin(matched)]
        picks = picks.assign(micrograph=picks["micrograph"].map(matched))
        bad = picks["score"] < (-np.inf if settings.min_score is None else settings.min_score)
        low += int(bad.sum())
        kept = picks[~bad]
        turned = settings.flip_y
        parts.append(flipped_rows(kept, shapes, path, boxed=boxed(kept, kind)) if turned else kept)
    if not annotated:
        found, expected = next(iter(strange), files[0].name), micrograph_key(next(iter(shapes)))
        raise InputError(
            "coordinates match no micrograph", file=files[0], found=found, expected=f"e.g. {expected}"
        )
    picks = pd.concat(parts, ignore_index=True)[_COLUMNS]
    text = f"{len(picks) + low + sum(strange.values())} read"
    text += f", {low} below min_score" if low else ""
    if strange:
        names = ", ".join(sorted(strange)[:3])
        text += f", {sum(strange.values())} of {plural(len(strange), 'micrograph')} not here ({names} …)"
        _log.warning("%s: %s", files[0].parent, text)
    kept, more = _inside(picks, settings, shapes, files[0].parent)
    return kept, annotated, f"{text}, {more}"


def picks_of_particles(particles: ParticleSet, shapes: Shapes) -> tuple[pd.DataFrame, set[str], str]:
    """The picks that particles were extracted at (micrograph, x, y in pixels; no score)."""
    table = particles.particles
    labels = {"rlnMicrographName": "micrograph", "rlnCoordinateX": "x", "rlnCoordinateY": "y"}
    picks = table[list(labels)].rename(columns=labels).assign(score=np.nan)
    inside = ~outside(picks, shapes)
    text = f"{len(picks)} of the particles, {int((~inside).sum())} outside their micrograph"
    return picks[inside].reset_index(drop=True), set(picks["micrograph"]), text


def check_frame(
    picks: pd.DataFrame,
    sources: Mapping[str, Path],
    diameter_px: float | None,
    contrast: Literal["dark", "bright"],
) -> str:
    """What the images say about the frame of the picks; a frame that fits better is said in the log, too.

    Looks at the three micrographs with the most picks (at least 20): the mean of the band-passed image at the
    picks, in standard deviations, as they are and flipped in y, flipped in x, transposed.
    """
    counts = picks["micrograph"].value_counts()
    names = [str(name) for name in counts[counts >= 20].index[:_LOOKED_AT]]
    if diameter_px is None or not names:
        return "frame not checked against the images"
    signals = []
    for name in names:
        chosen = picks[picks["micrograph"] == name]
        try:
            image = read_micrograph(sources[name])
        except InputError as error:
            _log.warning("frame not checked on it: %s", error)
            continue
        signals.append(signal_in_frames(image, chosen[["x", "y"]].to_numpy(float), diameter_px))
    if not signals:
        return "frame not checked against the images"
    mean = np.mean(signals, axis=0) * (-1 if contrast == "dark" else 1)
    frames = ("as given", "flipped in y", "flipped in x", "transposed")
    best = int(np.argmax(mean))
    text = "image at the picks, in standard deviations: " + ", ".join(
        f"{frame} {value:.2f}" for frame, value in zip(frames, mean, strict=True)
    )
    # a wrong frame reads chance, 0 ± 0.1 for 100 picks; a right one 0.6 to 1.6 on real micrographs
    if mean[best] > mean[0] + 0.3:
        text += f"; THE COORDINATES FIT BETTER {frames[best].upper()}"
        _log.warning("coordinates fit the images better %s: %s", frames[best], text)
    elif mean[0] < 0.2:
        text += f"; the picks do not stand out as {contrast}: check contrast and frame"
        _log.warning("coordinates do not stand out in the images: %s", text)
    return text


def signal_in_frames(
    image: NDArray[np.float32], centres: NDArray[np.float64], diameter_px: float
) -> NDArray[np.float64]:
    """(4,) mean of a band-passed image (h, w) at centres (n, 2) x, y in px: given, y, x flipped, swapped.

    The image is binned to about 12 px a particle and band-passed by a difference of Gaussians; unit: its
    standard deviation.
    """
    from scipy.ndimage import gaussian_filter

    factor = max(1, int(diameter_px / 12))
    h, w = (size // factor for size in image.shape)
    small = (
        image[: h * factor, : w * factor].reshape(h, factor, w, factor).mean(axis=(1, 3), dtype=np.float64)
    )
    d = diameter_px / factor
    band = gaussian_filter(small, d / 4) - gaussian_filter(small, d)
    band = (band - band.mean()) / (band.std() or 1.0)
    x, y = ((centres + 0.5) / factor - 0.5).T
    frames = ((x, y), (x, h - 1 - y), (w - 1 - x, y), (y, x))
    means = []
    for column, row in frames:
        i, j = np.rint(row).astype(int), np.rint(column).astype(int)
        valid = (i >= 0) & (i < h) & (j >= 0) & (j < w)
        means.append(band[i[valid], j[valid]].mean() if valid.any() else 0.0)
    return np.array(means)


def _inside(
    picks: pd.DataFrame, settings: LocalSettings, shapes: Shapes, place: Path
) -> tuple[pd.DataFrame, str]:
    """The picks inside their micrographs; refuses those that belong to a micrograph of another size."""
    scale = settings.coordinates_scale or 1.0
    picks = picks.assign(x=picks["x"] * scale, y=picks["y"] * scale)
    beyond = outside(picks, shapes)
    h, w = np.max([shapes[name] for name in picks["micrograph"].unique()] or [(0, 0)], axis=0)
    extent = f"coordinates up to ({picks['x'].max():.0f}, {picks['y'].max():.0f})"
    todo = "state coordinates_scale, or flip_y"
    if beyond.mean() > settings.max_outside_share if len(picks) else False:
        given = plural(len(picks), "coordinate")
        what = f"{int(beyond.sum())} of {given} lie outside: of another size or binning"
        raise InputError(what, file=place, found=extent, expected=f"micrographs of {w} x {h}", todo=todo)
    # particles fill a micrograph: 50 and more that keep to one corner are coordinates of a binned image
    corner = len(picks) >= 50 and picks["x"].max() < 0.6 * w and picks["y"].max() < 0.6 * h
    if corner and settings.coordinates_scale is None:
        what = "coordinates lie in one corner only: of a smaller or binned image"
        todo = "state coordinates_scale (1 if they are right)"
        raise InputError(what, file=place, found=extent, expected=f"micrographs of {w} x {h}", todo=todo)
    if beyond.any():
        lost = plural(int(beyond.sum()), "coordinate")
        _log.warning("%s: %s outside their micrograph left out", place, lost)
    return picks[~beyond].reset_index(drop=True), f"{int(beyond.sum())} outside their micrograph left out"
