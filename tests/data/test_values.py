from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from orrery.data.values import infer_type, to_array


@pytest.mark.parametrize(
    ("values", "kind", "bad"),
    [
        ([1, 1.5, 2.0, None, float("nan")], pa.int64(), [1, 4]),
        ([[1], [1.5], None], pa.list_(pa.int32()), [1]),
        ([{"a": 1}, {"a": 1.5}, {"a": None}, {}], pa.struct({"a": pa.int8()}), [1]),
        ([{"a": [1.5]}], pa.struct({"a": pa.list_(pa.float32())}), []),
        ([1, 1.5, True], pa.float64(), [2]),
    ],
)
def test_no_number_loses_its_fraction_without_a_word(values: list[Any], kind: Any, bad: list[int]) -> None:
    array, found = to_array(values, kind)
    assert found == bad
    assert [array[i].as_py() for i in bad] == [None] * len(bad)


def test_long_whole_numbers_are_never_rounded() -> None:
    assert infer_type([2**64 - 1, 5], "n", "here") == pa.uint64()
    assert infer_type([2**64, 2**64 + 1], "n", "here") == pa.string()
    assert to_array([2**53 + 1, 2**53, 1.5], pa.float64())[1] == [0]
