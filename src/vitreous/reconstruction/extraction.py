"""Particle images from a micrograph: boxes, edges, rescaling, normalisation, contrast, poses.

The image shows the particle at centre - origin. The box is cut about the pixel nearest to the pick, and what
rounding took away is kept in the origin: a pick 0.3 px to the right of the box's centre has the origin -0.3
px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vitreous.errors import InputError, SettingsError
from vitreous.metrics.pick_matching import match
from vitreous.physics.fourier import rescale_2d
from vitreous.physics.masks import radius_grid
from vitreous.physics.normalise import normalise_background
from vitreous.runtime.plural import plural

# Images handled at once.
CHUNK = 256


@dataclass(frozen=True)
class BoxSize:
    """The box that is cut (`cut_px`, in pixels of the micrograph) and the box that is written.

    `pixel_size_A` is that of the written image, `background_px` the radius in it outside which it is
    normalised.
    """

    cut_px: int
    box_px: int
    pixel_size_A: float
    background_px: float


@dataclass(frozen=True)
class Boxes:
    """Where the boxes of a micrograph's picks are, and which of them are kept.

    `corner` (n, 2): first pixel x, y of each box; `remainder_px` (n, 2): pick - centre of its box, in pixels
    of the micrograph, within +-0.5; `outside`, `over_edge` (n,): the pick, or a part of its box, is not on
    the micrograph.
    """

    corner: NDArray[np.int64]
    remainder_px: NDArray[np.float64]
    outside: NDArray[np.bool_]
    over_edge: NDArray[np.bool_]


def friendly_even(least: float) -> int:
    """The smallest even number >= `least` without a prime factor above 5: fast Fourier transforms."""
    size = max(2, 2 * int(np.ceil(least / 2)))
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2


def box_size(
    micrograph_pixel_A: float,
    diameter_A: float,
    *,
    box_px: int | None = None,
    box_factor: float = 1.6,
    pixel_size_A: float | None = None,
    background_factor: float = 1.2,
) -> BoxSize:
    """Sizes from the particle's diameter and what the settings fix.

    With `pixel_size_A` an even box is cut that becomes the written one by cutting its transform; the pixel
    size that results is the nearest possible and is the one recorded. Raises SettingsError where the box is
    smaller than the particle, leaves no background, or where the wanted pixels are smaller than those of the
    micrograph.
    """
    wanted_A = pixel_size_A or micrograph_pixel_A
    if wanted_A < 0.999 * micrograph_pixel_A:
        raise SettingsError(
            "pixel_size_A is below the micrographs'",
            found=f"{wanted_A:g} Å",
            expected=f"at least {micrograph_pixel_A:g} Å",
        )
    box = box_px or friendly_even(box_factor * diameter_A / wanted_A)
    cut = max(box, 2 * round(box * wanted_A / micrograph_pixel_A / 2))
    size_A = micrograph_pixel_A * cut / box
    radius = background_factor * diameter_A / 2 / size_A
    if box * size_A < diameter_A:
        raise SettingsError(
            "the box is smaller than the particle",
            place="box_px",
            found=f"{box * size_A:.0f} Å",
            expected=f"more than {diameter_A:g} Å",
        )
    # The corners alone are too few pixels, and hold neighbours.
    return BoxSize(cut, box, size_A, min(radius, box / 2 - 1))


def place_boxes(picks: ArrayLike, cut_px: int, shape: tuple[int, int]) -> Boxes:
    """Boxes about picks `(n, 2)` (x, y in px), their centre at n//2, on a micrograph of `shape` (h, w)."""
    centres = np.asarray(picks, dtype=float).reshape(-1, 2)
    pixel = np.floor(centres + 0.5).astype(np.int64)
    corner = pixel - cut_px // 2
    size = np.array(shape[::-1])
    outside = np.any((centres < -0.5) | (centres > size - 0.5), axis=1)
    over_edge = np.any((corner < 0) | (corner + cut_px > size), axis=1)
    return Boxes(corner, centres - pixel, outside, over_edge)


def cut_boxes(micrograph: NDArray[np.float32], corner: NDArray[np.int64], cut_px: int) -> NDArray[np.float32]:
    """Boxes `(n, cut, cut)` from first pixels `(n, 2)` = x, y; the edge's pixels are repeated beyond it."""
    h, w = micrograph.shape
    boxes = np.empty((len(corner), cut_px, cut_px), np.float32)
    steps = np.arange(cut_px)
    for box, (x, y) in zip(boxes, corner, strict=True):
        rows, columns = np.clip(y + steps, 0, h - 1), np.clip(x + steps, 0, w - 1)
        box[:] = micrograph[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][
            np.ix_(rows - rows[0], columns - columns[0])
        ]
    return boxes


def develop(
    boxes: NDArray[np.float32], size: BoxSize, *, invert: bool, ramp: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes rescaled, inverted where asked, normalised: `(m, box, box)`, and which were kept `(n,)`.

    Left out are boxes whose background is constant (a masked or filled corner of a micrograph).
    """
    images = torch.from_numpy(boxes)
    if size.cut_px != size.box_px:
        images = rescale_2d(images, (size.box_px, size.box_px))
    outside = radius_grid((size.box_px, size.box_px)) > size.background_px
    background = images[:, outside]
    spread = background.amax(-1) - background.amin(-1)
    # A transform leaves a constant image a spread of some units in the last place.
    kept = spread > 1e-5 * background.abs().amax(-1)
    images = images[kept]
    if len(images):
        images = normalise_background(-images if invert else images, size.background_px, ramp=ramp)
    return images.numpy(), kept.numpy()


def origins(remainder_px: ArrayLike, micrograph_pixel_A: float) -> NDArray[np.float64]:
    """Origins in Å `(n, 2)` of particles that stand `remainder_px` from the centre of their box."""
    return 0.0 - np.asarray(remainder_px, dtype=float) * micrograph_pixel_A


def match_truth(picks: ArrayLike, truth: ArrayLike, radius_px: float) -> NDArray[np.int64]:
    """Row of the true particle of each pick `(n,)`, one to one within the radius; -1 where there is none."""
    found = np.full(len(np.asarray(picks)), -1, dtype=np.int64)
    pairs = match(np.asarray(truth, dtype=float), np.asarray(picks, dtype=float), radius_px)
    found[pairs.pick_index] = pairs.truth_index
    return found


def refuse_other_size(picks: ArrayLike, shape: tuple[int, int], *, file: str) -> None:
    """Raise InputError where more than a twentieth of the picks (n, 2) lie outside the micrograph."""
    centres = np.asarray(picks, dtype=float).reshape(-1, 2)
    outside = place_boxes(centres, 2, shape).outside
    if len(centres) and outside.mean() > 0.05:
        far, picks_in_all = centres.max(axis=0), plural(len(centres), "pick")
        raise InputError(
            "picks of another micrograph size or binning",
            file=file,
            found=f"{int(outside.sum())} of {picks_in_all} outside, up to ({far[0]:.0f}, {far[1]:.0f})",
            expected=f"x < {shape[1]}, y < {shape[0]}",
            todo="pick on these micrographs, or scale the coordinates",
        )
