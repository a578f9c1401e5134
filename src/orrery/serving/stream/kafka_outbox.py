"""Kafka's producer: idempotent, and for exactly once in transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from orrery.data.sources.kafka_address import Address
from orrery.data.sources.kafka_client import Client
from orrery.errors import BrokerError, SettingsError
from orrery.extras import require
from orrery.serving.stream.broker import Inbox, Letter, Message, Refused, Wiring
from orrery.serving.stream.kafka_words import CLIENT, broken, check_heard

_QUEUED_KB = 32 << 10
_SLICE_S = 0.5
_TRANSACTION_S = 20
"""For how long what a killed scorer began keeps readers waiting; with ``instance``, until the next starts."""


class KafkaOutbox:
    """Writes to two topics: answers and dead letters."""

    has_headers = True

    def __init__(self, address: Address, dead: Address, wiring: Wiring) -> None:
        self.address = address
        self.dead = dead
        self.wiring = wiring
        self._client = Client(address)
        self._producer: Any = None
        self._partitions: dict[bool, int] = {}  # of the answers' topic (False), and of the dead letters'
        self._failed: list[Any] = []

    def open(self) -> None:
        """Find the topics; the one of dead letters is made, if there is none. Raises SourceError."""
        kafka = require("confluent_kafka", "Streams of Kafka")
        with self._client.asking() as questions:
            self._partitions = {False: len(questions.partitions()[1])}
        _make(self.dead)
        with Client(self.dead).asking() as questions:
            self._partitions[True] = len(questions.partitions()[1])
        self._failed.clear()
        self._client.errors.clear()
        with self._client.speaking():
            self._producer = kafka.Producer(self._settings())

    def _settings(self) -> dict[str, Any]:
        shared = {k: v for k, v in self._client.settings.items() if k != "isolation.level"}
        wait_ms = int(self.address.timeout_s * 1000)
        return {**shared, **_PRODUCER, "message.timeout.ms": wait_ms, "on_delivery": self._delivered}

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Hand letters to the client, which sends them in the background."""
        kafka = require("confluent_kafka", "Streams of Kafka")
        refused = []
        for number, letter in enumerate(letters):
            try:
                self._produce(letter)
            except kafka.KafkaException as error:
                if error.args[0].code() != kafka.KafkaError.MSG_SIZE_TOO_LARGE:
                    raise broken(self._client, error.args[0]) from None
                refused.append(Refused(number, error.args[0].str()))
        self._producer.poll(0)
        self._check()
        return refused

    def _produce(self, letter: Letter) -> None:
        is_dead = letter.is_dead
        more = {} if letter.key is not None else {"partition": letter.lane % self._partitions[is_dead]}
        topic = self.dead.topic if is_dead else self.address.topic
        end_s = 0.0
        while True:
            try:
                self._producer.produce(
                    topic, letter.value, letter.key, headers=letter.headers or None, **more
                )
                return
            except BufferError:  # as many are on their way as may be
                end_s = end_s or time.monotonic() + self.address.timeout_s + 5
                self._producer.poll(_SLICE_S)
                self._check()
                if time.monotonic() > end_s:
                    raise self._late("room for more messages") from None

    def flush(self) -> None:
        """Wait for the broker's word on all of them."""
        end_s = time.monotonic() + self.address.timeout_s + 5
        while self._producer.flush(_SLICE_S):
            self._check()
            if time.monotonic() > end_s:
                raise self._late("the messages that were sent")
        self._check()

    def _late(self, about: str) -> BrokerError:
        return BrokerError(self._client.late(about).message)

    def _check(self) -> None:
        check_heard(self._client)
        if self._failed:
            raise broken(self._client, self._failed[0])

    def close(self) -> None:
        """Drop what is on its way."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(SystemError):  # of librdkafka's reports on what is dropped here
                producer.purge()
                producer.flush(1.0)


class TransactionalOutbox(KafkaOutbox):
    """Writes in transactions, which hold the offsets of what was answered."""

    def __init__(self, address: Address, dead: Address, wiring: Wiring) -> None:
        super().__init__(address, dead, wiring)
        self._is_begun = False

    def _settings(self) -> dict[str, Any]:
        # Named scorers take over from the one before them at once; others from whoever's time is up.
        name = f"orrery-{self.wiring.group}-{self.wiring.instance or uuid4().hex}"
        return {
            **super()._settings(),
            "transactional.id": name,
            "transaction.timeout.ms": _TRANSACTION_S * 1000,
            "message.timeout.ms": _TRANSACTION_S * 1000,
        }

    def open(self) -> None:
        """Find the topics, and end what an earlier scorer of this name left open."""
        super().open()
        self._is_begun = False
        self._patiently(self._producer.init_transactions)

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        """Hand letters to the client, within a transaction."""
        if not self._is_begun:
            self._patiently(lambda _: self._producer.begin_transaction())
            self._is_begun = True
        return super().send(letters)

    def commit(self, inbox: Inbox, messages: Sequence[Message]) -> None:
        """Store letters and offsets as one."""
        position = getattr(inbox, "position", None)
        if position is None:
            raise SettingsError(
                "Exactly once needs an inbox and an outbox of one Kafka.", hint="Leave out --exactly-once."
            )
        offsets, member = position(messages)
        self._patiently(lambda wait_s: self._producer.send_offsets_to_transaction(offsets, member, wait_s))
        self._patiently(self._producer.commit_transaction)
        self._is_begun = False
        self._check()

    def _patiently(self, call: Callable[[float], object]) -> None:
        """A step of a transaction, tried again while it may still come to something."""
        kafka = require("confluent_kafka", "Streams of Kafka")
        end_s = time.monotonic() + self.address.timeout_s
        while True:
            try:
                call(min(5.0, self.address.timeout_s))
                return
            except kafka.KafkaException as raised:
                error = raised.args[0]
                if not error.retriable() or time.monotonic() > end_s:
                    made = broken(self._client, error)
                    is_fenced = error.code() == kafka.KafkaError._FENCED
                    if is_fenced and self.wiring.instance:
                        made.lasting = True
                        made.hint = "Another scorer of the group has the same name."
                    raise made from None
                self._producer.poll(0.1)

    def close(self) -> None:
        """Abort what is open."""
        if self._producer is not None and self._is_begun:
            kafka = require("confluent_kafka", "Streams of Kafka")
            with suppress(kafka.KafkaException):  # the broker is away, or has aborted it: it runs out there
                self._producer.abort_transaction(5.0)
        self._is_begun = False
        super().close()


_PRODUCER: dict[str, Any] = {
    **CLIENT,
    "enable.idempotence": True,
    "linger.ms": 5,
    "partitioner": "murmur2_random",  # that of Kafka's own clients: equal keys of theirs and ours meet
    "delivery.report.only.error": True,
    "queue.buffering.max.kbytes": _QUEUED_KB,
}


def _make(dead: Address) -> None:
    """A topic for dead letters, if there is none; with the broker's own settings."""
    new = require("confluent_kafka.admin", "Streams of Kafka").NewTopic
    kafka = require("confluent_kafka", "Streams of Kafka")
    end_s = time.monotonic() + dead.timeout_s
    with Client(dead).asking() as questions:
        if dead.topic in questions.admin.list_topics(timeout=dead.timeout_s).topics:
            return
        made = questions.admin.create_topics([new(dead.topic, -1, -1)])[dead.topic]
        try:
            made.result(dead.timeout_s)
        except kafka.KafkaException as error:
            if error.args[0].code() != kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        while dead.topic not in questions.admin.list_topics(timeout=dead.timeout_s).topics:
            if time.monotonic() > end_s:  # it is made, and not yet known to every broker
                raise Client(dead).late(f"the new topic {dead.topic!r}")
            time.sleep(0.05)
