"""The risk of positives and unlabelled examples against the risk with all labels known."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from vitreous.picking.selftrained.loss import non_negative_risk


def _scores(count: int, mean: float, seed: int) -> torch.Tensor:
    return mean + torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_risk_is_that_of_known_labels_where_the_positives_are_all_there_are() -> None:
    positive, negative = _scores(300, 1.0, 1), _scores(700, -1.0, 2)
    risk, descend = non_negative_risk(positive, torch.cat([positive, negative]), 0.3)
    known = 0.3 * functional.softplus(-positive).mean() + 0.7 * functional.softplus(negative).mean()
    # an identity: only the rounding of float64 sums differs
    assert float(risk) == pytest.approx(float(known), rel=1e-12)
    assert float(descend) == pytest.approx(float(known), rel=1e-12)


def test_with_other_positives_the_risk_is_right_on_average() -> None:
    positive, negative = _scores(40_000, 1.0, 3), _scores(70_000, -1.0, 4)
    unlabelled = torch.cat([_scores(30_000, 1.0, 5), negative])
    risk, _ = non_negative_risk(positive, unlabelled, 0.3)
    known = 0.3 * functional.softplus(-positive).mean() + 0.7 * functional.softplus(negative).mean()
    # standard error of the difference: 0.3 * 0.6 (sd of the loss) * sqrt(1/30000 + 1/40000) = 0.0014
    assert float(risk) == pytest.approx(float(known), abs=5 * 0.0014)


def test_a_negative_risk_of_the_negatives_counts_as_none_and_is_climbed() -> None:
    positive = torch.full((10,), 3.0, requires_grad=True)
    unlabelled = torch.full((10,), -3.0, requires_grad=True)
    risk, descend = non_negative_risk(positive, unlabelled, 0.5)
    assert float(risk.detach()) == pytest.approx(0.5 * float(functional.softplus(torch.tensor(-3.0))))
    assert float(descend.detach()) > 0
    descend.backward()
    assert unlabelled.grad is not None
    # one steps against the gradient: the scores of the unlabelled, learnt by heart as negatives, rise again
    assert bool((unlabelled.grad < 0).all())


def test_without_particles_among_the_unlabelled_all_of_them_are_negatives() -> None:
    positive, unlabelled = _scores(50, 0.0, 6), _scores(50, 0.0, 7)
    risk, _ = non_negative_risk(positive, unlabelled, 0.0)
    assert float(risk) == pytest.approx(float(functional.softplus(unlabelled).mean()))
