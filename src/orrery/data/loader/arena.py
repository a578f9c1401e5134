"""The rows that wait: each takes one slot from when it is read until it is handed out.

Slots are numbered; a free one is as good as another. So the arena holds only rows not yet delivered, however
they are mixed, and its size in bytes is what the user said.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orrery.data.loader.columns import Dense

Slots = NDArray[np.int32]
NOWHERE = -1
"""The place of a row that nobody wants: it is not written."""


class Arena:
    """Slots for rows of dense columns. Whoever calls ``take`` and ``give`` holds a lock.

    >>> arena = Arena((), 4)
    >>> arena.take(5) is None, arena.take(3).tolist(), arena.free
    (True, [0, 1, 2], 1)
    """

    def __init__(self, dense: Sequence[Dense], rows: int) -> None:
        self.rows = rows
        self.parts = {part.key: np.empty(rows, part.record) for part in dense}
        self._free = np.arange(rows, dtype=np.int32)[::-1].copy()
        self.free = rows

    def take(self, rows: int) -> Slots | None:
        """Slots to write to, or None as long as too few are free."""
        if rows > self.free:
            return None
        self.free -= rows
        return self._free[self.free : self.free + rows][::-1].copy()

    def give(self, slots: Slots) -> None:
        """Slots that were read, and may be written again."""
        self._free[self.free : self.free + len(slots)] = slots
        self.free += len(slots)

    def clear(self) -> None:
        """All slots are free; what was written counts no more."""
        self._free[:] = np.arange(self.rows, dtype=np.int32)[::-1]
        self.free = self.rows


class Buffers:
    """Memory for batches, used again once nobody holds a batch of it. First touch costs more than decoding.

    Bounded: at most ``most_bytes`` are kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: list[NDArray[np.uint8]] = []

    def get(self, size_bytes: int) -> NDArray[np.uint8]:
        """Bytes that nobody else holds. Called under a lock."""
        for i in range(len(self._kept)):
            # The list, the argument of getrefcount: a batch would be a third.
            if sys.getrefcount(self._kept[i]) == 2 and self._kept[i].nbytes >= size_bytes:
                found = self._kept.pop(i)
                self._kept.append(found)
                return found[:size_bytes]
        made = np.empty(size_bytes, np.uint8)
        while self._kept and sum(kept.nbytes for kept in self._kept) + size_bytes > self._most_bytes:
            self._kept.pop(0)
        if size_bytes <= self._most_bytes:
            self._kept.append(made)
        return made[:]

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
