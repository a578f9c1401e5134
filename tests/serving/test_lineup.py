"""Who answers: equal keys the same version, shares that grow keep whom they have, chance as told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orrery.serving.lineup import ARM, CANARY, FALLBACK, Lineup, Live, point_of


def live(version: int, arm: str = "main") -> Live:
    runner: Any = object()
    return Live("fraud", version, runner, arm=arm)


MAIN, OTHER, TRIED = live(1), live(2, ARM), live(3, CANARY)
KEYS = [str(key) for key in range(4_000)]
shares = st.floats(0.01, 1.0)


@given(st.text(), shares)
def test_equal_keys_go_to_the_same_version(key: str, share: float) -> None:
    one = Lineup(MAIN, arms=((OTHER, share),), canary=TRIED, canary_share=0.2)
    two = Lineup(live(1), arms=((live(2, ARM), share),), canary=live(3, CANARY), canary_share=0.2)
    assert one.of_key(key).version == two.of_key(key).version


@given(st.text(), shares, shares)
def test_a_share_that_grows_keeps_whom_it_has(key: str, one: float, two: float) -> None:
    small, large = sorted((one, two))
    if Lineup(MAIN, arms=((OTHER, small),)).of_key(key) is OTHER:
        assert Lineup(MAIN, arms=((OTHER, large),)).of_key(key) is OTHER
    if Lineup(MAIN, canary=TRIED, canary_share=small).of_key(key) is TRIED:
        assert Lineup(MAIN, canary=TRIED, canary_share=large).of_key(key) is TRIED


@given(st.text(), st.floats(0.0, 0.5), shares)
def test_a_canary_moves_nobody_between_the_others(key: str, tried: float, share: float) -> None:
    chosen = Lineup(MAIN, arms=((OTHER, share),), canary=TRIED, canary_share=tried).of_key(key)
    assert chosen in (TRIED, Lineup(MAIN, arms=((OTHER, share),)).of_key(key))


def test_the_shares_are_as_told() -> None:
    lineup = Lineup(MAIN, arms=((OTHER, 0.3),), canary=TRIED, canary_share=0.1)
    by_key = [lineup.of_key(key).version for key in KEYS]
    by_chance = [lineup.drawn().version for _ in KEYS]
    for chosen in (by_key, by_chance):
        found = [chosen.count(version) / len(KEYS) for version in (1, 2, 3)]
        told = {live.version: share for live, share in lineup.shares()}
        assert all(abs(found[v - 1] - told[v]) < 0.04 for v in (1, 2, 3))
    assert abs(sum(share for _, share in lineup.shares()) - 1) < 1e-9


def test_the_first_keys_are_not_always_the_ones_tried_on() -> None:
    first = {k for k in KEYS if Lineup(MAIN, canary=live(3, CANARY), canary_share=0.1).of_key(k).version == 3}
    then = {k for k in KEYS if Lineup(MAIN, canary=live(4, CANARY), canary_share=0.1).of_key(k).version == 4}
    assert len(first & then) < 0.3 * len(first)


def test_a_point_is_the_same_in_every_process() -> None:
    assert point_of("card-7", "fraud") == 0.9178582070136294
    assert point_of("a" * 1000, "m" * 100) == point_of("a" * 1000, "m" * 100)


def test_who_stands_in_for_whom() -> None:
    rules = live(9, FALLBACK)
    lineup = Lineup(MAIN, arms=((OTHER, 0.5),), canary=TRIED, canary_share=0.1, fallback=rules)
    assert lineup.instead_of(OTHER) is MAIN
    assert lineup.instead_of(TRIED) is MAIN
    assert lineup.instead_of(MAIN) is rules
    assert lineup.instead_of(rules) is None
    named = lineup.version(2)
    assert named is not None
    assert (named.fixed, lineup.instead_of(named), lineup.version(8)) == (True, None, None)
