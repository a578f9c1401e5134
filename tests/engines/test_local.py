"""The local engine: jobs in threads, in order, bounded, and ended when asked."""

from __future__ import annotations

import threading
import time
from typing import Any

import pyarrow as pa
import pytest

from orrery.data.profile import Describe
from orrery.data.table import read
from orrery.engines.engine import Engine, Handle, Member, State
from orrery.engines.job import Each, Gang, Gather, Map
from orrery.engines.local import LOCAL, Local
from orrery.errors import DeadlineError, EngineError, SlotsError

TABLE = read({"a": list(range(100_000))})


def test_it_is_an_engine() -> None:
    engine: Engine = LOCAL
    handle: Handle = engine.submit(engine.plan(Each(task=abs, items=[])))
    assert handle.result() == []
    assert handle.state is State.SUCCEEDED
    assert engine.slots().free >= 1


def test_results_keep_the_order() -> None:
    assert LOCAL.submit(LOCAL.plan(Each(task=lambda n: n * n, items=list(range(50))))).result() == [
        n * n for n in range(50)
    ]
    sizes = LOCAL.submit(LOCAL.plan(Map(task=lambda batch: batch["a"][0].as_py(), table=TABLE))).result()
    assert sizes == [0, 65_536]


def test_gather_is_what_the_table_says() -> None:
    aggregate = Describe.of(pa.schema([("a", pa.int64())]))
    assert LOCAL.gather(aggregate, TABLE) == TABLE.describe() == TABLE.aggregate(aggregate, LOCAL)
    assert "summarize every batch" in str(LOCAL.plan(Gather(aggregate, TABLE)))


def test_a_gang_of_one_runs_and_a_larger_one_is_refused_before_it_starts() -> None:
    assert LOCAL.submit(LOCAL.plan(Gang(task=lambda member: member))).result() == [Member(0, 1)]
    with pytest.raises(SlotsError, match=r"4 workers; 2 of .* 2 slots"):
        Local(threads=2).plan(Gang(task=print, workers=4))


def test_the_first_error_ends_all_and_is_what_is_raised() -> None:
    begun: list[int] = []

    def task(n: int) -> int:
        begun.append(n)
        if n == 3:
            raise ValueError("three")
        return n

    handle = Local(threads=2).submit(LOCAL.plan(Each(task=task, items=list(range(10_000)))))
    with pytest.raises(ValueError, match="three"):
        handle.result()
    assert handle.state is State.FAILED
    assert len(begun) < 100


def test_no_more_at_a_time_than_there_are_threads() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def task(_: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.002)
        with lock:
            now -= 1

    engine = Local(threads=3)
    engine.submit(engine.plan(Each(task=task, items=list(range(60))))).result()
    assert 1 <= most <= 3


def test_cancel_and_deadlines_end_a_job() -> None:
    gate = threading.Event()

    def held(_: Any) -> None:
        gate.wait(30)

    engine = Local(threads=1)
    handle = engine.submit(engine.plan(Each(task=held, items=list(range(10)), deadline_s=0.05)))
    with pytest.raises(DeadlineError, match=r"0\.05 s"):
        handle.result()
    other = engine.submit(engine.plan(Each(task=held, items=list(range(10)))))
    with pytest.raises(DeadlineError):
        other.result(timeout_s=0.01)
    other.cancel()
    gate.set()
    with pytest.raises(EngineError, match="cancelled"):
        other.result()
    until = time.monotonic() + 10
    while any(t.name.startswith("orrery") for t in threading.enumerate()) and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("orrery")]
    assert other.state is State.CANCELLED
