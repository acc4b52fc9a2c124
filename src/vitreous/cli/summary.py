"""What `vitreous run` ends with: scores of what the configuration asks for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from vitreous.cli.workflow import Run
from vitreous.config.plan import Plan
from vitreous.errors import VitreousError

MOST_ROWS = 10
MOST_DETECTIONS = 12
NONE = "–"
Row = tuple[str, ...]
Scores = dict[str, dict[str, float]]


def summary(run: Run) -> list[str]:
    """Aligned tables of what is there, no line for what is missing, none at all at first.

    Reads scores.csv and threshold.json, computes nothing.
    """
    plan = Plan(run.config)
    picks = (
        "picks of",
        "picker",
        "F1",
        "(95 %)",
        "precision",
        "recall",
        "oracle F1",
        "centre error",
        "picks",
    )
    ctfs = ("CTF of", "fit", "micrographs", "failed", "defocus, µm")
    maps = ("map of", "target", "picker", "engine", "half-maps 0.143", "truth 0.5")
    lines = [
        *_left_out(plan, run.directory),
        *_table(picks, 2, list(_picks(plan, run.directory))),
        *(line for name in run.config.comparisons for line in _comparison(plan, name, run.directory)),
        *_table(ctfs, 2, list(_ctfs(plan, run.directory))),
        *_table(maps, 4, list(_maps(plan, run.directory))),
        *_detections(plan, run.directory),
    ]
    return ["", *lines] if lines else []


def _left_out(plan: Plan, root: Path) -> list[str]:
    """A line for each data set of which micrographs could not be read."""
    lines = []
    for dataset in sorted(plan.datasets_used()):
        failed = root / plan.layout.dataset_root / dataset / "failed.csv"
        if failed.exists():
            count = max(len(failed.read_text(encoding="utf-8").splitlines()) - 1, 0)
            lines.append(f"LEFT OUT of {dataset}: {count} unreadable; {failed} says why")
    return [*lines, ""] if lines else []


def _picks(plan: Plan, root: Path) -> Iterator[Row]:
    """Each picker on each data set; without reference picks the count alone."""
    wanted = dict.fromkeys(
        (dataset, denoiser, picker) for _, dataset, denoiser, picker in plan.combinations()
    )
    for dataset, denoiser, picker in wanted:
        names = {"dataset": dataset, "denoiser": denoiser, "picker": picker}
        threshold = root / plan.picks("threshold.json").format(**names)
        scores = _scores(root / plan.picks("scores.csv").format(**names)) if plan.has_truth(dataset) else {}
        if picker == "truth" or not (scores or threshold.exists()):
            continue
        f1 = scores.get("f1_micro", {})
        yield (
            dataset,
            _named(picker, denoiser),
            _number(f1.get("value"), ".3f"),
            _interval(f1),
            *(
                _number(scores.get(metric, {}).get("value"), ".3f")
                for metric in ("precision_micro", "recall_micro", "oracle_f1")
            ),
            _distance(scores.get("median_distance", {}).get("value")),
            _number(scores.get("count_picks", {}).get("value", _count(threshold)), ".0f"),
        )


def _comparison(plan: Plan, name: str, root: Path) -> list[str]:
    """F1 of every picker on every group of a comparison, the best threshold's in brackets."""
    import csv

    path = root / plan.tables.comparison_files(name)[0]
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as handle:
        wanted = [row for row in csv.DictReader(handle) if row.get("metric") in ("f1_micro", "oracle_f1")]
    try:
        values = {
            (row["picker"], row["group"], row["metric"]): float(row["value"] or "nan") for row in wanted
        }
    except (KeyError, TypeError, ValueError):
        return []
    groups = list(dict.fromkeys(row["group"] for row in wanted))
    pickers = list(dict.fromkeys(row["picker"] for row in wanted))
    rows = [(picker, *(_automatic_and_best(values, picker, group) for group in groups)) for picker in pickers]
    return _table((f"{name}: F1 (best)", *groups), 1, rows, most=len(rows))


def _automatic_and_best(values: dict[tuple[str, str, str], float], picker: str, group: str) -> str:
    own, best = (values.get((picker, group, metric), math.nan) for metric in ("f1_micro", "oracle_f1"))
    return f"{_number(own, '.3f')} ({_number(best, '.3f')})"


def _ctfs(plan: Plan, root: Path) -> Iterator[Row]:
    for dataset, ctf in sorted(plan.ctf_scored()):
        scores = _scores(root / plan.ctf("scores.csv").format(dataset=dataset, ctf=ctf))
        if "ctf_failed" in scores:
            failed = scores["ctf_failed"]
            table = root / plan.ctf("micrographs.star").format(dataset=dataset, ctf=ctf)
            micrographs = _number(failed.get("n"), ".0f")
            yield dataset, ctf, micrographs, _number(failed["value"], ".0f"), _defocus_range(table)


def _maps(plan: Plan, root: Path) -> Iterator[Row]:
    wanted: dict[Row, None] = {}
    for entry, dataset, denoiser, picker in plan.combinations():
        for selection, target, engine in plan.map_wildcards(entry, dataset):
            wanted[dataset, denoiser, picker, selection, target, engine] = None
    for dataset, denoiser, picker, selection, target, engine in wanted:
        names = {"dataset": dataset, "denoiser": denoiser, "picker": picker, "selection": selection}
        scores = _scores(root / plan.maps("scores.csv").format(**names, target=target, engine=engine))
        if scores:
            resolutions = (
                _resolution(scores.get(metric, {}).get("value"))
                for metric in ("resolution_corrected_0.143", "resolution_truth_0.5")
            )
            yield dataset, target, _named(picker, denoiser, selection), engine, *resolutions


def _detections(plan: Plan, root: Path) -> list[str]:
    """Multi-target detection: the best methods at the lowest and the highest SNR of each experiment."""
    head = ("detection", "method", "SNR", "aligned error", "known poses", "ratio", "recovered")
    groups = []
    for name in plan.multitarget.experiments:
        found = _means(root / plan.multitarget.files(name)[0])
        snrs = sorted({snr for _, snr in found})
        for snr in dict.fromkeys([*snrs[:1], *snrs[-1:]]):
            own = [(method, means) for (method, at), means in found.items() if at == snr]
            own.sort(key=lambda pair: pair[1].get("error_aligned", math.inf))
            groups.append([(name, method, f"{snr:g}", *_errors(means)) for method, means in own])
    each = max(MOST_DETECTIONS // len(groups), 1) if groups else 0
    shown = [row for rows in groups for row in rows[:each]]
    # What is cut comes last, so that the table's own count of the rest is right.
    return _table(
        head, 2, shown + [row for rows in groups for row in rows[each:]], min(MOST_DETECTIONS, len(shown))
    )


def _means(path: Path) -> dict[tuple[str, float], dict[str, float]]:
    """Metrics by method and SNR of an experiment's table; empty where it is not there or is none."""
    import csv

    found: dict[tuple[str, float], dict[str, float]] = {}
    if not path.exists():
        return found
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            try:
                key, value = (row["method"], float(row["snr"])), float(row["value"])
            except (KeyError, TypeError, ValueError):
                continue
            found.setdefault(key, {})[row["metric"]] = value
    return found


def _errors(means: dict[str, float]) -> tuple[str, ...]:
    """Aligned error, that with known poses (denoised where a prior can), their ratio, share recovered."""
    error, recovered = (means.get(name, math.nan) for name in ("error_aligned", "recovered"))
    floor = means.get("known_prior_error", means.get("known_error", math.nan))
    ratio = error / floor if floor > 0 else math.nan
    return _number(error, ".3f"), _number(floor, ".3f"), _number(ratio, ".2f"), _number(recovered, ".2f")


def _scores(path: Path) -> Scores:
    """Metric → value, low, high, n; empty where the table is not there or is none."""
    from vitreous.io.tidy import NUMBERS, read_tidy

    if not path.exists():
        return {}
    try:
        rows = read_tidy(path).to_dict("records")
    except VitreousError:
        return {}
    return {row["metric"]: {name: float(row[name]) for name in NUMBERS} for row in rows}


def _count(threshold: Path) -> float:
    """Picks above the threshold, as the stage that chose it counted them; NaN where it does not say."""
    from vitreous.runtime.files import read_json

    try:
        return float(read_json(threshold)["picks"])
    except (VitreousError, KeyError, TypeError, ValueError):
        return math.nan


def _defocus_range(path: Path) -> str:
    """Lowest and highest mean defocus of the micrographs whose fit did not fail, µm."""
    from vitreous.io.star import read_star

    try:
        table = read_star(path)["micrographs"]
        assert not isinstance(table, dict)
        if "vitreousCtfFailed" in table:
            table = table[table["vitreousCtfFailed"].astype(float) == 0]
        defocus_um = table[["rlnDefocusU", "rlnDefocusV"]].astype(float).mean(axis=1).dropna() / 1e4
    except (VitreousError, KeyError, ValueError):
        return NONE
    return f"{defocus_um.min():.2f} to {defocus_um.max():.2f}" if len(defocus_um) else NONE


def _named(picker: str, *others: str) -> str:
    """A picker with the denoiser and the selection beside it, where they are not the plain ones."""
    return " ".join([picker, *(name for name in others if name not in ("raw", "all"))])


def _number(value: float | None, form: str) -> str:
    return NONE if value is None or math.isnan(value) else format(value, form)


def _distance(value_px: float | None) -> str:
    return NONE if value_px is None or math.isnan(value_px) else f"{value_px:.1f} px"


def _interval(score: dict[str, float]) -> str:
    low, high = score.get("low", math.nan), score.get("high", math.nan)
    return "" if math.isnan(low) or math.isnan(high) else f"({low:.3f} to {high:.3f})"


def _resolution(value: float | None) -> str:
    # As the curve says it: never below the threshold gives NaN, never above it infinity.
    if value is None:
        return NONE
    return "to Nyquist" if math.isnan(value) else "none" if math.isinf(value) else f"{value:.2f} Å"


def _table(head: Row, texts: int, rows: list[Row], most: int | None = None) -> list[str]:
    """Rows under their heads, the first `texts` columns to the left, numbers to the right; at most ten rows.

    A column that says nothing in any row is left out.
    """
    if not rows:
        return []
    most = MOST_ROWS if most is None else most
    shown = [head, *rows[:most]]
    columns = [index for index in range(len(head)) if any(row[index] not in ("", NONE) for row in shown[1:])]
    wide = {index: max(len(row[index]) for row in shown) for index in columns}
    lines = [
        "  ".join(
            row[index].ljust(wide[index]) if index < texts else row[index].rjust(wide[index])
            for index in columns
        ).rstrip()
        for row in shown
    ]
    more = [f"and {len(rows) - most} more, in the report"] if len(rows) > most else []
    return [*lines, *more, ""]
