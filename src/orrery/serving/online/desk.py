"""The desk: where requests wait for the model, bounded in bytes and number; one thread runs it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orrery.errors import ModelNotFoundError, OverloadedError
from orrery.serving.online.limits import Limits
from orrery.serving.online.metrics import Metrics
from orrery.serving.parquet import Answered
from orrery.serving.record import Recorder
from orrery.serving.route import Live, Route
from orrery.serving.runner import Columns

_ANSWER_BYTES = 600  # about what one recorded answer takes, beside the bytes of the request


@dataclass(frozen=True)
class Question:
    """The rows of one request, as columns."""

    columns: Columns
    ids: Sequence[str]
    """One per row: what the outcome will be joined by."""
    record: bool = True


class Seat:
    """The place of one request at the desk, and the bytes that it holds."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.held_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Hold so many bytes more. Raises OverloadedError where all requests together hold too many."""
        if self.desk.waiting_bytes + size_bytes > self.desk.limits.waiting_bytes:
            raise OverloadedError("The service holds as many bytes as it may.", hint="Ask again later.")
        self.held_bytes += size_bytes
        self.desk.waiting_bytes += size_bytes


class Desk:
    """Takes questions, has them answered by the version that is live, and hands them to the recorder.

    Everything but the model itself runs on the event loop's thread.
    """

    def __init__(
        self, route: Route, recorder: Recorder | None, limits: Limits, metrics: Metrics, home: Path
    ) -> None:
        self.route = route
        self.recorder = recorder
        self.limits = limits
        self.metrics = metrics
        self.home = home
        self.waiting_bytes = 0
        self.waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="orrery-model")

    def live(self, name: str) -> Live:
        """The version that answers now for a name in a path. Raises ModelNotFoundError."""
        if name != self.route.name:
            raise ModelNotFoundError(f"This service has no model {name!r:.120}; it has {self.route.name!r}.")
        return self.route.live

    @contextmanager
    def seat(self) -> Iterator[Seat]:
        """A place for one request, from its first byte to its answer. Raises OverloadedError."""
        if self.waiting >= self.limits.waiting_requests:
            raise OverloadedError(f"{self.waiting} requests wait already.", hint="Ask again later.")
        seat = Seat(self)
        self.waiting += 1
        try:
            yield seat
        finally:
            self.waiting -= 1
            self.waiting_bytes -= seat.held_bytes

    async def ask(self, live: Live, question: Question, seat: Seat) -> list[dict[str, Any]]:
        """The answers, one per row. Raises what the model says of the rows."""
        rows = len(question.ids)
        loop = asyncio.get_running_loop()
        began_s = time.perf_counter()
        answers = await loop.run_in_executor(
            self._thread, live.runner.predict_columns, question.columns, rows
        )
        self.metrics.answered(live.version, rows, time.perf_counter() - began_s)
        if self.recorder is not None and question.record:
            self.recorder.put(
                Answered(
                    name=live.name,
                    version=live.version,
                    signature=live.runner.signature,
                    ids=question.ids,
                    columns=question.columns,
                    answers=answers,
                    time_us=time.time_ns() // 1000,
                    size_bytes=seat.held_bytes + rows * _ANSWER_BYTES,
                )
            )
        return answers

    def close(self) -> None:
        """End the model's thread, after what it was asked."""
        self._thread.shutdown()


def new_id() -> str:
    """An id that sorts by time: UUID version 7 (RFC 9562, section 5.7).

    >>> len(new_id()), new_id()[14]
    (36, '7')
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
