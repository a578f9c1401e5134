"""Columns of bytes or lists as tensors, where some value may be missing or only the values tell the size."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orrery.data.loader import columns
from orrery.data.loader.columns import Layout, Tensors
from orrery.errors import SchemaError


class Tensor(NamedTuple):
    """What a column becomes: of each row ``dtype`` of ``shape``."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    nullable: bool
    """Whether a value may be missing."""


def tensors_of(layout: Layout, told: Tensors, missing: set[str]) -> dict[str, Tensor]:
    """The columns that are not dense, but shall be tensors. Raises SchemaError for other types."""
    found = {}
    for name in layout.ragged:
        field = layout.schema.field(name)
        known = columns._shape(field, told)
        if known is None and name in told:
            known = np.dtype(told[name][0]), tuple(told[name][1])
        if known is not None and (name in told or not _is_bytes(field.type)):
            dtype, shape = known
            if -1 in shape:
                shape = (columns._bytes_of(field.type) or 0) // dtype.itemsize, *shape[1:]
            found[name] = Tensor(name, dtype, shape, name in missing)
    for name in told:
        kind = layout.schema.field(name).type
        if not (_is_bytes(kind) or _is_list(kind) or isinstance(kind, pa.BaseExtensionType)):
            raise SchemaError(f"{name!r} is {kind}; bytes and lists of numbers become tensors.")
    return found


def filled(column: Any, made: Tensor) -> dict[str, NDArray[Any]]:
    """The tensor [n, *shape], NaN or 0 where it is missing; and which rows have one, unless NaN says so.

    Raises SchemaError where a value is of another size.
    """
    array = column.storage if isinstance(column.type, pa.BaseExtensionType) else column
    valid = pc.is_valid(array).to_numpy(zero_copy_only=False)
    is_float = made.dtype.kind == "f"
    out = np.full((len(array), *made.shape), np.nan if is_float else 0, made.dtype)
    out[valid] = _values(array.drop_null() if array.null_count else array, made)
    if is_float or not made.nullable:
        return {made.name: out}
    return {made.name: out, f"{made.name}.valid": valid.copy()}


def _values(array: Any, made: Tensor) -> NDArray[Any]:
    """Of rows none of which is missing."""
    if _is_bytes(array.type):
        size = made.dtype.itemsize * math.prod(made.shape)
        rows = array.to_pylist()
        for row in rows:
            if len(row) != size:
                raise _odd(made, f"{len(row)} bytes")
        return np.frombuffer(b"".join(rows), made.dtype).reshape(len(rows), *made.shape)
    rows = len(array)
    shape: list[int] = []
    while _is_list(array.type):
        lengths = pc.unique(pc.list_value_length(array)).to_pylist()
        lengths = lengths or [made.shape[len(shape)] if len(shape) < len(made.shape) else 0]
        if len(lengths) > 1 or lengths[0] is None:
            raise _odd(made, f"lists of length {' and '.join(map(str, lengths[:3]))}")
        shape.append(int(lengths[0]))
        array = array.flatten()
    if rows and tuple(shape) != made.shape and (len(shape) > 1 or shape[0] != math.prod(made.shape)):
        raise _odd(made, f"lists of shape {tuple(shape)}")
    if array.null_count and made.dtype.kind != "f":
        raise _odd(made, "values that are missing")
    numbers = array.to_numpy(zero_copy_only=False)
    if not np.can_cast(numbers.dtype, made.dtype, "same_kind"):
        raise _odd(made, f"values of type {array.type}")
    found: NDArray[Any] = numbers.astype(made.dtype).reshape(rows, *made.shape)
    return found


def _odd(made: Tensor, found: str) -> SchemaError:
    return SchemaError(
        f"{made.name!r} has {found} in a row, not {made.dtype} of shape {made.shape}.",
        hint="Leave it out of tensors= to have it as it is.",
    )


def _is_bytes(kind: Any) -> bool:
    found = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(found and not pa.types.is_decimal(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
