"""Target images: the published ones to the digit, training images that are none of them, class averages."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from tests.shared import shared
from vitreous.errors import InputError, SettingsError
from vitreous.io.mrc import write_stack, write_volume
from vitreous.metrics.image_errors import rotation_error
from vitreous.multitarget.image_settings import (
    GaussianImages,
    ImagesSettings,
    MnistImages,
    ProjectionImages,
    StackImages,
)
from vitreous.multitarget.images import mnist
from vitreous.multitarget.images.molecules import at_pixel_size, molecule_of_atoms, molecule_of_map
from vitreous.multitarget.images.projections import even_rotations, largest_px, training_files
from vitreous.multitarget.images.registry import analytic_mean, target_images, training_images
from vitreous.multitarget.images.targets import radial_mean
from vitreous.runtime.device import Runtime

NOWHERE = Path("nowhere")
RUNTIME = Runtime()
# methods/multitarget.md §2, from the public code of arXiv 2312.08500.
MEAN = "4 0 1 2 2 2 4 0 1 2 0 1 3 2 2 1 0 3 1 4 3 1 3 3 1"
START = [3223, 57533, 33628, 9448, 19623, 21977, 51879, 22874, 6002, 28754]
TARGETS = [25684, 47176, 45321, 20870, 47542, 19802, 48151, 15000, 40065, 4891]


def write_idx(folder, name, array, magic):
    header = struct.pack(f">I{array.ndim}I", magic, *array.shape)
    (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 1))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """1300 + 40 random images, 6 × 6, as MNIST; training images 1100 and 1200 are copies of test image 3."""
    root = tmp_path_factory.mktemp("mnist")
    rng = np.random.default_rng(0)
    for name, count in (("train", 1300), ("t10k", 40)):
        images = rng.integers(0, 256, (count, 6, 6))
        if name == "train":
            train = images
        else:
            train[[1100, 1200]] = images[3]
        write_idx(root, f"{name}-labels-idx1-ubyte", np.arange(count) % 10, 2049)
        write_idx(root, f"{name}-images-idx3-ubyte", images, 2051)
    write_idx(root, "train-images-idx3-ubyte", train, 2051)
    return root


def settings_of(digits, **keys):
    return MnistImages(folder=".", **keys)


def test_gaussian_mean_and_errors_are_the_published_ones():
    found = target_images(GaussianImages(), NOWHERE, RUNTIME)
    assert found.images.shape == (10, 5, 5) and found.images.dtype == torch.float32
    assert found.mean.int().flatten().tolist() == [int(number) for number in MEAN.split()]
    assert float(found.images.square().mean()) == pytest.approx(6.12, abs=0.005)
    start = rotation_error(found.start.expand(10, 5, 5), found.images)
    mean = rotation_error(found.mean.expand(10, 5, 5), found.images)
    assert float(start.mean()) == pytest.approx(0.843, abs=0.001)
    assert float(mean.mean()) == pytest.approx(0.390, abs=0.001)


def test_gaussian_training_images_follow_the_run_and_not_the_targets():
    settings = GaussianImages(samples=4000)
    images = training_images(settings, NOWHERE, RUNTIME)
    assert images.shape == (4000, 5, 5)
    torch.testing.assert_close(images.mean(0), analytic_mean(settings), atol=0.08, rtol=0)  # 5 sd
    assert torch.equal(images, training_images(settings, NOWHERE, RUNTIME))
    assert not torch.equal(images, training_images(settings, NOWHERE, Runtime(seed=1)))


def test_published_indices_are_those_of_the_public_code():
    start, targets = mnist.published_indices()
    assert start.tolist() == START and targets.tolist() == TARGETS


def test_published_digits_and_training_set_of_mnist():
    shared("data/mnist/train-images-idx3-ubyte.gz")
    root, settings = shared("data"), MnistImages(folder="mnist")
    found = target_images(settings, root, RUNTIME)
    assert [name.split("-")[1] for name in found.names] == list("6831127593")
    assert found.names[0] == "digit-6-train-25684"
    errors = rotation_error(found.start.expand(10, 28, 28), found.images)
    assert float(errors.min()) == pytest.approx(0.62, abs=0.005)
    assert float(errors.max()) == pytest.approx(0.95, abs=0.005)
    training = training_images(settings, root, RUNTIME)
    assert training.shape == (58_980, 28, 28) and float(training.max()) == 1
    assert float(training.mean()) == pytest.approx(0.131, abs=0.001)
    assert not any(bool((training == image).all((1, 2)).any()) for image in found.images)


def test_digits_are_one_of_each_from_the_test_file(digits):
    found = target_images(settings_of(digits, targets="digits", first=7), digits, RUNTIME)
    expected = [10, 11, 12, 13, 14, 15, 16, 7, 8, 9]
    assert found.names == [f"digit-{d}-test-{index}" for d, index in enumerate(expected)]
    with pytest.raises(SettingsError, match="not all ten digits"):
        target_images(settings_of(digits, targets="digits", first=35), digits, RUNTIME)


@pytest.mark.parametrize("keys", [
    {"targets": "published"}, {"targets": "test", "first": 2, "count": 4}, {"targets": "digits"},
    {"targets": "held-out", "first": 990}, {"targets": (1299, 1100, 5)},
])  # fmt: skip
def test_training_images_are_none_of_the_targets(digits, keys):
    settings = settings_of(digits, **keys)
    found, training = target_images(settings, digits, RUNTIME), training_images(settings, digits, RUNTIME)
    known = {image.numpy().tobytes() for image in training}
    assert not any(image.numpy().tobytes() in known for image in found.images)


def test_what_is_kept_back_is_counted_copies_included(digits):
    start, published = mnist.published_indices(1300)
    always = {*range(1000), *start.tolist(), *published.tolist()}
    for targets, more in (("published", set()), ("digits", {1100, 1200}), ((1050,), {1050})):
        images = training_images(settings_of(digits, targets=targets), digits, RUNTIME)
        assert len(images) == 1300 - len(always | more)


def test_indices_beyond_the_file_are_refused(digits):
    for keys in ({"targets": (1300,)}, {"targets": (4, 4)}, {"targets": "test", "first": 35}):
        with pytest.raises(SettingsError, match="not in the file, or twice"):
            target_images(settings_of(digits, **keys), digits, RUNTIME)
    with pytest.raises(InputError, match="file not found"):
        target_images(MnistImages(folder="elsewhere"), digits, RUNTIME)


def test_settings_that_make_no_sense_are_refused():
    read = TypeAdapter(ImagesSettings).validate_python
    assert read({"source": "mnist", "folder": "m", "targets": [3, 4]}).targets == (3, 4)
    for keys in ({"targets": "published", "count": 3}, {"targets": [3], "first": 1}, {"targets": []},
                 {"targets": "held-out", "first": 995}, {"targets": "all"}, {"colour": "red"}):  # fmt: skip
        with pytest.raises(ValidationError):
            read({"source": "mnist", "folder": "m", **keys})


def test_a_stack_is_taken_as_it_is(tmp_path):
    images = np.random.default_rng(1).standard_normal((5, 8, 8)).astype(np.float32)
    write_stack(tmp_path / "own.mrcs", images, 2.5)
    found = target_images(StackImages(targets="own.mrcs", first=1, count=2), tmp_path, RUNTIME)
    np.testing.assert_array_equal(found.images.numpy(), images[1:3])
    assert found.names == ["own-1", "own-2"] and found.pixel_size_A == pytest.approx(2.5)
    both = StackImages(targets="own.mrcs", training="own.mrcs")
    np.testing.assert_array_equal(training_images(both, tmp_path, RUNTIME).numpy(), images)
    torch.testing.assert_close(
        target_images(both, tmp_path, RUNTIME).start, radial_mean(torch.tensor(images))
    )
    with pytest.raises(SettingsError, match="not in the stack"):
        target_images(StackImages(targets="own.mrcs", first=4, count=2), tmp_path, RUNTIME)
    with pytest.raises(SettingsError, match="no training images"):
        training_images(StackImages(targets="own.mrcs"), tmp_path, RUNTIME)
    write_stack(tmp_path / "wide.mrcs", images[:, :6], 2.5)
    with pytest.raises(InputError, match="not square"):
        target_images(StackImages(targets="wide.mrcs"), tmp_path, RUNTIME)


def test_a_radial_mean_turns_into_itself_and_keeps_the_sum():
    blob = radial_mean(torch.rand(3, 7, 7, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(blob, torch.rot90(blob))


def test_resampling_a_map_keeps_its_middle_and_its_values():
    axis = torch.arange(40, dtype=torch.float32) - 20
    ball = torch.exp(-(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) / 2 / 4**2)
    small = at_pixel_size(ball, 1.0, 2.0)
    middle = small.shape[0] // 2
    # 0, 4 and 8 Å from the middle of a Gaussian of 4 Å; it is not quite band-limited.
    expected = torch.exp(-0.5 * torch.tensor([0.0, 1.0, 2.0]) ** 2)
    torch.testing.assert_close(small[middle, middle, middle : middle + 5 : 2], expected, atol=1e-3, rtol=0)


def test_even_directions_are_far_apart():
    axes = even_rotations(50)[:, 2]
    apart = torch.rad2deg(torch.acos((axes @ axes.T - 2 * torch.eye(50)).max(dim=1).values.clamp(-1, 1)))
    assert float(apart.min()) > 0.6 * (4 * 180**2 / torch.pi / 50) ** 0.5  # side of an equal share


def models(*keep, **keys):
    given = {"box": 32, "pixel_size_A": 4.5, "count": 2, "views": 12, **keys}
    patterns = tuple(f"models/{name}.cif.gz" for name in keep)
    return ProjectionImages(maps=("maps/emd_3488.map",), models=patterns, **given)


def centre_of_mass(images):
    axis = torch.arange(images.shape[-1], dtype=images.dtype) - (images.shape[-1] - 1) / 2
    total = images.sum((-2, -1))
    return (
        torch.stack([(images.sum(-2) * axis).sum(-1), (images.sum(-1) * axis).sum(-1)], dim=-1)
        / total[:, None]
    )


def test_projections_look_like_class_averages():
    root = shared("data/models").parent
    settings = models("1stp", "1ema", "4hhb", exclude=("4hhb",), shift_px=0.5)
    found, training = target_images(settings, root, RUNTIME), training_images(settings, root, RUNTIME)
    assert found.images.shape == (2, 32, 32) and training.shape == (24, 32, 32)
    for images in (found.images, training, found.start[None]):
        torch.testing.assert_close(images.square().mean((-2, -1)), torch.ones(len(images)))
    axis = torch.arange(32) - 15.5
    outside = (axis[:, None] ** 2 + axis**2).sqrt() >= 15
    assert float(found.images[:, outside].abs().max()) == 0 and float(training[:, outside].abs().max()) == 0
    # The edge of the disc takes nothing away: what stands there is ringing of the resampling.
    rim = (axis[:, None] ** 2 + axis**2).sqrt() >= 13
    assert float(found.images[:, rim].abs().max()) < 0.05 * float(found.images.max())
    assert float(centre_of_mass(found.images).abs().max()) < 0.2
    assert float(centre_of_mass(training).abs().max()) < 0.5 + 0.5  # the shift, and mass against centroid
    assert not torch.equal(training[0], training[1])


def test_a_map_and_its_atoms_give_the_same_views():
    root = shared("data/models").parent
    settings = models("1stp", "4hhb", map_b_factor_A2=400.0)
    same = settings.model_copy(update={"maps": ("models/4hhb.cif.gz",)})
    of_map, of_atoms = target_images(settings, root, RUNTIME), target_images(same, root, RUNTIME)
    for a, b in zip(of_map.images, of_atoms.images, strict=True):
        assert float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) > 0.9
    assert [path.name for path in training_files(same, root)] == ["1stp.cif.gz"]  # a target is not trained on


def test_molecules_that_do_not_fit_are_skipped_or_refused(caplog):
    root = shared("data/models").parent
    caplog.set_level("INFO")
    names = [path.name for path in training_files(models("1stp", "6v8o"), root)]
    assert names == ["1stp.cif.gz"] and "6v8o (116 Å)" in caplog.text
    with pytest.raises(InputError, match="no atom model to train on"):
        training_files(models("6v8o"), root)
    with pytest.raises(SettingsError, match="matches no atom model"):
        training_files(models("nothing-*"), root)
    with pytest.raises(SettingsError, match="not there.*1abc"):
        training_files(models("1stp", exclude=("1abc",)), root)
    with pytest.raises(InputError, match="does not fit.*expected at most 10 Å"):
        molecule_of_atoms(root / "models/1stp.cif.gz", 2.0, 5.0)
    with pytest.raises(InputError, match="does not fit.*36 Å"):
        molecule_of_map(root / "maps/emd_3488.map", 3.5, 9.0)
    assert largest_px(models("1stp", shift_px=0)) == 14


def test_maps_without_a_molecule_are_refused(tmp_path):
    flat = np.zeros((16, 16, 16), np.float32)
    write_volume(tmp_path / "flat.mrc", flat, 3.0)
    with pytest.raises(InputError, match="the map is constant"):
        molecule_of_map(tmp_path / "flat.mrc", 3.0, 6.0)
    flat[6:11, 6:11, 6:11] = -1
    write_volume(tmp_path / "dark.mrc", flat, 3.0)
    with pytest.raises(InputError, match="no bright molecule"):
        molecule_of_map(tmp_path / "dark.mrc", 3.0, 6.0)
    write_volume(tmp_path / "long.mrc", flat[:8], 3.0)
    with pytest.raises(InputError, match="must be a cube"):
        molecule_of_map(tmp_path / "long.mrc", 3.0, 6.0)
