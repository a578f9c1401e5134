"""Vectors of Spark ML in files: dense and sparse ones, mixed in a column, as lists of numbers of one length.

Spark stores a vector as ``struct<type, size, indices, values>``: ``type`` 1 is dense, with ``values`` alone;
0 is sparse (``VectorUDT`` in Spark's ``mllib``/``ml.linalg``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from orrery.data.foreign.meaning import Meaning, Values
from orrery.errors import SourceError
from orrery.schema import Kind

_MEMBERS = {"type": "int8", "size": "int32", "indices": "list<int32>", "values": "list<double>"}
_MOST_WIDTH = 1 << 20


def is_vector(kind: Any) -> bool:
    """Whether a column is one of Spark's vectors."""
    if not pa.types.is_struct(kind) or kind.num_fields != len(_MEMBERS):
        return False
    found = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
    lists = {name: f"list<{f.value_type}>" if pa.types.is_list(f) else str(f) for name, f in found.items()}
    return lists == _MEMBERS


def meanings(schema: Any, values: Values) -> dict[str, Meaning]:
    """The columns of vectors, as lists as long as the first of them."""
    return {f.name: _meaning(f, values(f.name)) for f in schema if is_vector(f.type)}


def _meaning(field: Any, some: Any) -> Meaning:
    width = _width(some)
    if width > _MOST_WIDTH:
        raise SourceError(
            f"The vectors of {field.name!r} have {width:,} numbers each; at most {_MOST_WIDTH:,} are read.",
            hint="Have Spark hash or select features first.",
        )
    meta = {"orrery.kind": Kind.VECTOR.value, "orrery.shape": str(width)}
    given = pa.field(field.name, pa.list_(pa.float64(), width), field.nullable, meta)
    return Meaning(given, lambda array, shown: _dense(array, width, field.name, shown))


def _width(some: Any) -> int:
    """How many numbers the first vector has; none, where there is none."""
    first = next((row.as_py() for row in some if row.is_valid), None) if some is not None else None
    if first is None:
        return 0
    return int(first["size"]) if first["type"] == 0 else len(first["values"])


def _dense(array: Any, width: int, name: str, shown: str) -> Any:
    """Vectors of either form as rows of ``width`` numbers."""
    rows = len(array)
    made = np.zeros((rows, width))
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    parts = [array.field(part) for part in _MEMBERS]
    sparse = parts[0].fill_null(1).to_numpy(zero_copy_only=False) == 0
    values, counts, starts = _list(parts[3])
    sizes = np.where(sparse, parts[1].fill_null(0).to_numpy(zero_copy_only=False), counts)
    wrong = np.flatnonzero(valid & (sizes != width))
    if wrong.size:
        raise SourceError(
            f"{shown}: a vector of {name!r} has {sizes[wrong[0]]} numbers, the first one has {width}.",
            hint="The vectors of one column must be of one length.",
        )
    indices, index_counts, index_starts = _list(parts[2])
    for row in np.flatnonzero(valid):
        found = values[starts[row] : starts[row] + counts[row]]
        if not sparse[row]:
            made[row] = found
            continue
        places = indices[index_starts[row] : index_starts[row] + index_counts[row]]
        if len(places) != len(found) or (len(places) and not 0 <= places.min() <= places.max() < width):
            raise SourceError(f"{shown}: a sparse vector of {name!r} is broken.")
        made[row, places] = found
    lists: Any = pa.FixedSizeListArray
    return lists.from_arrays(
        pa.array(made.reshape(-1)), type=pa.list_(pa.float64(), width), mask=pa.array(~valid)
    )


def _list(array: Any) -> tuple[Any, Any, Any]:
    """The numbers of all lists, how many each has, and where they begin."""
    counts = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    begins = array.offsets.to_numpy()[:-1]
    return array.values.to_numpy(zero_copy_only=False), counts, begins
