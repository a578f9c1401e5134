"""Inference over gRPC: the tensors of a request as the columns of a model, and its answers as tensors.

The bytes of ``raw_input_contents`` and the typed ``contents`` of tensors are both read; a request has the one
or the other for all of its tensors. Answers are always ``raw_output_contents``, as Triton's are.
"""

from __future__ import annotations

import math
from typing import Any

from orrery.errors import BadRequestError, TooLargeError
from orrery.serving.online.desk import Desk, Seat
from orrery.serving.online.grpc.messages import message
from orrery.serving.online.infer import output_tensors, question_of, wanted_of
from orrery.serving.online.tensors import to_bytes

_VALUE_BYTES = 32  # of a number in a list
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the values of each datatype are; the others come only as raw bytes."""


async def infer(desk: Desk, request: Any, seat: Seat, key: str) -> Any:
    """``ModelInfer``: the answers to the rows of a request; ``key`` is what a route may split by."""
    live = desk.live(request.model_name, key, request.model_version)
    signature = live.runner.signature
    wanted = wanted_of({"outputs": [{"name": each.name} for each in request.outputs]}, signature)
    for each in (*request.inputs, *request.outputs):
        _check_memory(each)
    seat.hold(_VALUE_BYTES * _values(request, desk.limits.values))
    question, said = question_of(*head_of(request), signature, desk.limits)
    reply = await desk.ask(live, question, seat)
    outputs = output_tensors(reply.answers, reply.live.runner.signature)
    answer = message("ModelInferResponse")(
        model_name=reply.live.name, model_version=reply.version, id=request.id
    )
    answer.parameters["prediction_id"].string_param = said["parameters"]["prediction_id"]
    for name in wanted:
        head, data = to_bytes(outputs[name])
        answer.outputs.add(name=name, datatype=head["datatype"], shape=head["shape"])
        answer.raw_output_contents.append(data)
    return answer


def head_of(request: Any) -> tuple[dict[str, Any], memoryview]:
    """A request as the JSON head of the same protocol over REST, and the bytes behind it."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise BadRequestError(
            f"The request has {len(request.inputs)} inputs and {len(raw)} raw contents; each input has one, "
            "or none has."
        )
    inputs = []
    for i, tensor in enumerate(request.inputs):
        head: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if not raw:
            head["data"] = _contents(tensor)
        elif tensor.HasField("contents"):
            raise BadRequestError(f"Input {tensor.name!r:.120} has both raw and typed contents.")
        else:
            head["parameters"] = {"binary_data_size": len(raw[i])}
        inputs.append(head)
    head = {"inputs": inputs, "id": request.id or None}
    return head, memoryview(b"".join(raw))


def _contents(tensor: Any) -> list[Any]:
    """The values of a tensor's typed contents."""
    place = _CONTENTS.get(tensor.datatype, "")
    others = [field.name for field, _ in tensor.contents.ListFields() if field.name != place]
    if others:
        needed = place or "raw_input_contents"
        raise BadRequestError(
            f"Input {tensor.name!r:.120} of datatype {tensor.datatype!r:.40} has {others[0]}; "
            f"it is sent as {needed}."
        )
    return list(getattr(tensor.contents, place)) if place else []


def _values(request: Any, most: int) -> int:
    """How many values the inputs say they have. Raises TooLargeError."""
    found: int = sum(
        math.prod(tensor.shape) for tensor in request.inputs if min(tensor.shape, default=0) >= 0
    )
    if found > most:
        raise TooLargeError("The inputs have more values than the service takes.", hint="Send fewer rows.")
    return found


def _check_memory(tensor: Any) -> None:
    if any(name.startswith("shared_memory") for name in tensor.parameters):
        raise BadRequestError(
            f"Tensor {tensor.name!r:.120} is in shared memory, which this service does not read.",
            hint="Send its bytes in the request.",
        )
