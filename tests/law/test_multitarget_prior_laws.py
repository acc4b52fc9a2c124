"""Laws of the priors: identities, closed forms, and networks that must learn a distribution known exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vitreous.multitarget.prior_settings import (
    EdmPriorSettings,
    GaussianPriorSettings,
    ImplicitPriorSettings,
    VpPriorSettings,
)
from vitreous.multitarget.prior_training import stored_model, trained_prior
from vitreous.multitarget.priors import edm, implicit
from vitreous.multitarget.priors.gaussian import gaussian_prior
from vitreous.multitarget.priors.implicit import ScoreNetwork
from vitreous.multitarget.priors.vp import VpPrior, VpScore
from vitreous.multitarget.priors.vp_network import VpNetwork
from vitreous.nets import vp_sde
from vitreous.nets.edm import EdmDenoiser, c_in, c_noise, c_out, c_skip, draw_noise_levels, loss_weight
from vitreous.runtime.device import Runtime


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def relative(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


# Implicit score matching


def test_the_closed_trace_is_that_of_the_jacobian() -> None:
    torch.manual_seed(0)
    network, pixels = ScoreNetwork(9, 16).double(), normal(4, 9, dtype=torch.float64)
    trace = network.score_and_trace(pixels)[1]
    for sample, closed in zip(pixels, trace, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda x: network.score(x[None])[0], sample)
        assert float(closed.detach()) == pytest.approx(float(jacobian.trace()), rel=1e-12)


def test_implicit_score_matching_learns_the_score_of_a_normal_distribution() -> None:
    mean = torch.tensor([[4.0, 0.0, 1.0], [2.0, 2.0, 2.0], [4.0, 0.0, 1.0]])
    settings = ImplicitPriorSettings(
        width=64, samples=4000, learning_rate=3e-3
    )  # 0.084; published sizes: slow
    trained = trained_prior(mean + normal(4000, 3, 3), settings, Runtime(seed=1))
    prior = implicit.load(stored_model(trained, settings), settings, Runtime())
    fresh = mean + normal(1000, 3, 3, seed=9)
    assert relative(prior.score(fresh), mean - fresh) <= 0.1  # methods/multitarget.md §8
    # The loss of the exact score is -d / 2 in expectation.
    assert trained.log[-1]["loss"] == pytest.approx(-4.5, abs=0.3)


# EDM (Karras et al. 2022, Table 1)


def test_without_noise_the_image_is_passed_on_and_in_much_noise_the_network_speaks_alone() -> None:
    little, much = torch.tensor(1e-6), torch.tensor(1e6)
    assert float(c_skip(little, 0.3)) == pytest.approx(1)
    assert float(c_out(little, 0.3)) == pytest.approx(1e-6, rel=1e-3)
    assert float(c_skip(much, 0.3)) == pytest.approx(0, abs=1e-9)
    assert float(c_out(much, 0.3)) == pytest.approx(0.3)
    assert float(c_noise(torch.tensor(1.0))) == 0


def test_inputs_and_targets_of_the_network_have_unit_variance_and_unit_weight() -> None:
    level, data = torch.tensor([0.02, 0.3, 5.0], dtype=torch.float64), 0.31
    one = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(c_in(level, data) ** 2 * (level**2 + data**2), one)
    left = (1 - c_skip(level, data)) ** 2 * data**2 + c_skip(level, data) ** 2 * level**2
    torch.testing.assert_close(left / c_out(level, data) ** 2, one)
    torch.testing.assert_close(loss_weight(level, data) * c_out(level, data) ** 2, one)


class Silent(nn.Module):
    """A network that says nothing."""

    def forward(self, images: Tensor, value: Tensor) -> Tensor:
        return torch.zeros_like(images)


def test_a_silent_network_is_the_best_linear_denoiser_and_loses_one() -> None:
    denoiser, clean = EdmDenoiser(Silent(), 0.5, 2.0), 2 + 0.5 * normal(400, 8, 8)
    noise = normal(400, 8, 8, seed=1)
    for level in (0.1, 1.0):
        levels = torch.full((400,), level)
        assert float(denoiser(clean, levels, noise)) == pytest.approx(1, abs=0.03)  # 25,600 pixels
    exact = gaussian_prior(GaussianPriorSettings(std=0.5), torch.full((8, 8), 2.0))
    noisy = clean + noise
    torch.testing.assert_close(denoiser.denoise(noisy, 1.0), exact.denoise(noisy, 1.0))


def test_noise_levels_are_log_normal() -> None:
    logs = draw_noise_levels(20_000, -1.2, 1.2, torch.Generator().manual_seed(0)).log()
    assert float(logs.mean()) == pytest.approx(-1.2, abs=0.03)
    assert float(logs.std()) == pytest.approx(1.2, abs=0.03)


def test_the_denoiser_of_normal_images_approaches_the_exact_one() -> None:
    mean = torch.linspace(-1, 1, 8).expand(8, 8)
    settings = EdmPriorSettings.model_validate(
        {
            "network": {"widths": [16, 16]},
            "training": {"epochs": 8, "epoch_images": 1024, "learning_rate": 5e-3, "shift_px": 0},
        }
    )
    trained = trained_prior(mean + 0.3 * normal(2048, 8, 8), settings, Runtime(seed=2))
    prior = edm.load(stored_model(trained, settings), settings, Runtime())
    exact = gaussian_prior(GaussianPriorSettings(std=0.3), mean)
    clean = mean + 0.3 * normal(200, 8, 8, seed=5)
    for level, most in ((0.1, 0.02), (0.3, 0.05), (1.0, 0.12)):
        noisy = clean + level * normal(200, 8, 8, seed=6)
        found, best = prior.denoise(noisy, level), exact.denoise(noisy, level)
        assert relative(found, best) < most  # untrained 0.08, 0.4, 0.9
        assert relative(found, clean) < 1.1 * relative(best, clean) + 0.01


# The variance-preserving SDE (Song et al. 2021)


def test_variance_is_preserved_and_the_published_query_is_at_noise_0447() -> None:
    times = torch.linspace(1e-4, 1, 50, dtype=torch.float64)
    one = torch.ones(50, dtype=torch.float64)
    torch.testing.assert_close(vp_sde.alpha(times) ** 2 + vp_sde.sigma(times) ** 2, one)
    query = torch.tensor(0.01, dtype=torch.float64)
    assert float(vp_sde.integrated_beta(query)) == pytest.approx(0.001995)
    assert float(vp_sde.alpha(query)) == pytest.approx(0.99900, abs=1e-5)
    assert float(vp_sde.sigma(query)) == pytest.approx(0.0446, abs=1e-4)


def test_beta_is_the_derivative_of_its_integral() -> None:
    times = torch.linspace(0, 1, 5, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(vp_sde.integrated_beta(times).sum(), times)[0]
    torch.testing.assert_close(slope, vp_sde.beta(times.detach()))
    assert float(vp_sde.beta(torch.tensor(0.0))) == pytest.approx(0.1)
    assert float(vp_sde.beta(torch.tensor(1.0))) == pytest.approx(20)


def test_the_time_of_a_noise_is_when_the_sde_has_it() -> None:
    noise = torch.tensor([1e-4, 0.0447, 0.3, 1.0, 100.0], dtype=torch.float64)
    times = vp_sde.time_of_noise(noise)
    torch.testing.assert_close(vp_sde.sigma(times) / vp_sde.alpha(times), noise)
    assert float(times[1]) == pytest.approx(0.01, rel=1e-3)


class ExactScore(nn.Module):
    """The score of N(mean, I) on its way through the SDE: alpha mean - x, the variance stays 1."""

    def __init__(self, mean: Tensor) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, images: Tensor, times: Tensor) -> Tensor:
        return vp_sde.alpha(times)[:, None, None] * self.mean - images


def test_the_sde_with_the_exact_score_is_the_exact_denoiser() -> None:
    mean, images = normal(5, 5), normal(7, 5, 5, seed=1)
    noise = torch.tensor([0.01, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0])
    seen = torch.empty(0, dtype=torch.int64)
    prior = VpPrior(5, mean, 1.0, seen, VpScore(ExactScore(mean), scaled=False), 0.01)
    exact = gaussian_prior(GaussianPriorSettings(), mean)
    torch.testing.assert_close(
        prior.denoise(images, noise), exact.denoise(images, noise), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(prior.score(images), exact.score(images), rtol=0, atol=3e-3)  # alpha .9990


def test_both_parametrisations_give_one_score() -> None:
    images, times = normal(2, 4, 4), torch.tensor([0.1, 0.6])
    plain = VpScore(ExactScore(torch.zeros(4, 4)), scaled=False).score(images, times)

    class Noise(nn.Module):
        def forward(self, images: Tensor, times: Tensor) -> Tensor:
            return vp_sde.sigma(times)[:, None, None] * images

    torch.testing.assert_close(VpScore(Noise(), scaled=True).score(images, times), plain)


def test_the_exact_score_loses_what_the_clean_image_cannot_tell() -> None:
    # E (sigma s + noise)^2 = alpha^2 for N(0, I): s = -x, sigma s + noise = -sigma alpha x0 + alpha^2 noise.
    clean, noise = normal(500, 8, 8), normal(500, 8, 8, seed=1)
    times = torch.full((500,), 0.3)
    loss = VpScore(ExactScore(torch.zeros(8, 8)), scaled=False)(clean, times, noise)
    expected = float(vp_sde.alpha(torch.tensor(0.3))) ** 2
    assert float(loss) == pytest.approx(expected, rel=0.03)


def test_the_published_network_has_the_published_sizes() -> None:
    network, sizes = VpNetwork(VpPriorSettings(preset="paper").widths), []
    for part in [network.first, *network.down, *network.up, network.last]:
        part.register_forward_hook(lambda _, __, out: sizes.append(out.shape[-1]))
    assert network(normal(2, 28, 28), torch.tensor([0.01, 1.0])).shape == (2, 28, 28)
    assert sizes == [28, 14, 7, 4, 2, 4, 7, 14, 28, 28]
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters() if "weight" in name}
    assert list(shapes.values()) == [
        (32, 2, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (256, 256, 3, 3),
        (256, 256, 3, 3), (512, 128, 3, 3), (256, 64, 3, 3), (128, 32, 3, 3), (1, 32, 3, 3),
    ]  # fmt: skip


# The exact prior


def test_the_exact_score_is_the_gradient_of_the_log_density() -> None:
    mean, images = normal(4, 4), normal(3, 4, 4, seed=2, dtype=torch.float64).requires_grad_()
    density = -((images - mean) ** 2).sum() / (2 * 0.7**2)
    exact = gaussian_prior(GaussianPriorSettings(std=0.7), mean)
    torch.testing.assert_close(exact.score(images), torch.autograd.grad(density, images)[0])


def test_the_denoiser_of_the_exact_prior_obeys_tweedie() -> None:
    mean, images, noise = normal(4, 4), normal(3, 4, 4, seed=2, dtype=torch.float64), 0.6
    exact = gaussian_prior(GaussianPriorSettings(std=0.7), mean)
    blurred = gaussian_prior(GaussianPriorSettings(std=math.hypot(0.7, noise)), mean)
    torch.testing.assert_close(exact.denoise(images, noise), images + noise**2 * blurred.score(images))
