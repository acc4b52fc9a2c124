"""The papers' numbers in config/published.yaml: structure, and that they add up as the papers say."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from shared import shared

from vitreous.report.published import Published, read_published

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {
    "000": "000_1928d9b5035ecede.txt",
    "002": "002_e175b40b385e342b.txt",
    "004": "004_2387dfa94ef0eeb2.txt",
}
NUMBERS = ("value", "low", "high", "spread", "spread_kind", "n", "note", "source", "unit")


@pytest.fixture(scope="module")
def published() -> Published:
    return read_published(ROOT / "config" / "published.yaml")


def cells(published: Published, paper: str, table: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a printed table by label, each with its cells in order."""
    (found,) = (one for one in published.tables if (one.paper, one.table) == (paper, table))
    width = len(found.heads)
    labels = [label for label, _ in found.lines]
    rows = [dict(row) for row in found.rows]
    return {label: rows[i * width : (i + 1) * width] for i, label in enumerate(labels)}


def values(line: list[dict[str, Any]]) -> list[float | None]:
    return [cell["value"] for cell in line]


def mean_with_penalty(line: list[dict[str, Any]]) -> float:
    """Mean of resolutions, 10 Å for a map that is missing or marked wrong (paper 002, Table 2)."""
    return sum(10.0 if cell["value"] is None or cell.get("note") else cell["value"] for cell in line) / len(
        line
    )


def correct(line: list[dict[str, Any]]) -> list[float]:
    return [cell["value"] for cell in line if cell["value"] is not None and not cell.get("note")]


def test_every_number_says_what_and_whose_it_is(published: Published) -> None:
    assert set(published.papers) == {"000", "001", "002", "003", "004"}
    assert {row["paper"] for row in published.rows()} == set(published.papers)
    for row in published.rows():
        for key in ("paper", "table", "room", "metric", "source"):
            assert isinstance(row[key], str) and row[key], (row, key)
        assert isinstance(row["unit"], str)
        assert row["value"] is None or math.isfinite(row["value"])
        assert row["value"] is None or row["value"] >= 0
        assert re.fullmatch(r"[a-z0-9_.]+", row["metric"])


def test_no_number_stands_twice_under_one_key(published: Published) -> None:
    keys = [
        tuple(sorted((k, str(v)) for k, v in row.items() if k not in NUMBERS)) for row in published.rows()
    ]
    assert not [key for key, n in Counter(keys).items() if n > 1]


def test_scores_lie_between_0_and_1_and_resolutions_between_2_and_20_angstrom(published: Published) -> None:
    for row in published.rows():
        if row["value"] is None:
            continue
        if re.search(r"precision|recall|f1|iou|pcc", row["metric"]):
            assert 0 < row["value"] < 1, row
        if row["metric"].startswith(("resolution_corrected", "fscr")):
            assert 2 < row["value"] <= 20 and row["unit"] == "Å", row


def test_f1_of_paper_000_follows_from_precision_and_recall(published: Published) -> None:
    for label, line in cells(published, "000", "1").items():
        for index in (0, 3, 6):
            precision, recall, f1 = (cell["value"] for cell in line[index : index + 3])
            # Three printed digits: each of P and R is off by at most 0.0005, F1 by as much again.
            assert f1 == pytest.approx(2 * precision * recall / (precision + recall), abs=1.1e-3), label


def test_number_of_true_particles_of_10081_follows_from_tables_1_and_4(published: Published) -> None:
    picks = cells(published, "000", "4")["10081"]
    scores = cells(published, "000", "1")
    for cell, line in zip(picks[:6], scores.values(), strict=True):
        precision, recall = line[6]["value"], line[7]["value"]
        # The error of three printed digits of P and R: 0.0005 / 0.38 + 0.0005 / 0.46 = 0.24 %.
        assert cell["value"] * precision / recall == pytest.approx(picks[6]["value"], rel=2.5e-3)


def test_macro_f1_of_paper_000_lies_near_that_of_macro_precision_and_recall(published: Published) -> None:
    f1, precision, recall = (cells(published, "000", table) for table in ("2", "5", "6"))
    for label in f1:
        for one, p, r in zip(f1[label], precision[label], recall[label], strict=True):
            of_means = 2 * p["value"] * r["value"] / (p["value"] + r["value"])
            # A mean of F1 is not the F1 of means; over micrographs of this spread they differ by up to 0.02.
            assert one["value"] == pytest.approx(of_means, abs=0.02), label
            assert 0.03 < one["spread"] < 0.16


def test_each_picker_of_paper_002_beats_its_own_f1_bound(published: Published) -> None:
    lines = cells(published, "002", "1")
    assert len(lines) == 12
    for label, line in lines.items():
        iou, recall, precision, f1 = values(line)
        assert iou is not None and recall is not None and precision is not None and f1 is not None
        # A mean of F1 over 14 sets lies below the F1 of the mean precision and recall (F1 is concave).
        assert f1 <= 2 * precision * recall / (precision + recall) + 1e-3, label


# Means of paper 002, Table 2, that do not follow from its columns (half, row, column): what would follow.
CONTRADICTIONS = {
    ("2a", "mean of correct maps", 8): 4.56,
    ("2b", "mean of correct maps", 5): 4.342,
    ("2b", "mean", 8): 5.176,
}


@pytest.mark.parametrize("table", ["2a", "2b"])
def test_means_of_paper_002_table_2_follow_from_its_columns(published: Published, table: str) -> None:
    lines = cells(published, "002", table)
    if table == "2b":
        # Printed unmarked, but both means of the lower half count it as wrong, as the upper half marks it.
        lines["11183"][4] |= {"note": "wrong map"}
    sets = [line for label, line in lines.items() if not label.startswith("mean")]
    assert len(sets) == 7
    for index, column in enumerate(zip(*sets, strict=True)):
        good = correct(list(column))
        assert lines["mean of correct maps"][index]["n"] == len(good)
        for label, own in (
            ("mean", mean_with_penalty(list(column))),
            ("mean of correct maps", sum(good) / len(good)),
        ):
            expected = CONTRADICTIONS.get((table, label, index))
            if expected is None:
                assert lines[label][index]["value"] == pytest.approx(own, abs=0.006), (index, own)
            else:
                assert own == pytest.approx(expected, abs=1e-3)
                assert abs(lines[label][index]["value"] - own) > 0.1


def test_means_of_paper_002_table_3_follow_from_its_columns(published: Published) -> None:
    lines = cells(published, "002", "3")
    only = cells(published, "002", "3, correct maps")["mean of correct maps"]
    proteins = [line for label, line in lines.items() if label != "mean"]
    for index, column in enumerate(zip(*proteins, strict=True)):
        printed, own = lines["mean"][index]["value"], list(column)
        if index < 5:
            assert printed == pytest.approx(mean_with_penalty(own), abs=0.006)
        else:
            # The paper says of correct maps only; its numbers are means over every map that was made, but
            # cryo-EMMAE's leaves out the 162 particles of a map that it calls correct.
            made = [value for value in values(own) if value and value != 162]
            assert printed == pytest.approx(sum(made) / len(made), abs=1)
        if index < 4:
            assert only[index]["n"] == len(correct(own))
            assert only[index]["value"] == pytest.approx(sum(correct(own)) / len(correct(own)), abs=0.006)


def test_complete_sets_of_paper_002_add_up(published: Published) -> None:
    micrographs = values(cells(published, "002", "text, complete sets")["micrographs"])
    assert sum(micrographs[:6]) == micrographs[6] == 4382


def test_means_of_paper_004_table_1_follow_from_its_entries(published: Published) -> None:
    entries = list(cells(published, "004", "S2").values())
    (summary,) = cells(published, "004", "1").values()
    columns = [[float(value) for value in column] for column in zip(*map(values, entries), strict=True)]
    mane, wmane = (sum(column) / len(column) for column in columns[:2])
    delta_pcc = sum(truth - other for truth, other in zip(columns[10], columns[3], strict=True)) / 7
    assert summary[0]["value"] == pytest.approx(mane, abs=0.06)
    assert summary[1]["value"] == pytest.approx(wmane, abs=0.06)
    assert summary[2]["value"] == pytest.approx(delta_pcc, abs=6e-4)
    # The paper's ΔFSCR do not follow from its own table: 3.91 and 1.33 Å, said in the file's note.
    at_half = sum(a - b for a, b in zip(columns[7], columns[9], strict=True)) / 7
    at_0143 = sum(a - b for a, b in zip(columns[6], columns[8], strict=True)) / 7
    assert (at_half, at_0143) == (pytest.approx(3.91, abs=0.006), pytest.approx(1.33, abs=0.006))
    note = published.papers["004"].note
    assert "3.91" in note and "1.33" in note


@pytest.mark.parametrize(
    "paper, table, row, column, value",
    [
        ("000", "1", "TSM", "10291 F1", 0.649),
        ("000", "4", "10291", "truth", 99808),
        ("000", "7", "10289", "DSM", 6.503),
        ("002", "1", "10077 cryo-EMMAE", "F1", 0.518),
        ("002", "2b", "11183", "2D: cryo-EMMAE", 4.53),
        ("002", "3", "pre-60S", "particles: cryo-EMMAE", 28008),
        ("004", "S1", "10409 SARS-CoV-2 polymerase (map 1)", "particles", 406001),
        ("004", "S2", "10374", "0.5 GT,V (Å)", 7.0),
    ],
)
def test_spot_value(
    published: Published, paper: str, table: str, row: str, column: str, value: float
) -> None:
    (found,) = (one for one in published.tables if (one.paper, one.table) == (paper, table))
    assert cells(published, paper, table)[row][found.heads.index(column)]["value"] == value


# Printed rows of the papers' texts, tab- or space-separated, by the table and the label they are held under.
PRINTED = (
    ("000", "1", r"^{label}((?: 0\.\d{{3}}){{9}})$", 6),
    ("000", "4", r"^{label}((?: [\d,]+){{7}})$", 3),
    ("000", "7", r"^{label}((?: \d\.\d{{3}}){{7}})$", 3),
    ("004", "S2", r"^{label}((?:\t[\d.]+){{11}})$", 7),
)


@pytest.mark.parametrize("paper, table, pattern, expected", PRINTED)
def test_rows_equal_the_papers_text(
    published: Published, paper: str, table: str, pattern: str, expected: int
) -> None:
    text = shared(f"papers/{TEXTS[paper]}").read_text(encoding="utf-8")
    checked = 0
    for label, line in cells(published, paper, table).items():
        found = re.search(pattern.format(label=label), text, re.M)
        if found:
            printed = [float(word.replace(",", "")) for word in found[1].split()]
            assert printed == values(line), label
            checked += 1
    assert checked == expected


@pytest.mark.parametrize(
    "table, metric", [("2", "f1_macro"), ("5", "precision_macro"), ("6", "recall_macro")]
)
def test_rows_with_spread_equal_the_text_of_paper_000(published: Published, table: str, metric: str) -> None:
    text = shared(f"papers/{TEXTS['000']}").read_text(encoding="utf-8")
    block = text[: text.index(f"\nTable {table}:")].rsplit("\nMethod EMPIAR", 1)[1]
    for label, line in cells(published, "000", table).items():
        printed = re.findall(r"(0\.\d{3}) ±\\pm (0\.\d{3})", re.search(rf"^{label} (.*)$", block, re.M)[1])
        assert [(cell["value"], cell["spread"]) for cell in line] == [
            (float(a), float(b)) for a, b in printed
        ]
        assert {cell["metric"] for cell in line} == {metric}


@pytest.mark.parametrize("table, trained", [("2a", "10291"), ("2b", "10077")])
def test_rows_equal_the_text_of_paper_002_table_2(published: Published, table: str, trained: str) -> None:
    text = shared(f"papers/{TEXTS['002']}").read_text(encoding="utf-8")
    block = text[text.index(f"Trained on EMPIAR: {trained}\t") :]
    for label, line in cells(published, "002", table).items():
        if label.startswith("mean"):
            continue
        words = re.search(rf"^{label[:5]}\*?\t(.*)$", block, re.M)[1].split("\t")
        for word, cell in zip(words, line, strict=True):
            plain = re.sub(r"<[^>]+>|&gt;", "", word)
            assert cell["value"] == (None if plain == "–" else float(plain)), (label, word)
            assert bool(cell.get("note")) == ("<u>" in word), (label, word)


def test_rows_equal_the_text_of_paper_002_table_1(published: Published) -> None:
    text = shared(f"papers/{TEXTS['002']}").read_text(encoding="utf-8")
    printed = re.findall(r"^(?:\d{5})?\t(?:Topaz|CrYOLO|cryo-EMMAE)\t(.*)$", text, re.M)
    rows = [[float(word) for word in re.sub(r"</?b>", "", line).split("\t")] for line in printed]
    assert rows == [values(line) for line in cells(published, "002", "1").values()]
