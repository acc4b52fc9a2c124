"""Names of point groups, and what symmetry does to a volume."""

from __future__ import annotations

import pytest
import torch

from vitreous.errors import InputError
from vitreous.physics.symmetry import parse, symmetrise


@pytest.mark.parametrize(
    ("text", "name", "order"),
    [("c8", "C8", 8), (" D2 ", "D2", 4), ("I", "I2", 60), ("o", "O", 24), ("i3", "I3", 60), ("C1", "C1", 1)],
)
def test_names_are_read_in_either_case(text: str, name: str, order: int):
    group = parse(text)
    assert (group.name, group.order) == (name, order)
    assert torch.equal(group.matrices[0], torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("text", ["", "C", "C0", "D0", "X9", "C-3", "I5", "T2", "O1", "C4v", "C2.5", "Oh"])
def test_nonsense_is_refused_with_what_was_found(text: str):
    with pytest.raises(InputError, match="no such point group.*expected C<n>"):
        parse(text)


def test_the_main_axis_is_z_and_the_second_of_d_is_x():
    fold4 = parse("C4").matrices
    assert torch.allclose(fold4[:, 2, 2], torch.ones(4, dtype=torch.float64))
    half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    assert (parse("D5").matrices - half_turn).abs().amax((-2, -1)).min() < 1e-12


def test_o_permutes_the_axes():
    matrices = parse("O").matrices
    assert torch.allclose(matrices.abs().round(), matrices.abs(), atol=1e-12)


def _blob(x: float, y: float, z: float, n: int = 24) -> torch.Tensor:
    axis = torch.arange(n, dtype=torch.float64) - n // 2
    square = (axis - x)[None, None, :] ** 2 + (axis - y)[None, :, None] ** 2 + (axis - z)[:, None, None] ** 2
    return torch.exp(-square / 4.5)


def test_symmetrising_one_blob_gives_one_at_every_equivalent_place():
    volume = symmetrise(_blob(5, 1, 2), parse("D3"))
    places = parse("D3").matrices @ torch.tensor([5.0, 1.0, 2.0], dtype=torch.float64)
    expected = sum(_blob(*place.tolist()) for place in places) / 6
    # Trilinear reading leaves copies of a blob, (r / padded side)^2 = 1.3 % at r = 5.5 of 48, which add up.
    assert (volume - expected).abs().max() < 0.03 * float(expected.max())
    product = (volume * expected).sum() / (volume.norm() * expected.norm())
    assert product > 0.9995


def test_symmetrising_twice_changes_nothing_more():
    group = parse("C3")
    once = symmetrise(_blob(4, 2, 0), group)
    assert (symmetrise(once, group) - once).abs().max() < 0.02 * float(once.max())


@pytest.mark.parametrize("name", ["D2", "C4", "O"])
def test_symmetry_along_the_axes_is_exact(name: str):
    volume = _blob(4, 1, 2, n=16) + _blob(-1, 3, 0, n=16)
    once = symmetrise(volume, parse(name))
    assert torch.allclose(symmetrise(once, parse(name)), once, atol=1e-15)
    for matrix in parse(name).matrices:
        place = (matrix @ torch.tensor([4.0, 1.0, 2.0], dtype=torch.float64)).round().long() + 8
        assert torch.isclose(once[tuple(place.flip(0))], once[10, 9, 12], atol=1e-12)


def test_c1_leaves_a_volume_alone():
    volume = _blob(3, 0, 0)
    assert torch.equal(symmetrise(volume, parse("C1")), volume)
