"""Where requests wait: seats in a room that is bounded in bytes and number, and shared fairly by the models.

The first half of the room is everybody's. Of the second half each model has an equal part of its own: a flood
for one of them fills the first half at most, and is told to come back, while the others go on being heard.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request

from orrery.errors import BadRequestError, OverloadedError, TooLargeError
from orrery.serving.online.limits import Limits

if TYPE_CHECKING:
    from orrery.serving.online.desk import Desk

T = TypeVar("T")

TIMEOUT = "X-Request-Timeout-Ms"
"""How long the caller waits; rows that nobody waits for any more are not computed."""
_ASIDE_BYTES = 1 << 20  # work on more than this is done beside the event loop


class Room:
    """Counts what waits, in all and by model.

    >>> room = Room(Limits(waiting_requests=4), models=2)
    >>> [room.enter("a") for _ in range(2)], room.enter("b"), room.requests
    ([None, None], None, 3)
    """

    def __init__(self, limits: Limits, models: int = 1) -> None:
        self.limits = limits
        self.models = models
        """How many share it."""
        self.requests = 0
        self.bytes = 0
        self._requests: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    def enter(self, name: str) -> None:
        """One more request for a model. Raises OverloadedError."""
        if not self._has_room(self.requests, self._requests[name], 1, self.limits.waiting_requests):
            raise OverloadedError(f"{self.requests} requests wait already.", hint="Ask again later.")
        self.requests += 1
        self._requests[name] += 1

    def hold(self, name: str, held_bytes: int, more_bytes: int) -> None:
        """So many bytes more for a request that holds some. Raises TooLargeError, OverloadedError."""
        most = self.limits.waiting_bytes
        if held_bytes + more_bytes > most:
            raise TooLargeError("The request takes more memory than the service has for all.")
        if not self._has_room(self.bytes, self._bytes[name], more_bytes, most):
            raise OverloadedError("The service holds as many bytes as it may.", hint="Ask again later.")
        self.bytes += more_bytes
        self._bytes[name] += more_bytes

    def leave(self, name: str, held_bytes: int) -> None:
        """A request is answered."""
        self.requests -= 1
        self.bytes -= held_bytes
        self._requests[name] -= 1
        self._bytes[name] -= held_bytes
        if not self._requests[name]:
            del self._requests[name], self._bytes[name]

    def _has_room(self, all_of_it: int, own: int, more: int, most: int) -> bool:
        if all_of_it + more > most:
            return False
        if self.models < 2 or all_of_it + more <= most / 2 or not all_of_it:
            return True
        return own + more <= most / 2 / self.models


class Seat:
    """The place of one request, and the bytes that it holds."""

    def __init__(self, desk: Desk, name: str, gone: Callable[[], bool], timeout_s: float | None) -> None:
        self.desk = desk
        self.name = name
        """The model that is asked, as the caller calls it."""
        self.gone = gone
        """Whether the caller hung up."""
        self.timeout_s = timeout_s
        """How long the caller waits; None: as long as the service does."""
        self.held_bytes = 0

    def hold(self, size_bytes: int) -> None:
        """Hold so many bytes more.

        Raises OverloadedError where all requests together hold too many, TooLargeError where this one does.
        """
        self.desk.room.hold(self.name, self.held_bytes, size_bytes)
        self.held_bytes += size_bytes


def timeout_of(request: Request) -> float | None:
    """How many seconds a caller waits, as its header says in milliseconds. Raises BadRequestError."""
    text = request.headers.get(TIMEOUT)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9 and int(text)):
        raise BadRequestError(f"{TIMEOUT} is {text!r:.40}; it is a whole number of milliseconds.")
    return int(text) / 1000


async def aside(size_bytes: int, work: Callable[..., T], *inputs: Any) -> T:
    """Do work at once, or in a thread where it is on many bytes and would let others wait."""
    if size_bytes <= _ASIDE_BYTES:
        return work(*inputs)
    return await asyncio.to_thread(work, *inputs)
