"""Window features: the rules told one by one by a slow reference, and the same values beside a service."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orrery as ory
from orrery.data.table import Table
from orrery.data.windows import Window, Windows, micros
from orrery.errors import SchemaError, SettingsError, UnknownColumnError

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOWS = ("count", "sum", "mean", "min", "max", "last", "distinct")
WINDOWS = [
    *(Window(how=how, of="" if how == "count" else "eur", over="10s", by=("card",)) for how in HOWS[:-1]),
    Window(how="distinct", of="shop", over="10s", by=("card",)),
    Window(how="sum", of="eur", over="25s", by=("shop", "card"), column="pair"),
]
SETTINGS = {"on": "time", "id": "id", "arrival": "arrival", "late": "5s"}


def expected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the rules say, event by event and window by window, with no index and no forgetting."""
    return [
        {w.name: _one(w, row, [r for r in rows if r["arrival"] < row["arrival"]]) for w in WINDOWS}
        for row in rows
    ]


def _one(window: Window, row: dict[str, Any], before: list[dict[str, Any]]) -> float | int | None:
    key = [row[name] for name in window.by]
    if row["time"] is None or None in key:
        return None
    mine = [r for r in before if r["time"] is not None and [r[name] for name in window.by] == key]
    known: list[dict[str, Any]] = []
    for event in sorted(mine, key=lambda r: r["arrival"]):
        newest = max((r["time"] for r in known), default=event["time"])
        if event["time"] < newest - dt.timedelta(seconds=5):
            continue
        if event["id"] is not None and (event["id"], event["time"]) in [(r["id"], r["time"]) for r in known]:
            continue
        known.append(event)
    if known and row["time"] < max(r["time"] for r in known) - dt.timedelta(seconds=5):
        return None
    since = row["time"] - dt.timedelta(microseconds=micros(window.over))
    seen = [r for r in known if since <= r["time"] < row["time"]]
    if window.how == "count":
        return len(seen)
    values = [r[window.of] for r in sorted(seen, key=lambda r: (r["time"], r["arrival"]))]
    return _aggregate(window.how, [v for v in values if v is not None])


def _aggregate(how: str, values: list[Any]) -> float | int | None:
    if how in ("sum", "distinct"):
        return math.fsum(values) if how == "sum" else len(set(values))
    if not values:
        return None
    if how == "mean":
        return math.fsum(values) / len(values)
    return {"min": min(values), "max": max(values), "last": values[-1]}[how]  # type: ignore[no-any-return]


events = st.lists(
    st.fixed_dictionaries(
        {
            "card": st.sampled_from(["a", "b", None]),
            "shop": st.sampled_from([1, 2, None]),
            "eur": st.one_of(st.none(), st.floats(-1e6, 1e6)),
            "time": st.one_of(
                st.none(), st.integers(0, 60).map(lambda s: START + dt.timedelta(seconds=s / 2))
            ),
            "id": st.one_of(st.none(), st.integers(0, 5).map(str)),
        }
    ),
    min_size=1,
    max_size=30,
)


def table_of(rows: list[dict[str, Any]]) -> Table:
    schema = pa.schema(
        [
            ("card", pa.string()),
            ("shop", pa.int64()),
            ("eur", pa.float64()),
            ("time", pa.timestamp("us", "UTC")),
            ("id", pa.string()),
            ("arrival", pa.int64()),
        ]
    )
    return ory.read(pa.Table.from_pylist(rows, schema))


@given(rows=events)
@settings(max_examples=40, deadline=None)
def test_the_values_are_what_the_rules_say(rows: list[dict[str, Any]]) -> None:
    rows = [{**row, "arrival": i} for i, row in enumerate(rows)]
    found = table_of(rows[::-1]).windows(*WINDOWS, **SETTINGS).to_rows()[::-1]
    names = [window.name for window in WINDOWS]
    assert [{name: row[name] for name in names} for row in found] == expected(rows)
    assert [{name: row[name] for name in rows[0]} for row in found] == rows


def test_rows_keep_their_order_types_and_only_what_is_wanted_is_computed(
    tmp_path: Path,
) -> None:
    rows = [
        {"k": i % 3, "t": START + dt.timedelta(minutes=7 * i % 40), "v": i, "d": b"x"} for i in range(100)
    ]
    table = ory.read(rows).windows(Window(how="count", over="10min", by="k"), on="t")
    assert table.select("v", "d").to_rows() == [{"v": i, "d": b"x"} for i in range(100)]
    assert [row["v"] for row in table.to_rows()] == list(range(100))
    assert table.schema.names == ("k", "t", "v", "d", "count_10min_by_k")
    kept = ory.read(rows).write(tmp_path / "rows.parquet")
    again = Table.from_dict(kept.windows(*table.steps[-1].windows.windows, on="t").to_dict())  # type: ignore[attr-defined]
    assert again.to_rows() == table.to_rows()
    assert ory.read(rows).where("v < 0").windows(Window(how="count", over="1h", by="k"), on="t").count() == 0


def test_what_is_wrong_is_said_before_anything_is_read() -> None:
    table = ory.read([{"k": 1.5, "t": START, "s": "x", "n": 1}])
    window = Window(how="sum", of="s", over="1h", by="n")
    with pytest.raises(SchemaError, match="'s' is string; it must be a number"):
        assert table.windows(window, on="t").schema
    with pytest.raises(SchemaError, match="'n' is int64; windows need a date or a time"):
        assert table.windows(window, on="n").schema
    with pytest.raises(SchemaError, match="'k' is double; what tells events apart"):
        assert table.windows(Window(how="count", over="1h", by="k"), on="t").schema
    with pytest.raises(UnknownColumnError):
        assert table.windows(Window(how="count", over="1h", by="card"), on="t").schema
    with pytest.raises(SettingsError, match="'3 weeks' is no span of time"):
        Window(how="count", over="3 weeks", by="k")
    with pytest.raises(SettingsError, match="only 'count' has none"):
        Window.from_dict({"how": "sum", "over": "1h", "by": "k"})
    with pytest.raises(SettingsError, match="same name"):
        Windows.from_dict({"on": "t", "windows": [window, window]})
