"""Two models on one page: who is better, and whether the comparison is fair."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from orrery.errors import SettingsError
from orrery.evaluation.compare import compare
from orrery.evaluation.metrics import BETTER
from orrery.evaluation.report import Outcome, evaluate

Make = Callable[..., pa.RecordBatch]


def better_scores(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, scored perfectly."""
    truth = batch.column("truth").to_pylist()
    perfect = pa.array([[1.0 - t, float(t)] for t in truth])
    return batch.set_column(batch.schema.get_field_index("scores"), "scores", perfect)


def test_the_better_model_wins(make: Make, outcomes: dict[str, Outcome]) -> None:
    batch = make("binary", 120, 2, True)
    first = evaluate([batch], outcomes["binary"], by="city")
    second = evaluate([better_scores(batch)], outcomes["binary"], by="city")
    both = compare({"champion": first, "challenger": second})
    assert both.same_rows
    assert {name: both.better(name) for name in BETTER if name in first.metrics} == {
        name: "challenger" for name in BETTER if name in first.metrics
    }
    page = both.save("both.html").read_text("utf-8")
    assert "challenger is ahead in accuracy" in page
    assert "same 120 rows" in page


@pytest.mark.parametrize("name", ["binary", "classes", "number", "labels", "vector"])
def test_every_kind_has_a_page(make: Make, outcomes: dict[str, Outcome], name: str) -> None:
    batch = make(name, 60, 3, False)
    reports = {m: evaluate([batch], outcomes[name], by="city") for m in ("old", "new")}
    both = compare(reports)
    assert "Equal in" in both.to_html()
    assert "Equal in" in both._repr_html_()
    assert both.save("both.json").stat().st_size > 0


def test_other_rows_are_said_aloud(make: Make, outcomes: dict[str, Outcome]) -> None:
    reports = {str(seed): evaluate([make("number", 50, seed, False)], outcomes["number"]) for seed in (1, 2)}
    both = compare(reports)
    assert not both.same_rows
    assert "not evaluated on the same rows" in both.to_html()


def test_the_fingerprint_of_the_table_counts_where_given(make: Make, outcomes: dict[str, Outcome]) -> None:
    batch = make("number", 50, 1, False)
    given = {"fingerprint": "abc"}
    one = evaluate([batch], outcomes["number"], details=given)
    two = evaluate([batch.drop_columns(["note"])], outcomes["number"], details=given)
    assert one.fingerprint != two.fingerprint
    assert compare({"a": one, "b": two}).same_rows


def test_different_outcomes_are_refused(make: Make, outcomes: dict[str, Outcome]) -> None:
    one, two = (evaluate([make(n, 20, 0, False)], outcomes[n]) for n in ("binary", "number"))
    with pytest.raises(SettingsError, match="do not predict the same thing"):
        compare({"a": one, "b": two})
    with pytest.raises(SettingsError, match="two reports"):
        compare({"a": one})
