"""Decisions: pure, by the stated rule, recorded, and reversible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import FeedbackError, SettingsError
from orrery.feedback.promotion import Decision, Rule, decide, decisions, record

finite = st.floats(0, 1e6)


@given(finite, finite, st.floats(0, 10))
def test_promoted_only_if_better_by_the_rule(old: float, new: float, gain: float) -> None:
    lower, _ = decide({"rmse": old}, {"rmse": new}, Rule(metric="rmse", least_gain=gain))
    higher, _ = decide({"auc": old}, {"auc": new}, Rule(metric="auc", least_gain=gain))
    assert lower == (old - new > 0 and old - new >= gain)
    assert higher == (new - old > 0 and new - old >= gain)


def test_equal_is_not_better() -> None:
    assert decide({"accuracy": 0.9}, {"accuracy": 0.9}, Rule(metric="accuracy")) == (
        False,
        "accuracy 0.9 against 0.9: equal (accuracy must be higher)",
    )


def test_an_unknown_metric_lists_those_there_are() -> None:
    with pytest.raises(FeedbackError, match="no metric 'auc'; it has 'accuracy'"):
        decide({"accuracy": 1.0}, {"accuracy": 1.0}, Rule(metric="auc"))


def test_decisions_are_kept_in_order() -> None:
    made = [Decision(name="m", promoted=i % 2 == 0, reason=f"第{i}", challenger=i) for i in range(1, 4)]
    for decision in made:
        record(decision)
    assert decisions("m") == made
    assert decisions("other") == []


def test_a_name_cannot_leave_the_folder() -> None:
    with pytest.raises(SettingsError):
        decisions("../../etc")
