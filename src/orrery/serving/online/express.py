"""The express way: an ordinary request that came in one piece is answered by its connection itself.

There is no task, no coroutine and no timer for it. It is read where the parser ends, waits for the tick of
its model like every other one (see ``batcher``), and is written by the tick. Whatever is not ordinary goes on
to the application as it came: options, several versions that could answer, models that look at what happened
before, pictures, bodies that come in pieces, services with tokens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect

from orrery.errors import BadRowError, OrreryError
from orrery.serving.lineup import Live
from orrery.serving.online.answering import Asked, check_wait
from orrery.serving.online.batcher import MOST_ROWS, Answers
from orrery.serving.online.body import check_values
from orrery.serving.online.connection import Connection
from orrery.serving.online.gate import Gate, host_of
from orrery.serving.online.problem import failed
from orrery.serving.online.question import Question, Reply
from orrery.serving.online.quick import MOST_BYTES, Path, Quick, Way, packed, path_of
from orrery.serving.online.rows import point

_LENGTH = b"content-length"
_CLOSE = b"connection: close\r\n"
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Express(Connection):
    """A connection that answers ordinary requests itself."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._quick = _quick_of(self.app)
        self._held: Path | None = None  # of the request that is being read
        self._piece = b""  # its body
        self._like: tuple[bytes, list[tuple[bytes, bytes]], Path | None] = (b"", [], None)
        self._rested_s: float | None = None
        self._has_answered = False

    def data_received(self, data: bytes) -> None:
        """Parse what came; a request that is not whole with it is the application's."""
        super().data_received(data)
        if self._held is not None:
            self._hand_on()

    def on_message_begin(self) -> None:
        """A request begins; what only the application needs of it is made when it gets it."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Hold an ordinary request until its body is there."""
        self._held = self._ordinary()
        self._piece = b""
        if self._held is None:
            self._hand_on()
            return
        self._steps += 1

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if self._held is None:
            super().on_body(body)
            return
        self._steps += 1
        self._piece = self._piece + body if self._piece else body
        if len(self._piece) > MOST_BYTES:
            self._hand_on()

    def on_message_complete(self) -> None:
        """Ask the model, if all is ordinary."""
        path, self._held = self._held, None
        if path is not None and self._quick is not None:
            ticket = _ticket(self, self._quick, path, self._piece)
            if ticket is not None:
                self._wake()
                self._unset_keepalive_if_required()
                self.cycle = ticket  # type: ignore[assignment]
                ticket.ask()
                return
            self._held = path
            self._hand_on()
        super().on_message_complete()

    def _hand_on(self) -> None:
        """Let the application have the request as far as it is there."""
        self._held = None
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()
        if self._piece:
            super().on_body(self._piece)

    def _ordinary(self) -> Path | None:
        """Whose prediction is asked for; None for the application's requests."""
        if self._quick is None or not (self.cycle is None or self.cycle.response_complete):
            return None
        if self.flow.write_paused or self.expect_100_continue or len(self.connections) > self._most:
            return None
        if self.parser.should_upgrade() or self.parser.get_http_version() != "1.1":
            return None
        if self.parser.get_method() != b"POST":
            return None
        headers = [header for header in self.headers if header[0] != _LENGTH]
        url, known, path = self._like
        if url != self.url or known != headers:
            path = self._path(headers)
            self._like = self.url, headers, path
        return path

    def _path(self, headers: list[tuple[bytes, bytes]]) -> Path | None:
        url = self.url.decode("latin-1")
        gate: Any = self.app
        if self.root_path or not url.isascii() or "%" in url or "?" in url or "#" in url:
            return None
        if gate.tokens is not None or not gate.serves(host_of(headers)):
            return None
        return path_of({"type": "http", "method": "POST", "path": url, "headers": headers})

    def written(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, stays: bool) -> None:
        """Write an answer, and wait for the next request."""
        if self.transport.is_closing():
            return
        whole = [*self.server_state.default_headers, *headers]
        lines = [b"%b: %b\r\n" % header for header in whole]
        self.transport.write(b"".join([_LINES[status], *lines, b"" if stays else _CLOSE, b"\r\n", body]))
        if not stays:
            self.transport.close()
        self._answered()

    def _answered(self) -> None:
        if self.pipeline or self.flow.write_paused or self.transport.is_closing():
            self.on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.get_write_buffer_size():
            self._watch_reader()
        self._has_answered = True
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def _rest(self) -> None:
        """No request runs: the next one's header has to come in time. One timer serves many requests."""
        if self._rested_s is None:
            self._rested_s = time.monotonic()
            self.idle[self] = None
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._patience_s(), self._look)

    def _wake(self) -> None:
        self._rested_s = None
        self.idle.pop(self, None)

    def _look(self) -> None:
        """Whether it has rested for too long."""
        self._deadline = None
        if self._rested_s is None or self.transport.is_closing():
            return
        left_s = self._rested_s + self._patience_s() - time.monotonic()
        if left_s > 0:
            self._deadline = self.loop.call_later(left_s, self._look)
        elif self._has_answered and not self._silent_bytes:
            self.transport.close()
        else:
            self.drop()

    def _patience_s(self) -> float:
        """Between requests it is the server's to keep; from the first byte of a header on, the header's."""
        waits = self._has_answered and not self._silent_bytes
        return min(self.timeout_keep_alive, self.limits.head_s) if waits else self.limits.head_s


class _Ticket:
    """One request under way: what uvicorn asks of a request, and the batcher of a future, in one."""

    message_event = asyncio.Event()  # nobody waits for it
    timeout_s: float | None = None

    def __init__(
        self,
        connection: Express,
        quick: Quick,
        path: Path,
        way: Way,
        live: Live,
        question: Question,
        said: Any,
    ) -> None:
        self.connection = connection
        self.quick = quick
        self.path = path
        self.way = way
        self.live = live
        self.question = question
        self.said = said
        self.keep_alive = connection.parser.should_keep_alive()
        self.response_complete = False
        self.disconnected = False
        self.began_s = time.perf_counter()
        self.held_bytes = 0

    @property
    def gone(self) -> Callable[[], bool]:
        """Whether its caller hung up."""
        return self.connection.transport.is_closing

    def ask(self) -> None:
        """Wait for the model's tick."""
        desk, body = self.quick.desk, self.connection._piece
        desk.room.models = len(desk.shelf.routes)
        try:
            desk.room.enter(self.path.name)
        except OrreryError as error:
            self._write_error(error)
            return
        try:
            more_bytes = len(body) + check_values(body, desk.limits.values)
            desk.room.hold(self.path.name, 0, more_bytes)
            self.held_bytes = more_bytes
        except OrreryError as error:
            self._leave()
            self._write_error(error)
            return
        question = self.question
        desk.answerer.batcher.put(self.live, question.columns, len(question.ids), self.check, self)

    def check(self) -> None:
        """Whether somebody waits for the answer still."""
        check_wait(self, self.quick.desk.limits.answer_s, None, self.began_s)

    def done(self) -> bool:
        """Whether it is answered."""
        return self.response_complete

    def set_result(self, answers: Answers) -> None:
        """Write the answers."""
        answerer = self.quick.desk.answerer
        try:
            seconds = time.perf_counter() - self.began_s
            answerer.metrics.answered(self.live, len(answers), seconds)
            if answerer.recorder is not None and self.question.record:
                asked = Asked(self.question, self.live.runner.signature, self)
                answerer.record(self.live, asked, answers)
            text = self.way.write(self.said, self.question, Reply(answers, self.live))
            headers, body = packed(text, self.path.packing)
        except Exception as error:
            self._leave()
            self._write_error(error)
            return
        self._leave()
        self._count(200)
        self.response_complete = True
        self.connection.written(200, headers, body, self.keep_alive)

    def set_exception(self, error: BaseException) -> None:
        """Write the error."""
        if self.path.face == "rows.predict" and isinstance(error, BadRowError):
            point(error)
        if isinstance(error, Exception) and not isinstance(error, ClientDisconnect):
            self.quick.desk.metrics.failed(self.live)
        self._leave()
        self._write_error(error)

    def _write_error(self, error: BaseException) -> None:
        self.response_complete = True
        if isinstance(error, ClientDisconnect):
            self._count(499)
            return
        assert isinstance(error, Exception)
        name = self.path.name
        url = f"/v2/models/{name}/infer" if self.path.face == "infer.infer" else f"/v1/models/{name}:predict"
        response = failed(error, url, self.path.said)
        self._count(response.status_code)
        self.connection.written(
            response.status_code, response.raw_headers, bytes(response.body), self.keep_alive
        )

    def _leave(self) -> None:
        self.quick.desk.room.leave(self.path.name, self.held_bytes)

    def _count(self, status: int) -> None:
        seconds = time.perf_counter() - self.began_s
        self.quick.desk.metrics.requested(self.path.face, status, seconds, self.path.name)


def _ticket(connection: Express, quick: Quick, path: Path, body: bytes) -> _Ticket | None:
    """A ticket for an ordinary body that the main version alone answers; None for every other one."""
    desk = quick.desk
    if len(body) > min(MOST_BYTES, desk.limits.body_bytes):
        return None
    try:
        lineup = desk.shelf.route(path.name).lineup
        live = lineup.main
        if not lineup.is_one:
            return None
        way = quick.way(path.face, live)
        if not way.plain:
            return None
        found = way.read(body)
    except Exception:
        return None  # the application says what is wrong
    if found is None or len(found[0].ids) > MOST_ROWS:
        return None
    return _Ticket(connection, quick, path, way, live, *found)


def _quick_of(app: Any) -> Quick | None:
    """The quick way in, where only the gate stands before it."""
    found = app.app if isinstance(app, Gate) else None
    return found if isinstance(found, Quick) else None
