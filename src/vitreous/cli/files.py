"""`vitreous check` and `vitreous convert`: what a file is and what is wrong with it; another form of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.examples import examples
from vitreous.cli.options import Force, existing, refuse_overwriting
from vitreous.errors import SettingsError, VitreousError
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.io.check import Report
    from vitreous.io.dataset_info import DatasetInfo

PANEL = "Files"


def register(app: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous check micrograph.mrc", "vitreous check particles.star picks/*.box half1.mrc"
        ),
    )(check)
    app.command(
        rich_help_panel=PANEL,
        epilog=examples(
            "vitreous convert particles.cs particles.star",
            "vitreous convert picks.star boxes --to box --box-px 200",
            "vitreous convert picks.star picks.cs --micrographs my_micrographs",
            "vitreous convert chosen.star chosen.cs --template particles.cs",
        ),
    )(convert)


def check(
    files: Annotated[list[Path], typer.Argument(help="MRC, STAR, .cs, coordinates, images: any file.")],
) -> None:
    """Say of each file what it is, what it holds and everything that is wrong with it.

    Any file of the field, a configuration of vitreous, or a data set (a folder). Exit status 1 on any fault;
    a remark is odd and does no harm.
    """
    faulty = 0
    for path in files:
        report = _look(existing(path))
        print(f"{path}: {report.kind}")
        for fact in report.facts:
            print(f"  {fact}")
        for fault in report.faults:
            print(f"  fault: {_without_name(fault, path)}")
        for remark in report.remarks:
            print(f"  remark: {_without_name(remark, path)}")
        faulty += bool(report.faults)
    if len(files) > 1:
        print(f"{len(files) - faulty} of {plural(len(files), 'file')} without fault")
    if faulty:
        raise typer.Exit(1)


def _look(path: Path) -> Report:
    """Look at a file of the field, a configuration of vitreous, or a data set in standard form (a folder)."""
    from vitreous.io.check import Report, check_file

    if path.is_dir():
        kind, facts = "folder", _dataset_facts
    elif path.suffix.lower() in (".yaml", ".yml"):
        kind, facts = "configuration", _configuration_facts
    else:
        return check_file(path)
    try:
        return Report(*facts(path))
    except VitreousError as error:
        return Report(kind, faults=[str(error)])


def _configuration_facts(path: Path) -> tuple[str, list[str]]:
    from vitreous.cli.workflow import open_run, shown

    run = open_run(path)
    facts = [f"run '{run.config.run}', results in {shown(run.folder)}"]
    facts += [f"data set '{name}' ({block.source})" for name, block in run.config.datasets.items()]
    return "configuration", facts


def _dataset_facts(path: Path) -> tuple[str, list[str]]:
    from vitreous.io.dataset import Dataset

    dataset = Dataset(path)
    info, picks = dataset.info, dataset.truth_picks()
    star = path / "particles.star"
    if star.exists() and not (path / "micrographs.star").exists():
        return f"data set '{info.name}'", _particle_facts(star, info)
    facts = [
        f"{plural(len(dataset.micrographs()), 'micrograph')}, pixel size {info.pixel_size_A:g} Å, "
        f"from {info.source}"
    ]
    if picks is not None:
        annotated = plural(len(dataset.annotated()), "micrograph")
        facts.append(f"{plural(len(picks), 'true pick')} in {annotated}")
    facts += [f"target '{one.name}', {one.diameter_A:g} Å, {one.symmetry}" for one in info.targets]
    return f"data set '{info.name}'", facts


def _particle_facts(star: Path, info: DatasetInfo) -> list[str]:
    """Of a data set of particles alone; raises InputError where an image is not there."""
    from vitreous.io.particles import image_locations, read_particles

    particles = read_particles(star)
    stacks = {stack for stack, _ in image_locations(particles, star)}
    where = f"{plural(len(particles), 'particle')} in {plural(len(stacks), 'stack')}"
    facts = [f"{where}, pixel size {info.pixel_size_A:g} Å, from {info.source}"]
    return facts + [f"target '{one.name}', {one.diameter_A:g} Å, {one.symmetry}" for one in info.targets]


def _without_name(fault: str, path: Path) -> str:
    """A fault without the file's name before it, which stands above it already."""
    return fault.removeprefix(f"{path}: ")


def convert(
    source: Annotated[Path, typer.Argument(help="Particles or coordinates of another program.")],
    target: Annotated[
        Path, typer.Argument(help="What to write: the ending says which form; a folder for --to box …")
    ],
    to: Annotated[
        str, typer.Option(help="star, csv, topaz, cs, relion, cryoppp, box, cbox; `auto` goes by the ending.")
    ] = "auto",
    kind: Annotated[
        str,
        typer.Option(
            "--from", help="star, csv, box, box-centre, coord, cbox, topaz, cs; `auto`: by the ending."
        ),
    ] = "auto",
    micrographs: Annotated[
        Path | None,
        typer.Option(help="Folder or STAR of the micrographs: names and sizes; needed to flip or for .cs."),
    ] = None,
    box_px: Annotated[int | None, typer.Option(min=2, help="Side of the boxes to write.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out coordinates of a lower score.")] = None,
    flip_in: Annotated[
        bool, typer.Option("--flip-in", help="Rows of the input count from the bottom.")
    ] = False,
    flip_out: Annotated[bool, typer.Option("--flip-out", help="Write rows counted from the bottom.")] = False,
    template: Annotated[
        Path | None, typer.Option(help="The .cs that the particles came from, to write a part of it.")
    ] = None,
    exposures: Annotated[
        Path | None, typer.Option(help="The exposures' .cs, to write picks for cryoSPARC.")
    ] = None,
    force: Force = False,
) -> None:
    """Write particles or coordinates in another program's form.

    Says what was read, left out and written.
    """
    from vitreous.io.convert import convert_particles, convert_picks, holds_particles

    refuse_overwriting(target, force)
    if micrographs is None and (flip_in or flip_out):
        raise SettingsError(
            "the heights of the micrographs are needed to turn rows", todo="give --micrographs FOLDER"
        )
    if (
        to == kind == "auto"
        and holds_particles(existing(source))
        and target.suffix.lower() in (".star", ".cs")
    ):
        said = convert_particles(source, target, template=template, flip_y=flip_in)
    else:
        said = convert_picks(
            existing(source),
            target,
            kind_in=kind,
            kind_out=to,
            flip_y_in=flip_in,
            flip_y_out=flip_out,
            micrographs=micrographs,
            box_px=box_px,
            min_score=min_score,
            exposures=exposures,
        )
    print("\n".join(said))
