"""Tensors survive the way to bytes and back."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from orrery.errors import BadRequestError
from orrery.schema import Field, Kind
from orrery.serving.online.tensors import DTYPES, Tensor, as_column, datatype_of, read_inputs, to_bytes

VALUES = {
    "BOOL": st.booleans(),
    "FP32": st.floats(width=32, allow_nan=False),
    "FP64": st.floats(allow_nan=False),
    "INT8": st.integers(-128, 127),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "UINT64": st.integers(0, 2**64 - 1),
    "BYTES": st.text(),
}


def head(datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


@given(
    st.sampled_from(sorted(VALUES)).flatmap(lambda d: st.tuples(st.just(d), st.lists(VALUES[d], max_size=9)))
)
def test_what_is_written_is_read_again(tensor: tuple[str, list[Any]]) -> None:
    datatype, values = tensor
    said, data = to_bytes(Tensor("x", datatype, [len(values)], values))
    _, back = read_inputs([said], memoryview(data))["x"]
    assert [v.decode() if isinstance(v, bytes) else v for v in back] == values


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=5))
def test_bytes_are_as_triton_writes_them(values: list[bytes]) -> None:
    data = serialize_byte_tensor(np.array(values, np.object_)).item()
    _, back = read_inputs([head("BYTES", [len(values)], len(data))], memoryview(data))["x"]
    assert back == values
    said, ours = to_bytes(Tensor("y", "BYTES", [2], ["a", "北京"]))
    assert deserialize_bytes_tensor(ours).tolist() == [b"a", "北京".encode()]
    assert said["parameters"]["binary_data_size"] == len(ours)


def test_bf16_is_read() -> None:
    data = (np.array([1.0, -2.5, 0.0], "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    assert read_inputs([head("BF16", [3], len(data))], memoryview(data))["x"][1] == [1.0, -2.5, 0.0]


@given(st.binary(max_size=64), st.sampled_from([*DTYPES, "BYTES", "BF16"]), st.integers(0, 20))
def test_any_bytes_are_read_or_refused(data: bytes, datatype: str, count: int) -> None:
    try:
        _, values = read_inputs([head(datatype, [count], len(data))], memoryview(data))["x"]
    except BadRequestError:
        return
    assert len(values) == count


def test_a_length_beyond_the_end_is_refused() -> None:
    data = struct.pack("<I", 2**32 - 1) + b"ab"
    with pytest.raises(BadRequestError, match="cut short"):
        read_inputs([head("BYTES", [1], len(data))], memoryview(data))


@pytest.mark.parametrize(
    ("kind", "type_name", "shape", "values", "column"),
    [
        (Kind.NUMBER, "double", [2], [1.0, None], [1.0, None]),
        (Kind.NUMBER, "double", [2, 1], [1.0, 2.0], [1.0, 2.0]),
        (Kind.VECTOR, "list<item: double>", [2, 2], [1, 2, 3, 4], [[1, 2], [3, 4]]),
        (Kind.TEXT, "string", [2], [b"a", "b"], ["a", "b"]),
        (Kind.LABELS, "list<item: string>", [1], [b'["a","b"]'], [["a", "b"]]),
        (Kind.IMAGE, "binary", [2], [b"raw", "aGk="], [b"raw", b"hi"]),
    ],
)
def test_columns(kind: Kind, type_name: str, shape: list[int], values: list[Any], column: list[Any]) -> None:
    field = Field(name="x", type=type_name, kind=kind)
    datatype = datatype_of(type_name, kind)
    assert as_column(field, {"datatype": datatype, "shape": shape}, values) == column


@pytest.mark.parametrize(
    ("kind", "type_name", "values"),
    [
        (Kind.TEXT, "string", [b"\xff"]),
        (Kind.TEXT, "string", [3]),
        (Kind.IMAGE, "binary", ["%"]),
        (Kind.LABELS, "x", ["["]),
    ],
)
def test_wrong_elements_are_refused(kind: Kind, type_name: str, values: list[Any]) -> None:
    field = Field(name="x", type=type_name, kind=kind)
    with pytest.raises(BadRequestError):
        as_column(field, {"datatype": "BYTES", "shape": [1]}, values)
