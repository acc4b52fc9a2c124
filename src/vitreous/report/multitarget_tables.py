"""Tables of multi-target detection: every method at every SNR, what the methods are, where detection ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vitreous.report.blocks import NONE, Cell, Column, Row, Table, fixed, number
from vitreous.report.multitarget_results import Experiment, measured

MIDDLE = 0.5
HEADS = ("prior", "E-step", "M-step", "iterations", "more")


@dataclass(frozen=True)
class _Shown:
    """A column of the main table: heading, a metric or two with a stroke between, which end is good."""

    column: Column
    metrics: tuple[str, ...]
    better: str = ""
    decimals: int = 3
    spread: bool = False


def _shown(
    label: str, title: str, *metrics: str, better: str = "", decimals: int = 3, spread: bool = False
) -> _Shown:
    return _Shown(Column(label, numeric=True, title=title), metrics, better, decimals, spread)


RATIO = "ratio"
SHOWN = (
    _shown("aligned error", "‖estimate − truth‖ / ‖truth‖, the least over rotations and whole-pixel shifts",
           "error_aligned", better="low", spread=True),
    _shown("published error", "the same over rotations alone, as in paper 001", "error", better="low",
           spread=True),
    _shown("prior alone", "aligned error of the prior's mean, which has seen no data: an estimate that is "
           "worse has learnt nothing", "prior_error_aligned"),
    _shown("known poses", "error of the average over the targets at their true poses", "known_error"),
    _shown("known poses, denoised", "the same average after the method's own denoiser: the floor of a method "
           "with this prior", "known_prior_error"),
    _shown("ratio to floor", "aligned error / error with known poses, denoised where the method can",
           RATIO, decimals=2),
    _shown("recovered", "share of the measurements with an aligned error below the threshold of the note",
           "recovered", better="high", decimals=2),
    _shown("found / planted", "expected number of targets / number that is there; by patches each piece of a "
           "target counts", "found", "planted", decimals=1),
    _shown("pose precision / recall", "share of the poses found that are right (within 2 px, same turn) / "
           "share of the planted targets whose pose is found", "pose_precision", "pose_recall", decimals=2),
    _shown("FRC 0.5", "shell, 1 / (L px), at which the ring correlation with the truth falls to one half",
           "frc_shell", better="high", decimals=1),
    _shown("claimed / in noise", "share of the measurements in which the method claims a target / share of "
           "those of noise alone in which it does: false alarms", "claimed", "control_claimed", decimals=2),
)  # fmt: skip


def result_table(experiment: Experiment) -> Table:
    """Every method at every SNR, errors first, then what they are to be read against."""
    shown = [one for one in SHOWN if _is_worth(experiment, one)]
    rows: list[Row] = []
    for snr in experiment.snrs:
        heading = f"SNR {snr:g}"
        methods = [method for method in experiment.methods if (method, snr) in experiment.means]
        best = [_best([_value(experiment, method, snr, one) for method in methods], one) for one in shown]
        for method in methods:
            cells = [
                _cell(experiment, method, snr, one, at_best) for one, at_best in zip(shown, best, strict=True)
            ]
            rows.append(Row([Cell(method, title=_meant(experiment, method)), *cells], group=heading))
            heading = ""
    columns = [Column("method"), *(one.column for one in shown)]
    return Table(columns, rows, caption="Errors of every method", note=_note(experiment))


def _is_worth(experiment: Experiment, shown: _Shown) -> bool:
    """Whether a column says anything here."""
    first = shown.metrics[0]
    if first == "frc_shell":
        return bool(experiment.facts.get("pixel_size_A"))
    if first == "claimed":
        values = [experiment.value(*key, "claimed") for key in experiment.means]
        return experiment.has("control_claimed") or any(value < 1 for value in values)
    return first == RATIO or experiment.has(first)


def _value(experiment: Experiment, method: str, snr: float, shown: _Shown) -> float:
    first = shown.metrics[0]
    return experiment.ratio(method, snr) if first == RATIO else experiment.value(method, snr, first)


def _best(values: Sequence[float], shown: _Shown) -> float:
    known = [round(value, shown.decimals) for value in values if math.isfinite(value)]
    if len(known) < 2 or not shown.better or max(known) == min(known):
        return math.nan
    return max(known) if shown.better == "high" else min(known)


def _cell(experiment: Experiment, method: str, snr: float, shown: _Shown, best: float) -> Cell:
    value = _value(experiment, method, snr, shown)
    others = [experiment.value(method, snr, metric) for metric in shown.metrics[1:]]
    if not any(math.isfinite(one) for one in (value, *others)):
        return Cell(NONE, kind="none")
    # Whole numbers, as of the targets that are planted, stand without decimals beside others.
    texts = [fixed(one, 0 if one > 1 and one == round(one) else shown.decimals) for one in others]
    error = experiment.mean(method, snr, shown.metrics[0]).error
    spread = f"± {fixed(error, shown.decimals)}" if shown.spread and math.isfinite(error) else ""
    kind = "best" if round(value, shown.decimals) == best else ""
    sort = value if math.isfinite(value) else others[0]
    return Cell(" / ".join([fixed(value, shown.decimals), *texts]), sort, kind=kind, note=spread)


def _note(experiment: Experiment) -> str:
    recovered = experiment.facts.get("recovered")
    limit = f"below {recovered:g}" if isinstance(recovered, int | float) else "below the configured number"
    return (
        f"Bold: the best at an SNR. ±: standard error over targets; {experiment.trials} measurements a row. "
        f"Recovered: aligned error {limit}."
    )


def _meant(experiment: Experiment, method: str) -> str:
    """A method in words, as far as it is known."""
    return ", ".join(text for text in _words(experiment, method).values() if text != NONE)


def _words(experiment: Experiment, method: str) -> dict[str, str]:
    """What is known of a method, by heading."""
    known = experiment.facts_of(method)
    prior = experiment.priors.get(method) or known.get("prior")
    steps = {"patch": "patches", "whole": "whole measurement"}
    update = {"gradient": "gradient step", "closed-form": "closed form"}
    m_step = str(known.get("m_step", NONE))
    m_step = ("plug-and-play" if prior else "closed-form") if m_step == "auto" else m_step
    extra = [f"{known['restarts']} starts"] if known.get("restarts", 1) != 1 else []
    extra += ["oriented by the prior"] if known.get("orient") else []
    return {
        "prior": f"prior {prior}" if prior else "no prior",
        "E-step": steps.get(str(known.get("e_step")), str(known.get("e_step", NONE))),
        "M-step": update.get(m_step, m_step),
        "iterations": f"{known['iterations']} iterations" if "iterations" in known else NONE,
        "more": ", ".join(extra) or NONE,
    }


def methods_table(experiment: Experiment) -> Table | None:
    """What the methods are; None where nothing is known of any."""
    if not any(experiment.facts_of(method) for method in experiment.methods):
        return None
    said = {method: _plain(_words(experiment, method)) for method in experiment.methods}
    heads = [head for head in HEADS if any(words[head] != NONE for words in said.values())]
    rows = [Row([Cell(method), *(Cell(words[head]) for head in heads)]) for method, words in said.items()]
    columns = [Column("method"), *(Column(head, numeric=head == "iterations") for head in heads)]
    return Table(columns, rows)


def _plain(words: dict[str, str]) -> dict[str, str]:
    """The words without those that a column's heading says already."""
    return words | {
        "prior": words["prior"].removeprefix("prior ").replace("no prior", "none"),
        "iterations": words["iterations"].split()[0],
    }


@dataclass(frozen=True)
class Limit:
    """The SNR at which half of the measurements are recovered; `sign` is `<` or `>` where it lies outside."""

    snr: float
    sign: str = ""

    @property
    def text(self) -> str:
        """As it is printed."""
        return f"{self.sign} {self.snr:.2g}".strip()


def limit(experiment: Experiment, method: str) -> Limit | None:
    """Where the share of recovered measurements falls through one half, coming from high SNR.

    Between two SNRs it is interpolated in log SNR. None where nothing is known.
    """
    shares = {snr: experiment.value(method, snr, "recovered") for snr in experiment.snrs}
    known = sorted((snr for snr, share in shares.items() if math.isfinite(share)), reverse=True)
    if not known:
        return None
    if shares[known[0]] < MIDDLE:
        return Limit(known[0], ">")
    for above, below in zip(known, known[1:], strict=False):
        if shares[below] < MIDDLE:
            part = (shares[above] - MIDDLE) / (shares[above] - shares[below])
            return Limit(math.exp(math.log(above) + part * math.log(below / above)))
    return Limit(known[-1], "<")


def limits_table(experiments: Sequence[Experiment]) -> Table:
    """The detection limit of every method on every kind of measurement, and how far a prior moves it."""
    methods = list(dict.fromkeys(method for one in experiments for method in one.methods))
    rows = []
    for experiment in experiments:
        found = {method: limit(experiment, method) for method in methods if method in experiment.methods}
        cells = [_limit_cell(found.get(method)) for method in methods]
        rows.append(Row([Cell(named(experiment, experiments)), *cells, _gain(experiment, found)]))
    title = "lowest limit of the methods without a prior / lowest limit of those with one"
    columns = [Column("measurement"), *(Column(method, numeric=True) for method in methods)]
    columns.append(Column("moved by a prior", numeric=True, title=title))
    note = "Interpolated in log SNR; `<` and `>`: beyond the SNRs that were tried. Bold: the lowest."
    return Table(
        columns, _marked(rows), caption="SNR at which half of the measurements are recovered", note=note
    )


def _limit_cell(found: Limit | None) -> Cell:
    return Cell(found.text, found.snr) if found else Cell(NONE, kind="none")


def _marked(rows: list[Row]) -> list[Row]:
    """The rows with their lowest limits bold."""
    made = []
    for row in rows:
        head, *limits, gain = row.cells
        values = [float(cell.sort) for cell in limits if cell.sort is not None]
        least = min(values) if len(set(values)) > 1 else math.nan
        bold = [Cell(one.text, one.sort, kind="best" if one.sort == least else one.kind) for one in limits]
        made.append(Row([head, *bold, gain]))
    return made


def _gain(experiment: Experiment, found: Mapping[str, Limit | None]) -> Cell:
    groups: dict[bool, list[Limit]] = {True: [], False: []}
    for method, one in found.items():
        if one is not None:
            groups[bool(experiment.priors.get(method))].append(one)
    if not groups[True] or not groups[False]:
        return Cell(NONE, kind="none")
    plain, helped = (min(groups[key], key=lambda one: one.snr) for key in (False, True))
    factor = plain.snr / helped.snr
    sign = ">" if plain.sign == ">" or helped.sign == "<" else ""
    if plain.sign == "<" or helped.sign == ">":
        return Cell(NONE, kind="none", title="a limit lies outside the SNRs that were tried")
    return Cell(f"{sign} {number(factor, 2)} ×".strip(), factor)


def named(experiment: Experiment, among: Sequence[Experiment]) -> str:
    """What an experiment is called beside others: its kind of measurement where that tells them apart."""
    kinds = [measured(one) for one in among]
    own = measured(experiment)
    return own if own and kinds.count(own) == 1 else experiment.title
