"""MQTT 5 at quality of service 1: ``mqtt://host:1883/plant/7/orders``, all behind the host a topic.

A broker keeps messages for those who subscribed before: a scorer must have been there once. One without a
name has its group for itself; those with names (``--instance``) share what comes for the group. A message is
known by its user property ``id``, or, if it has none, by what is in it; ``key`` is its key, all others are
its headers.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition
from typing import Any

from orrery.errors import BrokerError
from orrery.extras import require
from orrery.serving.stream.broker import Letter, Message, Refused, Wiring
from orrery.serving.stream.place import Place, parse

_PURPOSE = "Streams of MQTT"
_UNACKNOWLEDGED = 1_024  # that the broker sends before it waits for us
_ON_THEIR_WAY = 1_024
_KEPT_S = 0xFFFFFFFE  # seconds that a broker is to keep a session: as long as it can
_TAKEN_OVER = 142


class _Line:
    """A connection, served by a thread of the client; it is not mended: the scorer begins anew."""

    def __init__(self, place: Place, name: str, kept: bool) -> None:
        self.place = place
        self.name = name
        self.kept = kept
        """Whether the broker keeps a session under the name."""
        self.changed = Condition()
        self.lost = ""
        self.lasting = False
        self.answered: set[int] = set()
        """Subscriptions that the broker has taken."""
        self.client: Any = None

    def open(self, on_message: Callable[[Any, Any, Any], None] | None = None) -> Any:
        """Connect. Raises BrokerError."""
        mqtt = require("paho.mqtt.client", _PURPOSE)
        place = self.place
        self.lost, self.lasting, self.answered = "no answer yet", False, set()
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=self.name,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if place.user:
            self.client.username_pw_set(place.user, place.password)
        tls = place.tls()
        if tls is not None:
            self.client.tls_set_context(tls)
        self.client.max_inflight_messages_set(_ON_THEIR_WAY)
        self.client.connect_timeout = place.timeout_s
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._gone
        self.client.on_subscribe = self._subscribed
        self.client.on_message = on_message
        try:
            self.client.connect(
                place.host, place.port, clean_start=not self.kept, properties=self._properties()
            )
        except OSError as error:
            raise BrokerError(f"{place.shown} cannot be reached: {error}.") from None
        self.client.loop_start()
        self.wait(lambda: not self.lost or self.lasting)
        return self.client

    def _properties(self) -> Any:
        properties = require("paho.mqtt.properties", _PURPOSE).Properties(
            require("paho.mqtt.packettypes", _PURPOSE).PacketTypes.CONNECT
        )
        properties.SessionExpiryInterval = _KEPT_S if self.kept else 0
        properties.ReceiveMaximum = _UNACKNOWLEDGED
        return properties

    def wait(self, done: Callable[[], bool]) -> None:
        """Wait until something is so. Raises BrokerError."""
        with self.changed:
            came = self.changed.wait_for(done, self.place.timeout_s)
        self.check(came)

    def check(self, came: bool = True) -> None:
        """Whether the line is there. Raises BrokerError."""
        if self.lost or not came:
            said = self.lost or f"it said nothing for {self.place.timeout_s:g} s"
            error = BrokerError(f"{self.place.shown} cannot be used: {said}.")
            error.lasting = self.lasting
            raise error

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self.changed:
            self.lost = str(reason) if reason.is_failure else ""
            self.lasting = reason.is_failure and reason.value in (133, 134, 135, 138, 140)
            self.changed.notify_all()

    def _gone(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self.changed:
            self.lost = self.lost or f"the connection ended ({reason})"
            if reason.value == _TAKEN_OVER:
                self.lost = f"another client took the name {self.name!r}; --instance gives each its own"
                self.lasting = True
            self.changed.notify_all()

    def _subscribed(self, client: Any, data: Any, number: int, reasons: Any, properties: Any) -> None:
        with self.changed:
            if any(reason.is_failure for reason in reasons):
                self.lost, self.lasting = f"the subscription was refused ({reasons[0]})", True
            self.answered.add(number)
            self.changed.notify_all()

    def close(self) -> None:
        """Disconnect."""
        client, self.client = self.client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()


class MqttInbox:
    """Reads a topic for a group."""

    def __init__(self, place: Place, wiring: Wiring) -> None:
        self.place = place
        self.wiring = wiring
        name = f"{wiring.group}-{wiring.instance}" if wiring.instance else wiring.group
        self._line = _Line(place, name, kept=True)
        self._come: deque[Message] = deque()

    def open(self, settle: Callable[[], None]) -> None:
        """Connect under the group's name; what was kept for it comes first."""
        self._come.clear()
        client = self._line.open(self._came)
        shared = f"$share/{_word(self.wiring.group)}/" if self.wiring.instance else ""
        _, number = client.subscribe(f"{shared}{self.place.name}", qos=1)
        self._line.wait(lambda: number in self._line.answered or bool(self._line.lost))

    def _came(self, client: Any, data: Any, message: Any) -> None:
        own: dict[str, str] = dict(getattr(message.properties, "UserProperty", ()))
        key, given = own.pop("key", None), own.pop("id", None)
        headers = [(name, value.encode()) for name, value in own.items()]
        with self._line.changed:
            self._come.append(
                Message(
                    message.payload,
                    f"{message.topic}/{given or _digest(message, own)}",
                    None if key is None else key.encode("utf-8", "surrogateescape"),
                    headers=headers,
                    handle=(message.mid, message.qos),
                )
            )
            self._line.changed.notify_all()

    def take(self, most: int, wait_s: float) -> list[Message]:
        """Whatever has come."""
        with self._line.changed:
            if not self._come and wait_s:
                self._line.changed.wait_for(lambda: self._come or self._line.lost, wait_s)
            found = [self._come.popleft() for _ in range(min(most, len(self._come)))]
        if not found:
            self._line.check()
        return found

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Each, in order."""
        self._line.check()
        for message in messages:
            self._line.client.ack(*message.handle)

    def lag(self) -> int | None:
        """The protocol has no word for it."""
        return None

    def close(self) -> None:
        """Disconnect; the broker keeps what was not acknowledged, and sends it again."""
        self._line.close()
        self._come.clear()


class MqttOutbox:
    """Publishes to topics; the broker's word on each is waited for in ``flush``."""

    has_headers = True

    def __init__(self, place: Place, dead: str) -> None:
        self.place = place
        self.dead = dead
        self._line = _Line(place, "", kept=False)
        self._sent: deque[Any] = deque()

    def open(self) -> None:
        """Connect."""
        self._sent.clear()
        self._line.open()

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Publish them; so many are on their way at most."""
        refused = []
        for number, letter in enumerate(letters):
            topic = self.dead if letter.is_dead else self.place.name
            try:
                info = self._line.client.publish(
                    topic, letter.value or b"", qos=1, properties=_published(letter)
                )
            except ValueError as error:  # larger than the protocol can say
                refused.append(Refused(number, str(error)))
                continue
            self._sent.append(info)
            while len(self._sent) >= _ON_THEIR_WAY:
                self._settle()
        return refused

    def flush(self) -> None:
        """Wait for the broker's word."""
        while self._sent:
            self._settle()

    def _settle(self) -> None:
        """Wait for the oldest that is on its way."""
        info, end_s = self._sent[0], time.monotonic() + self.place.timeout_s
        while True:
            self._line.check(time.monotonic() < end_s)
            try:
                info.wait_for_publish(0.2)
            except (RuntimeError, ValueError) as error:
                raise BrokerError(f"{self.place.shown} did not take a message: {error}.") from None
            if info.is_published():
                self._sent.popleft()
                return

    def close(self) -> None:
        """Disconnect."""
        self._line.close()
        self._sent.clear()


def inbox(place: str, wiring: Wiring) -> MqttInbox:
    """An inbox on ``mqtt://host:1883/topic``."""
    return MqttInbox(parse(place, 1883), wiring)


def outbox(place: str, wiring: Wiring) -> MqttOutbox:
    """An outbox on ``mqtt://host:1883/topic``; dead letters go to ``topic/dead`` unless told."""
    found = parse(place, 1883)
    return MqttOutbox(found, wiring.dead_letter or f"{found.name}/dead")


def _published(letter: Letter) -> Any:
    """Headers and key as user properties, which are text."""
    properties = require("paho.mqtt.properties", _PURPOSE).Properties(
        require("paho.mqtt.packettypes", _PURPOSE).PacketTypes.PUBLISH
    )
    pairs = [(name, (value or b"").decode("utf-8", "backslashreplace")) for name, value in letter.headers]
    if letter.key is not None:
        pairs.append(("key", letter.key.decode("utf-8", "backslashreplace")))
    if pairs:
        properties.UserProperty = [(_clean(name), _clean(value)) for name, value in pairs]
    return properties


def _clean(text: str) -> str:
    """Text as the protocol allows it: no zero character, and within its length."""
    return text.replace("\0", "\\0").encode()[:60_000].decode("utf-8", "ignore")


def _word(group: str) -> str:
    return "".join("-" if c in "/+#" else c for c in group)


def _digest(message: Any, own: dict[str, str]) -> str:
    """A name for a message that has none: equal ones are taken for one."""
    whole = hashlib.blake2b(message.payload, digest_size=16)
    whole.update(repr(sorted(own.items())).encode())
    return whole.hexdigest()
