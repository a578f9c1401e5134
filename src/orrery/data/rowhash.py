"""A hash of each row, the same whatever the order, the cut, the process or the engine.

Equal values hash equally even where their types differ in width: ``3`` as int32, int64 or double; a date
and its midnight; a dictionary and its values. A missing number and NaN are one, so are 0.0 and -0.0. The
order of columns does not matter, their names do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from orrery.aggregate import RecordBatch
from orrery.errors import UnknownColumnError
from orrery.schema import Schema

Hashes = NDArray[np.uint64]

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_SHORT = 64  # bytes; longer values go through BLAKE2, whose cost per call no longer matters then
_POWERS = np.cumprod(np.full(_SHORT, 0x9FB21C651E98DF25, np.uint64), dtype=np.uint64)  # odd: never vanish


def _mix(words: Hashes) -> Hashes:
    """SplitMix64's finisher: every bit of the input changes every bit of the output (Steele et al. 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


_BYTES = _mix(np.arange(1, 257, dtype=np.uint64) * _MISSING)  # one random word per byte


def row_hashes(batch: RecordBatch, columns: Sequence[str] | None = None, seed: int = 0) -> Hashes:
    """One hash per row [n], from all columns or from some.

    >>> batch = pa.record_batch({"a": [1, 2], "b": ["x", None]})
    >>> swapped = pa.record_batch({"b": ["x", None], "a": [1.0, 2.0]})
    >>> bool((row_hashes(batch) == row_hashes(swapped)).all())
    True
    """
    names = list(batch.schema.names) if columns is None else list(columns)
    total = np.zeros(batch.num_rows, np.uint64)
    for name in names:
        index = batch.schema.get_field_index(name)
        if index < 0:
            raise UnknownColumnError(name, batch.schema.names)
        total += _mix(column_hashes(batch.column(index)) ^ np.uint64(text_hash(name)))
    return _mix(total ^ _mix(np.array([seed & (2**64 - 1)], np.uint64)))


class RowsHash:
    """A hash of rows in their order, whatever the batches they come in; for fingerprints."""

    def __init__(self, schema: Schema) -> None:
        self._seen = hashlib.sha256(repr([(f.name, f.type) for f in schema.fields]).encode())

    def add(self, batch: RecordBatch) -> None:
        """Take in the next rows."""
        self._seen.update(row_hashes(batch).astype("<u8", copy=False).tobytes())

    def key(self) -> str:
        """Twenty hexadecimal digits."""
        return self._seen.hexdigest()[:20]


def column_hashes(column: Any) -> Hashes:
    """One hash per value [n] of an Arrow array."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    hashes = _present_hashes(column)
    if column.null_count:
        hashes = np.where(column.is_null().to_numpy(zero_copy_only=False), _MISSING, hashes)
    return hashes


def text_hash(text: str) -> int:
    """The hash of one string, 64 bits."""
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def _present_hashes(column: Any) -> Hashes:
    """Hashes by type; what stands at missing places is of no matter."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _present_hashes(column.storage)
    if pa.types.is_null(kind):
        return np.full(len(column), _MISSING)
    if pa.types.is_dictionary(kind):
        return _dictionary(column)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return _integers(column)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _floats(column)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return _integers(_microseconds(column))
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(column)
    if pa.types.is_map(kind):
        return _lists(column.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))))
    if pa.types.is_struct(kind):
        return _structs(column)
    return _byte_strings(column)


def _integers(column: Any) -> Hashes:
    kind = column.type
    wide = column.cast(pa.uint64() if pa.types.is_uint64(kind) else pa.int64())
    return _mix(wide.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64))


def _floats(column: Any) -> Hashes:
    values = column.cast(pa.float64(), safe=False).fill_null(0.0).to_numpy(zero_copy_only=False)
    whole = (np.abs(values) < 2.0**63) & (values == np.floor(values))
    integers = np.where(whole, values, 0.0).astype(np.int64).view(np.uint64)
    words = np.where(whole, integers, values.view(np.uint64))
    return np.where(np.isnan(values), _MISSING, _mix(words))


def _microseconds(column: Any) -> Any:
    kind = column.type
    if pa.types.is_time(kind):
        return column.cast(pa.time64("us"), safe=False).cast(pa.int64())
    if pa.types.is_duration(kind):
        return column.cast(pa.duration("us"), safe=False).cast(pa.int64())
    return column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())


def _dictionary(column: Any) -> Hashes:
    if len(column.dictionary) == 0:
        return np.full(len(column), _MISSING)
    codes = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(column_hashes(column.dictionary)[codes], np.uint64)


def _structs(column: Any) -> Hashes:
    total = np.zeros(len(column), np.uint64)
    for field, child in zip(column.type, column.flatten(), strict=True):
        total += _mix(column_hashes(child) ^ np.uint64(text_hash(field.name)))
    return _mix(total)


def _lists(column: Any) -> Hashes:
    """Sum of the items' hashes, each mixed with its place in the list, and of the length."""
    lengths = np.asarray(pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    items = column_hashes(pc.list_flatten(column))
    ends = np.cumsum(lengths)
    places = np.arange(len(items), dtype=np.int64) - np.repeat(ends - lengths, lengths)
    return _mix(
        _sums(_mix(items + _mix(places.astype(np.uint64))), ends, lengths) + lengths.astype(np.uint64)
    )


def _sums(words: Hashes, ends: NDArray[np.int64], lengths: NDArray[np.int64]) -> Hashes:
    """Sums of runs of words, modulo 2**64, where a difference of running sums is exact."""
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words, dtype=np.uint64)])
    return np.asarray(running[ends] - running[ends - lengths], np.uint64)


def _byte_strings(column: Any) -> Hashes:
    column = column.cast(pa.large_binary())
    lengths = np.asarray(pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    hashes = np.zeros(len(column), np.uint64)
    for i in np.flatnonzero(lengths > _SHORT):
        value = hashlib.blake2b(column[int(i)].as_buffer(), digest_size=8).digest()
        hashes[i] = int.from_bytes(value, "little")
    short = np.flatnonzero(lengths <= _SHORT)
    step = 1 << 18  # rows at a time: the words of their bytes take at most 128 MiB
    for start in range(0, len(short), step):
        part = short[start : start + step]
        hashes[part] = _short_strings(column.take(pa.array(part)), lengths[part])
    return hashes


def _short_strings(column: Any, lengths: NDArray[np.int64]) -> Hashes:
    """A polynomial over a random word per byte, modulo 2**64."""
    column = column.fill_null(b"")
    _, offsets, data = column.buffers()
    if data is None:
        return _mix(lengths.astype(np.uint64))
    bounds = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    flat = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]]
    ends = bounds[1:] - bounds[0]
    places = np.arange(len(flat), dtype=np.int64) - np.repeat(ends - lengths, lengths)
    return _mix(_sums(_BYTES[flat] * _POWERS[places], ends, lengths) + lengths.astype(np.uint64))
