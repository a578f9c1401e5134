"""The runner: a model made ready to answer, for one row or many. Every face of serving calls it.

Its features are compiled (see ``compiled``): plain Python and NumPy for the values of a request, no Arrow.
The predictor is the model's own: ONNX Runtime, trees by their library, or a table of weights. Where a value
is not of the ordinary kind the model itself answers, or says what is wrong: both agree, in their errors too.
The faces know nothing of models, and the runner nothing of HTTP, so that each can be made faster alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.estimators import example
from orrery.estimators.model import Model
from orrery.estimators.signature import Signature
from orrery.features.feature import Output, Role
from orrery.features.past import look_back
from orrery.serving.compiled.answers import Answers, answerer
from orrery.serving.compiled.plan import CompiledPlan

_MOST_ROWS = 1024
"""More at once are answered by the model itself, which cuts them so that memory is bounded."""
_MOST_BYTES = 32 << 20  # of encoded rows, likewise

UNKNOWN_S = 1.0
"""Of a row whose cost nobody measured: slow until seen otherwise."""

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
        self.row_s = UNKNOWN_S
        """Seconds of computing that a lone row took at its replay."""
        self.general_rows = 0
        """Rows so far that the model itself had to answer, because a value was unusual or rows were many."""

    @property
    def signature(self) -> Signature:
        """The columns it reads, and what it answers."""
        return self.model.signature

    def predict_columns(self, columns: Columns, rows: int) -> list[dict[str, Any]]:
        """The answers alone. Raises UnknownColumnError, SchemaError, BadRowError.

        Windows that the columns do not bring know of these rows only.
        """
        self.signature.check(columns)
        windows = self.signature.windows
        if windows is not None and self.signature.lacks_windows(columns):
            columns = {**columns, **look_back(windows, columns, rows)}
        scores = self._scores(columns, rows)
        return self.model.predict_values(columns, rows) if scores is None else self._answers(scores)

    def describe(self) -> list[dict[str, Any]]:
        """Each feature with its columns, and the path they take: ``compiled`` or ``general``."""
        return self._plan.describe()

    def _scores(self, columns: Columns, rows: int) -> NDArray[np.float64] | None:
        """What the predictor gives [n, width], by the compiled features; None: the model has to answer."""
        blocks = self._plan.encode(columns, rows) if 0 < rows <= self._most_rows else None
        if blocks is None:
            self.general_rows += rows
            return None
        return self.model.predictor.predict(blocks)

    @cached_property
    def _plan(self) -> CompiledPlan:
        return CompiledPlan(self.model.plan)

    @cached_property
    def _answers(self) -> Callable[[NDArray[np.float64]], Answers]:
        return answerer(self.signature.target)

    @cached_property
    def _most_rows(self) -> int:
        row_bytes = sum(map(_row_bytes, self.model.plan.outputs))
        return max(1, min(_MOST_ROWS, _MOST_BYTES // max(row_bytes, 1)))

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The rows with their answers beside them, in order."""
        return self.model.predict([dict(row) for row in rows])

    def predict_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A record batch with its answers beside it."""
        return self.model.predict_batch(batch)


def _row_bytes(output: Output) -> int:
    values = int(np.prod(output.shape, dtype=np.int64)) if output.role is Role.TENSOR else output.width
    return values * np.dtype(output.dtype).itemsize


def replay(model: Model, runner: Runner) -> None:
    """Prove that a runner repeats a model's example predictions, row by row and as a batch.

    Raises ReplayError that names the row and both values.
    """
    example.replay(_Replayed(model, runner, by_rows=False))
    by_rows = _Replayed(model, runner, by_rows=True)
    example.replay(by_rows)
    runner.row_s = min(by_rows.took_s, default=UNKNOWN_S)


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
        self.took_s: list[float] = []
        """Of each row alone."""

    def predict_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.by_rows:
            return self.runner.predict_batch(batch)
        answers = [self._one(row) for row in batch.to_pylist()]
        return pa.RecordBatch.from_arrays(
            [*batch.columns, *answers_as_arrow(answers, self.signature)],
            schema=self.signature.answered(batch.schema),
        )

    def _one(self, row: Mapping[str, Any]) -> dict[str, Any]:
        began_s = time.thread_time()
        (answer,) = self.runner.predict_columns({name: [value] for name, value in row.items()}, 1)
        self.took_s.append(time.thread_time() - began_s)
        return answer
