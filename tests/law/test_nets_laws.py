"""Laws of the masked autoencoder and of the training loop: identities and known answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vitreous.nets.masked_autoencoder import Block, MaskedAutoencoder, draw_kept, position_code
from vitreous.nets.training import CHECKPOINT, Batches, Plan, train
from vitreous.runtime.device import Runtime

SIZES = {"width": 16, "depth": 2, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(**more: object) -> MaskedAutoencoder:
    return MaskedAutoencoder(**{**SIZES, **more}, generator=generator())


def test_what_is_hidden_does_not_change_what_is_drawn() -> None:
    model, windows = network(), torch.randn(2, 64, 64, generator=generator(1))
    kept = draw_kept(2, 256, 0.5, generator(2))
    hidden = torch.ones(2, 256, dtype=torch.bool).scatter(1, kept, False)
    noise = 9 * torch.randn(2, 256, 16, generator=generator(3)) * hidden[..., None]
    moved = noise.reshape(2, 16, 16, 4, 4).transpose(2, 3).reshape(2, 64, 64)
    assert torch.equal(model.predict(windows, kept), model.predict(windows + moved, kept))


def test_a_network_that_draws_nothing_loses_the_mean_square_of_hidden_patches_alone() -> None:
    model, windows = network(), torch.randn(3, 64, 64, generator=generator(1))
    nn.init.zeros_(model.to_pixels.weight)
    kept = draw_kept(3, 256, 0.25, generator(2))
    hidden = torch.ones(3, 256, dtype=torch.bool).scatter(1, kept, False)
    expected = model.patches(windows)[hidden].square().mean()
    assert float(model(windows, kept)) == pytest.approx(float(expected), rel=1e-5)  # float32 sums


def test_without_a_position_code_patches_may_change_places() -> None:
    model, windows = network(position_scale=0.0), torch.randn(1, 64, 64, generator=generator(1))
    order = torch.randperm(256, generator=generator(2))
    moved = model.patches(windows)[:, order].reshape(1, 16, 16, 4, 4).transpose(2, 3).reshape(1, 64, 64)
    torch.testing.assert_close(model.encode(moved), model.encode(windows)[:, order], rtol=1e-4, atol=1e-5)


def test_with_all_patches_kept_the_encoder_of_training_is_that_of_latents() -> None:
    model, windows = network(), torch.randn(1, 64, 64, generator=generator(1))
    embedded = model._embedded(model.patches(windows))
    assert torch.equal(model._encode(embedded)[:, 1:], model.encode(windows))


def test_a_block_is_attention_as_written_down() -> None:
    block = Block(8, 2, 2.0).double()
    x = torch.randn(1, 5, 8, generator=generator(), dtype=torch.float64)
    query, key, value = (
        part.reshape(5, 2, 4).transpose(0, 1) for part in block.qkv(block.norm1(x))[0].chunk(3, dim=-1)
    )
    weights = torch.softmax(query @ key.transpose(1, 2) / 4**0.5, dim=-1)
    y = x + block.out((weights @ value).transpose(0, 1).reshape(1, 5, 8))
    expected = y + block.narrow(nn.functional.gelu(block.wide(block.norm2(y))))
    torch.testing.assert_close(block(x), expected, rtol=1e-12, atol=1e-12)


def test_the_likeness_of_two_positions_depends_on_their_difference_alone() -> None:
    code = position_code(16, 32, 32.0).reshape(16, 16, 32).double()
    for first, second in (((0, 0), (2, 3)), ((5, 1), (7, 4))):
        product = float(code[first] @ code[second])
        assert product == pytest.approx(float(code[8, 8] @ code[10, 11]), abs=1e-4)  # float32 codes
    assert float(code[3, 3] @ code[3, 3]) == pytest.approx(16, abs=1e-4)


def test_smooth_windows_are_learnt_within_a_hundred_steps_by_the_quick_start() -> None:
    model = network(start="quick", position_base=32.0, decoder_heads=1, width=32, decoder_width=32, depth=1)

    def draw(epoch: int, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        chance = generator(epoch)
        axis = torch.arange(64.0)
        for _ in range(20):
            angle, phase = (6.28 * torch.rand(8, 1, 1, generator=chance) for _ in range(2))
            rise = axis[:, None] * angle.cos() + axis * angle.sin()
            waves = 2**0.5 * torch.sin(rise * 6.28 / 32 + phase)
            yield waves, draw_kept(8, 256, 0.5, chance)

    rows = train(model, Batches(20, draw), Plan(5, 3e-3, warmup_epochs=1), Runtime())
    assert rows[0]["loss"] > 0.8
    assert rows[-1]["loss"] < 0.3  # 1 is that of the mean; measured 0.2


class Line(nn.Module):
    """A linear model whose loss is its squared error."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.linear(x)[:, 0] - y).square().mean()


def line_batches() -> Batches:
    def draw(epoch: int, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        chance = generator(epoch)
        for _ in range(4):
            x = torch.randn(16, 3, generator=chance)
            yield x[rank::world], (x @ torch.tensor([1.0, -2.0, 0.5]) + 3)[rank::world]

    return Batches(4, draw)


def test_the_loop_finds_a_line() -> None:
    model = Line()
    train(model, line_batches(), Plan(100, 0.1, least_rate=1e-4), Runtime())
    expected = torch.tensor([[1.0, -2.0, 0.5]])
    torch.testing.assert_close(model.linear.weight.detach(), expected, atol=1e-2, rtol=0)
    assert float(model.linear.bias) == pytest.approx(3, abs=1e-2)


def test_a_run_that_goes_on_equals_one_that_never_stopped(tmp_path: Path) -> None:
    plan = Plan(6, 0.05, warmup_epochs=2, weight_decay=1e-2, checkpoint_every=3)
    whole, stopped, resumed = Line(), Line(), Line()
    rows = train(whole, line_batches(), plan, Runtime())

    def until_three(epoch: int, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor]]:
        if epoch == 3:
            raise KeyboardInterrupt
        yield from line_batches().draw(epoch, rank, world)

    with pytest.raises(KeyboardInterrupt):
        train(stopped, Batches(4, until_three), plan, Runtime(), folder=tmp_path)
    again = train(resumed, line_batches(), plan, Runtime(), resume_from=tmp_path / CHECKPOINT)
    assert torch.equal(whole.linear.weight, resumed.linear.weight)
    assert [row["loss"] for row in again] == [row["loss"] for row in rows]
