"""Records of a pipe: bytes come in chunks that end anywhere."""

from __future__ import annotations

import logging
from typing import Protocol

MOST_BYTES = 64 << 20
"""Of one record; of a longer one this much is kept, for its dead letter."""

_log = logging.getLogger("orrery.stream")


class Records(Protocol):
    """Cuts bytes into records."""

    def cut(self, chunk: bytes) -> list[bytes]:
        """The records that are whole with this chunk; all that is left with an empty one."""


class Lines:
    r"""A record per line; empty ones are none.

    >>> lines = Lines()
    >>> lines.cut(b'{"a": 1}\n{"a"'), lines.cut(b': 2}'), lines.cut(b"")
    ([b'{"a": 1}'], [], [b'{"a": 2}'])
    """

    def __init__(self, keep_empty: bool = False) -> None:
        self.keep_empty = keep_empty
        self._parts: list[bytes] = []
        self._size = 0

    def cut(self, chunk: bytes) -> list[bytes]:
        """Whole lines."""
        *ended, rest = chunk.split(b"\n")
        found = []
        for part in ended:
            self._keep(part)
            found.append(self._taken())
        self._keep(rest)
        if not chunk and self._size:
            found.append(self._taken())
        return found if self.keep_empty else [line for line in found if line.strip()]

    def _keep(self, part: bytes) -> None:
        if self._size + len(part) > MOST_BYTES >= self._size:
            _log.warning("A line is longer than %d bytes; what is behind them is not read.", MOST_BYTES)
        kept = part[: max(0, MOST_BYTES - self._size)]
        self._size += len(part)
        if kept:
            self._parts.append(kept)

    def _taken(self) -> bytes:
        line = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return line
