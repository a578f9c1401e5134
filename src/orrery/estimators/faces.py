"""The kinds of rows that ``predict`` takes, and how each gets its predictions beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from orrery.data.table import Table, read
from orrery.data.window_step import WindowStep
from orrery.errors import SchemaError, SettingsError
from orrery.estimators.spark_frame import answer_frame, is_frame

if TYPE_CHECKING:
    from orrery.estimators.model import Model


def predict_as(model: Model, data: Any) -> Any:
    """The rows with their predictions, as the kind of thing they came in."""
    if isinstance(data, Mapping):
        return _rows(model, [data])[0]
    if isinstance(data, list | tuple):
        return _rows(model, data)
    if isinstance(data, Table):
        return _table(model, data)
    if isinstance(data, pa.RecordBatch):
        return model.predict_batch(data)
    if isinstance(data, pa.Table):
        return _arrow(model, data)
    for package, answer in (("pandas", _pandas), ("polars", _polars)):
        library = sys.modules.get(package)  # a frame can only come from a package that is loaded
        if library is not None and isinstance(data, library.DataFrame):
            return answer(model, data)
    if is_frame(data):
        return answer_frame(model, data)
    raise SettingsError(
        f"predict cannot answer a {type(data).__name__}.",
        hint="Give it a Table (ory.read), a frame of pandas, Polars, Arrow or Spark, dicts, or a dict.",
    )


def _table(model: Model, table: Table) -> Table:
    signature = model.signature
    signature.check(table.schema.names)
    if not signature.lacks_windows(table.schema.names):
        return table.map(model.predict_batch)
    answered = with_windows(model, table).map(model.predict_batch)
    return answered.select(*table.schema.names, *signature.outputs.names)


def with_windows(model: Model, table: Table) -> Table:
    """Rows with what happened before each of them, among these rows, where the model reads it."""
    windows = model.signature.windows
    if windows is None or not model.signature.lacks_windows(table.schema.names):
        return table
    # Without their column of arrival, rows of the past came in the order of their times, as far as is known.
    known = windows if windows.arrival in table.schema.names else windows.replace(arrival="")
    return Table(table.source, (*table.steps, WindowStep(known)))


def _arrow(model: Model, table: pa.Table) -> pa.Table:
    model.signature.check(table.schema.names)
    if model.signature.lacks_windows(table.column_names):
        answered: pa.Table = _table(model, read(table)).to_arrow()
        return answered
    schema = model.signature.answered(table.schema)
    return pa.Table.from_batches([model.predict_batch(batch) for batch in table.to_batches()], schema)


def _answers(model: Model, names: Iterable[object], inputs: pa.Table) -> pa.Table:
    """Only the added columns, for frames that keep their own."""
    model.signature.check([str(name) for name in names])
    return _arrow(model, inputs).select(model.signature.outputs.names)


def _pandas(model: Model, frame: Any) -> Any:
    if not frame.columns.is_unique:
        raise SchemaError("Two columns of the frame have the same name.", hint="Rename one of them.")
    wanted = _present(model, list(frame.columns))
    try:
        inputs = pa.Table.from_pandas(frame[wanted], preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"The frame cannot be read: {error}.", hint="Give each column one type.") from None
    answers = _answers(model, frame.columns, inputs).to_pandas()
    answers.index = frame.index
    return frame.assign(**{str(name): answers[name] for name in answers.columns})


def _polars(model: Model, frame: Any) -> Any:
    polars = sys.modules["polars"]
    inputs = frame.select(_present(model, frame.columns)).to_arrow()
    answers = _answers(model, frame.columns, inputs)
    return frame.hstack(polars.from_arrow(answers).get_columns())


def _present(model: Model, names: Sequence[object]) -> list[str]:
    """The columns to hand over: those the model reads. Raises as ``Signature.check`` does."""
    have = [str(name) for name in names]
    model.signature.check(have)
    return [name for name in model.signature.whole.names if name in have]


def _rows(model: Model, rows: Sequence[Any]) -> list[dict[str, Any]]:
    """A column that no row has is an error; one that only some rows lack is missing there."""
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise SettingsError(f"Row {i} is a {type(row).__name__}; each row is a dictionary.")
    if not rows:
        return []
    have = rows[0].keys() if len(rows) == 1 else dict.fromkeys(name for row in rows for name in row)
    model.signature.check(have)
    wanted = model.signature.inputs if model.signature.lacks_windows(have) else model.signature.whole
    columns = {name: [row.get(name) for row in rows] for name in wanted.names}
    answers = model.predict_values(columns, len(rows))
    return [{**row, **answer} for row, answer in zip(rows, answers, strict=True)]
