"""A broker within the process, for tests and trials: ``memory://name``. Nothing of it outlives that."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import ClassVar

from orrery.serving.stream.broker import Letter, Message, Outbox, Refused, Wiring


class Topic:
    """Messages in one lane, and how far each group has read them.

    >>> topic = Topic.of("doctest")
    >>> topic.put(b"{}", key=b"a")
    >>> [message.id for message in topic.messages]
    ['doctest/0']
    """

    _all: ClassVar[dict[str, Topic]] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: list[Message] = []
        self.read: dict[str, int] = defaultdict(int)
        """Group -> messages acknowledged."""
        self.is_complete = False
        """Nothing will be put any more."""
        self.changed = threading.Condition()

    @classmethod
    def of(cls, name: str) -> Topic:
        """The topic of a name."""
        return cls._all.setdefault(name, cls(name))

    def put(
        self, value: bytes | None, key: bytes | None = None, headers: Sequence[tuple[str, bytes | None]] = ()
    ) -> None:
        """Append a message."""
        with self.changed:
            self.messages.append(Message(value, f"{self.name}/{len(self.messages)}", key, headers=headers))
            self.changed.notify_all()

    def complete(self) -> None:
        """Say that nothing will be put any more."""
        with self.changed:
            self.is_complete = True
            self.changed.notify_all()


class MemoryInbox:
    """Reads a topic from where its group stopped."""

    def __init__(self, topic: Topic, group: str) -> None:
        self.topic = topic
        self.group = group
        self._at = 0

    def open(self, settle: Callable[[], None]) -> None:
        """Begin behind what was acknowledged."""
        self._at = self.topic.read[self.group]

    def take(self, most: int, wait_s: float) -> list[Message] | None:
        """What is there."""
        topic = self.topic
        with topic.changed:
            topic.changed.wait_for(lambda: len(topic.messages) > self._at or topic.is_complete, wait_s)
            found = topic.messages[self._at : self._at + most]
            self._at += len(found)
            return found or (None if topic.is_complete else [])

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Move the group on."""
        self.topic.read[self.group] += len(messages)

    def lag(self) -> int | None:
        """What was not taken yet."""
        return len(self.topic.messages) - self._at

    def close(self) -> None:
        """Nothing to do."""


class MemoryOutbox:
    """Appends to a topic."""

    has_headers = True

    def __init__(self, topic: Topic, dead: Topic) -> None:
        self.topic = topic
        self.dead = dead

    def open(self) -> None:
        """Nothing to do."""

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Stored at once."""
        for letter in letters:
            (self.dead if letter.is_dead else self.topic).put(letter.value, letter.key, letter.headers)
        return ()

    def flush(self) -> None:
        """It is."""

    def close(self) -> None:
        """Nothing to do."""


def inbox(place: str, wiring: Wiring) -> MemoryInbox:
    """An inbox on ``memory://name``."""
    return MemoryInbox(Topic.of(place.removeprefix("memory://")), wiring.group)


def outbox(place: str, wiring: Wiring) -> Outbox:
    """An outbox on ``memory://name``; dead letters go to ``name.dead`` unless told."""
    name = place.removeprefix("memory://")
    return MemoryOutbox(Topic.of(name), Topic.of(wiring.dead_letter or f"{name}.dead"))
