"""Raw rows: ``POST /v1/models/{name}:predict``, as JSON or as a form with uploads.

::

    {"rows": [{"id": 7, "age": 31, "photo": "<base64>"}]}
    {"model": "clients", "version": 3, "rows": [{"id": 7, "prediction": "yes", "probability": 0.93, ...}]}

What a row has beside the columns that the model reads is kept beside its answer. A form is one row, or as
many as each of its fields is repeated: ``curl -F photo=@a.png -F photo=@b.png``. ``"record": false`` keeps
the rows out of the record.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import msgspec
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response

from orrery.errors import BadRequestError, BadRowError, TooLargeError, listing
from orrery.estimators.signature import Signature
from orrery.schema import Field
from orrery.serving.online import arrow
from orrery.serving.online.body import check_values, kind_of, read_body, read_object
from orrery.serving.online.desk import Desk, Question, Reply, Seat, aside
from orrery.serving.online.problem import pointer_to
from orrery.serving.online.values import columns_of, from_field, ids_of
from orrery.serving.route import Live

_MOST_FIELDS = 20_000


async def predict(desk: Desk, request: Request) -> Response:
    """Answer rows."""
    live = desk.asked(request)
    signature = live.runner.signature
    with desk.seat(request) as seat:
        body = await read_body(request, seat)
        if arrow.is_arrow(request):
            return await arrow.predict(desk, live, body, seat)
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            check_values(body, desk.limits.values)
            rows, record = await _form_rows(request, body, signature), True
        else:
            rows, record = json_rows(await read_object(body, seat))
        _check_count(len(rows), desk)
        question = await aside(len(body), question_of, rows, record, signature)
        reply = await ask(desk, live, question, seat)
    return Response(said_of(rows, question, reply, signature), media_type="application/json")


def question_of(rows: list[dict[str, Any]], record: bool, signature: Signature) -> Question:
    """Rows of JSON as the desk is asked. Raises BadRequestError, UnknownColumnError, SchemaError."""
    return Question(
        columns_of(rows, signature),
        ids_of(rows),
        record,
        beside=lambda name: [row.get(name) for row in rows],
        mixed=True,
        again=partial(columns_of, rows),
    )


def said_of(rows: list[dict[str, Any]], question: Question, reply: Reply, signature: Signature) -> bytes:
    """The rows with their answers, as JSON; the columns that were read are left out."""
    read = frozenset(signature.inputs.names)
    kept = [{k: v for k, v in row.items() if k not in read and (k != "id" or v is not None)} for row in rows]
    said = [
        {"id": i, **row, **answer} for i, row, answer in zip(question.ids, kept, reply.answers, strict=True)
    ]
    if reply.by is not None:  # a split by key divided the rows
        said = [{"version": version, **row} for version, row in zip(reply.versions, said, strict=True)]
    whole = {"model": reply.live.name, "version": reply.live.version, "rows": said}
    return msgspec.json.encode(whole)


async def ask(desk: Desk, live: Live, question: Question, seat: Seat) -> Reply:
    """The answers; what is wrong with a value is said with a pointer to it."""
    try:
        return await desk.ask(live, question, seat)
    except BadRowError as error:
        point(error)
        raise


def point(error: BadRowError) -> None:
    """Say in which of the rows a value is wrong."""
    if error.row is not None:
        error.message = error.message.replace("Column", f"Row {error.row}, column", 1)
        error.pointer = pointer_to("rows", error.row, error.column)


def json_rows(body: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a body, and whether they may be recorded. Raises BadRequestError."""
    unknown = sorted(body.keys() - {"rows", "record"})
    rows, record = body.get("rows"), body.get("record", True)
    if unknown or not isinstance(rows, list):
        raise BadRequestError(
            f"The body has {listing(body)}; it needs 'rows', a list of objects.",
            hint='Send {"rows": [{"column": value, ...}]}.',
        )
    if not isinstance(record, bool):
        raise BadRequestError("'record' is true or false.", pointer="/record")
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise BadRequestError(
                f"Row {i} is a {kind_of(row)}; each row is an object.", pointer=f"/rows/{i}"
            )
    return rows, record


def _check_count(rows: int, desk: Desk) -> None:
    if rows > desk.limits.rows:
        raise TooLargeError(
            f"The request has {rows:,} rows; the service takes {desk.limits.rows:,} at once.",
            hint="Send fewer at once.",
        )


class _InMemory(MultiPartParser):
    """Uploads stay in memory: the body is there already, within its bound."""

    spool_max_size = 1 << 62
    ended = False

    def on_end(self) -> None:
        self.ended = True


async def _form_rows(request: Request, body: bytes, signature: Signature) -> list[dict[str, Any]]:
    """The rows of a multipart form: field by field, a value per row."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(
        request.headers, stream(), max_files=_MOST_FIELDS, max_fields=_MOST_FIELDS, max_part_size=len(body)
    )
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError) as error:
        raise BadRequestError(f"The form cannot be read: {error}.") from None
    if not parser.ended:
        await form.close()
        raise BadRequestError("The form is cut short: its closing boundary is missing.")
    fields = {field.name: field for field in signature.inputs.each()}
    columns: dict[str, list[object]] = {}
    try:
        for name, part in form.multi_items():
            value = part if isinstance(part, str) else await part.read()
            columns.setdefault(name, []).append(_field_value(value, fields.get(name)))
    finally:
        await form.close()
    return _as_rows(columns)


def _field_value(value: str | bytes, field: Field | None) -> object:
    """A column's value; an upload that is no column of the model is not kept."""
    if isinstance(value, bytes):
        return value if field else None
    return from_field(value, field) if field else value


def _as_rows(columns: Mapping[str, list[object]]) -> list[dict[str, Any]]:
    counts = {len(values) for values in columns.values()}
    if len(counts) > 1:
        said = listing(f"{name}: {len(values)}" for name, values in columns.items())
        raise BadRequestError(f"Each field of a form comes equally often; received {said}.")
    return [{name: values[i] for name, values in columns.items()} for i in range(max(counts, default=0))]
