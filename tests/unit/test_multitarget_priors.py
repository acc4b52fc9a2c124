from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from vitreous.config.canonical import canonical, restore
from vitreous.errors import InputError, SettingsError
from vitreous.multitarget.image_settings import GaussianImages, StackImages
from vitreous.multitarget.images.registry import analytic_mean, target_images, training_images
from vitreous.multitarget.prior_settings import (
    EdmPriorSettings,
    GaussianPriorSettings,
    ImplicitPriorSettings,
    PriorSettings,
    VpPriorSettings,
)
from vitreous.multitarget.prior_training import stored_model, train_prior, trained_prior
from vitreous.multitarget.priors import base, fitting
from vitreous.multitarget.priors.fitting import image_batches, moved
from vitreous.multitarget.priors.registry import KIND, load_prior, modules_of
from vitreous.multitarget.priors.seen import image_hash, was_seen
from vitreous.nets import training
from vitreous.nets.model_files import write_model
from vitreous.runtime.device import Runtime

IMAGES = GaussianImages(size=8, samples=48)
SMALL: dict[str, dict[str, Any]] = {
    "implicit": {"width": 8, "steps": 4, "samples": 40, "checkpoint_every": 1},
    "vp": {"widths": [4, 4, 4, 4, 4], "training": {"epochs": 4, "batch": 16}},
    "edm": {
        "network": {"widths": [8, 8]},
        "training": {"epochs": 4, "epoch_images": 32, "batch": 16, "checkpoint_every": 1},
    },
}
TRAINED = sorted(SMALL)


def settings_of(variant: str, **more: Any) -> PriorSettings:
    adapter: TypeAdapter[PriorSettings] = TypeAdapter(PriorSettings)
    return adapter.validate_python({"variant": variant, **SMALL.get(variant, {}), **more})


def trained_in(folder: Path, variant: str, **more: Any) -> Path:
    model = folder / "model.pt"
    train_prior(
        model, folder / "training.csv", settings=settings_of(variant, **more), images=IMAGES, root=folder,
        provenance=folder / "provenance.json", runtime=Runtime(seed=3),
    )  # fmt: skip
    return model


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Settings


def test_the_variant_says_which_prior_is_meant() -> None:
    adapter: TypeAdapter[PriorSettings] = TypeAdapter(PriorSettings)
    kinds = [GaussianPriorSettings, ImplicitPriorSettings, VpPriorSettings, EdmPriorSettings]
    for kind, variant in zip(kinds, ("gaussian", "implicit", "vp", "edm"), strict=True):
        assert type(adapter.validate_python({"variant": variant})) is kind
        assert kind.NEEDS_MODEL is (variant != "gaussian")
    with pytest.raises(ValidationError):
        adapter.validate_python({"variant": "unknown"})
    with pytest.raises(ValidationError):
        adapter.validate_python({"variant": "edm", "unknown": 1})


def test_the_preset_paper_is_the_published_training_and_given_keys_win() -> None:
    paper = VpPriorSettings.model_validate({"preset": "paper", "training": {"epochs": 2}})
    assert paper.training.learning_rate == paper.training.least_rate == 3e-4
    assert (paper.training.batch, paper.training.epochs, paper.training.precision) == (64, 2, "fp32")
    assert paper.training.epoch_images is None
    assert VpPriorSettings(preset="paper").training.epochs == 400


@pytest.mark.parametrize("variant", TRAINED)
def test_canonical_settings_keep_what_a_preset_chose(variant: str) -> None:
    chosen = settings_of(variant, preset="minimal")
    plain = canonical(chosen)
    assert "preset" not in plain
    assert restore(PriorSettings, plain).model_dump() == chosen.model_dump()


# Trained priors


@pytest.mark.parametrize("variant", TRAINED)
def test_a_trained_prior_is_written_logged_and_read_back(variant: str, tmp_path: Path) -> None:
    model = trained_in(tmp_path, variant)
    prior, images = load_prior(model, Runtime()), training_images(IMAGES, tmp_path, Runtime(seed=3))
    assert prior.size == 8
    images = images[:40] if variant == "implicit" else images
    torch.testing.assert_close(prior.mean, images.mean(0))
    assert prior.scale == pytest.approx(float(images.std(correction=0)), rel=1e-5)
    assert list(pd.read_csv(tmp_path / "training.csv")["epoch"]) == [1, 2, 3, 4]
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record["settings"]["prior"]["variant"] == variant and record["images"] == len(images)
    assert f"vitreous.multitarget.priors.{variant}" in record["modules"]
    stored = torch.load(model, weights_only=True)
    assert stored["kind"] == KIND and stored["settings"]["variant"] == variant


@pytest.mark.parametrize("variant", TRAINED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_come_in_the_type_of_the_images_and_without_gradient(
    variant: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    prior = load_prior(trained_in(tmp_path, variant), Runtime())
    images = random_images(3, 8, 8).to(dtype).requires_grad_()
    score = prior.score(images)
    assert score.shape == images.shape and score.dtype == dtype and not score.requires_grad
    assert bool(score.isfinite().all())
    if variant == "implicit":
        with pytest.raises(SettingsError, match="cannot denoise"):
            prior.denoise(images, 0.1)
        return
    denoised = prior.denoise(images, torch.tensor([0.05, 0.3, 2.0], dtype=dtype))
    assert denoised.shape == images.shape and denoised.dtype == dtype and not denoised.requires_grad
    torch.testing.assert_close(prior.denoise(images, 0.3)[1], denoised[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", ["vp", "edm"])
def test_chunks_change_nothing(variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prior, images = load_prior(trained_in(tmp_path, variant), Runtime()), random_images(5, 8, 8)
    noise = torch.linspace(0.1, 1, 5)
    whole = prior.denoise(images, noise)
    monkeypatch.setattr(base, "CHUNK_PIXELS", 130)
    torch.testing.assert_close(prior.denoise(images, noise), whole, rtol=1e-4, atol=1e-5)  # float32 sums
    assert prior.denoise(images[:0], 0.1).shape == (0, 8, 8)


def test_the_score_of_a_denoiser_is_its_step_over_the_variance(tmp_path: Path) -> None:
    prior = load_prior(trained_in(tmp_path, "edm", score_noise=0.2), Runtime())
    images = random_images(2, 8, 8)
    torch.testing.assert_close(prior.score(images), (prior.denoise(images, 0.2) - images) / 0.04)


@pytest.mark.parametrize("variant", TRAINED)
def test_a_killed_training_goes_on_to_the_same_bytes(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained_in(tmp_path / "whole", variant)
    save, saved = training.save_checkpoint, []

    def killed(*arguments: Any) -> None:
        save(*arguments)
        saved.append(arguments)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            trained_in(tmp_path / "stopped", variant)
    assert not (tmp_path / "stopped/model.pt").exists()
    draws = _counted(monkeypatch)
    stopped = trained_in(tmp_path / "stopped", variant)
    assert draws == [2, 3]
    assert stopped.read_bytes() == whole.read_bytes()


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs that are drawn from now on."""
    epochs: list[int] = []
    fit: Callable[..., Any] = training.train

    def counting(model: Any, batches: training.Batches, *arguments: Any, **more: Any) -> Any:
        def draw(epoch: int, rank: int, world: int) -> Any:
            epochs.append(epoch)
            return batches.draw(epoch, rank, world)

        return fit(model, training.Batches(batches.steps, draw), *arguments, **more)

    monkeypatch.setattr(fitting, "train", counting)
    return epochs


def test_a_prior_that_is_exact_is_not_trained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not trained"):
        trained_prior(random_images(4, 8, 8), GaussianPriorSettings(), Runtime())


# Model files


def test_a_file_that_is_no_prior_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not a model file"):
        load_prior(path, Runtime())
    write_model(path, {"kind": "vitreous picker 1"})
    with pytest.raises(InputError, match="another kind"):
        load_prior(path, Runtime())


def test_a_file_with_code_in_it_is_refused(tmp_path: Path) -> None:
    torch.save(
        {"kind": KIND, "settings": Path("of a class that is not a plain value")}, tmp_path / "model.pt"
    )
    with pytest.raises(InputError, match="not a model file"):
        load_prior(tmp_path / "model.pt", Runtime())


def test_unknown_settings_and_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    settings = settings_of("edm")
    stored = stored_model(trained_prior(random_images(16, 8, 8), settings, Runtime()), settings)
    path = tmp_path / "model.pt"
    write_model(path, {**stored, "settings": {**settings.model_dump(mode="json"), "later": 1}})
    with pytest.raises(InputError, match="does not know"):
        load_prior(path, Runtime())
    wider = settings_of("edm", network={"widths": [16, 16]}).model_dump(mode="json")
    write_model(path, {**stored, "settings": wider})
    with pytest.raises(InputError, match="differ"):
        load_prior(path, Runtime())


def test_the_exact_prior_is_written_where_the_source_says_its_mean(tmp_path: Path) -> None:
    prior, mean = load_prior(trained_in(tmp_path, "gaussian", std=0.5), Runtime()), analytic_mean(IMAGES)
    assert mean is not None and torch.equal(prior.mean, mean)
    images = random_images(2, 8, 8)
    torch.testing.assert_close(prior.score(images), 4 * (mean - images))
    assert not was_seen(prior.seen, training_images(IMAGES, tmp_path, Runtime(seed=3))).any()
    stack = StackImages(targets="targets.mrcs")
    with pytest.raises(SettingsError, match="exact mean"):
        train_prior(
            tmp_path / "other.pt", tmp_path / "other.csv", settings=GaussianPriorSettings(), images=stack,
            root=tmp_path, provenance=tmp_path / "other.json", runtime=Runtime(),
        )  # fmt: skip


def test_the_code_of_every_prior_is_known() -> None:
    for variant in ("gaussian", *TRAINED):
        assert modules_of(settings_of(variant)) == [f"vitreous.multitarget.priors.{variant}"]


# Images that were seen


@pytest.mark.parametrize("variant", TRAINED)
def test_a_prior_knows_the_images_it_was_trained_on(variant: str, tmp_path: Path) -> None:
    prior = load_prior(trained_in(tmp_path, variant), Runtime())
    learnt = training_images(IMAGES, tmp_path, Runtime(seed=3))[:40]
    assert bool(was_seen(prior.seen, learnt).all())
    assert bool(was_seen(prior.seen, 3 * learnt.double() - 1).all())
    targets = target_images(IMAGES, tmp_path, Runtime()).images
    assert not was_seen(prior.seen, targets).any()
    assert not was_seen(prior.seen, learnt + 0.1 * random_images(40, 8, 8)).any()


def test_hashes_of_bytes_do_not_hang_on_the_type_or_the_unit_of_the_image() -> None:
    chance = torch.Generator().manual_seed(0)
    raw = torch.randint(0, 256, (200, 28, 28), generator=chance).to(torch.uint8)
    raw[::3] = raw[::3].clamp(max=254)
    hashes = image_hash(raw)
    assert len(hashes.unique()) == 200 and hashes.dtype == torch.int64
    assert torch.equal(image_hash(raw.float() / 255), hashes)
    assert torch.equal(image_hash(raw.double() / 255 - 0.1307), hashes)
    assert torch.equal(image_hash((raw.float() / 255 - 0.1307) / 0.3081), hashes)


def test_a_hash_is_the_same_on_every_machine() -> None:
    assert image_hash(torch.arange(16.0).reshape(1, 4, 4)).tolist() == [-5853127204112294192]


def test_a_constant_image_has_a_hash() -> None:
    assert image_hash(torch.ones(2, 3, 3)).unique().numel() == 1


# Batches


def test_batches_are_drawn_by_the_number_of_the_epoch_and_shared_out() -> None:
    images = torch.arange(20.0)[:, None, None].expand(20, 4, 4)
    batches = image_batches(images, lambda clean, _: (clean,), Runtime(seed=1), batch=6)
    assert batches.steps == 3
    whole = [batch[0] for batch in batches.draw(0, 0, 1)]
    assert torch.cat(whole)[:, 0, 0].unique().numel() == 18
    again = [batch[0] for batch in batches.draw(0, 0, 1)]
    assert all(torch.equal(one, two) for one, two in zip(whole, again, strict=True))
    assert not torch.equal(whole[0], next(iter(batches.draw(1, 0, 1)))[0])
    shares = [next(iter(batches.draw(0, rank, 2)))[0] for rank in range(2)]
    assert torch.equal(torch.stack(shares, dim=1).flatten(0, 1), whole[0])


def test_moved_images_are_whole_pixels_away_and_zeros_come_in() -> None:
    images = torch.zeros(200, 7, 7)
    images[:, 3, 3] = 1
    found = moved(images, 2, torch.Generator().manual_seed(0))
    assert bool((found.sum((1, 2)) == 1).all())
    reached = found.sum(0) > 0
    assert bool(reached[1:6, 1:6].all()) and int(reached.sum()) == 25
    assert torch.equal(moved(images, 0, torch.Generator()), images)
    assert not moved(torch.ones(50, 3, 3), 3, torch.Generator().manual_seed(0)).amin((1, 2)).any()


def test_half_of_a_batch_is_moved() -> None:
    images = torch.zeros(16, 9, 9)
    images[:, 4, 4] = 1
    batches = image_batches(images, lambda clean, _: (clean,), Runtime(), batch=16, shift_px=3)
    (batch,) = next(iter(batches.draw(0, 0, 1)))
    assert bool((batch[8:, 4, 4] == 1).all()) and int(batch[:8, 4, 4].sum()) < 4
