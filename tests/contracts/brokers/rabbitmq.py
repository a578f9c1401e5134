"""RabbitMQ, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.contracts.brokers.bench import Sent, started

from orrery.serving.stream.stream import Stream


class RabbitMq:
    """Two queues."""

    def __init__(self, ask: Callable[[str], Any]) -> None:
        self.server = ask("rabbitmq")
        self.name = f"s-{uuid4().hex}"
        self.source = f"{self.server.url}/{self.name}"
        self.to = f"{self.source}-out"

    def put(self, messages: Sequence[Sent]) -> None:
        """Each stored, under a name of its own."""
        import pika

        with self.server.connect() as connection, connection.channel() as channel:
            channel.queue_declare(self.name, durable=True)
            channel.tx_select()
            for message in messages:
                key = {} if message.key is None else {"key": message.key}
                said = pika.BasicProperties(
                    headers={**message.headers, **key}, message_id=uuid4().hex, delivery_mode=2
                )
                channel.basic_publish("", self.name, message.value, said)
            channel.tx_commit()

    def answers(self) -> list[Sent]:
        """All that are in the queue; it has them still."""
        return self._all(f"{self.name}-out")

    def dead(self) -> list[Sent]:
        """All dead letters."""
        return self._all(f"{self.name}-out.dead")

    def _all(self, queue: str) -> list[Sent]:
        found = []
        with self.server.connect() as connection, connection.channel() as channel:
            there = channel.queue_declare(queue, durable=True).method.message_count
            while len(found) < there:
                method, properties, body = channel.basic_get(queue)
                if method is None:
                    break
                headers = {
                    name: value if isinstance(value, bytes) else value.encode()
                    for name, value in properties.headers.items()
                }
                found.append(Sent(body, headers.pop("key", None), headers))
        return found

    def stream(self, model: Any, **options: Any) -> Stream:
        """By address."""
        return started(self, model, **{"group": self.name, **options})

    def words(self) -> list[str]:
        """The options, for the command line."""
        return ["--group", self.name]

    @contextmanager
    def away(self) -> Iterator[None]:
        """It is killed, and started again."""
        self.server.kill()
        try:
            yield
        finally:
            self.server.start()
