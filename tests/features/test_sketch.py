from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery.features import sketch
from orrery.features.sketch import Sketch

some = settings(max_examples=50, deadline=None)
SHARES = np.linspace(0, 1, 11)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
@some
def test_few_values_give_exact_quantiles(values: list[float]) -> None:
    expected = np.quantile(np.sort(np.array(values) + 0.0), SHARES, method="lower")
    assert Sketch.of(np.array(values)).quantiles(SHARES).tolist() == expected.tolist()


@given(st.lists(st.floats(allow_nan=False), max_size=80), st.integers(0, 80), st.integers(2, 9))
@some
def test_a_full_sketch_does_not_depend_on_the_cut(values: list[float], at: int, limit: int) -> None:
    array = np.array(values, np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketch, "LIMIT", limit)
        whole = Sketch.of(array)
        parts = Sketch.of(array[at:]) + Sketch.of(array[:at])
        assert whole.keys.size <= limit
        assert (whole.shift, whole.keys.tolist(), whole.counts.tolist()) == (
            parts.shift,
            parts.keys.tolist(),
            parts.counts.tolist(),
        )


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e6])
def test_many_values_give_close_ranks(offset: float) -> None:
    values = offset + np.random.default_rng(0).normal(size=200_000)
    found = Sketch.of(values).quantiles(SHARES[1:-1])
    ranks = np.searchsorted(np.sort(values), found) / len(values)
    assert np.abs(ranks - SHARES[1:-1]).max() < 2e-3


def test_nothing_seen() -> None:
    assert Sketch.of(np.array([np.nan, np.inf])).quantiles(SHARES).tolist() == [0.0] * 11
    assert [part.tolist() for part in Sketch().line(5)] == [[0.0], [0.5]]
