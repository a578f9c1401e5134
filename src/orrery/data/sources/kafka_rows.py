"""Messages as rows: the payload's columns, and where each message came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.payloads.payload import Codec, batch_of
from orrery.data.quarantine import BadRows
from orrery.errors import SchemaError

_BATCH_BYTES = 8 << 20
_FIELDS: list[Any] = [
    pa.field("_key", pa.binary()),
    pa.field("_partition", pa.int32()),
    pa.field("_offset", pa.int64()),
    pa.field("_timestamp", pa.timestamp("ms", "UTC")),
    pa.field("_headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
]
_ORIGIN: Any = pa.schema(_FIELDS)
"""What every message has beside its payload."""


class Rows:
    """Turns messages into batches; those that cannot be read are reported by partition and offset."""

    def __init__(self, codec: Codec, place: str) -> None:
        taken = sorted({*codec.schema.names} & {*_ORIGIN.names})
        if taken:
            raise SchemaError(
                f"The messages of {place} have columns that Orrery gives every message itself: {taken}.",
                hint="Read the topic with payload='bytes', and rename them.",
            )
        self.codec = codec
        self.place = place
        self.schema: Any = pa.schema(list(codec.schema) + list(_ORIGIN))

    def batches(self, messages: Sequence[Any], bad: BadRows, wanted: Sequence[str]) -> Iterator[RecordBatch]:
        """Batches of bounded size, in the order of the messages, with the columns wanted."""
        waiting: list[Any] = []
        size = 0
        for message in messages:
            value = message.value()
            size += self.codec.size(value) if value is not None else 0
            waiting.append(message)
            if size >= _BATCH_BYTES:
                yield self._batch(waiting, bad, wanted)
                waiting, size = [], 0
        if waiting:
            yield self._batch(waiting, bad, wanted)

    def _batch(self, messages: Sequence[Any], bad: BadRows, wanted: Sequence[str]) -> RecordBatch:
        decoded = self.codec.decode([message.value() for message in messages])
        for i, fault in sorted(decoded.faults.items()):
            place = f"{self.place}[{messages[i].partition()}]"
            bad.report(place, messages[i].offset(), *fault)
        rows = len(decoded.origin)
        each = rows == len(messages) and list(decoded.origin) == list(range(rows))
        taken = None if each else pa.array(decoded.origin, pa.int64())
        arrays = []
        for name in wanted:
            if name in _VALUES:
                array = pa.array(map(_VALUES[name], messages), _ORIGIN.field(name).type, size=len(messages))
                arrays.append(array if taken is None else array.take(taken))
            else:
                arrays.append(decoded.batch.column(name))
        return batch_of(arrays, pa.schema([self.schema.field(name) for name in wanted]), rows)


def _timestamp(message: Any) -> int | None:
    sort, at = message.timestamp()
    return int(at) if sort and at >= 0 else None


def _headers(message: Any) -> list[tuple[str, bytes | None]]:
    return message.headers() or []


_VALUES: dict[str, Callable[[Any], Any]] = {
    "_key": lambda message: message.key(),
    "_partition": lambda message: message.partition(),
    "_offset": lambda message: message.offset(),
    "_timestamp": _timestamp,
    "_headers": _headers,
}
