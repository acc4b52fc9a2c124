"""The stage that writes a table of results as text, with the papers' numbers beside ours."""

from __future__ import annotations

from pathlib import Path

from vitreous.report import comparison, experiments
from vitreous.report.blocks import Block, Heading
from vitreous.report.markdown import markdown
from vitreous.report.published import read_published
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
    """Write a comparison (`comparison-<name>.csv`) or an experiment (`picking_<name>.csv`) as Markdown.

    `differences`: the paired differences of a comparison; `published` is `config/published.yaml`.
    """
    printed, name = read_published(published), table.stem
    blocks: list[Block]
    if name.startswith(comparison.PREFIX):
        blocks = comparison.text_of(table, differences, printed)
    else:
        own = name.removeprefix(experiments.PREFIX)
        blocks = [Heading(experiments.TITLES[own][0])]
        blocks += experiments.experiment_blocks(own, read_table(table), printed)
    write_text(out_text, markdown(blocks))
    inputs = [table, published, *([differences] if differences else [])]
    stage = f"{__name__}:write_table"
    write_provenance(provenance, stage=stage, settings={}, inputs=inputs, seed=runtime.seed)
