"""MLflow's scoring protocol: ``POST /invocations``, so that its clients and tools ask without a change.

::

    {"dataframe_split": {"columns": ["age"], "data": [[31]]}}    {"dataframe_records": [{"age": 31}]}
    {"instances": [{"age": 31}]}                                 {"inputs": {"age": [31]}}
    {"predictions": [{"prediction": "yes", "probability": 0.93, ...}]}

or a CSV with a header. Source: mlflow.org/docs/latest/ml/deployment, "Inference Server Specification".
"""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from orrery import __version__
from orrery.errors import BadRequestError, TooLargeError, listing
from orrery.estimators.signature import Signature
from orrery.schema import Field
from orrery.serving.online.body import check_values, kind_of, read_body, read_object
from orrery.serving.online.desk import Desk, aside
from orrery.serving.online.rows import ask, question_of
from orrery.serving.online.values import from_field

Rows = list[dict[str, Any]]

_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


async def invoke(desk: Desk, request: Request) -> Response:
    """``POST /invocations``: the first model answers."""
    live = desk.asked(request)
    signature = live.runner.signature
    with desk.seat(request) as seat:
        body = await read_body(request, seat)
        if request.headers.get("content-type", "").lower().startswith("text/csv"):
            seat.hold(check_values(body, desk.limits.values))
            rows = await aside(len(body), csv_rows, body, signature, desk.limits.rows)
        else:
            rows = json_rows(await read_object(body, seat), signature)
        if len(rows) > desk.limits.rows:
            raise TooLargeError(
                f"The request has {len(rows):,} rows; the service takes {desk.limits.rows:,} at once."
            )
        question = await aside(len(body), question_of, rows, True, signature)
        reply = await ask(desk, live, question, seat)
    return Response(msgspec.json.encode({"predictions": reply.answers}), media_type="application/json")


async def ping(desk: Desk, request: Request) -> Response:
    """``GET /ping`` and ``/health``: a model answers."""
    desk.asked(request)
    return PlainTextResponse("\n")


async def version(desk: Desk, request: Request) -> Response:
    """``GET /version``."""
    return PlainTextResponse(__version__)


def json_rows(body: dict[str, Any], signature: Signature) -> Rows:
    """The rows of a body in one of the four forms. Raises BadRequestError."""
    forms = [name for name in _FORMS if name in body]
    unknown = sorted(body.keys() - {*_FORMS, "params"})
    if len(forms) != 1 or unknown:
        raise BadRequestError(f"The body has {listing(body)}; it needs one of {listing(_FORMS)}.")
    if body.get("params"):
        raise BadRequestError("A model of Orrery takes no params.", pointer="/params")
    name, given = forms[0], body[forms[0]]
    if name == "dataframe_split":
        return _split(given)
    if name == "inputs" and isinstance(given, dict):
        return _columns(given)
    if not isinstance(given, list):
        raise BadRequestError(
            f"{name!r} is a {kind_of(given)}; a list of rows is needed.", pointer=f"/{name}"
        )
    rows = given if name == "dataframe_records" else [_instance(row, signature) for row in given]
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise BadRequestError(
                f"Row {i} is a {kind_of(row)}; each row is an object.", pointer=f"/{name}/{i}"
            )
    return rows


def _split(given: Any) -> Rows:
    """Names once, then a list per row."""
    found = given if isinstance(given, dict) else {}
    names, data = found.get("columns"), found.get("data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadRequestError("'dataframe_split' needs 'columns', a list of names, and 'data'.")
    if len(set(names)) < len(names) or not isinstance(data, list):
        raise BadRequestError("'dataframe_split' needs names that differ, and 'data', a list of rows.")
    for i, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(names):
            raise BadRequestError(
                f"Row {i} does not hold {len(names)} values.", pointer=f"/dataframe_split/data/{i}"
            )
    return [dict(zip(names, row, strict=True)) for row in data]


def _columns(given: dict[str, Any]) -> Rows:
    """A list per column; one value stands for a list of it."""
    columns = {name: values if isinstance(values, list) else [values] for name, values in given.items()}
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        said = listing(f"{name}: {count}" for name, count in counts.items())
        raise BadRequestError(f"All inputs have equally many rows; received {said}.", pointer="/inputs")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _instance(row: Any, signature: Signature) -> Any:
    """A row without names, of a model that reads one column."""
    names = signature.inputs.names
    if isinstance(row, dict) or len(names) != 1:
        return row
    return {names[0]: row}


def csv_rows(body: bytes, signature: Signature, most: int) -> Rows:
    """The rows of a CSV with a header; values are read by the kinds of their columns.

    Raises BadRequestError, TooLargeError.
    """
    fields = {field.name: field for field in signature.inputs.each()}
    try:
        reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        rows: Rows = []
        for row in reader:
            if None in row or None in row.values():
                raise BadRequestError(f"Line {reader.line_num} has not as many values as the header.")
            rows.append({n: _cell(v, fields[n]) if n in fields else v for n, v in row.items()})
            if len(rows) > most:
                raise TooLargeError(f"The request has more than the {most:,} rows that the service takes.")
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadRequestError(f"The body is not CSV: {error}.") from None
    return rows


def _cell(text: str, field: Field) -> object:
    """A value of a CSV; truth values as pandas and others spell them."""
    truth = _TRUTHS.get(text.lower()) if field.type == "bool" else None
    return from_field(text, field) if truth is None else truth
