from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.features.feature import Output, Role
from orrery.features.target import Target
from orrery.learners import folds
from orrery.schema import Kind
from orrery.training.feed import Feed

hashes = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60).map(lambda v: np.array(v, np.uint64))


def feed_of(truth: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Feed:
    target = Target(name="y", kind=Kind.CATEGORY, type="int64", labels=(0, 1, 2), width=3)
    blocks = {"x": np.zeros((len(truth), 1))}
    return Feed.of([Output(name="x", role=Role.NUMBER)], target, blocks, truth)


@settings(max_examples=50, deadline=None)
@given(hashes, st.integers(1, 7), st.integers(0, 5), st.randoms(use_true_random=False))
def test_parts_do_not_depend_on_the_order_of_rows(
    rows: np.ndarray, parts: int, seed: int, chance: object
) -> None:
    order = np.array(sorted(range(len(rows)), key=lambda _: chance.random()))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(folds.deal(rows[order], parts, seed), folds.deal(rows, parts, seed)[order])


@settings(max_examples=50, deadline=None)
@given(hashes, st.integers(1, 7))
def test_equal_rows_fall_together_and_parts_are_even(rows: np.ndarray, parts: int) -> None:
    place = folds.deal(rows, parts, 0)
    distinct, first = np.unique(rows, return_index=True)
    for value in distinct:
        assert len(set(place[rows == value])) == 1
    sizes = np.bincount(place[first], minlength=parts)
    assert sizes.max() - sizes.min() <= 1


def test_each_row_is_kept_aside_once_and_classes_are_even() -> None:
    feed = feed_of(np.repeat([0, 1, 2], [50, 30, 20]).astype(np.int64))
    made = folds.folds(feed, seed=3)
    assert len(made) == 5
    np.testing.assert_array_equal(np.sort(folds.held_rows(made)), np.arange(100))
    for part in made:
        assert np.intersect1d(part.train, part.held).size == 0
        assert len(part.train) + len(part.held) == 100
        assert np.bincount(feed.all().target[part.held]).tolist() == [10, 6, 4]


def test_many_rows_are_folded_less() -> None:
    assert [len(folds.folds(feed_of(np.zeros(n, np.int64)))) for n in (100, 6_000, 30_000)] == [5, 3, 1]
    assert len(folds.folds(feed_of(np.zeros(30_000, np.int64)))[0].held) == 6_000


def test_one_row_cannot_be_folded() -> None:
    assert folds.folds(feed_of(np.zeros(1, np.int64))) == []
    assert folds.tenth(feed_of(np.zeros(5, np.int64))) is None


def test_a_sample_is_the_same_whenever_it_is_drawn() -> None:
    feed = feed_of(np.zeros(1000, np.int64))
    first, second, other = (folds.sample(feed, 100, seed).hashes.tolist() for seed in (1, 1, 2))
    assert first == second == sorted(first)
    assert len(set(first)) == 100
    assert first != other


def test_copies_of_a_few_rows_are_in_every_fold() -> None:
    truth = np.tile([0, 1], 200).astype(np.int64)
    feed = feed_of(truth)
    feed.hashes = np.array([11, 12], np.uint64)[truth]
    for part in folds.folds(feed):
        assert set(truth[part.train]) == set(truth[part.held]) == {0, 1}


def test_copies_among_many_rows_stay_together() -> None:
    rows = np.repeat(np.arange(200, dtype=np.uint64), 3)
    np.testing.assert_array_equal(folds.told_apart(rows, 5), rows)
