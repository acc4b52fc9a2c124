"""The user's own images, from MRC stacks, as they are."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from vitreous.errors import InputError, SettingsError
from vitreous.io.mrc import Stack, open_stack
from vitreous.multitarget.image_settings import StackImages
from vitreous.multitarget.images.targets import Targets, radial_mean


def target_images(settings: StackImages, root: Path) -> Targets:
    """Targets `(t, L, L)` from the stack; start: the mean training image, averaged over rings.

    Without a training stack the start is the mean of the targets, averaged over rings.
    """
    stack = _open(root / settings.targets)
    end = len(stack) if settings.count is None else settings.first + settings.count
    if not settings.first < end <= len(stack):
        raise SettingsError("targets that are not in the stack", file=stack.header.path,
                            found=f"images {settings.first} to {end - 1}", expected=f"0 to {len(stack) - 1}",
                            todo="correct `first` or `count`")  # fmt: skip
    images = torch.tensor(stack[settings.first : end])
    names = [f"{Path(settings.targets).stem}-{index}" for index in range(settings.first, end)]
    # ASSUME: the mean over all targets and all angles tells a single target no more than its size.
    seen = images if settings.training is None else training_images(settings, root)
    if seen.shape[1:] != images.shape[1:]:
        raise InputError("training images of another size", file=root / str(settings.training),
                         found=tuple(seen.shape[1:]), expected=tuple(images.shape[1:]))  # fmt: skip
    return Targets(images, names, radial_mean(seen), stack.pixel_size_A)


def training_images(settings: StackImages, root: Path) -> Tensor:
    """All images `(n, L, L)` of the training stack; SettingsError where none is named."""
    if settings.training is None:
        raise SettingsError("no training images", place="images", found="training: none",
                            expected="an MRC stack", todo="name one, or choose no learned prior")  # fmt: skip
    return torch.tensor(_open(root / settings.training)[:])


def _open(path: Path) -> Stack:
    """The stack, refused where its images are not square."""
    stack = open_stack(path)
    if stack.shape[1] != stack.shape[2]:
        raise InputError("images are not square", file=path, found=stack.shape[1:], expected="(L, L)")
    return stack
