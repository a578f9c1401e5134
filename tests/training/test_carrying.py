"""Rows of a gang on several machines: each machine gets all of them, once, and the bytes are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orrery.engines.engine import Member
from orrery.engines.job import Gang
from orrery.engines.local import Local
from orrery.learners.crew import WARM
from orrery.training.exchange.group import joined
from orrery.training.exchange.traffic import Traffic
from orrery.training.sharing import share


@pytest.mark.parametrize("places", [(0, 1), (0, 0, 1)])
def test_workers_of_several_machines_all_see_all_rows(places: tuple[int, ...]) -> None:
    def task(member: Member) -> tuple[Any, int, list[str]]:
        from torch import distributed

        assert member.scratch is not None
        own = member.scratch / f"machine-{places[member.rank]}"
        own.mkdir(exist_ok=True)
        count = member.rank * 3  # the first has none
        arrays = {
            "x": np.full((count, 2), member.rank, np.float32),
            "n": np.arange(count, dtype=np.int64) + 10 * member.rank,
        }
        traffic = Traffic()
        with joined(member.meeting, member.rank, member.size, "cpu"):
            found = share(
                arrays, member.rank, member.size, own / "rows", distributed.barrier, places, traffic
            )
            plain = {name: np.array(array).tolist() for name, array in found.items()}
            distributed.barrier()
        return plain, traffic.moved_bytes, sorted(path.name for path in own.iterdir())

    engine = Local(threads=3)
    gang = Gang(task, len(places), warm=WARM)
    found = engine.submit(engine.plan(gang)).result(120)
    numbers = [10 * rank + i for rank in range(len(places)) for i in range(3 * rank)]
    for plain, _, left in found:
        assert plain["n"] == numbers
        assert plain["x"] == [[float(number // 10)] * 2 for number in numbers]
        assert left == []
    row_bytes = 2 * 4 + 8
    assert [moved for _, moved, _ in found] == [3 * rank * row_bytes for rank in range(len(places))]
