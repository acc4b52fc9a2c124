from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile

from vitreous.errors import InputError
from vitreous.io import star
from vitreous.io.star import read_star, split_words, write_star


def text(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "a.star"
    path.write_text(content)
    return path


def test_tables_and_pairs_come_back_exactly(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "rlnMicrographName": [
                "001",
                "it's",
                "a b.mrc",
                'say "so"',
                "",
                "#5",
                "_x",
                "data_1",
                "loop_",
                "null",
            ],
            "rlnCoordinateX": [0.1, 1 / 3, -2.5e-17, 1e300, 3.0, 4.0, 5.0, 6.0, 7.0, np.pi],
            "rlnOpticsGroup": range(10),
            "vitreousNote": list("abcdefghij"),
        }
    )
    pairs = {"rlnFinalResolution": 3.25, "rlnMaskName": "my mask.mrc", "rlnRandomiseFrom": 7}
    write_star(tmp_path / "a.star", {"particles": table, "general": pairs, "": table[["rlnCoordinateX"]]})
    blocks = read_star(tmp_path / "a.star")
    assert list(blocks) == ["particles", "general", ""] and blocks["general"] == pairs
    pd.testing.assert_frame_equal(blocks["particles"], table, check_exact=True)
    pd.testing.assert_frame_equal(blocks[""], table[["rlnCoordinateX"]], check_exact=True)


def test_the_fast_and_the_careful_reader_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{i + 1:06d}@s.mrcs" for i in range(300)],
            "rlnCoordinateX": rng.normal(size=300) * 10.0 ** rng.integers(-30, 30, 300),
            "rlnClassNumber": rng.integers(-5, 5, 300),
            "other": rng.normal(size=300),
            "padded": [f"{i:03d}" for i in range(300)],
            "uid": [str(2**60 + i) for i in range(300)],
        }
    )
    write_star(tmp_path / "a.star", {"particles": table})
    fast = read_star(tmp_path / "a.star")["particles"]
    monkeypatch.setattr(star, "_parse_plain_rows", lambda text, labels: None)
    monkeypatch.setattr(star, "_ROWS_AT_ONCE", 7)
    careful = read_star(tmp_path / "a.star")["particles"]
    pd.testing.assert_frame_equal(fast, careful, check_exact=True)
    pd.testing.assert_frame_equal(fast, table.astype({"uid": "int64"}), check_exact=True)


def test_starfile_reads_what_is_written(tmp_path: Path) -> None:
    table = pd.DataFrame({"rlnMicrographName": ["a.mrc", "b c.mrc"], "rlnCoordinateX": [1.5, 2.0]})
    write_star(tmp_path / "a.star", {"optics": {"rlnVoltage": 300.0}, "particles": table})
    blocks = starfile.read(tmp_path / "a.star", always_dict=True)
    assert blocks["particles"]["rlnMicrographName"].tolist() == ["a.mrc", "b c.mrc"]
    assert blocks["optics"]["rlnVoltage"] == 300.0


def test_names_stay_text_and_numbers_become_numbers(tmp_path: Path) -> None:
    path = text(
        tmp_path, "data_\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_a\n_b\n001 7 1e3 x\n002 8 2 <NA>\n"
    )
    table = read_star(path)[""]
    assert isinstance(table, pd.DataFrame)
    assert table["rlnMicrographName"].tolist() == ["001", "002"]
    assert table["rlnCoordinateX"].dtype == np.int64 and table["a"].dtype == np.float64
    assert table["b"].tolist() == ["x", "<NA>"]


def test_float32_columns_are_written_as_short_as_they_are(tmp_path: Path) -> None:
    write_star(tmp_path / "a.star", {"t": pd.DataFrame({"x": np.array([0.1, 1.345], np.float32)})})
    assert "\n0.1\n1.345\n" in (tmp_path / "a.star").read_text()


def test_words_keep_apostrophes_and_lose_comments() -> None:
    assert split_words("it's 5' 'a b' \"c d\" a#b '' # note 'x'") == ["it's", "5'", "a b", "c d", "a#b", ""]
    assert split_words("'don't do' [1,2,3] 'open") == ["don't do", "[1,2,3]", "'open"]


def test_bytes_that_are_not_utf8_are_refused_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.star").write_bytes(b"data_\nloop_\n_rlnMicrographName #1\nm\xb5.mrc\n")
    with pytest.raises(InputError, match="line 4: not UTF-8"):
        read_star(tmp_path / "a.star")


def test_an_empty_loop_is_an_empty_table(tmp_path: Path) -> None:
    write_star(
        tmp_path / "a.star", {"particles": pd.DataFrame({"rlnMicrographName": pd.Series([], dtype="str")})}
    )
    table = read_star(tmp_path / "a.star")["particles"]
    assert isinstance(table, pd.DataFrame) and len(table) == 0 and list(table) == ["rlnMicrographName"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data_\nloop_\n_a\n_b\n1 2\n3\n4 5\n", "line 6.*found 1 field, expected 2"),
        ("data_\nloop_\n_a\n_b\n1 2\n3 4 5\n", "line 6.*found 3 fields"),
        ("data_\nloop_\n_a\n_b\n1 2 3\n4\n", "line 5.*found 3 fields"),
        ("data_\nloop_\n_a\n_b\n1 2\n3", "line 6: the file ends inside a row"),
        ("data_\nloop_\n_a\n_a\n1 2\n", "line 4: label stands twice"),
        ("data_x\n_a 1\ndata_x\n_a 2\n", "line 3: block stands twice"),
        ("data_\n_a 1 2\n", "line 2: not one value"),
        ("data_\nhello\n", "line 2: neither a label nor a loop"),
        ("data_\nloop_\n1 2\n", "line 1: a loop needs labels"),
        ("hello\ndata_\n_a 1\n", "line 1: text before"),
        ("<html><body>404</body></html>\n", "HTML or XML"),
        ("nothing at all\n", "no data_ block"),
        ("data_\nloop_\n_rlnDefocusU\n1.5\nabc\n", "line 5, column rlnDefocusU.*found abc"),
        ("data_\nloop_\n_rlnDefocusU\n1.5\n1_000\n", "line 5, column rlnDefocusU.*found 1_000"),
        ("data_\nloop_\n_a\n1\nloop_\n_b\n2\n", "line 5"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_star(text(tmp_path, content))


def test_text_that_star_cannot_hold_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    write_star(tmp_path / "a.star", {"t": {"a": 1}})
    before = (tmp_path / "a.star").read_bytes()
    for bad in ("two\nlines", "both ' and \" here' \" x"):
        with pytest.raises(InputError, match="column rlnName"):
            write_star(tmp_path / "a.star", {"t": pd.DataFrame({"rlnName": [bad]})})
    with pytest.raises(InputError, match="missing value"):
        write_star(tmp_path / "a.star", {"t": pd.DataFrame({"rlnName": ["a", None]})})
    assert (tmp_path / "a.star").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
