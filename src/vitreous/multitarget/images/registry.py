"""The images of an experiment, whatever their source."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from vitreous.multitarget.image_settings import GaussianImages, ImagesSettings, MnistImages, ProjectionImages
from vitreous.multitarget.images import gaussian, mnist
from vitreous.multitarget.images.targets import Targets
from vitreous.runtime.device import Runtime


def target_images(settings: ImagesSettings, root: Path, runtime: Runtime) -> Targets:
    """True images, start and what is known of their distribution; paths are relative to `root`."""
    if isinstance(settings, GaussianImages):
        return gaussian.target_images(settings)
    if isinstance(settings, MnistImages):
        return mnist.target_images(settings, root)
    if isinstance(settings, ProjectionImages):
        from vitreous.multitarget.images import projections

        return projections.target_images(settings, root, runtime)
    from vitreous.multitarget.images import stack

    return stack.target_images(settings, root)


def training_images(settings: ImagesSettings, root: Path, runtime: Runtime) -> Tensor:
    """Images `(n, L, L)` float32 that a prior may be trained on; none is a target."""
    if isinstance(settings, GaussianImages):
        return gaussian.training_images(settings, runtime)
    if isinstance(settings, MnistImages):
        return mnist.training_images(settings, root)
    if isinstance(settings, ProjectionImages):
        from vitreous.multitarget.images import projections

        return projections.training_images(settings, root, runtime)
    from vitreous.multitarget.images import stack

    return stack.training_images(settings, root)


def analytic_mean(settings: ImagesSettings) -> Tensor | None:
    """Mean `(L, L)` of the distribution of targets where it is known exactly, else None."""
    return gaussian.analytic_mean(settings) if isinstance(settings, GaussianImages) else None
