"""Avro, Protobuf, Arrow and whatever else is a payload: messages become one Arrow batch, and that answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.payloads import arrow as arrow_payload
from orrery.data.payloads.avro import Avro
from orrery.data.payloads.avro_types import written
from orrery.data.payloads.payload import Codec, Decoded, Fault, Payload
from orrery.data.payloads.protobuf import Protobuf
from orrery.errors import SchemaError, SettingsError
from orrery.serving.parquet import Answered
from orrery.serving.past import PastStore
from orrery.serving.route import Live
from orrery.serving.stream.before import row_ids, rows_before
from orrery.serving.stream.broker import Message
from orrery.serving.stream.form import Scored, Values, each_answered, model_of

_SAMPLED = ("json", "arrow")  # their columns are those of the messages
_TOPIC = "stream"


class CodecForm:
    """Answers messages of one payload in the same or another.

    Where messages do not say what their columns are, those of the first batch of them count.
    """

    def __init__(
        self, payload: Payload, to: Payload, tagged: bool = False, past: PastStore | None = None
    ) -> None:
        self.payload = payload
        self.to = to
        self.tagged = tagged
        self.past = past
        self._codec: Codec | None = None
        self._writer: tuple[Any, Codec] | None = None
        if payload.kind == "arrow" and to.kind != "arrow":
            raise SettingsError(
                f"A message of Arrow holds many rows, one of {to.kind} holds one.", hint="to_payload='arrow'"
            )

    def open(self) -> None:
        """Read the schema, if it can be read before there is a message. Raises SchemaError, SourceError."""
        if self.payload.kind not in _SAMPLED:
            self._codec = self.payload.codec(_TOPIC, list)

    def score(self, live: Live, messages: Sequence[Message]) -> Scored:
        """Answer messages; a mark of a deleted key is passed on."""
        values: list[Values] = [(None,)] * len(messages)
        faults: dict[int, Fault] = {}
        places = [i for i, message in enumerate(messages) if message.value is not None]
        decoded = self._decoded([messages[i].value for i in places], faults, places)
        whose = {places[i]: part for i, part in enumerate(_parts(decoded, len(places))) if part is not None}
        batch = decoded.batch
        added: tuple[str, ...] = ()
        if self.past is not None:
            batch, added, whose, wrong = rows_before(self.past, live, batch, whose, messages)
            faults |= wrong
        readable = list(whose)

        def answer(low: int, high: int) -> Sequence[Any]:
            mine = [whose[i] for i in readable[low:high]]
            start, stop = mine[0].start, mine[-1].stop
            found = live.runner.predict_batch(batch.slice(start, stop - start))
            told = found.drop_columns(list(added)) if added else found
            sent = self._sent(told, mine, live, [messages[i] for i in readable[low:high]])
            cut = [found.slice(part.start - start, len(part)) for part in mine]
            return list(zip(sent, cut, strict=True))

        found = each_answered(len(readable), answer)
        for number, fault in found.faults.items():
            faults[readable[number]] = fault
        for number, (sent, _) in found.answers.items():
            values[readable[number]] = sent
        answered = [batch for _, batch in found.answers.values()]
        ids = [messages[readable[number]].id for number in found.answers]
        return Scored(
            values,
            faults,
            rows=sum(len(batch) for batch in answered),
            last=lambda most: _last(answered, most),
            recorded=lambda: _answered(live, ids, answered),
        )

    def _decoded(self, values: list[bytes | None], faults: dict[int, Fault], places: list[int]) -> Decoded:
        try:
            if self._codec is None:
                self._codec = self.payload.codec(_TOPIC, lambda: [v for v in values if v is not None])
            decoded = self._codec.decode(values)
        except SchemaError as error:
            decoded = Decoded(
                pa.RecordBatch.from_pylist([]),
                [],
                dict.fromkeys(range(len(values)), Fault(None, None, error.message)),
            )
        faults.update({places[i]: fault for i, fault in decoded.faults.items()})
        return decoded

    def _sent(
        self, found: RecordBatch, parts: Sequence[range], live: Live, messages: Sequence[Message]
    ) -> list[Values]:
        """What is sent for each message, of the rows of all."""
        if self.tagged:
            ids = [message.id for part, message in zip(parts, messages, strict=True) for _ in part]
            found = _with(found, "_id", pa.array(ids, pa.string()))
            found = _with(found, "_model", pa.array([model_of(live)] * len(found), pa.string()))
        start = parts[0].start
        if self.to.kind == "arrow":
            return [arrow_payload.encode(found.slice(part.start - start, len(part))) for part in parts]
        sent = self._encoded(found)
        return [sent[part.start - start : part.stop - start] for part in parts]

    def _encoded(self, found: RecordBatch) -> list[bytes]:
        if isinstance(self.to, Avro):
            found = _named_by_map(found)
        if self._writer is None or self._writer[0] != found.schema:
            self._writer = (found.schema, _writer(self.to, found))
        codec = self._writer[1]
        if isinstance(self.to, Protobuf):
            found = found.select([name for name in found.schema.names if name in codec.schema.names])
        return codec.encode(found)


def _writer(to: Payload, found: RecordBatch) -> Codec:
    """A codec for answers with these columns; Avro makes its schema of them, if it was given none."""
    if isinstance(to, Avro) and to.avsc is None:
        to = to.replace(avsc=written(found.schema, "answer"))
    if to.kind == "json":
        to = to.replace(
            types={f.name: "string" for f in found.schema}
        )  # it writes any; they are not looked at
    return to.codec(_TOPIC, list)


def _parts(decoded: Decoded, count: int) -> list[range | None]:
    """The rows of each message, which stand together; None for one that cannot be read."""
    rows = [0] * count
    for i in decoded.origin:
        rows[i] += 1
    parts: list[range | None] = []
    start = 0
    for i, found in enumerate(rows):
        parts.append(None if i in decoded.faults else range(start, start + found))
        start += found
    return parts


def _last(batches: Sequence[RecordBatch], most: int) -> list[dict[str, Any]]:
    filled = [batch for batch in batches if len(batch)][-most:]
    return [row for batch in filled for row in batch.slice(max(0, len(batch) - most)).to_pylist()][-most:]


def _with(batch: RecordBatch, name: str, column: Any) -> RecordBatch:
    if name in batch.schema.names:
        raise SchemaError(f"The message has a column {name!r}, which is the answer's.")
    return batch.append_column(name, column)


def _named_by_map(batch: RecordBatch) -> RecordBatch:
    """Probabilities as a map: labels are data, and Avro's names of fields are not."""
    at = batch.schema.get_field_index("probabilities")
    if at < 0 or not pa.types.is_struct(batch.schema.field(at).type):
        return batch
    shares: Any = batch.column(at)
    names = [field.name for field in shares.type]
    table = np.column_stack([shares.field(i).to_numpy(zero_copy_only=False) for i in range(len(names))])
    offsets: Any = pa.array(np.arange(len(batch) + 1) * len(names), pa.int32())
    keys = pa.array(names * len(batch), pa.string())
    maps = pa.MapArray.from_arrays(offsets, keys, pa.array(table.ravel()))
    return batch.set_column(at, "probabilities", maps)


def _answered(live: Live, ids: Sequence[str], answered: Sequence[RecordBatch]) -> Answered:
    """For the recorder. A row is called by its own id, or by where its message stands."""
    signature = live.runner.signature
    rows = [row for batch in answered for row in batch.to_pylist(maps_as_pydicts="strict")]
    each = [name for id_, batch in zip(ids, answered, strict=True) for name in row_ids(id_, len(batch))]
    outputs = signature.outputs.names
    return Answered(
        name=live.name,
        version=live.version,
        signature=signature,
        ids=[_own_id(row, name) for row, name in zip(rows, each, strict=True)],
        columns={name: [row[name] for row in rows] for name in signature.whole.names},
        answers=[{name: row[name] for name in outputs} for row in rows],
        time_us=time.time_ns() // 1000,
        size_bytes=sum(batch.nbytes + 600 * len(batch) for batch in answered),
    )


def _own_id(row: dict[str, Any], message: str) -> str:
    """The row's own ``id``, where it is one; else where its message stands."""
    own = row.get("id")
    return str(own) if isinstance(own, str | int) and not isinstance(own, bool) else message
