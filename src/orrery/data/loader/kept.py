"""Rows that were decoded once, kept as records for the epochs that follow: decoding costs more than all else.

They lie in a scratch file without a name, which is gone however the process ends, in slices with checksums.
A group is decoded as far as it is asked for, and no row of it twice. Groups for which there is no room are
decoded whenever they are read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.loader import records
from orrery.data.loader.columns import ROW_NUMBER, Layout, scatter
from orrery.data.loader.order import Piece
from orrery.data.loader.read import Cursor, Cursors, Parts
from orrery.data.loader.slices import Slices
from orrery.errors import SourceError

Decode = Callable[[int], Iterator[Any]]
"""The record batches of a group from a row on."""

Give = Callable[[Parts, int, int], None]
"""Takes the records of rows from ``start`` to ``end`` of a group."""

_SLICE_BYTES = 512 << 10  # stays in the processor's second cache
_DECODED_SLICES = 4  # turned to records together
_IN_MEMORY = ("tmpfs", "ramfs")


@dataclass
class _Group:
    """How far a group is decoded, and the slices of its rows: number of each, and where it ends."""

    done: int = 0
    slices: list[tuple[int, int]] = field(default_factory=list)
    lock: Any = field(default_factory=Lock)


class Kept:
    """Decoded groups of dense rows, at most so many bytes of them. Safe among threads."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._slices: Slices | None = None
        self._layout: Layout | None = None
        self._groups: dict[int, _Group] = {}
        self._room = 0
        self._cursors = Cursors()
        self._lock = Lock()

    def load(
        self, piece: Piece, rows: int, layout: Layout, out: Parts, places: NDArray[Any], decode: Decode
    ) -> bool:
        """Write a piece of a group of so many rows to places of ``out``; False where it cannot be kept.

        Row numbers are not written.
        """
        found = self._of(piece.group, rows, layout)
        if found is None:
            return False
        group, slices = found

        def give(records_of: Parts, start: int, end: int) -> None:
            low, high = max(start, piece.start), min(end, piece.stop)
            for key, own in records_of.items() if low < high else ():
                scatter(
                    out[key], places[low - piece.start : high - piece.start], own[low - start : high - start]
                )

        with group.lock:
            before = list(group.slices)
            if group.done < piece.stop and not self._go_on(group, slices, (piece, rows), decode, give):
                return False
        begin = 0
        for number, end in before:
            low, high = max(begin, piece.start), min(end, piece.stop)
            if low < high:
                data = records.read(slices, number, layout)
                to = places[low - piece.start : high - piece.start]
                records.unpack(data, layout, end - begin, (low - begin, high - begin), out, to)
            begin = end
        return True

    def _of(self, number: int, rows: int, layout: Layout) -> tuple[_Group, Slices] | None:
        """The group and the file that it is kept in; None where there is no room for it."""
        size = rows * sum(part.row_bytes for part in layout.dense if part.key != ROW_NUMBER)
        with self._lock:
            if self._slices is None:
                self._layout, self._room = layout, min(self.most_bytes, _room())
                self._slices = Slices(None, self._room)
            if layout is not self._layout:
                return None
            if number not in self._groups:
                if size > self._room:
                    return None
                self._room -= size
                self._groups[number] = _Group()
            return self._groups[number], self._slices

    def _go_on(
        self, group: _Group, slices: Slices, place: tuple[Piece, int], decode: Decode, give: Give
    ) -> bool:
        """Decode, give and keep as many rows as a piece needs, and what is decoded with them."""
        piece, rows = place
        cursor = self._cursors.pop(piece.group, group.done)
        cursor = cursor or Cursor(decode(group.done), group.done)
        try:
            while group.done < piece.stop:
                batch = next(cursor.batches, None)
                if batch is None:
                    raise SourceError("it ended before the number of rows that it told.")
                self._append(group, slices, pa.Table.from_batches([batch]), give)
        except _NoRoomError:
            cursor.close()
            with self._lock:
                self._room = 0  # what is kept stays; this group is decoded whenever it is read
                self._groups.pop(piece.group, None)
            return False
        except BaseException:
            cursor.close()
            raise
        if group.done < rows:
            cursor.at = group.done
            self._cursors.keep(piece.group, cursor)
        else:
            cursor.close()  # and with it the memory of what it read last
        return True

    def _append(self, group: _Group, slices: Slices, table: Any, give: Give) -> None:
        layout = self._layout
        assert layout is not None
        dense = [part for part in layout.dense if part.key != ROW_NUMBER]
        step = max(1, _SLICE_BYTES // max(layout.row_bytes, 1))
        for start in range(0, table.num_rows, step * _DECODED_SLICES):
            rows = table.slice(start, step * _DECODED_SLICES).select(layout.names)
            found = {part.key: np.empty(rows.num_rows, part.record) for part in dense}
            for part in dense:
                part.fill(found[part.key], np.arange(rows.num_rows), rows, 0)
            give(found, group.done, group.done + rows.num_rows)
            for low in range(0, rows.num_rows, step):
                count = min(step, rows.num_rows - low)
                try:
                    number = slices.append(records.packed(layout, found, None, low, count), count)
                except SourceError as error:
                    raise _NoRoomError from error
                group.done += count
                group.slices.append((number, group.done))

    def close(self) -> None:
        """Give up decoding that may go on; what is kept stays."""
        self._cursors.close()

    def drop(self) -> None:
        """Keep nothing. The file goes when no thread reads it any more."""
        self.close()
        with self._lock:
            self._slices = None
            self._groups.clear()


class _NoRoomError(Exception):
    """The disk is full."""


def _room() -> int:
    """Bytes that may be kept on the disk of temporary files: half of what is free; none in memory."""
    folder = tempfile.gettempdir()
    return 0 if _kind_of(Path(folder).resolve()) in _IN_MEMORY else shutil.disk_usage(folder).free // 2


def _kind_of(folder: Path) -> str:
    """The kind of file system that a folder lies on; nothing where the system does not tell."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = {line.split()[1]: line.split()[2] for line in lines if len(line.split()) > 2}
    found = [kind for place, kind in mounts.items() if os.path.commonpath([place, folder]) == place]
    places = [place for place in mounts if os.path.commonpath([place, folder]) == place]
    return found[max(range(len(places)), key=lambda i: len(places[i]))] if places else ""
