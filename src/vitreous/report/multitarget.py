"""The page's section on multi-target detection (paper 001)."""

from __future__ import annotations

import math
from pathlib import Path

from vitreous.report.blocks import Block, Chart, Charts, Fold, Heading, Prose, Section, Tile, fixed, plural
from vitreous.report.links import linked
from vitreous.report.material import Material
from vitreous.report.multitarget_charts import breakdown_chart, error_charts
from vitreous.report.multitarget_pictures import picture_blocks
from vitreous.report.multitarget_results import PREFIX, Experiment, measured, read_experiment
from vitreous.report.multitarget_tables import limits_table, methods_table, result_table

BREAKDOWN, FIGURE = "breakdown", "figure"
DEFINITIONS = (
    "SNR: mean square of a target over its whole box, empty margin included, / variance of the noise. Errors "
    "are relative: ‖estimate − truth‖ / ‖truth‖, 0 for the truth, 1 for an empty image. The published error "
    "is the least over the K rotations; the aligned error the least over rotations and whole-pixel shifts up "
    "to 6 px (a quarter of the image where that is less), because the data do not tell where in its box an "
    "image with an empty margin stands. Prior alone: the prior's mean, without data. Known poses: the mean "
    "of the targets at their true poses, and the same after the method's denoiser; the floor is the latter "
    "where there is one. Paper 001 draws its Figures 3 to 5 without numbers, so no printed error stands "
    "beside ours."
)
LEAD = "Many copies of one image in one noisy measurement, and what EM with diffusion priors makes of it. "


def multitarget_section(material: Material) -> Section:
    """Every experiment on multi-target detection; those on where detection ends together, at the end."""
    section = Section(
        "multitarget",
        "Multi-target detection",
        LEAD + DEFINITIONS,
        empty="No experiment on multi-target detection was made; `snakemake multitarget_figure4` makes one "
        "that is configured.",
    )
    found = read_experiments(material)
    for path, experiment in found:
        if not experiment.name.startswith(BREAKDOWN):
            section.blocks.append(Heading(experiment.title, note=_subtitle(experiment)))
            section.blocks += _shown(material, path, experiment)
    ends = [(path, one) for path, one in found if one.name.startswith(BREAKDOWN)]
    if ends:
        section.blocks += _breakdown(material, ends)
    return section


def read_experiments(material: Material) -> list[tuple[Path, Experiment]]:
    """The experiments of which there is a table, with its path, by name."""
    paths = [path for path in material.run.tables if path.name.startswith(PREFIX)]
    found = [(path, read_experiment(path)) for path in paths]
    return sorted(found, key=lambda pair: pair[1].name)


def _subtitle(experiment: Experiment) -> str:
    trials = f"{plural(experiment.trials, 'measurement')} a row" if experiment.trials else ""
    return " · ".join(filter(None, [measured(experiment), trials]))


def _shown(material: Material, path: Path, experiment: Experiment) -> list[Block]:
    """An experiment on the page: table, charts, pictures, what the methods are."""
    table, *others = experiment_blocks(experiment)
    drawn = error_charts(experiment)
    charts: list[Block] = [Charts(drawn)] if drawn else []
    return [*linked([table], material, path), *charts, *picture_blocks(material, experiment), *others]


def experiment_blocks(experiment: Experiment) -> list[Block]:
    """An experiment's tables: errors, and what the methods are."""
    if not experiment.means:
        return [Prose("The table is empty.", kind="empty")]
    methods = methods_table(experiment)
    return [result_table(experiment), *([Fold("What the methods are", [methods])] if methods else [])]


def _breakdown(material: Material, found: list[tuple[Path, Experiment]]) -> list[Block]:
    """Where detection ends: all kinds of measurement on one chart, then each in a fold of its own."""
    blocks: list[Block] = [Heading("Where detection breaks down")]
    experiments = [experiment for _, experiment in found if experiment.means]
    chart = breakdown_chart(experiments)
    blocks += [chart, limits_table(experiments)] if isinstance(chart, Chart) else []
    for path, experiment in found:
        title = " · ".join(filter(None, [experiment.title, _subtitle(experiment)]))
        blocks.append(Fold(title, _shown(material, path, experiment)))
    return blocks


def text_of(table: Path) -> list[Block]:
    """The blocks of an experiment's text, from its table."""
    experiment = read_experiment(table)
    heading = Heading(" · ".join(filter(None, [experiment.title, _subtitle(experiment)])))
    ends = experiment.name.startswith(BREAKDOWN) and bool(experiment.means)
    limits = [limits_table([experiment])] if ends else []
    return [heading, *experiment_blocks(experiment), *limits, Prose(DEFINITIONS)]


def best_errors(material: Material, most: int) -> list[Tile]:
    """The best aligned error of each of the paper's figures, of any experiment where there is no figure.

    At SNR 1, which all figures have, or the SNR that is nearest to it.
    """
    known = [experiment for _, experiment in read_experiments(material) if experiment.means]
    figures = [experiment for experiment in known if experiment.name.startswith(FIGURE)]
    made = [_tile(experiment) for experiment in figures or known]
    return [tile for tile in made if tile is not None][:most]


def _tile(experiment: Experiment) -> Tile | None:
    snr = min(experiment.snrs, key=lambda one: abs(math.log(one)))
    errors = {method: experiment.value(method, snr, "error_aligned") for method in experiment.methods}
    errors = {method: error for method, error in errors.items() if math.isfinite(error)}
    if not errors:
        return None
    best = min(errors, key=lambda method: errors[method])
    floor = experiment.floor(best, snr)
    note = f"{best} at SNR {snr:g}" + (f"; known poses {fixed(floor, 3)}" if math.isfinite(floor) else "")
    label = f"best aligned error, {experiment.name}"
    return Tile(label, fixed(errors[best], 3), note=note, href="#multitarget")
