"""A compiled plan gives the blocks that the plan gives, to the bit, or leaves the row to it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.features.category import Category
from orrery.features.date import Date
from orrery.features.feature import Encoded, Feature
from orrery.features.forms import Bag
from orrery.features.number import Number
from orrery.features.plain import Plain
from orrery.features.plan import FeaturePlan, PlanFit
from orrery.features.quantile import Quantile
from orrery.features.target import Target
from orrery.features.target_mean import TargetMean
from orrery.features.tfidf import Tfidf
from orrery.features.tokens import Tokens
from orrery.features.vector import Vector
from orrery.schema import Kind
from orrery.serving.compiled.plan import CompiledPlan

NOON = dt.datetime(2020, 2, 29, 3, 4, 5, 6)
_COLUMNS: dict[str, Any] = {
    "a": [1.0, None, 3.0, -2.5],
    "b": [10, 20, 30, 41],
    "city": ["Bern", "Rome", "Rome", None],
    "shop": [1, 2, 2, 3],
    "when": pa.array([NOON, None, dt.datetime(2021, 1, 1), dt.datetime(1969, 12, 31)]),
    "day": pa.array([dt.date(2020, 1, 1), dt.date(2020, 1, 2), None, dt.date(2024, 12, 31)]),
    "said": ["one fish two fish", "", None, "red fish 北京"],
    "v": pa.array([[1.0, 2.0], [3.0, None], None, [0.5, 0.25]], pa.list_(pa.float64())),
    "sold": [4.0, 6.0, 2.0, 1.0],
}
ROWS = pa.record_batch(_COLUMNS)
SOLD = Target(name="sold", kind=Kind.NUMBER, type="double")
FEATURES: dict[str, list[Feature]] = {
    "numbers": [Number(columns=("a", "b")), Plain(columns=("b", "a")), Quantile(columns=("a",))],
    "categories": [Category(columns=("city", "shop")), TargetMean(columns=("city", "shop"), target=SOLD)],
    "dates": [Date(columns=("when", "day")), Date(columns=("when",), cyclic=False, group="trees")],
    "texts": [Tfidf(columns=("said",), min_count=1), Tokens(columns=("said",), min_count=1, ngrams=2)],
    "vectors": [Vector(columns=("v",))],
}


def _plan(features: list[Feature]) -> FeaturePlan:
    fit = PlanFit.of(features)
    return fit.finish(fit.summarize(ROWS))


PLANS = {name: _plan(features) for name, features in FEATURES.items()}
COMPILED = {name: CompiledPlan(plan) for name, plan in PLANS.items()}


def _arrays(block: Encoded) -> list[Any]:
    return list(block) if isinstance(block, Bag) else [block]


def _same(expected: dict[str, Encoded], actual: dict[str, Encoded]) -> None:
    assert list(expected) == list(actual)
    for name, block in expected.items():
        for x, y in zip(_arrays(block), _arrays(actual[name]), strict=True):
            assert (x.dtype, x.shape) == (y.dtype, y.shape), name
            assert np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes(), name


@pytest.mark.parametrize("name", FEATURES)
def test_the_rows_that_were_learnt_from(name: str) -> None:
    plan, compiled = PLANS[name], COMPILED[name]
    columns = {c: ROWS.column(c).to_pylist() for c in plan.inputs}
    found = compiled.encode(columns, 4)
    assert found is not None
    _same(plan.encode(ROWS), found)
    for i in range(4):
        alone = {c: values[i : i + 1] for c, values in columns.items()}
        single = compiled.encode(alone, 1)
        assert single is not None
        _same(plan.encode_values(alone), single)


_FLOATS = st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70), st.booleans())
_WORDS = st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["Bern", "Rome", "one fish"]))
_ANY = st.one_of(_FLOATS, _WORDS, st.binary(max_size=4), st.lists(st.floats(), max_size=3), st.just({"a": 1}))
_MOMENTS = st.one_of(
    st.none(),
    st.datetimes(),
    st.datetimes(timezones=st.just(dt.timezone(dt.timedelta(hours=5, minutes=30)))),
    st.dates(),
    st.datetimes().map(dt.datetime.isoformat),
    st.dates().map(dt.date.isoformat),
    st.text(max_size=10),
)
_OF_COLUMN = {
    "a": _FLOATS, "b": _FLOATS, "city": _WORDS, "shop": st.one_of(_FLOATS, _WORDS), "said": _WORDS,
    "when": _MOMENTS, "day": _MOMENTS, "v": st.one_of(st.none(), st.lists(_FLOATS, min_size=1, max_size=3)),
}  # fmt: skip


@given(st.data())
def test_any_values_have_the_same_blocks_or_are_left_to_the_plan(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(FEATURES)))
    plan, compiled = PLANS[name], COMPILED[name]
    rows = data.draw(st.integers(1, 3))
    columns: dict[str, list[Any]] = {
        c: data.draw(st.lists(st.one_of(_OF_COLUMN[c], _ANY), min_size=rows, max_size=rows))
        for c in plan.inputs
    }
    found = compiled.encode(columns, rows)
    if found is not None:
        _same(plan.encode_values(columns), found)


def test_columns_of_other_lengths_are_left_to_the_plan() -> None:
    assert COMPILED["numbers"].encode({"a": [1.0, 2.0], "b": [1]}, 1) is None
    assert COMPILED["numbers"].encode({"a": [1.0, 2.0], "b": [1]}, 2) is None


def test_each_feature_tells_its_path() -> None:
    told = COMPILED["numbers"].describe()
    assert [(d["kind"], d["path"]) for d in told] == [
        ("number", "compiled"), ("plain", "compiled"), ("quantile", "general"),
    ]  # fmt: skip
