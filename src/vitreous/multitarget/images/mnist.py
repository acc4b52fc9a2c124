"""Targets and training images from MNIST, kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.errors import InputError, SettingsError
from vitreous.io.idx import read_idx_images, read_idx_labels
from vitreous.multitarget.image_settings import HELD_OUT, MnistImages
from vitreous.multitarget.images.targets import Targets

PUBLISHED_SEED, PUBLISHED_COUNT, PUBLISHED_FILE = 1337, 10, 60_000


@dataclass(frozen=True)
class _File:
    """One of the two halves of MNIST: `images` (n, h, w) and `labels` (n,) as bytes."""

    name: Literal["train", "test"]
    path: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]


def target_images(settings: MnistImages, root: Path) -> Targets:
    """The chosen digits `(t, 28, 28)`, 0 to 1, named by digit, file and index; start: mean of ten digits.

    Raises InputError for files that do not fit and SettingsError for indices beyond them.
    """
    train = _read(settings, root, "train")
    file, chosen = _chosen(settings, root, train)
    names = [f"digit-{file.labels[index]}-{file.name}-{index}" for index in chosen]
    start = train.images[published_indices(len(train.images))[0]].mean(0, dtype=np.float64) / 255
    start = torch.from_numpy(start.astype(np.float32))
    return Targets(images=_floats(file.images[chosen]), names=names, start=start)


def training_images(settings: MnistImages, root: Path) -> Tensor:
    """All training images `(n, 28, 28)`, 0 to 1, but those that `kept_back` names."""
    train = _read(settings, root, "train")
    file, chosen = _chosen(settings, root, train)
    keep = np.ones(len(train.images), dtype=bool)
    keep[kept_back(settings, train.images, file.images[chosen])] = False
    return _floats(train.images[keep])


def published_indices(count: int = PUBLISHED_FILE) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (10,) of the start images and (10,) of the targets among `count` training images.

    The order of the public code: legacy generator, seed 1337, ten for the start, ten for the targets.
    """
    legacy = np.random.RandomState(PUBLISHED_SEED)
    start = legacy.randint(0, count, size=PUBLISHED_COUNT)
    return start, legacy.randint(0, count, size=PUBLISHED_COUNT)


def kept_back(
    settings: MnistImages, train: NDArray[np.uint8], targets: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Indices, ascending, of the training images `(n, h, w)` that no prior may see.

    The published start images and targets, the first 1000, indices given by hand, and exact copies of
    `targets` (t, h, w) or of the published targets.
    """
    start, published = published_indices(len(train))
    listed = [] if isinstance(settings.targets, str) else settings.targets
    secret = {image.tobytes() for image in (*targets, *train[published])}
    copies = [index for index, image in enumerate(train) if image.tobytes() in secret]
    return np.unique([*range(HELD_OUT), *start, *published, *listed, *copies])


def _chosen(settings: MnistImages, root: Path, train: _File) -> tuple[_File, NDArray[np.int64]]:
    """The file that the targets come from and their indices (t,) in it."""
    wanted, count = settings.targets, settings.count or PUBLISHED_COUNT
    if wanted == "published":
        return train, published_indices(len(train.images))[1]
    if wanted == "held-out":
        return train, _within(train, np.arange(settings.first, settings.first + count))
    if not isinstance(wanted, str):
        return train, _within(train, np.asarray(wanted))
    test = _read(settings, root, "test")
    if wanted == "test":
        return test, _within(test, np.arange(settings.first, settings.first + count))
    return test, _one_of_each(test, settings.first)


def _one_of_each(file: _File, first: int) -> NDArray[np.int64]:
    """Index (10,) of the first image of each digit 0 to 9 from index `first` on."""
    digits, places = np.unique(file.labels[first:], return_index=True)
    if not np.array_equal(digits, np.arange(10)):
        raise SettingsError("not all ten digits from there on", file=file.path, place=f"from index {first}",
                            found=digits.tolist(), expected="0 to 9", todo="lower `first`")  # fmt: skip
    return places + first


def _within(file: _File, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices, refused where one lies outside the file or stands twice."""
    count = len(file.images)
    if indices.min() < 0 or indices.max() >= count or len(np.unique(indices)) < len(indices):
        raise SettingsError("targets that are not in the file, or twice", file=file.path,
                            found=f"{indices.min()} to {indices.max()}", expected=f"0 to {count - 1}, once",
                            todo="correct `targets`, `first` or `count`")  # fmt: skip
    return indices


def _read(settings: MnistImages, root: Path, name: Literal["train", "test"]) -> _File:
    """Images and labels of one half; InputError where their numbers differ or too few are there."""
    folder = root / settings.folder
    path = _found(folder, settings.train_images if name == "train" else settings.test_images)
    images = read_idx_images(path)
    labels_path = _found(folder, settings.train_labels if name == "train" else settings.test_labels)
    labels = read_idx_labels(labels_path)
    if len(labels) != len(images):
        raise InputError("labels of other images", file=labels_path, found=f"{len(labels)} labels",
                         expected=f"{len(images)}, as {path.name} has images")  # fmt: skip
    if images.shape[1] != images.shape[2]:
        raise InputError("images are not square", file=path, found=images.shape[1:], expected="(L, L)")
    if name == "train" and len(images) <= HELD_OUT:
        raise InputError("too few images to train on", file=path, found=len(images),
                         expected=f"more than the {HELD_OUT} held out")  # fmt: skip
    return _File(name, path, images, labels)


def _found(folder: Path, name: str) -> Path:
    """The file of that name, or with .gz at its end; the plain one where both are there."""
    plain, packed = folder / name, folder / f"{name}.gz"
    return packed if packed.is_file() and not plain.is_file() else plain


def _floats(images: NDArray[np.uint8]) -> Tensor:
    """Bytes to float32 of 0 to 1."""
    return torch.from_numpy(images.astype(np.float32) / np.float32(255))
