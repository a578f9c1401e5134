"""How good a model is on rows whose target is known: scores beside the truth, batch by batch."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from orrery.data.table import Table, read
from orrery.errors import SettingsError, UnknownColumnError
from orrery.estimators.faces import with_windows
from orrery.evaluation.report import Outcome, Report, evaluate
from orrery.features.forms import Form, lift
from orrery.features.target import Target
from orrery.schema import Kind

if TYPE_CHECKING:
    from orrery.estimators.model import Model

RESERVED = ("truth", "scores", "weight")
"""What the scored rows call their own columns; a column of the table that has such a name is left out."""


def evaluate_on(model: Model, data: Any, by: str | Sequence[str] | None) -> Report:
    """The report on some rows. The model remembers its headline figures and which rows they are of."""
    table = with_windows(model, data if isinstance(data, Table) else read(data))
    target = model.signature.target
    slices = [by] if isinstance(by, str) else list(by or ())
    for name in (target.name, *model.signature.inputs.names, *slices):
        if name not in table.schema:
            raise UnknownColumnError(name, table.schema.names)
    if taken := [name for name in slices if name in RESERVED]:
        raise SettingsError(f"A report cannot be sliced by a column called {taken[0]!r}.", hint="Rename it.")
    weight = model.settings.get("weight")
    weight = weight if weight in table.schema else None
    report = evaluate(
        _scored(model, table, slices, weight),
        _outcome(target),
        by=by,
        title=f"{target.name!r} predicted",
        details=_details(model),
    )
    model.metrics = {k: float(v) for k, v in report.metrics.items() if math.isfinite(v)}
    model.lineage["evaluated_on"] = {
        "rows_fingerprint": table.fingerprint(),
        "rows": report.rows,
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    model.evaluated_on = table
    return report


def _outcome(target: Target) -> Outcome:
    return Outcome(kind=target.kind, labels=target.labels, name=target.name)


def _scored(
    model: Model, table: Table, slices: Sequence[str], weight: str | None
) -> Iterator[pa.RecordBatch]:
    """Truth and scores of each batch, beside the columns that are read, slice the rows, or name them."""
    target = model.signature.target
    keys = [n for n, kind in model.settings.get("kinds", {}).items() if kind == "key" and n in table.schema]
    read_also = [target.name, *slices, *keys, *([weight] if weight else [])]
    columns = list(dict.fromkeys([*model.signature.whole.names, *read_also]))
    for batch in table.batches(columns=columns):
        scores = model.scores(batch)
        width = scores.shape[1]
        added: dict[str, Any] = {
            "truth": _truth(target, batch.column(target.name)),
            "scores": pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), width),
        }
        if weight:
            added["weight"] = pa.array(lift(batch.column(weight), Form.FLOAT, weight))
        kept = [name for name in columns if name not in RESERVED and name != target.name]
        arrays = {**added, **{name: batch.column(name) for name in kept}}
        yield pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


def _truth(target: Target, column: Any) -> Any:
    values = target.encode(column)
    if target.kind is Kind.CATEGORY:
        return pa.array(values, pa.int32())
    if target.kind is Kind.NUMBER:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _details(model: Model) -> dict[str, Any]:
    """What the report says of the model beside its figures."""
    told = {"predictor": model.predictor.kind, "columns read": len(model.signature.inputs)}
    return told | {name: model.lineage.get(name) for name in ("rows", "created", "orrery")}
