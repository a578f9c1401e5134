"""The room is bounded, and a flood for one model leaves the others theirs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import OverloadedError, TooLargeError
from orrery.serving.online.limits import Limits
from orrery.serving.online.seat import Room

LIMITS = Limits(waiting_requests=12, waiting_bytes=1200)


def flood(room: Room, name: str) -> int:
    """How many requests of a model are let in until one is not."""
    for count in range(100):
        try:
            room.enter(name)
        except OverloadedError:
            return count
    raise AssertionError("it has no bound")


def test_one_model_alone_has_the_whole_room() -> None:
    assert flood(Room(LIMITS), "a") == 12


def test_a_flood_for_one_model_leaves_the_others_their_part() -> None:
    room = Room(LIMITS, models=3)
    assert flood(room, "a") == 6
    assert [flood(room, name) for name in "bc"] == [2, 2]
    for _ in range(6):
        room.leave("a", 0)
    assert flood(room, "b") == 2  # up to half of the room again


def test_bytes_likewise() -> None:
    room = Room(LIMITS, models=2)
    for name in ("a", "b"):
        room.enter(name)
    room.hold("a", 0, 600)
    with pytest.raises(OverloadedError):
        room.hold("a", 600, 1)
    room.hold("b", 0, 300)
    with pytest.raises(TooLargeError):
        room.hold("a", 600, 601)
    room.leave("a", 600)
    assert (room.bytes, room.requests) == (300, 1)


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from("abcde"), st.booleans(), st.integers(0, 700)), max_size=80),
)
def test_whatever_comes_and_goes_stays_within_bounds(
    models: int, events: list[tuple[str, bool, int]]
) -> None:
    room, here = Room(LIMITS, models=models), list[tuple[str, int]]()
    for name, comes, size in events:
        if not comes:
            if here:
                room.leave(*here.pop())
            continue
        try:
            room.enter(name)
        except OverloadedError:
            continue
        try:
            room.hold(name, 0, size)
        except (OverloadedError, TooLargeError):
            size = 0
        here.append((name, size))
    assert (room.requests, room.bytes) == (len(here), sum(size for _, size in here))
    assert room.requests <= 12
    assert room.bytes <= 1200
