"""Encoded blocks beside each other: taking rows, and gathering chunks in memory or in a scratch file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from orrery.errors import FitError
from orrery.features.feature import Encoded, Output
from orrery.features.forms import Bag


@dataclass(frozen=True)
class Batch:
    """Some encoded rows. ``rows`` are their numbers in the feed; no ``weight`` means that all count alike."""

    blocks: dict[str, Encoded]
    target: NDArray[Any]
    weight: NDArray[np.float64] | None
    rows: NDArray[np.int64]
    size: int = 0
    """Rows of the whole batch, other workers' parts included."""
    total: float = 0.0
    """What those count together; never nothing."""


def rows_of(block: Encoded) -> int:
    """How many rows a block holds."""
    return len(block.offsets) - 1 if isinstance(block, Bag) else len(block)


def take_rows(block: Encoded, rows: NDArray[np.int64]) -> Encoded:
    """Some rows of a block, in the order asked for.

    >>> bag = Bag(np.array([0, 2, 3]), np.array([7, 8, 9], np.int32), np.ones(3, np.float32))
    >>> take_rows(bag, np.array([1, 0])).ids
    array([9, 7, 8], dtype=int32)
    """
    if not isinstance(block, Bag):
        return np.take(block, rows, axis=0)
    starts = block.offsets[rows]
    lengths = block.offsets[rows + 1] - starts
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
    return Bag(offsets, block.ids[places], block.weights[places])


class BlockStore:
    """Gathers encoded chunks into whole blocks.

    Up to ``memory_bytes`` they stay in memory; beyond, all go to one scratch file that has no name, so that
    nothing is left behind however the process ends.

    >>> store = BlockStore([Output(name="x", role="number")], memory_bytes=0)
    >>> store.append({"x": np.array([[1.0], [2.0]])})
    >>> store.append({"x": np.array([[3.0]])})
    >>> store.finish()["x"].tolist()
    [[1.0], [2.0], [3.0]]
    """

    def __init__(self, outputs: Sequence[Output], memory_bytes: int) -> None:
        self._names = [output.name for output in outputs]
        self._left = memory_bytes
        self._parts: dict[str, _Parts] = {}
        self._same: dict[str, str] = {}

    def append(self, blocks: Mapping[str, Encoded]) -> None:
        """One chunk of every block; a block that several groups share is kept once."""
        first = {id(blocks[name]): name for name in reversed(self._names)}
        self._same = {name: first[id(blocks[name])] for name in self._names}
        for name in first.values():
            block = blocks[name]
            if isinstance(block, Bag):
                self._add(f"{name}\0lengths", np.diff(block.offsets))
                self._add(f"{name}\0ids", block.ids)
                self._add(f"{name}\0weights", block.weights)
            else:
                self._add(name, block)
        if self._left < 0:
            for parts in self._parts.values():
                parts.spill()

    def _add(self, name: str, array: NDArray[Any]) -> None:
        self._parts.setdefault(name, _Parts()).chunks.append(array)
        self._left -= array.nbytes

    def finish(self) -> dict[str, Encoded]:
        """The whole blocks, read-only where they lie on disk."""
        whole: dict[str, Encoded] = {}
        for name in self._same:
            if name in self._parts:
                whole[name] = self._parts.pop(name).join()
            elif self._same[name] != name:
                whole[name] = whole[self._same[name]]
            else:
                lengths, ids, weights = (
                    self._parts.pop(f"{name}\0{part}").join() for part in ("lengths", "ids", "weights")
                )
                whole[name] = Bag(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), ids, weights)
        return whole


class _Parts:
    """Chunks of one array: a list, and what was already written to a file without a name."""

    def __init__(self) -> None:
        self.chunks: list[NDArray[Any]] = []
        self.file: IO[bytes] | None = None
        self.rows = 0

    def spill(self) -> None:
        if self.file is None:
            self.file = tempfile.TemporaryFile(prefix="orrery-feed-")  # noqa: SIM115 # closed once mapped
        try:
            for chunk in self.chunks:
                if chunk.size:
                    self.file.write(np.ascontiguousarray(chunk).data)
        except OSError as error:
            raise FitError(
                f"The encoded rows do not fit on the disk under {tempfile.gettempdir()}: {error}.",
                hint="Make room, or point TMPDIR to a larger disk.",
            ) from None
        self.rows += sum(map(len, self.chunks))
        self.chunks = [chunk[:0] for chunk in self.chunks[:1]]  # keeps shape and type

    def join(self) -> NDArray[Any]:
        if self.file is None:
            return self.chunks[0] if len(self.chunks) == 1 else np.concatenate(self.chunks)
        self.spill()
        self.file.flush()
        empty = self.chunks[0]
        shape = (self.rows, *empty.shape[1:])
        with self.file:
            if 0 in shape:
                return np.zeros(shape, empty.dtype)
            # A plain array over the map: pickled for other processes, it lies beside the rest.
            return np.memmap(self.file, empty.dtype, mode="r", shape=shape).view(np.ndarray)
