"""The point-in-time join, beside the plainest program that does the same, and with a poisoned future."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.table import Table, read
from orrery.errors import SchemaError, SettingsError, UnknownColumnError

Row = dict[str, Any]
KEYS = st.sampled_from([None, "a", "b", "c"])
TIMES = st.one_of(st.none(), st.integers(0, 12))


def plain(events: list[Row], features: list[Row], tolerance: float | None) -> list[Row]:
    """What as_of promises, word by word."""
    found = []
    for event in events:
        best: Row | None = None
        for row in features:
            if None in (event["k"], event["t"], row["t"]) or row["k"] != event["k"] or row["t"] > event["t"]:
                continue
            if tolerance is not None and event["t"] - row["t"] > tolerance:
                continue
            if best is None or row["t"] >= best["t"]:
                best = row
        found.append({**event, "v": None if best is None else best["v"]})
    return found


def table_of(rows: list[Row], extra: str) -> Table:
    types = {"k": pa.string(), "t": pa.int64(), extra: pa.int64()}
    return read(pa.Table.from_pylist(rows, pa.schema(types)))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(KEYS, TIMES), max_size=20),
    st.lists(st.tuples(KEYS, TIMES), max_size=20),
    st.one_of(st.none(), st.integers(0, 5)),
)
def test_it_is_what_the_plainest_program_gives(
    left: list[tuple[Any, Any]], right: list[tuple[Any, Any]], tolerance: int | None
) -> None:
    events = [{"k": k, "t": t, "id": i} for i, (k, t) in enumerate(left)]
    features = [{"k": k, "t": t, "v": i} for i, (k, t) in enumerate(right)]
    joined = table_of(events, "id").as_of(table_of(features, "v"), on="t", by="k", tolerance=tolerance)
    assert joined.to_rows() == plain(events, features, tolerance)
    assert joined.count() == len(events)


def test_the_future_may_hold_anything() -> None:
    """Each event's features are the same, whatever is written into every later row."""
    random = np.random.default_rng(5)
    n = 2000
    events = pa.table({"k": random.integers(0, 20, n), "t": random.integers(0, 1000, n), "id": np.arange(n)})
    times = random.integers(0, 1000, n)
    features = {"k": random.integers(0, 20, n), "t": times, "v": random.random(n)}
    now = 500
    poisoned = {**features, "v": np.where(times > now, -1e9, features["v"])}
    known = read(events).where(f"t <= {now}")
    clean = known.as_of(read(pa.table(features)), on="t", by="k").to_rows()
    assert known.as_of(read(pa.table(poisoned)), on="t", by="k").to_rows() == clean
    assert any(row["v"] is not None for row in clean)
    later = read(events).as_of(read(pa.table(poisoned)), on="t", by="k").to_rows()
    assert any(row["v"] == -1e9 for row in later), "the poison is there"


def test_times_that_differ_by_a_nanosecond_are_told_apart() -> None:
    def instants(*values: int) -> Any:
        return pa.array(values, pa.timestamp("ns", "UTC"))

    events = read(pa.table({"k": [1, 1], "t": instants(1_500, 1_700)}))
    features = read(pa.table({"k": [1], "t": instants(1_600), "v": [7]}))
    joined = events.as_of(features, on="t", by="k")
    assert joined.to_arrow()["v"].to_pylist() == [None, 7]
    assert joined.to_arrow()["t"].equals(events.to_arrow()["t"])


def test_zones_units_and_days() -> None:
    at = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    events = read(pa.table({"k": [1, 1], "t": pa.array([at, at + dt.timedelta(days=9)])}))
    there = pa.array([at], pa.timestamp("ms", "Asia/Shanghai"))
    features = read(pa.table({"k": [1], "t": there, "v": ["x"]}))
    rows = events.as_of(features, on="t", by="k", tolerance="7d").to_rows()
    assert [row["v"] for row in rows] == ["x", None]
    assert rows[0]["t"] == at
    days = read({"k": [1, 1], "t": [dt.date(2024, 1, 8), dt.date(2024, 1, 9)]})
    known = read({"k": [1], "t": [dt.date(2024, 1, 1)], "v": [1]})
    assert [r["v"] for r in days.as_of(known, on="t", by="k", tolerance="1w").to_rows()] == [1, None]


def test_every_kind_of_column_comes_through() -> None:
    columns = {
        "k": pa.array(["a", "b", None]),
        "t": pa.array([1.5, float("nan"), 3.0]),
        "category": pa.array(["x", "y", "x"]).dictionary_encode(),
        "list": pa.array([[1], None, []], pa.list_(pa.int32())),
        "when": pa.array([1, 2, None], pa.time64("ns")),
        "long": pa.array([1, None, 3], pa.duration("us")),
        "money": pa.array([None, None, None], pa.decimal128(10, 2)),
        "struct": pa.array([{"a": 1}, None, {"a": None}]),
    }
    events = read(pa.table(columns))
    features = read({"k": ["a", "b"], "t": [1.0, 1.0], "v": [5, 6]})
    joined = events.as_of(features, on="t", by="k").to_arrow()
    assert joined.schema.remove(joined.schema.get_field_index("v")) == events.to_arrow().schema
    assert repr(joined.drop_columns(["v"]).to_pylist()) == repr(events.to_rows())
    assert joined["v"].to_pylist() == [5, None, None]


def test_columns_are_chosen_and_only_those_are_read() -> None:
    events = read({"k": [1], "t": [5]})
    features = read({"k": [1], "t": [4], "a": ["x"], "b": ["y"], "u": [1]})
    assert events.as_of(features, on="t", by="k", columns=["b"]).to_rows() == [{"k": 1, "t": 5, "b": "y"}]
    joined = events.as_of(features, on="t", by=["k"])
    assert joined.select("u", "k").to_rows() == [{"u": 1, "k": 1}]
    assert joined.fingerprint() != events.as_of(features, on="t", by="k", tolerance=3).fingerprint()


def test_it_is_written_down_and_read_again() -> None:
    read({"k": [1], "t": [5]}).write("events.csv")
    read({"k": [1], "t": [4], "v": [3]}).write("features.csv")
    joined = read("events.csv").as_of(read("features.csv"), on="t", by="k", tolerance=2, columns=["v"])
    assert Table.from_dict(joined.to_dict()).to_rows() == joined.to_rows() == [{"k": 1, "t": 5, "v": 3}]


def test_what_does_not_fit_is_told_before_anything_is_read() -> None:
    events, features = read({"k": [1], "t": [5]}), read({"k": [1], "t": [4], "v": [3]})
    day = read({"k": [1], "t": [dt.date(2024, 1, 1)], "v": [3]})
    text = read({"k": ["1"], "t": [4], "v": [3]})
    for ask, error, said in (
        (lambda: events.as_of(features, on="tt", by="k"), UnknownColumnError, "'tt'"),
        (lambda: events.as_of(features, on="t", by="k", columns=["w"]), UnknownColumnError, "'w'"),
        (lambda: events.as_of(features, on="t", by=[]), SettingsError, "by="),
        (lambda: events.as_of(day, on="t", by="k"), SchemaError, "two dates or times"),
        (lambda: events.as_of(text, on="t", by="k"), SchemaError, "'k' is int64 here and string there"),
        (lambda: events.as_of(features, on="t", by="k", tolerance="7d"), SettingsError, "a number where"),
        (lambda: day.select("k", "t").as_of(day, on="t", by="k", tolerance=7), SettingsError, "no unit"),
        (lambda: events.as_of(events, on="t", by="k").as_of(features, on="t", by="k"), None, ""),
        (lambda: features.as_of(features, on="t", by="k"), SchemaError, "Both tables have"),
    ):
        if error is None:
            assert ask().count() == 1
            continue
        with pytest.raises(error, match=said):
            _ = ask().schema


def test_a_hundred_thousand_rows_on_each_side_are_merged_not_compared_one_by_one() -> None:
    """Row against row, which DuckDB did as it took a stream for small, this took most of a minute."""
    rng, n = np.random.default_rng(1), 100_000
    events = pd.DataFrame({"k": rng.integers(0, 100, n), "t": rng.integers(0, n * 10, n), "id": np.arange(n)})
    facts = pd.DataFrame({"k": rng.integers(0, 100, n), "t": rng.permutation(n * 10)[:n], "v": rng.random(n)})
    start = time.process_time()
    joined = read(events).as_of(read(facts), on="t", by="k").to_arrow()
    assert time.process_time() - start < 12
    wanted = pd.merge_asof(events.sort_values("t"), facts.sort_values("t"), on="t", by="k").sort_values("id")
    assert joined["id"].to_numpy().tolist() == list(range(n))
    np.testing.assert_array_equal(joined["v"].to_numpy(), wanted["v"].to_numpy())
