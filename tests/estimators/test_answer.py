"""Answers: the same from arrays and row by row, for every kind of target."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from orrery.estimators.answer import answer_columns, answer_fields, answer_rows
from orrery.features.target import Target
from orrery.schema import Kind, Schema

TARGETS = [
    Target(name="y", kind=Kind.CATEGORY, type="string", labels=("a", "b, c", "数据 🎉"), width=3),
    Target(name="y", kind=Kind.CATEGORY, type="int64", labels=(-1, 0, 7), width=3),
    Target(name="y", kind=Kind.CATEGORY, type="bool", labels=(False, True), width=2),
    Target(
        name="y",
        kind=Kind.CATEGORY,
        type="dictionary<values=string, indices=int32, ordered=0>",
        labels=("a", "b"),
        width=2,
    ),
    Target(name="y", kind=Kind.LABELS, type="list<item: string>", labels=("a", "b", "c"), width=3),
    Target(name="y", kind=Kind.NUMBER, type="int64"),
    Target(name="y", kind=Kind.VECTOR, type="list<item: double>", width=4),
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: f"{t.kind}-{t.type}")
@pytest.mark.parametrize("rows", [0, 1, 5])
def test_columns_and_rows_agree(target: Target, rows: int) -> None:
    scores = np.random.default_rng(0).random((rows, target.width))
    columns, fields = answer_columns(target, scores), answer_fields(target)
    assert [c.type for c in columns] == [f.type for f in fields]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    table.validate(full=True)
    assert table.to_pylist() == answer_rows(target, scores)


def test_a_category_is_answered_in_the_type_of_the_target() -> None:
    answer = answer_rows(TARGETS[1], np.array([[0.1, 0.2, 0.7]]))
    assert answer == [{"prediction": 7, "probability": 0.7, "probabilities": {"-1": 0.1, "0": 0.2, "7": 0.7}}]


def test_labels_are_given_from_one_half_on() -> None:
    answer = answer_rows(TARGETS[4], np.array([[0.5, 0.49, 1.0], [0.0, 0.0, 0.0]]))
    assert [a["prediction"] for a in answer] == [["a", "c"], []]


def test_the_answer_has_a_schema_that_orrery_can_hold() -> None:
    for target in TARGETS:
        if target.labels == ("a", "b, c", "数据 🎉"):
            continue  # told apart in test_model: names with commas inside structs
        schema = pa.schema(answer_fields(target))
        assert Schema.of(schema).arrow() == schema
