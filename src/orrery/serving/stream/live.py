"""The page of a stream on the port of its metrics: rate, delay and the last predictions, as they come.

``GET /`` is the page, ``/metrics`` is Prometheus's, and ``/v1/stream/events`` are server-sent events:
``counts`` every second, and ``answers`` as soon as there are some. What a reader is too slow for is left out,
and told; no reader slows the stream.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any
from wsgiref.types import StartResponse

import msgspec

from orrery.display import Both, Html, card, page, tag
from orrery.display.page import script as shell_script
from orrery.serving.stream.scorer import Scorer

Environ = dict[str, Any]
Face = Callable[[Environ, StartResponse], Iterable[bytes]]

_BEAT_S = 1.0
_READERS = 16  # each is a thread
_SHOWN_CHARACTERS = 200  # of a value; a feed is no archive
_HEADERS = [("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]


class LivePage:
    """What a stream answers to browsers; anything else is the metrics'."""

    def __init__(self, scorer: Scorer, title: str, metrics: Face) -> None:
        self.scorer = scorer
        self.title = title
        self.metrics = metrics
        self._free = threading.Semaphore(_READERS)
        self._ended = threading.Event()

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """One request, as WSGI has it."""
        path, host = environ.get("PATH_INFO", "/"), environ.get("HTTP_HOST", "")
        if path == "/metrics":
            return self.metrics(environ, start)
        if environ.get("REQUEST_METHOD") != "GET" or not _is_here(host):
            return _said(start, "403 Forbidden", "Only pages of this machine are shown.")
        if path == "/":
            start("200 OK", [("Content-Type", "text/html; charset=utf-8"), _policy(), *_HEADERS])
            return [page_of(self.scorer.route.name, self.title).encode()]
        if path == "/v1/stream/events":
            return self._watched(start)
        return _said(start, "404 Not Found", "There are /, /metrics and /v1/stream/events.")

    def end(self) -> None:
        """Let all readers go."""
        self._ended.set()

    def _watched(self, start: StartResponse) -> Iterable[bytes]:
        if not self._free.acquire(blocking=False):
            return _said(start, "503 Service Unavailable", f"{_READERS} pages are open already.")
        start("200 OK", [("Content-Type", "text/event-stream; charset=utf-8"), *_HEADERS])
        return _Events(self._events(), self._free.release)

    def _events(self) -> Iterator[bytes]:
        seen = 0
        settled, at_s = self.scorer.counts.settled, time.monotonic()
        yield _event("counts", self._counts(None))
        while not self._ended.is_set():
            found = self.scorer.feed.after(seen, wait_s=_BEAT_S / 4)
            if found:
                missed = found[0].number - seen - 1 if seen else 0
                seen = found[-1].number
                yield _event("answers", {"missed": missed, "answers": [_shown(event) for event in found]})
            past_s = time.monotonic() - at_s
            if past_s >= _BEAT_S:
                rate = (self.scorer.counts.settled - settled) / past_s
                settled, at_s = self.scorer.counts.settled, time.monotonic()
                yield _event("counts", self._counts(rate))
            elif found:
                self._ended.wait(_BEAT_S / 4)  # at most four times a second, however fast the stream

    def _counts(self, rate: float | None) -> dict[str, Any]:
        counts, live = self.scorer.counts, self.scorer.route.live
        return {
            "rate": rate,
            "settled": counts.settled,
            "dead": counts.dead,
            "lag": counts.lag,
            "delay_s": counts.delay_s,
            "version": live.version,
        }


class _Events:
    """A body that gives its place back when the reader goes, or the stream ends."""

    def __init__(self, events: Iterator[bytes], release: Callable[[], None]) -> None:
        self.events = events
        self.release: Callable[[], None] | None = release

    def __iter__(self) -> Iterator[bytes]:
        return self.events

    def close(self) -> None:
        """Called by the server, whatever happened."""
        release, self.release = self.release, None
        if release is not None:
            release()


def _is_here(host: str) -> bool:
    """Whether a browser asked for this machine by name: another site's name that leads here is refused."""
    return host.rpartition(":")[0].strip("[]") in ("127.0.0.1", "localhost", "::1") or host == "localhost"


def _said(start: StartResponse, status: str, text: str) -> list[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8"), *_HEADERS])
    return [f"{text}\n".encode()]


def _event(kind: str, value: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(value))


def _shown(event: Any) -> dict[str, Any]:
    answer = event.answer
    return {
        "id": event.id,
        "key": event.key,
        "model": event.model,
        "time_s": event.time_s,
        "delay_s": event.delay_s,
        "prediction": _cut(answer.get("prediction")),
        "probability": answer.get("probability"),
    }


def _cut(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = (
        value
        if isinstance(value, str)
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def page_of(name: str, title: str) -> str:
    """The whole page as HTML; all that a message brings is put into it as text, by its script."""
    figures = (
        ("rate", Both("messages per second", "每秒消息数")),
        ("delay", Both("delay", "延迟")),
        ("lag", Both("waiting at the broker", "在消息代理处等待")),
        ("settled", Both("answered in all", "已作答总数")),
        ("dead", Both("dead letters", "死信")),
    )
    tiles = [
        tag("div", tag("div", text, class_="name"), tag("div", "–", class_="value", id=place), class_="tile")
        for place, text in figures
    ]
    heads = (
        Both("time", "时间"),
        Both("key or message", "键或消息"),
        Both("prediction", "预测"),
        Both("delay", "延迟"),
    )
    head = tag("thead", tag("tr", *(tag("th", text, scope="col") for text in heads)))
    table = tag("table", head, tag("tbody", id="answers"))
    quiet = tag("p", Both("Nothing has been answered yet.", "尚无答案。"), id="quiet", class_="note")
    pause = tag("button", Both("Pause", "暂停"), type="button", id="pause", aria_pressed="false")
    chart = tag(
        "svg",
        tag("path", id="area"),
        tag("path", id="line"),
        viewBox="0 0 600 90",
        preserveAspectRatio="none",
        id="chart",
        role="img",
        aria_label="messages per second",
    )
    peak = tag("p", id="peak", class_="note")
    body = [
        tag("style", Html(_text("live.css"))),
        tag("div", *tiles, class_="tiles"),
        card(Both("Messages per second, the last two minutes", "每秒消息数（最近两分钟）"), chart, peak),
        card(Both("The last answers", "最近的答案"), pause, tag("div", table, class_="scroll"), quiet),
        tag("p", id="state", role="status", class_="note"),
        tag("script", Html(_text("live.js"))),
    ]
    return page(name, *body, kicker=Both("Orrery · stream", "Orrery · 数据流"), lead=title)


@cache
def _text(name: str) -> str:
    return (files("orrery.serving.stream") / name).read_text("utf-8")


@cache
def _policy() -> tuple[str, str]:
    """Only our own two scripts run."""
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (shell_script(), _text("live.js"))
    ]
    return "Content-Security-Policy", (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; "
        "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    )
