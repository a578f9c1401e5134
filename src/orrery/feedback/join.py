"""What was predicted joined to what happened, by the id of the prediction.

A prediction or an outcome may come twice under one id; the last of each counts. Nothing else is dropped:
:class:`Joined` says how many predictions still wait, and how many outcomes have no prediction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from orrery.data.table import Table, read
from orrery.errors import FeedbackError, SchemaError
from orrery.estimators.model import Model
from orrery.registry.folder import open_registry
from orrery.registry.load import load
from orrery.registry.registry import check_name
from orrery.schema import Kind, parse_type
from orrery.serving.record import outcomes_folder, predictions_folder

NAMES = {"id": "prediction_id", "time": "predicted_at", "version": "model_version"}
"""What the record calls a column -> what it is called beside the model's own columns."""


@dataclass(frozen=True)
class Joined:
    """Predictions with their outcomes, and what is left over on both sides."""

    table: Table
    """prediction_id, predicted_at, model_version, the model's columns, its answer, and the target: what
    really happened."""
    waiting: int
    """Predictions whose outcome is not known yet."""
    unmatched: int
    """Outcomes of which no prediction was recorded."""


def champion_of(name: str) -> tuple[int, Model]:
    """The champion's version and the model itself. Raises ModelNotFoundError."""
    version = open_registry().get(name)
    return version.version, load(version.url)


def predictions(name: str) -> Table:
    """What was predicted: the last answer under each id, in the order of recording.

    Columns: prediction_id, predicted_at, model_version, those the champion reads, and the answer.
    Raises FeedbackError where nothing was recorded.
    """
    _, model = champion_of(name)
    said = _predictions(name, model)
    last = _last(said.column("prediction_id"), said.column("predicted_at"))
    return read(said.take(pa.array(sorted(last.values()), pa.int64())))


def feedback(name: str) -> Table:
    """Recorded predictions whose outcome is known, the outcome under the target's name."""
    return joined(name).table


def joined(name: str) -> Joined:
    """Join predictions and outcomes by id. Raises FeedbackError where there are none of either."""
    _, model = champion_of(name)
    target = model.signature.target
    said, happened = _predictions(name, model), _outcomes(name, parse_type(target.type))
    last_said = _last(said.column("prediction_id"), said.column("predicted_at"))
    last_happened = _last(happened.column("id"), happened.column("time"))
    both = sorted((place, last_happened[key]) for key, place in last_said.items() if key in last_happened)
    rows = said.take(pa.array([p for p, _ in both], pa.int64()))
    outcome = happened.column("outcome").take(pa.array([h for _, h in both], pa.int64()))
    rows = rows.append_column(target.name, outcome)
    return Joined(
        table=read(rows),
        waiting=len(last_said) - len(both),
        unmatched=len(last_happened) - len(both),
    )


def quality_over_time(name: str, every: Literal["hour", "day", "week", "month"] = "day") -> Table:
    """How good the answers turned out to be, per span of time and version.

    Columns: ``since`` (start of the span, UTC), ``version``, ``rows``, and ``rmse`` for
    numbers or ``accuracy`` (the share of exact answers) for the rest.
    """
    _, model = champion_of(name)
    target = model.signature.target
    rows = feedback(name).to_arrow()
    said, happened = rows.column("prediction"), rows.column(target.name)
    if target.kind is Kind.NUMBER:
        error = pc.subtract(said.cast(pa.float64()), happened.cast(pa.float64()))
        measure, figure = "rmse", pc.multiply(error, error)
    else:
        right = [a == b for a, b in zip(said.to_pylist(), happened.to_pylist(), strict=True)]
        measure, figure = "accuracy", pa.array(right, pa.float64())
    since = pc.floor_temporal(rows.column("predicted_at"), unit=every)
    flat = pa.table({"since": since, "version": rows.column("model_version"), "figure": figure})
    spans = flat.group_by(["since", "version"]).aggregate([("figure", "mean"), ("figure", "count")])
    spans = spans.sort_by([("since", "ascending"), ("version", "ascending")])
    mean = spans.column("figure_mean")
    columns: dict[str, Any] = {
        "since": spans.column("since"),
        "version": spans.column("version"),
        "rows": spans.column("figure_count"),
        measure: pc.sqrt(mean) if measure == "rmse" else mean,
    }
    return read(pa.table(columns))


def _last(ids: Any, times: Any) -> dict[str, int]:
    """The row of the latest record of each id; of equal times the later row."""
    order = np.argsort(times.cast(pa.int64()).to_numpy(), kind="stable")
    names = ids.to_pylist()
    return {names[i]: int(i) for i in order}


def _predictions(name: str, model: Model) -> pa.Table:
    files = sorted(predictions_folder(check_name(name)).glob("*/*.parquet"))
    if not files:
        raise FeedbackError(
            f"No predictions of {name!r} are recorded.",
            hint=f"Serve it with recording on: orrery serve models:/{name}@champion",
        )
    return pa.concat_tables([_flat(pq.read_table(path, partitioning=None), model, path) for path in files])


def _flat(table: pa.Table, model: Model, path: Path) -> pa.Table:
    """One file's predictions, with a column for each that the champion reads; what it lacks is missing."""
    inputs, output = table.column("inputs").combine_chunks(), table.column("output").combine_chunks()
    columns: dict[str, Any] = {ours: table.column(kept) for kept, ours in NAMES.items()}
    wanted = model.signature.whole.arrow()
    for holder, fields in ((inputs, wanted), (output, model.signature.outputs)):
        for field in fields:
            columns[field.name] = _member(holder, field, path)
    return pa.table(columns)


def _member(holder: Any, field: Any, path: Path) -> Any:
    if holder.type.get_field_index(field.name) < 0:
        return pa.nulls(len(holder), field.type)
    try:
        return pc.struct_field(holder, field.name).cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if field.name == "probabilities":  # another version's classes: its probabilities are not these
            return pa.nulls(len(holder), field.type)
        raise SchemaError(
            f"{path.name}: the recorded column {field.name!r} cannot be read as the champion's {field.type}."
        ) from None


def _outcomes(name: str, kind: Any) -> pa.Table:
    """All outcomes; each file may hold them in a type of its own, as they came."""
    files = sorted(outcomes_folder(check_name(name)).glob("*.parquet"))
    if not files:
        raise FeedbackError(
            f"No outcomes of {name!r} are known.",
            hint=f'Tell them: ory.outcomes("{name}", rows with id and the target).',
        )
    tables = [pq.read_table(path, partitioning=None) for path in files]
    place = [t.schema.get_field_index("outcome") for t in tables]
    typed = [t.set_column(i, "outcome", t.column(i).cast(kind)) for i, t in zip(place, tables, strict=True)]
    return pa.concat_tables(typed)
