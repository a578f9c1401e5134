from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.data.table import Table, read
from orrery.errors import EmptyTableError, SettingsError, TargetError, UnknownColumnError
from orrery.features.category import Category
from orrery.features.feature import Output, Role
from orrery.features.number import Number
from orrery.features.plan import FeaturePlan
from orrery.features.target import Target
from orrery.features.tokens import Tokens
from orrery.schema import Kind
from orrery.training.feed import Feed
from orrery.training.world import World

TARGET = Target(name="y", kind=Kind.NUMBER, type="double")


def numbers(rows: int, seed: int = 0) -> Feed:
    values = np.arange(rows, dtype=np.float64)
    return Feed.of(
        (Output(name="g/x", role=Role.NUMBER),), TARGET, {"g/x": values[:, None]}, values, seed=seed
    )


@given(rows=st.integers(1, 40), size=st.integers(1, 12), epoch=st.integers(0, 3), seed=st.integers(-2, 9))
@settings(max_examples=50, deadline=None)
def test_an_epoch_holds_each_row_once_in_an_order_of_its_own(
    rows: int, size: int, epoch: int, seed: int
) -> None:
    feed = numbers(rows, seed)
    seen = np.concatenate([batch.rows for batch in feed.batches(epoch, size)])
    assert sorted(seen.tolist()) == list(range(rows))
    assert seen.tolist() == numbers(rows, seed).order(epoch).tolist()


@given(rows=st.integers(1, 40), size=st.integers(1, 12), start=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_batches_from_the_middle_are_the_rest_of_the_epoch(rows: int, size: int, start: int) -> None:
    feed = numbers(rows)
    whole = [batch.rows.tolist() for batch in feed.batches(3, size)]
    assert [batch.rows.tolist() for batch in feed.batches(3, size, start=start)] == whole[start:]


@given(rows=st.integers(1, 40), size=st.integers(1, 12), workers=st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_workers_share_every_global_batch(rows: int, size: int, workers: int) -> None:
    feed = numbers(rows)
    shares = [
        [batch.rows.tolist() for batch in feed.batches(1, size, world=World(rank=rank, size=workers))]
        for rank in range(workers)
    ]
    together = [[row for part in parts for row in part] for parts in zip(*shares, strict=True)]
    assert together == [batch.rows.tolist() for batch in feed.batches(1, size)]


def test_other_epochs_and_seeds_have_other_orders() -> None:
    orders = {tuple(numbers(50, seed).order(epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_a_subset_is_numbered_from_zero_and_shows_its_rows() -> None:
    feed = numbers(10).subset(np.array([7, 3, 5]), np.array([0, 1]))
    assert feed.rows == 3
    assert feed.all().target.tolist() == [7.0, 3.0, 5.0]
    assert feed.take(np.array([2])).blocks["g/x"].tolist() == [[5.0]]  # type: ignore[union-attr]
    assert feed.validation is not None
    assert feed.validation.all().target.tolist() == [0.0, 1.0]
    assert feed.subset(np.array([1])).all().target.tolist() == [3.0]
    assert sorted(np.concatenate([b.target for b in feed.batches(0, 2)]).tolist()) == [3.0, 5.0, 7.0]


def test_a_view_shows_one_group_without_its_name() -> None:
    feed = numbers(4).subset(np.array([1, 2]), np.array([3])).view("g")
    assert [output.name for output in feed.outputs] == ["x"]
    assert feed.take(np.array([0])).blocks["x"].tolist() == [[1.0]]  # type: ignore[union-attr]
    assert feed.validation is not None
    assert [output.name for output in feed.validation.outputs] == ["x"]
    assert numbers(4).view("other").outputs == ()


def test_weights_can_be_replaced_in_a_view() -> None:
    feed = numbers(4).subset(np.array([3, 1])).reweighted(np.array([0.5, 2.0]))
    weight = feed.take(np.array([1, 0])).weight
    assert weight is not None
    assert weight.tolist() == [2.0, 0.5]


def rows_table(rows: int = 300) -> Table:
    chance = np.random.default_rng(0)
    return read(
        pa.table(
            {
                "a": chance.standard_normal(rows),
                "c": [["x", "y", None][i] for i in chance.integers(0, 3, rows)],
                "t": [" ".join("abcdef"[i] for i in chance.integers(0, 6, 3)) for _ in range(rows)],
                "w": chance.random(rows),
                "y": chance.standard_normal(rows),
            }
        )
    )


def fit_plan(table: Table) -> FeaturePlan:
    return FeaturePlan.fit([Number(columns=("a",)), Category(columns=("c",)), Tokens(columns=("t",))], table)


def test_a_feed_on_disk_equals_one_in_memory() -> None:
    table = rows_table()
    plan = fit_plan(table)
    memory = Feed.build(plan, TARGET, table, validation=table.head(7), weight="w", seed=3)
    disk = Feed.build(plan, TARGET, table, validation=table.head(7), weight="w", seed=3, memory_bytes=0)
    assert memory.fingerprint == disk.fingerprint
    assert memory.rows == 300
    assert disk.validation is not None
    assert disk.validation.rows == 7
    for left, right in zip(memory.batches(2, 64), disk.batches(2, 64), strict=True):
        assert left.target.tolist() == right.target.tolist()
        assert left.weight is not None
        assert right.weight is not None
        assert left.weight.tolist() == right.weight.tolist()
        for name in left.blocks:
            for one, other in zip(left.blocks[name], right.blocks[name], strict=True):
                assert np.array_equal(one, other)
    disk.close()
    assert disk.rows == disk.validation.rows == 0


def test_a_fingerprint_is_of_rows_and_features_not_of_their_place() -> None:
    table = rows_table()
    plan = fit_plan(table)
    table.write("rows.parquet")
    feed = Feed.build(plan, TARGET, table)
    assert feed.fingerprint == Feed.build(plan, TARGET, read("rows.parquet")).fingerprint
    assert feed.fingerprint != Feed.build(plan, TARGET, table.where("a > 0")).fingerprint
    fewer = FeaturePlan.fit([Number(columns=("a",))], table)
    assert feed.fingerprint != Feed.build(fewer, TARGET, table).fingerprint


def test_no_rows_are_an_error() -> None:
    table = rows_table()
    plan = fit_plan(table)
    with pytest.raises(EmptyTableError, match="learn"):
        Feed.build(plan, TARGET, table.where("a > 1000"))
    with pytest.raises(EmptyTableError, match="validate"):
        Feed.build(plan, TARGET, table, validation=table.where("a > 1000"))


def test_an_absent_target_or_weight_is_named() -> None:
    table = rows_table()
    plan = fit_plan(table)
    with pytest.raises(UnknownColumnError, match="'y'"):
        Feed.build(plan, TARGET, table.without("y"))
    with pytest.raises(UnknownColumnError, match="'weight'"):
        Feed.build(plan, TARGET, table, weight="weight")


@pytest.mark.parametrize("bad", [None, -1.0, float("inf"), float("nan")])
def test_weights_must_be_finite_and_not_negative(bad: float | None) -> None:
    table = read(pa.table({"a": [1.0, 2.0], "w": [1.0, bad], "y": [1.0, 2.0]}))
    plan = FeaturePlan.fit([Number(columns=("a",))], table)
    with pytest.raises(SettingsError, match="'w'"):
        Feed.build(plan, TARGET, table, weight="w")


def test_a_missing_target_is_an_error() -> None:
    table = read(pa.table({"a": [1.0, 2.0], "y": [1.0, None]}))
    plan = FeaturePlan.fit([Number(columns=("a",))], table)
    with pytest.raises(TargetError, match="missing in 1 of 2"):
        Feed.build(plan, TARGET, table)
