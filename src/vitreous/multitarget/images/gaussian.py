"""Gaussian targets of the paper: independent pixels about a mean of small integers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.multitarget.image_settings import GaussianImages
from vitreous.multitarget.images.targets import Targets
from vitreous.runtime.device import Runtime


def target_images(settings: GaussianImages) -> Targets:
    """Targets `(t, L, L)` from N(mean, I), the start `(L, L)` uniform on [0, 1), and the mean `(L, L)`.

    Drawn from NumPy's legacy generator in the order of the public code: mean, start, targets
    (methods/multitarget.md §2).
    """
    shape = (settings.size, settings.size)
    mean, legacy = _mean(settings)
    start = legacy.random_sample(settings.size**2)
    # Not mean + standard_normal: the legacy routine takes an SVD of the identity, with signs of its own.
    drawn = legacy.multivariate_normal(mean, np.eye(settings.size**2), settings.targets)
    return Targets(
        images=torch.from_numpy(drawn.astype(np.float32)).reshape(-1, *shape),
        names=[f"gaussian-{index}" for index in range(settings.targets)],
        start=torch.from_numpy(start.astype(np.float32)).reshape(shape),
        mean=analytic_mean(settings),
    )


def training_images(settings: GaussianImages, runtime: Runtime) -> Tensor:
    """Samples `(n, L, L)` float32 from N(mean, I), from the run's seed and never from the targets'."""
    mean = analytic_mean(settings)
    generator = runtime.generator("multitarget", "gaussian training", settings.seed)
    return mean + torch.randn(settings.samples, *mean.shape, generator=generator)


def analytic_mean(settings: GaussianImages) -> Tensor:
    """Mean `(L, L)` float32 of the distribution that targets and training images come from."""
    mean = _mean(settings)[0].astype(np.float32)
    return torch.from_numpy(mean).reshape(settings.size, settings.size)


def _mean(settings: GaussianImages) -> tuple[NDArray[np.int64], np.random.RandomState]:
    """Mean `(L²,)`, integers of {0…4}, and the generator that stands behind it."""
    legacy = np.random.RandomState(settings.seed)
    return legacy.randint(0, 5, size=settings.size**2), legacy
