"""What a batch is when it is handed out: a dict of torch tensors or NumPy arrays, Arrow, or pandas.

Torch and NumPy: dense columns are arrays [n] or [n, …]; those that share a type are views of one matrix.
Missing floats and decimals are NaN; in every other column of numbers, dates or times of which some may be
missing, they are 0, and a column ``<name>.valid`` says so. Dates and times are whole numbers in torch (in the
column's unit, since 1970), datetime64 in NumPy. Lists of numbers are ``Ragged``. Text, bytes, structs and all
else are lists of Python values. Arrow and pandas give every column as the table has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orrery.data.loader import columns
from orrery.data.loader.columns import ROW_NUMBER, Layout
from orrery.data.loader.pictures import Pictures
from orrery.data.loader.tensors import Tensor, filled
from orrery.errors import SettingsError
from orrery.extras import require

Form = Literal["torch", "numpy", "arrow", "pandas"]
_LISTS: Any = pa.FixedSizeListArray
FORMS = ("torch", "numpy", "arrow", "pandas")


class Ragged(NamedTuple):
    """Lists of numbers: row i has ``values[offsets[i]:offsets[i + 1]]``."""

    values: Any
    offsets: Any


@dataclass(frozen=True)
class Finish:
    """Makes batches of one form. Threads call it."""

    layout: Layout
    form: Form
    pictures: Pictures | None = None
    row_number: str | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def __call__(self, place: tuple[int, int], dense: Mapping[str, NDArray[Any]], rest: Any) -> Any:
        """A batch, from dense values by part and the other columns; ``place``: epoch and batch."""
        if rest is None and self.layout.ragged:
            rest = self.layout.schema.empty_table().select(list(self.layout.ragged))
        if self.form in ("arrow", "pandas"):
            return self._arrow(dense, rest)
        found = {name: dense[key] if j is None else dense[key][:, j] for name, key, j in self._dense_columns}
        for name in self.layout.ragged:
            if self.pictures is not None and name in self.pictures.sizes:
                found[name] = self.pictures.decoded(name, rest.column(name), place[0], dense.get(ROW_NUMBER))
            elif name in self.tensors:
                found |= filled(_one(rest.column(name)), self.tensors[name])
            else:
                found |= _unpacked(name, rest.column(name))
        ordered = {key: found[key] for key in self._keys if key in found} if self.layout.ragged else found
        return _to_torch(ordered) if self.form == "torch" else ordered

    @cached_property
    def _keys(self) -> list[str]:
        """Everything that a batch may hold, in order."""
        keys = ["features", *(key for n in self.layout.names for key in (n, f"{n}.valid"))]
        return keys if self.row_number is None else [*keys, self.row_number]

    @cached_property
    def _dense_columns(self) -> list[tuple[str, str, int | None]]:
        """Name, part and column of what is dense, in order."""
        found: dict[str, tuple[str, str, int | None]] = {}
        for part in self.layout.dense:
            if part.key == ROW_NUMBER and self.row_number is not None:
                found[self.row_number] = (self.row_number, ROW_NUMBER, 0)
            elif part.matrix or not _is_matrix(part):
                found[part.key] = (part.key, part.key, None)
            else:
                found |= {name: (name, part.key, j) for j, name in enumerate(part.names)}
        return [found[key] for key in self._keys if key in found]

    def _arrow(self, dense: Mapping[str, NDArray[Any]], rest: Any) -> Any:
        found = {}
        for part in self.layout.dense:
            for j, name in enumerate(part.names):
                values = dense[part.key][:, j] if _is_matrix(part) else dense[part.key]
                found[name] = _packed(values, self.layout.schema.field(name).type)
        found |= {name: rest.column(name) for name in self.layout.ragged}
        arrays = [_one(found[name]) for name in self.layout.names]
        schema = self.layout.schema
        if self.row_number is not None:
            arrays.append(pa.array(dense[ROW_NUMBER].reshape(-1)))
            schema = schema.append(pa.field(self.row_number, pa.int64(), nullable=False))
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return batch.to_pandas() if self.form == "pandas" else batch


def checked(form: str) -> Form:
    """A form, if there is such a one. Raises SettingsError."""
    if form not in FORMS:
        raise SettingsError(f"A loader gives {', '.join(FORMS)}; not {form!r}.")
    if form in ("torch", "pandas"):
        require(form, f"A loader of form={form!r}")
    return form  # type: ignore[return-value]


def _is_matrix(part: columns.Dense) -> bool:
    return part.matrix or part.key.startswith("\0")


def _to_torch(batch: dict[str, Any]) -> dict[str, Any]:
    torch = require("torch", "A loader of tensors")
    made: dict[str, Any] = {}
    for key, value in batch.items():
        if isinstance(value, Ragged):
            made[key] = Ragged(torch.from_numpy(value.values), torch.from_numpy(value.offsets))
        elif isinstance(value, np.ndarray):
            plain = value.view(np.int64) if value.dtype.kind in "mM" else value
            made[key] = torch.from_numpy(plain)
        else:
            made[key] = value
    return made


def _unpacked(name: str, column: Any) -> dict[str, Any]:
    """A column that is not dense, as arrays or Python values."""
    array = _one(column)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _unpacked(name, array.dictionary_decode())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        wide = array.cast(pa.float64()) if pa.types.is_decimal(kind) else array
        return {name: _filled(wide, float("nan"))}
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or _is_instant(kind):
        valid = pc.is_valid(array).to_numpy(zero_copy_only=False)
        dtype = columns.dtype_of(kind)
        numbers = _filled(columns.plain(array), 0)
        return {name: numbers.view(dtype), f"{name}.valid": valid.copy()}
    if _is_list(kind) and (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)):
        return {name: _ragged(array)}
    return {name: array.to_pylist()}


def _ragged(array: Any) -> Ragged:
    """Lists of numbers; a list that is missing is empty."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    inner = array.flatten()
    nothing = float("nan") if pa.types.is_floating(inner.type) else 0
    return Ragged(_filled(inner, nothing), offsets)


def _filled(array: Any, nothing: float) -> NDArray[Any]:
    """Numbers in memory of their own; what is missing is ``nothing``."""
    whole = array.fill_null(pa.scalar(nothing, array.type)) if array.null_count else array
    found: NDArray[Any] = np.array(whole.to_numpy(zero_copy_only=False))
    return found


def _packed(values: NDArray[Any], kind: Any) -> Any:
    """Dense values as an Arrow array of their type."""
    flat = np.ascontiguousarray(values)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _packed(values, kind.storage_type))
    if pa.types.is_fixed_size_list(kind):
        return _LISTS.from_arrays(_packed(flat.reshape(-1), kind.value_type), type=kind)
    if pa.types.is_fixed_size_binary(kind):
        return pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [None, pa.py_buffer(flat.data)])
    if flat.dtype.kind in "mM":
        ticks = pa.array(flat.view(np.int64))
        narrow = pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else pa.int64()
        return ticks.cast(narrow).view(kind)
    return pa.array(flat).cast(kind)


def _one(column: Any) -> Any:
    """A column in one chunk."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [_none(column)])


def _none(column: Any) -> Any:
    return pa.array([], column.type)


def _is_instant(kind: Any) -> bool:
    return bool(pa.types.is_temporal(kind) and not pa.types.is_interval(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
