"""What answers rows inside Spark's Python workers: a model, opened once in each, and batches one by one.

A worker needs Orrery and the packages of the model's learner; no torch, and no file system that it shares.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.foreign import spark as vectors
from orrery.errors import BadRowError, ModelError, SchemaError, listing

if TYPE_CHECKING:
    from orrery.estimators.model import Model

_MOST_MODELS = 4  # kept open in one worker


class Whose(Protocol):
    """Where a worker's model comes from. Travels to the workers; small, or kept apart by Spark."""

    def model(self) -> Model:
        """The model that answers now."""


Answer = Callable[["Model", RecordBatch], list[Any]]
"""The columns that a model adds to a batch of its own columns, as Spark takes them."""


@dataclass(frozen=True)
class Shipped:
    """A model that travels as the zip that ``save`` writes."""

    key: str
    """SHA-256 of the zip: equal models are opened once."""
    kind: type[Model]
    content: Any = field(compare=False, repr=False)
    """A broadcast of the zip's bytes, or the name of a file that Spark Connect brought."""

    def model(self) -> Model:
        """The model, opened by the first batch of a worker."""
        return _opened(self)


@lru_cache(_MOST_MODELS)
def _opened(shipped: Shipped) -> Model:
    if isinstance(shipped.content, str):
        from pyspark import SparkFiles  # Spark's own, and only there

        return shipped.kind.load(SparkFiles.get(shipped.content))
    with tempfile.NamedTemporaryFile(prefix="orrery-model-", suffix=".zip") as file:
        file.write(shipped.content.value)
        file.flush()
        return shipped.kind.load(file.name)


def opened() -> int:
    """How many models this process has opened."""
    return _opened.cache_info().misses


def answer_frames(
    whose: Whose, answer: Answer, names: tuple[str, ...], added: tuple[str, ...], batches: Iterator[Any]
) -> Iterator[Any]:
    """Each batch of one of Spark's partitions with its answers beside it: what ``mapInArrow`` runs.

    ``names`` are the true names of its columns, ``added`` those of the answers. Raises BadRowError that
    names the row by its place in the partition.
    """
    start = 0
    for batch in batches:
        model = whose.model()
        given = {name: batch.column(i) for i, name in enumerate(names)}
        with _named_rows(start):
            columns = answer(model, inputs_of(model, given))
        if any(len(column) != len(batch) for column in columns):
            raise ModelError(f"The model gave {len(columns[0])} answers for {len(batch)} rows.")
        start += len(batch)
        yield pa.RecordBatch.from_arrays([*batch.columns, *columns], names=[*names, *added])


def answer_values(whose: Whose, answer: Answer, added: tuple[str, ...], *rows: Any, **columns: Any) -> Any:
    """The answers to a batch of arguments of an SQL function, as one array of structs."""
    model = whose.model()
    inputs = inputs_of(model, arguments(model, rows, columns))
    return pa.StructArray.from_arrays(answer(model, inputs), names=list(added))


def arguments(model: Model, rows: tuple[Any, ...], columns: Mapping[str, Any]) -> Mapping[str, Any]:
    """Columns by name, from the arguments of an SQL function. Raises SchemaError that shows the forms.

    One struct gives its members; otherwise the arguments are named. One that is not needs no name where the
    model reads one column only.
    """
    wanted = model.signature.inputs.names
    if not rows and columns:
        return columns
    if len(rows) == 1 and not columns:
        (only,) = rows
        if pa.types.is_struct(only.type) and not vectors.is_vector(only.type):
            members = [only.type.field(i).name for i in range(only.type.num_fields)]
            return dict(zip(members, only.flatten(), strict=True))
        if len(wanted) == 1:
            return {wanted[0]: only}
    named = ", ".join(f"`{name}` => ..." for name in wanted[:3])
    raise SchemaError(
        f"The function was given {len(rows) + len(columns)} arguments without names; it reads the columns "
        f"{listing(wanted)}.",
        hint=f"Call it on a struct, predict(struct(*)), or name the arguments: predict({named}).",
    )


def inputs_of(model: Model, given: Mapping[str, Any]) -> RecordBatch:
    """The columns that the model reads, as it knows them: Spark's vectors become lists."""
    names = model.signature.whole.names
    if missing := [name for name in names if name not in given]:
        raise SchemaError(
            f"The model needs the columns {listing(names)}; the rows have {listing(given)}, and lack "
            f"{listing(missing)}."
        )
    read = [_plain(given[name], name) for name in names]
    return pa.RecordBatch.from_arrays(read, names=list(names))


def _plain(column: Any, name: str) -> Any:
    if not vectors.is_vector(column.type):
        return column
    if column.null_count == len(column):  # which would tell nothing of its length
        return pa.nulls(len(column), pa.list_(pa.float64()))
    field = pa.field(name, column.type)
    meaning = vectors.meanings(pa.schema([field]), lambda _: column)[name]
    return meaning.read(column, "the data frame")


@contextmanager
def _named_rows(start: int) -> Iterator[None]:
    """A row that cannot be read is named by its place in Spark's partition."""
    try:
        yield
    except BadRowError as error:
        if error.row is not None:
            error.row += start
            error.pointer = f"partition {_partition()}, row {error.row}"
        raise


def _partition() -> int:
    from pyspark import TaskContext  # Spark's own, and only there

    task = TaskContext.get()
    return -1 if task is None else int(task.partitionId())


# --- answers as Spark takes them


def usual(model: Model, inputs: RecordBatch) -> list[Any]:
    """``prediction``, and for categories ``probability`` and ``probabilities``."""
    answered = model.predict_batch(inputs)
    return [storable(column) for column in answered.columns[inputs.num_columns :]]


def storable(column: Any) -> Any:
    """The column in a type that Spark has."""
    kind = storable_type(column.type)
    return column if kind == column.type else column.cast(kind)


_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.float16(): pa.float32(),
}


def storable_type(kind: Any) -> Any:
    """The type of Spark's that holds all values of a type.

    >>> storable_type(pa.list_(pa.uint8(), 2))
    ListType(list<item: int16>)
    """
    if pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(storable_type(kind.value_type))
    if pa.types.is_dictionary(kind):
        return storable_type(kind.value_type)
    if pa.types.is_uint64(kind):
        return pa.decimal128(20, 0)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(storable_type(kind.value_type))
    return _WIDER.get(kind, kind)
