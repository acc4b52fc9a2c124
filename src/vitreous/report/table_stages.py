"""The stage that writes a table of results as text, with the papers' numbers beside ours."""

from __future__ import annotations

from pathlib import Path

from vitreous.report import comparison, experiments, multitarget, multitarget_results
from vitreous.report.blocks import Block, Heading
from vitreous.report.markdown import markdown
from vitreous.report.published import Published, read_published
from vitreous.report.results import read_table
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import write_text
from vitreous.runtime.provenance import write_provenance


def write_table(
    table: Path,
    out_text: Path,
    *,
    differences: Path | None = None,
    published: Path,
    provenance: Path,
    runtime: Runtime,
) -> None:
    """Write a comparison (`comparison-<name>.csv`) or an experiment as Markdown.

    Experiments are `picking_<name>.csv` and `multitarget_<name>.csv`, the latter with what is known of it in
    `experiment.json`. `differences`: the paired differences of a comparison; `published` is
    `config/published.yaml`.
    """
    write_text(out_text, markdown(_blocks(table, differences, read_published(published))))
    beside = [
        path for path in (differences, multitarget_results.facts_file(table)) if path and path.is_file()
    ]
    inputs = [table, published, *beside]
    stage = f"{__name__}:write_table"
    write_provenance(provenance, stage=stage, settings={}, inputs=inputs, seed=runtime.seed)


def _blocks(table: Path, differences: Path | None, published: Published) -> list[Block]:
    name = table.stem
    if name.startswith(comparison.PREFIX):
        return comparison.text_of(table, differences, published)
    if name.startswith(multitarget_results.PREFIX):
        return multitarget.text_of(table)
    own = name.removeprefix(experiments.PREFIX)
    blocks = experiments.experiment_blocks(own, read_table(table), published)
    return [Heading(experiments.TITLES[own][0]), *blocks]
