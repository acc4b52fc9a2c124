"""The tables at the end of `vitreous run`, from results written by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vitreous.cli import summary as summary_module
from vitreous.cli.summary import summary
from vitreous.cli.workflow import Run, open_run
from vitreous.io.star import write_star
from vitreous.io.tidy import write_tidy
from vitreous.runtime.files import write_json

CONFIG = """
run: mine
datasets:
  a:
    source: simulate
    targets: [{name: x, phantom: c1, diameter_A: 100}]
  mics:
    source: local
    folder: mics
    micrographs: "*.mrc"
    pixel_size_A: 2
    targets: [{name: y, diameter_A: 100}]
ctf:
  thon: {variant: thon}
pickers:
  blob: {variant: blob}
engines:
  native: {variant: native}
matrix:
  - datasets: [a]
    pickers: [blob, truth]
    ctf: [thon]
    extract: true
    engines: [native]
    selections: [all]
  - datasets: [mics]
    pickers: [blob]
"""
COMPARISON = """
comparisons:
  two:
    groups: [{name: one, datasets: [a]}, {name: two, datasets: [a], border_px: 20}]
    pickers: [blob]
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("vitreous.yaml").write_text(CONFIG)
    return open_run(Path("vitreous.yaml"))


def scores(path: Path, **metrics: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = {"low": 0.8, "high": 0.95, "n": 7}
    write_tidy(path, [{"metric": name, "value": value, **ends} for name, value in metrics.items()])


def test_a_run_without_results_says_nothing(run: Run) -> None:
    assert summary(run) == []


def test_picks_ctfs_and_maps_are_said_in_aligned_tables(run: Run) -> None:
    sets = run.folder / "sets"
    scores(
        sets / "a/picks/raw/blob/scores.csv",
        f1_micro=0.9, oracle_f1=0.91, precision_micro=0.85, recall_micro=0.96, count_picks=521,
    )  # fmt: skip
    scores(sets / "a/ctf/thon/scores.csv", ctf_failed=1)
    fits = {"rlnMicrographName": list("pqr"), "rlnDefocusU": [12000.0, 15000.0, 90000.0]}
    fits |= {"rlnDefocusV": [11000.0, 16000.0, 90000.0], "vitreousCtfFailed": [0, 0, 1]}
    write_star(sets / "a/ctf/thon/micrographs.star", {"micrographs": pd.DataFrame(fits)})
    for picker, half_maps in (("blob", 6.07), ("truth", float("nan"))):
        values = {"resolution_corrected_0.143": half_maps, "resolution_truth_0.5": float("inf")}
        scores(sets / f"a/maps/raw/{picker}/all/x/native/scores.csv", **values)
    assert summary(run) == [
        "",
        "picks of  picker     F1            (95 %)  precision  recall  oracle F1  picks",
        "a         blob    0.900  (0.800 to 0.950)      0.850   0.960      0.910    521",
        "",
        "CTF of  fit   micrographs  failed   defocus, µm",
        "a       thon            7       1  1.15 to 1.55",
        "",
        "map of  target  picker  engine  half-maps 0.143  truth 0.5",
        "a       x       blob    native           6.07 Å       none",
        "a       x       truth   native       to Nyquist       none",
        "",
    ]


def test_picks_without_a_truth_are_counted(run: Run) -> None:
    place = run.folder / "sets/mics/picks/raw/blob/threshold.json"
    write_json(place, {"picks": 310})
    assert summary(run) == ["", "picks of  picker  picks", "mics      blob      310", ""]


def test_a_table_that_cannot_be_read_is_left_out(run: Run) -> None:
    place = run.folder / "sets/a/picks/raw/blob/scores.csv"
    place.parent.mkdir(parents=True)
    place.write_text("half a li")
    assert summary(run) == []


def test_a_comparison_is_said_whole_with_best_thresholds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_module, "MOST_ROWS", 1)
    Path("vitreous.yaml").write_text(CONFIG + COMPARISON)
    lines = ["picker,group,metric,value"]
    lines += [f"{name},one,{metric},0.8" for name in ("blob", "dog") for metric in ("f1_micro", "oracle_f1")]
    table = run.folder / "tables/comparison-two.csv"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join([*lines, "blob,two,f1_micro,0.75", "blob,two,oracle_f1,"]))
    assert summary(open_run(Path("vitreous.yaml"))) == [
        "",
        "two: F1 (best)            one        two",
        "blob            0.800 (0.800)  0.750 (–)",
        "dog             0.800 (0.800)      – (–)",
        "",
    ]


MULTITARGET = """
models:
  multitarget:
    own: {settings: {variant: gaussian}, images: gaussian}
experiments:
  multitarget:
    images:
      gaussian: {source: gaussian}
    methods:
      plain: {}
      helped: {prior: own}
    tables:
      figure3: {images: gaussian, snr: [1, 5, 10], methods: [plain, helped]}
      other: {images: gaussian, snr: [2], methods: [plain]}
"""


def test_detections_are_said_at_the_ends_of_their_snrs_the_best_first(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary_module, "MOST_DETECTIONS", 4)
    Path("vitreous.yaml").write_text(CONFIG + MULTITARGET)
    lines = ["method,snr,metric,value"]
    for snr in (1, 5, 10):
        lines += [f"plain,{snr}.0,error_aligned,{0.4 / snr}", f"plain,{snr}.0,known_error,{0.2 / snr}"]
        lines += [f"helped,{snr}.0,error_aligned,{0.3 / snr}", f"helped,{snr}.0,known_error,{0.2 / snr}"]
        lines += [f"helped,{snr}.0,known_prior_error,{0.1 / snr}", f"helped,{snr}.0,recovered,0.98"]
    table = run.folder / "tables/multitarget_figure3.csv"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join(lines))
    opened = open_run(Path("vitreous.yaml"))
    assert summary(opened) == [
        "",
        "detection  method  SNR  aligned error  known poses  ratio  recovered",
        "figure3    helped    1          0.300        0.100   3.00       0.98",
        "figure3    plain     1          0.400        0.200   2.00          –",
        "figure3    helped   10          0.030        0.010   3.00       0.98",
        "figure3    plain    10          0.040        0.020   2.00          –",
        "",
    ]
    (run.folder / "tables/multitarget_other.csv").write_text(
        "method,snr,metric,value\nplain,2,error_aligned,0.5"
    )
    rows = [line.split()[:4] for line in summary(opened)[2:-2]]
    ends = [["figure3", "helped", "1", "0.300"], ["figure3", "helped", "10", "0.030"]]
    assert rows == [*ends, ["other", "plain", "2", "0.500"]]
    assert summary(opened)[-2] == "and 2 more, in the report"


def test_a_long_table_is_cut_and_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_module, "MOST_ROWS", 1)
    for name in ("a", "mics"):
        write_json(run.folder / f"sets/{name}/picks/raw/blob/threshold.json", {"picks": 3})
    assert summary(run)[-2:] == ["and 1 more, in the report", ""]
