"""Proof at publish: a runner says what its model says, on thousands of generated rows and of wrong values.

The model answers from Arrow, a batch at a time; the runner from Python values, as batches and row by row. So
one proof holds for every face, and for batch prediction.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from orrery.errors import OrreryError, ReplayError
from orrery.estimators.example import ABSOLUTE, RELATIVE
from orrery.estimators.model import Model
from orrery.serving.generated import WRONG, generated_batches
from orrery.serving.runner import Runner, replay

ROWS = 10_000
SECONDS = 5.0
"""A slow model, of pictures say, is asked fewer rows than that many seconds allow."""
_BATCH = 100
_ALONE = 10  # rows of each batch that are asked once more, each alone, in the spelling of JSON


@dataclass(frozen=True)
class Proof:
    """What was compared, and how near it was.

    >>> str(Proof(rows=10_000, alone=1_000, wrong=300, largest=0.0, seconds=0.4))
    'equal on 10,000 generated rows, 1,000 of them also alone, and 300 with wrong values, in 0.4 s'
    """

    rows: int
    alone: int
    """Rows that were asked one by one too."""
    wrong: int
    """Rows with a value of a wrong kind, of which both said the same."""
    largest: float
    """The largest difference of two numbers; 0 where all are equal to the bit."""
    seconds: float

    def __str__(self) -> str:
        near = "equal" if not self.largest else f"within {self.largest:.1e}"
        return (
            f"{near} on {self.rows:,} generated rows, {self.alone:,} of them also alone, "
            f"and {self.wrong:,} with wrong values, in {self.seconds:.1f} s"
        )


def prove(model: Model, runner: Runner, rows: int = ROWS, seconds: float = SECONDS) -> Proof:
    """Replay a model's example and generated rows through a runner: ``rows``, or what ``seconds`` allow.

    Raises ReplayError that names the row, the column and both values.
    """
    began_s = time.perf_counter()
    replay(model, runner)
    compared = _Compared()
    asked = alone = 0
    for batch in generated_batches(model, rows, _BATCH):
        whole, single = _compare_batch(model, runner, batch, asked, compared)
        asked, alone = asked + whole, alone + single
        if time.perf_counter() - began_s > seconds:
            break
    wrong = _compare_wrong(model, runner, began_s + 2 * seconds)
    return Proof(asked, alone, wrong, compared.largest, time.perf_counter() - began_s)


class _Compared:
    """The comparison of answers, and the largest difference so far."""

    def __init__(self) -> None:
        self.largest = 0.0

    def __call__(self, row: int, expected: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
        """Raises ReplayError where an answer is further off than the tolerance."""
        if expected == actual:
            return
        for name, value in expected.items():
            if name == "prediction" and "probabilities" in expected:
                continue  # of two equal shares either may be the larger
            model, runner = _flat(value), _flat(actual.get(name))
            if len(model) != len(runner) or max(map(_distance, model, runner), default=0.0) > 1.0:
                raise ReplayError(
                    f"The runner does not say what the model says: {name} of generated row {row} is "
                    f"{value!r:.200} of the model and {actual.get(name)!r:.200} of the runner.",
                    hint="This is a fault of Orrery or of a feature's own code; the model is not published.",
                )
            self.largest = max([self.largest, *map(_apart, model, runner)])


def _compare_batch(
    model: Model, runner: Runner, batch: pa.RecordBatch, first: int, compared: _Compared
) -> tuple[int, int]:
    """Rows compared, as a batch and alone."""
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    expected = _expected(model, batch, columns)
    for i, (one, other) in enumerate(zip(expected, runner.predict_columns(columns, len(batch)), strict=True)):
        compared(first + i, one, other)
    for i in range(min(_ALONE, len(batch))):
        single = {name: [_as_json(values[i])] for name, values in columns.items()}
        compared(first + i, expected[i], runner.predict_columns(single, 1)[0])
    return len(batch), min(_ALONE, len(batch))


def _expected(
    model: Model, batch: pa.RecordBatch, columns: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    answered = model.predict_batch(batch).select(model.signature.outputs.names)
    found: list[dict[str, Any]] = answered.to_pylist()
    return found


def _compare_wrong(model: Model, runner: Runner, until_s: float) -> int:
    """Each wrong value in each column of one row: both answer alike, or both with the same error."""
    batch = next(generated_batches(model, 1, 1), None)
    if batch is None:
        return 0
    row = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    count = 0
    for name in row:
        for value in WRONG:
            changed = {**row, name: [value]}
            expected, actual = _said(model.predict_values, changed), _said(runner.predict_columns, changed)
            if expected != actual and repr(expected) != repr(actual):  # NaN is not equal to itself
                raise ReplayError(
                    f"Of {name!r} with the value {value!r:.80} the model says {expected!r:.200}, and the "
                    f"runner {actual!r:.200}."
                )
            count += 1
        if time.perf_counter() > until_s:
            break
    return count


def _said(ask: Any, columns: Mapping[str, Sequence[Any]]) -> object:
    try:
        return ask(columns, 1)
    except OrreryError as error:
        return type(error), str(error)


def _as_json(value: Any) -> Any:
    """A value as a request brings it: dates are text."""
    return value.isoformat() if isinstance(value, dt.datetime | dt.date) else value


def _flat(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _apart(one: Any, other: Any) -> float:
    is_numbers = isinstance(one, float | int) and isinstance(other, float | int)
    return abs(one - other) if is_numbers and one == one and other == other else 0.0


def _distance(one: Any, other: Any) -> float:
    """How far apart two values are, in units of the tolerance."""
    if one == other or (one != one and other != other):
        return 0.0
    if not isinstance(one, float | int) or not isinstance(other, float | int):
        return float("inf")
    found = abs(one - other) / (ABSOLUTE + RELATIVE * abs(one))
    return found if found == found else float("inf")
