"""Redis streams, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.contracts.brokers.bench import Sent, started

from orrery.serving.stream.stream import Stream


class Redis:
    """Two streams."""

    def __init__(self, ask: Callable[[str], Any]) -> None:
        self.server = ask("redis")
        self.name = f"s-{uuid4().hex}"
        self.source = f"{self.server.url}/{self.name}"
        self.to = f"{self.source}-out"

    def put(self, messages: Sequence[Sent]) -> None:
        """An entry each."""
        with self.server.connect() as client:
            pipe = client.pipeline(transaction=False)
            for message in messages:
                fields: dict[str, bytes] = {"value": message.value or b"", **message.headers}
                pipe.xadd(self.name, fields if message.key is None else {**fields, "key": message.key})
            pipe.execute()

    def answers(self) -> list[Sent]:
        """All entries."""
        return self._all(f"{self.name}-out")

    def dead(self) -> list[Sent]:
        """All dead letters."""
        return self._all(f"{self.name}-out.dead")

    def _all(self, name: str) -> list[Sent]:
        with self.server.connect() as client:
            entries = [{k.decode(): v for k, v in fields.items()} for _, fields in client.xrange(name)]
        return [Sent(one.pop("value"), one.pop("key", None), one) for one in entries]

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
