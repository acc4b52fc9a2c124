"""Random schedules of faults against the downloader: nothing is lost and every byte is right.

A schedule is a few files of different kinds, for each a sequence of faults of the server, and runs of the
fetch that are killed (-9) at random moments, with the manifest or a part damaged in between. A fault that no
client could notice (a bit flipped in a file without checksum, gzip or MRC header) is not scheduled.

    .venv/bin/python tests/fault_schedules.py --count 500 --seed 0
    .venv/bin/python tests/fault_schedules.py --only 123
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import multiprocessing
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from fake_archive import FakeArchive
from schedule_damage import damage
from served_files import few, md5, mrc, noise, packed, quick, serve, tar_gz

from vitreous.data.archives.zenodo import read_record
from vitreous.data.download.batch import fetch_files
from vitreous.data.download.client import Client
from vitreous.data.download.remote import Piece, RemoteFile, single
from vitreous.data.download.settings import NetworkSettings
from vitreous.data.download.unpack import Unpacking
from vitreous.errors import InputError, StageError

RUNS = 12
RECORD = "7"
ANY = ("drop", "hang", "status", "etag", "noetag", "norange", "badrange", "nolength", "redirect",
       "gzipheader", "html", "xml", "slow")  # fmt: skip


@dataclass
class Plan:
    """What one schedule fetches: files by path, what each address serves, what the archive holds."""

    files: list[RemoteFile] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)  # path below the folder -> its bytes
    served: dict[str, bytes] = field(default_factory=dict)  # address below /plain -> its bytes
    kinds: dict[str, str] = field(default_factory=dict)  # the same -> its kind
    archive: str | None = None  # the tar.gz
    members: dict[str, bytes] = field(default_factory=dict)
    damaged: bool = False  # whether a bit of the tar.gz is flipped
    record: bool = False  # whether the files of a record of Zenodo are fetched too


@dataclass
class Report:
    """What became of one schedule."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    kills: int = 0
    damages: int = 0
    bytes_served: int = 0
    bytes_wanted: int = 0
    trouble: str = ""


# what is fetched


def make_plan(rng: random.Random, root: Path, base: str) -> Plan:
    """Lay files into the archive's folder and say how they are asked for."""
    plan = Plan()
    makers: dict[str, Callable[[], bytes]] = {
        "plain": lambda: noise(rng, rng.randrange(1, 300_000)),
        "mrc": lambda: mrc(rng, rng.choice((32, 64, 128, 200))),
        "gz": lambda: packed(rng, rng.randrange(1000, 400_000)),
        "sum": lambda: noise(rng, rng.randrange(1, 300_000)),
    }
    for index in range(rng.randrange(1, 4)):
        kind = rng.choice(("plain", "mrc", "gz", "sum", "pieces"))
        if kind == "pieces":
            _add_pieces(plan, rng, index, base)
            continue
        path = f"{kind}/{index}.{ {'plain': 'bin', 'sum': 'dat'}.get(kind, kind) }"
        content = makers[kind]()
        plan.served[path], plan.kinds[path], plan.contents[path] = content, kind, content
        checksum = rng.choice((md5(content), f"sha256:{hashlib.sha256(content).hexdigest()}"))
        plan.files.append(
            single(
                path,
                f"{base}/plain/{path}",
                bytes=rng.choice((None, len(content))),
                checksum=checksum if kind == "sum" else None,
            )
        )
    if rng.random() < 0.4:
        _add_archive(plan, rng)
    for path, content in plan.served.items():
        serve(root, path, content)
    if rng.random() < 0.25:
        plan.record = True
        for name in ("a.dat", "b.dat"):
            content = noise(rng, rng.randrange(1, 60_000))
            (root / "zenodo" / RECORD).mkdir(parents=True, exist_ok=True)
            (root / "zenodo" / RECORD / name).write_bytes(content)
            plan.contents[f"record/{name}"] = content
    return plan


def _add_pieces(plan: Plan, rng: random.Random, index: int, base: str) -> None:
    contents = [noise(rng, rng.randrange(1, 120_000)) for _ in range(3)]
    pieces = []
    for number, content in enumerate(contents):
        name = f"pieces/{index}.dat.chunk_{number}"
        plan.served[name], plan.kinds[name] = content, "sum"
        pieces.append(Piece(f"{base}/plain/{name}", rng.choice((None, len(content))), md5(content)))
    plan.files.append(RemoteFile(f"pieces/{index}.dat", tuple(pieces)))
    plan.contents[f"pieces/{index}.dat"] = b"".join(contents)


def _add_archive(plan: Plan, rng: random.Random) -> None:
    for index in range(rng.randrange(1, 6)):
        plan.members[f"set/m{index}.mrc"] = mrc(rng, rng.choice((16, 64, 100)))
        plan.members[f"set/sub/m{index}.csv"] = few(rng, rng.randrange(0, 150_000))
    plan.archive = "set.tar.gz"
    plan.served[plan.archive], plan.kinds[plan.archive] = tar_gz(plan.members), "tar"


# what goes wrong


def make_rules(rng: random.Random, plan: Plan, killed: bool) -> list[dict[str, object]]:
    """Rules of the server: for each address its faults in their order, each once."""
    rules: list[dict[str, object]] = []
    for name, content in plan.served.items():
        texts = make_faults(rng, plan.kinds[name], len(content), killed)
        rules += [{"match": f"/plain/{name}", "fault": text, "times": 1} for text in texts]
        plan.damaged |= name == plan.archive and any("corrupt" in text for text in texts)
    if plan.record:
        for name in rng.sample(("size", "checksum", "short", "status:429,0", "html"), k=rng.randrange(3)):
            rules.append({"match": f"/api/records/{RECORD}", "fault": name, "times": 1})
        rules.append(
            {"match": f"/*records/{RECORD}/files/*", "fault": f"drop:{rng.randrange(9000)}", "times": 1}
        )
    return rules


def make_faults(rng: random.Random, kind: str, size: int, killed: bool) -> list[str]:
    """Faults of one address. Content that is wrong is seen at most twice, less often than it is asked for."""
    found: list[str] = []
    for _ in range(rng.randrange(6)):
        name = rng.choice(ANY)
        number = rng.randrange(size + 1)
        text = {"status": f"status:{rng.choice((429, 500, 502, 503))},0", "slow": f"slow:{size * 8 + 1000}",
                "drop": f"drop:{number}", "hang": f"hang:{number}"}.get(name, name)  # fmt: skip
        found.append(text)
    noticed = {"sum": range(size), "gz": range(10, size), "tar": range(10, size), "mrc": (0, 4, 8)}
    if kind in noticed:
        for text in rng.sample(("corrupt", "corrupt", "swap"), k=rng.choice((0, 0, 1, 1, 2))):
            offset = f":{rng.choice(noticed[kind])}" if text == "corrupt" else ""
            found.insert(rng.randrange(len(found) + 1), text + offset)
    elif not killed and size > 60_000 and rng.random() < 0.5:
        # without a checksum another version is noticed where a part of the first is here
        found = [f"drop:{rng.randrange(30_000, size)}", "swap", *found]
    return found


# the fetch, in this process or in one that is killed


def fetch_all(plan: Plan, folder: Path, base: str, settings: NetworkSettings) -> str:
    """Fetch everything once; what could not be had in words."""
    client = Client(settings)
    troubles = []
    try:
        files = list(plan.files)
        if plan.record:
            record = read_record(client, int(RECORD))
            found = [record.remote(name) for name in record.files]
            files += [RemoteFile(f"record/{one.path}", one.pieces) for one in found]
        troubles += [str(error) for error in fetch_files(files, folder, client).failed.values()]
        if plan.archive:
            url = f"{base}/plain/{plan.archive}"
            troubles += Unpacking(client, url, folder, lambda name: name).run().failed.values()
    except (InputError, StageError) as error:
        troubles.append(str(error))
    return "; ".join(troubles)


def _child(plan: Plan, folder: Path, base: str, settings: NetworkSettings) -> None:
    logging.disable(logging.CRITICAL)
    fetch_all(plan, folder, base, settings)


def run_killed(plan: Plan, folder: Path, base: str, settings: NetworkSettings, after_s: float) -> bool:
    """Fetch in a process of its own that is killed after a while; whether it was still at work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fault_schedules"])
    process = context.Process(target=_child, args=(plan, folder, base, settings))
    process.start()
    process.join(after_s)
    alive = process.is_alive()
    if alive:
        process.kill()
    process.join()
    return alive


# one schedule


def run_schedule(seed: int) -> Report:
    """Make and run the schedule of a seed."""
    logging.disable(logging.CRITICAL)
    report = Report(seed)
    with tempfile.TemporaryDirectory(prefix="schedule-") as name:
        try:
            _run_schedule(random.Random(seed), Path(name), report)
        except Exception:
            report.trouble = traceback.format_exc()
        finally:
            logging.disable(logging.NOTSET)
    return report


def _run_schedule(rng: random.Random, root: Path, report: Report) -> None:
    folder, killed = root / "here", rng.random() < 0.5
    rate = rng.choice((0, 500_000, 2_000_000)) if killed else 0
    with FakeArchive(root / "served", hang_seconds=1.0, rate=rate) as archive:
        settings = quick(
            hang_timeout_s=0.2, whole_tries=4, connections=rng.randrange(1, 5), point_bytes=20_000,
            chunk_bytes=rng.choice((1024, 5000, 1 << 14, 1 << 18)), mirrors=archive.mirrors,
        )  # fmt: skip
        plan = make_plan(rng, root / "served", archive.url)
        archive.set_faults(make_rules(rng, plan, killed))
        whole: dict[str, bytes] = {}
        broken: set[str] = set()  # by us, between two runs, and not yet mended
        while report.runs < RUNS:
            report.runs += 1
            if killed and report.runs < 5 and rng.random() < 0.8:
                after_s = rng.uniform(0.02, 0.35)
                report.kills += run_killed(plan, folder, archive.url, settings, after_s)
                trouble = "killed"
            else:
                trouble = fetch_all(plan, folder, archive.url, settings)
            whole = check(plan, folder, whole, broken)
            if not trouble and whole.keys() >= wanted(plan).keys():
                break
            broken -= whole.keys()
            if not broken and rng.random() < 0.6:
                report.damages += 1
                broken = set(damage(rng, folder, plan))
                for path in broken:
                    whole.pop(path, None)
        else:
            raise AssertionError(f"not all is here after {RUNS} runs: {trouble}")
        assert whole == wanted(plan)
        report.faults.update(request.fault.partition(":")[0] for request in archive.log if request.fault)
        report.bytes_served = archive.bytes_sent()
        report.bytes_wanted = sum(map(len, plan.served.values()))
        report.bytes_wanted += sum(
            len(content) for path, content in plan.contents.items() if "record/" in path
        )
        archive.set_faults([])  # those that were not met
        before = len(archive.log)
        assert not fetch_all(plan, folder, archive.url, settings)
        again = [one.path for one in archive.log[before:] if one.path != f"/api/records/{RECORD}"]
        assert not again, f"asked again for what is here: {again}"


def wanted(plan: Plan) -> dict[str, bytes]:
    """Everything that has to be here at the end."""
    return plan.contents | plan.members


def check(plan: Plan, folder: Path, whole: dict[str, bytes], broken: set[str]) -> dict[str, bytes]:
    """What is here under its name: always the served bytes, and all that was here before.

    Members of an archive in which a bit is flipped are known to be wrong only at its end.
    """

    def guarded(path: str) -> bool:
        return path in plan.contents or not plan.damaged

    here = {}
    for path, content in wanted(plan).items():
        found = (folder / path).read_bytes() if (folder / path).exists() else None
        if found == content:
            here[path] = content
        elif guarded(path) and path not in broken and (found is not None or path in whole):
            lost = "lost" if found is None else f"{len(found)} other bytes than the {len(content)} served"
            raise AssertionError(f"{path}: {lost}")
    return here


# the command


def main() -> int:
    """Run many schedules on two cores and print what was met; 1 where one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500, help="how many schedules")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--only", type=int, help="run the schedule of this seed alone")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.count) if options.only is None else [options.only]
    reports: list[Report] = []
    start = said = time.monotonic()
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(run_schedule, seed) for seed in seeds]
        for future in as_completed(futures):
            report = future.result()
            reports.append(report)
            if report.trouble:
                print(f"schedule of seed {report.seed} failed:\n{report.trouble}", flush=True)
                pool.shutdown(cancel_futures=True)
                return 1
            if time.monotonic() - said > 20:
                said = time.monotonic()
                print(f"{len(reports)} of {len(futures)} schedules, {said - start:.0f} s", flush=True)
    print_table(reports, time.monotonic() - start)
    return 0


def print_table(reports: list[Report], seconds: float) -> None:
    """What was met, by kind."""
    faults = sum((report.faults for report in reports), Counter[str]())
    rows: list[tuple[str, object]] = [("schedules, all whole", len(reports))]
    rows += [(f"fault {name}", count) for name, count in sorted(faults.items())]
    served, wanted_bytes = (sum(getattr(r, key) for r in reports) for key in ("bytes_served", "bytes_wanted"))
    rows += [
        ("runs", sum(report.runs for report in reports)),
        ("kill -9", sum(report.kills for report in reports)),
        ("files damaged between runs", sum(report.damages for report in reports)),
        ("bytes served / bytes of the files", f"{served / max(1, wanted_bytes):.2f}"),
        ("seconds", f"{seconds:.0f}"),
    ]
    for name, value in rows:
        print(f"{name:<36} {value}")


if __name__ == "__main__":
    sys.exit(main())
