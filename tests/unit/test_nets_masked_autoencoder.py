from __future__ import annotations

import pytest
import torch

from vitreous.nets.masked_autoencoder import MaskedAutoencoder, draw_kept, position_code

SMALL = {"width": 16, "depth": 1, "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2}
ENCODER = ("embed", "class_token", "blocks", "norm")


def network(seed: int = 0, **sizes: object) -> MaskedAutoencoder:
    return MaskedAutoencoder(**{**SMALL, **sizes}, generator=torch.Generator().manual_seed(seed))


def count(model: MaskedAutoencoder, parts: tuple[str, ...] = ()) -> int:
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if not parts or name.split(".")[0] in parts)


def test_the_published_sizes_have_the_published_numbers_of_parameters() -> None:
    model = MaskedAutoencoder()
    assert count(model, ENCODER) == 4_162_176  # methods/picking.md §1.1
    assert count(model) == 5_116_688


def test_the_published_start_is_xavier_with_zero_biases_but_for_the_projection_of_patches() -> None:
    model = network(width=96)
    weight = model.blocks[0].wide.weight.detach()
    bound = (6 / (96 + 192)) ** 0.5
    assert weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.02)  # 18,432 draws
    assert not model.blocks[0].wide.bias.any()
    assert 0.2 < float(model.embed.bias.detach().abs().max()) <= 0.25  # 1 / sqrt(16 pixels)
    assert float(model.class_token.detach().std()) == pytest.approx(0.02, rel=0.3)  # 96 draws
    assert bool((model.norm.weight == 1).all())


@pytest.mark.parametrize("start", ["published", "quick"])
def test_weights_come_from_the_generator_alone(start: str) -> None:
    torch.manual_seed(1)
    first = network(3, start=start).state_dict()
    torch.manual_seed(2)
    second = network(3, start=start).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_patches_are_in_raster_order_inside_and_out() -> None:
    window = torch.arange(64 * 64).float().reshape(1, 64, 64)
    patches = network().patches(window)
    assert patches.shape == (1, 256, 16)
    assert torch.equal(patches[0, 17].reshape(4, 4), window[0, 4:8, 4:8])


def test_the_first_half_of_the_position_code_tells_the_column() -> None:
    code = position_code(16, 32).reshape(16, 16, 32)
    assert torch.equal(code[0, :, :16], code[9, :, :16])
    assert torch.equal(code[:, 0, 16:], code[:, 9, 16:])
    assert torch.equal(code[0, 0, :8], torch.zeros(8))  # sines first
    assert torch.equal(code[0, 0, 8:16], torch.ones(8))
    assert float(code[0, 3, 1]) == pytest.approx(torch.tensor(3 * 1e4 ** (-1 / 8)).sin().item(), abs=1e-6)


def test_kept_patches_are_ascending_apart_and_as_many_as_asked_for() -> None:
    kept = draw_kept(2000, 256, 0.5, torch.Generator().manual_seed(0))
    assert kept.shape == (2000, 128)
    assert bool((kept.diff(dim=1) > 0).all())
    share = torch.bincount(kept.flatten(), minlength=256) / 2000
    assert float((share - 0.5).abs().max()) < 5 * 0.5 / 2000**0.5  # five deviations of a fair coin
    assert draw_kept(1, 4, 0.99).shape == (1, 1)


def test_latents_are_normalised_and_have_no_class_token() -> None:
    latents = network().encode(torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))).detach()
    assert latents.shape == (3, 256, 16)
    assert float(latents.mean(dim=-1).abs().max()) < 1e-5
    assert float((latents.var(dim=-1, unbiased=False) - 1).abs().max()) < 1e-3


@pytest.mark.parametrize("sizes", [{"width": 18}, {"width": 16, "heads": 3}])
def test_widths_that_cannot_be_divided_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple"):
        network(**sizes)
