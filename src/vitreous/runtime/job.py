"""One job of the workflow: its log, its device, its one-line errors."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from vitreous.errors import VitreousError
from vitreous.runtime.device import Runtime, choose_device
from vitreous.runtime.files import stage_error
from vitreous.runtime.plural import plural
from vitreous.runtime.provenance import versions


def log_to(path: Path | None) -> None:
    """Send the package's log to standard error and, where given, to the file `path` (made anew)."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8"))
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=handlers, force=True
    )
    for noisy in ("matplotlib", "numba", "PIL", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, is no error of the stage


def log_settings(settings: Mapping[str, Any], prefix: str = "") -> None:
    """Write the settings that differ from the defaults to the log, one line each."""
    for key in sorted(settings):
        value = settings[key]
        if isinstance(value, Mapping):
            log_settings(value, f"{prefix}{key}.")
        else:
            logging.getLogger(__name__).info("  %-40s | %s", prefix + key, value)


def optional(files: Any, name: str) -> Path | None:
    """The one file of the input called `name`, or None where the rule has none for these wildcards."""
    found = list(files.get(name, []))
    return Path(found[0]) if found else None


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[Runtime]:
    """Run a rule's script: log into its `log:`, device and threads from its resources, errors as one line.

    `snakemake` is the object that Snakemake gives to a script. A GPU is used only by rules that request one.
    """
    signal.signal(signal.SIGTERM, _interrupted)
    log_to(Path(snakemake.log[0]) if snakemake.log else None)
    log = logging.getLogger(__name__)
    wanted = snakemake.config.get("compute", {}).get("device", "auto")
    gpus = int(snakemake.resources.get("gpu", 0))
    device = choose_device(wanted) if gpus else "cpu"
    runtime = Runtime(
        device=device,
        threads=snakemake.threads,
        seed=int(snakemake.params.get("seed", 0)),
        processes=gpus if device == "cuda" else 1,
    )
    threads = plural(runtime.threads, "thread")
    log.info("device %s, %s, seed %d, %s", device, threads, runtime.seed, versions())
    log.info("settings that differ from the defaults:")
    log_settings(dict(snakemake.params.get("settings", None) or {}))
    os.environ.setdefault("NUMBA_NUM_THREADS", str(runtime.threads))
    try:
        yield runtime
    except VitreousError as error:
        log.error("%s", error)
        sys.exit(1)
    except OSError as error:
        log.error("%s", stage_error(error))
        sys.exit(1)
    except MemoryError:
        log.error("out of memory; raise `mem_mb` of rule %s or make batches smaller", snakemake.rule)
        sys.exit(137)
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported for its name alone
            log.error("out of memory on the GPU; set `compute.device: cpu` or smaller batches (%s)", error)
            sys.exit(137)
        said = f"{type(error).__name__}: {error}"
        log.error("a fault of vitreous itself, please report it: %s\n%s", said, traceback.format_exc())
        sys.exit(70)
