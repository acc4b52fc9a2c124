"""Charts of multi-target detection: errors and the share that is recovered against SNR."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from vitreous.report import charts
from vitreous.report.blocks import Chart, Key, fixed
from vitreous.report.multitarget_results import Experiment
from vitreous.report.multitarget_tables import named

MOST = 7  # colours with dashes that the page has
HIGHEST = 1.5  # an empty image has an error of 1
MARKERS = ("circle", "diamond", "square", "cross")
DASHES = 5
FLOORS = 3
# Ticks nearer than this share of the axis would run into each other.
NEAREST = 0.075


def error_charts(experiment: Experiment) -> list[Chart]:
    """Aligned errors against SNR with standard errors, over those with known poses; none for one SNR."""
    if len(experiment.snrs) < 2:
        return []
    groups = _groups(experiment)
    y = _error_axis(experiment)
    return [_error_chart(experiment, label, methods, y) for label, methods in groups]


def _groups(experiment: Experiment) -> list[tuple[str, list[str]]]:
    """The methods of each chart: all on one, or the paper's apart from the others where there are many."""
    if len(experiment.methods) <= MOST:
        return [("", experiment.methods)]
    found = []
    for published in (True, False):
        own = [method for method in experiment.methods if experiment.is_published(method) == published]
        label = ": as published" if published else ": beyond the paper"
        found += [(label, own[first : first + MOST]) for first in range(0, len(own), MOST)]
    return found


def _error_axis(experiment: Experiment) -> charts.Axis:
    """From 0 to the highest error or, beyond it, to `HIGHEST`; the same for all charts of an experiment."""
    metrics = ("error_aligned", "known_error")
    values = [experiment.mean(*key, metric) for key in experiment.means for metric in metrics]
    tops = [mean.value + (mean.error if math.isfinite(mean.error) else 0) for mean in values]
    ends = [min(top, HIGHEST) for top in tops if math.isfinite(top)]
    return charts.axis("aligned error", [0.0, *ends], low=0.0)


def _error_chart(experiment: Experiment, label: str, methods: Sequence[str], y: charts.Axis) -> Chart:
    series, keys = _floors(experiment, methods)
    above = False
    for style, method in enumerate(methods):
        line = _line(experiment, method, "error_aligned", style)
        above = above or any(value > y.high for value in line.y)
        series.append(line)
        keys.append(Key(method, f"s{style}"))
    svg = charts.line_chart(
        series,
        snr_axis(experiment.snrs),
        y,
        marks=_prior_marks(experiment, methods, y),
        description=f"{experiment.title}{label}: aligned error against SNR",
        log_x=True,
    )
    note = "Bands: standard error over targets."
    note += f" Errors above {y.high:g} are drawn there; an empty image has 1." if above else ""
    return Chart(f"Aligned error against SNR{label}", svg, keys, note=note)


def _line(experiment: Experiment, method: str, metric: str, style: int = 0, kind: str = "") -> charts.Series:
    """A metric of a method over the logarithm of the SNR, with a band of its standard error."""
    snrs = [snr for snr in sorted(experiment.snrs) if math.isfinite(experiment.value(method, snr, metric))]
    means = [experiment.mean(method, snr, metric) for snr in snrs]
    errors = [mean.error if math.isfinite(mean.error) else 0.0 for mean in means]
    values = [mean.value for mean in means]
    low = [value - error for value, error in zip(values, errors, strict=True)] if any(errors) else []
    high = [value + error for value, error in zip(values, errors, strict=True)] if any(errors) else []
    marker = "" if kind else "circle"
    return charts.Series(
        method, [math.log(snr) for snr in snrs], values, style, low=low, high=high, kind=kind, marker=marker
    )


def _floors(experiment: Experiment, methods: Sequence[str]) -> tuple[list[charts.Series], list[Key]]:
    """Errors with known poses: of the average, and after the denoiser of each prior on the chart."""
    wanted: dict[str, tuple[Sequence[str], str]] = {"known poses": (methods, "known_error")}
    for prior in dict.fromkeys(experiment.priors.get(method, "") for method in methods):
        own = [method for method in methods if prior and experiment.priors.get(method) == prior]
        wanted[f"known poses, denoised by {prior}"] = (own, "known_prior_error")
    series: list[charts.Series] = []
    keys: list[Key] = []
    for label, (owners, metric) in wanted.items():
        method = next((one for one in owners if experiment.has_of(one, metric)), None)
        if method is not None and len(series) < FLOORS:
            kind = f"floor-{len(series)}"
            line = _line(experiment, method, metric, kind=kind)
            series.append(charts.Series(label, line.x, line.y, kind=kind))
            keys.append(Key(label, kind))
    return series, keys


def _prior_marks(experiment: Experiment, methods: Sequence[str], y: charts.Axis) -> list[charts.Mark]:
    """The error of each prior's mean, which no SNR changes."""
    found: dict[str, float] = {}
    for method in methods:
        for snr in experiment.snrs:
            value = experiment.value(method, snr, "prior_error_aligned")
            if math.isfinite(value) and value <= y.high:
                found.setdefault(fixed(value, 2), value)
    return [charts.Mark(value, "prior alone") for value in list(found.values())[:2]]


def snr_axis(snrs: Iterable[float]) -> charts.Axis:
    """A logarithmic axis over the SNRs; ticks at those that do not run into each other, both ends first."""
    places = sorted({snr: math.log(snr) for snr in snrs}.items())
    low, high = places[0][1], places[-1][1]
    margin = 0.05 * (high - low) or 0.5
    kept: list[tuple[float, float]] = []
    for snr, place in [places[-1], *places[:-1]]:
        if all(abs(place - other) >= NEAREST * (high - low) for _, other in kept):
            kept.append((snr, place))
    ticks = [(place, f"{snr:g}") for snr, place in sorted(kept)]
    return charts.Axis("SNR over the whole box (logarithmic)", low - margin, high + margin, ticks)


def breakdown_chart(experiments: Sequence[Experiment]) -> Chart | None:
    """The share recovered against SNR: colour and mark tell the measurement, dashes the method.

    None where no experiment has more than one SNR.
    """
    shown = [one for one in experiments if one.has("recovered")][:MOST]
    if all(len(one.snrs) < 2 for one in shown):
        return None
    methods = _ours_first(shown)
    series = []
    for style, experiment in enumerate(shown):
        for method in experiment.methods:
            line = _line(experiment, method, "recovered")
            kind = f"s{style} dash-{methods.index(method) % DASHES}"
            label = f"{named(experiment, experiments)} · {method}"
            marker = MARKERS[style % len(MARKERS)]
            series.append(charts.Series(label, line.x, line.y, kind=kind, marker=marker))
    keys = [
        Key(named(one, experiments), f"s{style}", MARKERS[style % len(MARKERS)])
        for style, one in enumerate(shown)
    ]
    keys += [
        Key(_with_prior(shown, method), f"dash-{index % DASHES}") for index, method in enumerate(methods)
    ]
    svg = charts.line_chart(
        series,
        snr_axis(snr for one in shown for snr in one.snrs),
        charts.axis("share recovered", [0.0, 1.0], low=0.0, high=1.0),
        marks=[charts.Mark(0.5, "half")],
        description="Share of measurements recovered against SNR, for every kind of measurement and method",
        width=charts.WIDE,
        log_x=True,
    )
    note = (
        "Colours and marks: the measurement, N × N px with images of L px in K rotations. Dashes: the method."
    )
    return Chart("Share recovered against SNR", svg, keys, note=note, wide=True)


def _ours_first(experiments: Sequence[Experiment]) -> list[str]:
    """The methods: those with a prior, ours before published ones, then those without."""
    ranks = {
        method: (not one.priors.get(method), one.is_published(method))
        for one in experiments
        for method in one.methods
    }
    return sorted(ranks, key=lambda method: ranks[method])


def _with_prior(experiments: Sequence[Experiment], method: str) -> str:
    prior = next((one.priors[method] for one in experiments if one.priors.get(method)), "")
    return f"{method} (prior {prior})" if prior else f"{method} (no prior)"
