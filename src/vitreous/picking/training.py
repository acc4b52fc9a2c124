"""What a picker that learns is given and gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vitreous.picking.candidates import Image


@dataclass(frozen=True)
class Source:
    """One micrograph to learn from; `read` gives its pixels (h, w) and may raise InputError."""

    dataset: str
    name: str
    pixel_size_A: float
    diameter_A: float
    contrast: str
    read: Callable[[], Image]

    @property
    def diameter_px(self) -> float:
        """Diameter of the particle in px of the micrograph."""
        return self.diameter_A / self.pixel_size_A


@dataclass(frozen=True)
class Training:
    """A trained model (tensors and plain values, for torch.save) and its log, a row a round."""

    model: Mapping[str, Any]
    log: list[dict[str, float]]
