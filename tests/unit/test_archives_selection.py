from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from vitreous.data.archives.numbering import running_series
from vitreous.data.archives.selection import natural_key, select
from vitreous.data.archives.settings import Selection
from vitreous.errors import InputError

PATHS = ["data/a10.mrc", "data/a2.mrc", "data/gain/a1.mrc", "data/a2.txt", "data/sub/b 1.mrc"]


def test_numbers_in_names_compare_as_numbers() -> None:
    names = [f"m{n}_x{k}.mrc" for n in (1, 2, 9, 10, 100) for k in (3, 20)]
    shuffled = random.Random(1).sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == names


def test_names_that_differ_only_in_zeros_have_one_order() -> None:
    assert sorted(["a1", "a01", "a001"], key=natural_key) == sorted(["a01", "a001", "a1"], key=natural_key)


def test_an_empty_selection_is_every_path_once() -> None:
    assert select([*PATHS, *PATHS], Selection()) == sorted(PATHS, key=natural_key)


def test_globs_match_the_bare_name_and_the_path_and_exclusion_wins() -> None:
    assert select(PATHS, Selection(include=["*.mrc"], exclude=["data/gain/*"])) == [
        "data/a2.mrc",
        "data/a10.mrc",
        "data/sub/b 1.mrc",
    ]
    assert select(PATHS, Selection(include=["b ?.mrc"])) == ["data/sub/b 1.mrc"]


def test_count_takes_the_first_in_natural_order_after_the_globs() -> None:
    assert select(PATHS, Selection(include=["a*.mrc"], exclude=["data/gain/*"], count=1)) == ["data/a2.mrc"]
    assert len(select(PATHS, Selection(count=99))) == len(PATHS)


def test_a_selection_that_matches_nothing_shows_some_of_the_names() -> None:
    with pytest.raises(InputError) as error:
        select([f"data/{n}.tif" for n in range(20)], Selection(include=["*.mrc"]), where="EMPIAR-10017")
    text = str(error.value)
    assert text.startswith("EMPIAR-10017: no file is selected (found 20 files: data/0.tif, data/1.tif")
    assert "data/9.tif" not in text and "*.mrc" in text and "\n" not in text


def test_one_glob_may_stand_without_a_list_and_odd_keys_are_refused() -> None:
    assert Selection.model_validate({"include": "*.mrc"}).include == ["*.mrc"]
    for wrong in ({"counts": 1}, {"count": 0}):
        with pytest.raises(ValidationError):
            Selection.model_validate(wrong)


def test_gaps_and_ends_of_a_running_number_keep_its_zeros() -> None:
    (series,) = running_series(["d/s_0002_2x.mrc", "d/s_0005_2x.mrc", "d/s_0003_2x.mrc"])
    assert series.gaps(9) == ["d/s_0004_2x.mrc"]
    assert series.ends(3) == [f"d/s_{n:04d}_2x.mrc" for n in (6, 7, 8, 1, 0)]
    (plain,) = running_series(["a9.mrc", "a12.mrc"])
    assert plain.gaps(9) == ["a10.mrc", "a11.mrc"] and plain.gaps(1) == ["a10.mrc"]


def test_names_in_which_two_numbers_run_form_no_series() -> None:
    assert running_series(["d/12_33.mrc", "d/13_34.mrc"]) == []
    assert running_series(["d/only.mrc"]) == []
    folders = running_series(["d1/a1.mrc", "x/a1.mrc", "x/a3.mrc"])
    assert [series.gaps(5) for series in folders] == [["x/a2.mrc"]]
