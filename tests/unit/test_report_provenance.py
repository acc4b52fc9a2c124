"""Assumptions gathered from the code, staleness, and which entry a number leads to."""

from __future__ import annotations

import json
from pathlib import Path

from vitreous.report.provenance import assumptions, read_records, snakemake_command
from vitreous.runtime.provenance import code_hash

STAGE = "vitreous.io.tidy:write_tidy"


def record(path: Path, code: str | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"stage": STAGE, "modules": [STAGE]} | ({"code": code} if code else {})
    path.write_text(json.dumps(facts))
    return path


def test_assumptions_are_found_with_place_and_following_lines(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        'x = "# ASSUME: not a comment"\n# ASSUME: the first\n# goes on.\n'
        "x = 1  # ASSUME: beside code\n# other\n"
        "# ASSUME: a third\n\n# apart\n"
    )
    (tmp_path / "broken.py").write_text("def (\n")
    found = [(one.file, one.line, one.text) for one in assumptions(tmp_path)]
    assert found == [
        ("one.py", 2, "the first goes on."),
        ("one.py", 4, "beside code"),
        ("one.py", 6, "a third"),
    ]


def test_assumptions_of_the_package_are_sentences() -> None:
    found = assumptions()
    assert found and all(len(one.text.split()) > 3 for one in found)


def test_result_is_stale_where_the_code_has_changed_since(tmp_path: Path) -> None:
    paths = [
        record(tmp_path / "a" / "provenance.json", code_hash(STAGE)),
        record(tmp_path / "b" / "provenance.json", "0" * 16),
        record(tmp_path / "c" / "provenance.json", None),
    ]
    records = read_records(paths, [tmp_path])
    states = [(bool(entry.stale), bool(entry.unreadable)) for entry in records.entries]
    assert states == [(False, False), (True, False), (False, True)]
    assert records.stale == [tmp_path / "b" / "provenance.json"]


def test_provenance_of_batches_is_one_entry_that_counts_the_stale(tmp_path: Path) -> None:
    paths = [
        record(tmp_path / "p" / f"batch-0{index}-of-02.provenance.json", code)
        for index, code in ((1, code_hash(STAGE)), (2, "0" * 16))
    ]
    (entry,) = read_records(paths, [tmp_path]).entries
    assert len(entry.files) == 2 and len(entry.stale) == 1


def test_scores_lead_to_the_evaluation_and_other_files_to_their_folder(tmp_path: Path) -> None:
    paths = [
        record(tmp_path / name, code_hash(STAGE)) for name in ("provenance.json", "scores.provenance.json")
    ]
    records = read_records(paths, [tmp_path])
    scores, picks = records.made_by(tmp_path / "scores.csv"), records.made_by(tmp_path / "picks.star")
    assert scores is not None and scores.files == (paths[1],)
    assert picks is not None and picks.files == (paths[0],)
    assert records.made_by(tmp_path / "elsewhere" / "scores.csv") is None


def test_command_quotes_what_a_shell_would_split() -> None:
    command = snakemake_command(Path("results/a b/scores.csv"), "my config.yaml")
    assert command == "snakemake --cores all --configfile 'my config.yaml' -- 'results/a b/scores.csv'"
