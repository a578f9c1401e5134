"""Ranges of a key: whatever the keys and the cuts, each row is in exactly one."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orrery.data.sources import ranges
from orrery.data.sources.ranges import Key

VALUES = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), max_size=60),
    st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=60),
    st.lists(st.one_of(st.none(), st.text("ab'\\ é😀", max_size=3)), max_size=60),
    st.lists(st.one_of(st.none(), st.dates().map(dt.date.isoformat)), max_size=60),
)


def literal(value: Any) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


@given(VALUES, st.integers(1, 9))
def test_every_row_is_in_exactly_one_part(keys: list[Any], parts: int) -> None:
    link = sqlite3.connect(":memory:")
    link.execute("create table t (k)")
    link.executemany("insert into t values (?)", [(key,) for key in keys])

    def ask(query: str) -> Sequence[Sequence[Any]]:
        return link.execute(query).fetchall()

    whole = all(isinstance(key, int) for key in keys if key is not None)
    cuts = ranges.find_cuts(ask, "select * from t", "k", whole, parts)
    found: list[Any] = []
    for part in ranges.partitions(Key("k", whole, False), cuts):
        test = " and ".join(ranges.conditions(part.where, "k", literal))
        found += [key for (key,) in ask(f"select k from t where {test} order by k")]
    link.close()
    missing = [None] * keys.count(None)
    assert found == [*sorted(key for key in keys if key is not None), *missing]
    assert len(cuts) < max(parts, 1)


def test_parts_are_of_about_equal_size_however_the_keys_lie() -> None:
    link = sqlite3.connect(":memory:")
    for keys in (range(1000), [i**3 for i in range(1000)], [0, *range(10**9, 10**9 + 999)]):
        link.execute("create table t (k integer)")
        link.executemany("insert into t values (?)", [(key,) for key in keys])
        cuts = ranges.find_cuts(lambda q: link.execute(q).fetchall(), "select * from t", "k", True, 4)
        bounds = [-1, *cuts, 10**12]
        sizes = [sum(a <= k < b for k in keys) for a, b in pairwise(bounds)]
        assert len(sizes) == 4
        assert max(sizes) <= 500
        link.execute("drop table t")
    link.close()


@given(st.lists(st.integers(), min_size=2, max_size=40), st.integers(1, 12))
def test_cuts_from_statistics_rise(bounds: list[int], parts: int) -> None:
    cuts = ranges.chosen(sorted(bounds), parts)
    assert cuts == sorted(set(cuts))
    assert len(cuts) < parts or parts == 1
    assert set(cuts) <= set(bounds)
