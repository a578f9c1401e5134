"""Parquet's row groups, read by threads of ours: the fast path, on this machine and on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from orrery.data import files
from orrery.data.loader import records
from orrery.data.loader.columns import CHUNK_ROWS, Layout
from orrery.data.loader.kept import Kept
from orrery.data.loader.order import Piece
from orrery.data.loader.plain import Plain
from orrery.data.loader.read import Cursor, Cursors, Parts, fill, starts
from orrery.data.sources.parquet import Parquet
from orrery.errors import SourceError

_MOST_OPEN = 32
_STEP_BYTES, _LEAST_STEP, _MOST_STEP = 3 << 20, 64, 1 << 16
"""Of rows that are read at a time: bytes about, rows at least and at most."""
_WHOLE_BYTES = 16 << 20
"""A row group that has no more is read at once: decoders are then called least."""
_RAGGED_ROWS = 1000
_DICTIONARIES = 4  # times that rows may be larger than the pages that they are decoded from


class ParquetGroups:
    """The row groups of one file or many.

    Counts are those of the footers; each file is looked at again whenever it is read: one that changed is an
    error.
    """

    def __init__(self, source: Parquet, keep_bytes: int = 0) -> None:
        self.source = source
        self.paths = source.paths
        self._versions = source.versions()
        self._footers = [source._footer(path, self._versions[path]) for path in self.paths]
        self.places = [(f, g) for f, footer in enumerate(self._footers) for g in range(footer.num_row_groups)]
        self.rows = tuple(self._footers[f].row_group(g).num_rows for f, g in self.places)
        self.origin = np.arange(len(self.places))
        self._plain = Plain(
            [files.local(p) if files.is_local(p) else None for p in self.paths], self._footers
        )
        self._kept = Kept(keep_bytes)
        self._cursors = Cursors()
        self._idle: list[tuple[int, Any, Any]] = []
        self._lock = Lock()

    @cached_property
    def again(self) -> bool:
        """Whether there is room to keep what is decoded, or nothing needs a decoder."""
        groups = [footer.row_group(g) for footer in self._footers for g in range(footer.num_row_groups)]
        if _DICTIONARIES * sum(group.total_byte_size for group in groups) <= self._kept.most_bytes:
            return True
        firsts = [footer.row_group(0) for footer in self._footers if footer.num_row_groups]
        codecs = {group.column(i).compression for group in firsts for i in range(group.num_columns)}
        return all(map(files.is_local, self.paths)) and codecs <= {"UNCOMPRESSED"}

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The number of each group's first row."""
        return starts(self.rows)

    def missing(self, names: Sequence[str]) -> set[str]:
        """The columns of which a value may be missing, as the footers tell."""
        found: set[str] = set()
        for footer in self._footers:
            for i in range(footer.num_columns):
                name = _name(footer, i)
                if name in names and name not in found and footer.schema.column(i).max_definition_level:
                    groups = (footer.row_group(g) for g in range(footer.num_row_groups))
                    if any(_may_miss(group.column(i)) for group in groups if group.num_rows):
                        found.add(name)
        return found

    def load(self, piece: Piece, layout: Layout, out: Parts, places: NDArray[Any]) -> Any:
        """As every ``Groups`` does. Raises SourceError that names file and row group."""
        file, group = self.places[piece.group]
        path = self.paths[file]
        with self._telling(path, group):
            self._unchanged(path)
            first, done, rest = int(self.starts[piece.group]) + piece.start, 0, []
            span = (piece.start, piece.stop)
            if self._plain.load((file, group), span, layout, out, places, first) or self._load_kept(
                piece, layout, out, places, first
            ):
                self._unchanged(path)
                return None
            for batch in self._batches(piece, layout.names):
                table = pa.Table.from_batches([batch]).select(layout.names)
                to = places[done : done + batch.num_rows]
                rest.append(fill(table, layout, out, to, first + done))
                done += batch.num_rows
            self._unchanged(path)
        return pa.concat_tables(rest) if rest and layout.ragged else None

    def _load_kept(self, piece: Piece, layout: Layout, out: Parts, places: NDArray[Any], first: int) -> bool:
        """The same from rows that were decoded before, or are now, for the next time as well."""
        if layout.ragged:
            return False

        def decode(start: int) -> Iterator[Any]:
            return self._stream(*self.places[piece.group], layout.names, start)

        if not self._kept.load(piece, self.rows[piece.group], layout, out, places, decode):
            return False
        records.number(layout, out, places, first)
        return True

    def _batches(self, piece: Piece, names: Sequence[str]) -> Iterator[Any]:
        """A piece, a little at a time: it stays in the processor's cache until it is where it goes."""
        cursor = self._cursors.pop(piece.group, piece.start)
        if cursor is None:
            cursor = Cursor(self._stream(*self.places[piece.group], names, piece.start), piece.start)
        try:
            yield from cursor.take(piece.rows, "The row group")
        except BaseException:
            cursor.close()
            raise
        if cursor.at < self.rows[piece.group] and 2 * piece.rows <= self.rows[piece.group]:
            self._cursors.keep(piece.group, cursor)  # it is read in many parts, this one after that
        else:
            cursor.close()

    def _stream(self, file: int, group: int, names: Sequence[str], start: int) -> Iterator[Any]:
        found = self._footers[file].row_group(group)
        row_bytes = found.total_byte_size / max(found.num_rows, 1)
        step = int(min(max(_STEP_BYTES / max(row_bytes, 1), _LEAST_STEP), _MOST_STEP))
        step -= step % CHUNK_ROWS if step > CHUNK_ROWS else 0  # no short blocks
        if not start and found.total_byte_size <= _WHOLE_BYTES:
            step = max(found.num_rows, 1)
        with self._opened(file) as reader:
            for batch in reader.iter_batches(step, [group], list(names), use_threads=False):
                if start < batch.num_rows:
                    yield batch.slice(start)
                start = max(0, start - batch.num_rows)

    @contextmanager
    def _opened(self, file: int) -> Iterator[Any]:
        """A reader that no other thread uses."""
        with self._lock:
            at = next((i for i, idle in enumerate(self._idle) if idle[0] == file), None)
            held = self._idle.pop(at) if at is not None else None
        held = held or (file, *self._open(file))
        try:
            yield held[1]
        except Exception:
            held[2].close()
            raise
        except GeneratorExit:  # as much was read as was wanted
            self._keep(held)
            raise
        self._keep(held)

    def _keep(self, held: tuple[int, Any, Any]) -> None:
        with self._lock:
            self._idle.append(held)
            surplus = self._idle.pop(0) if len(self._idle) > _MOST_OPEN else None
        if surplus is not None:
            surplus[2].close()

    def _open(self, file: int) -> tuple[Any, Any]:
        path, footer = self.paths[file], self._footers[file]
        if files.is_local(path):
            handle: Any = pa.OSFile(str(files.local(path)), "rb")
            return _reader(handle, footer), handle
        opened = files.opened(path, ranges=True, version=self._versions[path])
        handle = _Remote(opened, opened.__enter__())
        return _reader(handle.file, footer, far=True), handle

    def ragged_bytes(self, names: Sequence[str]) -> float:
        """From the footers, and from the first rows: dictionaries make a file smaller than its rows."""
        most = 0.0
        for footer in self._footers:
            chosen = [i for i in range(footer.num_columns) if _name(footer, i) in names]
            for group in map(footer.row_group, range(footer.num_row_groups)):
                size = sum(group.column(i).total_uncompressed_size for i in chosen)
                most = max(most, size / max(group.num_rows, 1))
        first = next((i for i, rows in enumerate(self.rows) if rows), None)
        if first is None:
            return most
        file, group = self.places[first]
        with self._telling(self.paths[file], group), self._opened(file) as reader:
            table = next(iter(reader.iter_batches(_RAGGED_ROWS, [group], list(names), use_threads=False)))
        return max(most, float(table.nbytes / table.num_rows))

    def close(self) -> None:
        """Close every file; what was decoded stays until ``drop``."""
        self._cursors.close()
        self._kept.close()
        self._plain.close()
        with self._lock:
            idle, self._idle = self._idle, []
        for _, _, handle in idle:
            handle.close()

    def drop(self) -> None:
        """Keep no decoded rows."""
        self._kept.drop()

    def _unchanged(self, path: str) -> None:
        """Looks at a file of this machine; one elsewhere is looked at whenever it is opened."""
        if files.is_local(path):
            files.unchanged(path, self._versions[path], files.state(path))

    @contextmanager
    def _telling(self, path: str, group: int) -> Iterator[None]:
        """What goes wrong becomes SourceError with the place."""
        file = files.shown(path)
        place = f"{file}, row group {group}"
        try:
            with files.reading(path):
                yield
        except SourceError as error:
            said = (
                error.message.removeprefix(file) if error.message.startswith(file) else f": {error.message}"
            )
            raise SourceError(f"{place}{said}", hint=error.hint) from None
        except (pa.ArrowException, ValueError, KeyError) as error:
            raise SourceError(f"{place} cannot be read: {error}", hint="Is it cut short?") from None


class _Remote:
    """A file on another machine, until it is closed."""

    def __init__(self, context: Any, file: Any) -> None:
        self.file = file
        self._context = context

    def close(self) -> None:
        with suppress(Exception):  # the connection may be gone already
            self._context.__exit__(None, None, None)


def _reader(file: Any, footer: Any, *, far: bool = False) -> Any:
    """Which checks the checksums of pages, where the file has them."""
    return pq.ParquetFile(file, metadata=footer, pre_buffer=far, page_checksum_verification=True)


def _name(footer: Any, leaf: int) -> str:
    """The column that a leaf of the file's schema belongs to."""
    return str(footer.schema.column(leaf).path).split(".")[0]


def _may_miss(chunk: Any) -> bool:
    known = chunk.statistics
    return known is None or not known.has_null_count or known.null_count > 0
