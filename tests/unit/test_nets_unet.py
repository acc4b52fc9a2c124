from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitreous.nets.unet import Condition, ResidualBlock, UNet


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network(**more: object) -> UNet:
    """A small network whose last layer, which starts at zero, is drawn too."""
    torch.manual_seed(0)
    net = UNet((8, 16, 16), **more)  # type: ignore[arg-type]
    for parameter in net.parameters():
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (28, 28), (7, 13), (30, 33)])
def test_an_image_of_any_size_keeps_its_size(size: tuple[int, int]) -> None:
    assert network()(images(2, 1, *size), torch.zeros(2)).shape == (2, 1, *size)


def test_channels_are_as_asked_for() -> None:
    net = network(channels=3, channels_out=2)
    assert net(images(2, 3, 8, 8), torch.zeros(2)).shape == (2, 2, 8, 8)


def test_a_fresh_network_gives_zero() -> None:
    torch.manual_seed(0)
    assert not UNet((8, 16))(images(2, 1, 8, 8), torch.ones(2)).any()


def test_a_width_that_cannot_be_grouped_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        UNet((8, 12))


def test_the_number_told_changes_the_picture() -> None:
    net, picture = network(), images(1, 1, 8, 8)
    low, high = net(picture, torch.tensor([-1.0])), net(picture, torch.tensor([0.5]))
    assert float((low - high).detach().abs().max()) > 1e-3


def test_images_of_a_batch_do_not_see_each_other() -> None:
    net, batch, value = network(), images(3, 1, 12, 12), torch.tensor([-1.0, 0.0, 0.5])
    alone = torch.cat([net(batch[k : k + 1], value[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(net(batch, value), alone, rtol=1e-4, atol=1e-5)  # float32 sums


def test_what_is_filled_in_leaves_whole_sizes_alone() -> None:
    net, picture = network(), images(1, 1, 6, 7)
    filled = torch.nn.functional.pad(picture, (0, 1, 0, 2), mode="replicate")
    whole = net(filled, torch.zeros(1))
    torch.testing.assert_close(net(picture, torch.zeros(1)), whole[..., :6, :7])


def test_every_weight_gets_a_gradient() -> None:
    net = network()
    net(images(2, 1, 8, 8), torch.tensor([0.1, 0.7])).square().sum().backward()
    assert all(bool(parameter.grad.any()) for parameter in net.parameters() if parameter.grad is not None)
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_residual_block_starts_as_its_shortcut() -> None:
    block = ResidualBlock(8, 16, 4)
    features = images(1, 8, 4, 4)
    assert torch.equal(block(features, images(1, 4)), block.shortcut(features))


def test_close_numbers_have_close_vectors_and_far_ones_do_not() -> None:
    torch.manual_seed(0)
    told = Condition(16)(torch.tensor([0.0, 0.001, 1.0]))
    near, far = ((told[0] - told[k]).detach().norm() for k in (1, 2))
    assert float(near) < 0.1 * float(far)
