"""The rule of a canary: counts in, a decision out."""

from __future__ import annotations

import numpy as np
import pytest

from orrery.registry.routes import Canary
from orrery.serving.canary import Sample, Tally, at_least, judge, psi

CANARY = Canary(to=4, share=0.05, steps=(0.05, 0.2, 0.5), least_requests=50, step_s=60)


def sample(requests: int = 100, errors: int = 0, delay_s: float = 0.01, shift: float = 0.0) -> Sample:
    rng = np.random.default_rng(requests)
    return Sample(requests, errors, [delay_s] * requests, (rng.normal(size=requests) + shift).tolist())


def test_it_waits_until_it_has_seen_enough_for_long_enough() -> None:
    assert judge(CANARY, sample(), sample(49), 100).act == "wait"
    assert judge(CANARY, sample(), sample(50), 59).act == "wait"
    assert judge(CANARY, sample(), sample(50), 60).act == "grow"


def test_it_grows_step_by_step_and_ends_as_champion_or_stays() -> None:
    shares = []
    canary = CANARY
    while (verdict := judge(canary, sample(), sample(80), 60)).act == "grow":
        shares.append(verdict.share)
        canary = canary.replace(share=verdict.share)
    assert (shares, verdict.act) == ([0.2, 0.5], "done")
    assert judge(canary.replace(promote=False), sample(), sample(80), 60).act == "wait"


@pytest.mark.parametrize(
    ("main", "tried", "act"),
    [
        (sample(1000, 0), sample(2, 2), "stop"),  # at once
        (sample(1000, 0), sample(1, 1), "wait"),  # one may be chance
        (sample(1000, 100), sample(100, 12), "grow"),  # both fail as often
        (sample(1000, 100), sample(100, 30), "stop"),
        (sample(5000, 50), sample(5000, 200), "stop"),
        (sample(5000, 50), sample(5000, 70), "grow"),
    ],
)
def test_errors_stop_it(main: Sample, tried: Sample, act: str) -> None:
    verdict = judge(CANARY, main, tried, 60)
    assert verdict.act == act
    if act == "stop":
        assert verdict.why.endswith(f"requests failed, against {main.errors} of {main.requests}")


@pytest.mark.parametrize(("delay_s", "act"), [(0.01, "grow"), (0.019, "grow"), (0.021, "stop")])
def test_delay_stops_it(delay_s: float, act: str) -> None:
    assert judge(CANARY, sample(), sample(80, delay_s=delay_s), 60).act == act


def test_a_longer_delay_of_less_than_two_milliseconds_is_noise() -> None:
    assert judge(CANARY, sample(delay_s=0.0002), sample(80, delay_s=0.001), 60).act == "grow"


@pytest.mark.parametrize(("shift", "act"), [(0.0, "grow"), (0.1, "grow"), (1.5, "stop")])
def test_drift_of_scores_stops_it(shift: float, act: str) -> None:
    verdict = judge(CANARY, sample(2000), sample(500, shift=shift), 60)
    assert verdict.act == act
    assert ("PSI" in verdict.why) == (act == "stop")


def test_few_scores_that_differ_by_chance_do_not_stop_it() -> None:
    rng = np.random.default_rng(1)
    stopped = 0
    for _ in range(200):
        main, tried = (Sample(n, 0, [0.01] * n, rng.normal(size=n).tolist()) for n in (300, 50))
        stopped += judge(CANARY, main, tried, 60).act == "stop"
    assert stopped <= 3


def test_categories_that_are_new_are_drift() -> None:
    assert psi(["a", "b"] * 100, ["c"] * 100)[0] > 1
    assert psi([1.0] * 100, [1.0] * 50) == (0.0, 2)


def test_the_exact_tail_and_the_normal_one_agree() -> None:
    assert at_least(60, 1_000, 0.05) == pytest.approx(at_least(60, 1_001, 0.05), abs=0.02)


def test_a_tally_counts() -> None:
    tally = Tally()
    tally.answered(0.5, [1.0, 2.0])
    tally.failed()
    assert tally.sample() == Sample(2, 1, [0.5], [1.0, 2.0])
