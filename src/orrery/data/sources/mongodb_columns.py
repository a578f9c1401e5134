"""Raw BSON to Arrow without a Python value in between: all documents of a batch at once, field by field.

The columns say which fields a document has, and in which order. At each field all documents that have it
there step over it together, as one NumPy operation on their places in the bytes; those that have not, lack
it. What is left over at the end, or is of another type, is not for this module: such documents are marked,
and decoded one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.sources.mongodb_bson import codec
from orrery.data.sources.mongodb_types import TIME, Column
from orrery.extras import require

Places = NDArray[np.int64]
Tree = Mapping[str, "Tree | Column | None"]
"""Fields in the order of the documents: below each a document, or a column; None is stepped over."""

MORE = bytes(8)
"""What has to follow the documents, so that a word can be read at any place in them."""

_DOUBLE, _STRING, _DOCUMENT, _BINARY, _ID, _BOOL, _DATE = 0x01, 0x02, 0x03, 0x05, 0x07, 0x08, 0x09
_NULL, _INT32, _INT64 = 0x0A, 0x10, 0x12
_DATES = range(-62_135_596_800_000, 253_402_300_800_000)  # of the years 1 to 9999, in milliseconds


def _table(entries: Mapping[int, int]) -> Places:
    table = np.full(256, -1, np.int64)
    table[list(entries)] = list(entries.values())
    return table


_FIXED = _table({_DOUBLE: 8, _ID: 12, _BOOL: 1, _DATE: 8, _NULL: 0, _INT32: 4, 0x11: 8, _INT64: 8, 0x13: 16})
_COUNTED = _table({_STRING: 4, _DOCUMENT: 0, 0x04: 0, _BINARY: 5})
"""Type of a value -> its bytes; or the bytes beside those that its length counts (bsonspec.org)."""

_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)
_LOW = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
"""Masks of the first n bytes of a word."""


def tree_of(columns: Sequence[Column]) -> Tree:
    """The fields of documents that have these columns; ``_id``, which always comes, at least stepped over."""
    tree: dict[str, Any] = {} if any(column.path[0] == "_id" for column in columns) else {"_id": None}
    for column in columns:
        at = tree
        for name in column.path[:-1]:
            at = at.setdefault(name, {})
        at[column.path[-1]] = column
    return tree


class Batch:
    """Documents that lie one after the other in some bytes; ``ok`` says which of them were understood.

    ``places`` is where each begins, and where the last ends; behind it are :data:`MORE` other bytes.
    """

    def __init__(self, raw: bytes, places: Sequence[int]) -> None:
        self.raw = raw
        self.rows = len(places) - 1
        self.ok = np.ones(self.rows, np.bool_)
        self.arrays: dict[str, Any] = {}
        self._ends = np.array(places, np.int64)
        self._bytes = np.frombuffer(self.raw, np.uint8)

    def read(self, tree: Tree) -> None:
        """Make the arrays of all columns of a tree. Raises what Arrow and bson raise for broken values."""
        self._document(tree, np.arange(self.rows), self._ends[:-1] + 4, self._ends[1:])

    def _at(self, places: Places, kind: str) -> NDArray[Any]:
        """The numbers of a kind that begin at some places."""
        size = np.dtype(kind).itemsize
        every: NDArray[Any] = np.ndarray((len(self.raw) - size + 1,), kind, self.raw, strides=(1,))
        found: NDArray[Any] = every[places]
        return found

    def _document(self, tree: Tree, rows: Places, at: Places, ends: Places) -> None:
        """All fields of documents; ``ends`` is behind the zero that ends each."""
        for name, below in tree.items():
            at = self._field(name.encode() + b"\0", below, rows, at, ends)
        done = (at == ends - 1) & (self._bytes[ends - 1] == 0)
        self.ok[rows[~done]] = False  # of the others, fields are left: not in the tree, or in another order

    def _field(self, key: bytes, below: Any, rows: Places, at: Places, ends: Places) -> Places:
        """Step over one field where it comes next; where it does not, it is missing."""
        there = np.flatnonzero(self._has(key, at, ends))
        kinds, start = self._bytes[at[there]], at[there] + 1 + len(key)
        sizes = self._sizes(kinds, start)
        broken = (sizes < 0) | (start + sizes >= ends[there])
        if broken.any():
            self.ok[rows[there[broken]]] = False
            kept = ~broken
            there, kinds, start, sizes = there[kept], kinds[kept], start[kept], sizes[kept]
        after = at.copy()
        after[there] = start + sizes
        owners = rows[there]
        if isinstance(below, Mapping):
            inner = kinds == _DOCUMENT
            self.ok[owners[~inner & (kinds != _NULL)]] = False
            self._document(below, owners[inner], start[inner] + 4, (start + sizes)[inner])
        elif below is not None:
            filled = kinds != _NULL
            if not filled.all():
                owners, kinds, start, sizes = owners[filled], kinds[filled], start[filled], sizes[filled]
            self.arrays[below.name] = self._array(below, owners, kinds, start, sizes)
        return after

    def _has(self, key: bytes, at: Places, ends: Places) -> NDArray[np.bool_]:
        """Whether the next field has this name, zero at its end included; compared eight bytes at a time."""
        found = at < ends - 1 - len(key)
        places = np.where(found, at + 1, 0)
        for start in range(0, len(key), 8):
            part = key[start : start + 8]
            reach = np.minimum(places + start, len(self.raw) - 8)
            word = self._at(reach, "<u8") & _LOW[len(part)] if len(part) < 8 else self._at(reach, "<u8")
            found &= word == np.uint64(int.from_bytes(part, "little"))
        return found

    def _sizes(self, kinds: NDArray[np.uint8], start: Places) -> Places:
        """Bytes of each value; negative where that cannot be told."""
        sizes = _FIXED[kinds]
        counted = np.flatnonzero(_COUNTED[kinds] >= 0)
        if len(counted):
            said = self._at(start[counted], "<i4").astype(np.int64)
            sizes[counted] = np.where(said >= 0, said + _COUNTED[kinds[counted]], -1)
        return sizes

    def _array(
        self, column: Column, rows: Places, kinds: NDArray[np.uint8], start: Places, sizes: Places
    ) -> Any:
        """A column's array for all documents, null where ``rows`` are not; odd values are marked."""
        if column.sort in ("int", "double"):
            return self._numbers(column, rows, kinds, start)
        if column.sort in ("text", "bytes"):
            return self._texts(column, rows, kinds, start, sizes)
        if column.sort == "time":
            values = self._at(start, "<i8")
            self._mark(rows, (kinds == _DATE) & (values >= _DATES.start) & (values < _DATES.stop))
            return self._spread(rows, values, pa.int64()).cast(TIME)
        if column.sort == "bool":
            self._mark(rows, kinds == _BOOL)
            return self._spread(rows, self._bytes[start] == 1, pa.bool_())
        if column.sort == "oid":
            return self._ids(rows, kinds, start)
        return self._others(column, rows, kinds, start, sizes)

    def _mark(self, rows: Places, good: NDArray[np.bool_]) -> None:
        self.ok[rows[~good]] = False

    def _spread(self, rows: Places, values: NDArray[Any], kind: Any) -> Any:
        """Values of some rows as an array of all."""
        if len(rows) == self.rows:
            return pa.array(values, kind)
        everything = np.zeros(self.rows, values.dtype)
        everything[rows] = values
        missing = np.ones(self.rows, np.bool_)
        missing[rows] = False
        return pa.array(everything, kind, mask=missing)

    def _numbers(self, column: Column, rows: Places, kinds: NDArray[np.uint8], start: Places) -> Any:
        """Whole numbers and doubles, where nothing of their value is lost."""
        kind: Any = np.int64 if column.sort == "int" else np.float64
        values = np.zeros(len(rows), kind)
        good = np.zeros(len(rows), np.bool_)
        for code, stored in ((_INT32, "<i4"), (_INT64, "<i8"), (_DOUBLE, "<f8")):
            mine = np.flatnonzero(kinds == code)
            if len(mine):
                found = self._at(start[mine], stored)
                with np.errstate(invalid="ignore"):
                    values[mine] = found.astype(kind)
                good[mine] = _exact(found, kind)
        self._mark(rows, good)
        return self._spread(rows, values, pa.from_numpy_dtype(kind))

    def _texts(
        self, column: Column, rows: Places, kinds: NDArray[np.uint8], start: Places, sizes: Places
    ) -> Any:
        """Strings and bytes, as views of the bytes here; Arrow copies them, and checks UTF-8."""
        if column.sort == "text":
            begin, lengths = start + 4, sizes - 5
            good = (kinds == _STRING) & (lengths >= 0)
            good &= self._bytes[np.where(good, begin + lengths, 0)] == 0
        else:
            begin, lengths = start + 5, sizes - 5
            good = (kinds == _BINARY) & (self._bytes[start + 4] != 2) & (self._bytes[start + 4] != 4)
        self._mark(rows, good)
        begin, lengths = np.where(good, begin, 0), np.where(good, lengths, 0)
        short = lengths <= 12
        word = self._at(begin, "<u8") & _LOW[np.minimum(lengths, 8)]
        rest = self._at(np.minimum(begin + 8, len(self.raw) - 8), "<u8") & _LOW[np.clip(lengths - 8, 0, 4)]
        views = np.zeros((self.rows, 4), "<u4")  # Arrow's columnar format, "Variable-size Binary View Layout"
        views[rows, 0] = lengths
        views[rows, 1] = word & _LOW[4]
        views[rows, 2] = np.where(short, word >> np.uint64(32), 0)
        views[rows, 3] = np.where(short, rest, begin)
        return self._made(pa.binary_view(), rows[good], views, self.raw).cast(column.type)

    def _made(self, kind: Any, rows: Places, *buffers: Any) -> Any:
        """An array from its buffers, null but for some rows."""
        valid = np.zeros(self.rows, np.bool_)
        valid[rows] = True
        bits: Any = np.packbits(valid, bitorder="little")
        return pa.Array.from_buffers(kind, self.rows, [pa.py_buffer(b) for b in (bits, *buffers)])

    def _ids(self, rows: Places, kinds: NDArray[np.uint8], start: Places) -> Any:
        """ObjectIds in hexadecimal."""
        self._mark(rows, kinds == _ID)
        digits = np.zeros((self.rows, 12), np.uint16)
        reach = np.minimum(start, len(self.raw) - 12)[:, None] + np.arange(12)
        digits[rows] = _HEX[self._bytes[reach]]
        return self._made(pa.string(), rows, np.arange(self.rows + 1, dtype=np.int32) * 24, digits)

    def _others(
        self, column: Column, rows: Places, kinds: NDArray[np.uint8], start: Places, sizes: Places
    ) -> Any:
        """Lists, structs, decimals …: each value in a document of its own, decoded by bson."""
        spans = zip(kinds.tolist(), start.tolist(), (start + sizes).tolist(), strict=True)
        alone = [
            (end - begin + 8).to_bytes(4, "little") + bytes((kind,)) + b"v\0" + self.raw[begin:end] + b"\0"
            for kind, begin, end in spans
        ]
        values: list[Any] = [None] * self.rows
        for row, found in zip(
            rows.tolist(),
            require("bson", "Reading MongoDB").decode_all(b"".join(alone), codec()),
            strict=True,
        ):
            values[row] = found["v"]
        array, wrong = column.array(values)
        self.ok[wrong] = False
        return array


def _exact(found: NDArray[Any], kind: Any) -> NDArray[np.bool_]:
    """Where a number is the same in another type."""
    if found.dtype.kind == "f" and kind is np.int64:
        with np.errstate(invalid="ignore"):
            whole: NDArray[np.bool_] = (np.abs(found) < 2.0**63) & (found == np.trunc(found))
        return whole
    if found.dtype == np.int64 and kind is np.float64:
        near = found.astype(np.float64)
        safe = np.abs(near) < 2.0**63
        same: NDArray[np.bool_] = safe & (np.where(safe, near, 0).astype(np.int64) == found)
        return same
    return np.ones(len(found), np.bool_)
