"""Kafka in, predict, Kafka out: messages per second, and what a message costs in CPU time.

30 numbers of a JSON message through fitted features and a small network, by ``orrery stream``'s own loop, on
a real broker on this machine. Beside it, in turn: the same loop with a constant in the place of the model;
exactly once beside at least once. The clock runs from the first message that is taken to the last one that is
acknowledged; CPU time is that of the scorer's process, all threads of it, not of the broker.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from tests.servers import cache, kafka

import orrery as ory
from benchmarks import harness
from orrery.serving.route import Route
from orrery.serving.stream.broker import Wiring
from orrery.serving.stream.form import form_of
from orrery.serving.stream.kafka import inbox, outbox
from orrery.serving.stream.scorer import Scorer
from orrery.serving.stream.stream import Stream

MESSAGES = 60_000
LEAST_OF_CONSTANT, LEAST_OF_ONCE = 0.8, 0.5
WITHIN_S = 60.0


class Constant:
    """A runner that says the same of every row."""

    def __init__(self, runner: Any) -> None:
        self.signature = runner.signature
        (self._answer,) = runner.predict_columns({n: [0.0] for n in self.signature.inputs.names}, 1)

    def predict_columns(self, columns: Mapping[str, Sequence[object]], rows: int) -> list[dict[str, Any]]:
        """One answer, so many times."""
        return [self._answer] * rows


class Fixed:
    """A route to a constant."""

    def __init__(self, route: Route) -> None:
        self.name = route.name
        self.live: Any = replace(route.live, runner=Constant(route.live.runner))  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing to close."""


def scored(route: Any, places: tuple[str, str], guarantee: str, figure: str = "rate") -> float:
    """One run over all messages: messages per second, or microseconds of CPU time per message."""
    wiring = Wiring.from_dict({"guarantee": guarantee, "group": uuid4().hex})
    out = outbox(places[1], wiring)
    scorer = Scorer(route, inbox(places[0], wiring), out, form_of(wiring, tagged=False), wiring)
    end = time.monotonic() + WITHIN_S
    with Stream(scorer, "bench") as stream:
        stream.start()
        while not stream.counts.taken and stream.is_running:
            time.sleep(0.0005)
        began, cpu, had = time.perf_counter(), time.process_time(), stream.counts.settled
        while stream.counts.settled < MESSAGES and stream.is_running:
            time.sleep(0.0005)
            assert time.monotonic() < end, f"{stream.counts.settled} messages in {WITHIN_S} s"
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        done = stream.counts.settled - had
    return done / took if figure == "rate" else cpu / done * 1e6


def model_and_messages(folder: Path) -> tuple[Path, list[bytes]]:
    """A small network over 30 numbers, and messages for it."""
    draw = np.random.default_rng(1)
    x = draw.normal(size=(2_000, 30)).round(4)
    rows = [{f"x{i}": float(v) for i, v in enumerate(row)} | {"y": "ab"[int(row[0] > 0)]} for row in x]
    model = ory.fit(rows, "y", learner="network", epochs=2, progress=False)
    texts = [json.dumps({k: v for k, v in row.items() if k != "y"} | {"id": i}) for i, row in enumerate(rows)]
    return model.save(folder / "model"), [text.encode() for text in texts]


def measure() -> list[dict[str, Any]]:
    """The loop beside itself without a model, and exactly once beside at least once."""
    try:
        kafka.fetch()
    except cache.MissingServerError as error:
        print(f"stream: not measured, there is no Kafka here: {error}")
        return []
    with tempfile.TemporaryDirectory() as place, kafka.running() as server:
        path, messages = model_and_messages(Path(place))
        topic, to = server.topic(), server.topic()
        server.send(topic, messages * (MESSAGES // len(messages)))
        places = f"kafka://{server.bootstrap}/{topic}", f"kafka://{server.bootstrap}/{to}"
        with Route(path) as route:
            return _measures(route, Fixed(route), places)


def _measures(route: Route, fixed: Fixed, places: tuple[str, str]) -> list[dict[str, Any]]:
    ours = partial(scored, route, places, "at-least-once")
    constant = partial(scored, fixed, places, "at-least-once")
    exactly = partial(scored, route, places, "exactly-once")
    ours()  # warm: the page cache, the broker's own compiler
    gc.freeze()  # as the command does
    try:
        return _paired(ours, constant, exactly)
    finally:
        gc.unfreeze()


def _paired(
    ours: Callable[..., float], constant: Callable[..., float], exactly: Callable[..., float]
) -> list[dict[str, Any]]:
    return [
        harness.paired(
            "at least once",
            ours,
            constant,
            unit="msg/s",
            who="the same loop, a constant for the model",
            goal=LEAST_OF_CONSTANT,
            better="higher",
            runs=5,
        ),
        harness.paired(
            "at least once, CPU time",
            partial(ours, "cpu"),
            partial(constant, "cpu"),
            unit="us/msg",
            who="the same loop, a constant for the model",
        ),
        harness.paired(
            "exactly once",
            exactly,
            ours,
            unit="msg/s",
            who="at least once",
            goal=LEAST_OF_ONCE,
            better="higher",
        ),
    ]
