"""One connection: uvicorn's HTTP/1.1, with a bound on everything that a stranger could draw out.

A request's header has a size and a deadline, an answer is read within a time, and a connection on which
nothing runs makes room for a new one when there are too many.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as UvicornConnection

from orrery.serving.online.limits import Limits

if sys.platform != "win32":
    import resource

_HEALTH = b"/v2/health/"
_SPARE = 100  # connections beyond the limit that are heard, so that health can be asked
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_log = logging.getLogger("orrery.serving.connection")
_log.setLevel(logging.ERROR)  # uvicorn warns of each odd request: a stranger could fill the disk with it


class Connection(UvicornConnection):
    """A connection within ``limits``; ``idle`` holds those of the service on which no request runs."""

    def __init__(self, *args: Any, limits: Limits, idle: dict[Connection, None], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.logger = _log
        self.limits = limits
        self.idle = idle
        self._most = affordable(limits.connections)
        self._steps = 0  # headers ended and pieces of bodies: what moves a request on
        self._silent_bytes = 0  # received since the last of them
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hear it, in the place of the one that is idle longest if there are too many."""
        super().connection_made(transport)
        self._rest()
        over = len(self.connections) - self._most
        if over > 0:
            longest = next(iter(self.idle))
            if longest is not self or over > _SPARE:
                longest.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._wake()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it is more than a header may have."""
        room = self.limits.head_bytes - self._silent_bytes
        if len(data) > room:
            self._feed(data[:room])
            if self._silent_bytes >= self.limits.head_bytes:
                self._refuse()
            if self.transport.is_closing():
                return
            data = data[room:]
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        steps = self._steps
        super().data_received(data)
        self._silent_bytes = self._silent_bytes + len(data) if steps == self._steps else 0

    def _refuse(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        else:
            self.drop()

    def on_headers_complete(self) -> None:
        """Begin to answer; with too many connections that are not idle, only for health."""
        self._steps += 1
        self._wake()
        crowded = len(self.connections) > self._most and not self.url.startswith(_HEALTH)
        self.limit_concurrency = 0 if crowded else None
        self.scope["transport"] = self.transport  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._steps += 1
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._watch_reader()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._rest()

    def pause_writing(self) -> None:
        """Too much of an answer is unread: from now on there is a deadline."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The caller reads."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def drop(self) -> None:
        """End it at once."""
        self._wake()
        self.connections.discard(self)  # its place is free now, not when its loss is told
        self.transport.abort()

    def _rest(self) -> None:
        """No request runs: the next one's header has to come in time."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.head_s, self.drop)
            self.idle[self] = None

    def _wake(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.idle.pop(self, None)

    def _watch_reader(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.read_s, self._check_reader)

    def _check_reader(self) -> None:
        self._unread = None
        if self.transport.get_write_buffer_size():
            self.drop()


def affordable(connections: int) -> int:
    """How many connections the files that this process may open allow for.

    >>> affordable(3)
    3
    """
    if sys.platform == "win32":
        return connections
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return connections if most == resource.RLIM_INFINITY else max(3, min(connections, most * 3 // 4))
