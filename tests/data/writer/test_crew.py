"""Threads that write shards: bounded, stopped by the first error, none left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from orrery.data.writer.crew import Crew

BATCH = pa.record_batch({"a": list(range(1000))})


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("orrery-shard")]


def test_every_shard_gets_its_own_rows() -> None:
    found: dict[str, int] = {}

    def task(name: str, batches: Iterator[Any]) -> None:
        found[name] = sum(b.num_rows for b in batches)

    with Crew(task, threads=3) as crew:
        for i in range(20):
            crew.begin(f"{i}")
            for _ in range(i):
                crew.put(BATCH)
    assert found == {f"{i}": 1000 * i for i in range(20)}
    assert threads() == []


def test_no_more_waits_than_was_said() -> None:
    go = threading.Event()
    taken = threading.Event()

    def task(name: str, batches: Iterator[Any]) -> None:
        for _ in batches:
            taken.set()
            go.wait()

    held: list[int] = []

    def feed() -> None:
        with Crew(task, waiting_bytes=3 * BATCH.nbytes) as crew:
            crew.begin("one")
            for _ in range(10):
                crew.put(BATCH)
                held.append(crew._held)
                if len(held) == 3:
                    go.set()

    feed()
    assert max(held) <= 3 * BATCH.nbytes
    assert threads() == []


@pytest.mark.parametrize("where", ["begin", "rows", "end"])
def test_the_first_error_stops_all(where: str) -> None:
    def task(name: str, batches: Iterator[Any]) -> None:
        if name == "1" and where == "begin":
            raise OSError("full")
        for _ in batches:
            if name == "1" and where == "rows":
                raise OSError("full")
        if name == "1" and where == "end":
            raise OSError("full")

    def feed() -> None:
        with Crew(task, waiting_bytes=1) as crew:
            for i in range(50):
                crew.begin(f"{i}")
                crew.put(BATCH)
                crew.put(BATCH)

    with pytest.raises(OSError, match="full"):
        feed()
    assert threads() == []


def test_who_feeds_may_fail_too() -> None:
    whole: list[str] = []

    def task(name: str, batches: Iterator[Any]) -> None:
        for _ in batches:
            pass
        whole.append(name)

    def feed() -> None:
        with Crew(task) as crew:
            crew.begin("one")
            crew.put(BATCH)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        feed()
    assert whole == []  # no half of a shard is taken for a whole
    assert threads() == []
