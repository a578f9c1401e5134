"""The runner answers as the model does, by rows and by batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orrery.errors import ReplayError, UnknownColumnError
from orrery.estimators.model import Model
from orrery.serving.runner import Runner, answers_as_arrow, replay

ALL = ["clients", "prices", "digits", "tags", "points"]


@pytest.mark.parametrize("name", ALL)
def test_rows_and_batches_get_the_model_s_own_answers(saved: dict[str, Path], name: str) -> None:
    model = Model.load(saved[name])
    assert model.example is not None
    batch = model.example.select(list(model.signature.inputs.names)).combine_chunks().to_batches()[0]
    runner = Runner(model)
    expected = model.predict_batch(batch)
    assert runner.predict_batch(batch).equals(expected)
    answers = runner.predict_columns(batch.to_pydict(), len(batch))
    arrays = answers_as_arrow(answers, model.signature)
    assert [a.to_pylist() for a in arrays] == [
        expected.column(n).to_pylist() for n in model.signature.outputs.names
    ]


@pytest.mark.parametrize("name", ALL)
def test_a_model_repeats_its_example(saved: dict[str, Path], name: str) -> None:
    model = Model.load(saved[name])
    replay(model, Runner(model))


def test_a_runner_that_answers_otherwise_is_caught(saved: dict[str, Path]) -> None:
    model, other = Model.load(saved["clients"]), Model.load(saved["clients-2"])
    with pytest.raises(ReplayError, match="does not repeat"):
        replay(model, Runner(other))


def test_only_the_row_path_being_wrong_is_caught_too(saved: dict[str, Path]) -> None:
    model = Model.load(saved["prices"])

    class Wrong(Runner):
        def predict_columns(self, columns: Any, rows: int) -> list[dict[str, Any]]:
            return [{"prediction": a["prediction"] + 1} for a in super().predict_columns(columns, rows)]

    with pytest.raises(ReplayError):
        replay(model, Wrong(model))


def test_rows_keep_what_they_have(saved: dict[str, Path], row: dict[str, Any]) -> None:
    answer = Runner(Model.load(saved["clients"])).predict_rows([{"id": 7, **row}])[0]
    assert answer["id"] == 7
    assert answer["prediction"] == "yes"
    assert answer["probabilities"].keys() == {"no", "yes"}


def test_a_column_that_is_missing_is_named(saved: dict[str, Path]) -> None:
    with pytest.raises(UnknownColumnError, match="'x'"):
        Runner(Model.load(saved["prices"])).predict_columns({"y": [1]}, 1)


def test_no_rows_are_no_answers(saved: dict[str, Path]) -> None:
    runner = Runner(Model.load(saved["prices"]))
    assert runner.predict_columns({"x": []}, 0) == []
    assert runner.predict_batch(pa.record_batch({"x": pa.array([], pa.float64())})).num_rows == 0
