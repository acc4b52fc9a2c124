"""The page's section on what ran: the data sets and the combinations of the matrix."""

from __future__ import annotations

from typing import Any

from vitreous.errors import VitreousError
from vitreous.io.star import read_star
from vitreous.report.blocks import Cell, Column, Fold, Row, Section, Table, count, number
from vitreous.report.material import Material
from vitreous.report.results import Result


def data_section(material: Material) -> Section:
    """The data sets with their facts, and which combinations were computed."""
    section = Section("data", "What ran", empty="The run holds no data set.")
    if material.run.datasets:
        section.blocks.append(_datasets(material))
        section.blocks += _checks(material)
    matrix = _matrix(material)
    section.blocks += [matrix] if matrix.rows else []
    return section


def _datasets(material: Material) -> Table:
    rows = []
    for name, folder in material.run.datasets.items():
        facts = material.described.get(name, {})
        title = f"{folder / 'dataset.json'}"
        href = material.anchor(folder / "dataset.json")
        optics = [facts.get(key) for key in ("pixel_size_A", "voltage_kv", "cs_mm", "amplitude_contrast")]
        cells = [
            Cell(name, href=href, title=title),
            Cell(_source(facts)),
            Cell(str(facts.get("licence") or "–").replace("; ", ";\n"), kind="lines"),
            Cell(_micrographs(material, name)),
            *(Cell(number(float(value)) if isinstance(value, int | float) else "–") for value in optics),
            Cell(_targets(facts)),
        ]
        rows.append(Row(cells))
    columns = [
        Column("data set"), Column("source"), Column("licence"), Column("micrographs", numeric=True),
        Column("pixel", "Å", numeric=True), Column("voltage", "kV", numeric=True),
        Column("Cs", "mm", numeric=True),
        Column("Q0", numeric=True, title="amplitude contrast"), Column("targets"),
    ]  # fmt: skip
    return Table(columns, rows, caption="Data sets")


def _source(facts: dict[str, Any]) -> str:
    """Where a data set comes from, with its accession where the source does not say the number already."""
    source, accession = str(facts.get("source") or "–"), str(facts.get("accession") or "")
    known = accession.rpartition("-")[2] in source
    return source if known else f"{source} {accession}"


def _micrographs(material: Material, dataset: str) -> str:
    path = material.run.datasets[dataset] / "micrographs.star"
    try:
        return count(len(read_star(path)["micrographs"]))
    except (VitreousError, OSError, KeyError):
        return "–"


def _targets(facts: dict[str, Any]) -> str:
    parts = []
    for target in facts.get("targets") or []:
        diameter = f"{target['diameter_A']:g} Å" if target.get("diameter_A") else ""
        parts.append(
            " ".join(word for word in (target.get("name", ""), diameter, target.get("symmetry", "")) if word)
        )
    return ", ".join(parts) or "–"


def _checks(material: Material) -> list[Fold]:
    """What was checked of the data sets, and what came out; nothing where nothing was."""
    rows = []
    for name in material.run.datasets:
        verified = material.described.get(name, {}).get("verified") or {}
        for index, (key, said) in enumerate(verified.items()):
            spoken = key.removesuffix("_A").replace("_", " ")
            rows.append(Row([Cell(spoken), Cell(str(said), kind="prose")], group=name if index == 0 else ""))
    columns = [Column("checked"), Column("found")]
    return [Fold("What was checked of the data sets", [Table(columns, rows)])] if rows else []


STAGES = (("ctf", "CTF"), ("picks", "picks"), ("particles", "particles"), ("maps", "maps"))


def _matrix(material: Material) -> Table:
    found: dict[tuple[str, str, str], dict[str, list[Result]]] = {}
    for result in material.run.results:
        if result.kind in ("picks", "particles", "maps"):
            key = (result.names["dataset"], result.names["denoiser"], result.names["picker"])
            found.setdefault(key, {}).setdefault(result.kind, []).append(result)
    ctf = {
        name: [r.names["ctf"] for r in material.run.of("ctf") if r.names["dataset"] == name]
        for name in material.run.datasets
    }
    rows = []
    previous = ""
    for (dataset, denoiser, picker), kinds in sorted(found.items()):
        maps = [" · ".join([r.names["target"], r.names["engine"]]) for r in kinds.get("maps", [])]
        cells = [
            Cell(denoiser), Cell(picker), Cell(", ".join(ctf.get(dataset, [])) or "–"),
            Cell("compared" if any(r.file("scores.csv") for r in kinds.get("picks", [])) else
                 "made" if "picks" in kinds else "–"),
            Cell("extracted" if "particles" in kinds else "–"), Cell(", ".join(sorted(set(maps))) or "–"),
        ]  # fmt: skip
        rows.append(Row(cells, group=dataset if dataset != previous else ""))
        previous = dataset
    names = ("denoiser", "picker", "CTF", "picks", "particles", "maps (target · engine)")
    return Table([Column(name) for name in names], rows, caption="Combinations")
