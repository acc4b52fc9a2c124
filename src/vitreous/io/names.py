"""One micrograph under the names that different programs give it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from vitreous.errors import InputError

_ENDING = re.compile(r"\.(mrcs?|map|jpe?g|png|tiff?|gz|bz2|csv|star|cbox|box|txt|coord|cs)$", re.IGNORECASE)
# what cryoSPARC puts before names (its 21-digit id), and what programs put behind
_PREFIX = re.compile(r"^\d{21}_")
_SUFFIX = re.compile(
    r"(_patch_aligned|_rigid_aligned|_doseweighted|_dose_weighted|_autopick|_manualpick|_pick(s)?|"
    r"_particles|_coords?)$"
)


def micrograph_key(name: str) -> str:
    """What the names of one micrograph have in common: no folder, no file ending, no cryoSPARC id or suffix.

    Only known endings go, so that `May08_03.05.02.bin_avg.mrc` keeps its dots.
    """
    key = name.replace("\\", "/").rsplit("/", 1)[-1]
    while _ENDING.search(key):
        key = _ENDING.sub("", key)
    key = _PREFIX.sub("", key)
    while _SUFFIX.search(key) and _SUFFIX.sub("", key):
        key = _SUFFIX.sub("", key)
    return key


def index_by_key(names: Iterable[str]) -> dict[str, str]:
    """Each name under its key; raises InputError where two names share one."""
    index: dict[str, str] = {}
    for name in names:
        other = index.setdefault(micrograph_key(name), name)
        if other != name:
            what = "two micrographs whose names differ only in folder, ending or cryoSPARC's additions"
            raise InputError(what, found=f"{other} and {name}", todo="rename one or leave it out")
    return index


def match_names(names: Iterable[str], index: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """(name → the micrograph of `index` with the same key, names that match none in their order)."""
    matched: dict[str, str] = {}
    unmatched = []
    for name in dict.fromkeys(names):
        key = micrograph_key(name)
        if key in index:
            matched[name] = index[key]
        else:
            unmatched.append(name)
    return matched, unmatched
