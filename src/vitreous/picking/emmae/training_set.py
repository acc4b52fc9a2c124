"""The micrographs of a training, prepared once and kept as files of 8 bits, mapped into memory when read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import VitreousError
from vitreous.picking.candidates import Image
from vitreous.picking.contamination import contamination_mask
from vitreous.picking.emmae.preprocess import Prepared, prepare
from vitreous.picking.emmae.settings import EmmaeSettings
from vitreous.picking.emmae.windows import Picture
from vitreous.picking.polarity import detected_contrast
from vitreous.picking.training import Source
from vitreous.picking.working import working_image

log = logging.getLogger(__name__)
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Held:
    """A prepared micrograph of a data set: its levels and masks in files, the rest of it in `frame`."""

    dataset: str
    picture: Picture
    clean: Mask
    frame: Prepared

    def prepared(self) -> Prepared:
        """The prepared micrograph, read anew."""
        image = np.asarray(self.picture.levels, dtype=np.float32) / np.float32(255)
        return replace(self.frame, image=image, mask=np.asarray(self.picture.mask))


def hold_all(sources: Sequence[Source], settings: EmmaeSettings, folder: Path) -> list[Held]:
    """The micrographs that can be used, in files in `folder`; what cannot is logged."""
    held = []
    for index, source in enumerate(sources):
        try:
            image = source.read()
            contrast = source.contrast
            if contrast == "auto":
                contrast = contrast_of(image, source.diameter_px)
            prepared = prepare(image, source.diameter_px, contrast, settings.preprocess)
        except VitreousError as error:
            log.warning("%s: left out of the training: %s", source.name, error)
            continue
        clean = prepared.mask
        if settings.components.reject:
            clean = clean & ~contaminated_part(image, source.diameter_px, contrast, prepared)
        levels = np.rint(prepared.image * 255).astype(np.uint8)
        parts = {"levels": levels, "mask": prepared.mask, "clean": clean}
        mapped = {name: _mapped(folder / f"{index}-{name}.npy", part) for name, part in parts.items()}
        nothing = replace(prepared, image=np.zeros((0, 0), np.float32), mask=np.zeros((0, 0), bool))
        picture = Picture(mapped["levels"], mapped["mask"])
        held.append(Held(source.dataset, picture, mapped["clean"], nothing))
    return held


def contrast_of(image: Image, diameter_px: float) -> str:
    """Whether the particles of a micrograph (H, W) are dark or bright, by the picture alone."""
    work = working_image(image, diameter_px, "bright")  # as it is
    return detected_contrast(work.image, work.mask, work.diameter_px)


def contaminated_part(image: Image, diameter_px: float, contrast: str, prepared: Prepared) -> Mask:
    """Carbon and ice of a micrograph on the grid (h, w) of its prepared image."""
    work = working_image(image, diameter_px, contrast)
    mask = contamination_mask(work).mask
    rows, columns = (np.arange(n, dtype=float) for n in prepared.image.shape)
    x, _ = prepared.to_full(np.zeros(len(columns)), columns)
    _, y = prepared.to_full(rows, np.zeros(len(rows)))
    row, column = (
        np.clip(np.rint((at + 0.5) / work.bin - 0.5).astype(int), 0, side - 1)
        for at, side in zip((y, x), mask.shape, strict=True)
    )
    there: Mask = mask[row[:, None], column]
    return there


def _mapped(path: Path, values: NDArray[Any]) -> Any:
    np.save(path, values)
    return np.load(path, mmap_mode="r")
