"""Inference by the Open Inference Protocol, version 2: JSON, and the binary tensor data extension (Triton's).

An extra input ``id`` names the rows. The answer's parameter ``prediction_id`` is what outcomes are joined by:
the request's id, or a new one; with several rows followed by ``-0``, ``-1`` and so on.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orrery.errors import BadRequestError, TooLargeError, listing
from orrery.estimators.signature import Signature
from orrery.features.forms import as_text
from orrery.schema import Kind
from orrery.serving.online.body import check_values, kind_of, pack, read_body, read_object
from orrery.serving.online.desk import Desk, Question, new_id
from orrery.serving.online.limits import Limits
from orrery.serving.online.oip import output_heads
from orrery.serving.online.tensors import (
    AS_JSON,
    Tensor,
    as_column,
    json_text,
    read_inputs,
    to_bytes,
    to_json,
)
from orrery.serving.online.values import as_id

_HEAD_LENGTH = "Inference-Header-Content-Length"
_VALUE_BYTES = 32  # of a number in a list
PACK_BYTES = 256  # a smaller answer is sent as it is


async def infer(desk: Desk, request: Request) -> Response:
    """``POST /v2/models/{name}/infer``."""
    live = desk.asked(request)
    with desk.seat(request) as seat:
        head, raw = _cut(await read_body(request, seat), request.headers.get(_HEAD_LENGTH))
        request_head = await read_object(head, seat)
        wanted = wanted_of(request_head, live.runner.signature)
        question, said = question_of(request_head, raw, live.runner.signature, desk.limits)
        if raw:
            seat.hold(_VALUE_BYTES * sum(math.prod(tensor["shape"]) for tensor in request_head["inputs"]))
        reply = await desk.ask(live, question, seat)
    outputs = output_tensors(reply.answers, reply.live.runner.signature)
    whole = {"model_name": reply.live.name, "model_version": reply.version, **said}
    return _answer(whole, [(outputs[name], binary) for name, binary in wanted.items()], request)


def _cut(body: bytes, length: str | None) -> tuple[bytes, memoryview]:
    """The JSON head of a body, and the bytes behind it. The header decides, never the content type."""
    whole = memoryview(body)
    if length is None:
        return body, whole[:0]
    if not (length.isascii() and length.isdigit()) or len(length) > 20 or int(length) > len(body):
        raise BadRequestError(f"{_HEAD_LENGTH} is {length!r:.40}; the body has {len(body)} bytes.")
    return body[: int(length)], whole[int(length) :]


def question_of(
    head: dict[str, Any], raw: memoryview, signature: Signature, limits: Limits
) -> tuple[Question, dict[str, Any]]:
    """The rows of a request, and what its answer says of it: the ids."""
    if any(field.kind in AS_JSON for field in signature.inputs.each()):
        check_values(bytes(raw), limits.values)
    found = read_inputs(head.get("inputs"), raw, limits.values)
    given = found.pop("id", None) if "id" not in signature.inputs else None
    columns = _columns(found, signature, limits.rows)
    rows = max(map(len, columns.values()), default=0)
    own = head.get("id")
    if own is not None and not isinstance(own, str):
        raise BadRequestError(f"The request's id is a {kind_of(own)}, not a string.")
    first = as_id(own, "/id") if own else new_id()
    ids = [first] if rows == 1 else [f"{first}-{i}" for i in range(rows)]
    if given is not None:
        ids = _given_ids(*given, rows)
    back: dict[str, Any] = {} if own is None else {"id": own}
    return Question(columns, ids), {**back, "parameters": {"prediction_id": first}}


def _columns(
    found: dict[str, tuple[dict[str, Any], list[Any]]], signature: Signature, most_rows: int
) -> dict[str, list[Any]]:
    """The tensors of a request as the columns that the model reads."""
    names = signature.inputs.names
    unknown = sorted(found.keys() - set(names))
    if unknown:
        raise BadRequestError(f"The model has no inputs {listing(unknown)}; it has {listing(names)}.")
    signature.check(found)
    counts = {name: tensor["shape"][0] for name, (tensor, _) in found.items()}
    if len(set(counts.values())) > 1:
        said = listing(f"{name}: {count}" for name, count in counts.items())
        raise BadRequestError(f"All inputs have equally many rows; received {said}.")
    rows = max(counts.values(), default=0)
    if rows > most_rows:
        raise TooLargeError(f"The request has {rows:,} rows; the service takes {most_rows:,} at once.")
    return {field.name: as_column(field, *found[field.name]) for field in signature.inputs.each()}


def _given_ids(head: dict[str, Any], values: list[Any], rows: int) -> list[str]:
    if len(values) != rows:
        raise BadRequestError(f"Input 'id' names {len(values)} rows; there are {rows}.")
    try:
        return [as_id(v.decode() if isinstance(v, bytes) else v, "/inputs/id") for v in values]
    except UnicodeDecodeError:
        raise BadRequestError("Input 'id' holds bytes that are not UTF-8.") from None


def wanted_of(head: dict[str, Any], signature: Signature) -> dict[str, bool]:
    """The outputs that were asked for, and whether each comes as bytes."""
    default = _flag(head.get("parameters"), "binary_data_output", False)
    outputs = head.get("outputs")
    if not outputs:
        return dict.fromkeys(signature.outputs.names, default)
    wanted: dict[str, bool] = {}
    for output in outputs if isinstance(outputs, list) else [outputs]:
        asked_for = output if isinstance(output, dict) else {}
        name = asked_for.get("name")
        if name not in signature.outputs.names:
            raise BadRequestError(
                f"There is no output {name!r:.80}; the outputs are {listing(signature.outputs.names)}."
            )
        wanted[str(name)] = _flag(asked_for.get("parameters"), "binary_data", default)
    return wanted


def _flag(parameters: object, name: str, default: bool) -> bool:
    value = parameters.get(name, default) if isinstance(parameters, dict) else default
    if not isinstance(value, bool):
        raise BadRequestError(f"The parameter {name!r} is true or false, not {value!r:.40}.")
    return value


def output_tensors(answers: list[dict[str, Any]], signature: Signature) -> dict[str, Tensor]:
    """Answers as tensors, by name."""
    tensors = {}
    for head in output_heads(signature):
        name, datatype = str(head["name"]), str(head["datatype"])
        values = [answer[name] for answer in answers]
        shape = [len(answers), *head["shape"][1:]]
        if name == "probabilities":
            values = [share for row in values for share in row.values()]
        elif len(shape) > 1:
            values = [number for row in values for number in row]
        elif signature.target.kind is Kind.LABELS:
            values = [json_text(row) for row in values]
        elif datatype == "BYTES":
            values = [as_text(value) for value in values]
        tensors[name] = Tensor(name, datatype, shape, values)
    return tensors


def _answer(whole: dict[str, Any], outputs: list[tuple[Tensor, bool]], request: Request) -> Response:
    """The answer in kind: JSON, with the bytes of binary outputs behind it; packed if the caller likes."""
    heads, parts = [], []
    for tensor, binary in outputs:
        if binary:
            head, data = to_bytes(tensor)
            parts.append(data)
        else:
            head = to_json(tensor)
        heads.append(head)
    text = msgspec.json.encode({**whole, "outputs": heads})
    headers, media_type = {}, "application/json"
    if parts:
        headers[_HEAD_LENGTH] = str(len(text))
        media_type = "application/octet-stream"
    body = b"".join([text, *parts])
    packing = packing_of(request.headers.get("accept-encoding", ""))
    if packing and len(body) > PACK_BYTES:
        headers["Content-Encoding"] = packing
        body = pack(body, packing)
    return Response(body, headers=headers, media_type=media_type)


def packing_of(accepted: str) -> str:
    """How the caller likes an answer compressed, of the ways that there are; empty: not at all.

    >>> packing_of("br, gzip;q=0.8, deflate")
    'gzip'
    """
    names = [part.partition(";")[0].strip() for part in accepted.split(",")]
    return next((name for name in names if name in {"gzip", "deflate"}), "")
