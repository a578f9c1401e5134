"""The tensor codec: every spelling is one array, and a header decides nothing that the bytes do not bear."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from orrery.data.codecs.tensor import decode, encode, from_arrow, is_npy, to_arrow
from orrery.errors import BadRowError, SchemaError

DTYPES = ["<f8", ">f4", "<f2", "|i1", "<u2", ">i8", "|b1"]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(DTYPES), order=st.sampled_from("CF"))
def test_npy_goes_round(data: st.DataObject, dtype: str, order: str) -> None:
    array = data.draw(arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0)))
    file = io.BytesIO()
    np.save(file, np.array(array, order=order))
    assert is_npy(file.getvalue())
    for stored in (file.getvalue(), encode(array)):
        found = decode(stored)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "u1"])
@pytest.mark.parametrize(
    "shapes", [[(2, 3)], [(2, 3), (2, 3)], [(1, 2), (3, 2)], [(2,), (2, 2)], [(0, 2), (1, 2)]]
)
def test_arrow_goes_round(shapes: list[tuple[int, ...]], dtype: str) -> None:
    values: list[Any] = [np.arange(np.prod(s), dtype=dtype).reshape(s) for s in shapes]
    values.insert(1, None)
    column = to_arrow(values)
    fixed = len(set(shapes)) == 1
    assert isinstance(column.type, pa.FixedShapeTensorType) == fixed
    for stored in (column, pa.chunked_array([column, column]).slice(0, len(column))):
        found = from_arrow(stored)
        assert found[1] is None
        for array, back in zip(values, found, strict=True):
            if array is not None:
                assert (decode(back) == array).all()
                assert decode(back).shape == array.shape


def test_arrow_tensors_are_read_as_arrow_reads_them() -> None:
    kind = pa.fixed_shape_tensor(pa.float32(), (2, 3, 4), permutation=[2, 0, 1])
    stored = pa.array([[float(i + 24 * n) for i in range(24)] for n in range(2)], kind.storage_type)
    column = pa.ExtensionArray.from_storage(kind, stored)
    assert (np.stack(from_arrow(column)) == column.to_numpy_ndarray()).all()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"hello",
        encode(np.arange(9))[:-1],
        encode(np.arange(9)) + b"x",
        encode(np.arange(9)).replace(b"(9,)", b"(8,)"),
        encode(np.arange(9)).replace(b"(9,)", b"(-9)"),
        encode(np.arange(9)).replace(b"'<i8'", b"'|O8'"),
        encode(np.arange(9)).replace(b"'<i8'", b"'<U2'"),
        [[1, 2], [3]],
        [["a", "b"]],
        "text",
        {"data": [1.0, 2.0], "shape": [3]},
        {"data": [1.0, 2.0], "shape": [-1, -2]},
        {"data": [1.0, 2.0], "shape": [10**12, 0]},
        {"shape": [2]},
        {"data": 1, "shape": 1},
    ],
)
def test_what_is_no_tensor_is_a_bad_row(value: Any) -> None:
    with pytest.raises(BadRowError):
        decode(value)


def test_a_pickle_is_never_opened() -> None:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(BadRowError, match="object"):
        decode(file.getvalue())
    with pytest.raises(BadRowError):
        decode(pickle.dumps(np.arange(3)))
    with pytest.raises(SchemaError, match="objects"):
        encode(np.array([{}], object))


def test_more_values_than_allowed_are_refused() -> None:
    with pytest.raises(BadRowError):
        decode(encode(np.zeros(100)), max_values=99)
    with pytest.raises(SchemaError, match="at least one"):
        to_arrow([None])


@pytest.mark.parametrize("header", [b"{'descr'", b"(" * 3000, b"'''", b"\x00", b'"abc', b"  x\n y", b"{[:1}"])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_broken_header_is_a_bad_row(header: bytes, version: int) -> None:
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    with pytest.raises(BadRowError, match="A tensor cannot be read"):
        decode(b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(4))
