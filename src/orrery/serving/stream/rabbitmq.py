"""RabbitMQ: ``rabbitmq://user:password@host:5672/orders``, the last part a queue.

A queue has no places: a message is known by its ``message_id``, or, if it has none, by what is in it. Answers
are published in transactions of the channel, whose commit is the broker's word that they are stored; messages
are acknowledged by hand behind it, and what was not goes back to where it stood.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from orrery.errors import BrokerError
from orrery.extras import require
from orrery.serving.stream.bounded import Bounded
from orrery.serving.stream.broker import Letter, Message, Refused, Wiring
from orrery.serving.stream.place import Place, parse

_PURPOSE = "Streams of RabbitMQ"
_PREFETCH = 8_192  # of small messages: at most so many wait in memory or to be acknowledged
_FIRST = 64  # as long as their size is not known


class RabbitInbox:
    """Reads a queue; scorers share it."""

    def __init__(self, place: Place, wiring: Wiring) -> None:
        self.place = place
        self.wiring = wiring
        self._connection: Any = None
        self._channel: Any = None
        self._come: deque[Message] = deque()
        self._bounded = Bounded()
        self._prefetch = _FIRST
        self._tag = ""

    def open(self, settle: Callable[[], None]) -> None:
        """Connect; the queue is made if it is not there."""
        self._come.clear()
        self._prefetch = _FIRST
        with _speaking(self.place):
            self._connection = _connected(self.place, heartbeat=60)
            self._channel = self._connection.channel()
            self._channel = _have(self._connection, self._channel, self.place.name)
            self._consume()

    def _consume(self) -> None:
        self._channel.basic_qos(prefetch_count=self._prefetch)  # of consumers that begin after it
        self._tag = self._channel.basic_consume(self.place.name, self._came)

    def _came(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        headers = [(name, _bytes(value)) for name, value in (properties.headers or {}).items()]
        key = next((value for name, value in headers if name == "key"), None)
        kept = [(name, value) for name, value in headers if name != "key"]
        self._come.append(
            Message(
                body,
                f"{self.place.name}/{properties.message_id or _digest(body, headers)}",
                key,
                headers=kept,
                time_ms=1000 * int(properties.timestamp or 0),
                handle=method.delivery_tag,
            )
        )

    def take(self, most: int, wait_s: float) -> list[Message]:
        """Whatever has come."""
        with _speaking(self.place):
            self._connection.process_data_events(0)
            if not self._come and wait_s:
                self._connection.process_data_events(wait_s)
        found = [self._come.popleft() for _ in range(min(most, len(self._come)))]
        self._bounded.seen(found)
        return found

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """All up to the last of them."""
        with _speaking(self.place):
            self._channel.basic_ack(messages[-1].handle, multiple=True)
            fits = self._bounded.most(_PREFETCH)
            if fits < self._prefetch or fits > 2 * self._prefetch:
                self._prefetch = fits
                self._channel.basic_cancel(self._tag)
                self._consume()
            self._connection.process_data_events(0)

    def lag(self) -> int | None:
        """It is not asked: that would wait."""
        return None

    def close(self) -> None:
        """Disconnect; the broker gives what was not acknowledged to others."""
        connection, self._connection, self._channel = self._connection, None, None
        _end(connection)


class RabbitOutbox:
    """Publishes to queues, in transactions."""

    has_headers = True

    def __init__(self, place: Place, dead: str) -> None:
        self.place = place
        self.dead = dead
        self._connection: Any = None
        self._channel: Any = None
        self._returned: list[str] = []

    def open(self) -> None:
        """Connect; queues are made if they are not there."""
        self._returned = []
        with _speaking(self.place):
            self._connection = _connected(self.place, heartbeat=0)  # nobody looks at it between messages
            self._channel = self._connection.channel()
            for queue in (self.place.name, self.dead):
                self._channel = _have(self._connection, self._channel, queue)
            self._channel.add_on_return_callback(self._gave_back)
            self._channel.tx_select()

    def _gave_back(self, _: Any, method: Any, __: Any, ___: bytes) -> None:
        self._returned.append(method.routing_key)

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Publish them, within a transaction."""
        properties = require("pika", _PURPOSE).BasicProperties
        with _speaking(self.place):
            for letter in letters:
                headers = {name: value or b"" for name, value in letter.headers}
                if letter.key is not None:
                    headers["key"] = letter.key
                own = next((value.decode() for name, value in headers.items() if name == "orrery-id"), None)
                said = properties(headers=headers, delivery_mode=2, message_id=own and own[-250:])
                queue = self.dead if letter.is_dead else self.place.name
                self._channel.basic_publish("", queue, letter.value or b"", said, mandatory=True)
        return ()

    def flush(self) -> None:
        """Commit: the broker says when all of it is stored."""
        with _speaking(self.place):
            self._channel.tx_commit()
            if self._returned:
                raise BrokerError(f"{self.place.shown} has no queue {self._returned[0]!r} any more.")

    def close(self) -> None:
        """Disconnect; what was not committed never was."""
        connection, self._connection, self._channel = self._connection, None, None
        _end(connection)


def inbox(place: str, wiring: Wiring) -> RabbitInbox:
    """An inbox on ``rabbitmq://host:5672/queue``."""
    return RabbitInbox(parse(place, 5672, ("vhost",)), wiring)


def outbox(place: str, wiring: Wiring) -> RabbitOutbox:
    """An outbox on ``rabbitmq://host:5672/queue``; dead letters go to ``queue.dead`` unless told."""
    found = parse(place, 5672, ("vhost",))
    return RabbitOutbox(found, wiring.dead_letter or f"{found.name}.dead")


def _connected(place: Place, heartbeat: int) -> Any:
    pika = require("pika", _PURPOSE)
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what goes wrong is told by the call
    tls = place.tls()
    given: dict[str, Any] = {"ssl_options": pika.SSLOptions(tls, place.host)} if tls is not None else {}
    if place.user:
        given["credentials"] = pika.PlainCredentials(place.user, place.password)
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            host=place.host,
            port=place.port,
            virtual_host=place.settings.get("vhost", "/"),
            heartbeat=heartbeat,
            socket_timeout=place.timeout_s,
            stack_timeout=place.timeout_s,
            blocked_connection_timeout=place.timeout_s,
            **given,
        )
    )


def _have(connection: Any, channel: Any, queue: str) -> Any:
    """A channel on which a queue is there: as somebody made it, or durable."""
    try:
        channel.queue_declare(queue, passive=True)
    except require("pika.exceptions", _PURPOSE).ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
    return channel


def _end(connection: Any) -> None:
    if connection is not None:
        with suppress(Exception):  # it is dead, or the broker is: both is as good as closed
            connection.close()


@contextmanager
def _speaking(place: Place) -> Iterator[None]:
    """Errors of the client as ours."""
    known = require("pika.exceptions", _PURPOSE)
    try:
        yield
    except (known.AMQPError, OSError) as error:
        said = str(error).replace(place.password or "\0", "***") or type(error).__name__
        raised = BrokerError(f"{place.shown} cannot be used: {said}.")
        refused = (known.ProbableAuthenticationError, known.ProbableAccessDeniedError)
        raised.lasting = isinstance(error, refused) or getattr(error, "reply_code", 0) in (403, 530)
        raise raised from None


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    return str(value).encode()


def _digest(body: bytes, headers: Sequence[tuple[str, bytes | None]]) -> str:
    """A name for a message that has none: equal ones are taken for one."""
    whole = hashlib.blake2b(body, digest_size=16)
    for name, value in headers:
        whole.update(name.encode() + b"\0" + (value or b"") + b"\0")
    return whole.hexdigest()
