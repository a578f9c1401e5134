from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orrery as ory
from orrery.errors import EmptyTableError, TargetError, UnknownColumnError
from orrery.features.target import Target, TargetFit, fit_target
from orrery.schema import Kind


def fit(values: Any, kind: Kind, **settings: Any) -> Target:
    column = values if isinstance(values, pa.Array) else pa.array(values)
    return fit_target(ory.read(pa.table({"y": column})), "y", kind, **settings)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([10, 9, 10], (9, 10)),
        ([True, False], (False, True)),
        ([1.5, 0.5], (0.5, 1.5)),
        (["是", "否", "🙂"], ("否", "是", "🙂")),
    ],
)
def test_classes_are_sorted_and_keep_their_type(values: list[Any], labels: tuple[Any, ...]) -> None:
    target = fit(values, Kind.CATEGORY)
    assert target.labels == labels
    assert list(map(type, target.labels)) == list(map(type, labels))
    assert target.width == len(labels)
    assert [target.labels[i] for i in target.encode(pa.array(values))] == values


def test_values_of_a_dictionary_that_do_not_occur_are_no_classes() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 2]), pa.array(["a", "unused", "c"]))
    assert fit(column, Kind.CATEGORY).labels == ("a", "c")


def test_numbers_labels_and_vectors() -> None:
    assert fit([1, 2], Kind.NUMBER) == Target(name="y", kind=Kind.NUMBER, type="int64")
    assert fit([["x"], [], ["y", "x"]], Kind.LABELS).labels == ("x", "y")
    assert fit([[1.0, 2.0, 3.0]] * 2, Kind.VECTOR).width == 3


def test_what_was_learnt_survives_plain_values() -> None:
    target = fit([3, 1], Kind.CATEGORY)
    assert Target.from_dict(target.to_dict()) == target


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["a", None, "b"], Kind.CATEGORY, "missing in 1 of 3 rows.*is not null"),
        ([1.0, None], Kind.NUMBER, "missing in 1 of 2"),
        (pa.array([None, None], pa.string()), Kind.CATEGORY, "missing in all of 2 rows"),
        ([1.0, float("nan"), 2.0], Kind.CATEGORY, "missing in 1 of 3"),
        (["a", "a"], Kind.CATEGORY, "only one class, 'a'"),
        ([1.0, float("inf")], Kind.NUMBER, "NaN or infinity in 1 of 2"),
        (["a", "b"], Kind.NUMBER, "not of kind 'number'"),
        (["a", "b"], Kind.LABELS, "not of kind 'labels'"),
        ([[1.0], [1.0, 2.0]], Kind.VECTOR, "2 numbers where others have 1"),
        ([[], []], Kind.LABELS, "not of kind|no labels"),
        ([b"x", b"y"], Kind.IMAGE, "kind 'image', which cannot be predicted"),
    ],
)
def test_what_cannot_be_learnt_is_said(values: Any, kind: Kind, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        fit(values, kind)


def test_too_many_classes() -> None:
    with pytest.raises(TargetError, match=r"more than 5 classes.*'number'"):
        fit(list(range(6)), Kind.CATEGORY, labels_max=5)


def test_no_rows_and_no_such_column() -> None:
    with pytest.raises(EmptyTableError):
        fit(pa.array([], pa.string()), Kind.CATEGORY)
    with pytest.raises(UnknownColumnError, match="Did you mean 'label'"):
        fit_target(ory.read({"label": ["a", "b"]}), "lable", Kind.CATEGORY)


@given(st.lists(st.none() | st.integers(0, 9), max_size=30), st.integers(0, 30), st.integers(1, 10))
@settings(max_examples=50, deadline=None)
def test_any_cut_in_any_order_finds_the_same(values: list[int | None], at: int, labels_max: int) -> None:
    scan = TargetFit("y", Kind.CATEGORY, labels_max)
    batches = [pa.record_batch({"y": pa.array(part, pa.int64())}) for part in (values[at:], values[:at])]
    whole = scan.merge(
        scan.summarize(pa.record_batch({"y": pa.array(values, pa.int64())})), scan.summarize(batches[0][:0])
    )
    parts = scan.merge(*map(scan.summarize, batches))
    assert parts == whole


def test_encoding_refuses_what_training_did_not_have() -> None:
    target = fit(["a", "b"], Kind.CATEGORY)
    with pytest.raises(TargetError, match="'c', unknown to the model"):
        target.encode(pa.array(["a", "c"]))
    assert fit([["x"], ["y"]], Kind.LABELS).encode(pa.array([["y", "new"]])).tolist() == [[0.0, 1.0]]
    assert fit([[1, 2]], Kind.VECTOR).encode(pa.array([[3, 4]])).dtype == np.float64
