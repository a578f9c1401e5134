"""Arrow bodies: an IPC stream of rows in, the same rows with their answers beside them out.

``POST /v1/models/{name}:predict`` with ``Content-Type: application/vnd.apache.arrow.stream``. What a stream
of few bytes could stand for is bounded before it is read (see ``orrery.data.payloads.arrow``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from orrery.data.payloads.arrow import Arrow, encode
from orrery.errors import BadRequestError, SchemaError, TooLargeError
from orrery.estimators.signature import Signature
from orrery.serving.online.desk import Desk, Question, Seat, aside, new_id
from orrery.serving.online.limits import Limits
from orrery.serving.online.values import as_id
from orrery.serving.route import Live
from orrery.serving.runner import answers_as_arrow

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
_ID = "id"


def is_arrow(request: Request) -> bool:
    """Whether a request brings Arrow."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == MEDIA_TYPE


async def predict(desk: Desk, live: Live, body: bytes, seat: Seat) -> Response:
    """Answer a stream of rows. A column ``id`` names them; what is not read is kept."""
    codec_size = await aside(len(body), _size, body)
    if codec_size > desk.limits.body_bytes:
        raise TooLargeError("The rows are larger than the bytes that the service takes.")
    seat.hold(2 * codec_size)  # as Arrow, and as the values of Python
    batch = await aside(codec_size, read, body, desk.limits)
    question = await aside(codec_size, _question, batch, live.runner.signature)
    reply = await desk.ask(live, question, seat)
    text = await aside(codec_size, write, batch, question.ids, reply.answers, reply.live.runner.signature)
    return Response(text, media_type=MEDIA_TYPE, headers={"X-Orrery-Version": reply.version})


def _size(body: bytes) -> int:
    return Arrow().codec("", lambda: [body]).size(body)


def read(body: bytes, limits: Limits) -> pa.RecordBatch:
    """All rows of a stream as one batch. Raises BadRequestError, TooLargeError, SchemaError."""
    try:
        codec = Arrow().codec("", lambda: [body])
    except SchemaError as error:
        reason = error.message.partition(" are told by its messages, and ")[2] or error.message
        raise BadRequestError(f"The body is not a stream of Arrow: {reason}") from None
    found = codec.decode([body])
    for fault in found.faults.values():
        raise BadRequestError(f"The body {fault.reason}.")
    if len(found.batch) > limits.rows:
        raise TooLargeError(
            f"The request has {len(found.batch):,} rows; the service takes {limits.rows:,} at once."
        )
    if len(found.batch) * max(1, found.batch.num_columns) > limits.values:
        raise TooLargeError("The rows have more values than the service takes at once.")
    batch: pa.RecordBatch = found.batch
    return batch


def _question(batch: pa.RecordBatch, signature: Signature) -> Question:
    names = batch.schema.names
    if len(set(names)) < len(names):
        raise BadRequestError("Two columns of the stream have the same name.")
    signature.check(names)

    def columns_of(wanted: Signature) -> dict[str, list[Any]]:
        wanted.check(names)
        return {name: batch.column(name).to_pylist() for name in wanted.inputs.names}

    given = batch.column(_ID).to_pylist() if _ID in names else [None] * len(batch)
    ids = [new_id() if i is None else as_id(i, "/id") for i in given]
    return Question(
        columns_of(signature),
        ids,
        beside=lambda name: batch.column(name).to_pylist() if name in names else [],
        again=columns_of,
    )


def write(
    batch: pa.RecordBatch, ids: Sequence[str], answers: Sequence[dict[str, Any]], signature: Signature
) -> bytes:
    """The rows with their answers, as a stream; their ids too, where they came without."""
    columns, fields = list(batch.columns), list(batch.schema)
    if _ID not in batch.schema.names:
        columns.insert(0, pa.array(ids, pa.string()))
        fields.insert(0, pa.field(_ID, pa.string()))
    columns += answers_as_arrow(answers, signature)
    schema = pa.schema([*fields, *signature.outputs])
    return b"".join(encode(pa.RecordBatch.from_arrays(columns, schema=schema)))
