"""Ask a service for predictions: :class:`Client` waits for them, :class:`AsyncClient` is awaited."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from orrery import __version__
from orrery.client.asking import Asking
from orrery.client.talk import Call, Heard, Manner, Pause, Talk
from orrery.errors import SettingsError
from orrery.extras import require

T = TypeVar("T")

_PURPOSE = "Asking a service"
_CONNECT_S = 5.0


class _Face:
    """What both clients have: where they ask, for whom, and how."""

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        token: str = "",
        timeout_s: float = 30.0,
        retries: int = 4,
    ) -> None:
        self.url, self._auth = _without_secrets(url)
        if timeout_s <= 0 or retries < 0:
            raise SettingsError(
                f"timeout_s is more than 0 and retries at least 0, not {timeout_s}, {retries}."
            )
        headers = {"Accept": "application/json", "User-Agent": f"orrery/{__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._asking = Asking(Manner(timeout_s, retries, headers), model)
        self._wire: Any = None

    def __repr__(self) -> str:
        model = self._asking.model
        return f"<{type(self).__name__} of {self.url}{f', model {model!r}' if model else ''}>"

    def _opened(self, kind: str) -> Any:
        """A connection pool of httpx, which follows no redirect: a token is for one host alone."""
        httpx = require("httpx", _PURPOSE)
        return getattr(httpx, kind)(base_url=self.url, auth=self._auth, follow_redirects=False)


class Client(_Face):
    """Asks a service, and waits for the answers. Threads may share it.

    ``model`` may be left out where the service has one. ``timeout_s`` is how long one request may take, its
    repeats included: a service that is away or has too much to do is asked up to ``retries`` times more. Rows
    get an ``id`` each, unless they have one, so that one which was asked twice is known to be one.

    >>> client = Client("http://127.0.0.1:8080", "fraud")
    >>> client
    <Client of http://127.0.0.1:8080, model 'fraud'>
    >>> client.close()
    """

    _lock = threading.Lock()

    def predict(self, rows: T, *, record: bool = True) -> T:
        """Rows with their answers beside them, in the form that they came in.

        ``rows`` is a list of dictionaries, one dictionary, an Arrow table or a pandas frame; as many as one
        likes: they are sent in parts. Raises what the service says, with the number of the row; LateError and
        OverloadedError when patience ends; ServingError when the service cannot be reached.
        """
        found: T = self._run(self._asking.predict(rows, record=record))
        return found

    def outcomes(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Tell what happened: rows of ``id``, that of the prediction, and the target. How many were kept."""
        return self._run(self._asking.outcomes(rows))

    def metadata(self) -> dict[str, Any]:
        """What the model reads and predicts, and how good it is."""
        return self._run(self._asking.metadata())

    def models(self) -> list[dict[str, Any]]:
        """Names and versions of what the service answers with."""
        return self._run(self._asking.models())

    def ready(self) -> bool:
        """Whether the service answers now."""
        return self._run(self._asking.ready())

    def close(self) -> None:
        """Close the connections. A second call does nothing; a client that is asked again opens new ones."""
        with self._lock:
            wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, talk: Talk[T]) -> T:
        try:
            step = next(talk)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = talk.send(Heard())
                else:
                    step = talk.send(self._heard(step))
        except StopIteration as end:
            found: T = end.value
            return found

    def _heard(self, call: Call) -> Heard:
        with self._lock:
            if self._wire is None:
                self._wire = self._opened("Client")
            wire = self._wire
        try:
            return _answered(wire.request(call.method, call.path, **_sent(call)))
        except require("httpx", _PURPOSE).TransportError as error:
            return _failed(error)


class AsyncClient(_Face):
    """The same as :class:`Client`, for a program with an event loop: its methods are awaited.

    >>> AsyncClient("http://127.0.0.1:8080")
    <AsyncClient of http://127.0.0.1:8080>
    """

    async def predict(self, rows: T, *, record: bool = True) -> T:
        """Rows with their answers beside them, in the form that they came in. See :meth:`Client.predict`."""
        found: T = await self._run(self._asking.predict(rows, record=record))
        return found

    async def outcomes(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Tell what happened: rows of ``id``, that of the prediction, and the target. How many were kept."""
        return await self._run(self._asking.outcomes(rows))

    async def metadata(self) -> dict[str, Any]:
        """What the model reads and predicts, and how good it is."""
        return await self._run(self._asking.metadata())

    async def models(self) -> list[dict[str, Any]]:
        """Names and versions of what the service answers with."""
        return await self._run(self._asking.models())

    async def ready(self) -> bool:
        """Whether the service answers now."""
        return await self._run(self._asking.ready())

    async def close(self) -> None:
        """Close the connections. A second call does nothing."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, talk: Talk[T]) -> T:
        try:
            step = next(talk)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = talk.send(Heard())
                else:
                    step = talk.send(await self._heard(step))
        except StopIteration as end:
            found: T = end.value
            return found

    async def _heard(self, call: Call) -> Heard:
        if self._wire is None:
            self._wire = self._opened("AsyncClient")
        try:
            return _answered(await self._wire.request(call.method, call.path, **_sent(call)))
        except require("httpx", _PURPOSE).TransportError as error:
            return _failed(error)


def _sent(call: Call) -> dict[str, Any]:
    """A call as httpx has it."""
    times = require("httpx", _PURPOSE).Timeout(call.timeout_s, connect=min(_CONNECT_S, call.timeout_s))
    return {"content": call.body or None, "headers": call.headers, "timeout": times}


def _answered(response: Any) -> Heard:
    return Heard(response.status_code, response.headers, response.content)


def _failed(error: Exception) -> Heard:
    """Why nothing was heard; a connection that is slow to open may be tried again."""
    late = type(error).__name__ in ("ReadTimeout", "WriteTimeout", "PoolTimeout")
    return Heard(failed=str(error) or type(error).__name__, is_late=late)


def _without_secrets(url: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without the name and password that it may hold, and these. Raises SettingsError."""
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        _ = parts.port  # one that is no number is an error here
    except ValueError:
        parts, place = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not place or parts.query or parts.fragment:
        raise SettingsError("The URL of a service is like http://host:8080.", hint="It has no query.")
    auth = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", "")), auth
