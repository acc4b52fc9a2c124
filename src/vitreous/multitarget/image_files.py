"""Which files images come from, how many there are and how large; without torch, for the Snakefile."""

from __future__ import annotations

from pathlib import Path

from vitreous.multitarget.image_settings import (
    GaussianImages,
    ImagesSettings,
    MnistImages,
    ProjectionImages,
    StackImages,
)

DIGIT = 28
USUAL = (64, 10)  # side and number of images of a stack that is not there yet


def image_files(settings: ImagesSettings, root: Path) -> list[Path]:
    """The files of a set of images that are there now; those that are missing the stage names itself."""
    return sorted({path for pattern in _patterns(settings) for path in _found(root, pattern)})


def image_side(settings: ImagesSettings) -> int:
    """Side of an image in px, as far as the settings say; a usual one for stacks."""
    if isinstance(settings, GaussianImages):
        return settings.size
    if isinstance(settings, ProjectionImages):
        return settings.box
    return DIGIT if isinstance(settings, MnistImages) else USUAL[0]


def target_count(settings: ImagesSettings) -> int:
    """Number of targets, as far as the settings say; a usual one for stacks."""
    if isinstance(settings, GaussianImages):
        return settings.targets
    if isinstance(settings, ProjectionImages):
        return settings.count * len(settings.maps)
    if isinstance(settings, MnistImages) and not isinstance(settings.targets, str):
        return len(settings.targets)
    return settings.count or USUAL[1]


def _patterns(settings: ImagesSettings) -> list[str]:
    if isinstance(settings, MnistImages):
        names = (settings.train_images, settings.train_labels, settings.test_images, settings.test_labels)
        return [f"{settings.folder}/{name}{end}" for name in names for end in ("", ".gz")]
    if isinstance(settings, ProjectionImages):
        return [*settings.maps, *settings.models]
    if isinstance(settings, StackImages):
        return [settings.targets, *([settings.training] if settings.training else [])]
    return []


def _found(root: Path, pattern: str) -> list[Path]:
    if not any(sign in pattern for sign in "*?["):
        return [root / pattern] if (root / pattern).is_file() else []
    place = Path(pattern)
    folder = Path(place.anchor) if place.is_absolute() else root
    return [path for path in folder.glob(str(place.relative_to(place.anchor))) if path.is_file()]
