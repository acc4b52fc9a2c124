"""Folders of a web server that only shows index pages (Apache's form, and nginx's)."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import quote, unquote

from vitreous.data.download.client import Client
from vitreous.errors import InputError

_DEEPEST = 16
# After a date and time: the size as an index page shows it, rounded in all but the smallest cases.
_SIZE = re.compile(r"\d\d:\d\d(?::\d\d)?\s+(\d+(?:\.\d+)?)\s*([KMGTP]?)(?![\w.])")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Listed(NamedTuple):
    """One line of a folder: its name, or its path below the folder that was listed; sizes in bytes."""

    name: str
    is_folder: bool
    about_bytes: int | None


def list_folder(client: Client, url: str) -> list[Listed]:
    """What the index page of the folder at `url` shows, in its order; hidden names are left out.

    Sizes are upper bounds in bytes. Raises InputError where there is no folder, or no index page of one.
    """
    page = _Index()
    page.feed(client.text(url.rstrip("/") + "/"))
    page.close()
    if not page.is_index:
        raise InputError("not the index page of a folder", file=url, found="another page",
                         expected="a list of files", todo="see what a browser shows there")  # fmt: skip
    return page.listed()


def list_below(client: Client, url: str, below: str = "") -> list[Listed]:
    """Every file in the folder at `url` and in its sub-folders, as paths that begin with `below`.

    Raises InputError where folders lie in each other without end.
    """
    if below.count("/") > _DEEPEST:
        raise InputError("folders lie too deep in each other", file=url, expected=f"at most {_DEEPEST}",
                         todo="name a folder further in with `directory`")  # fmt: skip
    files = []
    for name, is_folder, about in list_folder(client, url):
        path = f"{below}/{name}" if below else name
        if is_folder:
            files += list_below(client, url_below(url, name), path)
        else:
            files.append(Listed(path, False, about))
    return files


def url_below(base: str, path: str) -> str:
    """The address of a path below a base address, percent-encoded."""
    return f"{base.rstrip('/')}/{quote(path)}"


def largest_bytes(text: str, unit: str) -> int:
    """The upper bound in bytes of a size shown as e.g. `1.2` `M` (2^20 bytes), up or down rounded.

    A number without unit is exact.
    """
    if not unit:
        return math.ceil(float(text))
    last_digit = 10.0 ** -len(text.partition(".")[2])
    return math.ceil((float(text) + last_digit) * 1024.0 ** " KMGTP".index(unit))


class _Index(HTMLParser):
    """Collects the links of an index page, each with the text that follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_index = False
        self._links: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a new entry at each link."""
        if tag == "a":
            href = dict(attrs).get("href") or ""
            self.is_index |= href == "../" or href.startswith("?C=")
            self._links.append((href, []))

    def handle_data(self, data: str) -> None:
        """Keep the text behind the link that it follows."""
        self.is_index |= "index of" in data.lower() or "parent directory" in data.lower()
        if self._links:
            self._links[-1][1].append(data)

    def listed(self) -> list[Listed]:
        """The entries, each name once (icons may be links too)."""
        found: dict[str, Listed] = {}
        for href, texts in self._links:
            name = _name_of(href)
            if name is None:
                continue
            size = _SIZE.search(" ".join(texts))
            about = largest_bytes(size[1], size[2]) if size and not href.endswith("/") else None
            if name not in found or found[name].about_bytes is None:
                found[name] = Listed(name, href.endswith("/"), about)
        return list(found.values())


def _name_of(href: str) -> str | None:
    """The name that a link in an index page leads to; None for sorting, parents and other places."""
    if not href or href[0] in "/?#" or _SCHEME.match(href) or "?" in href:
        return None
    name = unquote(href.removeprefix("./").removesuffix("/"))
    plain = name and not name.startswith(".") and not any(mark in name for mark in "/\\\0")
    return name if plain else None
