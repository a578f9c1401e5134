"""A line to a NATS server: the client's event loop, run on the scorer's own thread, and errors as ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar
from urllib.parse import quote_from_bytes, unquote_to_bytes

from orrery.errors import BrokerError, MissingExtraError, SettingsError, SourceError
from orrery.extras import require
from orrery.serving.stream.broker import Headers
from orrery.serving.stream.place import Place

T = TypeVar("T")

PURPOSE = "Streams of NATS"
_SAFE = " !#$%&'()*+,/:;<=>?@[\\]^_`{|}~\""  # of a header's value: what is printed, and no end of a line


class Line:
    """A connection that is not mended by itself: the scorer begins anew, from what was acknowledged."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.nc: Any = None
        self.js: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Connect. Raises BrokerError."""
        self._loop = asyncio.new_event_loop()
        self.run(self._connect())

    async def _connect(self) -> None:
        nats = require("nats", PURPOSE)
        place, tls = self.place, self.place.tls()
        host = f"[{place.host}]" if ":" in place.host else place.host
        self.nc = await nats.connect(
            f"{'nats' if tls is None else 'tls'}://{host}:{place.port}",
            user=place.user or None,
            password=place.password or None,
            tls=tls,
            connect_timeout=max(1, int(place.timeout_s)),
            allow_reconnect=False,
            max_reconnect_attempts=1,  # of the first connection, too
            reconnect_time_wait=0.1,
            error_cb=_quiet,
        )
        self.js = self.nc.jetstream(timeout=place.timeout_s, publish_async_max_pending=4_096)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the line. Raises BrokerError."""
        if self._loop is None or (self.nc is not None and self.nc.is_closed):
            work.close()
            raise BrokerError(f"{self.place.shown} closed the connection.")
        try:
            return self._loop.run_until_complete(work)
        except (BrokerError, SettingsError, SourceError, MissingExtraError):
            raise
        except (Exception, asyncio.CancelledError) as error:
            said = str(error).replace(self.place.password or "\0", "***") or type(error).__name__
            raised = BrokerError(f"{self.place.shown} cannot be used: {said}.")
            raised.lasting = "uthorization" in said
            raise raised from None

    def close(self) -> None:
        """Disconnect."""
        loop, self._loop = self._loop, None
        nc, self.nc = self.nc, None
        if loop is None:
            return
        try:
            if nc is not None and not nc.is_closed:
                loop.run_until_complete(_ended(nc))
            loop.run_until_complete(_cancelled(asyncio.all_tasks(loop)))
        finally:
            loop.close()


async def stream_of(line: Line, subject: str, *, make: bool) -> str:
    """The name of the stream that holds a subject; it is made if none does, or that is an error."""
    missing = require("nats.js.errors", PURPOSE).NotFoundError
    try:
        return str(await line.js.find_stream_name_by_subject(subject))
    except missing:
        if not make:
            raise SourceError(
                f"No stream of {line.place.shown} holds the subject {subject!r}.",
                hint=f"Make one: nats stream add --subjects {subject}",
            ) from None
    made = await line.js.add_stream(name=word(subject), subjects=[subject])
    return str(made.config.name)


def word(name: str) -> str:
    """A name of a stream or consumer from any text.

    >>> word("orders.new > 3")
    'orders-new-3'
    """
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:120] or "orrery"


def to_headers(headers: Headers, key: bytes | None) -> dict[str, str] | None:
    """Headers as NATS has them: lines of text; what is none is written as in a URL."""
    found = {_name(name): quote_from_bytes(value or b"", safe=_SAFE) for name, value in headers}
    if key is not None:
        found["key"] = quote_from_bytes(key, safe=_SAFE.replace("%", ""))
    return found or None


def from_headers(found: dict[str, Any] | None) -> tuple[list[tuple[str, bytes | None]], bytes | None]:
    """Headers, and the key among them."""
    kept: list[tuple[str, bytes | None]] = []
    key = None
    for name, value in (found or {}).items():
        if name == "key":
            key = unquote_to_bytes(str(value))
        else:
            kept.append((name, str(value).encode("utf-8", "surrogateescape")))
    return kept, key


def _name(name: str) -> str:
    return quote_from_bytes(name.encode(), safe="!#$&'*+^`|~") or "x"


async def _quiet(error: Exception) -> None:
    """What goes wrong is told by the call that it goes wrong in."""


async def _ended(nc: Any) -> None:
    try:
        await asyncio.wait_for(nc.flush(), 2.0)
    except Exception:  # the server is away: there is nobody to tell
        pass
    finally:
        await nc.close()


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def pending_of(reply: str) -> Sequence[int]:
    """Sequence in the stream, time in nanoseconds, and how many more wait, from where to acknowledge."""
    parts = reply.split(".")
    parts = parts if len(parts) < 11 else parts[2:-1]  # newer servers name domain and account, too
    return int(parts[5]), int(parts[7]), int(parts[8])
