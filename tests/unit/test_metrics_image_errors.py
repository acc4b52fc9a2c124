"""Errors of images up to turns and shifts: planted ones are found, and FFT equals trying them all."""

import pytest
import torch
from torch.nn.functional import pad

from vitreous.errors import InputError
from vitreous.metrics.image_errors import aligned_error, aligned_frc, apply_alignment, rotation_error


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def moved(image, x, y):
    """The image (L, L) moved by whole pixels, zeros behind it, one pixel at a time."""
    result = torch.zeros_like(image)
    side = len(image)
    for row in range(side):
        for column in range(side):
            if 0 <= row - y < side and 0 <= column - x < side:
                result[row, column] = image[row - y, column - x]
    return result


def test_a_planted_turn_has_no_rotation_error():
    truth = noise(3, 5, 5)
    turned = torch.stack([torch.rot90(image, k) for k, image in zip((1, 2, 3), truth, strict=True)])
    assert rotation_error(turned, truth).max() == 0
    assert rotation_error(turned, truth, rotations=1).min() > 0.5


def test_rotation_error_is_relative_to_the_truth():
    truth = noise(5, 5)
    torch.testing.assert_close(rotation_error(1.25 * truth[None], truth), torch.tensor([0.25]).double())


@pytest.mark.parametrize("side, reach", [(6, 2), (7, 6), (5, 6), (5, 0)])
def test_alignment_by_fft_equals_trying_every_turn_and_shift(side, reach):
    estimates, truth = noise(3, side, side, seed=1), noise(3, side, side, seed=2)
    found = aligned_error(estimates, truth, max_shift_px=reach)
    steps = range(-reach, reach + 1)
    for index, (estimate, image) in enumerate(zip(estimates.double(), truth.double(), strict=True)):
        tried = {
            (k, x, y): float((moved(torch.rot90(estimate, k), x, y) - image).norm() / image.norm())
            for k in range(4)
            for x in steps
            for y in steps
        }
        best = min(tried, key=tried.__getitem__)
        assert (int(found.rotation[index]), *found.shift_px[index].tolist()) == best
        assert float(found.error[index]) == pytest.approx(tried[best], abs=1e-12)


def test_alignment_finds_a_planted_turn_and_shift():
    truth = pad(noise(12, 12), (8, 8, 8, 8))
    # turned by a quarter and moved: to bring it home the turn is undone first, then the shift
    planted = torch.rot90(moved(truth, 5, -3))[None]
    found = aligned_error(planted, truth)
    assert found.rotation.tolist() == [3] and found.shift_px.tolist() == [[-5, 3]]
    assert float(found.error) == 0
    assert torch.equal(apply_alignment(planted, found.rotation, found.shift_px)[0], truth)


def test_alignment_never_makes_the_error_larger():
    estimates, truth = noise(4, 9, 9, seed=3), noise(9, 9, seed=4)
    assert (aligned_error(estimates, truth).error <= rotation_error(estimates, truth) + 1e-12).all()


def test_other_rotations_come_from_an_operator():
    def halves(images):
        return torch.stack([images, torch.rot90(images, 2, (-2, -1))], dim=1)

    estimates, truth = noise(2, 6, 6), noise(6, 6, seed=1)
    with_operator = aligned_error(estimates, truth, 2, turned=halves)
    torch.testing.assert_close(with_operator.error, aligned_error(estimates, truth, 2).error)
    with pytest.raises(InputError, match="only quarter turns"):
        rotation_error(estimates, truth, rotations=6)
    with pytest.raises(InputError, match="other images"):
        rotation_error(estimates, truth, rotations=6, turned=halves)


def test_frc_is_one_after_alignment_and_falls_where_the_noise_begins():
    truth = pad(noise(12, 12), (8, 8, 8, 8))
    curves, shells = aligned_frc(torch.rot90(moved(truth, 2, 4))[None], truth)
    torch.testing.assert_close(curves, torch.ones_like(curves))
    assert shells.tolist() == [14.0]
    spectrum = torch.fft.rfft2(truth)
    ky, kx = torch.fft.fftfreq(28, 1 / 28)[:, None], torch.arange(15)
    spectrum = torch.where((ky**2 + kx**2).sqrt().round() > 6, -spectrum, spectrum)
    _, shells = aligned_frc(torch.fft.irfft2(spectrum, s=(28, 28))[None], truth, 1, max_shift_px=0)
    assert float(shells) == pytest.approx(6.25)  # from 1 at shell 6 to -1 at shell 7


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="do not fit together"):
        rotation_error(noise(2, 5, 5), noise(6, 6))
    with pytest.raises(InputError, match="not 0 everywhere"):
        rotation_error(noise(2, 5, 5), torch.zeros(5, 5))
    with pytest.raises(InputError, match="max_shift_px"):
        aligned_error(noise(2, 5, 5), noise(5, 5), max_shift_px=-1)
