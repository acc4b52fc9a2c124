"""What half-maps, their mean and a true map say together: the table of curves and the rows of scores."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch

from vitreous.metrics.correlation import real_space_correlation
from vitreous.metrics.fsc import fourier_shell_correlation, mean_correlation, resolution_at
from vitreous.metrics.postprocess import FscCurves, corrected_fsc
from vitreous.metrics.sampling import mirror
from vitreous.metrics.settings import EvaluationSettings

Rows = list[dict[str, Any]]
FSC_COLUMNS = ["shell", "resolution_A", "unmasked", "masked", "randomised", "corrected", "truth"]


def half_map_curves(
    half1: torch.Tensor,
    half2: torch.Tensor,
    mask: torch.Tensor,
    pixel_size_A: float,
    settings: EvaluationSettings,
) -> FscCurves:
    """The FSC curves of two half-maps (n, n, n) under a mask (n, n, n), as the settings say."""
    return corrected_fsc(
        half1,
        half2,
        mask,
        pixel_size_A=pixel_size_A,
        seeds=range(settings.phase_seeds),
        randomise_below=settings.randomise_below,
    )


def half_map_rows(curves: FscCurves, settings: EvaluationSettings) -> Rows:
    """Resolution of the unmasked, masked and corrected curve at each threshold, and what the mask adds.

    The corrected resolution carries the range over the phase seeds as its spread.
    """
    rows: Rows = []
    for threshold in settings.thresholds:
        for curve in ("unmasked", "masked", "corrected"):
            value = curves.resolution(threshold, curve)
            rows.append({"metric": f"resolution_{curve}_{threshold:g}", "value": value, "unit": "Å"})
        rows[-1] |= _seed_range(curves, threshold)
    tight = curves.randomised_at(settings.thresholds[0])
    rows.append({"metric": f"randomised_fsc_at_{settings.thresholds[0]:g}", "value": tight})
    rows.append({"metric": "mean_fsc_corrected", "value": float(mean_correlation(curves.corrected))})
    return rows


def truth_rows(
    volume: torch.Tensor,
    truth: torch.Tensor,
    mask: torch.Tensor,
    pixel_size_A: float,
    settings: EvaluationSettings,
) -> tuple[torch.Tensor, Rows]:
    """FSC of a map with the true one, both under the mask: the curve (n_shells,) and the rows of scores.

    All (n, n, n). Resolutions at the first and at the last crossing, since a zero of the CTF can cut the
    first one short. With `hands: both` the hand of higher mean FSC is scored and a row says which it was.
    """
    curve = fourier_shell_correlation(volume * mask, truth * mask).cpu()
    rows: Rows = []
    if settings.hands == "both":
        other = mirror(volume)
        mirrored = fourier_shell_correlation(other * mask, truth * mask).cpu()
        better = bool(mean_correlation(mirrored) > mean_correlation(curve))
        rows.append({"metric": "hand_mirrored", "value": int(better)})
        rows.append({"metric": "mean_fsc_truth_given_hand", "value": float(mean_correlation(curve))})
        rows.append({"metric": "mean_fsc_truth_other_hand", "value": float(mean_correlation(mirrored))})
        volume, curve = (other, mirrored) if better else (volume, curve)
    box = volume.shape[-1]
    for threshold in settings.thresholds:
        name = f"resolution_truth_{threshold:g}"
        first = resolution_at(curve, threshold, box, pixel_size_A)
        last = resolution_at(curve, threshold, box, pixel_size_A, crossing="last")
        rows.append({"metric": name, "value": first, "unit": "Å"})
        rows.append({"metric": f"{name}_last", "value": last, "unit": "Å"})
    rows.append({"metric": "mean_fsc_truth", "value": float(mean_correlation(curve))})
    # A map of no particles is all zeros, which correlate with nothing.
    correlation = float(real_space_correlation(volume, truth, mask)) if volume.any() else math.nan
    rows.append({"metric": "real_space_correlation", "value": correlation})
    return curve, rows


def fsc_table(curves: FscCurves, truth: torch.Tensor | None) -> pd.DataFrame:
    """The curves (n_shells,) as columns `FSC_COLUMNS`; truth is NaN where there is no true map."""
    unknown = torch.full_like(curves.unmasked, math.nan)
    values = {name: getattr(curves, name).numpy() for name in FSC_COLUMNS[:-1]}
    return pd.DataFrame(
        values | {"truth": (unknown if truth is None else truth).numpy()}, columns=FSC_COLUMNS
    )


def _seed_range(curves: FscCurves, threshold: float) -> dict[str, Any]:
    found = [
        resolution_at(curve, threshold, curves.box, curves.pixel_size_A) for curve in curves.corrected_by_seed
    ]
    spread = {"spread_kind": "range over phase seeds", "n": len(found)}
    return {"low": min(found), "high": max(found), **spread}
