from __future__ import annotations

from pathlib import Path

import pytest
from fake_archive import FakeArchive, rounded_size

from vitreous.data.archives.listing import Listed, largest_bytes, list_below, list_folder, url_below
from vitreous.data.download.client import Client
from vitreous.data.download.settings import NetworkSettings
from vitreous.errors import InputError

HEAD = "<html><head><title>Index of /x</title></head><body>"


class Page(Client):
    """A client that has one page already."""

    def __init__(self, page: str) -> None:
        super().__init__(NetworkSettings())
        self.page = page

    def text(self, url: str) -> str:
        assert url.endswith("/")
        return self.page


def client_of(archive: FakeArchive) -> Client:
    return Client(NetworkSettings.model_validate({"mirrors": archive.mirrors, "tries": 2, "backoff_s": 0}))


def write(path: Path, size: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def test_a_folder_shows_its_files_and_folders_without_sort_and_parent_links(
    archive: FakeArchive, tmp_path: Path
) -> None:
    write(tmp_path / "plain/x/a b&c.mrc", 3000)
    write(tmp_path / "plain/x/50%#1;2?.mrc", 10)
    write(tmp_path / "plain/x/sub/b.mrc")
    listed = list_folder(client_of(archive), f"{archive.url}/plain/x")
    assert {name: is_folder for name, is_folder, _ in listed} == {
        "a b&c.mrc": False,
        "50%#1;2?.mrc": False,
        "sub": True,
    }
    sizes = {item.name: item.about_bytes for item in listed}
    assert sizes["50%#1;2?.mrc"] == 10 and sizes["sub"] is None
    assert 3000 <= (sizes["a b&c.mrc"] or 0) <= 3200


def test_odd_names_come_back_from_their_own_addresses(archive: FakeArchive, tmp_path: Path) -> None:
    for name in ("pos 1015 2-2_1.mrc", "50%#1;2?.mrc", "ö+ä.mrc"):
        write(tmp_path / "plain/x" / name, 7)
    client = client_of(archive)
    for path, _, _ in list_below(client, f"{archive.url}/plain/x"):
        assert client.size(url_below(f"{archive.url}/plain/x", path)) == 7


def test_sub_folders_are_walked_with_paths_below_the_start(archive: FakeArchive, tmp_path: Path) -> None:
    for name in ("a.mrc", "grid 1/b.mrc", "grid 1/deep/c.mrc"):
        write(tmp_path / "plain/x" / name)
    paths = [item.name for item in list_below(client_of(archive), f"{archive.url}/plain/x", "data")]
    assert sorted(paths) == ["data/a.mrc", "data/grid 1/b.mrc", "data/grid 1/deep/c.mrc"]


def test_a_folder_that_holds_itself_without_end_is_refused() -> None:
    page = Page(f'{HEAD}<a href="again/">again/</a> 2020-01-01 10:00 -</body>')
    with pytest.raises(InputError, match="too deep"):
        list_below(page, "http://x/y")


@pytest.mark.parametrize(
    "href",
    ["?C=N;O=D", "/pub/", "../", "..%2fetc", "%2e%2e/", "http://other/a.mrc", "//other/a", "mailto:a@b"]
    + ["#top", ".hidden", "a/b.mrc", "a%2Fb.mrc", "a%5Cb.mrc", "a%00.mrc", "./", ""],
)  # fmt: skip
def test_links_that_are_no_plain_names_are_dropped(href: str) -> None:
    page = Page(f'{HEAD}<a href="{href}">x</a> <a href="ok.mrc">ok.mrc</a> 2020-01-01 10:00 5</body>')
    assert list_folder(page, "http://x") == [Listed("ok.mrc", False, 5)]


def test_a_table_with_icons_as_links_shows_each_name_once_with_its_size() -> None:
    row = (
        '<tr><td><a href="a.mrc"><img src="i.gif" alt="[ ]"></a></td><td><a href="a.mrc">a.mrc</a></td>'
        '<td align="right">2014-03-24 05:28  </td><td align="right">1.2M</td><td>&nbsp;</td></tr>'
    )
    page = Page(f"{HEAD}<table>{row}</table></body></html>")
    assert list_folder(page, "http://x/") == [Listed("a.mrc", False, largest_bytes("1.2", "M"))]


def test_the_listing_of_another_server_gives_exact_sizes() -> None:
    body = '<a href="../">../</a>\n<a href="a.mrc">a.mrc</a>      24-Mar-2014 05:28    67109888\n'
    assert list_folder(Page(f"<h1>Index of /x</h1><pre>{body}</pre>"), "http://x") == [
        Listed("a.mrc", False, 67109888)
    ]


def test_a_folder_of_digits_in_its_name_is_no_size() -> None:
    body = '<a href="12:30 5M.mrc">12:30 5M.mrc</a> 2014-03-24 05:28  2.0K'
    assert list_folder(Page(f"{HEAD}{body}"), "http://x")[0].about_bytes in (2150, 2151)


@pytest.mark.parametrize("size", [0, 5, 999, 1000, 1023, 10_239, 67_109_888, 1_048_575, 3 * 2**40 + 1])
def test_a_rounded_size_is_an_upper_bound_within_a_tenth(size: int) -> None:
    text = rounded_size(size)
    unit = text[-1] if text[-1].isalpha() else ""
    assert size <= largest_bytes(text.removesuffix(unit), unit) <= 1.2 * size


def test_a_service_page_is_not_taken_for_an_empty_folder(archive: FakeArchive, tmp_path: Path) -> None:
    write(tmp_path / "plain/x/a.mrc")
    archive.add_fault("html")
    with pytest.raises(InputError, match="not the index page"):
        list_folder(client_of(archive), f"{archive.url}/plain/x")


def test_an_empty_folder_is_empty_and_a_missing_one_an_error(archive: FakeArchive, tmp_path: Path) -> None:
    (tmp_path / "plain/x").mkdir(parents=True)
    assert list_folder(client_of(archive), f"{archive.url}/plain/x") == []
    with pytest.raises(InputError, match="not found on the server"):
        list_folder(client_of(archive), f"{archive.url}/plain/y")
