from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from vitreous.data.archives.cesped import ENTRIES
from vitreous.data.fetch_settings import (
    CespedFetch,
    CryopppFetch,
    EmdbFetch,
    EmpiarFetch,
    MnistFetch,
    fetch_key,
    folder_of,
)
from vitreous.data.names import settings_of_name
from vitreous.data.registry import REGISTRY, find_entry, named_entry, read_registry
from vitreous.data.settings import CryopppSettings, EmpiarSettings, LocalSettings
from vitreous.data.sizes import expected_bytes, expected_micrographs
from vitreous.errors import InputError, SettingsError

# What the five papers name.
NUMBERS = """
10005 10017 10028 10049 10059 10061 10075 10077 10081 10096 10146 10184 10204 10240 10278 10289 10291 10406
10433 10532 10590 10669 10737 10760 10816 10892 10955 11183
"""


def test_every_dataset_that_a_paper_names_has_a_row_and_so_has_its_reference_map() -> None:
    entries = read_registry()
    assert {f"empiar-{number}" for number in NUMBERS.split()} <= set(entries)
    assert {"emdb-2660", "emdb-6840", "mnist", "pdb-7a4m"} <= set(entries)
    assert {one.entry for one in entries.values() if one.archive == "cesped"} == set(ENTRIES)
    references = {number.removeprefix("EMD-") for one in entries.values() for number in one.emdb}
    assert references <= {one.entry for one in entries.values() if one.archive == "emdb"}


def test_every_row_can_be_fetched_by_its_name() -> None:
    for name, entry in read_registry().items():
        settings = settings_of_name(name)
        assert settings.source == entry.archive
        assert folder_of(settings).startswith(entry.archive if entry.archive != "mnist" else "mnist")


def test_values_that_nobody_verified_are_marked_and_a_marked_value_is_there() -> None:
    entries = read_registry()
    assert entries["empiar-10017"].marked("cs_mm") == "2?"
    assert entries["empiar-10017"].marked("pixel_size_A") == "1.77"
    assert entries["empiar-10184"].marked("pixel_size_A") == "-"
    for entry in entries.values():
        for column in entry.unverified:
            assert getattr(entry, column) not in (None, ()), f"{entry.name}: {column} is marked and empty"


def test_measured_facts_of_the_papers_stand_in_the_registry() -> None:
    known = find_entry("empiar", "10017")
    assert known is not None and known.micrographs == 84 and known.bytes == 84 * 67_109_888
    assert known.diameter_px == 108 and known.symmetry == "D2"
    found = find_entry("cryoppp", "10291")
    assert found is not None and found.cryoppp_micrographs == 300 and found.name == "empiar-10291"
    assert find_entry("empiar", "1") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("\t1.77\t", "\tx\t", 1), "pixel_size_A: not a number"),
        (lambda text: text.replace("\t1.77\t", "\t", 1), "wrong number of fields"),
        (lambda text: text.replace("name\tarchive", "name\tplace", 1), "other columns than expected"),
        (lambda text: text.replace("cs_mm,amplitude_contrast\t", "cs_m\t", 1), "names no column"),
        (lambda text: text + text.splitlines()[1] + "\n", "stands twice"),
    ],
)
def test_a_damaged_registry_is_refused_with_line_and_column(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "datasets.tsv"
    path.write_text(change(REGISTRY.read_text()))
    with pytest.raises(InputError, match=message):
        read_registry(path)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean .*empiar-10017"):
        named_entry("empiar-1001")


def test_folders_say_archive_and_entry() -> None:
    assert folder_of(EmpiarFetch(entry="EMPIAR-10017")) == "empiar/10017"
    assert folder_of(CryopppFetch(entry="10389A", lite=True)) == "cryoppp_lite/10389A"
    assert folder_of(CespedFetch(entry="TEST")) == "cesped/TEST"
    assert folder_of(EmdbFetch(entry="emd-2660")) == "emdb/EMD-2660"
    assert folder_of(MnistFetch()) == "mnist"


def test_what_a_dataset_does_not_say_comes_from_the_registry_and_what_it_says_wins() -> None:
    taken = CryopppSettings.model_validate({"source": "cryoppp", "entry": 10017})
    assert (taken.pixel_size_A, taken.voltage_kv, taken.accession) == (1.77, 300, "EMPIAR-10017")
    assert taken.targets[0].diameter_A == pytest.approx(191.2) and taken.targets[0].reference == "EMD-2824"
    assert taken.flip_y and taken.micrographs == ["micrographs/*.mrc"]
    lite = CryopppSettings.model_validate({"source": "cryoppp", "entry": "10017", "lite": True})
    assert not lite.flip_y and lite.micrographs == ["micrographs/*.jpg"]
    other = CryopppSettings.model_validate({"source": "cryoppp", "entry": "10017", "pixel_size_A": 2.0})
    assert other.pixel_size_A == 2.0 and other.targets[0].diameter_A == 216.0
    with pytest.raises(ValidationError, match="pixel_size_A"):
        EmpiarSettings.model_validate({"source": "empiar", "entry": "10184"})
    with pytest.raises(ValidationError, match="brings no micrographs"):
        CryopppSettings.model_validate({"source": "cryoppp", "entry": "10017", "labels_only": True})


def test_labels_of_an_empiar_set_are_read_in_their_own_frame() -> None:
    taken = EmpiarSettings.model_validate({"source": "empiar", "entry": "10017", "labels": True})
    assert taken.flip_y and taken.coordinates == ["ground_truth/**/*.csv"]
    assert not EmpiarSettings.model_validate({"source": "empiar", "entry": "10017"}).coordinates


def test_a_local_folder_needs_micrographs_or_particles() -> None:
    with pytest.raises(ValidationError, match="give `micrographs`"):
        LocalSettings(folder="x", pixel_size_A=1.0)
    assert LocalSettings(folder="x", pixel_size_A=1.0, particles="p.star").micrographs == []


def test_sizes_are_those_of_the_registry_and_fewer_micrographs_take_less() -> None:
    whole = EmpiarFetch(entry="10017")
    assert expected_micrographs(whole) == 84 and expected_bytes(whole) == 84 * 67_109_888
    some = whole.model_copy(update={"count": 10})
    assert expected_micrographs(some) == 10 and expected_bytes(some) == 10 * 67_109_888
    both, one = (expected_bytes(CespedFetch(entry="10166", halves=halves)) for halves in ([0, 1], [0]))
    assert both is not None and one == both // 2
    assert expected_bytes(CryopppFetch(entry="10017", lite=True)) is None
    assert expected_bytes(EmpiarFetch(entry="99999")) is None


def test_settings_and_registry_import_nothing_heavy() -> None:
    code = (
        "import sys, vitreous.config.models, vitreous.data.registry; "
        "print({'torch', 'numpy', 'pandas', 'requests'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("EMD-2660", "emdb/EMD-2660"), ("emd_2660", "emdb/EMD-2660"), ("emdb-EMD-2660", "emdb/EMD-2660"),
        ("EMPIAR_10017", "empiar/10017"), ("cryoppp-10389a", "cryoppp/10389A"), ("pdb-7A4M", "pdb"),
        ("CESPED-test", "cesped/TEST"), ("cesped-10647", "cesped/10648"), ("MNIST", "mnist"),
    ],
)  # fmt: skip
def test_names_are_taken_as_people_write_them(name: str, folder: str) -> None:
    assert folder_of(settings_of_name(name)) == folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("10017", "did you mean empiar-10017"), ("7a4m", "did you mean pdb-7a4m"),
        ("zenodo-abc", "expected e.g. 7934683"), ("mnist-1", "no dataset of this name"),
        ("cesped-1", "expected e.g. 10166"), ("empiar-../x", "expected e.g. 10017"),
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_told_with_one_that_is(name: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings_of_name(name)


def test_a_fetch_is_named_after_what_is_chosen_and_not_after_what_it_is_called() -> None:
    some, more = (fetch_key(EmpiarFetch(entry="10017", count=count)) for count in (2, 5))
    assert some != more and some.startswith("empiar-10017-") and more.startswith("empiar-10017-")
    assert fetch_key(EmpiarFetch(entry="EMPIAR-10017", count=2)) == some
    assert fetch_key(CryopppFetch(entry="10017")) != fetch_key(CryopppFetch(entry="10017", lite=True))


def test_an_entry_with_the_archive_s_name_before_it_finds_its_registry() -> None:
    taken = EmpiarSettings.model_validate({"source": "empiar", "entry": "EMPIAR-10017"})
    assert taken.accession == "EMPIAR-10017" and taken.pixel_size_A == 1.77
    assert "data/**/*.[mM][rR][cC]" in taken.micrographs and "*gain*" in taken.exclude
