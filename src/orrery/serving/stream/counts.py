"""What a stream counts, and the feed of its last predictions that a page can show."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

KEPT = 200
"""Predictions that a feed remembers."""
PER_BATCH = 20
"""Of those that are answered together, how many the feed gets."""


@dataclass
class Counts:
    """What happened so far. Written by the scorer's thread; anyone may read."""

    taken: int = 0
    answered: int = 0
    """Messages answered; also those that will be given again, because the broker failed."""
    dead: int = 0
    """Messages that could not be answered, and are where dead letters go."""
    rows: int = 0
    settled: int = 0
    """Messages answered and acknowledged: they are done."""
    batches: int = 0
    commits: int = 0
    reopened: int = 0
    """How often the brokers were lost, and opened again."""
    lag: int | None = None
    """Messages that wait at the broker."""
    delay_s: float | None = None
    """From when the last message was written to its answer."""
    model_s: float = 0.0
    """Spent in decoding, predicting and encoding, in all."""
    began_s: float = field(default_factory=time.monotonic)

    def rate(self) -> float:
        """Messages per second, from the beginning."""
        return self.settled / max(time.monotonic() - self.began_s, 1e-9)


@dataclass(frozen=True)
class Event:
    """One prediction, as a page shows it."""

    number: int
    id: str
    key: str
    model: str
    time_s: float
    """When it was answered, in seconds since 1970."""
    delay_s: float | None
    answer: dict[str, Any]


class Feed:
    """The last predictions of a stream. Any number of threads may watch; none of them slows the stream.

    >>> feed = Feed()
    >>> feed.put([("orders/0/7", "bob", {"prediction": 1.5})], "prices/3", None)
    >>> [event.id for event in feed.after(0, wait_s=1.0)]
    ['orders/0/7']
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self._number = 0
        self._changed = threading.Condition()

    def put(self, said: Sequence[tuple[str, str, dict[str, Any]]], model: str, delay_s: float | None) -> None:
        """Add predictions, each with the message's id and key."""
        now_s = time.time()
        with self._changed:
            for id_, key, answer in said:
                self._number += 1
                self._events.append(Event(self._number, id_, key, model, now_s, delay_s, answer))
            self._changed.notify_all()

    def after(self, number: int, wait_s: float = 0.0) -> list[Event]:
        """Those behind an event's number that are still remembered; waits for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > number, wait_s)
            return [event for event in self._events if event.number > number]
