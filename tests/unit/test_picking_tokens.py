from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vitreous.errors import SettingsError, StageError
from vitreous.picking.emmae.settings import EmmaeSettings, MaeTrainingSettings, NetworkSettings, TokenSettings
from vitreous.picking.emmae.tokens import Encoder, Image, Tokens, load_encoder, new_network, token_map
from vitreous.picking.emmae.training import train_autoencoder, untrained_encoder
from vitreous.picking.emmae.windows import Picture, WindowDrawer, pixel_statistics
from vitreous.runtime.device import Runtime

SIZES = NetworkSettings(width=16, depth=1, decoder_width=16)
TRAINING = {"epochs": 2, "epoch_windows": 24, "batch": 8, "precision": "fp32"}
TINY = EmmaeSettings(network=SIZES, training=MaeTrainingSettings(**TRAINING))


def image(height: int = 130, width: int = 201, seed: int = 0) -> Image:
    return np.random.default_rng(seed).random((height, width), dtype=np.float32)


def encoder(**more: object) -> Encoder:
    sizes = SIZES.model_copy(update=more)
    return Encoder(new_network(sizes, torch.Generator().manual_seed(0)).eval(), 0.5, 0.3)


def tokens_of(
    pixels: Image, source: Encoder | None = None, diameter_px: float = 32.0, **more: object
) -> Tokens:
    kind = "raw" if source is None else "encoder"
    return token_map(
        pixels, source, TokenSettings(**{"source": kind, "precision": "fp32", **more}), diameter_px
    )


def point(row: int, column: int) -> Image:
    """One bright patch in a picture of 32 x 32 patches."""
    pixels = np.zeros((128, 128), dtype=np.float32)
    pixels[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1
    return pixels


def centre_of(tokens: Tokens) -> list[float]:
    weight = tokens.sum(axis=2).astype(float)
    rows, columns = np.indices(weight.shape)
    return [float((axis * weight).sum() / weight.sum()) for axis in (rows, columns)]


@pytest.mark.parametrize("centred", [True, False])
def test_there_is_a_token_for_each_patch_even_a_cut_one(centred: bool) -> None:
    tokens = tokens_of(image(), encoder(), centred=centred)
    assert tokens.shape == (33, 51, 16)
    assert tokens.dtype == np.float32
    assert np.isfinite(tokens).all()


def test_raw_tokens_are_the_pixels_of_a_patch_smoothed_by_the_mean_of_two_even_windows() -> None:
    pixels = image(128, 128)
    patches = pixels.reshape(32, 4, 32, 4).transpose(0, 2, 1, 3).reshape(32, 32, 16)
    found = tokens_of(pixels)
    means = [patches[i : i + 2, j : j + 2].mean(axis=(0, 1)) for i in (9, 10) for j in (19, 20)]
    np.testing.assert_allclose(found[10, 20], np.mean(means, axis=0), rtol=1e-5)
    edge = 0.75 * patches[0] + 0.25 * patches[1]  # the edge is repeated
    np.testing.assert_allclose(found[0, 5], 0.5 * edge[5] + 0.25 * (edge[4] + edge[6]), rtol=1e-5)


@pytest.mark.parametrize("diameter_px", [32.0, 80.0])
def test_smoothing_leaves_a_point_where_it_is(diameter_px: float) -> None:
    assert centre_of(tokens_of(point(15, 17), None, diameter_px)) == pytest.approx([15, 17], abs=1e-3)


@pytest.mark.parametrize(("diameter_px", "half"), [(63.9, 1), (64.0, 2)])
def test_as_published_a_point_moves_by_half_a_token_and_the_rim_is_zero(
    diameter_px: float, half: int
) -> None:
    # Windows of 2 tokens, of 4 where the diameter is 32 px of the 512 px picture or more.
    tokens = tokens_of(point(15, 17), None, diameter_px, centred=False)
    assert centre_of(tokens) == pytest.approx([15.5, 17.5], abs=1e-4)
    assert np.count_nonzero(tokens[..., 0]) == (2 * half) ** 2
    bright = tokens_of(np.ones((128, 128), dtype=np.float32), None, diameter_px, centred=False)[..., 0]
    assert not bright[:half].any() and not bright[-half:].any() and not bright[:, -half:].any()
    assert (bright[half:-half, half:-half] == 1).all()


def test_windows_tile_a_picture_whose_edges_are_repeated() -> None:
    source, pixels = encoder(), image(130, 201)
    whole = tokens_of(np.pad(pixels, ((0, 62), (0, 55)), mode="edge"), source)
    inner = tokens_of(pixels, source)
    # the last tokens are smoothed with what is beyond the picture
    np.testing.assert_allclose(inner[:-1, :-1], whole[:32, :50], atol=1e-5)  # order of float32 sums


def test_tokens_do_not_depend_on_the_size_of_the_batch() -> None:
    source, settings = encoder(), TokenSettings(precision="fp32")
    found = [token_map(image(), source, settings, 32.0, batch=size) for size in (1, 64)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)  # order of float32 sums


def test_latents_in_bf16_are_those_of_fp32_but_for_rounding() -> None:
    source = encoder()
    exact, rounded = (tokens_of(image(), source, precision=name) for name in ("fp32", "bf16"))
    assert 0 < np.linalg.norm(rounded - exact) / np.linalg.norm(exact) < 0.02  # 8 bits of mantissa: 0.4 %
    assert rounded.dtype == np.float32


def test_a_network_is_asked_for() -> None:
    with pytest.raises(SettingsError, match="need a model"):
        token_map(image(), None, TokenSettings(), 32.0)


def test_pixel_statistics_are_those_of_all_pixels_inside_the_mask() -> None:
    levels = [np.random.default_rng(i).integers(0, 256, (70, 90 + i), dtype=np.uint8) for i in range(2)]
    mask = np.ones(levels[1].shape, dtype=bool)
    mask[:, :40] = False
    mean, std = pixel_statistics([Picture(levels[0]), Picture(levels[1], mask)])
    both = np.concatenate([levels[0].ravel(), levels[1][mask]]) / 255
    assert (mean, std) == pytest.approx((both.mean(), both.std()))
    with pytest.raises(StageError, match="nothing to learn"):
        pixel_statistics([Picture(np.full((64, 64), 7, dtype=np.uint8))])


def numbered(height: int, width: int) -> Picture:
    """Levels that tell row and column apart: a window's corner is seen in it."""
    rows, columns = np.indices((height, width))
    return Picture(((rows // 8) * 16 + columns // 8).astype(np.uint8))


def drawn(picture: Picture, **more: object) -> np.ndarray:
    drawer = WindowDrawer([picture], MaeTrainingSettings(**{"epoch_windows": None, **more}), Runtime())
    windows = torch.cat([batch[0] for batch in drawer.batches().draw(0, 0, 1)])
    return np.round((windows.numpy() * drawer.std + drawer.mean) * 255).astype(int)


def test_on_the_published_grid_every_window_is_seen_once_an_epoch() -> None:
    corners = drawn(numbered(128, 128), jitter=False)[:, 0, 0]
    assert sorted(corners.tolist()) == [0, 8, 128, 136]


def test_jitter_moves_windows_but_not_out_of_the_picture() -> None:
    windows = drawn(numbered(128, 128), epoch_windows=64)
    assert windows.shape == (64, 64, 64)
    assert len(set(windows[:, 0, 0].tolist())) > 10


def test_windows_in_a_masked_band_are_not_drawn() -> None:
    levels = np.random.default_rng(0).integers(0, 100, (192, 256), dtype=np.uint8)
    mask = np.ones(levels.shape, dtype=bool)
    levels[:, 128:], mask[:, 128:] = 255, False
    windows = drawn(Picture(levels, mask), epoch_windows=128)
    assert float((windows == 255).mean(axis=(1, 2)).max()) <= 0.5
    with pytest.raises(StageError, match="no window"):
        drawn(Picture(levels, np.arange(256) < np.full((192, 1), 10)))


def test_a_picture_smaller_than_a_window_is_continued_by_its_edge() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (40, 80), dtype=np.uint8)
    windows = drawn(Picture(levels), epoch_windows=4)
    assert (windows[:, 40:] == windows[:, 39:40]).all()


def test_crops_are_seen_coarser() -> None:
    axis = np.arange(1024)
    levels = np.clip(axis[None] // 4 * np.ones((1024, 1)), 0, 255).astype(np.uint8)
    windows = drawn(Picture(levels), crops=True, epoch_windows=200)
    spans = windows[:, 32, -1] - windows[:, 32, 0]
    # Sides of 4 to 25 % of the area at 3/4 to 4/3 are 177 to 591 px, a level is 4 px.
    assert 40 < spans.min() < 60
    assert 120 < spans.max() < 150


def test_shares_of_two_processes_make_the_batch_of_one() -> None:
    drawer = WindowDrawer([numbered(200, 300)], MaeTrainingSettings(epoch_windows=40, batch=16), Runtime())
    whole = list(drawer.batches().draw(3, 0, 1))
    shares = [list(drawer.batches().draw(3, rank, 2)) for rank in (0, 1)]
    assert len(whole) == drawer.batches().steps == 3
    for step, (windows, kept) in enumerate(whole):
        assert torch.equal(windows[0::2], shares[0][step][0])
        assert torch.equal(kept[1::2], shares[1][step][1])


def pictures(count: int = 2) -> list[Picture]:
    rng = np.random.default_rng(0)
    return [Picture(rng.integers(0, 256, (100, 150), dtype=np.uint8)) for _ in range(count)]


def test_a_training_is_the_same_for_a_seed_and_another_for_another(tmp_path: Path) -> None:
    read = pictures()
    first = train_autoencoder(read, TINY, Runtime(seed=1))
    again = train_autoencoder(read, TINY, Runtime(seed=1), tmp_path)
    other = train_autoencoder(read, TINY, Runtime(seed=2))
    assert all(torch.equal(first.state[name], again.state[name]) for name in first.state)
    assert first.log[-1]["loss"] != other.log[-1]["loss"]
    assert (first.mean, first.std) == pixel_statistics(pictures())
    resumed = train_autoencoder(read, TINY, Runtime(seed=1), tmp_path)  # all epochs are done there
    assert resumed.log == again.log


def test_an_encoder_is_rebuilt_from_a_trained_state() -> None:
    source = untrained_encoder(pictures(), TINY, Runtime())
    rebuilt = load_encoder(SIZES, source.network.state_dict(), source.mean, source.std, torch.device("cpu"))
    np.testing.assert_array_equal(tokens_of(image(), rebuilt), tokens_of(image(), source))
    with pytest.raises(SettingsError, match="other sizes"):
        load_encoder(NetworkSettings(width=20), source.network.state_dict(), 0, 1, torch.device("cpu"))
