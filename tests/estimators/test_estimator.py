"""Fitting: from rows to a model, on every kind of target and input."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest

import orrery as ory
from orrery.engines.local import LOCAL
from orrery.errors import SettingsError, SlotsError, TargetError
from orrery.estimators.estimator import Estimator
from orrery.learners.linear import Linear
from orrery.schema import Kind
from orrery.training.events import Ended, Event, Started

Rows = list[dict[str, Any]]


def halves(rows: Rows) -> tuple[Rows, Rows]:
    """Every other row to learn from, the rest to test on."""
    return rows[::2], rows[1::2]


@pytest.mark.parametrize("learner", ["linear", "boosted"])
def test_classes_are_learnt_from_numbers(flowers: Rows, learner: str) -> None:
    train, test = halves(flowers)
    model = ory.fit(train, "species", learner=learner)
    report = model.evaluate(test)
    assert report.metrics["accuracy"] >= 0.9
    assert model.signature.target.labels == ("setosa", "versicolor", "virginica")
    assert model.metrics["accuracy"] == report.metrics["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), [("flowers", "species"), ("wines", "cultivar")])
def test_auto_learns_the_classics(request: pytest.FixtureRequest, name: str, target: str) -> None:
    train, test = halves(request.getfixturevalue(name))
    model = ory.fit(train, target)
    assert model.evaluate(test).metrics["accuracy"] >= 0.92
    assert any("chosen" in note for note in model.notes)


@pytest.mark.slow
def test_auto_learns_from_columns_of_every_kind(mixed: Rows) -> None:
    train, test = halves(mixed)
    model = ory.fit(train, "stays")
    assert model.evaluate(test).metrics["accuracy"] >= 0.85
    kinds = model.estimator.kinds
    assert kinds == {
        "id": Kind.KEY,
        "age": Kind.NUMBER,
        "home town": Kind.CATEGORY,
        "review": Kind.TEXT,
        "since": Kind.DATETIME,
        "member": Kind.CATEGORY,
        "stays": Kind.CATEGORY,
    }
    assert "'id' is left out: it names rows." in model.notes
    assert "id" not in model.signature.inputs


@pytest.mark.parametrize("learner", ["linear", "boosted"])
def test_a_quantity_is_learnt(diabetes: Rows, learner: str) -> None:
    train, test = halves(diabetes)
    model = ory.fit(train, "progression", learner=learner)
    assert model.evaluate(test).metrics["r2"] >= (0.4 if learner == "linear" else 0.25)
    assert isinstance(model.predict(test[0])["prediction"], float)


def test_several_labels_are_learnt(topics: Rows) -> None:
    train, test = halves(topics)
    model = ory.fit(train, "tags", learner="linear")
    answers = model.predict([{k: r[k] for k in "abc"} for r in test])
    right = [set(a["prediction"]) == set(r["tags"]) for a, r in zip(answers, test, strict=True)]
    assert sum(right) / len(right) >= 0.85
    assert model.evaluate(test).metrics["f1_micro"] >= 0.9


def test_a_vector_is_learnt(turns: Rows) -> None:
    train, test = halves(turns)
    model = ory.fit(train, "turned", learner="linear")
    answer = model.predict(test[0])["prediction"]
    assert answer == pytest.approx(test[0]["turned"], abs=0.05)
    assert model.evaluate(test).metrics["rmse"] <= 0.05


@pytest.mark.slow
def test_pictures_are_learnt_by_a_network(digits: Rows) -> None:
    train, test = halves(digits[:600])
    model = ory.fit(train, "label", epochs=30, learner="network")
    assert model.evaluate(test).metrics["accuracy"] >= 0.9
    assert model.estimator.kinds == {"image": Kind.IMAGE, "label": Kind.CATEGORY}


def test_everything_inferred_is_told_and_can_be_fitted_again(flowers: Rows) -> None:
    estimator = Estimator(target="species", learner=Linear())
    resolved = estimator.resolve(flowers)
    assert resolved.features
    assert set(resolved.kinds) == set(flowers[0])
    again = Estimator.from_dict(resolved.to_dict())
    assert again == resolved
    assert again.key() == resolved.key()
    assert resolved.resolve(flowers) == resolved


def test_a_model_is_fitted_again_on_the_columns_it_reads(mixed: Rows) -> None:
    """As retraining does: keys and columns that were left out are not there any more."""
    data = [{**row, "gone": None, "note": "x"} for row in mixed[:80]]
    model = ory.fit(data, "stays", learner="linear", ignore=("since",))
    columns = [*model.signature.inputs.names, "stays"]
    again = model.estimator.fit(ory.read(data).select(*columns))
    assert again.signature == model.signature
    assert again.predict(data) == model.predict(data)


def test_the_passes_can_be_an_engines(flowers: Rows) -> None:
    model = Estimator(target="species", learner=Linear()).fit(flowers, engine=LOCAL)
    assert model.predict(flowers) == ory.fit(flowers, "species", learner="linear").predict(flowers)


def test_rows_to_validate_on_are_taken_as_given(flowers: Rows) -> None:
    train, test = halves(flowers)
    model = ory.fit(train, "species", learner="boosted", validation=test)
    assert model.lineage["rows"] == 75
    with pytest.raises(TargetError, match="'weed'"):
        ory.fit(train, "species", learner="boosted", validation=[{**test[0], "species": "weed"}])


def test_the_same_seed_gives_the_same_model(flowers: Rows) -> None:
    one, two = (ory.fit(flowers, "species", learner="linear", seed=3) for _ in range(2))
    assert one.predict(flowers) == two.predict(flowers)
    assert one.lineage["estimator"] == two.lineage["estimator"]
    assert one.lineage["rows_fingerprint"] == two.lineage["rows_fingerprint"]


def test_what_was_said_of_a_column_is_not_questioned(mixed: Rows) -> None:
    model = ory.fit(
        mixed[:60],
        "stays",
        learner="linear",
        kinds={"review": "category", "id": Kind.CATEGORY},
        ignore=("since",),
    )
    assert model.estimator.kinds["review"] is Kind.CATEGORY
    assert "id" in model.signature.inputs
    assert "since" not in model.signature.inputs


def test_weights_count(diabetes: Rows) -> None:
    """Rows of weight zero teach nothing: the same model as without them."""
    light = [{**row, "w": 1.0} for row in diabetes[:200]]
    light += [{**row, "progression": 0.0, "w": 0.0} for row in diabetes[200:300]]
    weighted = ory.fit(light, "progression", learner="linear", weight="w", alpha=1.0)
    assert "w" not in weighted.signature.inputs
    heavy = ory.fit([{**r, "w": 1.0} for r in light], "progression", learner="linear", weight="w", alpha=1.0)
    mean = sum(r["progression"] for r in diabetes[:200]) / 200
    said = [sum(a["prediction"] for a in m.predict(diabetes[:200])) / 200 for m in (weighted, heavy)]
    assert abs(said[0] - mean) < 10 < abs(said[1] - mean)


def test_settings_reach_the_learner_and_the_estimator(diabetes: Rows) -> None:
    model = ory.fit(diabetes, "progression", learner="linear", alpha=2.0, validation_share=0.2)
    assert model.settings["learner"]["alpha"] == 2.0
    assert model.settings["validation_share"] == 0.2


@pytest.mark.parametrize("learner", ["linear", Linear()])
def test_an_unknown_setting_names_the_close_ones(diabetes: Rows, learner: Any) -> None:
    with pytest.raises(SettingsError, match="Did you mean 'weight'"):
        ory.fit(diabetes, "progression", learner=learner, wieght="w")


def test_an_unknown_learner_names_those_there_are(diabetes: Rows) -> None:
    with pytest.raises(SettingsError, match="Did you mean 'boosted'"):
        ory.fit(diabetes, "progression", learner="bosted")


def test_observers_see_the_run_and_the_notes_are_kept(diabetes: Rows) -> None:
    seen: list[Event] = []

    def watch(event: Event) -> Literal["stop"] | None:
        seen.append(event)
        return None

    model = ory.fit(diabetes, "progression", learner="linear", observers=[watch])
    assert isinstance(seen[0], Started)
    assert isinstance(seen[-1], Ended)
    assert set(seen[-1].notes) <= set(model.notes)


def test_a_gang_that_cannot_start_is_refused_with_both_numbers(diabetes: Rows) -> None:
    with pytest.raises(SlotsError, match=r"400 workers; \d+ of .* \d+ slots"):
        Estimator(target="progression", learner=Linear()).fit(diabetes, workers=400)


def test_nothing_is_left_in_the_home_after_a_fit(diabetes: Rows, home: Path) -> None:
    ory.fit(diabetes, "progression", learner="linear")
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_lineage_says_where_a_model_comes_from(tmp_path: Path, flowers: Rows) -> None:
    ory.read(flowers).write(tmp_path / "flowers.parquet")
    table = ory.read(str(tmp_path / "flowers.parquet"))
    lineage = ory.fit(table, "species", learner="linear").lineage
    assert lineage["rows"] == 150
    assert lineage["rows_fingerprint"] == table.fingerprint()
    assert lineage["orrery"] == ory.__version__
    assert {"numpy", "pyarrow"} <= set(lineage["packages"])
    assert ory.Table.from_dict(lineage["data"]).count() == 150
    assert ory.fit(flowers, "species", learner="linear").lineage["data"] is None


def test_the_kinds_of_rows_to_fit_on_agree(flowers: Rows) -> None:
    import pandas as pd
    import polars as pl

    forms = [flowers, pd.DataFrame(flowers), pl.DataFrame(flowers), pa.Table.from_pylist(flowers)]
    models = [ory.fit(form, "species", learner="linear") for form in forms]
    answers = [model.predict(flowers[:20]) for model in models]
    assert answers[1:] == answers[:1] * 3


def test_rows_that_repeat_are_learnt_from_though_none_can_be_held_out() -> None:
    rows = [{"a": float(i % 3), "y": "yes" if i % 3 > 1 else "no"} for i in range(300)]
    model = ory.fit(rows, "y", learner="network", epochs=2)
    assert model.lineage["rows"] == 300
