"""The way of messages to the stream: a broker in this process, or Kafka."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import uuid4

import orrery as ory
from orrery.errors import BrokerError
from orrery.serving.stream.memory import Topic
from orrery.serving.stream.stream import Stream

_PATIENCE_S = 120


class Wire(Protocol):
    """Where payments go in, and answers come out."""

    title: str
    sent: int
    """Messages so far."""

    def stream(self, model: str, past: Any) -> Stream:
        """Begin to answer them."""

    def send(self, messages: Sequence[bytes]) -> None:
        """Payments, in their order."""

    def wait(self) -> None:
        """Until all are answered. Raises BrokerError."""


class MemoryWire:
    """A broker in this process."""

    title = "A stream, in this process"

    def __init__(self) -> None:
        self.name = uuid4().hex
        self.sent = 0
        self._stream: Stream | None = None

    def stream(self, model: str, past: Any) -> Stream:
        """Begin to answer."""
        self._stream = ory.stream(
            f"memory://{self.name}", model, f"memory://{self.name}.scores", record=True, wait=False, past=past
        )
        return self._stream

    def send(self, messages: Sequence[bytes]) -> None:
        """Put them into the topic."""
        for message in messages:
            Topic.of(self.name).put(message)
        self.sent += len(messages)

    def wait(self) -> None:
        """Until all are answered. Raises BrokerError."""
        wait_for(self._stream, self.sent)


class KafkaWire:
    """Two topics of a Kafka, made here, of one partition each: payments keep their order."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.title = f"A stream of Kafka at {place}"
        self.source, self.to = (f"payments-{uuid4().hex[:8]}", f"scores-{uuid4().hex[:8]}")
        self.sent = 0
        self._producer: Any = None
        self._stream: Stream | None = None

    def stream(self, model: str, past: Any) -> Stream:
        """Make the topics, and begin to answer."""
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        settings = {"bootstrap.servers": self.place}
        admin = AdminClient(settings)
        for made in admin.create_topics([NewTopic(name, 1, 1) for name in (self.source, self.to)]).values():
            made.result(30)
        self._producer = Producer({**settings, "linger.ms": 5})
        url = f"kafka://{self.place}"
        self._stream = ory.stream(
            f"{url}/{self.source}", model, f"{url}/{self.to}", record=True, wait=False, past=past
        )
        return self._stream

    def send(self, messages: Sequence[bytes]) -> None:
        """Write them to the topic."""
        for message in messages:
            self._producer.produce(self.source, message)
            self._producer.poll(0)
        if self._producer.flush(30):
            raise BrokerError(f"{self.place} did not take all payments.")
        self.sent += len(messages)

    def wait(self) -> None:
        """Until all are answered. Raises BrokerError."""
        wait_for(self._stream, self.sent)


def wait_for(stream: Stream | None, count: int) -> None:
    """Until a stream has answered so many messages. Raises BrokerError."""
    deadline = time.monotonic() + _PATIENCE_S
    while stream is not None and stream.counts.settled < count:
        if not stream.is_running or time.monotonic() > deadline:
            raise BrokerError(f"{stream.counts.settled:,} of {count:,} payments were answered.")
        time.sleep(0.005)
