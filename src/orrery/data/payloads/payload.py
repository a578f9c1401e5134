"""What a payload is: settings that say how the bytes of a message become rows, and rows bytes again.

The settings (:class:`Payload`) give a :class:`Codec` once it is known what the messages look like. A message
without bytes (Kafka's mark of a deleted key) is a row whose columns are all null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import values
from orrery.errors import SchemaError, SettingsError, listing
from orrery.spec import Choice

Sample = Callable[[], Sequence[bytes]]
"""Gives some of the messages, for those forms that do not say what their columns are."""


class Fault(NamedTuple):
    """Why a message cannot be read: the column, if it is one's, its value, and the reason."""

    column: str | None
    value: object
    reason: str


@dataclass(frozen=True)
class Decoded:
    """The rows of some messages: ``origin`` is the message that each row came from, counted from 0."""

    batch: RecordBatch
    origin: Sequence[int]
    faults: Mapping[int, Fault] = field(default_factory=dict)
    """By message; those give no row."""


class Codec(Protocol):
    """A payload whose columns are known."""

    @property
    def schema(self) -> Any:
        """The columns, as an Arrow schema."""

    def decode(self, messages: Sequence[bytes | None]) -> Decoded:
        """The rows of some messages, in their order."""

    def size(self, message: bytes) -> int:
        """Bytes that the rows of a message take in memory, about: batches are cut by it."""

    def encode(self, batch: RecordBatch) -> list[bytes]:
        """Rows with these columns as messages. Raises SchemaError where they do not fit."""


class Payload(Choice):
    """How the messages of a topic are written."""

    family: ClassVar[str] = "orrery.data.payloads"

    def codec(self, topic: str, sample: Sample) -> Codec:
        """The codec for the messages of a topic. Raises SchemaError where their columns cannot be told."""
        raise NotImplementedError


class OneRow:
    """What codecs share that make one row of each message."""

    def size(self, message: bytes) -> int:
        """As long as the message."""
        return len(message)


def payload_of(given: str | Mapping[str, Any] | Payload) -> Payload:
    """A payload from its kind, from plain values, or as it is.

    >>> payload_of("text").to_dict()
    {'kind': 'text'}
    """
    if isinstance(given, Payload):
        return given
    if isinstance(given, (str, Mapping)):
        return Payload.of({"kind": given} if isinstance(given, str) else given)
    raise SettingsError(
        f"A payload is not {type(given).__name__}: give its kind, one of {listing(Payload.kinds())}.",
        hint="Or its settings: {'kind': 'avro', 'schema': 'orders.avsc'}.",
    )


def typed(schema: Any, rows: Sequence[Mapping[str, Any] | Fault | None]) -> Decoded:
    """Rows of Python values as columns of a schema; a row whose value does not fit becomes a fault."""
    faults = {i: row for i, row in enumerate(rows) if isinstance(row, Fault)}
    plain: list[Mapping[str, Any]] = [{} if row is None or isinstance(row, Fault) else row for row in rows]
    arrays = []
    for column in schema:
        found = [row.get(column.name) for row in plain]
        array, wrong = values.to_array(found, column.type)
        for i in wrong:
            faults.setdefault(i, Fault(column.name, found[i], f"is not {column.type}"))
        arrays.append(array)
    batch = batch_of(arrays, schema, len(rows))
    if not faults:
        return Decoded(batch, range(len(rows)))
    good = [i for i in range(len(rows)) if i not in faults]
    return Decoded(batch.take(pa.array(good, pa.int64())), good, faults)


def batch_of(arrays: Sequence[Any], schema: Any, rows: int) -> RecordBatch:
    """A batch, also of no columns at all."""
    if len(schema):
        return pa.RecordBatch.from_arrays(list(arrays), schema=schema)
    nothing: Any = pa.array([{}] * rows, pa.struct([]))
    return pa.RecordBatch.from_struct_array(nothing)


def fitting(batch: RecordBatch, schema: Any) -> RecordBatch:
    """The columns of a schema, in its order and types, of a batch. Raises SchemaError."""
    missing = [name for name in schema.names if name not in batch.schema.names]
    if missing:
        raise SchemaError(f"The messages have the columns {missing}, which the rows do not.")
    try:
        return batch.select(schema.names).cast(schema)
    except pa.ArrowException as error:
        raise SchemaError(f"The rows do not fit the messages: {error}") from None


def shown(message: bytes) -> str:
    """The beginning of a message, for a person."""
    return message[:400].decode("utf-8", "backslashreplace")
