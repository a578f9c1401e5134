"""The loop: publish, record, outcomes, drift, retrain, promote, roll back; nothing of it played."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import orrery as ory
from orrery.data.table import Table
from orrery.errors import FeedbackError, ModelNotFoundError, TargetError, UnknownColumnError
from orrery.estimators.model import Model
from orrery.feedback.join import joined, predictions, quality_over_time
from orrery.feedback.promotion import Rule, decisions, promote
from orrery.registry.folder import open_registry
from orrery.serving.parquet import Answered
from orrery.serving.record import Recorder


def rows(n: int, seed: int, shift: float = 0.0) -> list[dict[str, object]]:
    """Rows where y is yes if a + b > 0; ``shift`` moves a."""
    random = np.random.default_rng(seed)
    a, b = random.normal(shift, 1, n), random.normal(size=n)
    colour = random.choice(["red", "blue"], n)
    names = np.where(a + b + random.normal(0, 0.3, n) > 0, "yes", "no")
    return [
        {"a": float(a[i]), "b": float(b[i]), "colour": str(colour[i]), "y": str(names[i])} for i in range(n)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Training rows that lie in a file, so that they can be read again."""
    return ory.read(rows(300, 0)).write(tmp_path / "train.parquet")


@pytest.fixture
def model(table: Table) -> Model:
    """A quick model on those rows."""
    return ory.fit(table, "y", learner="linear")


def answer(name: str, asked: list[dict[str, object]], first: int = 0) -> None:
    """Record predictions as a service does."""
    version = open_registry().get(name)
    model = ory.load(version.url)
    inputs = model.signature.inputs.names
    columns = {n: [row[n] for row in asked] for n in inputs}
    with Recorder() as recorder:
        recorder.put(
            Answered(
                name=name,
                version=version.version,
                signature=model.signature,
                ids=[f"r{first + i}" for i in range(len(asked))],
                time_us=int(dt.datetime.now(dt.UTC).timestamp() * 1e6),
                columns=columns,
                answers=model.predict_values(columns, len(asked)),
                size_bytes=1000,
            )
        )
        assert recorder.flush()
        assert recorder.lost == 0


def test_the_whole_loop(table: Table, model: Model) -> None:
    test = ory.read(rows(200, 1))
    model.evaluate(test)
    first = ory.publish(model, "loop")
    assert (first.version.version, first.aliases) == (1, ("champion",))

    later = rows(120, 2)
    answer("loop", later)
    known = [{"id": f"r{i}", "y": later[i]["y"]} for i in range(100)]
    assert ory.outcomes("loop", [*known, {"id": "nobody", "y": "yes"}]) == 101

    found = joined("loop")
    assert (found.table.count(), found.waiting, found.unmatched) == (100, 20, 1)
    by_id = {row["prediction_id"]: row for row in found.table.to_rows()}
    for i in range(100):
        assert {n: by_id[f"r{i}"][n] for n in ("a", "b", "colour", "y")} == later[i]

    quality = quality_over_time("loop").to_rows()
    right = sum(r["prediction"] == r["y"] for r in by_id.values())
    assert [r["rows"] for r in quality] == [100]
    assert quality[0]["accuracy"] == pytest.approx(right / 100)

    challenger = ory.retrain("loop")
    assert challenger.lineage["rows"] == 400
    assert challenger.lineage["parent"] == "models:/loop/1"
    second = ory.publish(challenger, "loop", test=test)
    old, new = model.evaluate(test).metrics["log_loss"], challenger.evaluate(test).metrics["log_loss"]
    assert second.decision.promoted == (new < old)
    assert second.aliases == (("champion",) if new < old else ("challenger",))
    assert [d.challenger for d in decisions("loop")] == [1, 2]
    assert second.decision.rows == 200


def test_the_loop_closes_again_and_again(table: Table, model: Model) -> None:
    """A retrained champion can be retrained and watched; no row is learnt from twice."""
    ory.publish(model, "round")
    learnt = [300]
    for turn in range(3):
        asked = rows(20, 20 + turn)
        answer("round", asked, first=100 * turn)
        ory.outcomes("round", [{"id": f"r{100 * turn + i}", "y": asked[i]["y"]} for i in range(20)])
        challenger = ory.retrain("round")
        learnt.append(challenger.lineage["rows"])
        version = ory.publish(challenger, "round").version.version
        open_registry().alias("round", "champion", version)
        assert ory.drift("round").rows_before == learnt[-1]
    assert learnt == [300, 320, 340, 360]


def test_outcomes_may_come_in_any_type_of_the_same_meaning(table: Table, model: Model) -> None:
    ory.publish(model, "mixed")
    answer("mixed", rows(4, 10))
    for i, kind in enumerate([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]):
        ory.outcomes("mixed", pa.table({"id": [f"r{i}"], "y": pa.array(["no"]).cast(kind)}))
    assert [r["y"] for r in joined("mixed").table.to_rows()] == ["no", "no", "no"]


def test_publishing_with_test_rows_records_the_metrics(table: Table, model: Model) -> None:
    test = ory.read(rows(100, 11))
    version = ory.publish(model, "measured", test=test).version
    assert version.metrics["accuracy"] == model.evaluate(test).metrics["accuracy"]


def test_few_rows_of_the_same_kind_do_not_drift(table: Table, model: Model) -> None:
    ory.publish(model, "few")
    answer("few", rows(60, 12))
    assert {c.verdict for c in ory.drift("few").columns} == {"stable"}


def test_drift_tells_what_moved(table: Table, model: Model) -> None:
    ory.publish(model, "moved")
    answer("moved", rows(200, 3, shift=2.0))
    drift = ory.drift("moved")
    verdicts = {c.column: c.verdict for c in drift.columns}
    assert verdicts["a"] == "drifted"
    assert verdicts["colour"] == "stable"
    assert (drift.rows_before, drift.rows_now) == (300, 200)
    assert "a" in str(drift)
    assert "drifted" in drift._repr_html_()


def test_a_repeated_id_counts_once_and_the_last_outcome_wins(table: Table, model: Model) -> None:
    ory.publish(model, "again")
    asked = rows(5, 4)
    answer("again", asked)
    answer("again", list(reversed(asked)))  # the same ids, other rows: the later ones count
    ory.outcomes("again", [{"id": "r0", "y": "yes"}])
    ory.outcomes("again", [{"id": "r0", "y": "no"}])
    found = joined("again").table.to_rows()
    assert len(found) == 1
    assert (found[0]["a"], found[0]["y"]) == (asked[4]["a"], "no")
    assert predictions("again").count() == 5


def test_a_worse_challenger_is_refused_and_recorded(table: Table, model: Model) -> None:
    test = ory.read(rows(200, 5))
    ory.publish(model, "best", test=test)
    liar = ory.read([{**r, "y": "no" if r["y"] == "yes" else "yes"} for r in rows(300, 6)])
    refused = ory.publish(ory.fit(liar, "y", learner="linear"), "best", test=test)
    assert not refused.decision.promoted
    assert refused.aliases == ("challenger",)
    assert "higher" in refused.decision.reason
    assert open_registry().get("best").version == 1


def test_rollback_goes_one_champion_back_each_time(table: Table, model: Model) -> None:
    test = ory.read(rows(100, 7))
    registry = open_registry()
    for _ in range(3):
        published = ory.publish(model, "back", test=test)
        registry.alias("back", "champion", published.version.version)
    assert ory.rollback("back").version == 2
    assert ory.rollback("back").version == 1
    with pytest.raises(FeedbackError, match="no earlier champion"):
        ory.rollback("back")
    assert registry.get("back").version == 1


def test_without_held_out_rows_nothing_is_promoted(table: Table, model: Model) -> None:
    ory.publish(model, "blind")
    second = ory.publish(ory.fit(table, "y", learner="linear", seed=1), "blind")
    assert not second.decision.promoted
    assert "no held-out rows" in second.decision.reason


def test_promote_by_a_stated_rule(table: Table, model: Model) -> None:
    test = ory.read(rows(200, 8))
    ory.publish(model, "ruled", test=test)
    ory.publish(model, "ruled")
    assert not promote("ruled", 2, test, Rule(metric="accuracy")).promoted
    with pytest.raises(FeedbackError, match="no metric 'rmse'"):
        promote("ruled", 2, test, Rule(metric="rmse"))


def test_errors_say_what_to_do(table: Table, model: Model) -> None:
    with pytest.raises(ModelNotFoundError):
        ory.drift("absent")
    ory.publish(model, "quiet")
    with pytest.raises(FeedbackError, match="orrery serve"):
        ory.drift("quiet")
    with pytest.raises(UnknownColumnError, match="'y'"):
        ory.outcomes("quiet", [{"id": "r0", "why": "yes"}])
    with pytest.raises(TargetError, match="perhaps"):
        ory.outcomes("quiet", [{"id": "r0", "y": "perhaps"}])


def test_a_weighted_champion_is_retrained_with_ordinary_new_rows(tmp_path: Path) -> None:
    weighted = [{**row, "w": 1.0 + i % 3} for i, row in enumerate(rows(100, 9))]
    table = ory.read(weighted).write(tmp_path / "weighted.parquet")
    ory.publish(ory.fit(table, "y", learner="linear", weight="w"), "heavy")
    answer("heavy", rows(5, 9))
    ory.outcomes("heavy", [{"id": f"r{i}", "y": "no"} for i in range(5)])
    assert ory.retrain("heavy").lineage["rows"] == 105


def test_rows_fitted_in_memory_cannot_be_read_again() -> None:
    ory.publish(ory.fit(rows(100, 9), "y", learner="linear"), "memory")
    answer("memory", rows(5, 9))
    ory.outcomes("memory", pa.table({"id": ["r0"], "y": ["no"]}))
    with pytest.raises(FeedbackError, match="lay in memory"):
        ory.retrain("memory")
    assert ory.retrain("memory", ory.read(rows(100, 9))).lineage["rows"] == 101
