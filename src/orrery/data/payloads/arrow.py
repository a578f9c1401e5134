"""Messages that are Arrow streams: each holds any number of rows.

A stream from a stranger is checked before it is believed: compressed buffers say how large they become, which
is bounded; values are checked against their offsets; columns whose rows share their bytes (dictionaries,
runs, views) are refused, since a small message of them can stand for any number of large rows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.payloads.payload import Codec, Decoded, Fault, Payload, Sample, batch_of, shown
from orrery.errors import SchemaError

MOST_BYTES = 256 << 20
"""What the rows of one message may take in memory."""
_MOST_ROWS = 10_000_000
_WRONG = (pa.ArrowException, ValueError, OSError, IndexError, struct.error)
_RECORD_BATCH = 3  # of MessageHeader in Arrow's Message.fbs


class Arrow(Payload):
    """Arrow's IPC stream format; the columns are those of the first message."""

    kind: Literal["arrow"] = "arrow"

    def codec(self, topic: str, sample: Sample) -> Codec:
        """Columns by a sample. Raises SchemaError where no message of it can be read."""
        said = "there is none"
        for message in sample():
            try:
                return _ArrowCodec(_opened(message).schema)
            except _WRONG as error:
                said = str(error)
        raise SchemaError(f"The columns of the topic {topic!r} are told by its messages, and {said}.")


class _ArrowCodec:
    def __init__(self, schema: Any) -> None:
        self.schema = schema.remove_metadata()
        shared = [f.name for f in self.schema if _shares(f.type)]
        if shared:
            raise SchemaError(
                f"The columns {shared} are of types whose rows share bytes, and cannot be bounded.",
                hint="Cast them to plain types before they are sent.",
            )

    def decode(self, messages: Sequence[bytes | None]) -> Decoded:
        """The rows of every message, one after another."""
        batches: list[Any] = []
        origin: list[int] = []
        faults: dict[int, Fault] = {}
        for i, message in enumerate(messages):
            try:
                found = self._rows(message)
            except _WRONG as error:
                faults[i] = Fault(None, shown(message or b""), f"is not Arrow: {str(error).splitlines()[0]}")
                continue
            for batch in found:
                batches.append(batch)
                origin += [i] * batch.num_rows
        table = pa.Table.from_batches(batches, self.schema).combine_chunks()
        whole = table.to_batches()
        return Decoded(whole[0] if whole else _empty(self.schema), origin, faults)

    def _rows(self, message: bytes | None) -> list[RecordBatch]:
        if message is None:
            return [batch_of([pa.nulls(1, f.type) for f in self.schema], self.schema, 1)]
        if _measure(message) > MOST_BYTES:
            raise ValueError(f"its rows take more than {MOST_BYTES:,} bytes")
        found = []
        rows = 0
        with _opened(message) as stream:
            if set(stream.schema.names) != set(self.schema.names) or any(
                _shares(f.type) for f in stream.schema
            ):
                raise ValueError(f"its columns are {stream.schema.names}, not {self.schema.names}")
            for batch in stream:
                rows += batch.num_rows
                if rows > _MOST_ROWS:
                    raise ValueError(f"it has more than {_MOST_ROWS:,} rows")
                batch.validate(full=True)
                found.append(batch.select(self.schema.names).cast(self.schema))
        return found

    def size(self, message: bytes) -> int:
        """As its buffers say; of one that cannot be read, its length."""
        try:
            return max(_measure(message), len(message))
        except _WRONG:
            return len(message)

    def encode(self, batch: RecordBatch) -> list[bytes]:
        """One message with all rows."""
        return encode(batch)


def encode(batch: RecordBatch) -> list[bytes]:
    """One message with all rows of a batch, whatever its columns."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return [sink.getvalue().to_pybytes()]


def _opened(message: bytes) -> Any:
    stream = pa.ipc.open_stream(pa.py_buffer(message))
    _check_names(stream.schema)
    return stream


def _check_names(fields: Any) -> None:
    """Names are text, nested ones too: Arrow checks none before it is asked. Raises ValueError."""
    for field in fields:
        try:
            field.name.isascii()
        except UnicodeDecodeError:
            raise ValueError("a column's name is not UTF-8") from None
        _check_names(field.type.field(i) for i in range(field.type.num_fields))


def _empty(schema: Any) -> RecordBatch:
    return batch_of([pa.array([], f.type) for f in schema], schema, 0)


def _shares(kind: Any) -> bool:
    """Whether rows of a type may share their bytes, or take none."""
    words = ("dictionary", "run_end_encoded", "_view", "null", "union")
    return any(word in str(kind) for word in words) or isinstance(kind, pa.BaseExtensionType)


def _measure(message: bytes) -> int:
    """Bytes that the rows of a message take in memory, by what its buffers say."""
    total = 0
    for part in _parts(pa.ipc.MessageReader.open_stream(pa.py_buffer(message))):
        body = memoryview(part.body) if part.body is not None else memoryview(b"")
        compressed, buffers = _buffers(memoryview(part.metadata))
        for offset, length in buffers:
            said = struct.unpack_from("<q", body, offset)[0] if compressed and length >= 8 else 0
            total += max(said, length, 0)
    return total


def _parts(reader: Any) -> Iterator[Any]:
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _buffers(head: memoryview) -> tuple[bool, list[tuple[int, int]]]:
    """Whether a record batch is compressed, and offset and length of its buffers in the message's body.

    The head is a flatbuffer: a table begins with the distance back to its list of members, which has the
    place of each member, or 0 (Arrow's Message.fbs: RecordBatch).
    """

    def number(form: str, at: int) -> int:
        return int(struct.unpack_from(form, head, at)[0])

    def member(table: int, index: int) -> int:
        members = table - number("<i", table)
        inside = 4 + 2 * index < number("<H", members)
        place = number("<H", members + 4 + 2 * index) if inside else 0
        return table + place if place else 0

    root = number("<I", 0)
    kind, header = member(root, 1), member(root, 2)
    if not kind or head[kind] != _RECORD_BATCH or not header:
        return False, []
    batch = header + number("<I", header)
    at = member(batch, 2)
    if not at:
        return False, []
    vector = at + number("<I", at)
    places = [vector + 4 + 16 * i for i in range(number("<I", vector))]
    return bool(member(batch, 3)), [(number("<q", place), number("<q", place + 8)) for place in places]
