"""The order: every row once, the same for any number of workers, never more rows held than allowed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.loader.order import Lane, Order, Piece, draw, schedule
from orrery.data.loader.quality import expected, measured

GROUPS = st.lists(st.integers(0, 60), max_size=12)


def rows_of(lane: Lane) -> list[tuple[int, int]]:
    """A lane's rows in the order in which it gives them, by the definition: unit by unit, block by block."""
    whole, given, out = [], [0] * len(lane.units), []
    for unit, pieces in enumerate(lane.units):
        rows = [(piece.group, row) for piece in pieces for row in range(piece.start, piece.stop)]
        whole.append([rows[i] for i in lane.mixed(unit)])
    for block in lane.blocks():
        taken = []
        for unit, count in enumerate(block.takes, block.first):
            assert block.given[unit - block.first] == given[unit]
            taken += whole[unit][given[unit] : given[unit] + count]
            given[unit] += count
        out += [taken[i] for i in lane.place(block)]
    return out


def batches_of(order: Order, epoch: int) -> list[list[tuple[int, int]]]:
    lanes = [rows_of(order.lane(epoch, number)) for number in range(order.lanes)]
    made = []
    for batch in range(order.batches):
        length = order.length(batch)
        rows = []
        for number, lane in enumerate(lanes):
            at = order.position(number, batch)
            rows += lane[at : at + order.width(number, length)]
        made.append(rows)
    return made


@settings(deadline=None)
@given(GROUPS, st.integers(1, 50), st.integers(1, 9), st.integers(16, 90), st.booleans(), st.booleans())
def test_every_row_comes_once(
    rows: list[int], size: int, lanes: int, hold: int, shuffle: bool, drop_last: bool
) -> None:
    order = Order(tuple(rows), size, lanes if shuffle else 1, hold, 7, shuffle, drop_last)
    made = batches_of(order, epoch=3)
    assert [len(batch) for batch in made] == [order.length(batch) for batch in range(order.batches)]
    seen = [row for batch in made for row in batch]
    everything = [(group, row) for group, count in enumerate(rows) for row in range(count)]
    assert len(seen) == len(set(seen))
    assert set(seen) <= set(everything)
    if not drop_last:
        assert sorted(seen) == everything
    if not shuffle:
        assert seen == everything[: len(seen)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=40), st.integers(80, 200))
def test_a_lane_never_holds_more_than_allowed(sizes: list[int], hold: int) -> None:
    arrived = 0
    for t, block in enumerate(schedule(sizes, hold)):
        arrived += sizes[t]
        assert arrived - block.start <= hold
        assert block.index == t
        assert min(block.takes) >= 0
        assert block.rows >= 1
    assert arrived == sum(sizes)


@settings(deadline=None)
@given(GROUPS, st.integers(1, 50), st.integers(1, 9), st.integers(1, 9))
def test_workers_share_each_batch_and_read_only_lanes_that_they_need(
    rows: list[int], size: int, lanes: int, world: int
) -> None:
    order = Order(tuple(rows), size, lanes, 32, 0)
    for batch in range(order.batches):
        length = order.length(batch)
        for rank in range(world):
            low, high = rank * length // world, (rank + 1) * length // world
            needed = {
                lane
                for lane in range(lanes)
                if max(order.columns(lane, length)[0], low) < min(order.columns(lane, length)[1], high)
            }
            assert needed <= set(order.lanes_of(rank, world))
    if lanes % world == 0:
        assert [len(order.lanes_of(rank, world)) for rank in range(world)] == [lanes // world] * world


def test_epochs_and_seeds_differ_and_repeat() -> None:
    def order(seed: int, epoch: int) -> list[list[tuple[int, int]]]:
        return batches_of(Order((30,) * 8, 16, 4, 64, seed), epoch)

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_the_order_is_the_same_on_every_machine_and_in_every_release() -> None:
    assert draw(5, 2, 1, 0, 3).permutation(8).tolist() == [7, 6, 2, 5, 0, 1, 3, 4]
    assert batches_of(Order((3, 4), 4, 2, 16, 1), 0) == [
        [(1, 1), (1, 2), (1, 3), (0, 2)],
        [(1, 0), (0, 1), (0, 0)],
    ]


def test_small_groups_are_read_together_and_large_ones_in_parts() -> None:
    lane = Order((1,) * 100, 10, 1, 320, 0).lane(0, 0)
    assert lane.sizes == [10] * 10
    lane = Order((1000,), 10, 1, 320, 0).lane(0, 0)
    assert lane.units[:2] == ((Piece(0, 0, 40),), (Piece(0, 40, 200),))
    assert max(lane.sizes) <= 160


@pytest.mark.parametrize(("hold", "least"), [(2, 12.0), (9, 54.0)])
def test_mixing_is_as_good_as_memory_allows(hold: int, least: float) -> None:
    """80 groups in 4 lanes, of which ``hold`` groups wait in each: E beside 8 and 36 groups held."""
    order = Order((1000,) * 80, 128, 4, hold * 1000, 0)
    made = expected(order, 0, np.arange(80))
    assert made.effective > least
    seen = measured([np.array([group for group, _ in batch]) for batch in batches_of(order, 0)])
    assert seen == pytest.approx(made.effective, rel=0.06)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 100), st.integers(2, 400))
def test_quality_knows_its_ends(groups: int, size: int) -> None:
    whole = expected(Order((10,) * groups, size, 1, 10 * groups * 40, 0), 0, np.arange(groups))
    assert whole.effective == pytest.approx(groups)
    assert whole.variance_ratio == pytest.approx(1.0)
    none = expected(Order((400,) * groups, size, 1, 16, 0, shuffle=False), 0, np.arange(groups))
    assert none.effective < 2.0
    assert none.variance_ratio > size / 4
