"""``GET /openapi.json``: what the service understands, with the types of each model's own columns.

OpenAPI 3.1, which is JSON Schema. It is made from the signatures when it is asked for, so that a model that
was swapped or loaded since is told as it is now.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orrery import __version__
from orrery.estimators.answer import label_names
from orrery.estimators.signature import Signature
from orrery.schema import Field, Kind
from orrery.serving.lineup import Live
from orrery.serving.online.desk import Desk
from orrery.serving.online.values import ID_CHARACTERS, is_bytes

Schema = dict[str, Any]

_NUMBERS: Schema = {"type": "array", "items": {"type": ["number", "null"]}}
_ERROR: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail", "code", "hint", "pointer")},
        "status": {"type": "integer"},
    },
}
_REFUSED = (400, 404, 408, 413, 422, 500, 503, 504)
_OF_KIND: dict[Kind, Schema] = {
    Kind.NUMBER: {"type": ["number", "boolean", "null"]},
    Kind.CATEGORY: {"type": ["string", "number", "boolean", "null"]},
    Kind.TEXT: {"type": ["string", "null"]},
    Kind.DATETIME: {"type": ["string", "null"], "format": "date-time"},
    Kind.VECTOR: {**_NUMBERS, "type": ["array", "null"]},
    Kind.SERIES: {**_NUMBERS, "type": ["array", "null"]},
    Kind.LABELS: {"type": ["array", "null"], "items": {"type": "string"}},
    Kind.MAP: {"type": ["object", "null"], "additionalProperties": {"type": ["number", "string", "null"]}},
}


async def document(desk: Desk, request: Request) -> Response:
    """The whole document."""
    lives = [route.live for route in desk.shelf.routes.values()]
    return Response(msgspec.json.encode(document_of(lives)), media_type="application/json")


def document_of(lives: list[Live]) -> Schema:
    """What models understand and answer, as OpenAPI."""
    paths: Schema = {}
    schemas: Schema = {"Problem": _ERROR}
    for live in lives:
        row, answer = f"{live.name}.Row", f"{live.name}.Answer"
        schemas |= {row: row_schema(live.runner.signature), answer: answer_schema(live.runner.signature)}
        paths[f"/v1/models/{live.name}:predict"] = {"post": _predict(live, row, answer)}
        paths[f"/v2/models/{live.name}/infer"] = {"post": _infer(live)}
    if lives:
        paths["/invocations"] = {"post": _invocations(f"{lives[0].name}.Row", f"{lives[0].name}.Answer")}
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v1/models"):
        paths[path] = {"get": {"summary": f"GET {path}", "responses": {"200": _json({})}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Orrery", "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def row_schema(signature: Signature) -> Schema:
    """A row that the model reads. A column may be missing; what it does not read is kept beside its answer.

    >>> import pyarrow as pa, orrery as ory
    >>> rows = [{"height": float(h), "tall": "yes" if h > 170 else "no"} for h in range(140, 200)]
    >>> row_schema(ory.fit(rows, "tall", learner="linear").signature)["properties"]["height"]
    {'type': ['number', 'boolean', 'null']}
    """
    properties = {field.name: value_schema(field) for field in signature.inputs.each()}
    ids: Schema = {"type": ["string", "integer"], "minLength": 1, "maxLength": ID_CHARACTERS}
    if "id" not in properties:
        properties["id"] = ids
    return {"type": "object", "required": list(signature.inputs.names), "properties": properties}


def value_schema(field: Field) -> Schema:
    """One value of a column."""
    if is_bytes(field) and field.kind is not Kind.TENSOR:
        return {"type": ["string", "null"], "contentEncoding": "base64"}
    found = _OF_KIND.get(field.kind, {}) if field.kind else {}
    if field.kind is Kind.VECTOR and field.shape:
        width = math.prod(field.shape)
        return {**found, "minItems": width, "maxItems": width}
    return found


def answer_schema(signature: Signature) -> Schema:
    """What is said of a row."""
    target = signature.target
    number: Schema = {"type": "number"}
    if target.kind in {Kind.CATEGORY, Kind.LABELS}:
        names = label_names(target)
        shares: Schema = {"type": "object", "properties": dict.fromkeys(names, number), "required": names}
        if target.kind is Kind.LABELS:
            found: Schema = {
                "prediction": {"type": "array", "items": {"enum": names}},
                "probabilities": shares,
            }
        else:
            found = {
                "prediction": {"enum": list(target.labels)},
                "probability": number,
                "probabilities": shares,
            }
    else:
        found = {"prediction": {"type": "array", "items": number} if target.kind is Kind.VECTOR else number}
    return {"type": "object", "required": list(found), "properties": found}


def _predict(live: Live, row: str, answer: str) -> Schema:
    rows = {"type": "array", "items": _ref(row)}
    asked = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": rows, "record": {"type": "boolean"}},
    }
    said = {
        "type": "object",
        "required": ["model", "version", "rows"],
        "properties": {
            "model": {"const": live.name},
            "version": {"type": "integer"},
            "rows": {"type": "array", "items": _ref(answer)},
        },
    }
    return _operation(f"Predict rows with {live.name}", asked, said)


def _infer(live: Live) -> Schema:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"enum": [*live.runner.signature.inputs.names, "id"]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            "datatype": {"type": "string"},
            "data": {"type": "array"},
        },
    }
    asked = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"id": {"type": "string"}, "inputs": {"type": "array", "items": tensor}},
    }
    said = {"type": "object", "required": ["model_name", "model_version", "outputs"]}
    told = _operation(f"Open Inference Protocol: {live.name}", asked, said)
    wrong = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    told["responses"] |= {str(status): _json(wrong) for status in _REFUSED}
    return told


def _invocations(row: str, answer: str) -> Schema:
    records = {"type": "array", "items": _ref(row)}
    asked = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
        "properties": {"dataframe_records": records, "instances": records},
    }
    said = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": _ref(answer)}},
    }
    return _operation("MLflow's scoring protocol", asked, said)


def _operation(summary: str, asked: Schema, said: Schema) -> Schema:
    wrong = {"description": "An error", "content": {"application/problem+json": {"schema": _ref("Problem")}}}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {"200": _json(said), **{str(status): wrong for status in _REFUSED}},
    }


def _json(schema: Schema) -> Schema:
    return {"description": "The answer", "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
