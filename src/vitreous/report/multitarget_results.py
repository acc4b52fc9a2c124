"""An experiment on multi-target detection as its files tell it: means by method and SNR, and facts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vitreous.report.results import DETECTION, read_facts, read_table
from vitreous.report.scores import as_number

PREFIX = DETECTION
FOLDER = "experiments/multitarget"
PUBLISHED = "published"
NEEDED = {"method", "snr", "metric", "value"}


@dataclass(frozen=True)
class Mean:
    """A mean over the trials of a method at one SNR; its standard error over targets, NaN where unknown."""

    value: float
    error: float = math.nan
    trials: int = 0


UNKNOWN = Mean(math.nan)


@dataclass(frozen=True)
class Experiment:
    """Means by (method, SNR) and metric in the table's order; the prior of each method, empty for none."""

    name: str
    means: dict[tuple[str, float], dict[str, Mean]]
    priors: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What the configuration calls it, else its name."""
        plain = re.sub(r"(?<=[a-z])(?=\d)", " ", self.name.replace("-", " ")).capitalize()
        return str(self.facts.get("title") or plain)

    @cached_property
    def methods(self) -> list[str]:
        """The methods in order."""
        return list(dict.fromkeys(method for method, _ in self.means))

    @cached_property
    def snrs(self) -> list[float]:
        """The SNRs in the table's order."""
        return list(dict.fromkeys(snr for _, snr in self.means))

    def mean(self, method: str, snr: float, metric: str) -> Mean:
        """A metric's mean; `UNKNOWN` where it is not there."""
        return self.means.get((method, snr), {}).get(metric, UNKNOWN)

    def value(self, method: str, snr: float, metric: str) -> float:
        """A metric's mean as a number; NaN where it is not there."""
        return self.mean(method, snr, metric).value

    def floor(self, method: str, snr: float) -> float:
        """The error with known poses: after the method's own denoiser where it has one, else as averaged."""
        denoised = self.value(method, snr, "known_prior_error")
        return denoised if math.isfinite(denoised) else self.value(method, snr, "known_error")

    def ratio(self, method: str, snr: float) -> float:
        """The aligned error as a multiple of the floor."""
        floor = self.floor(method, snr)
        return self.value(method, snr, "error_aligned") / floor if floor > 0 else math.nan

    def has(self, metric: str) -> bool:
        """Whether any method has this metric."""
        return any(metric in values for values in self.means.values())

    def has_of(self, method: str, metric: str) -> bool:
        """Whether the method has this metric at any SNR."""
        return any(metric in values for (own, _), values in self.means.items() if own == method)

    def is_published(self, method: str) -> bool:
        """Whether the method is the paper's: patches and gradient steps, or by its name."""
        known = self.facts_of(method)
        as_published = (known.get("e_step"), known.get("m_step")) == ("patch", "gradient")
        return as_published if known else method.startswith(PUBLISHED)

    def facts_of(self, method: str) -> dict[str, Any]:
        """What is known of a method: prior, e_step, m_step, iterations, …; empty where nothing is."""
        known = (self.facts.get("methods") or {}).get(method)
        return known if isinstance(known, dict) else {}

    @property
    def measurement(self) -> dict[str, Any]:
        """The settings of the measurements; empty where they are not known."""
        known = self.facts.get("measurement")
        return known if isinstance(known, dict) else {}

    @property
    def rotations(self) -> int:
        """The number K of rotations; the paper's 4 where nothing is known."""
        return int(self.measurement.get("rotations", 4))

    @property
    def trials(self) -> int:
        """How many measurements stand behind a mean."""
        return max((mean.trials for values in self.means.values() for mean in values.values()), default=0)


def name_of(table: Path) -> str:
    """The experiment that a table `multitarget_<experiment>.csv` is about."""
    return table.stem.removeprefix(PREFIX)


def facts_file(table: Path) -> Path:
    """What is known of an experiment, from where its table lies: `<run>/tables`."""
    return table.parent.parent / FOLDER / name_of(table) / "experiment.json"


def read_experiment(table: Path) -> Experiment:
    """Read an experiment's table and the facts beside its trials; no means where the table is damaged."""
    means: dict[tuple[str, float], dict[str, Mean]] = {}
    priors: dict[str, str] = {}
    rows = read_table(table)
    known = rows.to_dict("records") if set(rows) >= NEEDED else []
    for row in known:
        method, snr = str(row["method"]), as_number(row["snr"])
        low, high = as_number(row.get("low")), as_number(row.get("high"))
        trials = as_number(row.get("n"))
        mean = Mean(as_number(row["value"]), (high - low) / 2, int(trials) if math.isfinite(trials) else 0)
        means.setdefault((method, snr), {})[str(row["metric"])] = mean
        prior = row.get("model")
        priors[method] = prior if isinstance(prior, str) else ""
    return Experiment(name_of(table), means, priors, read_facts(facts_file(table)))


def measured(experiment: Experiment) -> str:
    """The kind of measurement in a few words: `N = 11 L, K = 4`; empty where it is not known."""
    known = experiment.measurement
    words = [f"N = {known['size_in_images']:g} L"] if "size_in_images" in known else []
    words += [f"K = {known['rotations']}"] if "rotations" in known else []
    return ", ".join(words)
