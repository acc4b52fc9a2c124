"""`vitreous data`: public datasets listed, sized, fetched and checked; files into the standard form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli import data_import
from vitreous.cli.clean import spoken_size
from vitreous.cli.examples import COMMAND_SETTINGS, examples
from vitreous.errors import FullDiskError, InputError, SettingsError, StageError
from vitreous.runtime.plural import plural

if TYPE_CHECKING:
    from vitreous.data.download.settings import NetworkSettings
    from vitreous.data.registry import Entry

Names = Annotated[
    list[str] | None,
    typer.Argument(help="Names as `vitreous data list` shows them, or archive-number, as cryoppp-10017."),
]
Root = Annotated[Path, typer.Option(help="Folder below which archives' entries lie.")]
Configuration = Annotated[
    Path | None, typer.Option("--config", help="Take what this configuration fetches; names choose from it.")
]
Mirror = Annotated[
    list[str] | None, typer.Option(help="ARCHIVE=URL: a base address instead of the archive's own.")
]
Contact = Annotated[str | None, typer.Option(help="An address of yours that servers see.")]
DEFAULT_ROOT = Path("resources")

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings=COMMAND_SETTINGS,
    help="Public datasets: list, size, fetch, check; and files of any source into the standard form.",
    epilog=examples("vitreous data list --paper 002", "vitreous data fetch emdb-2660 mnist"),
)


def register(top: typer.Typer) -> None:
    """Add this family's commands to the command line."""
    app.command("list", epilog=examples("vitreous data list", "vitreous data list --paper 004"))(list_)
    sizes = examples("vitreous data size cryoppp-10017", "vitreous data size emdb-2660 --ask")
    app.command(epilog=sizes)(size)
    app.command(
        epilog=examples(
            "vitreous data fetch mnist emdb-2660",
            "vitreous data fetch empiar-10017 --count 10 --labels",
            "vitreous data fetch cryoppp-10028 --lite",
            "vitreous data fetch cesped-10166 --half 0",
            "vitreous data fetch --config config/full.yaml empiar-10017",
        )
    )(fetch)
    app.command(epilog=examples("vitreous data check resources/emdb/EMD-2660"))(check)
    data_import.register(app)
    top.add_typer(app, name="data", rich_help_panel="The workflow")


def list_(
    paper: Annotated[int | None, typer.Option(min=0, help="Only what this paper uses: 0 to 4.")] = None,
    archive: Annotated[
        str | None, typer.Option(help="Only this archive: empiar, cryoppp, cesped, emdb, pdb …")
    ] = None,
    root: Root = DEFAULT_ROOT,
) -> None:
    """Show the registry: what is known of each dataset, and what of it is here.

    A question mark stands behind a value that nobody could verify.
    """
    from vitreous.data.registry import read_registry

    entries = [
        one
        for one in read_registry().values()
        if (paper is None or f"{paper:03d}" in one.papers) and _is_of(one, archive)
    ]
    if not entries:
        asked = {"--paper": paper, "--archive": archive}
        found = " ".join(f"{option} {value}" for option, value in asked.items() if value is not None)
        raise SettingsError("nothing in the registry fits", found=found)
    optics = ("pixel_size_A", "voltage_kv", "cs_mm")
    columns = (*optics, "diameter_px", "symmetry", "micrographs", "licence", "papers")
    rows: list[tuple[str, ...]] = [("name", "kind", "here", *columns, "title")]
    for one in entries:
        shown = [one.marked(column) for column in columns]
        rows.append((one.name, one.kind, _here(one.name, root), *shown, one.title))
    _print_table(rows)


def size(
    names: Names = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask the archive, instead of the registry.")] = False,
    root: Root = DEFAULT_ROOT,
    config: Configuration = None,
    mirror: Mirror = None,
    contact: Contact = None,
) -> None:
    """Say how large datasets are, how much of that is here, and how much room the disk has."""
    import shutil

    from vitreous.data.check import here_bytes
    from vitreous.data.fetch_settings import folder_of

    changes = {"mirrors": _mirrors(mirror), "contact": contact}
    wanted, root, network = _wanted(names, {}, root, config, changes)
    if ask:
        _log_to_terminal()
    rows: list[tuple[str, ...]] = [("name", "bytes", "here", "folder")]
    total, unknown = 0, 0
    for name, settings in wanted.items():
        count = _asked_bytes(settings, root, network) if ask else _known_bytes(settings)
        folder = root / folder_of(settings)
        total += count or 0
        unknown += count is None
        rows.append((name, "not known" if count is None else spoken_size(count),
                     spoken_size(here_bytes(folder)), str(folder)))  # fmt: skip
    _print_table(rows)
    place = root if root.exists() else Path(".")
    more = f", and {plural(unknown, 'size')} not known" if unknown else ""
    print(f"{spoken_size(total)} in all{more}; {spoken_size(shutil.disk_usage(place).free)} free")


def fetch(
    names: Names = None,
    root: Root = DEFAULT_ROOT,
    config: Configuration = None,
    image_set: Annotated[str | None, typer.Option(help="EMPIAR: one image set, by its name.")] = None,
    directory: Annotated[str | None, typer.Option(help="EMPIAR: a folder below the entry.")] = None,
    include: Annotated[list[str] | None, typer.Option(help="Only files that match this glob.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No file that matches this glob.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Only the first so many files.")] = None,
    expected_files: Annotated[
        int | None, typer.Option(min=1, help="EMPIAR: how many files there are, where its number is wrong.")
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="EMPIAR: CryoPPP's coordinates as well.")] = False,
    lite: Annotated[bool, typer.Option("--lite", help="CryoPPP: JPG micrographs and coordinates.")] = False,
    labels_only: Annotated[bool, typer.Option("--labels-only", help="CryoPPP: coordinates alone.")] = False,
    stacks: Annotated[bool, typer.Option("--stacks", help="CryoPPP: the particle stacks as well.")] = False,
    half: Annotated[
        list[int] | None, typer.Option(min=0, max=1, help="CESPED: this half set only, 0 or 1.")
    ] = None,
    part: Annotated[list[str] | None, typer.Option(help="EMDB: only this: map, half-maps or masks.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read what is here first, and fetch again what is damaged.")
    ] = False,
    keep_free_gb: Annotated[
        float | None, typer.Option(min=0, help="Disk that is left free, GB (default 1).")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never connect.")] = False,
    mirror: Mirror = None,
    connections: Annotated[
        int | None, typer.Option(min=1, max=32, help="Files fetched at a time from one host.")
    ] = None,
    contact: Contact = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Take files that have changed at their source.")
    ] = False,
) -> None:
    """Fetch datasets below --root; what is here already is kept, and a killed fetch goes on.

    Every file is verified (size, checksum, header) before it gets its name; what was fetched stands in
    manifest.jsonl of its folder.
    """
    from vitreous.data.download.settings import NetworkSettings
    from vitreous.data.fetch import drop_damaged, record_path, write_record
    from vitreous.data.fetch import fetch as fetch_entry

    options = {
        "image_set": image_set, "directory": directory, "include": include, "exclude": exclude,
        "count": count, "expected_files": expected_files, "labels": labels, "lite": lite,
        "labels_only": labels_only, "stacks": stacks, "halves": half, "parts": part,
    }  # fmt: skip
    changes = {
        "offline": offline or None,
        "mirrors": _mirrors(mirror),
        "connections": connections,
        "contact": contact,
        "keep_free_gb": keep_free_gb,
    }
    _log_to_terminal()
    wanted, root, network = _wanted(names, options, root, config, changes)
    assert isinstance(network, NetworkSettings)
    failed = []
    for name, settings in wanted.items():
        try:
            if verify:
                drop_damaged(settings, root)
            got = fetch_entry(settings, root, network=network, accept_changes=accept_changes)
        except (StageError, InputError) as error:
            if len(wanted) == 1 or isinstance(error, FullDiskError):
                raise
            print(f"{name}: {error}")
            failed.append(name)
            continue
        if not offline:
            write_record(record_path(settings, root), settings, got)
        print(f"{name}: {plural(len(got.paths), 'file')} in {got.folder}")
    if failed:
        raise StageError(f"{plural(len(failed), 'dataset')} not complete", found=", ".join(failed),
                         todo="run again: what is here is kept")  # fmt: skip


def check(
    places: Annotated[list[Path], typer.Argument(help="Folders of fetched entries, as resources/mnist.")],
) -> None:
    """Hold every fetched file against its recorded size and SHA-256."""
    from vitreous.data.check import GOOD, check_folder, refuse_damaged

    rows = []
    for place in places:
        found = check_folder(place)
        for path, _, state in found:
            if state != GOOD:
                print(f"{place / path}: {state}")
        good = sum(state == GOOD for _, _, state in found)
        print(f"{place}: {good} of {plural(len(found), 'file')} good")
        rows += [(str(place / path), count, state) for path, count, state in found]
    refuse_damaged(rows, places[0] if len(places) == 1 else "data check")


def _wanted(
    names: list[str] | None, options: dict[str, Any], root: Path, config: Path | None, network: dict[str, Any]
) -> tuple[dict[str, Any], Path, NetworkSettings]:
    """What to fetch by name, below which root, and how: from a configuration, or from the names alone."""
    from vitreous.cli.options import settings_of
    from vitreous.data.download.settings import NetworkSettings
    from vitreous.data.names import settings_of_name

    changes = {key: value for key, value in network.items() if value is not None}
    if config is None:
        if not names:
            raise SettingsError("nothing to fetch is named", todo="give names, or --config FILE")
        wanted = {name: settings_of_name(name, options) for name in names}
        return wanted, root, settings_of(NetworkSettings, changes)
    from vitreous.config.fetch import fetch_part
    from vitreous.config.load import load_file

    given = [key for key, value in options.items() if value not in (None, [], False)]
    if given:
        raise SettingsError("--config says what is fetched", found=f"--{given[0].replace('_', '-')}")
    loaded = load_file(config)
    blocks = loaded.fetched()
    unknown = [name for name in names or [] if name not in blocks]
    if unknown:
        expected = ", ".join(blocks) or "none: it fetches nothing"
        raise SettingsError("the configuration fetches nothing of this name", file=config, found=unknown[0],
                            expected=expected)  # fmt: skip
    chosen = {name: fetch_part(blocks[name]) for name in names or blocks}
    how = settings_of(NetworkSettings, {**loaded.network.model_dump(), **changes})
    return chosen, loaded.data_root, how


def _mirrors(given: list[str] | None) -> dict[str, str] | None:
    mirrors = {}
    for one in given or []:
        archive, sign, url = one.partition("=")
        if not sign:
            raise SettingsError("not a mirror", place="--mirror", found=one, expected="ARCHIVE=URL")
        mirrors[archive] = url
    return mirrors or None


def _known_bytes(settings: Any) -> int | None:
    from vitreous.data.sizes import expected_bytes

    return expected_bytes(settings)


def _asked_bytes(settings: Any, root: Path, network: NetworkSettings) -> int | None:
    from vitreous.data.sizes import asked_bytes

    return asked_bytes(settings, root, network)


def _is_of(entry: Entry, archive: str | None) -> bool:
    """Whether an entry is of an archive; CryoPPP has a part of EMPIAR's."""
    wanted = (archive or entry.archive).lower()
    return entry.cryoppp_micrographs is not None if wanted == "cryoppp" else wanted == entry.archive


def _here(name: str, root: Path) -> str:
    """What of an entry is here: `yes` after a finished fetch, `part`, or that CryoPPP's form of it is."""
    from vitreous.data.check import here_bytes
    from vitreous.data.fetch_settings import fetch_slug, folder_of
    from vitreous.data.names import settings_of_name
    from vitreous.runtime.files import read_json

    settings = settings_of_name(name)
    slugs = {"yes": fetch_slug(settings)}
    if settings.source == "empiar":
        slugs |= {"CryoPPP": f"cryoppp-{settings.entry}", "lite": f"cryoppp_lite-{settings.entry}"}
    records = {word: list((root / "fetched").glob(f"{slug}-????????.json")) for word, slug in slugs.items()}
    chosen = {"count", "include", "exclude", "halves", "parts", "image_set", "directory"}
    found = [word for word, files in records.items() if files]
    if records["yes"] and all(chosen & set(read_json(file)["settings"]) for file in records["yes"]):
        found[0] = "part"
    begun = here_bytes(root / folder_of(settings)) if settings.source != "pdb" else 0
    return ", ".join(found) or ("part" if begun else "-")


def _log_to_terminal() -> None:
    import logging
    import sys

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    """Aligned columns; on a terminal a line ends where the terminal does."""
    import shutil
    import sys

    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line if room is None or len(line) <= room else line[: room - 1] + "…")
