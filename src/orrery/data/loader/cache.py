"""Rows written once and read in any order: as Arrow (a spill), or as the loader holds them (a cache).

A spill takes what a query or steps give, when nobody knows how many rows that is. It lies in a file without a
name. A cache lies where the user said, is found again by the next process, and holds dense rows as records of
bytes: nothing is left to do but to read. Both are cut into small slices, so that all rows are mixed with all:
E is close to R. Every slice has a checksum; a cache appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.loader import records
from orrery.data.loader.columns import Layout
from orrery.data.loader.order import Piece
from orrery.data.loader.read import Groups, Parts, fill, slice_rows, starts
from orrery.data.loader.slices import Slices
from orrery.data.passes import in_order

_SPILL_ROWS = 4096
_SPILL_BYTES = 1 << 20
_CHUNK_BYTES = 32 << 20


class Spill:
    """Groups of rows as Arrow, in a file without a name."""

    again = True

    def __init__(self, schema: Any, most_bytes: int) -> None:
        self.schema = schema
        self.missing: set[str] = set()
        """Columns of which some value is missing."""
        self._slices = Slices(None, most_bytes)

    @classmethod
    def of(cls, batches: Iterator[Any], schema: Any, most_bytes: int) -> Spill:
        """All rows of a stream, once."""
        made = cls(schema, most_bytes)
        for batch in batches:
            step = max(1, min(_SPILL_ROWS, int(_SPILL_BYTES * batch.num_rows / max(batch.nbytes, 1))))
            for start in range(0, batch.num_rows, step):
                made._append(batch.slice(start, step))
        return made

    def _append(self, batch: Any) -> None:
        own = pa.Table.from_batches([batch]).cast(self.schema).combine_chunks().to_batches()[0]
        self.missing |= {n for n, c in zip(self.schema.names, own.columns, strict=True) if c.null_count}
        self._slices.append(memoryview(own.serialize()), own.num_rows)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Of each slice."""
        return tuple(self._slices.rows)

    @cached_property
    def origin(self) -> NDArray[np.int64]:
        """Each slice is its own group."""
        return np.arange(len(self.rows))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return starts(self.rows)

    def load(self, piece: Piece, layout: Layout, out: Parts, places: NDArray[Any]) -> Any:
        """As every ``Groups`` does."""
        data = pa.py_buffer(self._slices.read(piece.group))
        batch = pa.ipc.read_record_batch(data, self.schema).slice(piece.start, piece.rows)
        table = pa.Table.from_batches([batch]).select(layout.names)
        return fill(table, layout, out, places, int(self._starts[piece.group]) + piece.start)

    def ragged_bytes(self, names: Sequence[str]) -> float:
        """As they are written, all columns together."""
        return self._slices.size_bytes / max(sum(self.rows), 1)

    def close(self) -> None:
        """The file stays open: it has no name by which to find it again."""

    def drop(self) -> None:
        """Nothing can be made again."""


class Cache:
    """Groups of rows as the loader holds them, in a folder."""

    again = True

    def __init__(self, folder: Path, slices: Slices, origin: NDArray[np.int64], ragged_bytes: float) -> None:
        self.folder = folder
        self.rows = tuple(slices.rows)
        self.origin = origin
        self._slices = slices
        self._ragged_bytes = ragged_bytes
        self._starts = starts(self.rows)

    @classmethod
    def of(cls, folder: Path, groups: Groups, layout: Layout, most_bytes: int, threads: int) -> Cache:
        """The cache in a folder; written now if it is not there. Processes that want the same one wait."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_suffix(".lock")):
            if not (folder / "index.arrow").exists():
                fresh = folder.with_suffix(".new")
                shutil.rmtree(fresh, ignore_errors=True)
                fresh.mkdir()
                try:
                    _write(fresh, groups, layout, most_bytes, threads)
                    fresh.rename(folder)
                except BaseException:
                    shutil.rmtree(fresh, ignore_errors=True)
                    raise
        return cls.opened(folder)

    @classmethod
    def opened(cls, folder: Path) -> Cache:
        """A cache that is there."""
        with pa.ipc.open_file(str(folder / "index.arrow")) as file:
            index = file.read_all()
        told = json.loads(index.schema.metadata[b"orrery.cache"])
        slices = Slices.opened(folder / "rows.bin", index)
        return cls(folder, slices, index.column("origin").to_numpy(), float(told["ragged_bytes"]))

    def load(self, piece: Piece, layout: Layout, out: Parts, places: NDArray[Any]) -> Any:
        """As every ``Groups`` does."""
        data = records.read(self._slices, piece.group, layout)
        at = records.unpack(data, layout, self.rows[piece.group], (piece.start, piece.stop), out, places)
        records.number(layout, out, places, int(self._starts[piece.group]) + piece.start)
        if not layout.ragged:
            return None
        schema = pa.schema([layout.schema.field(name) for name in layout.ragged])
        batch = pa.ipc.read_record_batch(pa.py_buffer(data)[at:], schema)
        return pa.Table.from_batches([batch.slice(piece.start, piece.rows)])

    def ragged_bytes(self, names: Sequence[str]) -> float:
        """As was found when it was written."""
        return self._ragged_bytes

    def close(self) -> None:
        """Close the file; it is opened again when it is read."""
        self._slices.close()

    def drop(self) -> None:
        """Nothing is kept beside the file."""


def _write(folder: Path, groups: Groups, layout: Layout, most_bytes: int, threads: int) -> None:
    slices = Slices(folder / "rows.bin", most_bytes)
    ragged = groups.ragged_bytes(layout.ragged) if layout.ragged else 0.0
    step = slice_rows(sum(groups.rows), (layout.row_bytes + ragged) * sum(groups.rows))
    most = max(step, int(_CHUNK_BYTES // max(layout.row_bytes + ragged, 1)))
    pieces = [
        Piece(group, start, min(start + most, rows))
        for group, rows in enumerate(groups.rows)
        for start in range(0, rows, most)
    ]

    def taken(piece: Piece) -> tuple[Piece, dict[str, NDArray[Any]], Any]:
        parts = {part.key: np.empty(piece.rows, part.record) for part in layout.dense}
        rest = groups.load(piece, layout, parts, np.arange(piece.rows))
        return piece, parts, rest

    origin: list[int] = []
    try:
        for piece, parts, rest in in_order(taken, pieces, threads):
            for start in range(0, piece.rows, step):
                rows = min(step, piece.rows - start)
                slices.append(records.packed(layout, parts, rest, start, rows), rows)
                origin.append(int(groups.origin[piece.group]))
        slices.sync()
    finally:
        slices.close()
        groups.close()
    index = slices.index().append_column("origin", pa.array(origin, pa.int64()))
    told = {"ragged_bytes": ragged, "columns": layout.names}
    index = index.replace_schema_metadata({"orrery.cache": json.dumps(told)})
    (folder / "rows.bin").touch()
    with pa.OSFile(str(folder / "index.arrow"), "wb") as out, pa.ipc.new_file(out, index.schema) as file:
        file.write_table(index)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
