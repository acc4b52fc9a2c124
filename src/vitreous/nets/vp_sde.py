"""The variance-preserving SDE (Song et al. 2021, arXiv 2011.13456, eq. 11 and appendix B), times from 0 to 1.

Images at time t are alpha(t) times the clean ones plus noise of standard deviation sigma(t), and
alpha^2 + sigma^2 = 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Song et al. 2021, appendix C: beta rises linearly from 0.1 to 20.
BETA_MIN, BETA_MAX = 0.1, 20.0
EARLIEST = 1e-4  # the public code of paper 001 draws t from U[1e-4, 1]


def beta(time: Tensor) -> Tensor:
    """Rate of the noise at times 0 to 1, any shape."""
    return BETA_MIN + (BETA_MAX - BETA_MIN) * time


def integrated_beta(time: Tensor) -> Tensor:
    """Integral of beta from 0 to times, any shape."""
    return BETA_MIN * time + 0.5 * (BETA_MAX - BETA_MIN) * time**2


def alpha(time: Tensor) -> Tensor:
    """Factor on the clean image at times, any shape."""
    return (-0.5 * integrated_beta(time)).exp()


def sigma(time: Tensor) -> Tensor:
    """Standard deviation of the noise at times, any shape; exact for early times too."""
    return (-torch.expm1(-integrated_beta(time))).sqrt()


def time_of_noise(noise: Tensor) -> Tensor:
    """Times at which sigma / alpha equals `noise`, any shape: beta's integral is ln(1 + noise^2)."""
    integral = torch.log1p(noise**2)
    # the root of BETA_MIN t + (BETA_MAX - BETA_MIN) t^2 / 2 in the form that loses no digits for small noise
    return 2 * integral / (BETA_MIN + (BETA_MIN**2 + 2 * (BETA_MAX - BETA_MIN) * integral).sqrt())
