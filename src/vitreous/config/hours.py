"""How long pickers take to train and to pick, for the plan's estimate: core hours, and what a GPU gains.

ASSUME: measured once on one core of a server CPU and rounded up; micrographs are of 4096^2.
"""

from __future__ import annotations

from typing import Any

from vitreous.picking.emmae.settings import EmmaeSettings

PICKING = 0.002
TRAINING = 0.5
GPU_GAIN = 10.0
# cryo-EMMAE at published sizes (192 wide, 14 deep), methods/picking.md §4: a pass over one micrograph's
# windows takes 10 s, an epoch of training on it 15 s; on the paper's GPU 0.23 s (2.5 h for 100 x 400 epochs).
PUBLISHED_COST = 14 * 192**2
EMMAE_PASS, EMMAE_EPOCH, EMMAE_PREPARED = 0.0028, 0.0042, 0.0006
EMMAE_TRAINING_GAIN = 65.0
# One E-step of the whole measurement, a pixel and a rotation: 25 ms for 308^2 and four; a prior of digits.
DETECTION, PRIOR = 2e-11, 0.4
WINDOWS = 256  # of a published picture of 1024^2
# Hours of one micrograph, where it is not as cheap as a filter; of training, by training micrograph.
PICKING_OF = {"selftrained": 0.0004, "combined": 0.0008, "topaz": 0.006}
TRAINING_OF = {"selftrained": 0.003, "combined": 0.004}


def picking_hours(settings: Any) -> float:
    """Core hours to pick one micrograph."""
    if isinstance(settings, EmmaeSettings):
        return EMMAE_PREPARED + EMMAE_PASS * _cost(settings)
    return PICKING_OF.get(settings.variant, PICKING)


def training_hours(settings: Any, micrographs: float) -> float:
    """Core hours to train on so many micrographs."""
    if isinstance(settings, EmmaeSettings):
        windows = settings.training.epoch_windows
        pictures = micrographs if windows is None else windows / WINDOWS
        learned = EMMAE_EPOCH * _cost(settings) * settings.training.epochs * pictures
        clustered = micrographs * picking_hours(settings)
        return clustered + (learned if settings.tokens.source == "encoder" else 0.0)
    return micrographs * TRAINING_OF[settings.variant] if settings.variant in TRAINING_OF else TRAINING


def detection_hours(pixels: float, rotations: int, iterations: int) -> float:
    """Core hours of EM on measurements of so many pixels together."""
    return DETECTION * pixels * rotations * iterations


def training_gain(settings: Any) -> float:
    """How much faster a GPU trains."""
    return EMMAE_TRAINING_GAIN if isinstance(settings, EmmaeSettings) else GPU_GAIN


def _cost(settings: EmmaeSettings) -> float:
    """Cost of the network relative to the published one: about depth x width^2; none for raw pixels."""
    if settings.tokens.source == "raw":
        return 0.0
    return settings.network.depth * settings.network.width**2 / PUBLISHED_COST
