"""Who answers the pieces of a batch: this process, executors of Spark, or the workers of another engine."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.engines.engine import Engine
from orrery.engines.find import engine_of
from orrery.engines.job import Each
from orrery.estimators.model import Model
from orrery.estimators.spark_frame import answer_frame, zipped

Answer = Callable[[Sequence[RecordBatch]], list[RecordBatch]]
"""What a model adds to the rows of some pieces."""

_TOGETHER = 8
"""Pieces that are on their way to an engine at a time, at most."""
_ROW = "orrery row"


def answer_here(model: Model) -> Answer:
    """In this process, one piece after the other."""
    names = model.signature.outputs.names
    return lambda pieces: [model.predict_batch(piece).select(names) for piece in pieces]


def answer_on(model: Model, engine: Engine | str) -> tuple[Answer, int]:
    """On an engine, and how many pieces it is to be given at a time."""
    found = engine_of(engine)
    together = max(1, min(_TOGETHER, found.slots().total))
    if hasattr(found, "session"):
        return lambda pieces: _on_spark(model, found, pieces), together
    task = Shipped(zipped(model))
    return lambda pieces: found.submit(found.plan(Each(task, list(pieces)))).result(), together


class Shipped:
    """A model as it travels to a worker, where it is opened once."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self, piece: RecordBatch) -> RecordBatch:
        """What the model adds."""
        model = _opened(self.content)
        return model.predict_batch(piece).select(model.signature.outputs.names)

    @cached_property
    def key(self) -> str:
        """Of the model's bytes."""
        return hashlib.sha256(self.content).hexdigest()


_OPEN: dict[bytes, Model] = {}


def _opened(content: bytes) -> Model:
    key = hashlib.sha256(content).digest()
    if key not in _OPEN:
        with tempfile.TemporaryDirectory(prefix="orrery-model-") as folder:
            path = Path(folder) / "model.zip"
            path.write_bytes(content)
            _OPEN.clear()  # one batch, one model
            _OPEN[key] = Model.load(path)
    return _OPEN[key]


def _on_spark(model: Model, engine: Any, pieces: Sequence[RecordBatch]) -> list[RecordBatch]:
    """As a frame of the columns that the model reads; the rows come back in any order, and are put right."""
    from orrery.engines.spark_session import speaking

    rows = pa.Table.from_batches([p.select(list(model.signature.whole.names)) for p in pieces])
    rows = rows.append_column(_ROW, pa.array(range(rows.num_rows), pa.int64()))
    outputs = model.signature.outputs
    with speaking():
        frame = answer_frame(model, engine.session.createDataFrame(rows))
        answered = frame.select(f"`{_ROW}`", *(f"`{name}`" for name in outputs.names)).toArrow()
    answers = answered.sort_by(_ROW).select(outputs.names).cast(outputs).combine_chunks()
    sizes = [piece.num_rows for piece in pieces]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [_batch(answers.slice(*each)) for each in zip(starts, sizes, strict=True)]


def _batch(table: pa.Table) -> RecordBatch:
    found = table.combine_chunks().to_batches()
    return found[0] if found else pa.RecordBatch.from_pylist([], schema=table.schema)
