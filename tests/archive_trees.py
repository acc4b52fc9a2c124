"""Small entries of every archive, in the layouts that the loopback server serves."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
from discs import micrograph, scattered

from vitreous.io.mrc import write_image, write_stack, write_volume
from vitreous.io.particles import ParticleSet, write_particles

SHAPE, DIAMETER, PIXEL_A = (160, 200), 24.0, 2.0


def disc_image(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A micrograph of dark discs and their centres (n, 2) as x, y."""
    rng = np.random.default_rng(seed)
    centres = scattered(rng, SHAPE, 25, DIAMETER, DIAMETER / 2 + 2)
    return micrograph(rng, SHAPE, centres, DIAMETER, 0.5), centres


def empiar_entry(root: Path, number: str = "10017", count: int = 3) -> list[Path]:
    """Micrographs `mic_0.mrc` … in `data`, with blanks in a sub-folder's name."""
    paths = []
    for index in range(count):
        path = root / f"empiar/{number}/data/grid square {index % 2}/mic_{index}.mrc"
        write_image(path, disc_image(index)[0], PIXEL_A)
        paths.append(path)
    return paths


def coordinates(index: int) -> str:
    """CryoPPP's CSV of a micrograph: rows count from below against the MRC array."""
    x, y = disc_image(index)[1].T
    table = pd.DataFrame({"X-Coordinate": x, "Y-Coordinate": SHAPE[0] - 1 - y, "Diameter": DIAMETER})
    return table.to_csv(index=False)


def tar_gz(path: Path, members: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> None:
    """A tar.gz of members by name, and of whatever else in `extra`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in extra or []:
            tar.addfile(info)


def mrc_bytes(index: int, folder: Path) -> bytes:
    """A micrograph as the bytes of its MRC file."""
    write_image(folder / "one.mrc", disc_image(index)[0], PIXEL_A)
    return (folder / "one.mrc").read_bytes()


def cryoppp_entry(root: Path, scratch: Path, number: str = "10028", count: int = 3) -> dict[str, bytes]:
    """An archive of micrographs, coordinates (none of the last) and a particle stack; its members."""
    members = {f"{number}/micrographs/mic_{i}.mrc": mrc_bytes(i, scratch) for i in range(count)}
    folder = f"{number}/ground_truth/particle_coordinates"
    members |= {f"{folder}/mic_{i}.csv": coordinates(i).encode() for i in range(count - 1)}
    members[f"{number}/particles_stack/mic_0_particles.mrc"] = mrc_bytes(9, scratch)
    tar_gz(root / f"cryoppp/{number}.tar.gz", members)
    return members


def labels_record(root: Path, number: str = "10017", count: int = 3) -> None:
    """The record of CryoPPP's labels on Zenodo, with one archive an entry; names as cryoSPARC writes them."""
    name = "000123456789012345678_mic_{}_patch_aligned_doseweighted.csv"
    members = {f"{number}/{name.format(i)}": coordinates(i).encode() for i in range(count)}
    tar_gz(root / f"zenodo/7934683/{number}.tar.gz", members)


def cesped_half(root: Path, record: int, half: int, count: int = 6, box: int = 16, chunk: int = 0) -> bytes:
    """A half of a CESPED entry in a record; its stack cut into chunks of so many bytes, or whole."""
    folder = root / f"zenodo/{record}"
    rng = np.random.default_rng(half)
    write_stack(folder / f"particles_{half}.mrcs", rng.standard_normal((count, box, box)), 1.5)
    known = {"rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1}
    sizes = {"rlnImagePixelSize": 1.5, "rlnImageSize": box}
    optics = pd.DataFrame([{"rlnOpticsGroup": 1, "rlnOpticsGroupName": "opticsGroup1", **known, **sizes}])
    table = pd.DataFrame({"rlnImageName": [f"{i + 1:06d}@particles_{half}.mrcs" for i in range(count)]})
    for label in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"):
        table[label] = rng.uniform(0, 90, count)
    write_particles(folder / f"particles_{half}.star", ParticleSet(optics, table.assign(rlnOpticsGroup=1)))
    (folder / f"info_{half}.json").write_text(json.dumps({"symmetry": "C1"}))
    whole = folder / f"particles_{half}.mrcs"
    data = whole.read_bytes()
    if chunk:
        for index in range(0, len(data), chunk):
            (folder / f"{whole.name}.chunk_{index // chunk}").write_bytes(data[index : index + chunk])
        whole.unlink()
    return data


def mask_record(root: Path, entry: str, box: int = 16) -> None:
    """The record of CESPED's masks, with one of them."""
    write_volume(root / f"zenodo/11092291/{entry}_mask.mrc", np.ones((box, box, box)), 1.5)


def emdb_entry(root: Path, number: str = "2660") -> None:
    """A map with its header and two half-maps."""
    folder = root / f"emdb/EMD-{number}"
    volume = np.random.default_rng(0).standard_normal((8, 8, 8))
    write_volume(folder / "one.mrc", volume, 1.34)
    packed = gzip.compress((folder / "one.mrc").read_bytes(), mtime=0)
    (folder / "one.mrc").unlink()
    for name in (
        f"map/emd_{number}.map.gz",
        f"other/emd_{number}_half_map_1.map.gz",
        f"other/emd_{number}_half_map_2.map.gz",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(packed)
    (folder / "header").mkdir()
    (folder / f"header/emd-{number}.xml").write_text(
        f'<emd emdb_id="EMD-{number}" version="3.0.9.4"><admin><title>a map</title></admin>'
        f'<map format="CCP4" size_kbytes="3"><file>emd_{number}.map.gz</file>'
        "<dimensions><col>8</col><row>8</row><sec>8</sec></dimensions>"
        '<cell><a units="Å">10.72</a><b units="Å">10.72</b><c units="Å">10.72</c></cell>'
        "<axis_order><fast>X</fast><medium>Y</medium><slow>Z</slow></axis_order></map></emd>"
    )


def md5(data: bytes) -> str:
    """For a look at a record."""
    return hashlib.md5(data).hexdigest()
