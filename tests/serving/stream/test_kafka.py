"""Streams on a real Kafka: groups, names, metrics, signing in. What all promise is in the contracts."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
from tests.contracts.brokers.bench import wait_for
from tests.servers.kafka import Kafka
from tests.servers.programs import free_ports

import orrery as ory
from orrery.errors import BrokerError, SourceError
from orrery.serving.stream.stream import Stream

PARTITIONS = 4


def texts(first: int, last: int) -> list[bytes]:
    return [json.dumps({"height": 140 + i % 60, "city": "Lyon", "n": i}).encode() for i in range(first, last)]


def put(kafka: Kafka, topic: str, first: int, last: int) -> None:
    """Each to the partition of its number."""
    producer = kafka.producer()
    for n, text in zip(range(first, last), texts(first, last), strict=True):
        producer.produce(topic, text, partition=n % PARTITIONS)
    assert producer.flush(60) == 0


def numbers(kafka: Kafka, topic: str) -> dict[int, list[int]]:
    """What is in each partition of the answers."""
    found: dict[int, list[int]] = {}
    table = ory.read(f"kafka://{kafka.bootstrap}/{topic}", payload="bytes")
    for row in table.select("value", "_partition").to_rows():
        found.setdefault(row["_partition"], []).append(json.loads(row["value"])["n"])
    return found


class Pair:
    """Two topics, and streams of one group between them."""

    def __init__(self, kafka: Kafka, model: ory.Model) -> None:
        self.kafka = kafka
        self.model = model
        self.source, self.to = kafka.topic(PARTITIONS), kafka.topic(PARTITIONS)

    def stream(self, **options: Any) -> Stream:
        place = f"kafka://{self.kafka.bootstrap}"
        options = {"group": self.source, **options}
        made: Stream = ory.stream(
            f"{place}/{self.source}", self.model, f"{place}/{self.to}", wait=False, **options
        )
        return made


@pytest.fixture
def pair(kafka: Kafka, tall: ory.Model) -> Pair:
    return Pair(kafka, tall)


def test_messages_without_keys_stay_in_the_order_of_their_partition(kafka: Kafka, pair: Pair) -> None:
    put(kafka, pair.source, 0, 400)
    with pair.stream() as stream:
        wait_for(lambda: stream.counts.settled >= 400, "answers")
    found = numbers(kafka, pair.to)
    assert found == {p: list(range(p, 400, PARTITIONS)) for p in range(PARTITIONS)}


@pytest.mark.slow
@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_a_group_that_is_shared_out_anew_answers_each_once(kafka: Kafka, pair: Pair, guarantee: str) -> None:
    with pair.stream(guarantee=guarantee) as first:
        put(kafka, pair.source, 0, 2_000)
        wait_for(lambda: first.counts.settled > 0, "the first")
        with pair.stream(guarantee=guarantee) as second:
            put(kafka, pair.source, 2_000, 4_000)
            wait_for(lambda: second.counts.settled > 0 or first.counts.settled == 4_000, "the second")
            put(kafka, pair.source, 4_000, 6_000)
            wait_for(lambda: first.counts.settled + second.counts.settled >= 5_000, "most of them")
        put(kafka, pair.source, 6_000, 7_000)
        wait_for(lambda: first.counts.settled + second.counts.settled >= 7_000, "all of them")
        assert first.scorer.inbox.rebalances >= 2  # type: ignore[attr-defined]
    found = numbers(kafka, pair.to)
    assert found == {p: list(range(p, 7_000, PARTITIONS)) for p in range(PARTITIONS)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "guarantee",
    [
        "at-least-once",
        pytest.param("exactly-once", marks=pytest.mark.xfail(reason="now and then not ended", run=False)),
    ],
)
def test_who_takes_a_name_ends_who_had_it(kafka: Kafka, pair: Pair, guarantee: str) -> None:
    put(kafka, pair.source, 0, 40)
    first = pair.stream(guarantee=guarantee, instance="a")
    wait_for(lambda: first.counts.settled >= 40, "the first")
    with pair.stream(guarantee=guarantee, instance="a") as second:
        put(kafka, pair.source, 40, 80)
        wait_for(lambda: not first.is_running, "the end of the first")
        wait_for(lambda: second.counts.settled + first.counts.settled >= 80, "the rest")
        with pytest.raises(BrokerError, match="the same name"):
            first.close()
    if guarantee == "exactly-once":
        assert sorted(n for part in numbers(kafka, pair.to).values() for n in part) == list(range(80))


def test_metrics_are_for_prometheus_on_loopback(kafka: Kafka, pair: Pair) -> None:
    put(kafka, pair.source, 0, 10)
    (port,) = free_ports(1)
    with pair.stream(metrics_port=port) as stream:
        wait_for(lambda: stream.counts.settled >= 10, "answers")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    for line in ("messages_total", "rebalances_total", "lag", "delay_seconds", "dead_letters_total"):
        assert f'orrery_stream_{line}{{service="model"}}' in text
    assert 'orrery_stream_messages_total{service="model"} 10.0' in text


def test_a_topic_that_there_is_not_is_named(kafka: Kafka, tall: ory.Model, pair: Pair) -> None:
    place = f"kafka://{kafka.bootstrap}"
    with pytest.raises(SourceError, match="There is no topic 'nothing-here'"):
        ory.stream(f"{place}/nothing-here", tall, f"{place}/{pair.to}", wait=False)
    with pytest.raises(SourceError, match="There is no topic 'nothing-there'"):
        ory.stream(f"{place}/{pair.source}", tall, f"{place}/nothing-there", wait=False)


def test_the_password_of_a_connection_is_used_and_never_shown(
    kafka: Kafka, tall: ory.Model, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_CONNECTION__KAFKA", kafka.connection())
    put(kafka, pair.source, 0, 10)
    source, to = (f"kafka:///{topic}?connection=kafka" for topic in (pair.source, pair.to))
    with ory.stream(source, tall, to, group=pair.source, dead_letter=f"{pair.to}-bad", wait=False) as stream:
        wait_for(lambda: stream.counts.settled >= 10, "answers")
        assert kafka.password not in str(stream) + repr(stream)
    assert len(numbers(kafka, pair.to)) > 0
    assert f"{pair.to}-bad" in kafka.admin().list_topics(timeout=30).topics
