"""What a broker does for a stream: an inbox gives messages, an outbox takes letters.

The scorer calls, on one thread::

    inbox.open(settle); outbox.open()
    while messages := inbox.take(most, wait_s):     # [] when none came in time, None when none will ever come
        refused = outbox.send(letters)              # taken over; not safe yet
        if it is time:                              # nothing more waits, or enough was sent
            outbox.flush()                          # safe now: whatever happens, they can be read
            inbox.acknowledge(messages)             # all that were taken, in their order; never again, please
    outbox.close(); inbox.close()

What was taken and not acknowledged when an inbox closes, or its process dies, is given again to the next that
opens it, with the same ``Message.id``: that is at least once. An outbox that can store letters and what was
read as one (:class:`Exact`) makes it exactly once.

A broker that goes away and comes back within its time-out is waited for in ``take`` and ``flush``. Whatever
else fails raises BrokerError; the scorer then closes both, waits a little, and opens them again, unless the
error is ``lasting``. ``open`` after ``close`` must work, as must ``close`` of what is half open, or dead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import Field

from orrery.spec import Spec

Headers = Sequence[tuple[str, bytes | None]]
"""In their order; names may repeat."""


class Message(NamedTuple):
    """What was taken from an inbox."""

    value: bytes | None
    """None is Kafka's mark of a deleted key."""
    id: str
    """Where it stands (topic/partition/offset): the same each time that it is given."""
    key: bytes | None = None
    lane: int = 0
    """Messages of one lane have an order (a partition), and keep it."""
    headers: Headers = ()
    time_ms: int = 0
    """When it was written, in milliseconds since 1970; 0 if the broker does not say."""
    handle: Any = None
    """The broker's own, to acknowledge it by."""


class Letter(NamedTuple):
    """What goes to an outbox: an answer, or a message that could not be answered."""

    value: bytes | None
    key: bytes | None = None
    lane: int = 0
    """That of the message that it answers."""
    headers: Headers = ()
    is_dead: bool = False
    """It goes to where dead letters go, not to where answers go."""


class Refused(NamedTuple):
    """A letter that an outbox can never take: too large, as a rule."""

    number: int
    """Which of those that were sent, from 0."""
    reason: str


class Inbox(Protocol):
    """Where messages come from."""

    def open(self, settle: Callable[[], None]) -> None:
        """Connect. Raises BrokerError, SourceError, SettingsError.

        ``settle`` is to be called, on the thread that calls ``take``, before messages that were taken are
        given to somebody else: it has all that was taken flushed and acknowledged. Few brokers need it.
        """

    def take(self, most: int, wait_s: float) -> list[Message] | None:
        """Whatever is there now, at most so many; waits only for the first. None when none will ever come.

        Messages of one lane come in their order. What waits in memory meanwhile is bounded in bytes.
        """

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """They are answered; all that were taken since the last time, in the order in which they were."""

    def lag(self) -> int | None:
        """How many messages wait at the broker, about; None if it does not say. Cheap, and never waits."""

    def close(self) -> None:
        """Disconnect. What was not acknowledged will be given again."""


class Outbox(Protocol):
    """Where answers and dead letters go."""

    has_headers: bool
    """Whether letters can have headers. If not, what would stand there stands in the payload."""

    def open(self) -> None:
        """Connect. Raises BrokerError, SourceError, SettingsError."""

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Take letters over, those of a lane in their order; waits while too many bytes are on their way."""

    def flush(self) -> None:
        """Wait until the broker has stored all that was sent. Raises BrokerError where it did not."""

    def close(self) -> None:
        """Disconnect, without waiting for what was not flushed."""


@runtime_checkable
class Exact(Protocol):
    """An outbox that stores letters, and how far an inbox was read, as one: all of it or nothing."""

    def commit(self, inbox: Inbox, messages: Sequence[Message]) -> None:
        """In the place of ``flush`` and ``acknowledge``. Raises BrokerError where nothing was stored."""


class Wiring(Spec):
    """How a stream is connected to its brokers, and how its messages are written."""

    payload: str | dict[str, Any] = "json"
    """``json``, ``arrow``, ``text``, ``csv`` in a pipe, or settings: ``{"kind": "avro", "registry": …}``."""
    to_payload: str | dict[str, Any] = ""
    """That of the answers; the same if not given, for JSON, Avro and Arrow, and else JSON."""
    absent_is_null: bool = False
    """Of JSON: whether an object without one of the model's columns is answered, as if it were null."""
    group: str = ""
    """Scorers of one group share the messages; the model's name if not given."""
    instance: str = ""
    """A name of this scorer in its group: after a crash the next one of that name takes its place at once."""
    dead_letter: str = ""
    """A topic of the outbox's broker, for messages that cannot be answered. Each broker has a default."""
    guarantee: Literal["at-least-once", "exactly-once"] = "at-least-once"
    max_wait_s: float = Field(default=0.1, ge=0)
    """Under load, for how long answers may be sent together. A message that comes alone waits for nothing."""
    poll_s: float = Field(default=0.2, gt=0)
    """How often an idle stream looks whether it should end."""
