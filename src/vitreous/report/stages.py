"""The report's stage: result files of a run in, one HTML file out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitreous.report.blocks import Section
from vitreous.report.comparison import comparison_section
from vitreous.report.computing import computing_section, training_section
from vitreous.report.ctf import ctf_section
from vitreous.report.data import data_section
from vitreous.report.experiments import experiments_section
from vitreous.report.failures import failures_section
from vitreous.report.maps import maps_section
from vitreous.report.material import Material
from vitreous.report.multitarget import multitarget_section
from vitreous.report.page import render
from vitreous.report.picking import picking_section
from vitreous.report.pictures import Budget
from vitreous.report.provenance import assumptions, find_provenance, read_records
from vitreous.report.published import read_published
from vitreous.report.records import (
    assumptions_section,
    provenance_section,
    published_section,
    reproduce_section,
)  # fmt: skip
from vitreous.report.results import Run, find_results, find_tables
from vitreous.report.settings import ReportSettings
from vitreous.report.summary import tiles, verdict
from vitreous.runtime.device import Runtime
from vitreous.runtime.files import write_text
from vitreous.runtime.provenance import write_provenance

log = logging.getLogger(__name__)
# Of the page's size; the rest is for charts, tables and style.
SHARE_OF_PICTURES = 0.7


def write_report(
    run_folder: Path,
    dataset_folders: Mapping[str, Path],
    out_html: Path,
    *,
    settings: ReportSettings,
    published: Path,
    run_info: Mapping[str, Any],
    files: Sequence[Path] | None = None,
    provenance: Path | None = None,
    runtime: Runtime | None = None,
) -> None:
    """Write the page of a run: one self-contained HTML file of at most `settings.max_megabytes`.

    `files` are the results to show (all of the folder where None); those that are missing are said to be.
    `dataset_folders` are the standard forms by name, for descriptions and pictures of micrographs;
    `published` is `config/published.yaml`; `run_info` what is known of the run (name, seed, configfile,
    config). Nothing is recomputed: numbers come from the results' files. Raises InputError where
    `published` does not fit.
    """
    most = int(settings.max_megabytes * 1e6)
    material = read_material(run_folder, dataset_folders, settings, published, run_info, files)
    material.budget = Budget(int(SHARE_OF_PICTURES * most))
    text = make_page(material)
    excess = len(text.encode()) - most
    if excess > 0:
        material.budget = Budget(int(SHARE_OF_PICTURES * most) - material.budget.left - excess)
        text = make_page(material)
    write_text(out_html, text)
    if provenance is not None:
        write_provenance(
            provenance,
            stage=f"{__name__}:write_report",
            settings=settings.model_dump(mode="json", exclude_defaults=True),
            inputs=[*(files or ()), published],
            seed=0 if runtime is None else runtime.seed,
        )
    size, results, stale = len(text.encode()) / 1e6, material.run.results, material.records.stale
    log.info("%s: %.1f MB, %d results, %d stale", out_html, size, len(results), len(stale))
    if material.budget.refused:
        log.warning("%s: %d pictures left out to keep the page small", out_html, material.budget.refused)
    if size * 1e6 > most:
        log.warning("%s: %.1f MB without any picture, more than report.max_megabytes", out_html, size)


def read_material(
    run_folder: Path,
    dataset_folders: Mapping[str, Path],
    settings: ReportSettings,
    published: Path,
    run_info: Mapping[str, Any],
    files: Sequence[Path] | None,
) -> Material:
    """Find and read everything the page is made from."""
    run_folder = Path(run_folder)
    datasets = {name: Path(folder) for name, folder in dataset_folders.items()}
    results = find_results(run_folder, files)
    missing = [Path(path) for path in files or () if not Path(path).exists()]
    tables = find_tables(run_folder, files)
    run = Run(run_folder, results, datasets, dict(run_info), missing, tables)
    folders = [result.folder for result in results] + list(datasets.values())
    gathered = [path.with_suffix(".provenance.json") for path in tables]
    found = [*find_provenance(folders), *(path for path in gathered if path.exists())]
    records = read_records(found, [run_folder, *(folder for folder in datasets.values())])
    return Material(run, settings, records, read_published(published))


def make_page(material: Material) -> str:
    """The page of a run as HTML text."""
    return render(
        name=str(material.run.facts.get("name") or material.run.folder.name),
        written=datetime.now(UTC),
        verdict=verdict(material),
        tiles=tiles(material),
        sections=make_sections(material),
    )


def make_sections(material: Material) -> list[Section]:
    """The sections of the page in order."""
    return [
        data_section(material),
        comparison_section(material),
        picking_section(material),
        experiments_section(material),
        multitarget_section(material),
        ctf_section(material),
        maps_section(material),
        training_section(material),
        computing_section(material),
        failures_section(material),
        published_section(material),
        assumptions_section(assumptions()),
        provenance_section(material),
        reproduce_section(material),
    ]
