"""The broker within the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import uuid4

from tests.contracts.brokers.bench import Sent, started

from orrery.serving.stream.memory import Topic
from orrery.serving.stream.stream import Stream


class Memory:
    """Topics of this process."""

    def __init__(self, ask: Callable[[str], Any]) -> None:
        self.name = uuid4().hex
        self.source = f"memory://{self.name}"
        self.to = f"memory://{self.name}.out"

    def put(self, messages: Sequence[Sent]) -> None:
        """Append them."""
        for message in messages:
            Topic.of(self.name).put(message.value, message.key, list(message.headers.items()))

    def answers(self) -> list[Sent]:
        """All of a topic."""
        return self._all(f"{self.name}.out")

    def dead(self) -> list[Sent]:
        """All of another."""
        return self._all(f"{self.name}.out.dead")

    def _all(self, name: str) -> list[Sent]:
        return [Sent(m.value, m.key, {k: v or b"" for k, v in m.headers}) for m in Topic.of(name).messages]

    def stream(self, model: Any, **options: Any) -> Stream:
        """By address."""
        return started(self, model, **options)

    def away(self) -> AbstractContextManager[None]:
        """It never is."""
        raise NotImplementedError
