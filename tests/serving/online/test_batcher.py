"""Batches: what arrives together is answered together, everyone gets their own, and nobody waits for more."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.errors import BadRowError, OverloadedError
from orrery.serving.online.batcher import MOST_ROWS, Batcher
from orrery.serving.route import Live


class Doubles:
    """Answers each row with twice its value; keeps the size of each batch."""

    row_s = 1.0

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.threads: list[threading.Thread] = []
        self.slow: threading.Event | None = None

    def predict_columns(self, columns: Mapping[str, Sequence[Any]], rows: int) -> list[dict[str, Any]]:
        self.sizes.append(rows)
        self.threads.append(threading.current_thread())
        if self.slow is not None:
            self.slow.wait(10)
        for i, value in enumerate(columns["x"]):
            if value is None:
                error = BadRowError(f"row {i} is empty")
                error.row = i
                raise error
        return [{"prediction": 2 * value} for value in columns["x"]]


def live_of(model: Doubles, version: int = 1) -> Live:
    return Live("m", version, model)  # type: ignore[arg-type]


async def ask(batcher: Batcher, live: Live, *values: int | None) -> list[int] | str:
    try:
        answers = await batcher.predict(live, {"x": list(values)}, len(values), lambda: None)
    except BadRowError as error:
        return f"{error.row}"
    return [answer["prediction"] for answer in answers]


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(-9, 9)), min_size=1, max_size=5), max_size=30))
@settings(max_examples=50, deadline=None)
def test_everyone_gets_their_own_answers_and_errors(questions: list[list[int | None]]) -> None:
    async def run() -> list[list[int] | str]:
        batcher, live = Batcher(), live_of(Doubles())
        try:
            return await asyncio.gather(*(ask(batcher, live, *values) for values in questions))
        finally:
            batcher.close()

    expected = [
        [2 * value for value in values if value is not None]
        if None not in values
        else f"{values.index(None)}"
        for values in questions
    ]
    assert asyncio.run(run()) == expected


def test_what_arrives_together_is_one_batch_once_the_model_is_known_to_be_quick() -> None:
    model = Doubles()

    async def run() -> None:
        batcher, live = Batcher(), live_of(model)
        for _ in range(2):
            await asyncio.gather(*(ask(batcher, live, i) for i in range(40)))
        batcher.close()

    asyncio.run(run())
    assert model.sizes[-1] == 40
    assert model.threads[-1] is threading.main_thread()
    assert len(model.sizes) < 10


def test_a_slow_model_runs_aside_and_the_loop_goes_on() -> None:
    model = Doubles()
    model.slow = threading.Event()

    async def run() -> list[int] | str:
        batcher = Batcher()
        asked = asyncio.create_task(ask(batcher, live_of(model), 4))
        while not model.sizes:
            await asyncio.sleep(0)
        model.slow.set()  # type: ignore[union-attr]  # only a loop that is free comes here
        answer = await asked
        batcher.close()
        return answer

    assert asyncio.run(run()) == [8]
    assert model.threads[0] is not threading.main_thread()


def test_one_batch_is_of_one_version() -> None:
    old, new = Doubles(), Doubles()

    async def run() -> None:
        batcher = Batcher()
        first, second = live_of(old, 1), live_of(new, 2)
        for live in (first, second):
            await ask(batcher, live, 0)
        asked = [ask(batcher, second if i % 3 == 2 else first, i) for i in range(9)]
        assert await asyncio.gather(*asked) == [[2 * i] for i in range(9)]
        batcher.close()

    asyncio.run(run())
    assert (sum(old.sizes), sum(new.sizes)) == (7, 4)


def test_a_batch_is_bounded() -> None:
    model = Doubles()

    async def run() -> None:
        batcher, live = Batcher(), live_of(model)
        await ask(batcher, live, 0)
        await asyncio.gather(*(ask(batcher, live, *range(100)) for _ in range(9)))
        batcher.close()

    asyncio.run(run())
    assert max(model.sizes) <= MOST_ROWS
    assert sum(model.sizes) == 901


def test_rows_nobody_waits_for_are_not_computed() -> None:
    model = Doubles()

    def late() -> None:
        raise OverloadedError("too late")

    async def run() -> None:
        batcher, live = Batcher(), live_of(model)
        with pytest.raises(OverloadedError, match="too late"):
            await batcher.predict(live, {"x": [1]}, 1, late)
        left = asyncio.create_task(ask(batcher, live, 7))
        await asyncio.sleep(0)
        left.cancel()
        assert await ask(batcher, live, 1) == [2]
        batcher.close()

    asyncio.run(run())
    assert model.sizes == [1]


def test_lanes_take_turns_so_that_a_flood_starves_nobody() -> None:
    flooded, other = Doubles(), Doubles()
    order: list[str] = []

    async def one(batcher: Batcher, name: str, live: Live, value: int) -> None:
        await ask(batcher, live, value)
        order.append(name)

    async def run() -> None:
        batcher, first, second = Batcher(), live_of(flooded), live_of(other)
        for live in 30 * (first, second):
            await ask(batcher, live, *range(200))  # until both are known to be quick
        flood = [one(batcher, "flood", first, i) for i in range(20 * MOST_ROWS)]
        await asyncio.gather(*flood, one(batcher, "other", second, 1))
        batcher.close()

    asyncio.run(run())
    assert order.index("other") <= 2 * MOST_ROWS


def test_a_model_that_hangs_stops_no_other_and_its_callers_are_let_go() -> None:
    stuck, quick = Doubles(), Doubles()
    stuck.slow = threading.Event()
    late = threading.Event()

    def check() -> None:
        if late.is_set():
            raise OverloadedError("too late")

    async def run() -> None:
        batcher, live = Batcher(), live_of(stuck)
        waiting = [
            asyncio.create_task(batcher.predict(live, {"x": [i]}, 1, check, aside=True)) for i in range(3)
        ]
        other = live_of(quick)
        while batcher.busy_s(live) == 0.0:
            await asyncio.sleep(0)
        assert [await ask(batcher, other, i) for i in range(50)] == [[2 * i] for i in range(50)]
        late.set()
        for each in waiting:
            with pytest.raises(OverloadedError, match="too late"):
                await each
        assert not batcher.close(wait_s=0.05)
        stuck.slow.set()  # type: ignore[union-attr]
        assert batcher.close()

    asyncio.run(run())


def test_the_thread_of_a_model_goes_with_it() -> None:
    def running() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "orrery-model"]

    async def run() -> None:
        before = set(running())
        batcher = Batcher()
        await batcher.predict(live_of(Doubles()), {"x": [1]}, 1, lambda: None, aside=True)
        deadline = time.monotonic() + 30
        while set(running()) - before:
            assert time.monotonic() < deadline
            gc.collect()
            await asyncio.sleep(0.01)
        batcher.close()

    asyncio.run(run())
