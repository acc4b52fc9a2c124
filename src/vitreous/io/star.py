"""STAR files as RELION and others write them: blocks of key-value pairs (dict) and of one loop (DataFrame).

Own code and not starfile, which fills short rows with NaN, turns names such as `001` into numbers, damages
apostrophes, returns nothing for HTML, and writes 10⁵ rows several times slower (benchmarks/star.py).
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vitreous.errors import InputError
from vitreous.runtime.files import atomic_path
from vitreous.runtime.plural import plural

Block = pd.DataFrame | dict[str, Any]

# Labels (without rln) that hold text even where it looks like a number, and numbers even where it does not.
_TEXT = re.compile(
    r"(Name|File|Files|Path|Image|Images|Coordinates|Alias|Metadata|Comment|Symmetry|SymmetryGroup|JobType\w*|"
    r"OddZernike|EvenZernike)$"
)
_NUMBER = re.compile(
    r"(Coordinate[XYZ]|Defocus[UV]|DefocusAngle|PhaseShift|Angle(Rot|Tilt|Psi)|Origin[XYZ](Angst)?|"
    r"Voltage|"
    r"SphericalAberration|AmplitudeContrast|\w*PixelSize|Magnification|ImageSize|ImageDimensionality|"
    r"OpticsGroup|GroupNumber|ClassNumber|RandomSubset|\w*FigureOfMerit|CtfMaxResolution|CtfBfactor|"
    r"CtfScalefactor|NormCorrection)$"
)
# A quote opens only at the beginning of a word and closes only before a blank: it's and a"b are plain words.
_WORD = re.compile(r"""'((?:[^']|'(?=\S))*)'(?=\s|$)|"((?:[^"]|"(?=\S))*)"(?=\s|$)|(\#.*)|(\S+)""")
_SPECIAL = re.compile(r"""['"#]""")
_KEYWORDS = ("_", "data_", "loop_")
_ROWS_AT_ONCE = 20_000
_BEYOND = "\0"  # column for words beyond the last label


def read_star(path: str | Path) -> dict[str, Block]:
    """The blocks of a STAR file by name (`data_particles` is `particles`, `data_` the empty text).

    A loop gives a DataFrame (text as str, whole numbers as int64, others as float64, <NA> as NaN), key-value
    pairs a dict; labels lose their underscore. Raises InputError, with the line, for a row with too few or
    too many fields, text in a column of numbers, a label or block given twice, and for what is no STAR file.
    """
    path = Path(path)
    lines = _read_lines(path)
    blocks: dict[str, Block] = {}
    for name, first, last in _block_ranges(path, lines):
        if name in blocks:
            raise InputError("block stands twice", file=path, place=f"line {first}", found=f"data_{name}")
        blocks[name] = _parse_block(path, lines, name, first, last)
    if lines[-1].strip():
        logging.getLogger(__name__).warning("%s: no newline at the end: the file may be truncated", path)
    return blocks


def write_star(path: str | Path, blocks: Mapping[str, Block]) -> None:
    """Write blocks, whole or not at all: a DataFrame as a loop, a dict as key-value pairs.

    Numbers are written with as many digits as give the same number back (float32 as float32). Raises
    InputError for text that STAR cannot hold (a line break, a missing value).
    """
    path = Path(path)
    with atomic_path(path) as part, open(part, "w", encoding="utf-8") as handle:
        for name, block in blocks.items():
            # RELION reads files without this line as version 3.0
            handle.write(f"\n# version 30001\n\ndata_{name}\n\n")
            if isinstance(block, pd.DataFrame):
                handle.writelines(_loop(path, block))
            else:
                pairs = {key: _texts(path, key, pd.Series([value]))[0] for key, value in block.items()}
                handle.writelines(f"_{key:<42} {text}\n" for key, text in pairs.items())


def require_columns(table: Block, labels: Sequence[str], *, file: str | Path, block: str) -> None:
    """Raise InputError naming the labels that a block lacks."""
    missing = [label for label in labels if label not in table]
    if missing:
        place, there = f"data_{block}", ", ".join(map(str, table))
        raise InputError(f"column missing: {', '.join(missing)}", file=file, place=place, found=there)


def row_line(path: str | Path, block: str, row: int) -> int | None:
    """The line (from 1) of row `row` (from 0) of a loop; for messages: the file is read again.

    None where the file has no such row (a table made of another block, as the optics of RELION 3.0).
    """
    lines = _read_lines(Path(path))
    for name, first, last in _block_ranges(Path(path), lines):
        if name == block:
            rows = [
                number
                for number in range(first + 1, last)
                if (words := split_words(lines[number - 1])) and words[0] != "loop_" and words[0][0] != "_"
            ]
            return rows[row] if row < len(rows) else None
    return None


def split_words(line: str) -> list[str]:
    """The words of a line of a STAR file: quotes respected, a comment dropped."""
    words = []
    for match in _WORD.finditer(line):
        single, double, comment, plain = match.groups()
        if comment is not None:
            break
        words.append(next(text for text in (single, double, plain) if text is not None))
    return words


def _read_lines(path: Path) -> list[str]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError("file cannot be read", file=path, found=error.strerror) from error
    if not raw.strip():
        raise InputError("file is empty", file=path, found=f"{len(raw)} bytes", expected="a STAR file")
    if b"\0" in raw[:4096]:
        raise InputError("not a STAR file", file=path, found="binary data", expected="text")
    try:
        return raw.decode("utf-8-sig").replace("\r", "").split("\n")
    except UnicodeDecodeError as error:
        place, found = f"line {raw[: error.start].count(10) + 1}", repr(raw[error.start : error.end])
        raise InputError("not UTF-8 text", file=path, place=place, found=found, todo="convert it") from error


def _block_ranges(path: Path, lines: list[str]) -> Iterator[tuple[str, int, int]]:
    """(name, number of the line `data_…`, end) of each block; numbers count from 1, `end` is excluded."""
    starts = [
        number
        for number, line in enumerate(lines, 1)
        if line.lstrip().startswith("data_") and len(split_words(line)) == 1
    ]
    if not starts:
        html = any(line.lstrip().startswith("<") for line in lines[:20])
        found = "HTML or XML" if html else f"{plural(len(lines), 'line')} without one"
        raise InputError("no data_ block: not a STAR file", file=path, found=found)
    for number, line in enumerate(lines[: starts[0] - 1], 1):
        if split_words(line):
            place = f"line {number}"
            raise InputError("text before the first data_ block", file=path, place=place, found=line[:40])
    for first, last in zip(starts, [*starts[1:], len(lines) + 1], strict=True):
        yield split_words(lines[first - 1])[0].removeprefix("data_"), first, last


def _parse_block(path: Path, lines: list[str], name: str, first: int, last: int) -> Block:
    """The block whose `data_` line has the number `first`; `last` is the number after its last line."""
    labels: list[str] = []
    pairs: dict[str, Any] = {}
    loop = False
    number = first + 1
    while number < last:
        words = split_words(lines[number - 1])
        if words and not loop and words[0] == "loop_":
            loop = True
        elif words and not words[0].startswith("_"):
            break
        elif words:
            _add_label(path, number, words, labels, pairs, loop)
        number += 1
    if not loop:
        if number < last:
            raise InputError("neither a label nor a loop", file=path, place=f"line {number}", found=words[0])
        return pairs
    if pairs or not labels:
        raise InputError("a loop needs labels, and a block of its own", file=path, place=f"line {first}")
    return _parse_rows(path, lines, labels, number, last)


def _add_label(
    path: Path, number: int, words: list[str], labels: list[str], pairs: dict[str, Any], loop: bool
) -> None:
    label = words[0][1:]
    if label in labels or label in pairs:
        raise InputError("label stands twice", file=path, place=f"line {number}", found=words[0])
    if loop:
        labels.append(label)
    elif len(words) != 2:
        found = f"{len(words) - 1} values of {words[0]}"
        raise InputError("not one value", file=path, place=f"line {number}", found=found, expected="1")
    else:
        pairs[label] = _scalar(label, words[1])


def _scalar(label: str, text: str) -> Any:
    value = _column(label, [text])[0]
    return value if isinstance(value, str) else value.item()


def _parse_rows(path: Path, lines: list[str], labels: list[str], first: int, last: int) -> pd.DataFrame:
    """The rows from line `first` on: by pandas where all is plain, else word by word."""
    table = _parse_plain_rows("\n".join(lines[first - 1 : last - 1]), labels)
    if table is not None:
        return table
    # in pieces, so that few words exist as Python objects at a time
    pieces: list[list[Any]] = [[] for _ in labels]
    for start in range(first, last, _ROWS_AT_ONCE):
        rows = _split_rows(path, lines, start, min(start + _ROWS_AT_ONCE, last), len(labels))
        for label, column, words in zip(labels, pieces, zip(*rows, strict=True), strict=False):
            column.append(_column(label, words))
    for position, (label, column) in enumerate(zip(labels, pieces, strict=True)):
        text = [isinstance(piece, np.ndarray) for piece in column].count(False)
        if text and _NUMBER.search(label):
            _refuse_text(path, lines, label, position, first, last)
        if 0 < text < len(column):  # numbers in one piece, words in another: all of them are words
            pieces[position] = [
                [words[position] for words in map(split_words, lines[first - 1 : last - 1]) if words]
            ]
    return pd.DataFrame({label: _joined(label, column) for label, column in zip(labels, pieces, strict=True)})


def _parse_plain_rows(text: str, labels: list[str]) -> pd.DataFrame | None:
    """The rows by pandas' C parser, or None where there is anything for the slower code to judge."""
    # a quote or comment opens only at the beginning of a word
    opened = any(f"{blank}{mark}" in text for mark in "'\"#" for blank in " \t\n")
    if opened or not text.strip() or text[0] in "'\"#":
        return None
    words = {label: "str" for label in labels if not _NUMBER.search(label)}
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=r"\s+",
            header=None,
            names=[*labels, _BEYOND],
            dtype={**words, _BEYOND: "str"},
            index_col=False,
            low_memory=False,
            keep_default_na=False,
            na_values=[""],  # only what a short row lacks
            quoting=csv.QUOTE_NONE,
        )
    except (ValueError, OverflowError):
        return None
    if table[labels[-1]].isna().any() or table.pop(_BEYOND).notna().any():
        return None  # a short or a long row
    for label in labels:
        if label not in words and table[label].dtype.kind not in "if":
            return None
        if label in words and not _TEXT.search(label):
            table[label] = _joined(label, [_column(label, table[label].tolist())])
    return None if len(labels) == 1 and "loop_" in set(table[labels[0]]) else table


def _split_rows(path: Path, lines: list[str], start: int, end: int, count: int) -> list[list[str]]:
    piece = lines[start - 1 : end - 1]
    joined = "".join(piece)
    if "'" in joined or '"' in joined or "#" in joined:
        rows = [split_words(line) if _SPECIAL.search(line) else line.split() for line in piece]
    else:
        rows = list(map(str.split, piece))
    if set(map(len, rows)) <= {0, count} and not (count == 1 and ["loop_"] in rows):
        return [row for row in rows if row]
    number, row = next(
        (start + i, row) for i, row in enumerate(rows) if row and len(row) != count or row == ["loop_"]
    )
    cut = number == len(lines) and len(row) < count
    raise InputError(
        "the file ends inside a row: truncated" if cut else "row with a wrong number of fields",
        file=path,
        place=f"line {number}",
        found=plural(len(row), "field"),
        expected=count,
    )


def _column(label: str, words: Sequence[str]) -> Any:
    """Whole numbers as int64, other numbers as float64, or the words themselves as a list."""
    if _TEXT.search(label):
        return list(words)
    try:
        values = np.array(list(map(int, words)), np.int64)
    except (ValueError, OverflowError):
        return _floats(words)
    # Python reads 1_000 as a number; 001 is a name unless the label says number
    padded = not _NUMBER.search(label) and any(word[0] == "0" and len(word) > 1 for word in words)
    return list(words) if padded or "_" in "".join(words) else values


def _floats(words: Sequence[str]) -> Any:
    try:
        values = np.array(list(map(float, words)))
    except ValueError:
        if "<NA>" not in words:
            return list(words)
        numbers = _floats([word if word != "<NA>" else "nan" for word in words])
        return numbers if isinstance(numbers, np.ndarray) else list(words)
    # whole numbers beyond 64 bits (cryoSPARC's uid) would lose digits
    exact = np.abs(values).max(initial=0, where=np.isfinite(values)) < 2**53 or any(
        "." in word for word in words
    )
    return list(words) if not exact or "_" in "".join(words) else values


def _refuse_text(path: Path, lines: list[str], label: str, position: int, first: int, last: int) -> None:
    for number in range(first, last):
        words = split_words(lines[number - 1])
        if words and not isinstance(_column(label, [words[position]]), np.ndarray):
            place = f"line {number}, column {label}"
            raise InputError(
                "not a number", file=path, place=place, found=words[position], expected="a number"
            )


def _joined(label: str, column: list[Any]) -> Any:
    if not column:
        return pd.Series([], dtype="str" if _TEXT.search(label) else "float64")
    if isinstance(column[0], np.ndarray):
        return np.concatenate(column)
    return pd.Series(list(chain.from_iterable(column)), dtype="str")


def _loop(path: Path, frame: pd.DataFrame) -> Iterator[str]:
    """The text of a loop, in pieces of many rows."""
    yield "loop_\n" + "".join(f"_{label} #{number}\n" for number, label in enumerate(frame, 1))
    for start in range(0, len(frame), _ROWS_AT_ONCE):
        piece = frame.iloc[start : start + _ROWS_AT_ONCE]
        columns = [_texts(path, str(label), piece[label]) for label in frame]
        yield "\n".join(map(" ".join, zip(*columns, strict=True))) + "\n"
    yield "\n"


def _texts(path: Path, label: str, values: pd.Series) -> list[str]:
    kind = values.dtype.kind
    if kind in "iu":
        return list(map(str, values.tolist()))
    if kind == "b":
        return ["1" if value else "0" for value in values]
    if kind == "f":
        array = values.to_numpy()
        return list(map(repr, array.tolist())) if array.dtype == np.float64 else array.astype(str).tolist()
    if values.isna().any():
        raise InputError("missing value in a column of text", file=path, place=f"column {label}")
    texts = list(map(str, values.to_numpy(dtype=object).tolist()))
    joined = " " + " ".join(texts)
    special = any(mark in joined for mark in ("'", '"', "#", *(f" {word}" for word in _KEYWORDS)))
    if not special and len(joined.split()) == len(texts) and "" not in texts:
        return texts
    return [_quoted(path, label, text) for text in texts]


def _quoted(path: Path, label: str, text: str) -> str:
    if text and split_words(text) == [text] and not text.startswith(_KEYWORDS):
        return text
    for quote in "\"'":
        word = f"{quote}{text}{quote}"
        if split_words(word) == [text] and not {"\n", "\r"} & set(text):
            return word
    raise InputError("text that STAR cannot hold", file=path, place=f"column {label}", found=repr(text))
