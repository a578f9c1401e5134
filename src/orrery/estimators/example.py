"""Sample rows that travel with a model and the predictions they gave: its proof that it is the same."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orrery.data.codecs import image
from orrery.errors import BadRowError, OrreryError, ReplayError, listing
from orrery.estimators.signature import Signature
from orrery.schema import Field, Kind

ROWS = 20
"""Sample rows kept, at most."""
ABSOLUTE, RELATIVE = 1e-5, 1e-4
"""How far a replayed score may be from the one that was kept: other processors round differently."""

_CELL_BYTES = 16 << 10  # a picture or text over this is made smaller
_SIDE = 64  # of a picture made smaller, in pixels
_TOTAL_BYTES = 1 << 20  # of all rows together, beyond the first


class Predicts(Protocol):
    """What is needed of a model to replay it."""

    signature: Signature
    example: pa.Table | None

    def predict_batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch with its predictions."""


def take_example(model: Predicts, batch: pa.RecordBatch) -> pa.Table:
    """Up to 20 rows, evenly spaced over a batch, made small, and what the model says of them."""
    rows = np.unique(np.linspace(0, len(batch) - 1, min(ROWS, len(batch))).astype(np.int64))
    fields = list(model.signature.whole.each())
    columns = [_small(field, batch.column(field.name).take(_places(rows))) for field in fields]
    schema = pa.schema([batch.schema.field(field.name).remove_metadata() for field in fields])
    small = pa.RecordBatch.from_arrays(columns, schema=schema)
    while len(small) > 1 and small.nbytes > _TOTAL_BYTES:
        small = small.slice(0, len(small) // 2).take(_places(np.arange(len(small) // 2)))
    return pa.Table.from_batches([model.predict_batch(small)])


def _places(rows: NDArray[np.int64]) -> Any:
    return pa.array(rows, pa.int64())


def _small(field: Field, column: Any) -> Any:
    """Long texts cut, large pictures made smaller; the predictions are made on what is kept."""
    if field.kind is Kind.TEXT:
        return pa.array(
            [v[:_CELL_BYTES] if isinstance(v, str) else v for v in column.to_pylist()], column.type
        )
    if field.kind is Kind.IMAGE:
        return pa.array([_small_picture(v) for v in column.to_pylist()], column.type)
    return column


def _small_picture(data: bytes | None) -> bytes | None:
    if data is None or len(data) <= _CELL_BYTES:
        return data
    try:
        height, width, channels = image.size(data)
        scale = min(1.0, _SIDE / max(height, width))
        smaller = image.decode(
            data, height=max(1, int(height * scale)), width=max(1, int(width * scale)), channels=channels
        )
        return image.encode_png(smaller)
    except BadRowError:
        return data


def check_example(example: pa.Table, signature: Signature) -> None:
    """Whether a stranger's example is of the model's own columns and types, and no longer than ours.

    Raises ReplayError.
    """
    outputs = signature.outputs
    expected = [(f.name, f.type) for f in signature.whole.each()] + [(f.name, str(f.type)) for f in outputs]
    found = [(field.name, str(field.type)) for field in example.schema]
    if [name for name, _ in found] != [name for name, _ in expected]:
        raise ReplayError(f"The example has the columns {listing(example.column_names)}, not the model's.")
    if wrong := [pair for pair in zip(found, expected, strict=True) if pair[0] != pair[1]]:
        (name, kind), (_, said) = wrong[0]
        raise ReplayError(f"The example's {name!r} is of type {kind:.200}; the model's is {said:.200}.")
    if len(example) > ROWS:
        raise ReplayError(f"The example has {len(example)} rows; a model keeps at most {ROWS}.")


def replay(model: Predicts) -> None:
    """Predict the example rows again. Raises ReplayError where a score is further off than the tolerance."""
    kept = model.example
    if kept is None or len(kept) == 0:
        return
    check_example(kept, model.signature)
    inputs = kept.select(list(model.signature.whole.names)).combine_chunks()
    try:
        again = pa.Table.from_batches([model.predict_batch(batch) for batch in inputs.to_batches()])
    except OrreryError as error:
        raise ReplayError(f"The model cannot predict its own example rows: {error}") from None
    outputs = model.signature.outputs.names
    for name in [n for n in outputs if n != "prediction" or "probabilities" not in outputs]:
        old, new = _numbers(kept.column(name)), _numbers(again.column(name))
        if old.shape != new.shape:
            raise ReplayError(f"The example's {name!r} had shape {old.shape}, and now has {new.shape}.")
        near = np.abs(old - new) <= ABSOLUTE + RELATIVE * np.abs(old)  # false for NaN
        off = ~(near | (np.isnan(old) & np.isnan(new)))
        if off.any():
            row = int(np.argwhere(off)[0][0])
            raise ReplayError(
                f"The model does not repeat its own predictions: {name} of example row {row} was "
                f"{old[row].tolist()} and is {new[row].tolist()} (within {ABSOLUTE:g} + {RELATIVE:g}).",
                hint="It was altered, or the libraries here compute differently from those that made it.",
            )


def _numbers(column: Any) -> NDArray[np.float64]:
    """Scores of a column, [n, k]."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_struct(column.type):
        return np.stack([_numbers(part)[:, 0] for part in column.flatten()], axis=1)
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.to_pylist(), np.float64).reshape(len(column), -1)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64).reshape(len(column), 1)
