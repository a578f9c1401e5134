"""Kafka, on a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.contracts.brokers.bench import Sent, started

from orrery.serving.stream.stream import Stream

PARTITIONS = 3


class Kafka:
    """Two topics of three partitions; ``exactly`` reads and writes in transactions."""

    options: dict[str, Any]

    def __init__(self, ask: Callable[[str], Any], guarantee: str = "at-least-once") -> None:
        self.server = ask("kafka")
        name = f"s-{uuid4().hex}"
        self.server.topic(PARTITIONS, name=name)
        self.server.topic(PARTITIONS, name=f"{name}-out")
        self.name = name
        self.source = f"kafka://{self.server.bootstrap}/{name}"
        self.to = f"{self.source}-out"
        self.options = {"guarantee": guarantee, "group": name}

    def put(self, messages: Sequence[Sent]) -> None:
        """Each to the partition of its key."""
        producer = self.server.producer()
        for message in messages:
            producer.produce(self.name, message.value, message.key, headers=message.headers or None)
            producer.poll(0)
        assert producer.flush(60) == 0

    def answers(self) -> list[Sent]:
        """All that are committed."""
        return self._all(f"{self.name}-out")

    def dead(self) -> list[Sent]:
        """All dead letters."""
        return self._all(f"{self.name}-out.dead-letter")

    def _all(self, topic: str) -> list[Sent]:
        from orrery.data.sources.kafka import Kafka as Source
        from orrery.data.sources.kafka_client import Client

        source = Source(f"kafka://{self.server.bootstrap}/{topic}", "bytes")
        return [
            Sent(m.value(), m.key(), dict(m.headers() or ()))
            for span in source.spans
            for messages in Client(source.address).messages(*span)
            for m in messages
        ]

    def stream(self, model: Any, **options: Any) -> Stream:
        """By address."""
        return started(self, model, **{**self.options, **options})

    def words(self) -> list[str]:
        """The options, for the command line."""
        exactly = self.options["guarantee"] == "exactly-once"
        return ["--group", self.name, *(["--exactly-once"] if exactly else [])]

    @contextmanager
    def away(self) -> Iterator[None]:
        """It is killed, and started again."""
        self.server.kill()
        try:
            yield
        finally:
            self.server.start()
