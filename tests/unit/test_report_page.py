"""The whole page: self-contained, small, robust where files are missing, without an error in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from report_fixture import FakeRun, make_run

from vitreous.errors import InputError
from vitreous.io.picks import write_picks
from vitreous.report.settings import ReportSettings
from vitreous.report.stages import write_report
from vitreous.runtime.files import read_json
from vitreous.runtime.provenance import is_stale

PUBLISHED = Path(__file__).resolve().parents[2] / "config" / "published.yaml"
INFO = {"name": "trial", "seed": 0, "configfile": "config/minimal.yaml"}


def report(run: FakeRun, out: Path, *, files: list[Path] | None = None, **settings: object) -> str:
    write_report(
        run.folder,
        run.datasets,
        out,
        settings=ReportSettings.model_validate(settings),
        published=PUBLISHED,
        run_info=INFO,
        files=files,
    )
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: FakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    report(run, out)
    return out


def section(text: str, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}">.*?</section>', text, re.S)
    assert found, anchor
    return found[0]


def test_page_loads_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href|action|poster|data)="([^"]*)"', text)
    assert addresses and all(address.startswith(("#", "data:")) for address in addresses)
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style and "@import" not in style[1] and "url(" not in style[1]


def test_page_is_small_and_every_picture_says_what_it_shows(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 10e6
    pictures = re.findall(r'<svg class="(?:chart|overlay)"[^>]*>|<img [^>]*>', text)
    assert len(pictures) > 20
    for picture in pictures:
        assert re.search(r'(?:aria-label|alt)="[^"]{10,}"', picture), picture[:80]


def test_every_link_inside_the_page_has_its_target(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r'\bid="([^"]+)"', text))
    links = set(re.findall(r'<a [^>]*href="#([^"]*)"', text))
    assert links <= targets and any(link.startswith("made-") for link in links)


def test_scores_stand_beside_the_papers_numbers_of_the_same_data_set(page: Path) -> None:
    picking = section(page.read_text(encoding="utf-8"), "picking")
    table = picking[: picking.index("</table>")]
    ours, other = re.split(r"<tr class=\"group\">.*?two-shapes</th>", table)
    assert "tsm · topaz, paper 000" in ours and "0.649" in ours
    assert "paper" not in other


def test_stale_and_failed_results_are_said_on_top(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    head = text[text.index("<header") : text.index("</header>")]
    assert "2 results older than the code" in head and "4 members left out" in head
    assert "constant image" in section(text, "failures")
    assert "the mask correlates by itself" in section(text, "failures")


def test_rings_and_model_of_the_best_the_middle_and_the_worst_fit_are_drawn(
    run: FakeRun, page: Path, tmp_path: Path
) -> None:
    ctf = section(page.read_text(encoding="utf-8"), "ctf")
    for word in ("best", "middle", "worst"):
        assert ctf.count(f"Rings of the {word} fit") == 2  # data sets
    assert 'data-label="measured"' in ctf and "fits to" in ctf
    other = make_run(tmp_path, micrographs=3, seeds=1)
    kept, lost = (other.folder / "sets" / name / "ctf/native/curves.csv" for name in other.datasets)
    lost.unlink()
    curves = pd.read_csv(kept)
    curves[curves["micrograph"] == "micrographs/m002.mrc"].to_csv(kept, index=False)
    ctf = section(report(other, tmp_path / "report.html"), "ctf")
    assert ctf.count("Rings of the") == ctf.count("Rings of the best fit") == 1


def test_what_was_checked_of_a_data_set_stands_below_the_table(page: Path) -> None:
    text = section(page.read_text(encoding="utf-8"), "data")
    table, fold = text[: text.index("<details")], text[text.index("<details") :]
    assert "as simulated" in fold and "as simulated" not in table


def test_map_numbers_are_medians_of_their_seeds_with_range(page: Path) -> None:
    maps = section(page.read_text(encoding="utf-8"), "maps")
    assert "10.20" in maps and "10.05–10.35" in maps and "median of 3 seeds" in maps
    assert "fewer than three seeds" not in maps


def test_only_the_results_asked_for_are_shown_and_missing_ones_are_named(
    run: FakeRun, tmp_path: Path
) -> None:
    wanted = run.folder / "sets" / "two-shapes" / "picks" / "raw" / "blob" / "scores.csv"
    gone = run.folder / "sets" / "two-shapes" / "maps" / "gone" / "scores.csv"
    text = report(run, tmp_path / "report.html", files=[wanted, gone])
    table = section(text, "picking")
    assert "blob" in table and "emmae-a" not in table
    assert "No map was made in this run." in section(text, "maps")
    assert "Expected and not there" in section(text, "failures")


def test_empty_run_gives_a_page_that_says_so(tmp_path: Path) -> None:
    text = report(FakeRun(tmp_path / "none", {}), tmp_path / "report.html")
    assert "This run holds no results yet." in text
    assert text.count('class="empty"') >= 6


def test_damaged_files_are_said_not_raised(tmp_path: Path) -> None:
    run = make_run(tmp_path, micrographs=3, seeds=1)
    folder = run.folder / "sets" / "two-shapes"
    maps = folder / "maps" / "raw" / "emmae-a" / "all" / "sphere-a" / "native"
    (maps / "map.mrc").write_bytes(b"<html>not a map</html>")
    (maps / "fsc.csv").write_text("")
    (maps / "reconstruct.json").write_text("{")
    (folder / "ctf" / "native" / "micrographs.star").write_text("nonsense")
    (folder / "picks" / "raw" / "blob" / "scores.csv").write_text("metric,value\n")
    (folder / "picks" / "raw" / "blob" / "provenance.json").write_text("[]")
    for path in (run.datasets["two-shapes"] / "micrographs").iterdir():
        path.unlink()
    text = report(run, tmp_path / "report.html")
    assert "the map is not shown" in text and "is not shown" in section(text, "picking")


def test_picks_without_a_truth_are_counted_and_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path, micrographs=3, seeds=1)
    for folder in (run.folder / "sets" / "two-shapes" / "picks" / "raw").iterdir():
        matches = pd.read_csv(folder / "matches.csv")
        found = matches[matches["kind"] != "miss"] if folder.name == "blob" else matches[:0]
        write_picks(folder / "picks.star", found[["micrograph", "x", "y", "score"]])
        for name in ("matches.csv", "scores.csv", "per_micrograph.csv", "curve.csv"):
            (folder / name).unlink()
    text = report(run, tmp_path / "report.html")
    picking = section(text, "picking")
    assert "This data set has no truth to compare its picks with." in picking
    assert "most picks" in picking and 'class="pick"' in picking and "Picks by micrograph" in picking
    assert "two-shapes, emmae-a: no picks at all." in section(text, "failures")


def test_report_records_how_it_was_made(run: FakeRun, tmp_path: Path) -> None:
    record = tmp_path / "report.provenance.json"
    write_report(
        run.folder, run.datasets, tmp_path / "x.html", settings=ReportSettings(overlays_per_picker=0),
        published=PUBLISHED, run_info=INFO, provenance=record,
    )  # fmt: skip
    facts = read_json(record)
    assert facts["stage"].endswith("report.stages:write_report") and not is_stale(record)
    assert facts["settings"] == {"overlays_per_picker": 0}


def test_pictures_are_left_out_before_the_page_becomes_too_large(run: FakeRun, tmp_path: Path) -> None:
    text = report(run, tmp_path / "report.html", max_megabytes=0.35)
    assert len(text.encode()) < 0.35e6
    assert "left out to keep the page small" in text


def test_published_file_that_does_not_fit_is_refused_with_its_place(run: FakeRun, tmp_path: Path) -> None:
    wrong = tmp_path / "published.yaml"
    wrong.write_text(
        PUBLISHED.read_text(encoding="utf-8").replace("[0.590, 0.721,", "[0.721,"), encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"paper 000, table 1, row 6.*found 8, expected 9"):
        write_report(
            run.folder, {}, tmp_path / "x.html", settings=ReportSettings(), published=wrong, run_info=INFO
        )


# What a reader does, done by a script: sort a table twice, hide the hits, follow a link into a closed part.
SCRIPT = """
<script>
  const done = {};
  const table = document.querySelector("#picking table.sortable");
  const index = table.tHead.rows[0].cells.length - 1;
  const f1 = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[index].textContent));
  const ordered = (list, sign) => list.every((value, i) => i === 0 || sign * (value - list[i - 1]) >= 0);
  table.tHead.rows[0].cells[index].querySelector("button").click();
  const sorted = table.tHead.rows[0].cells[index].getAttribute("aria-sort");
  done.down = ordered(f1(), -1) && sorted === "descending";
  table.tHead.rows[0].cells[index].querySelector("button").click();
  done.up = ordered(f1(), 1);
  const box = document.querySelector("[data-kind=hit]");
  box.click();
  done.hidden = getComputedStyle(document.querySelector(".gallery use.hit")).display === "none";
  document.querySelector("#theme").click();
  done.theme = ["light", "dark"].includes(document.documentElement.dataset.theme);
  done.narrow = document.documentElement.scrollWidth <= innerWidth;
  location.hash = document.querySelector("td a[href^='#made-']").getAttribute("href");
  addEventListener("hashchange", () => {
    done.opened = document.getElementById(location.hash.slice(1)).open;
    document.documentElement.dataset.done = Object.entries(done).map((pair) => pair.join(":")).join(" ");
  });
</script>
"""


@pytest.mark.parametrize("width", [1280, 400])
def test_browser_opens_the_page_without_error_and_its_controls_work(
    page: Path, tmp_path: Path, width: int
) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here (Debian: apt-get install chromium)")
    copy = tmp_path / "page.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", SCRIPT + "</body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900"]
    command = [browser, *options, "--virtual-time-budget=3000", "--dump-dom", copy.as_uri()]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told = [line for line in made.stderr.splitlines() if "CONSOLE" in line]
    assert not told
    root = re.search(r"<html[^>]*>", made.stdout)
    assert root and 'data-ready="1"' in root[0]
    done = re.search(r'data-done="([^"]*)"', root[0])
    assert done, "the page's controls did not run to the end"
    assert dict(pair.split(":") for pair in done[1].split()) == dict.fromkeys(
        ("down", "up", "hidden", "theme", "narrow", "opened"), "true"
    )
