"""The risk of a classifier that knows positives and unlabelled examples only."""

from __future__ import annotations

import torch
from torch.nn import functional


def non_negative_risk(
    positive: torch.Tensor, unlabelled: torch.Tensor, prior: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Risk of log-odds of positives (n,) and unlabelled (m,), and what to descend on.

    R = prior E_P[l(s)] + max(0, E_U[l(-s)] - prior E_P[l(-s)]) with the logistic loss
    l(s) = log(1 + exp(-s)). Where the second part, the risk of the negatives, is below 0, which no true risk
    is, the network has learnt the unlabelled by heart: one descends on minus that part. Source: Kiryo et al.
    2017, algorithm 1.
    """
    negative = functional.softplus(unlabelled).mean() - prior * functional.softplus(positive).mean()
    found = prior * functional.softplus(-positive).mean()
    risk = found + negative.clamp(min=0)
    return risk, (risk if negative >= 0 else -negative)
