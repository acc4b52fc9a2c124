"""The detector's numbers: formats, MTF, noise."""

from __future__ import annotations

import numpy as np
import pytest

from vitreous.errors import InputError
from vitreous.simulate.detector import as_stored, expose, noise_variance
from vitreous.simulate.settings import DetectorSettings


def test_stored_formats_keep_the_image_as_far_as_they_can() -> None:
    image = np.random.default_rng(0).normal(160, 13, (64, 64)).astype(np.float32)
    assert np.array_equal(as_stored(image, "float32"), image)
    assert np.array_equal(as_stored(image, "uint16"), np.rint(image))
    for kind in ("float16", "int8"):
        stored = as_stored(image, kind)
        assert stored.dtype == kind
        # int8: rounding to 1/20 sd
        assert np.corrcoef(stored.ravel().astype(float), image.ravel())[0, 1] > 0.999
    with pytest.raises(InputError, match="int8"):
        as_stored(image, "int4")


@pytest.mark.parametrize("mtf", [1.0, 0.5, 0.1])
def test_variance_of_a_flat_exposure_is_the_stated_one(mtf: float) -> None:
    settings = DetectorSettings(readout_noise_e=2.0, mtf_at_nyquist=mtf)
    flat = np.full((256, 256), 50, dtype=np.float32)
    exposure = expose(flat, settings, np.random.default_rng(1))
    # 65,536 pixels, correlated over a few where the MTF blurs; four sigma
    assert exposure.full.var() == pytest.approx(noise_variance(50, settings), rel=0.04)
    assert exposure.full.mean() == pytest.approx(50, rel=0.005)


def test_counting_camera_without_reading_noise_gives_whole_numbers() -> None:
    exposure = expose(
        np.full((32, 32), 9.5, np.float32), DetectorSettings(readout_noise_e=0), np.random.default_rng(2)
    )
    assert np.array_equal(exposure.half1, np.rint(exposure.half1))
    assert np.array_equal(exposure.half1 + exposure.half2, exposure.full)
