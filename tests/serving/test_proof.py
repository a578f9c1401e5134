"""What a runner says is compared with its model, on generated rows and on wrong values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orrery.errors import ReplayError
from orrery.estimators.model import Model
from orrery.serving.generated import generated_batches
from orrery.serving.proof import prove
from orrery.serving.runner import Columns, Runner

ALL = ["clients", "prices", "digits", "tags", "points"]


@pytest.mark.parametrize("name", ALL)
def test_a_runner_is_proved_on_generated_rows_and_on_wrong_values(saved: dict[str, Path], name: str) -> None:
    model = Model.load(saved[name])
    proof = prove(model, Runner(model), rows=300, seconds=60)
    assert (proof.rows, proof.alone, proof.largest) == (300, 30, 0.0)
    assert proof.wrong >= 15


def test_the_same_model_gets_the_same_rows(saved: dict[str, Path]) -> None:
    model = Model.load(saved["clients"])
    one, two = (list(generated_batches(model, 250, 100)) for _ in range(2))
    assert [len(batch) for batch in one] == [100, 100, 50]
    assert repr([b.to_pylist() for b in one]) == repr([b.to_pylist() for b in two])
    cities = {city for batch in one for city in batch.column("city").to_pylist()}
    assert {None, "北京", "never seen before"} <= cities


class _Off(Runner):
    """A runner that says something else where a value is missing."""

    def predict_columns(self, columns: Columns, rows: int) -> list[dict[str, Any]]:
        answers = super().predict_columns(columns, rows)
        for age, answer in zip(columns["age"], answers, strict=True):
            if age is None:
                answer["probability"] += 0.01
        return answers


def test_a_runner_that_is_off_is_told_with_row_column_and_both_values(saved: dict[str, Path]) -> None:
    model = Model.load(saved["clients"])
    with pytest.raises(ReplayError, match=r"probability of generated row \d+ is 0\.\d+ of the model and \d"):
        prove(model, _Off(model), rows=300)


class _Lenient(Runner):
    """A runner that answers what the model refuses."""

    def predict_columns(self, columns: Columns, rows: int) -> list[dict[str, Any]]:
        if columns["age"] == ["not of this kind"]:
            columns = {**columns, "age": [1]}
        return super().predict_columns(columns, rows)


def test_a_runner_that_answers_what_the_model_refuses_is_told(saved: dict[str, Path]) -> None:
    model = Model.load(saved["clients"])
    with pytest.raises(ReplayError, match="Of 'age' with the value 'not of this kind' the model says"):
        prove(model, _Lenient(model), rows=10)


def test_a_slow_model_is_asked_fewer_rows(saved: dict[str, Path]) -> None:
    model = Model.load(saved["prices"])
    proof = prove(model, Runner(model), seconds=0.0)
    assert (proof.rows, proof.alone) == (100, 10)
    assert str(proof).startswith("equal on 100 generated rows, 10 of them also alone")


def _bits(answers: Sequence[dict[str, Any]]) -> list[Any]:
    return [np.float64(answer["prediction"]).tobytes() for answer in answers]


def test_equal_to_the_bit_alone_and_among_others(saved: dict[str, Path]) -> None:
    model = Model.load(saved["prices"])
    runner = Runner(model)
    values = [-3.25, 0.1, 1e300, -1e-300, None, float("inf")]
    together = runner.predict_columns({"x": values}, len(values))
    alone = [runner.predict_columns({"x": [value]}, 1)[0] for value in values]
    assert _bits(together) == _bits(alone) == _bits(model.predict_values({"x": values}, len(values)))
