"""The runner: a model made ready to answer, for one row or many. Every face of serving calls it.

It holds the fitted features and the predictor, and needs no torch. The faces (HTTP today) know nothing of
models, and the runner nothing of HTTP, so that each can be made faster alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from orrery.estimators import example
from orrery.estimators.model import Model
from orrery.estimators.signature import Signature

Columns = Mapping[str, Sequence[object]]
"""Column name -> one Python value per row; None is missing."""


class Runner:
    """A model that answers rows.

    >>> import orrery as ory
    >>> rows = [{"height": float(h), "tall": "yes" if h > 170 else "no"} for h in range(140, 200)]
    >>> runner = Runner(ory.fit(rows, "tall", learner="linear"))
    >>> runner.predict_rows([{"id": 7, "height": 195.0}])[0]["prediction"]
    'yes'
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def signature(self) -> Signature:
        """The columns it reads, and what it answers."""
        return self.model.signature

    def predict_columns(self, columns: Columns, rows: int) -> list[dict[str, Any]]:
        """The answers alone. Raises UnknownColumnError, SchemaError, BadRowError."""
        self.signature.check(columns)
        return self.model.predict_values(columns, rows)

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The rows with their answers beside them, in order."""
        return self.model.predict([dict(row) for row in rows])

    def predict_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A record batch with its answers beside it."""
        return self.model.predict_batch(batch)


def replay(model: Model, runner: Runner) -> None:
    """Prove that a runner repeats a model's example predictions, row by row and as a batch.

    Raises ReplayError that names the row and both values.
    """
    example.replay(_Replayed(model, runner, by_rows=False))
    example.replay(_Replayed(model, runner, by_rows=True))


def answers_as_arrow(answers: Sequence[Mapping[str, Any]], signature: Signature) -> list[Any]:
    """Answers as Arrow arrays, in the order and types of ``signature.outputs``."""
    return [pa.array([answer[f.name] for answer in answers], f.type) for f in signature.outputs]


class _Replayed:
    """A runner in the shape of what ``estimators.example.replay`` asks."""

    def __init__(self, model: Model, runner: Runner, *, by_rows: bool) -> None:
        self.signature = model.signature
        self.example = model.example
        self.runner = runner
        self.by_rows = by_rows

    def predict_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.by_rows:
            return self.runner.predict_batch(batch)
        answers = [
            self.runner.predict_columns({name: [value] for name, value in row.items()}, 1)[0]
            for row in batch.to_pylist()
        ]
        return pa.RecordBatch.from_arrays(
            [*batch.columns, *answers_as_arrow(answers, self.signature)],
            schema=self.signature.answered(batch.schema),
        )
