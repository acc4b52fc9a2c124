"""RELION's relion_reconstruct and relion_postprocess behind our checks.

RELION 3.1 passes a NaN pixel, an empty half and an unknown option with exit status 0, so the input is checked
before it is called and the output after. Images are reached through links in the working folder: no path of a
user stands in a STAR file or on the command line.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vitreous.errors import InputError, MissingToolError, StageError
from vitreous.io.mrc import read_header, read_volume, write_volume
from vitreous.io.particles import ParticleSet, pixel_sizes_A, write_particles
from vitreous.io.star import read_star
from vitreous.physics.symmetry import PointGroup
from vitreous.reconstruction.halves import HalfMaps, Image, ImageReader, check_subsets
from vitreous.reconstruction.settings import RelionEngine
from vitreous.runtime.device import Runtime

log = logging.getLogger(__name__)

_BAR = re.compile(r"^\s*[\d.?]+\s*/\s*[\d.?]+\s*(sec|min|hrs)\b")
_IGNORED = "WARNING: Option"
_FRAME = re.compile(r"\[0x[0-9a-f]+\]$|^=== Backtrace")
_COLUMNS = re.compile(
    r"rln(OpticsGroup|ImageName|Defocus[UV]|DefocusAngle|PhaseShift|CtfBfactor|CtfScalefactor|Angle(Rot|Tilt|Psi)|"
    r"Origin[XY]Angst|RandomSubset)$"
)


def reconstruct_halves(
    particles: ParticleSet,
    images: Sequence[Image],
    *,
    settings: RelionEngine,
    group: PointGroup,
    runtime: Runtime,
    folder: Path,
) -> HalfMaps:
    """Half-maps and map by relion_reconstruct, of `images` (stack, index); `folder` takes its files.

    Raises MissingToolError without RELION, InputError for images that it cannot read or that hold NaN,
    StageError where it fails or its map is empty or not finite.
    """
    program = find_program("relion_reconstruct")
    check_subsets(particles.particles, file=folder)
    box = _check_images(images)
    _lay_out(particles, images, folder)
    command = [program, "--i", "particles.star", "--sym", group.name, "--pad", str(settings.pad)]
    command += ["--angpix", repr(float(pixel_sizes_A(particles)[0]))]
    command += ["--ctf"] if settings.ctf else []
    command += ["--skip_gridding"] if settings.skip_gridding else []
    command += ["--maxres", repr(settings.max_resolution_A)] if settings.max_resolution_A else []

    def run(subset: int) -> NDArray[np.float32]:
        name = f"half{subset}.mrc" if subset else "map.mrc"
        run_relion([*command, "--o", name, *(["--subset", str(subset)] if subset else [])], folder)
        return read_map(folder / name, box)

    with ThreadPoolExecutor(max(1, min(runtime.threads, 3))) as pool:
        half1, half2, full = pool.map(run, (1, 2, 0))
    return HalfMaps(half1, half2, full, {"relion": relion_version()})


@dataclass(frozen=True)
class PostprocessResult:
    """What relion_postprocess found: resolution, start of the randomised phases (Å), FSC table."""

    resolution_A: float
    randomise_from_A: float
    fsc: pd.DataFrame


def postprocess(
    half1: NDArray[np.float32],
    half2: NDArray[np.float32],
    mask: NDArray[np.float32],
    pixel_size_A: float,
    folder: Path,
) -> PostprocessResult:
    """Mask-corrected FSC of two half-maps `(n, n, n)` by relion_postprocess, without sharpening.

    Raises InputError for a mask that is empty, full or outside 0 to 1 (RELION takes each with exit status 0).
    """
    program = find_program("relion_postprocess")
    check_mask(mask)
    folder.mkdir(parents=True, exist_ok=True)
    for name, volume in (("half1.mrc", half1), ("half2.mrc", half2), ("mask.mrc", mask)):
        write_volume(folder / name, volume, pixel_size_A)
    # The folder of --o must exist: without ghostscript RELION touches <folder>/logfile.pdf, and fails after
    # writing.
    (folder / "post").mkdir(exist_ok=True)
    run_relion(
        [
            program,
            "--i",
            "half1.mrc",
            "--mask",
            "mask.mrc",
            "--angpix",
            repr(pixel_size_A),
            "--o",
            "post/post",
            "--adhoc_bfac",
            "0",
        ],
        folder,
    )
    blocks = read_star(folder / "post" / "post.star")
    general, fsc = blocks["general"], blocks["fsc"]
    if isinstance(general, pd.DataFrame) or not isinstance(fsc, pd.DataFrame):
        raise StageError("relion_postprocess wrote no table", file=folder / "post" / "post.star")
    if not np.isfinite(fsc["rlnFourierShellCorrelationCorrected"]).all():
        raise StageError("relion_postprocess wrote no finite FSC", file=folder / "post" / "post.star")
    return PostprocessResult(float(general["rlnFinalResolution"]), float(general["rlnRandomiseFrom"]), fsc)


def check_mask(mask: NDArray[np.float32]) -> None:
    """Raise InputError for a mask (n, n, n) that is empty, full, not finite or outside 0 to 1."""
    if not np.isfinite(mask).all() or float(mask.min()) < -1e-3 or float(mask.max()) > 1 + 1e-3:
        raise InputError("a mask must lie within 0 and 1", found=f"{mask.min():g} to {mask.max():g}")
    share = float((mask > 0.5).mean())
    if share == 0 or share == 1:
        raise InputError(
            "the mask is empty" if share == 0 else "the mask is full",
            found=f"{share:.0%} of the box",
            todo="lower or raise its threshold",
        )


def find_program(name: str) -> str:
    """Full path of a RELION program; raises MissingToolError where it is not on the PATH."""
    path = shutil.which(name)
    if path is None:
        raise MissingToolError(
            f"{name} is not on the PATH",
            todo="install RELION (Debian: apt install relion), load its module, or use the engine `native`",
        )
    return str(Path(path).absolute())


@lru_cache(maxsize=1)
def relion_version() -> str:
    """What relion_reconstruct says of itself, e.g. `3.1.3`."""
    found = subprocess.run(
        [find_program("relion_reconstruct"), "--version"], capture_output=True, text=True, check=False
    )
    match = re.search(r"\d+\.\d+(\.\d+)?", found.stdout + found.stderr)
    return match[0] if match else "unknown"


def run_relion(command: Sequence[str], folder: Path) -> None:
    """Run a RELION program in `folder`; its lines, without progress bars, go to the log.

    Raises StageError with its own words where it fails or ignores an option.
    """
    log.info("running %s", " ".join(command))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    lines = plain_lines(done.stdout)
    for line in lines:
        log.info("  %s", line)
    faults = complaints(lines)
    if done.returncode or any(_IGNORED in fault for fault in faults):
        raise StageError(
            f"{Path(command[0]).name} failed",
            file=folder,
            found=" | ".join(faults or lines[-3:]),
            expected=f"exit status 0, not {done.returncode}" if done.returncode else "no ignored option",
            todo="see the log",
        )


def complaints(lines: Sequence[str]) -> list[str]:
    """What RELION says is wrong, each thing once: the line after `ERROR:`, and options that it ignored."""
    found = [after for line, after in zip(lines, lines[1:], strict=False) if line == "ERROR:"]
    found += [line for line in lines if _IGNORED in line or line.startswith("ERROR: ")]
    return list(dict.fromkeys(found))


def plain_lines(output: str) -> list[str]:
    """The lines of RELION's output that say something: no progress bars, stack frames or rulers."""
    lines = (line.strip() for line in re.split(r"[\r\n]+", output))
    plain = [line for line in lines if line and not _BAR.match(line) and not _FRAME.search(line)]
    return [line for line in plain if not set(line) <= set('=.~(_,>-"')]


def read_map(path: Path, box: int) -> NDArray[np.float32]:
    """A map (n, n, n) that RELION wrote; StageError where absent, empty, not finite or of another size."""
    try:
        volume, _ = read_volume(path)
    except InputError as error:
        raise StageError("RELION wrote no usable map", file=path, found=str(error)) from error
    if volume.shape != (box,) * 3 or not volume.any():
        found = f"{volume.shape}, all zero" if not volume.any() else f"{volume.shape}"
        raise StageError(
            "RELION wrote no usable map", file=path, found=found, expected=f"a map of {box} voxels a side"
        )
    return volume


def _check_images(images: Sequence[Image]) -> int:
    """Box side; InputError for pixels that are not finite and for what RELION 3.1 cannot read."""
    reader = ImageReader(images)
    for path in dict.fromkeys(path for path, _ in images):
        if read_header(path).mode == 12 or read_header(path).compression is not None:
            raise InputError(
                "RELION reads neither 16-bit floats nor compressed stacks",
                file=path,
                todo="extract again, or use the engine `native`",
            )
    for image in images:
        reader.read([image])
    return reader.box


def _lay_out(particles: ParticleSet, images: Sequence[Image], folder: Path) -> None:
    """Links to the stacks and a STAR file with relative names and only the columns that are needed."""
    links = folder / "stacks"
    shutil.rmtree(links, ignore_errors=True)
    links.mkdir(parents=True)
    names: dict[Path, str] = {}
    for path, _ in images:
        if path not in names:
            names[path] = f"stacks/{len(names) + 1:06d}.mrcs"
            (folder / names[path]).symlink_to(path.absolute())
    table = particles.particles.filter(regex=_COLUMNS.pattern).copy()
    table["rlnImageName"] = [f"{index + 1:06d}@{names[path]}" for path, index in images]
    optics = particles.optics.assign(rlnImageSize=ImageReader(images[:1]).box, rlnImageDimensionality=2)
    if "rlnOpticsGroupName" not in optics:
        optics["rlnOpticsGroupName"] = [f"opticsGroup{number}" for number in optics["rlnOpticsGroup"]]
    write_particles(folder / "particles.star", ParticleSet(optics, table))
