from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vitreous.errors import InputError, StageError
from vitreous.nets.training import CHECKPOINT, Batches, Plan, is_of_run, train
from vitreous.runtime.device import Runtime


class Constant(nn.Module):
    """One number with a bias; the loss is its distance from what is given."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(width, 2))
        self.bias = nn.Parameter(torch.ones(width))

    def forward(self, target: Tensor) -> Tensor:
        return (self.bias.sum() + 0 * self.matrix.sum() - target).square().mean()


def batches(value: float = 0.0) -> Batches:
    def draw(epoch: int, rank: int, world: int) -> Iterator[tuple[Tensor]]:
        yield from ((torch.full((4,), value),) for _ in range(2))

    return Batches(2, draw)


def test_the_rate_rises_linearly_then_falls_as_half_a_cosine() -> None:
    plan = Plan(25, 1.0, least_rate=0.1, warmup_epochs=5)
    assert plan.rate(0) == 0
    assert plan.rate(2.5) == pytest.approx(0.5)
    assert plan.rate(5) == pytest.approx(1.0)
    assert plan.rate(15) == pytest.approx(0.55)
    assert plan.rate(25) == pytest.approx(0.1)


def test_a_warm_up_never_takes_more_than_half_of_a_short_training() -> None:
    assert Plan(2, 1.0, warmup_epochs=5).rate(1) == pytest.approx(1.0)


def test_a_row_an_epoch_tells_loss_rate_windows_and_seconds() -> None:
    rows = train(Constant(), batches(), Plan(3, 0.1), Runtime())
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert set(rows[0]) == {"epoch", "loss", "learning_rate", "windows", "seconds"}
    assert rows[0]["windows"] == 8
    assert rows[-1]["learning_rate"] == pytest.approx(0)
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_decay_spares_what_has_one_axis() -> None:
    model = Constant()
    train(model, batches(1.0), Plan(1, 0.1, weight_decay=0.5), Runtime())
    assert bool((model.matrix < 1).all())  # its gradient is zero: decay alone moves it
    assert float(model.bias) == pytest.approx(1.0)


def test_clipping_bounds_the_gradient() -> None:
    model, seen = Constant(), []
    model.bias.register_post_accumulate_grad_hook(lambda p: seen.append(float(p.grad)))
    train(model, batches(100.0), Plan(1, 1e-3, clip=1.0), Runtime())
    assert max(abs(value) for value in seen) > 1  # before the cut
    assert float(model.bias.grad.abs()) <= 1 + 1e-5


def test_a_checkpoint_knows_its_run(tmp_path: Path) -> None:
    train(Constant(), batches(), Plan(1, 0.1), Runtime(), folder=tmp_path, identity="a")
    path = tmp_path / CHECKPOINT
    assert is_of_run(path, "a")
    assert not is_of_run(path, "b")
    assert not is_of_run(tmp_path / "absent.pt", "a")
    assert [file.name for file in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_checkpoint_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    train(Constant(2), batches(), Plan(1, 0.1), Runtime(), folder=tmp_path)
    with pytest.raises(InputError, match="another network") as caught:
        train(Constant(3), batches(), Plan(2, 0.1), Runtime(), resume_from=tmp_path / CHECKPOINT)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a checkpoint"):
        train(Constant(), batches(), Plan(1, 0.1), Runtime(), resume_from=path)
    torch.save({"kind": "something else"}, path)
    with pytest.raises(InputError, match="not a checkpoint"):
        train(Constant(), batches(), Plan(1, 0.1), Runtime(), resume_from=path)


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(StageError, match="diverged"):
        train(Constant(), batches(float("nan")), Plan(1, 0.1), Runtime())
