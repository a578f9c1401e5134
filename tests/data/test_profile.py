"""Profiles: exact where promised, bounded, and the same for any cut and order of the rows."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.codecs.image import encode_png
from orrery.data.passes import gather
from orrery.data.profile import Describe, Profile
from orrery.data.table import read
from orrery.errors import UnknownColumnError

SCHEMA = pa.schema(
    [
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("t", pa.string()),
        ("d", pa.timestamp("us")),
        ("v", pa.list_(pa.float32())),
        ("b", pa.bool_()),
    ]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.integers(-20, 20) | st.none(),
            "x": st.floats() | st.none(),
            "t": st.text("ab ", max_size=4) | st.none(),
            "d": st.datetimes(dt.datetime(1960, 1, 1), dt.datetime(2060, 1, 1)) | st.none(),
            "v": st.lists(st.floats(0, 1, width=32), max_size=3) | st.none(),
            "b": st.booleans() | st.none(),
        }
    ),
    max_size=40,
)


@pytest.mark.parametrize("limit", [4, 1000])
@settings(max_examples=40, deadline=None)
@given(rows=ROWS, data=st.data())
def test_any_cut_and_order_gives_the_same(limit: int, rows: list[dict[str, Any]], data: Any) -> None:
    whole = pa.RecordBatch.from_pylist(rows, SCHEMA)
    shuffled = pa.RecordBatch.from_pylist(data.draw(st.permutations(rows)), SCHEMA)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=5))), len(rows)]
    pieces = [shuffled.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    describe = Describe(SCHEMA, limit)
    assert gather(describe, [whole], whole.slice(0, 0)) == gather(describe, pieces, whole.slice(0, 0))


def test_figures_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(1e6, 1.0, 5000)
    column = read({"x": values}).describe()["x"]
    assert column.mean == pytest.approx(values.mean(), rel=1e-15)
    assert column.std == pytest.approx(values.std(ddof=1), rel=1e-9)
    assert (column.minimum, column.maximum) == (values.min(), values.max())
    for q, value in column.quantiles.items():
        assert value == pytest.approx(np.quantile(values, float(q)), abs=0)
    assert column.histogram is not None
    assert list(column.histogram.counts) == np.histogram(values, bins=20)[0].tolist()
    assert column.distinct == 5000
    assert column.distinct_exact


def test_large_columns_stay_within_the_stated_error() -> None:
    values = np.random.default_rng(1).lognormal(3.0, 2.0, 60_000)
    column = read({"x": values}).describe()["x"]
    assert not column.distinct_exact
    assert column.distinct == pytest.approx(60_000, rel=0.1)  # three deviations of 3 %
    assert column.mean == pytest.approx(values.mean(), rel=1e-13)
    for q, value in column.quantiles.items():
        assert value == pytest.approx(np.quantile(values, float(q)), rel=0.006)
    assert column.histogram is not None
    assert sum(column.histogram.counts) == 60_000


def test_nan_is_missing_and_infinity_is_left_out_of_the_figures() -> None:
    column = read({"x": [1.0, float("nan"), None, math.inf, -math.inf, 3.0]}).describe()["x"]
    assert (column.missing, column.minimum, column.maximum, column.mean) == (2, 1.0, 3.0, 2.0)
    assert column.distinct == 4


@pytest.mark.parametrize("values", [[1e308, -1e308], [5e-324, 0.0], [7.0], [0.0, -0.0]])
def test_extreme_numbers_do_no_harm(values: list[float]) -> None:
    column = read({"x": values}).describe()["x"]
    assert column.histogram is not None
    assert sum(column.histogram.counts) == len(values)
    assert column.mean == pytest.approx(sum(values) / len(values))


def test_each_type_says_what_it_can() -> None:
    small, large = encode_png(np.zeros((3, 2, 5), np.uint8)), encode_png(np.zeros((1, 4, 4), np.uint8))
    profile = read(
        {
            "picture": [small, small, large, b"no", None],
            "text": ["one two", "three", "", None, "one two"],
            "flag": [True, False, None, True, True],
            "day": [dt.date(1970, 1, 2)] * 5,
            "vector": [[1.0, 2.0], [3.0, 4.0], None, [5.0, 6.0], [7.0, 8.0]],
            "ragged": [[1], [1, 2], [], None, [3]],
            "nothing": pa.nulls(5),
            "code": pa.array(["a", "b", "a", "a", None]).dictionary_encode(),
        }
    ).describe()
    assert profile["picture"].pictures == 0.75
    assert profile["picture"].sizes == ((2, 5, 3, 2), (4, 4, 1, 1))
    assert profile["text"].words == 5 / 4
    assert profile["text"].top == (("one two", 2), ("", 1), ("three", 1))
    assert (profile["flag"].mean, profile["flag"].top) == (0.75, (("true", 3), ("false", 1)))
    assert profile["day"].minimum == 86_400.0
    assert (profile["vector"].width, profile["ragged"].width) == (2, None)
    assert (profile["nothing"].missing, profile["nothing"].distinct) == (5, 0)
    assert (profile["code"].top[0], profile["code"].distinct) == (("a", 3), 2)
    with pytest.raises(UnknownColumnError):
        _ = profile["none"]


def test_many_columns_share_the_memory() -> None:
    wide = Describe.of(pa.schema([pa.field(f"c{i}", pa.float64()) for i in range(100_000)]))
    assert wide.limit == 64
    assert Describe.of(SCHEMA).limit == 10_000


def test_a_profile_is_a_value_and_shows_itself() -> None:
    profile = read({"a <b>": [1, 2, 2], "t": ["x", "y", None]}).describe()
    assert Profile.from_dict(profile.to_dict()) == profile
    assert "a &lt;b&gt;" in profile._repr_html_()
    assert "3 rows" in str(profile)


def test_dates_are_told_as_dates() -> None:
    days = [dt.date(2024, 1, 1), dt.date(2024, 1, 3), dt.date(2024, 3, 1)]
    moments = [dt.datetime(2024, 1, 1, 8, 30, tzinfo=dt.UTC)] * 3
    profile = read({"day": days, "at": moments, "n": [1, 2, 3], "t": [dt.time(9, 5)] * 3}).describe()
    assert profile["day"].dates == {
        "minimum": "2024-01-01", "mean": "2024-01-21", "maximum": "2024-03-01", "median": "2024-01-03",
    }  # fmt: skip
    assert profile["at"].dates["maximum"] == "2024-01-01T08:30:00+00:00"
    assert (profile["n"].dates, profile["t"].dates["mean"]) == ({}, "09:05:00")
    for shown in (str(profile), profile._repr_html_()):
        assert "2024-03-01" in shown
        assert "2024-01-01T08:30:00" in shown
        assert "17040" not in shown  # seconds since 1970
    assert repr(profile) == "Profile(3 rows, 4 columns)"


def test_distinct_bytes_and_lists_are_exact_while_few() -> None:
    rows = pa.array([str(i % 3000).encode() for i in range(9000)])
    lists = pa.array([[i % 2500] for i in range(9000)])
    table = read({"picture": rows, "list": lists})
    parts = [table.describe(), table.sample(rows=9000).describe()]
    for profile in parts:
        assert [(c.distinct, c.distinct_exact, c.top) for c in profile.columns] == [
            (3000, True, ()), (2500, True, ()),
        ]  # fmt: skip
    many = read({"picture": [str(i).encode() for i in range(20_000)]}).describe()["picture"]
    assert not many.distinct_exact
    assert abs(many.distinct - 20_000) < 2_000
