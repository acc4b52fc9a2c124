from __future__ import annotations

import gzip
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from served_files import mrc, noise

from vitreous.data.download import disk
from vitreous.data.download.content import Wrong, plain_xml, refuse_pages, suffix_of, verify
from vitreous.data.download.disk import refuse_full_disk
from vitreous.data.download.remote import Piece, RemoteFile, refuse_climbing, single
from vitreous.data.download.stream import Validators
from vitreous.errors import InputError, StageError

HTML = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>"
XML = b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>'
RNG = random.Random(0)


def passed(content: bytes, name: str, *, whole: bool = True, step: int = 7) -> bytes:
    pieces = iter([content[at : at + step] for at in range(0, len(content), step)])
    return b"".join(refuse_pages(pieces, name, whole=whole))


@pytest.mark.parametrize(
    "name", ["a.mrc", "a.bin", "a.star", "a.csv", "a.json", "a.tar.gz", "a.mrcs.chunk_0"]
)
@pytest.mark.parametrize(
    "page", [HTML, XML, b"\xef\xbb\xbf\n <HTML>", b"<?xml?><html xmlns=''/>", b"<Error/>"]
)
def test_pages_in_place_of_data_are_refused(name: str, page: bytes) -> None:
    with pytest.raises(Wrong, match=r"an (HTML page|XML document) in place of the file"):
        passed(page, name)


def test_an_xml_file_may_be_xml_but_no_html() -> None:
    assert passed(b"<?xml version='1.0'?><emd/>", "emd-1.xml") == b"<?xml version='1.0'?><emd/>"
    with pytest.raises(Wrong, match="HTML"):
        passed(HTML, "emd-1.xml")


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.gz", b"\x1f\x8b\x08rest"), ("a.tif", b"II*\0"), ("a.tiff", b"MM\0*"), ("a.png", b"\x89PNG"),
     ("a.zip", b"PK\3\4"), ("a.jpg", b"\xff\xd8\xff"), ("a.eer", b"II+\0"), ("a.bz2", b"BZh9")],
)  # fmt: skip
def test_a_whole_body_begins_as_its_ending_says_and_the_rest_of_one_need_not(
    name: str, content: bytes
) -> None:
    assert passed(content, name) == content
    assert passed(b"other", name, whole=False) == b"other"
    with pytest.raises(Wrong, match=f"no .{name.split('.')[1]} file .it begins with b'othe'"):
        passed(b"other", name)


def test_bodies_of_every_length_pass_unchanged() -> None:
    for length in (0, 1, 1023, 1024, 1025, 5000):
        content = noise(RNG, length)
        assert passed(content, "a.bin", step=1000) == content


def test_the_ending_of_a_piece_is_that_of_the_whole() -> None:
    assert suffix_of("p.mrcs.chunk_003") == ".mrcs" and suffix_of("P.MRC") == ".mrc" and suffix_of("a") == ""


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.bin", b"", "an empty file"),
        ("a.mrc", mrc(RNG)[:-1], "truncated"),
        ("a.mrc", HTML * 40, "HTML or XML"),
        ("a.map.gz", gzip.compress(b"a" * 1000)[:-9], "a damaged gzip file"),
        ("a.gz", gzip.compress(b"a" * 1000)[:-1] + b"\1", "a damaged gzip file"),
        ("a.xml", b"<emd><map></emd>", "a damaged XML file"),
        ("a.xml", XML, "an error message of the server"),
        ("a.star", b"data_\n\0", "binary content in place of text"),
    ],
)
def test_a_whole_file_that_is_not_what_its_name_promises_is_wrong(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / "part").write_bytes(content)
    with pytest.raises(Wrong, match=said):
        verify(tmp_path / "part", name)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.mrc", mrc(RNG)), ("a.gz", gzip.compress(b"a") * 2 + bytes(9)), ("a.xml", b"<emd/>"),
     ("a.csv", b"x,y\n"), ("a.bin", b"\0"), ("a.tif", b"II*\0")],
)  # fmt: skip
def test_a_whole_file_that_is_as_promised_passes(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "part").write_bytes(content)
    verify(tmp_path / "part", name)


@pytest.mark.parametrize(
    "path", ["../a", "/etc/a", "a/../../b", "", ".", ".hidden", "a/.b/c", "a\0b", "a\\b"]
)
def test_a_path_that_leads_out_of_the_folder_or_is_hidden_is_refused(path: str) -> None:
    with pytest.raises(InputError, match=f"http://a: .*{re.escape(repr(path))}.*a plain path"):
        refuse_climbing(path, "http://a")


def test_plain_paths_pass_with_blanks_and_foreign_letters() -> None:
    for path in ("a.mrc", "b/c d.mrc", "µ/é.star", "a..b/c...mrc"):
        assert single(path, "http://a").path == path


def test_the_size_of_a_file_is_known_where_that_of_every_piece_is() -> None:
    assert RemoteFile("a", (Piece("u", 3), Piece("v", 4))).bytes == 7
    assert RemoteFile("a", (Piece("u", 3), Piece("v"))).bytes is None
    with pytest.raises(InputError, match="unknown form of checksum .found MD5:ABC"):
        Piece("u", 3, "MD5:ABC")


def test_a_disk_too_small_says_how_much_is_free_and_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda path: SimpleNamespace(free=5e9))
    refuse_full_disk(4e9, tmp_path, 1.0)
    with pytest.raises(
        StageError, match=r"5.0 GB free, expected 4.1 GB, and 1 GB left free .`network.keep_free_gb`"
    ):
        refuse_full_disk(4.1e9, tmp_path, 1.0)


A = Validators('"a"', "Mon", 10)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (A, True),
        (Validators(), True),
        (Validators('"b"', "Mon", 10), True),  # another backend of the same server
        (Validators('"b"', None, 10), False),
        (Validators(None, "Tue", 10), False),
        (Validators('"a"', "Tue", 10), False),
        (Validators('"a"', "Mon", 11), False),
        (Validators(None, None, 10), True),
    ],
)
def test_two_answers_are_of_one_file_where_nothing_that_both_say_differs(
    other: Validators, same: bool
) -> None:
    assert A.same_file(other) is same and other.same_file(A) is same


def test_what_a_later_answer_does_not_say_is_remembered() -> None:
    assert A.updated(Validators()) == A
    assert A.updated(Validators('"b"', None, 11)) == Validators('"b"', "Mon", 11)


@pytest.mark.parametrize("name", ["DONE", "a.txt", "a.csv", "a.box"])
def test_a_file_whose_ending_promises_nothing_may_be_empty_where_the_archive_says_so(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "part").touch()
    verify(tmp_path / "part", name, said_empty=True)
    with pytest.raises(Wrong, match="an empty file"):
        verify(tmp_path / "part", name)


@pytest.mark.parametrize(
    "name", ["a.mrc", "a.mrcs.chunk_0", "a.map.gz", "a.tif", "a.png", "a.xml", "a.json", "a.star"]
)
def test_a_file_whose_ending_promises_something_is_never_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / "part").touch()
    with pytest.raises(Wrong, match="an empty file"):
        verify(tmp_path / "part", name, said_empty=True)


def test_an_xml_document_passes_and_a_page_or_an_error_in_its_place_is_wrong() -> None:
    for text in ("<emd/>", '\ufeff <?xml version="1.0"?>\n<emd><error/></emd>'):
        assert plain_xml(text) == text
    for text, said in ((HTML.decode(), "HTML page"), (XML.decode(), "error message"), ("busy", "something")):
        with pytest.raises(Wrong, match=f"{said}.* in place of XML"):
            plain_xml(text)
