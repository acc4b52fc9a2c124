"""Centres of picks moved to where the micrograph's own typical particle fits best; no labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitreous.picking.candidates import Array, Image
from vitreous.picking.likeness import LikenessField, typical_particle
from vitreous.picking.peaks import climb

MAX_SHIFT = 0.25  # diameters


def centred(
    image: Image, mask: NDArray[np.bool_], x: Array, y: Array, diameter_px: float, threads: int = 1
) -> tuple[Array, Array]:
    """Centres x, y (n,), most confident first, on the nearest maximum of the likeness; all in px of `image`.

    Either polarity will do. A centre whose maximum is further than a quarter of the diameter away, or beyond
    the mask, stays.
    """
    typical = typical_particle(LikenessField(image, mask, diameter_px, threads), y, x)
    if typical is None:
        return x, y
    return climb(typical.likeness, x, y, MAX_SHIFT * diameter_px)
