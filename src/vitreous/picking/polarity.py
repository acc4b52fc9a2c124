"""Whether particles are darker or brighter than the ice, found without labels.

Spots of the particle's size are taken in both polarities and the typical particle of each is sought. The
spots that are more alike are the particles (a hollow one may begin as its bright middle); the mean of that
average within the particle's disc, against its surroundings, tells the contrast.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import SettingsError
from vitreous.picking.blob import blob_response
from vitreous.picking.candidates import Image
from vitreous.picking.likeness import MIN_DISTANCE, LikenessField, disc_contrast, typical_particle
from vitreous.picking.peaks import local_maxima

SCALE = 0.8  # as of the blob picker


def refuse_auto(contrast: str, picker: str) -> None:
    """Raise SettingsError for contrast auto where what picks (`picker`) knows particles of one polarity."""
    if contrast == "auto":
        expected = "dark or bright"
        raise SettingsError(f"{picker} has a polarity", place="contrast", found="auto", expected=expected)


def detected_contrast(image: Image, mask: NDArray[np.bool_], diameter_px: float) -> Literal["dark", "bright"]:
    """The contrast of the particles of an image (h, w); `diameter_px` in its px."""
    less = image - np.float32(np.median(image[mask]))
    response = blob_response(less, mask, SCALE * diameter_px / (2 * math.sqrt(2)), "log")
    field = LikenessField(image, mask, diameter_px)
    found = []
    for sign in (-1, 1):
        x, y, _ = local_maxima(sign * response, mask, MIN_DISTANCE * diameter_px)
        typical = typical_particle(field, y, x)
        if typical is not None:
            found.append((typical.alikeness, disc_contrast(typical.profile)))
    return "bright" if found and max(found)[1] > 0 else "dark"
