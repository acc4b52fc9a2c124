"""Our maps and RELION's from the same particles, with true poses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vitreous.io.mrc import open_stack, read_volume, write_image, write_stack
from vitreous.io.particles import ParticleSet, write_particles
from vitreous.io.star import write_star
from vitreous.metrics.fsc import fourier_shell_correlation
from vitreous.physics.ctf import Ctf, apply_ctf, ctf_2d
from vitreous.physics.fourier import lowpass_3d
from vitreous.physics.masks import soft_ball
from vitreous.physics.projection import prepare_volume, project_prepared
from vitreous.physics.rotations import euler_to_matrix
from vitreous.physics.symmetry import parse, symmetrise
from vitreous.reconstruction.extraction import BoxSize, cut_boxes, develop, place_boxes
from vitreous.reconstruction.relion import find_program, postprocess, run_relion
from vitreous.reconstruction.settings import NativeEngine, RelionEngine
from vitreous.reconstruction.stages import reconstruct
from vitreous.runtime.device import Runtime

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(shutil.which("relion_reconstruct") is None, reason="RELION is not on the PATH"),
]

BOX, PIXEL_A, COUNT = 64, 3.0, 400


@pytest.fixture(scope="module", params=["C1", "D2"])
def simulated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, torch.Tensor]:
    """Particles of a map with that symmetry: CTF, origins, noise of twice the signal's power; and the map."""
    folder, group = tmp_path_factory.mktemp("particles"), parse(request.param)
    make = torch.Generator().manual_seed(5)
    volume = lowpass_3d(torch.randn(BOX, BOX, BOX, generator=make), PIXEL_A, 7.0) * soft_ball(BOX, 18, 8)
    volume = symmetrise(volume, group)
    angles = torch.rand(COUNT, 3, generator=make) * torch.tensor([360.0, 0.0, 360.0])
    angles[:, 1] = torch.rad2deg(torch.acos(2 * torch.rand(COUNT, generator=make) - 1))
    origins_A = 4 * torch.randn(COUNT, 2, generator=make)
    defocus = 8000 + 8000 * torch.rand(COUNT, generator=make)
    ctf = Ctf(defocus, defocus - 400, 180 * torch.rand(COUNT, generator=make), 300.0, 2.7, 0.1)
    images = project_prepared(prepare_volume(volume), euler_to_matrix(angles), origins_px=origins_A / PIXEL_A)
    images = apply_ctf(images, ctf_2d(ctf, (BOX, BOX), PIXEL_A))
    images = images / images.std() + 2**0.5 * torch.randn(images.shape, generator=make)
    write_stack(folder / "p.mrcs", images.numpy(), PIXEL_A)
    table = pd.DataFrame({"rlnImageName": [f"{i + 1:06d}@p.mrcs" for i in range(COUNT)], "rlnOpticsGroup": 1})
    table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]] = angles.numpy()
    table[["rlnOriginXAngst", "rlnOriginYAngst"]] = origins_A.numpy()
    table["rlnDefocusU"], table["rlnDefocusV"] = ctf.defocus_u_A.numpy(), ctf.defocus_v_A.numpy()
    table["rlnDefocusAngle"] = ctf.defocus_angle_deg.numpy()
    table["rlnRandomSubset"] = np.arange(COUNT) % 2 + 1
    optics = {
        "rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1], "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1], "rlnImagePixelSize": [PIXEL_A],
        "rlnImageSize": [BOX], "rlnImageDimensionality": [2],
    }  # fmt: skip
    write_particles(folder / "particles.star", ParticleSet(pd.DataFrame(optics), table))
    return folder / "particles.star", group.name, volume


def maps(star: Path, symmetry: str, settings: NativeEngine | RelionEngine) -> dict[str, torch.Tensor]:
    out = star.parent / symmetry / (settings.variant + str(getattr(settings, "skip_gridding", "")))
    reconstruct(star, out, settings=settings, symmetry=symmetry, provenance=out / "provenance.json",
                runtime=Runtime(threads=2))  # fmt: skip
    return {name: torch.tensor(read_volume(out / f"{name}.mrc")[0]) for name in ("half1", "half2", "map")}


def test_the_native_map_is_relions_map_inside_a_ball(simulated: tuple[Path, str, torch.Tensor]) -> None:
    star, symmetry, truth = simulated
    ball = soft_ball(BOX, 22, 6)
    upto = int(0.75 * BOX / 2) + 1
    ours = maps(star, symmetry, NativeEngine())
    # At RELION's floor the two do the same arithmetic; with the default floor and RELION's gridding
    # iterations they weight poorly covered voxels differently.
    exact = maps(star, symmetry, NativeEngine(weight_floor=1e-3))
    plain, gridded = (maps(star, symmetry, RelionEngine(skip_gridding=skip)) for skip in (True, False))
    for name in ours:
        same = fourier_shell_correlation(exact[name] * ball, plain[name] * ball)
        assert float(same[:upto].min()) > 0.999, name
    for other in (plain, gridded):
        near = fourier_shell_correlation(ours["map"] * ball, other["map"] * ball)
        assert float(near[:upto].min()) > 0.99
    # One scale: RELION's map is in the particles' units too.
    slope = float((exact["map"] * plain["map"] * ball).sum() / (plain["map"] ** 2 * ball).sum())
    assert slope == pytest.approx(1, abs=0.02)
    to_truth = [
        fourier_shell_correlation(one["map"] * ball, truth * ball)[:upto].min() for one in (ours, gridded)
    ]
    assert float(to_truth[0]) > float(to_truth[1]) - 0.02


def test_relions_postprocess_reads_our_halves_and_refuses_an_empty_mask(
    simulated: tuple[Path, str, torch.Tensor], tmp_path: Path
) -> None:
    star, symmetry, _ = simulated
    ours = maps(star, symmetry, NativeEngine())
    ball = soft_ball(BOX, 22, 6)
    found = postprocess(ours["half1"].numpy(), ours["half2"].numpy(), ball.numpy(), PIXEL_A, tmp_path)
    unmasked = fourier_shell_correlation(ours["half1"], ours["half2"])[: BOX // 2].numpy()
    column = found.fsc["rlnFourierShellCorrelationUnmaskedMaps"].to_numpy()[: BOX // 2]
    # RELION's own counting, methods/reconstruction.md section 5: 5e-7 there, float32 maps here.
    np.testing.assert_allclose(column[1:], unmasked[1:], atol=1e-5)
    assert 2 * PIXEL_A <= found.resolution_A < 12


def test_boxes_at_whole_pixels_are_relions_extracted_particles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.mgrid[:200, :220][0]
    micrograph = (rng.normal(100, 10, (200, 220)) + 0.2 * rows).astype(np.float32)
    picks = np.array([[60, 70], [150, 100], [100, 160], [3, 100]])
    (tmp_path / "mics").mkdir()
    (tmp_path / "coords" / "mics").mkdir(parents=True)
    write_image(tmp_path / "mics" / "m.mrc", micrograph, PIXEL_A)
    optics = pd.DataFrame(
        {
            "rlnOpticsGroupName": ["g"],
            "rlnOpticsGroup": [1],
            "rlnMicrographPixelSize": [PIXEL_A],
            "rlnMicrographOriginalPixelSize": [PIXEL_A],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
        }
    )
    listed = pd.DataFrame({"rlnMicrographName": ["mics/m.mrc"], "rlnOpticsGroup": [1]})
    write_star(tmp_path / "m.star", {"optics": optics, "micrographs": listed})
    places = pd.DataFrame(
        {"rlnCoordinateX": picks[:, 0].astype(float), "rlnCoordinateY": picks[:, 1].astype(float)}
    )
    write_star(tmp_path / "coords" / "mics" / "m_p.star", {"": places})
    run_relion(
        [
            find_program("relion_preprocess"),
            "--i",
            "m.star",
            "--coord_dir",
            "coords/",
            "--coord_suffix",
            "_p.star",
            "--part_dir",
            "E/",
            "--part_star",
            "E/p.star",
            "--extract",
            "--extract_size",
            "64",
            "--norm",
            "--bg_radius",
            "24",
            "--invert_contrast",
            "--white_dust",
            "-1",
            "--black_dust",
            "-1",
        ],
        tmp_path,
    )
    theirs = open_stack(tmp_path / "E" / "mics" / "m.mrcs")[np.arange(4)]
    boxes = cut_boxes(micrograph, place_boxes(picks, 64, micrograph.shape).corner, 64)
    ours, _ = develop(boxes, BoxSize(64, 64, PIXEL_A, 24.0), invert=True, ramp=True)
    # RELION's plane goes through all pixels of the background by another estimate; the sd differs by 0.1 %.
    for a, b in zip(ours, theirs, strict=True):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9999
        np.testing.assert_allclose(a, b, atol=0.05)
