"""The quick way in: ordinary requests for predictions are answered by a bare ASGI function.

It stands in front of the application. A request that has no options, in a header or in its body, is read and
answered here, with a fraction of the work; every other one goes on to the application as it came, and so does
one that cannot be read, so that what is wrong with it is said in one place.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import MutableMapping
from typing import Any, NamedTuple, Protocol

import msgspec
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orrery.errors import OrreryError
from orrery.estimators.signature import Signature
from orrery.serving.lineup import Live
from orrery.serving.online import rows
from orrery.serving.online.body import check_values, pack
from orrery.serving.online.desk import Desk, Question, Reply, Seat
from orrery.serving.online.infer import PACK_BYTES, packing_of
from orrery.serving.online.limits import Limits
from orrery.serving.online.problem import Said, failed, oip_error, problem
from orrery.serving.online.quick_infer import QuickInfer, is_plain
from orrery.serving.runner import Runner

MOST_BYTES = 256 << 10
"""Of a body; larger ones are read as they arrive, by the application."""
_OPTIONS = frozenset(
    (
        b"content-encoding",
        b"inference-header-content-length",
        b"origin",
        b"x-orrery-key",
        b"x-request-timeout-ms",
    )
)
_OTHER = (b"multipart/", b"application/vnd.apache.arrow")  # bodies that are not JSON
_INFER, _INFER_END = "/v2/models/", "/infer"
_PREDICT, _PREDICT_END = "/v1/models/", ":predict"


class Way(Protocol):
    """Reads and answers the ordinary bodies of one path, for one model."""

    plain: bool
    """Whether the model reads nothing but the values of its rows, and no pictures."""

    def read(self, body: bytes) -> tuple[Question, Any] | None:
        """The rows, and what its answer needs of the body; None where the application has to read it."""

    def write(self, said: Any, question: Question, reply: Reply) -> bytes:
        """The answer as JSON."""


class Path(NamedTuple):
    """What an ordinary request asks for."""

    name: str
    face: str  # as it is counted
    said: Said
    packing: str = ""  # how the caller likes a long answer compressed


class Quick:
    """The application behind a quick way in."""

    def __init__(self, desk: Desk, app: ASGIApp) -> None:
        self.desk = desk
        self.app = app
        self._ways: dict[str, MutableMapping[Runner, Way]] = {
            "infer.infer": weakref.WeakKeyDictionary(),
            "rows.predict": weakref.WeakKeyDictionary(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ordinary request, or hand it on."""
        path = path_of(scope)
        if path is None:
            await self.app(scope, receive, send)
            return
        began_s = time.perf_counter()
        message = await receive()
        answered = False
        if message["type"] == "http.request" and not message.get("more_body", False):
            answered = await self._answered(scope, message["body"], path, began_s, send)
        if not answered:
            await self.app(scope, _again(message, receive), send)

    async def _answered(self, scope: Scope, body: bytes, path: Path, began_s: float, send: Send) -> bool:
        """Whether it was an ordinary request, and is answered."""
        desk = self.desk
        if len(body) > min(MOST_BYTES, desk.limits.body_bytes):
            return False
        try:
            live = desk.live(path.name)
            way = self.way(path.face, live)
            found = way.read(body)
        except OrreryError:
            return False  # the application says what is wrong
        if found is None:
            return False
        question, said = found
        transport = scope.get("transport")
        gone = _stays if transport is None else transport.is_closing
        try:
            with desk.place(gone, None, path.name) as seat:
                seat.hold(len(body) + check_values(body, desk.limits.values))
                text = way.write(said, question, await self._asked(live, question, seat, path))
        except ClientDisconnect:
            desk.metrics.requested(path.face, 499, time.perf_counter() - began_s, path.name)
            return True
        except Exception as error:
            response = failed(error, scope["path"], path.said)
            desk.metrics.requested(path.face, response.status_code, time.perf_counter() - began_s, path.name)
            await response(scope, _nothing, send)
            return True
        desk.metrics.requested(path.face, 200, time.perf_counter() - began_s, path.name)
        headers, text = packed(text, path.packing)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})
        return True

    async def _asked(self, live: Live, question: Question, seat: Seat, path: Path) -> Reply:
        if path.face == "rows.predict":
            return await rows.ask(self.desk, live, question, seat)
        return await self.desk.ask(live, question, seat)

    def way(self, face: str, live: Live) -> Way:
        """What reads and answers the bodies of a path for a version."""
        ways = self._ways[face]
        way = ways.get(live.runner)
        if way is None:
            made = QuickInfer if face == "infer.infer" else QuickRows
            way = ways[live.runner] = made(live.runner.signature, self.desk.limits)
        return way


class QuickRows:
    """Raw rows, as ``rows`` has them."""

    def __init__(self, signature: Signature, limits: Limits) -> None:
        self.signature = signature
        self.limits = limits
        self.plain = is_plain(signature)

    def read(self, body: bytes) -> tuple[Question, list[dict[str, Any]]] | None:
        """The rows of a body, twice; None where it has none, or too many."""
        try:
            whole = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not 0 < len(whole.rows) <= self.limits.rows:
            return None
        return rows.question_of(whole.rows, whole.record, self.signature), whole.rows

    def write(self, said: list[dict[str, Any]], question: Question, reply: Reply) -> bytes:
        """The rows with their answers."""
        return rows.said_of(said, question, reply, self.signature)


class _Rows(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[dict[str, Any]]
    record: bool = True


_decode = msgspec.json.Decoder(_Rows).decode


def path_of(scope: Scope) -> Path | None:
    """Whose prediction is asked for; None for any other path, and for a request with options."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path: str = scope["path"]
    if path.startswith(_INFER) and path.endswith(_INFER_END):
        found = Path(path[len(_INFER) : -len(_INFER_END)], "infer.infer", oip_error)
    elif path.startswith(_PREDICT) and path.endswith(_PREDICT_END):
        found = Path(path[len(_PREDICT) : -len(_PREDICT_END)], "rows.predict", problem)
    else:
        return None
    if "/" in found.name:
        return None
    for name, value in scope["headers"]:
        if name in _OPTIONS or (name == b"content-type" and value.lower().startswith(_OTHER)):
            return None
        if name == b"accept-encoding":
            found = found._replace(packing=packing_of(value.decode("latin-1")))
    return found


def _again(message: Message, receive: Receive) -> Receive:
    """The same messages once more."""
    first = [message]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _stays() -> bool:
    return False


def packed(text: bytes, packing: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers and the body of an answer."""
    headers = [(b"content-type", b"application/json")]
    if packing and len(text) > PACK_BYTES:
        text = pack(text, packing)
        headers.append((b"content-encoding", packing.encode()))
    headers.append((b"content-length", b"%d" % len(text)))
    return headers, text
