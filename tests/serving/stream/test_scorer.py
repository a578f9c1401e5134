"""The loop, with a broker that fails as it is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.contracts.brokers.bench import wait_for

import orrery as ory
from orrery.errors import BrokerError, SettingsError
from orrery.registry.folder import open_registry
from orrery.serving.record import predictions_folder
from orrery.serving.route import Route
from orrery.serving.stream import scorer as scorer_module
from orrery.serving.stream.broker import Letter, Message, Refused, Wiring
from orrery.serving.stream.json_form import JsonForm
from orrery.serving.stream.memory import MemoryInbox, MemoryOutbox, Topic
from orrery.serving.stream.scorer import Scorer, dead_letter

TEXT = b'{"height": 195, "city": "Lyon", "n": %d}'


class Failing(MemoryOutbox):
    """Stores letters when they are flushed; fails when told to."""

    def __init__(self, topic: Topic, dead: Topic) -> None:
        super().__init__(topic, dead)
        self.fail: list[str] = []
        self.most_bytes = 1_000
        self.sent: list[Letter] = []
        self.opened = 0

    def open(self) -> None:
        self.opened += 1
        self._maybe("open")
        self.sent = []

    def send(self, letters: Sequence[Letter]) -> Sequence[Refused]:
        self._maybe("send")
        fits = [len(letter.value or b"") <= self.most_bytes for letter in letters]
        self.sent += [letter for letter, fit in zip(letters, fits, strict=True) if fit]
        return [Refused(i, "too large") for i, fit in enumerate(fits) if not fit]

    def flush(self) -> None:
        self._maybe("flush")
        super().send(self.sent)
        self.sent = []

    def _maybe(self, step: str) -> None:
        if self.fail and self.fail[0] in (step, f"{step} for good"):
            error = BrokerError(f"{step} failed")
            error.lasting = self.fail.pop(0).endswith("good")
            raise error


@pytest.fixture
def topics() -> tuple[Topic, Topic, Topic]:
    name = uuid4().hex
    return Topic.of(name), Topic.of(f"{name}.out"), Topic.of(f"{name}.dead")


def run(
    model: Any,
    topics: tuple[Topic, Topic, Topic],
    setup: Callable[[Failing], None] = lambda _: None,
    **wiring: Any,
) -> tuple[Scorer, Failing]:
    """Score what is there, to its end."""
    source, to, dead = topics
    source.complete()
    outbox = Failing(to, dead)
    with Route(model) as route:
        scorer = Scorer(route, MemoryInbox(source, "g"), outbox, JsonForm(), Wiring.from_dict(wiring))
        scorer.open()
        setup(outbox)
        scorer.run()
    return scorer, outbox


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_module, "_BACKOFF_S", (0.001, 0.01))


def numbers(topic: Topic) -> list[int]:
    return [json.loads(message.value or b"")["n"] for message in topic.messages]


@pytest.mark.parametrize(
    ("fail", "reopened"), [(["send"], 1), (["flush"], 1), (["flush", "open", "open", "send"], 2)]
)
def test_a_broken_broker_is_opened_again_and_nothing_is_lost(
    tall: ory.Model,
    topics: tuple[Topic, Topic, Topic],
    fail: list[str],
    reopened: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for i in range(100):
        topics[0].put(TEXT % i)
    with caplog.at_level(logging.ERROR):
        scorer, _ = run(tall, topics, lambda outbox: outbox.fail.extend(fail))
    assert numbers(topics[1]) == list(range(100))
    assert scorer.counts.settled == 100
    assert scorer.counts.reopened == reopened


def test_an_error_that_lasts_ends_it(tall: ory.Model, topics: tuple[Topic, Topic, Topic]) -> None:
    topics[0].put(TEXT % 1)
    with pytest.raises(BrokerError, match="flush failed"):
        run(tall, topics, lambda outbox: outbox.fail.append("flush for good"))
    assert topics[0].read["g"] == 0, "it will be given again"


def test_an_answer_that_is_too_large_is_a_dead_letter(
    tall: ory.Model, topics: tuple[Topic, Topic, Topic], caplog: pytest.LogCaptureFixture
) -> None:
    large = b'{"height": 1, "city": "%s"}' % (b"x" * 940)
    huge = b'{"height": 1, "city": "%s"}' % (b"x" * 2_000)
    for text in (TEXT % 0, large, huge, TEXT % 1):
        topics[0].put(text)
    scorer, _ = run(tall, topics)
    assert numbers(topics[1]) == [0, 1]
    assert [message.value for message in topics[2].messages] == [large, b""]
    assert all(b"too large" in (dict(m.headers)["orrery-reason"] or b"") for m in topics[2].messages)
    assert scorer.counts.dead == 2
    assert "left out of its dead letter" in caplog.text


def test_under_load_answers_are_acknowledged_together(
    tall: ory.Model, topics: tuple[Topic, Topic, Topic]
) -> None:
    for i in range(3_000):
        topics[0].put(TEXT % i)
    scorer, _ = run(tall, topics, max_wait_s=60.0)
    assert numbers(topics[1]) == list(range(3_000))
    assert scorer.counts.batches < 60, "batches grow"
    assert scorer.counts.commits < scorer.counts.batches


def test_a_moved_alias_is_followed_between_batches(tall: ory.Model, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    registry = open_registry()
    saved = tall.save(tmp_path / "model")
    for _ in range(2):
        registry.publish(saved, "tall")
    registry.alias("tall", "champion", 1)
    name = uuid4().hex
    answers = Topic.of(f"{name}.out")
    with ory.stream(
        f"memory://{name}", "models:/tall@champion", f"memory://{name}.out", wait=False
    ) as stream:
        Topic.of(name).put(TEXT % 1)
        wait_for(lambda: len(answers.messages) == 1, "the first answer")
        registry.alias("tall", "champion", 2)
        wait_for(lambda: stream.version == 2, "the other version")
        Topic.of(name).put(TEXT % 2)
        wait_for(lambda: len(answers.messages) == 2, "the second answer")
    assert [dict(m.headers)["orrery-model"] for m in answers.messages] == [b"tall/1", b"tall/2"]


def test_predictions_are_recorded_once_they_are_acknowledged(
    tall: ory.Model, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    name = uuid4().hex
    Topic.of(name).put(TEXT % 1)
    with ory.stream(
        f"memory://{name}", tall, f"memory://{name}.out", name="tall", record=True, wait=False
    ) as s:
        wait_for(lambda: s.counts.settled == 1, "the answer")
    rows = ory.read(str(predictions_folder("tall") / "0")).to_rows()
    assert [(row["id"], row["inputs"]["height"]) for row in rows] == [(f"{name}/0", 195.0)]


def test_headers_of_the_message_stay_and_tags_of_an_earlier_stream_go(
    tall: ory.Model, topics: tuple[Topic, Topic, Topic]
) -> None:
    topics[0].put(TEXT % 1, b"key", [("trace", b"1"), ("orrery-id", b"old"), ("trace", b"2")])
    run(tall, topics)
    (answer,) = topics[1].messages
    id_ = topics[0].messages[0].id.encode()
    expected = [("trace", b"1"), ("trace", b"2"), ("orrery-id", id_), ("orrery-model", b"model/0")]
    assert list(answer.headers) == expected
    assert answer.key == b"key"


def test_a_dead_letter_without_headers_says_it_in_json() -> None:
    from orrery.data.payloads.payload import Fault

    letter = dead_letter(Message(b"\xff", "t/1"), Fault("a", None, "bad"), b"m/1", headed=False)
    assert json.loads(letter.value or b"") == {
        "id": "t/1",
        "reason": "bad",
        "column": "a",
        "model": "m/1",
        "message_base64": "/w==",
    }


def test_addresses_and_pairs_that_there_are_not(tall: ory.Model) -> None:
    with pytest.raises(SettingsError, match="no address of a stream"):
        ory.stream("ftp://u:secret@x/y", tall, "-", wait=False)
    with pytest.raises(SettingsError, match="cannot be exactly once"):
        ory.stream("memory://a", tall, "memory://b", guarantee="exactly-once", wait=False)
