"""The model: answers to every kind of rows, the same before and after it is saved."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import orrery as ory
from orrery.errors import EmptyTableError, SchemaError, SettingsError, TargetError, UnknownColumnError
from orrery.estimators.model import Model

Rows = list[dict[str, Any]]


@cache
def fitted(learner: str) -> tuple[Model, tuple[dict[str, Any], ...]]:
    """A model of rows with a gap, a category and a date in them, and rows to ask."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(120):
        size, town = float(rng.normal()), str(rng.choice(["Bern", "Oslo", "naïve, 'quoted' 🎉"]))
        warm = size + (town == "Bern") > 0.3
        rows.append(
            {"n": i, "size": None if i % 9 == 0 else size, "town": town, "warm": "yes" if warm else "no"}
        )
    model = ory.fit(rows, "warm", learner=learner, ignore=("n",))
    return model, tuple({k: v for k, v in row.items() if k != "warm"} for row in rows)


@pytest.fixture
def model() -> Model:
    return fitted("linear")[0]


@pytest.fixture
def asked() -> Rows:
    return [dict(row) for row in fitted("linear")[1]]


ADDED = ["prediction", "probability", "probabilities"]


def test_a_list_of_rows_keeps_columns_order_and_number(model: Model, asked: Rows) -> None:
    answers = model.predict(asked)
    assert [{k: a[k] for k in asked[0]} for a in answers] == asked
    assert list(answers[0]) == [*asked[0], *ADDED]
    assert {a["prediction"] for a in answers} == {"yes", "no"}
    for answer in answers:
        assert answer["probability"] == answer["probabilities"][answer["prediction"]]
        assert sum(answer["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("learner", ["linear", "boosted"])
def test_every_kind_of_rows_gets_the_same_answers(learner: str) -> None:
    model, rows = fitted(learner)
    asked = [dict(row) for row in rows]
    expected = model.predict(asked)
    table = pa.Table.from_pylist(asked)
    arrow: Any = model.predict(table)
    assert arrow.to_pylist() == expected
    batch: Any = model.predict(table.to_batches()[0])
    assert batch.to_pylist() == expected
    lazy = model.predict(ory.read(asked))
    assert isinstance(lazy, ory.Table)
    assert lazy.to_rows() == expected
    assert pl.from_dicts(asked).pipe(model.predict).to_dicts() == expected
    alone = [model.predict(row) for row in asked]
    assert [a["prediction"] for a in alone] == [a["prediction"] for a in expected]
    for one, many in zip(alone, expected, strict=True):  # a product of matrices may round otherwise
        assert one["probabilities"] == pytest.approx(many["probabilities"], abs=1e-12)
    assert model.predict([]) == []


def test_a_pandas_frame_keeps_its_index_and_types(model: Model, asked: Rows) -> None:
    frame = pd.DataFrame(asked, index=[f"r{i}" for i in range(len(asked))]).astype({"town": "category"})
    answered = model.predict(frame)
    pd.testing.assert_frame_equal(answered[list(frame.columns)], frame)
    assert list(answered.columns) == [*frame.columns, *ADDED]
    assert answered["prediction"].tolist() == [a["prediction"] for a in model.predict(asked)]


def test_chunks_and_batches_change_nothing(model: Model, asked: Rows) -> None:
    whole = pa.Table.from_pylist(asked)
    cut = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 0), whole.slice(7)])
    assert model.predict(cut).to_pylist() == model.predict(asked)
    assert model.predict(whole.slice(0, 0)).schema == model.signature.answered(whole.schema)


def test_an_extra_column_is_kept_an_absent_one_is_named(model: Model, asked: Rows) -> None:
    assert model.predict({**asked[0], "note": "x"})["note"] == "x"
    with pytest.raises(UnknownColumnError, match="'town'"):
        model.predict([{"size": 1.0}])
    with pytest.raises(SchemaError, match="'size', 'town'"):
        model.predict(pa.table({"other": [1]}))
    assert model.predict([{"size": 1.0, "town": "Bern"}, {"town": "Bern"}])[1]["prediction"]


def test_a_column_that_is_in_the_way_is_named(model: Model, asked: Rows) -> None:
    with pytest.raises(SettingsError, match="already have 'prediction'"):
        model.predict({**asked[0], "prediction": 1})


@pytest.mark.parametrize("rows", [3, "rows", [1, 2], np.zeros((2, 2))])
def test_what_are_no_rows_is_told(model: Model, rows: Any) -> None:
    with pytest.raises(SettingsError, match=r"predict cannot answer|each row is a dictionary"):
        model.predict(rows)


def test_two_pandas_columns_of_one_name_are_refused(model: Model, asked: Rows) -> None:
    frame = pd.DataFrame(asked)
    frame.columns = pd.Index(["n", "town", "town"])
    with pytest.raises(SchemaError, match="same name"):
        model.predict(frame)


@pytest.mark.parametrize("learner", ["linear", "boosted", pytest.param("network", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_a_model_that_was_saved_says_the_same(tmp_path: Path, learner: str, name: str) -> None:
    model, rows = fitted(learner)
    asked = [dict(row) for row in rows]
    path = model.save(tmp_path / name)
    again = Model.load(path)
    assert again.predict(asked) == model.predict(asked)
    assert again.estimator == model.estimator
    assert again.signature == model.signature
    assert again.notes == model.notes
    assert again.describe() == model.describe()
    assert again.save(tmp_path / "again").is_dir()
    assert Model.load(tmp_path / "again").predict(asked) == model.predict(asked)


def test_a_saved_model_predicts_in_a_fresh_process_without_its_learner(
    tmp_path: Path, model: Model, asked: Rows
) -> None:
    """Neither the training packages nor the data are needed."""
    model.save(tmp_path / "model")
    script = f"""
import json, sys
import orrery as ory
model = ory.Model.load({str(tmp_path / "model")!r})
answer = model.predict(json.loads(sys.argv[1]))
heavy = sorted({{"torch", "sklearn", "lightgbm", "polars"}} & set(sys.modules))
print(json.dumps([answer, heavy]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(asked[:5])], capture_output=True, text=True, check=True
    )
    answer, heavy = json.loads(done.stdout)
    assert answer == model.predict(asked[:5])
    assert heavy == []


def test_an_evaluation_is_remembered(model: Model) -> None:
    rows = [{**row, "warm": "yes" if i % 2 else "no"} for i, row in enumerate(fitted("linear")[1])]
    table = ory.read(rows)
    report = model.evaluate(table, by="town")
    assert report.metrics["accuracy"] == model.metrics["accuracy"]
    assert model.evaluated_on is table
    assert model.lineage["evaluated_on"]["rows_fingerprint"] == table.fingerprint()
    assert {s.value for s in report.slices["town"]} == {"Bern", "Oslo", "naïve, 'quoted' 🎉"}


def test_an_evaluation_agrees_with_the_predictions(model: Model) -> None:
    rows = [{**row, "warm": "yes" if i % 2 else "no"} for i, row in enumerate(fitted("linear")[1])]
    right = [a["prediction"] == r["warm"] for a, r in zip(model.predict(rows), rows, strict=True)]
    assert model.evaluate(rows).metrics["accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-12)


def test_what_cannot_be_evaluated_is_told(model: Model, asked: Rows) -> None:
    with pytest.raises(UnknownColumnError, match="'warm'"):
        model.evaluate(asked)
    with pytest.raises(TargetError, match="'maybe'"):
        model.evaluate([{**asked[1], "warm": "maybe"}])
    with pytest.raises(EmptyTableError):
        model.evaluate(ory.read([{**asked[1], "warm": "yes"}]).where("size > 1000"))


def test_columns_called_like_our_own_do_no_harm(flowers: Rows) -> None:
    """``truth``, ``scores`` and ``weight`` are names inside an evaluation."""
    rows = [
        {
            "truth": r["petal width (cm)"],
            "scores": r["petal length (cm)"],
            "weight": 1.0 * i,
            "kind": r["species"],
        }
        for i, r in enumerate(flowers)
    ]
    model = ory.fit(rows, "kind", learner="linear")
    assert model.evaluate(rows).metrics["accuracy"] > 0.9
    with pytest.raises(SettingsError, match="'scores'"):
        model.evaluate(rows, by="scores")


def test_a_model_shows_itself(model: Model) -> None:
    assert "warm" in repr(model)
    assert "&lt;" not in repr(model)
    html = model._repr_html_()
    assert "town" in html
    assert "<script>alert" not in html
    told = model.describe()
    json.dumps(told)
    assert {"target", "inputs", "features", "learner", "notes", "lineage"} <= set(told)
    assert "warm" in model.estimator._repr_html_()
