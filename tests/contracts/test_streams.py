"""One suite over all brokers: what a stream promises, wherever its messages lie. Gaps are in ``GAPS``.

A broker has a file in ``brokers/`` and a line in ``BENCHES``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.contracts.brokers.bench import Bench, Sent, wait_for
from tests.contracts.brokers.kafka import Kafka
from tests.contracts.brokers.memory import Memory
from tests.contracts.brokers.mqtt import Mqtt
from tests.contracts.brokers.nats import Nats
from tests.contracts.brokers.rabbitmq import RabbitMq
from tests.contracts.brokers.redis import Redis
from tests.contracts.brokers.stdio import Stdio

import orrery as ory

BENCHES: dict[str, Callable[[Callable[[str], Any]], Bench]] = {
    "memory": Memory,
    "stdio": Stdio,
    "kafka": Kafka,
    "redis": Redis,
    "mqtt": Mqtt,
    "nats": Nats,
    "rabbitmq": RabbitMq,
    "kafka-exactly-once": lambda ask: Kafka(ask, "exactly-once"),
}
_WITHIN = "it lives and dies with the process"
GAPS: dict[tuple[str, str], str] = {
    **{
        ("stdio", f"test_{name}"): "a pipe gives nothing again"
        for name in ("a_scorer_goes_on_where_another_ended",)
    },
    **{
        (broker, f"test_{name}"): _WITHIN
        for broker in ("memory", "stdio")
        for name in (
            "a_broker_that_goes_and_comes_back_costs_nothing",
            "a_signal_ends_it_when_what_was_taken_is_answered",
            "killed_half_way_and_the_broker_restarted_every_key_is_answered",
        )
    },
}
"""(broker, name of a test) -> why it does not hold there."""
ONCE = {"memory", "stdio", "kafka-exactly-once"}
"""Those that answer once, even if something fails."""


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, saved."""
    rows = [{"height": float(h), "tall": "yes" if h > 170 else "no"} for h in range(140, 200)]
    return ory.fit(rows, "tall", learner="linear", progress=False).save(tmp_path_factory.mktemp("tall") / "m")


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Bench:
    gap = GAPS.get((request.param, request.node.originalname))
    if gap:
        pytest.skip(f"{request.param}: {gap}")
    made = BENCHES[request.param](request.getfixturevalue)
    made.once = request.param in ONCE  # type: ignore[attr-defined]
    return made


def people(first: int, last: int, keys: int = 7) -> list[Sent]:
    """Messages whose answer is told by their number; each has columns that the model does not read."""
    return [
        Sent(
            json.dumps({"height": 140 + i % 60, "n": i, "name": f"№ {i}", "deep": {"a": [i, None]}}).encode(),
            b"k%d" % (i % keys),
        )
        for i in range(first, last)
    ]


def numbers(sent: list[Sent]) -> list[int]:
    return [json.loads(one.value or b"{}")["n"] for one in sent]


def check(answers: list[Sent], count: int, *, once: bool, keyed: bool = True) -> None:
    """Every message answered rightly under its key; repeats equal; first answers of a key in order."""
    by_number: dict[int, Sent] = {}
    order: dict[bytes | None, list[int]] = {}
    for one in answers:
        row = json.loads(one.value or b"{}")
        n = row["n"]
        expected = {"height": 140 + n % 60, "n": n, "name": f"№ {n}", "deep": {"a": [n, None]}}
        assert {name: row[name] for name in expected} == expected
        assert row["prediction"] == ("yes" if row["height"] > 170 else "no")
        assert not keyed or one.key == b"k%d" % (n % 7)
        if n in by_number:
            assert not once, f"{n} is answered twice"
            assert one == by_number[n], "repeats are equal"
        else:
            by_number[n] = one
            order.setdefault(one.key, []).append(n)
    assert sorted(by_number) == list(range(count))
    assert all(numbers == sorted(numbers) for numbers in order.values()), "in order within a key"
    ids = [id_of(one) for one in by_number.values()]
    assert len(set(ids)) == len(ids)


def id_of(one: Sent) -> object:
    """What tells repeats: a header, or a field."""
    return one.headers.get("orrery-id") or json.loads(one.value or b"{}")["_id"]


def test_every_message_is_answered_with_its_key_in_order(bench: Bench, tall: Path) -> None:
    bench.put(people(0, 100))
    with bench.stream(tall) as stream:
        wait_for(lambda: stream.counts.settled >= 100, "answers to what was there")
        bench.put(people(100, 150))
        wait_for(lambda: stream.counts.settled >= 150, "answers to what came later")
    check(bench.answers(), 150, once=True, keyed=not isinstance(bench, Stdio))
    assert bench.dead() == []
    assert (stream.counts.answered, stream.counts.dead, stream.counts.rows) == (150, 0, 150)
    one = bench.answers()[0]
    assert one.headers.get("orrery-model") == b"m/0" or json.loads(one.value or b"")["_model"] == "m/0"


def test_what_cannot_be_answered_is_a_dead_letter_with_place_and_reason(bench: Bench, tall: Path) -> None:
    bad = [b"rubbish", b'{"height": "high", "n": 1}', b'{"n": 2}', b'{"height": 1, "prediction": 2}', b"[]"]
    good = people(0, 20)
    mixed = [*good[:10], *(Sent(value, b"k1") for value in bad), *good[10:]]
    bench.put(mixed)
    with bench.stream(tall) as stream:
        wait_for(lambda: stream.counts.settled >= len(mixed), "all messages")
    check(bench.answers(), 20, once=True, keyed=not isinstance(bench, Stdio))
    dead = bench.dead()
    assert [letter.value for letter in dead] == bad, "the very bytes"
    reasons = [letter.headers["orrery-reason"].decode() for letter in dead]
    for reason, said in zip(reasons, ("JSON", "'high'", "`height`", "'prediction'", "array"), strict=True):
        assert said in reason
    assert len({letter.headers["orrery-id"] for letter in dead}) == len(bad), "each says where it stood"
    assert stream.counts.dead == len(bad)


def test_a_scorer_goes_on_where_another_ended(bench: Bench, tall: Path) -> None:
    for first in (0, 40, 80):
        bench.put(people(first, first + 40))
        with bench.stream(tall) as stream:
            wait_for(lambda stream=stream: stream.counts.settled >= 40, "answers")  # type: ignore[misc]
        assert stream.counts.settled == 40, "what was acknowledged is not given again"
    check(bench.answers(), 120, once=True)


@pytest.mark.slow
def test_a_broker_that_goes_and_comes_back_costs_nothing(bench: Bench, tall: Path) -> None:
    bench.put(people(0, 50))
    with bench.stream(tall) as stream:
        wait_for(lambda: stream.counts.settled >= 50, "answers before")
        with bench.away():
            pass
        bench.put(people(50, 100))
        wait_for(lambda: set(range(100)) <= set(numbers(bench.answers())), "answers behind")
        assert stream.is_running
    check(bench.answers(), 100, once=bench.once)  # type: ignore[attr-defined]


@contextmanager
def scorer(bench: Bench, model: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command line, as a process of its own."""
    command = [sys.executable, "-m", "orrery.cli.main", "stream", bench.source, str(model), bench.to]
    more: list[str] = getattr(bench, "words", list)()
    process = subprocess.Popen(
        [*command, *more, *options], env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_signal_ends_it_when_what_was_taken_is_answered(bench: Bench, tall: Path) -> None:
    bench.put(people(0, 3_000))
    with scorer(bench, tall) as process:
        wait_for(lambda: len(bench.answers()) > 0, "the first answer")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    done = len(bench.answers())
    with bench.stream(tall) as stream:
        wait_for(lambda: stream.counts.settled >= 3_000 - done, "the rest")
    check(bench.answers(), 3_000, once=True)


@pytest.mark.slow
def test_killed_half_way_and_the_broker_restarted_every_key_is_answered(bench: Bench, tall: Path) -> None:
    count = 10_000
    bench.put(people(0, count // 2))
    with scorer(bench, tall, "--instance", "a") as process:
        wait_for(lambda: len(bench.answers()) > 0, "the first answer")
        bench.put(people(count // 2, count))
        process.kill()
        process.wait()
    before = len(bench.answers())
    with bench.away():
        pass
    with scorer(bench, tall, "--instance", "a"):
        wait_for(lambda: len(set(numbers(bench.answers()))) >= count, "all answers")
    assert before > 0, "it was killed when it had begun"
    check(bench.answers(), count, once=bench.once)  # type: ignore[attr-defined]
