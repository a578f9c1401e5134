"""A lane gives the same rows wherever it begins, however its reads arrive; the first of them are few."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.loader.lane import Feed, Read
from orrery.data.loader.order import Lane, Order


def lane_of(rows: list[int], hold: int) -> Lane:
    return Order(tuple(rows), size=5, lanes=1, hold=hold, seed=3).lane(0, 0)


def given_from(
    lane: Lane, position: int, *, in_parts: bool, chance: random.Random
) -> tuple[list[int], list[Read]]:
    """Rows as they are given from a position on, and what was read; of three reads any ends first."""
    begins = np.cumsum([0, *lane.sizes])
    feed = Feed(lane, position, in_parts=in_parts)
    out: list[int] = []
    under_way: list[Read] = []
    reads: list[Read] = []
    while feed.pending or under_way:
        while feed.pending and len(under_way) < 3:
            feed.wanted_at()
            under_way.append(feed.begin())
            reads.append(under_way[-1])
        read = under_way.pop(chance.randrange(len(under_way)))
        rows = begins[read.unit] + lane.mixed(read.unit)[read.low : read.high]
        feed.arrive(read, rows.astype(np.int32), None)
        while (block := feed.next_block()) is not None:
            slots, ragged, _ = feed.put_together(block)
            feed.queue(slots, ragged)
        out += [int(n) for slots, _ in feed.take(feed.queued) for n in slots]
    return out, reads


@settings(deadline=None)
@given(
    rows=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    hold=st.integers(2, 200),
    at=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_it_goes_on_at_any_row_whole_or_in_parts(rows: list[int], hold: int, at: float, seed: int) -> None:
    lane, chance = lane_of(rows, hold), random.Random(seed)
    whole, _ = given_from(lane, 0, in_parts=False, chance=chance)
    assert sorted(whole) == list(range(sum(rows)))
    position = int(at * len(whole))
    for in_parts in (False, True):
        rest, reads = given_from(lane, position, in_parts=in_parts, chance=chance)
        assert rest == whole[position:]
        once = [(read.unit, row) for read in reads for row in range(read.low, read.high)]
        assert len(set(once)) == len(once)


def test_what_the_first_block_needs_is_read_first() -> None:
    lane = lane_of([1000] * 40, 8000)
    whole, _ = given_from(lane, 0, in_parts=False, chance=random.Random(0))
    feed = Feed(lane, len(whole) // 2, in_parts=True)
    soon = 0
    while feed.wanted_at() == len(whole) // 2:
        soon += feed.begin().rows
    rest = feed.next_read()
    assert 0 < soon <= 1500
    assert rest.high == lane.sizes[rest.unit]
    assert rest.low > 0
