"""Splits and samples: decided by the row, exact where promised, and adding up to the whole."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.table import Table, read
from orrery.errors import EmptyTableError, SettingsError, UnknownColumnError

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.integers(0, 9) | st.none(),
            "x": st.floats(-5, 5) | st.none() | st.just(float("nan")),
            "g": st.sampled_from(["a", "b", "c", None]),
        }
    ),
    min_size=1,
    max_size=60,
)
KINDS: list[dict[str, Any]] = [
    {},
    {"stratify": "g"},
    {"group": "g"},
    {"key": ["n", "x"]},
    {"stratify": ["g", "n"]},
]


def table_of(rows: list[dict[str, Any]], cuts: list[int] | None = None) -> Table:
    schema = pa.schema([("n", pa.int64()), ("x", pa.float64()), ("g", pa.string())])
    table = pa.Table.from_pylist(rows, schema)
    edges = [0, *sorted(cuts or []), len(rows)]
    pieces = [table.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    return read(pa.concat_tables(pieces))


def bag(table: Table) -> list[str]:
    return sorted(map(repr, table.to_rows()))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=25, deadline=None)
@given(rows=ROWS, data=st.data())
def test_any_order_and_cut_gives_the_same_parts(
    kind: dict[str, Any], rows: list[dict[str, Any]], data: Any
) -> None:
    shuffled = data.draw(st.permutations(rows))
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=4))
    ratio = data.draw(st.sampled_from([0.8, 0.5, (0.6, 0.3, 0.1), 0.0, 1.0]))
    parts = table_of(rows).split(ratio, seed=3, **kind)
    again = table_of(shuffled, cuts).split(ratio, seed=3, **kind)
    assert [bag(part) for part in parts] == [bag(part) for part in again]
    assert sorted(row for part in parts for row in bag(part)) == bag(table_of(rows))


def test_strata_have_exact_shares() -> None:
    table = read({"id": list(range(1000)), "g": ["rare" if i % 10 == 0 else "common" for i in range(1000)]})
    train, valid, test = table.split((0.6, 0.2, 0.2), stratify="g", seed=1)
    shares = [part.where("g = 'rare'").count() for part in (train, valid, test)]
    assert shares == [60, 20, 20]
    assert [part.count() for part in (train, valid, test)] == [600, 200, 200]


def test_many_small_strata_keep_the_ratio() -> None:
    table = read({"id": list(range(4000)), "g": [f"g{i // 2}" for i in range(4000)]})
    assert 3100 < table.split(0.8, stratify="g")[0].count() < 3300


def test_a_ratio_is_right_on_average_and_seeds_differ() -> None:
    table = read({"id": list(range(10_000))})
    train, test = table.split(0.8)
    assert 7_850 < train.count() < 8_150
    assert bag(train) != bag(table.split(0.8, seed=1)[0])
    assert train.count() + test.count() == 10_000


def test_a_row_keeps_its_part_when_others_come() -> None:
    few, many = read({"id": list(range(100))}), read({"id": list(range(200))})
    first = {row["id"] for row in few.split(0.5)[0].to_rows()}
    assert first == {row["id"] for row in many.split(0.5)[0].to_rows() if row["id"] < 100}


def test_a_key_decides_alone() -> None:
    before, after = (
        read({"id": [1, 2, 3, 4], "v": [1, 1, 1, 1]}),
        read({"id": [1, 2, 3, 4], "v": [9, 8, 7, 6]}),
    )
    assert [r["id"] for r in before.split(0.5, key="id")[0].to_rows()] == [
        r["id"] for r in after.split(0.5, key="id")[0].to_rows()
    ]


def test_groups_stay_together() -> None:
    table = read({"g": [i % 50 for i in range(1000)], "v": list(range(1000))})
    train, test = table.split(0.7, group="g")
    assert not {r["g"] for r in train.to_rows()} & {r["g"] for r in test.to_rows()}


def test_a_rule_is_exact_and_missing_is_not_true() -> None:
    first, second = read({"a": [1, 5, None, 3]}).split(rule="a > 2")
    assert [r["a"] for r in first.to_rows()] == [5, 3]
    assert [r["a"] for r in second.to_rows()] == [1, None]


def test_time_cuts_the_oldest_off() -> None:
    import datetime as dt

    days = [dt.date(2020, 1, 1) + dt.timedelta(days=i * 7 % 100) for i in range(100)]
    old, new = read({"day": [*days, None]}).split(0.75, time="day")
    assert (old.count(), new.count()) == (76, 25)
    assert max(r["day"] for r in old.to_rows() if r["day"]) < min(r["day"] for r in new.to_rows())


def test_wrong_splits_say_what_is_allowed() -> None:
    table = read({"a": [1, 2], "t": ["x", "y"]})
    for ask in (
        lambda: table.split(1.5),
        lambda: table.split((0.5, 0.2)),
        lambda: table.split(stratify="a", group="t"),
        lambda: table.split(time="t")[0].count(),
        lambda: table.sample(),
        lambda: table.sample(share=2.0),
    ):
        with pytest.raises(SettingsError):
            ask()
    with pytest.raises(UnknownColumnError, match="Did you mean"):
        table.split(group="aa")[0].count()
    with pytest.raises(EmptyTableError):
        read({"a": pa.array([None], pa.int64())}).split(time="a")[0].count()


@settings(max_examples=20, deadline=None)
@given(rows=ROWS, n=st.integers(0, 70), data=st.data())
def test_a_sample_is_of_the_size_and_the_same_in_any_order(
    rows: list[dict[str, Any]], n: int, data: Any
) -> None:
    sample = table_of(rows).sample(n)
    assert sample.count() == min(n, len(rows))
    assert bag(sample) == bag(table_of(data.draw(st.permutations(rows))).sample(n))


def test_a_sample_of_a_part_is_not_the_part() -> None:
    train = read({"id": list(range(2000))}).split(0.5, seed=4)[0]
    share = train.sample(share=0.5, seed=4).count() / train.count()
    assert 0.4 < share < 0.6
    assert train.sample(share=1.0).count() == train.count()
    assert train.sample(share=0.0).count() == 0
