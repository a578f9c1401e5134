"""What the suite over all brokers needs of one: put messages in, see what came out, cut it off."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import orrery as ory
from orrery.serving.stream.stream import Stream


class Sent(NamedTuple):
    """A message as it stands at the broker."""

    value: bytes | None
    key: bytes | None = None
    headers: dict[str, bytes] = {}  # noqa: RUF012  the last of each name; never changed


class Bench(Protocol):
    """One broker under test: a fresh place for messages, one for answers, one for dead letters."""

    source: str
    to: str

    def put(self, messages: Sequence[Sent]) -> None:
        """Messages, in order; returns when the broker has them."""

    def answers(self) -> list[Sent]:
        """All answers that a careful reader sees now; of each key in order."""

    def dead(self) -> list[Sent]:
        """All dead letters."""

    def stream(self, model: Any, **options: Any) -> Stream:
        """A stream between the two, in this process."""

    def away(self) -> AbstractContextManager[None]:
        """The broker is gone while the block runs, and back behind it, with all that it had stored."""


def started(bench: Bench, model: Any, **options: Any) -> Stream:
    """What most benches' ``stream`` does."""
    made: Stream = ory.stream(bench.source, model, bench.to, wait=False, **options)
    return made


def wait_for(condition: Callable[[], bool], what: str, within_s: float = 120.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {within_s} s"
        time.sleep(0.05)
