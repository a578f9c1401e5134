"""Names in braces: ``shard-{000..009}.tar`` stands for ten files, ``{train,test}.csv`` for two."""

from __future__ import annotations

import re
from collections.abc import Sequence

from orrery.errors import SettingsError

_RANGE = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}")
_CHOICE = re.compile(r"\{([^{},/]*(?:,[^{},/]*)+)\}")
_OPEN = re.compile(r"\{(\d{1,18})\.\.\}")
_MOST = 1_000_000


def expanded(place: str) -> list[str]:
    """Every name that a pattern stands for, in order; a name without braces stands for itself.

    Raises SettingsError for a range that ends before it begins, or is too long.

    >>> expanded("s-{08..10}.tar")
    ['s-08.tar', 's-09.tar', 's-10.tar']
    >>> expanded("{a,b}.csv"), expanded("{x}.csv")
    (['a.csv', 'b.csv'], ['{x}.csv'])
    """
    found = _RANGE.search(place) or _CHOICE.search(place)
    if found is None:
        return [place]
    names: list[str] = []
    for one in _named(found, place):
        names += expanded(place[: found.start()] + one + place[found.end() :])
        if len(names) > _MOST:
            raise SettingsError(f"{place!r} stands for more than {_MOST:,} names.")
    return names


def _named(found: re.Match[str], place: str) -> Sequence[str]:
    """What one pair of braces stands for."""
    if found.re is _CHOICE:
        return found[1].split(",")
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < _MOST:
        raise SettingsError(
            f"{found[0]} in {place!r} is no range of names.",
            hint=f"It goes from a number to a greater one, over {_MOST:,} at most.",
        )
    return [f"{number:0{len(found[1])}}" for number in range(first, last + 1)]


def numbered(pattern: str) -> tuple[str, str, int] | None:
    """What stands before and behind the numbers of a pattern, and how many digits they have.

    >>> numbered("out/part-{000..}.parquet"), numbered("out/rows.parquet")
    (('out/part-', '.parquet', 3), None)
    """
    found = _OPEN.search(pattern)
    return (pattern[: found.start()], pattern[found.end() :], len(found[1])) if found else None
