"""Tensors: numbers in rows and columns, or deeper, of any Arrow or NumPy spelling.

A value may be: the bytes of an ``.npy`` file (format 1 to 3, never a pickle); a nested list; a NumPy array;
or ``{"data": [...], "shape": [...]}``, which is how Arrow stores tensors of many shapes.
"""

from __future__ import annotations

import io
import math
import tokenize
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.errors import BadRowError, SchemaError

MAX_VALUES = 1 << 26
"""A tensor of more numbers is refused before it is unpacked: 64 million."""

_MAGIC = b"\x93NUMPY"
_MOST_AXES = 32


def is_npy(data: bytes) -> bool:
    """Whether the bytes begin as an ``.npy`` file does."""
    return bytes(data[:6]) == _MAGIC


def encode(array: NDArray[Any]) -> bytes:
    """The bytes of an ``.npy`` file. Raises SchemaError for an array of objects.

    >>> decode(encode(np.arange(6).reshape(2, 3))).shape
    (2, 3)
    """
    if np.asarray(array).dtype.hasobject:
        raise SchemaError("An array of objects is no tensor: its bytes would be a pickle.")
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array, order="C"), allow_pickle=False)
    return out.getvalue()


def decode(value: Any, *, max_values: int = MAX_VALUES) -> NDArray[Any]:
    """One tensor, of the type and shape it is stored in. Raises BadRowError."""
    try:
        if isinstance(value, bytes | bytearray | memoryview):
            return _from_npy(bytes(value), max_values)
        if isinstance(value, Mapping):
            return _shaped(value["data"], value["shape"], max_values)
        found = np.asarray(value)
    except BadRowError:
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        SyntaxError,
        tokenize.TokenError,
        MemoryError,
        RecursionError,
    ) as error:
        raise _bad(str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    if found.dtype.kind not in "biuf":
        raise _bad(f"it holds {_spelt(found)}, not numbers")
    return found


def _from_npy(data: bytes, max_values: int) -> NDArray[Any]:
    """Only numbers, only as many as there are bytes for: the header decides nothing else."""
    if not is_npy(data):
        raise _bad(f"its {len(data)} bytes are no .npy file")
    file = io.BytesIO(data)
    version: tuple[int, int] = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(file, max_header_size=4096)
    if dtype.kind not in "biuf":
        raise _bad(f"it holds values of type {dtype}, not numbers")
    count = math.prod(shape)
    if count > max_values or len(shape) > _MOST_AXES or count * dtype.itemsize != len(data) - file.tell():
        raise _bad(f"it says {list(shape)} of {dtype}, and has {len(data) - file.tell():,} bytes")
    flat = np.frombuffer(data, dtype, count, file.tell())
    return flat.reshape(shape, order="F" if columns_first else "C")


def _shaped(data: Any, shape: Any, max_values: int) -> NDArray[Any]:
    found = np.asarray(data)
    if found.size == 0:
        found = found.astype(np.float64)
    axes = [int(n) for n in shape]
    if min(axes, default=0) < 0 or len(axes) > _MOST_AXES or math.prod(axes) != found.size:
        raise _bad(f"its shape {axes} does not fit its {found.size:,} numbers")
    if found.size > max_values or found.dtype.kind not in "biuf":
        raise _bad(f"it holds {_spelt(found)}, not numbers")
    return found.reshape(axes)


def to_arrow(arrays: Sequence[NDArray[Any] | None]) -> Any:
    """A column of tensors: Arrow's fixed-shape tensors where all are alike, else data and shape.

    >>> to_arrow([np.zeros((2, 3), np.float32)]).type
    FixedShapeTensorType(extension<arrow.fixed_shape_tensor[value_type=float, shape=[2,3]]>)
    >>> to_arrow([np.zeros(2), np.zeros((1, 2))]).type
    StructType(struct<data: list<item: double>, shape: list<item: int64>>)
    """
    present = [a for a in arrays if a is not None]
    if not present:
        raise SchemaError("A column of tensors has at least one.", hint="Say its type.")
    if len({(a.shape, a.dtype) for a in present}) == 1:
        return _fixed(arrays, present[0])
    value = pa.from_numpy_dtype(np.result_type(*present))
    kind = pa.struct([("data", pa.list_(value)), ("shape", pa.list_(pa.int64()))])
    rows = [None if a is None else {"data": a.ravel(), "shape": list(a.shape)} for a in arrays]
    return pa.array(rows, kind)


def _fixed(arrays: Sequence[NDArray[Any] | None], like: NDArray[Any]) -> Any:
    kind = pa.fixed_shape_tensor(pa.from_numpy_dtype(like.dtype), like.shape)
    if like.size == 0:
        raise SchemaError("A tensor without numbers cannot be stored as a column.")
    flat = np.concatenate([np.zeros(like.size, like.dtype) if a is None else a.ravel() for a in arrays])
    gone = pa.array([a is None for a in arrays])
    stored = pa.FixedSizeListArray.from_arrays(pa.array(flat), like.size, mask=gone)
    return pa.ExtensionArray.from_storage(kind, stored)


def from_arrow(column: Any) -> list[Any]:
    """Each value of an Arrow column as an array or as what :func:`decode` takes; None where it is missing."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not isinstance(column.type, pa.FixedShapeTensorType):
        found: list[Any] = column.to_pylist()
        return found
    present = column.storage.drop_null() if column.null_count else column.storage
    if column.type.permutation:
        whole: Any = pa.ExtensionArray.from_storage(column.type, present)
        numbers = whole.to_numpy_ndarray()
    else:
        numbers = present.flatten().to_numpy(zero_copy_only=False).reshape(-1, *column.type.shape)
    rows = iter(numbers)
    return [next(rows) if valid else None for valid in column.is_valid().to_pylist()]


def _spelt(found: NDArray[Any]) -> str:
    return (
        f"{found.size:,} values of type {found.dtype}" if found.dtype != object else "lists of many lengths"
    )


def _bad(reason: str) -> BadRowError:
    return BadRowError(
        f"A tensor cannot be read: {reason}.",
        hint="Send nested lists of one length each, .npy bytes, or {'data': [...], 'shape': [...]}.",
    )
