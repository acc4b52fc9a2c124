"""The downloader against curl: one large file from loopback to the same disk, alternating, in one run.

The claim: at least 60 % of curl's speed, ours hashing (SHA-256) and curl not. Further lines: with the MD5 an
archive states, and a tar.gz unpacked as it comes against `curl | tar xz`. Prints seconds, MB/s and ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vitreous.data.download.batch import fetch_files
from vitreous.data.download.client import Client
from vitreous.data.download.remote import single
from vitreous.data.download.settings import NetworkSettings
from vitreous.data.download.unpack import Unpacking

SERVER = Path(__file__).parent.parent / "tests" / "fake_archive.py"
LETTERS = bytes(97 + (value & 15) for value in range(256))


def make_files(root: Path, megabytes: int) -> str:
    """Lay a file and a tar.gz of a quarter of its size into the archive; the file's MD5."""
    rng, plain = random.Random(0), root / "plain"
    plain.mkdir(parents=True)
    hashed = hashlib.md5(usedforsecurity=False)
    with (plain / "big.bin").open("wb") as out:
        for _ in range(megabytes):
            block = rng.randbytes(1_000_000)
            hashed.update(block)
            out.write(block)
    members = root / "members"
    members.mkdir()
    for index in range(8):
        with (members / f"{index}.dat").open("wb") as out:
            for _ in range(max(1, megabytes // 32)):
                out.write(rng.randbytes(1_000_000).translate(LETTERS))
    with tarfile.open(plain / "set.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(members, arcname="set")
    shutil.rmtree(members)
    return hashed.hexdigest()


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The fake archive in a process of its own; its address."""
    process = subprocess.Popen([sys.executable, SERVER, root], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def ours(url: str, folder: Path, checksum: str | None) -> None:
    outcome = fetch_files([single("big.bin", url, checksum=checksum)], folder, Client(NetworkSettings()))
    assert list(outcome.fetched) == ["big.bin"], outcome.failed


def unpacked(url: str, folder: Path) -> None:
    done = Unpacking(Client(NetworkSettings()), url, folder, lambda name: name).run()
    assert len(done.written) == 8 and not done.failed


def curl(url: str, folder: Path) -> None:
    subprocess.run(["curl", "-sfo", folder / "big.bin", url], check=True)


def curl_tar(url: str, folder: Path) -> None:
    command = 'set -o pipefail; curl -sf "$1" | tar xzf - -C "$2"'
    subprocess.run(["bash", "-c", command, "bash", url, folder], check=True)


def seconds(action: Callable[[Path], None], disk: Path) -> float:
    """Seconds of an action in an empty folder; what earlier ones wrote is on the disk by then."""
    os.sync()
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        start = time.perf_counter()
        action(Path(folder))
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to read and write (default: the system's)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        md5 = make_files(root / "served", options.megabytes)
        with served(root / "served") as base:
            measure(base, md5, root, options)


def measure(base: str, md5: str, root: Path, options: argparse.Namespace) -> None:
    """Run all actions in turn, several rounds, and print what they took."""
    file, archive = f"{base}/plain/big.bin", f"{base}/plain/set.tar.gz"
    actions: dict[str, Callable[[Path], None]] = {
        "curl": lambda folder: curl(file, folder),
        "vitreous, SHA-256": lambda folder: ours(file, folder, None),
        "vitreous, SHA-256 and MD5": lambda folder: ours(file, folder, f"md5:{md5}"),
        "curl | tar xz": lambda folder: curl_tar(archive, folder),
        "vitreous, unpacked": lambda folder: unpacked(archive, folder),
    }
    sizes = {name: (root / "served/plain" / ("set.tar.gz" if "tar" in name or "unp" in name else "big.bin"))
             for name in actions}  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(options.rounds):
        for name, action in actions.items():
            times[name].append(seconds(action, root))
    for name, values in times.items():
        speed = sizes[name].stat().st_size / 1e6 / statistics.median(values)
        print(f"{name}: {[round(value, 2) for value in values]} s, median {speed:.0f} MB/s")
    against = {name: "curl" if "SHA" in name else "curl | tar xz" for name in actions if "vitreous" in name}
    for name, other in against.items():
        ratios = [theirs / mine for mine, theirs in zip(times[name], times[other], strict=True)]
        median = statistics.median(ratios)
        verdict = "held" if median >= 0.6 else "MISSED"
        claim = f" (claim: at least 0.6: {verdict})" if name.endswith("256") else ""
        print(f"speed of {name} / {other}: {[round(one, 2) for one in ratios]}, median {median:.2f}{claim}")


if __name__ == "__main__":
    main()
