from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.features.moments import Moments

some = settings(max_examples=60, deadline=None)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30))
@some
def test_mean_and_spread_are_the_nearest_doubles_of_the_exact_ones(values: list[float]) -> None:
    moments = Moments.of(np.array(values))
    exact = [Fraction(v) for v in values]
    mean = sum(exact) / len(exact)
    variance = sum((v - mean) ** 2 for v in exact) / len(exact)
    assert moments.mean == float(mean)
    assert math.isclose(moments.std, _root(variance), rel_tol=1e-14, abs_tol=1e-160)


def _root(x: Fraction) -> float:
    return math.isqrt(x.numerator * x.denominator << 400) / (x.denominator << 200)


def test_nothing_cancels_far_from_zero() -> None:
    values = 1e15 + np.array([0.0, 1.0, 2.0])
    assert math.isclose(Moments.of(values).std, math.sqrt(2 / 3), rel_tol=1e-15)


def test_missing_and_infinite_values_are_counted_apart() -> None:
    moments = Moments.of(np.array([np.nan, np.inf, -np.inf, 3.0]))
    assert (moments.count, moments.missing, moments.low, moments.high, moments.mean) == (1, 1, 3.0, 3.0, 3.0)


def test_nothing_at_all() -> None:
    assert (Moments().mean, Moments().std) == (0.0, 0.0)
