"""One talk with a service, without the wire: what to send, when to send it again, when to give up.

A talk is a generator. It yields a :class:`Call` to be sent, and is sent what was :class:`Heard`; or it yields
a :class:`Pause`. The clients that wait and those that ``await`` run the same talks (see ``client``).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar

from orrery.client.problem import error_of
from orrery.errors import LateError, OverloadedError, ServingError, SettingsError

T = TypeVar("T")

_AGAIN = {429, 502, 503}
_FIRST_S, _LONGEST_S = 0.1, 5.0  # of a pause before asking again
_TIMEOUT = "X-Request-Timeout-Ms"


class Call(NamedTuple):
    """A request to be sent."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str]
    timeout_s: float


class Heard(NamedTuple):
    """What came back: an answer, or ``failed``: why there was none."""

    status: int = 0
    headers: dict[str, str] = {}  # noqa: RUF012 - never written to
    body: bytes = b""
    failed: str = ""
    is_late: bool = False
    """Whether it failed by taking too long."""


class Pause(NamedTuple):
    """So many seconds to wait."""

    seconds: float


Talk = Generator[Call | Pause, Heard, T]


@dataclass(frozen=True)
class Manner:
    """How to talk: patience, repeats, and what is sent with every call."""

    timeout_s: float = 30.0
    retries: int = 4
    headers: dict[str, str] = field(default_factory=dict, repr=False)  # may hold a token

    def talk(self, method: str, path: str, body: object = None) -> Talk[Any]:
        """The JSON value that a call is answered with. Raises what the service says, and ServingError.

        A service that is away or has too much to do is asked again, after a pause that grows and is partly
        left to chance, or the one that it asks for; ``timeout_s`` is for all of that together.
        """
        ends_s = time.monotonic() + self.timeout_s
        sent = _bytes(body)
        for count in range(self.retries + 1):
            left_s = max(0.001, ends_s - time.monotonic())
            headers = {**self.headers, _TIMEOUT: str(max(1, int(1000 * left_s)))}
            if sent:
                headers["Content-Type"] = "application/json"
            heard = yield Call(method, path, sent, headers, left_s)
            if heard.status and heard.status not in _AGAIN:
                return _value(heard)
            if heard.is_late:
                break
            pause_s = self._pause(heard, count)
            if count == self.retries or time.monotonic() + pause_s >= ends_s:
                break
            yield Pause(pause_s)
        raise self._gave_up(heard)

    def _pause(self, heard: Heard, count: int) -> float:
        asked_s = retry_after(heard.headers.get("retry-after", ""))
        return asked_s + random.uniform(0.5, 1.0) * min(_LONGEST_S, _FIRST_S * 2.0**count)

    def _gave_up(self, heard: Heard) -> ServingError:
        if heard.status:
            error = error_of(heard.status, heard.body)
            return error if isinstance(error, ServingError) else OverloadedError(str(error))
        if heard.is_late:
            return LateError(f"The service did not answer in {self.timeout_s:g} s.")
        return ServingError(
            f"The service cannot be reached: {heard.failed:.200}.", hint="Is it running, and the URL right?"
        )


def _bytes(body: object) -> bytes:
    if body is None:
        return b""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"The rows hold text that is not Unicode: {error.reason}.") from None


def _value(heard: Heard) -> Any:
    """The JSON value of an answer. Raises what the service says."""
    if heard.status >= 300:
        raise error_of(heard.status, heard.body)
    try:
        return json.loads(heard.body) if heard.body else None
    except ValueError:
        raise ServingError("The service answered with something that is not JSON.") from None


def retry_after(text: str) -> float:
    """The seconds that a header ``Retry-After`` asks to wait; 0 where it says nothing that can be read.

    >>> retry_after("2"), retry_after("soon"), retry_after("Thu, 01 Jan 1970 00:00:00 GMT")
    (2.0, 0.0, 0.0)
    """
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
