"""How many messages may be asked for, so that they fit in memory, where a broker counts only messages."""

from __future__ import annotations

from collections.abc import Sequence

from orrery.serving.stream.broker import Message

_BYTES = 32 << 20


class Bounded:
    """Counts what messages take, and says how many of them fit.

    >>> bounded = Bounded()
    >>> bounded.most(1000)
    64
    """

    def __init__(self) -> None:
        self._average = _BYTES / 64  # unknown: large until seen otherwise

    def most(self, wanted: int) -> int:
        """At most ``wanted``, and as many as fit."""
        return max(1, min(wanted, int(_BYTES / self._average)))

    def seen(self, messages: Sequence[Message]) -> None:
        """Learn from what came: larger at once, smaller by and by."""
        for message in messages:
            size = 256 + len(message.value or b"")
            self._average = max(self._average * 0.98, size)
