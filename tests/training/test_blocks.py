from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from orrery.errors import FitError
from orrery.features.feature import Output, Role
from orrery.features.forms import Bag
from orrery.training.blocks import BlockStore, rows_of, take_rows

OUTPUTS = [Output(name="x", role=Role.NUMBER, width=2), Output(name="t", role=Role.BAG, sizes=(9,))]


def bag(rows: Sequence[Sequence[int]]) -> Bag:
    ids = np.array([i for row in rows for i in row], np.int32)
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Bag(offsets, ids, ids.astype(np.float32) / 2)


def unbag(block: Bag) -> list[list[int]]:
    return [block.ids[a:b].tolist() for a, b in zip(block.offsets, block.offsets[1:], strict=False)]


ROWS = st.lists(st.lists(st.integers(0, 8), max_size=4), min_size=1, max_size=8)


@given(rows=ROWS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_taking_rows_of_a_bag_gives_these_rows(rows: list[list[int]], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    taken = take_rows(bag(rows), np.array(places, np.int64))
    assert isinstance(taken, Bag)
    assert unbag(taken) == [rows[i] for i in places]
    assert taken.weights.tolist() == [i / 2 for place in places for i in rows[place]]


@given(rows=ROWS, cut=st.integers(0, 8), memory=st.sampled_from([0, 40, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_chunks_join_to_the_same_in_memory_and_on_disk(rows: list[list[int]], cut: int, memory: int) -> None:
    numbers: NDArray[np.float64] = np.arange(2.0 * len(rows)).reshape(-1, 2)
    store = BlockStore(OUTPUTS, memory)
    for part in (slice(0, cut), slice(cut, None)):
        store.append({"x": numbers[part], "t": bag(rows[part])})
    whole = store.finish()
    assert isinstance(whole["t"], Bag)
    assert isinstance(whole["x"], np.ndarray)
    assert unbag(whole["t"]) == rows
    assert whole["x"].tolist() == numbers.tolist()
    assert rows_of(whole["t"]) == rows_of(whole["x"]) == len(rows)


def test_a_block_of_two_groups_is_kept_once() -> None:
    outputs = [Output(name="a/x", role=Role.NUMBER), Output(name="b/x", role=Role.NUMBER)]
    store = BlockStore(outputs, memory_bytes=1 << 20)
    for _ in range(2):
        block = np.ones((3, 1))
        store.append({"a/x": block, "b/x": block})
    whole = store.finish()
    assert whole["a/x"] is whole["b/x"]
    assert rows_of(whole["a/x"]) == 6


def test_a_full_disk_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("orrery.training.blocks.tempfile.TemporaryFile", lambda **_: Full())
    store = BlockStore(OUTPUTS[:1], memory_bytes=0)
    with pytest.raises(FitError, match=r"No space left.*TMPDIR"):
        store.append({"x": np.ones((2, 2))})
