"""A measurement with known truth from an image file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from vitreous.errors import InputError
from vitreous.io.mrc import open_stack, write_image
from vitreous.io.picks import write_picks
from vitreous.multitarget.measurement import Planted, plant
from vitreous.multitarget.settings import MeasurementSettings
from vitreous.runtime.device import Runtime


def plant_file(
    image: Path,
    out: Path,
    *,
    index: int,
    settings: MeasurementSettings,
    snr: float,
    truth: Path | None,
    runtime: Runtime,
) -> Planted:
    """Plant image `index` of an MRC file and write the measurement; `truth` gets the centres (STAR).

    Raises InputError for an image that is not square, finite and other than zero.
    """
    stack = open_stack(image)
    if index >= len(stack):
        raise InputError(
            "no such image", file=image, found=f"index {index}", expected=f"0 to {len(stack) - 1}"
        )
    pixels = torch.tensor(stack[index])
    if pixels.shape[0] != pixels.shape[1]:
        found = f"{pixels.shape[1]} x {pixels.shape[0]} px"
        raise InputError("the image is not square", file=image, found=found, expected="L x L px")
    planted = plant(pixels, settings, snr, runtime.rng("measurement", index))
    write_image(out, planted.pixels.float().numpy(), stack.pixel_size_A or 1.0)
    if truth is not None:
        centre = (pixels.shape[0] - 1) / 2
        table = pd.DataFrame(
            {
                "micrograph": [out.name] * len(planted.turns),
                "x": planted.corners[:, 1] + centre,
                "y": planted.corners[:, 0] + centre,
            }
        )
        write_picks(truth, table)
    return planted
