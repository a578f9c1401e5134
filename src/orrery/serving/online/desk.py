"""The desk: where requests wait for the model, bounded in bytes and number."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from orrery.data.codecs.image import pixels_of
from orrery.errors import BadRowError, ModelNotFoundError, OverloadedError, TooLargeError
from orrery.schema import Kind
from orrery.serving.online.batcher import MOST_ROWS, Batcher
from orrery.serving.online.limits import Limits
from orrery.serving.online.metrics import Metrics
from orrery.serving.parquet import Answered
from orrery.serving.record import Recorder
from orrery.serving.route import Live, Route
from orrery.serving.runner import Columns

T = TypeVar("T")

_ASIDE_BYTES = 1 << 20  # work on more than this is done beside the event loop
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

    def __init__(self, desk: Desk, request: Request) -> None:
        self.desk = desk
        self.held_bytes = 0
        self._transport: asyncio.Transport | None = request.scope.get("transport")

    def gone(self) -> bool:
        """Whether the caller hung up."""
        return self._transport is not None and self._transport.is_closing()

    def hold(self, size_bytes: int) -> None:
        """Hold so many bytes more.

        Raises OverloadedError where all requests together hold too many, TooLargeError where this one does.
        """
        if self.held_bytes + size_bytes > self.desk.limits.waiting_bytes:
            raise TooLargeError("The request takes more memory than the service has for all.")
        if self.desk.waiting_bytes + size_bytes > self.desk.limits.waiting_bytes:
            raise OverloadedError("The service holds as many bytes as it may.", hint="Ask again later.")
        self.held_bytes += size_bytes
        self.desk.waiting_bytes += size_bytes


class Desk:
    """Takes questions, has them answered by the version that is live, and hands them to the recorder.

    All of it runs on the event loop's thread, but for models that take long.
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
        self._batcher = Batcher()

    def live(self, name: str) -> Live:
        """The version that answers now for a name in a path. Raises ModelNotFoundError."""
        if name != self.route.name:
            raise ModelNotFoundError(f"This service has no model {name!r:.120}; it has {self.route.name!r}.")
        return self.route.live

    @contextmanager
    def seat(self, request: Request) -> Iterator[Seat]:
        """A place for one request, from its first byte to its answer. Raises OverloadedError."""
        if self.waiting >= self.limits.waiting_requests:
            raise OverloadedError(f"{self.waiting} requests wait already.", hint="Ask again later.")
        seat = Seat(self, request)
        self.waiting += 1
        try:
            yield seat
        finally:
            self.waiting -= 1
            self.waiting_bytes -= seat.held_bytes

    async def ask(self, live: Live, question: Question, seat: Seat) -> list[dict[str, Any]]:
        """The answers, one per row. Raises TooLargeError, OverloadedError, and what the model says.

        It is done in parts, between which others are answered, and ended when nobody waits for it.
        """
        rows = len(question.ids)
        pictures = [f.name for f in live.runner.signature.inputs.each() if f.kind is Kind.IMAGE]
        if pictures:
            found = [question.columns[name] for name in pictures]
            await aside(seat.held_bytes, _check_pixels, found, self.limits.pixels)
        began_s = time.perf_counter()
        answers: list[dict[str, Any]] = []
        for start in range(0, rows, MOST_ROWS):
            part = _part(question.columns, start, rows)
            count = min(MOST_ROWS, rows - start)
            try:
                answers += await self._batcher.predict(live, part, count, partial(_check_wait, seat, began_s))
            except BadRowError as error:
                error.row = None if error.row is None else error.row + start
                raise
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
        self._batcher.close()


def _part(columns: Columns, start: int, rows: int) -> Columns:
    if rows <= MOST_ROWS:
        return columns
    return {name: values[start : start + MOST_ROWS] for name, values in columns.items()}


def _check_wait(seat: Seat, began_s: float) -> None:
    """Whether somebody waits for the answer still. Raises ClientDisconnect, OverloadedError."""
    if seat.gone():
        raise ClientDisconnect
    limit_s = seat.desk.limits.answer_s
    if time.perf_counter() - began_s > limit_s:
        raise OverloadedError(f"The rows were not answered in {limit_s:g} s.", hint="Send fewer at once.")


def _check_pixels(columns: Sequence[Sequence[object]], limit: int) -> None:
    """Pictures of few bytes may unpack to many: they are counted before one of them is."""
    pixels = 0
    for value in (value for column in columns for value in column):
        pixels += pixels_of(value) if isinstance(value, bytes) else 0
        if pixels > limit:
            raise TooLargeError(
                f"The pictures have more than the {limit:,} pixels that the service takes at once.",
                hint="Send fewer or smaller pictures at once.",
            )


async def aside(size_bytes: int, work: Callable[..., T], *inputs: Any) -> T:
    """Do work at once, or in a thread where it is on many bytes and would let others wait."""
    if size_bytes <= _ASIDE_BYTES:
        return work(*inputs)
    return await asyncio.to_thread(work, *inputs)


def new_id() -> str:
    """An id that sorts by time: UUID version 7 (RFC 9562, section 5.7).

    >>> len(new_id()), new_id()[14]
    (36, '7')
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
