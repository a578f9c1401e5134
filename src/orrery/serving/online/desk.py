"""The desk: where requests wait for the model, bounded in bytes and number."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from orrery.data.codecs.image import pixels_of
from orrery.errors import (
    BadRequestError,
    BadRowError,
    LateError,
    ModelNotFoundError,
    OverloadedError,
    TooLargeError,
)
from orrery.schema import Kind
from orrery.serving.online.batcher import MOST_ROWS, Batcher
from orrery.serving.online.limits import Limits
from orrery.serving.online.metrics import Metrics
from orrery.serving.online.question import Question as Question
from orrery.serving.online.question import Reply as Reply
from orrery.serving.parquet import Answered
from orrery.serving.record import Recorder
from orrery.serving.route import Live, Route
from orrery.serving.runner import Columns

T = TypeVar("T")

TIMEOUT = "X-Request-Timeout-Ms"
"""How long the caller waits; rows that nobody waits for any more are not computed."""

_ASIDE_BYTES = 1 << 20  # work on more than this is done beside the event loop
_ANSWER_BYTES = 600  # about what one recorded answer takes, beside the bytes of the request


class Seat:
    """The place of one request at the desk, and the bytes that it holds."""

    def __init__(self, desk: Desk, gone: Callable[[], bool], timeout_s: float | None) -> None:
        self.desk = desk
        self.gone = gone
        """Whether the caller hung up."""
        self.timeout_s = timeout_s
        """How long the caller waits; None: as long as the service does."""
        self.held_bytes = 0

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

    def live(self, name: str, key: str = "", version: str = "") -> Live:
        """Who answers for a name now: by the caller's key or by share where the route splits.

        ``version``, where given, is the only one that may answer. Raises ModelNotFoundError.
        """
        if name != self.route.name:
            raise ModelNotFoundError(f"This service has no model {name!r:.120}; it has {self.route.name!r}.")
        live = self.route.live
        if version and version != str(live.version):
            raise ModelNotFoundError(
                f"Version {version!r:.40} of {live.name!r} does not answer here; version {live.version} does."
            )
        return live

    def asked(self, request: Request) -> Live:
        """Who answers a request over HTTP, by the name and version of its path and the key of its header.

        A path without a name asks the first model. Raises ModelNotFoundError.
        """
        found = request.path_params
        key = request.headers.get("x-orrery-key", "")
        return self.live(found.get("name", self.route.name), key, found.get("version", ""))

    def seat(self, request: Request) -> AbstractContextManager[Seat]:
        """A place for one request over HTTP, from its first byte to its answer. Raises OverloadedError."""
        transport = request.scope.get("transport")
        gone = (lambda: False) if transport is None else transport.is_closing
        return self.place(gone, timeout_of(request), request.path_params.get("name", ""))

    @contextmanager
    def place(
        self, gone: Callable[[], bool], timeout_s: float | None = None, name: str = ""
    ) -> Iterator[Seat]:
        """A place for one request of any face. Raises OverloadedError.

        ``gone`` tells whether its caller hung up, ``timeout_s`` how long the caller waits, ``name`` which
        model is asked, as far as that is known by now.
        """
        if self.waiting >= self.limits.waiting_requests:
            raise OverloadedError(f"{self.waiting} requests wait already.", hint="Ask again later.")
        seat = Seat(self, gone, timeout_s)
        self.waiting += 1
        try:
            yield seat
        finally:
            self.waiting -= 1
            self.waiting_bytes -= seat.held_bytes

    async def ask(self, live: Live, question: Question, seat: Seat) -> Reply:
        """The answers, one per row, and who gave them: not always the version that was asked.

        Raises TooLargeError, OverloadedError, LateError, and what the model says.

        It is done in parts, between which others are answered, and ended when nobody waits for it.
        """
        rows = len(question.ids)
        if not rows:
            return Reply([], live)
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
        return Reply(answers, live)

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
    waited_s = time.perf_counter() - began_s
    if seat.timeout_s is not None and waited_s > seat.timeout_s:
        raise LateError(f"The rows were not answered in the {seat.timeout_s:g} s that the caller waits.")
    if waited_s > limit_s:
        raise OverloadedError(f"The rows were not answered in {limit_s:g} s.", hint="Send fewer at once.")


def timeout_of(request: Request) -> float | None:
    """How many seconds a caller waits, as its header says in milliseconds. Raises BadRequestError."""
    text = request.headers.get(TIMEOUT)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text)):
        raise BadRequestError(f"{TIMEOUT} is {text!r:.40}; it is a whole number of milliseconds.")
    return int(text) / 1000


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
