"""How each result was made, whether the code has changed since, and what the code assumes."""

from __future__ import annotations

import ast
import io
import shlex
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitreous.errors import VitreousError
from vitreous.report.results import read_facts
from vitreous.runtime.provenance import PACKAGE, is_stale

BATCH = "batch-"


@dataclass(frozen=True)
class Record:
    """The provenance of one folder's results of one stage; `files` are its provenance files."""

    anchor: str
    place: str
    stage: str
    files: tuple[Path, ...]
    facts: dict[str, Any]
    stale: tuple[Path, ...] = ()
    unreadable: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Assumption:
    """A choice the code makes where a paper is silent, with the place in the code."""

    file: str
    line: int
    text: str


@dataclass
class Records:
    """All provenance of a run; `made_by` finds the entry that a result's folder leads to."""

    entries: list[Record] = field(default_factory=list)

    @property
    def stale(self) -> list[Path]:
        """Provenance files of results older than the code."""
        return [path for entry in self.entries for path in entry.stale]

    def made_by(self, path: Path) -> Record | None:
        """The entry of `scores.provenance.json` for `scores.csv`, else that of the folder."""
        wanted = (path.parent / f"{path.stem}.provenance.json", path.parent / "provenance.json")
        for name in wanted:
            for entry in self.entries:
                if name in entry.files:
                    return entry
        return None

    def made_by_name(self, file: str) -> Record | None:
        """As `made_by`, from a path written as text."""
        return self.made_by(Path(file))


def read_records(paths: Iterable[Path], roots: Iterable[Path]) -> Records:
    """Read provenance files; those of the batches of one folder and stage make one entry."""
    roots = list(roots)
    groups: dict[tuple[Path, str, str], list[tuple[Path, dict[str, Any]]]] = {}
    for path in sorted(set(paths)):
        facts = read_facts(path)
        kind = BATCH if path.name.startswith(BATCH) else path.name
        groups.setdefault((path.parent, kind, str(facts.get("stage", "unknown"))), []).append((path, facts))
    entries = []
    for number, ((folder, kind, stage), members) in enumerate(groups.items(), start=1):
        states = [(path, _stale(path, facts)) for path, facts in members]
        place = _place(folder, roots) + ("" if kind in (BATCH, "provenance.json") else f"/{_subject(kind)}")
        entries.append(
            Record(
                anchor=f"made-{number}",
                place=place,
                stage=stage,
                files=tuple(path for path, _ in members),
                facts=members[-1][1],
                stale=tuple(path for path, state in states if state),
                unreadable=tuple(path for path, state in states if state is None),
            )
        )
    return Records(entries)


def _subject(name: str) -> str:
    return name.removesuffix(".provenance.json")


def _place(folder: Path, roots: Iterable[Path]) -> str:
    for root in roots:
        if folder.is_relative_to(root):
            return "/".join([root.name, *folder.relative_to(root).parts])
    return str(folder)


def _stale(path: Path, facts: dict[str, Any]) -> bool | None:
    """Whether the result is older than the code; None where the file does not say."""
    if "code" not in facts or "modules" not in facts:
        return None
    try:
        return is_stale(path)
    except (VitreousError, OSError, SyntaxError):
        return None


def find_provenance(folders: Iterable[Path]) -> list[Path]:
    """The provenance files that lie in the folders themselves."""
    return [path for folder in folders if folder.is_dir() for path in folder.glob("*provenance.json")]


def snakemake_command(target: Path, configfile: str | None) -> str:
    """The command that makes `target` (again) through the workflow."""
    words = ["snakemake", "--cores", "all"]
    words += ["--configfile", configfile] if configfile else []
    return shlex.join([*words, "--", str(target)])


def assumptions(package: Path = PACKAGE) -> list[Assumption]:
    """Every `# ASSUME:` comment of the package, with the lines of comment that go on below it."""
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        try:
            text = path.read_text(encoding="utf-8")
            ast.parse(text)
            comments = _comments(text)
        except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
            continue
        found += [Assumption(name, line, what) for line, what in _joined(comments)]
    return found


def _comments(text: str) -> list[tuple[int, int, bool, str]]:
    """Line, column, whether it stands alone, and text of every comment."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [
        (
            token.start[0],
            token.start[1],
            not token.line[: token.start[1]].strip(),
            token.string.lstrip("# ").rstrip(),
        )
        for token in tokens
        if token.type == tokenize.COMMENT
    ]


def _joined(comments: list[tuple[int, int, bool, str]]) -> Iterable[tuple[int, str]]:
    for index, (line, column, alone, text) in enumerate(comments):
        if not text.startswith("ASSUME"):
            continue
        words = [text.removeprefix("ASSUME").lstrip(": ")]
        for next_line, next_column, next_alone, more in comments[index + 1 :]:
            follows = alone and next_alone and next_line == line + len(words) and next_column == column
            if not follows or more.startswith("ASSUME"):
                break
            words.append(more)
        yield line, " ".join(words)
