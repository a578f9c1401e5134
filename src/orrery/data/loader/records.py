"""Rows as records of bytes in a slice: those of each dense part together, then the other columns as Arrow."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.data.loader.columns import ROW_NUMBER, Layout, Scratch, scatter
from orrery.data.loader.read import Parts
from orrery.data.loader.slices import Slices


class _Own(threading.local):
    """Of each thread."""

    def __init__(self) -> None:
        self.slice = Scratch()


_own = _Own()


def packed(layout: Layout, parts: Parts, rest: Any, start: int, rows: int) -> bytes:
    """The bytes of some rows of ``parts`` and of ``rest``, a table."""
    pieces = [parts[p.key][start : start + rows].tobytes() for p in layout.dense if p.key != ROW_NUMBER]
    if rest is not None:
        own = rest.slice(start, rows).combine_chunks().to_batches()[0]
        pieces.append(own.serialize().to_pybytes())
    return b"".join(pieces)


def read(slices: Slices, number: int, layout: Layout) -> memoryview:
    """A slice, checked; good until this thread reads the next, where all columns are dense."""
    return slices.read(number, None if layout.ragged else _own.slice)


def unpack(
    data: memoryview,
    layout: Layout,
    rows: int,
    span: tuple[int, int],
    out: Parts,
    places: NDArray[Any],
) -> int:
    """Write rows ``span`` of a slice of so many to places of ``out``; where the other columns begin."""
    at = 0
    for part in layout.dense:
        if part.key != ROW_NUMBER:
            found = np.frombuffer(data, part.record, rows, at)
            scatter(out[part.key], places, found[span[0] : span[1]])
            at += rows * part.row_bytes
    return at


def number(layout: Layout, out: Parts, places: NDArray[Any], first: int) -> None:
    """Write the numbers of rows, from ``first`` on, where they are asked for."""
    for part in layout.dense:
        if part.key == ROW_NUMBER:
            part.number(out[part.key], places, first)
