"""The fitted whole: features and predictor as one thing, which predicts, explains itself, and is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.table import Table
from orrery.errors import ModelError
from orrery.estimators import views
from orrery.estimators.answer import answer_columns, answer_rows
from orrery.estimators.example import replay
from orrery.estimators.faces import predict_as
from orrery.estimators.provenance import check_harmless
from orrery.estimators.recipe import Recipe, recipe_of
from orrery.estimators.saved import hostile, read_model, write_model
from orrery.estimators.scoring import evaluate_on
from orrery.estimators.signature import Signature
from orrery.estimators.spark_frame import register as spark_function
from orrery.evaluation.report import Report
from orrery.features.feature import Encoded, Output, Role
from orrery.features.past import look_back
from orrery.features.plan import FeaturePlan
from orrery.learners.learner import Predictor

if TYPE_CHECKING:
    from orrery.estimators.estimator import Estimator

Rows = TypeVar("Rows")

_ENCODED_BYTES = 64 << 20  # of encoded rows held at a time, however many are asked for


class Model:
    """What ``fit`` gives. Made by :func:`orrery.fit` or :meth:`load`, not by hand.

    >>> import orrery as ory
    >>> rows = [{"height": float(h), "tall": "yes" if h > 170 else "no"} for h in range(140, 200)]
    >>> model = ory.fit(rows, "tall", learner="linear")
    >>> model.predict({"height": 195.0})["prediction"]
    'yes'
    """

    def __init__(
        self,
        estimator: Recipe | Mapping[str, Any],
        signature: Signature,
        plan: FeaturePlan,
        predictor: Predictor,
        *,
        lineage: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
        example: pa.Table | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self._recipe = estimator
        self.signature = signature
        self.plan = plan
        self.predictor = predictor
        self.lineage = dict(lineage)
        """Where it comes from: data, settings, packages, time, parent. Plain JSON values."""
        self.metrics = dict(metrics or {})
        """The headline figures of the last :meth:`evaluate`."""
        self.example = example
        """Sample rows and the predictions they gave: replayed wherever the model is opened."""
        self.notes = tuple(notes)
        """What was inferred, tried and noticed, a line each."""
        self.evaluated_on: Table | None = None
        """The rows of the last :meth:`evaluate`, while this object lives; never saved."""
        self.trusted = True
        """Whether it was made here, or its maker is trusted: then what it names may be run and read."""

    @cached_property
    def estimator(self) -> Estimator:
        """The settings it was fitted with, everything inferred filled in; ``fit`` again to retrain.

        Understood only when asked for: predicting needs none of the learner's own packages. Raises
        SettingsError where a model that was not made here names a module of its maker's, or a file to begin
        from.
        """
        if isinstance(self._recipe, Mapping) and not self.trusted:
            check_harmless(self._recipe)
        recipe: Any = recipe_of(self._recipe) if isinstance(self._recipe, Mapping) else self._recipe
        return cast("Estimator", recipe)

    @property
    def settings(self) -> dict[str, Any]:
        """The estimator as plain values."""
        return dict(self._recipe) if isinstance(self._recipe, Mapping) else self._recipe.to_dict()

    @overload
    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]: ...

    @overload
    def predict(self, data: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]: ...

    @overload
    def predict(self, data: Rows) -> Rows: ...

    def predict(self, data: Any) -> Any:
        """The same rows, in the same order, with their predictions beside them, as the same kind of thing.

        Takes a Table or a data frame of Spark (answered lazily), a pandas or Polars frame, an Arrow table or
        batch, a list of dictionaries, or one dictionary. Adds ``prediction``; for categories also
        ``probability`` and ``probabilities``. Raises UnknownColumnError, SchemaError, BadRowError, and
        SettingsError where a column already has such a name.
        """
        return predict_as(self, data)

    transform = predict
    """The same, as Spark calls it: its data frames and streams are answered on its workers."""
    register = spark_function
    """``model.register(session, "predict")``: a function of SQL in a Spark session."""

    def predict_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A record batch with its predictions beside it. Its windows know of the batch's own rows only."""
        self.signature.check(batch.schema.names)
        if self.signature.lacks_windows(batch.schema.names):
            (answered,) = predict_as(self, pa.Table.from_batches([batch])).combine_chunks().to_batches()
            return cast("pa.RecordBatch", answered)
        columns = answer_columns(self.signature.target, self.scores(batch))
        return pa.RecordBatch.from_arrays(
            [*batch.columns, *columns], schema=self.signature.answered(batch.schema)
        )

    def predict_values(self, columns: Mapping[str, Sequence[object]], rows: int) -> list[dict[str, Any]]:
        """The answers alone, from Python values column by column: the quick way for one row.

        Windows that the columns do not bring know of these rows only.
        """
        if self.signature.windows is not None and self.signature.lacks_windows(columns):
            columns = {**columns, **look_back(self.signature.windows, columns, rows)}
        step = self._rows_at_a_time
        answers: list[dict[str, Any]] = []
        for low in range(0, rows, step):
            part = columns if rows <= step else {n: v[low : low + step] for n, v in columns.items()}
            scores = self._predicted(self.plan.encode_values(part, start=low), min(step, rows - low))
            answers += answer_rows(self.signature.target, scores)
        return answers

    def scores(self, batch: pa.RecordBatch) -> NDArray[np.float64]:
        """What the predictor gives, [n, width]: probabilities of classes or labels, or numbers."""
        step = self._rows_at_a_time
        parts = [(i, batch.slice(i, step)) for i in range(0, max(len(batch), 1), step)]
        blocks = ((self.plan.encode(part, start=i), len(part)) for i, part in parts)
        return np.concatenate([self._predicted(encoded, rows) for encoded, rows in blocks])

    def _predicted(self, blocks: Mapping[str, Encoded], rows: int) -> NDArray[np.float64]:
        width = self.signature.target.width
        if rows == 0:
            return np.zeros((0, width))
        scores = self.predictor.predict(blocks)
        if scores.shape != (rows, width):
            raise ModelError(f"The predictor gave scores of shape {scores.shape} for {rows} rows of {width}.")
        return scores

    @cached_property
    def _rows_at_a_time(self) -> int:
        row_bytes = sum(_encoded_bytes(output) for output in self.plan.outputs)
        return max(1, min(65_536, _ENCODED_BYTES // max(row_bytes, 1)))

    def evaluate(self, table: Any, *, by: str | Sequence[str] | None = None) -> Report:
        """How good it is on rows whose target is known; ``by`` tells it per slice of a column too."""
        return evaluate_on(self, table, by)

    def save(self, place: str | Path) -> Path:
        """Write a folder, or one file if the name ends in ``.zip``: all of it or nothing. Returns its path.

        Raises SettingsError for a place that holds something else, ModelError where it cannot be written.
        """
        return write_model(self, place)

    @classmethod
    def load(cls, place: str | Path, *, trust: bool = False) -> Self:
        """Open a saved model. Runs no code of the file's, and replays its example rows.

        ``trust`` says that its maker is known: fitting it again may then run the module that it names, and
        read the places it was fitted on. Models that were saved here need it not.
        Raises ModelFormatError, ModelVersionError, ReplayError.
        """
        parts = read_model(place)
        model = cls(
            parts.settings,
            parts.signature,
            parts.plan,
            parts.predictor,
            lineage=parts.lineage,
            metrics=parts.metrics,
            example=parts.example,
            notes=parts.notes,
        )
        model.trusted = trust or parts.trusted
        with hostile(place):
            replay(model)
        return model

    def describe(self) -> dict[str, Any]:
        """Everything, as plain values: columns, features, learner, what was tried, metrics, lineage."""
        return views.describe(self)

    def __repr__(self) -> str:
        return views.line(self)

    def _repr_html_(self) -> str:
        return views.model_html(self)


def _encoded_bytes(output: Output) -> int:
    """About how much memory one encoded row takes."""
    if output.role is Role.TENSOR:
        return int(np.prod(output.shape, dtype=np.int64)) * np.dtype(output.dtype).itemsize
    return 8 * (64 if output.role is Role.BAG else output.width)
