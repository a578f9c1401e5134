"""Drift: equal to SciPy's tests, still when nothing changed, loud when something did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from orrery.features.forms import Coded, lift_values
from orrery.feedback.drift import ColumnDrift
from orrery.schema import Kind


def coded(values: list[str | None]) -> Coded:
    """Categories as drift sees them."""
    lifted = lift_values(values, "coded", "c")  # type: ignore[arg-type]  # a StrEnum's value
    assert isinstance(lifted, Coded)
    return lifted


def test_kolmogorov_smirnov_equals_scipy() -> None:
    random = np.random.default_rng(0)
    before, now = random.normal(size=800), random.normal(0.1, 1.1, size=500)
    found = ColumnDrift.of("x", Kind.NUMBER, before, now)
    expected = stats.ks_2samp(before, now, method="asymp")
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    # SciPy's asymptotic p-value is the exact one-sample law at a rounded size; the limit is close.
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)


def test_chi_squared_equals_scipy() -> None:
    before, now = coded(["a"] * 50 + ["b"] * 30 + ["c"] * 20), coded(["a"] * 20 + ["b"] * 30 + ["d"] * 10)
    found = ColumnDrift.of("x", Kind.CATEGORY, before, now)
    # columns a, b, c and everything else (d)
    expected = stats.chi2_contingency([[50, 30, 20, 0], [20, 30, 0, 10]], correction=False)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)


def test_psi_by_hand() -> None:
    before, now = coded(["a"] * 50 + ["b"] * 50), coded(["a"] * 25 + ["b"] * 75)
    expected = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    assert ColumnDrift.of("x", Kind.CATEGORY, before, now).psi == pytest.approx(expected, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan")), st.just(float("inf"))), max_size=200))
def test_the_same_numbers_do_not_drift(values: list[float]) -> None:
    column = np.array(values, np.float64)
    found = ColumnDrift.of("x", Kind.NUMBER, column, column[::-1].copy())
    assert found.verdict == "stable"
    assert found.p_value == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "猫", None]), max_size=100),
    st.lists(st.sampled_from(["a", "z", None]), max_size=100),
)
def test_every_pair_of_category_columns_has_finite_figures(
    before: list[str | None], now: list[str | None]
) -> None:
    found = ColumnDrift.of("x", Kind.CATEGORY, coded(before), coded(now))
    assert np.isfinite([found.psi, found.statistic, found.p_value]).all()
    assert 0 <= found.p_value <= 1


def test_a_shift_of_one_deviation_is_drift() -> None:
    random = np.random.default_rng(1)
    found = ColumnDrift.of("x", Kind.NUMBER, random.normal(size=2000), random.normal(1, 1, size=2000))
    assert found.verdict == "drifted"
    assert found.p_value < 1e-6


def test_a_column_that_goes_missing_is_drift() -> None:
    before = np.arange(100.0)
    now = np.where(np.arange(100) % 2 == 0, np.nan, before)
    found = ColumnDrift.of("x", Kind.NUMBER, before, now)
    assert (found.missing_before, found.missing_now) == (0.0, 0.5)
    assert found.verdict == "drifted"
