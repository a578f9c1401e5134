"""The Open Inference Protocol, version 2, over REST: health, and what the model reads and answers.

Source: kserve/open-inference-protocol, ``specification/protocol/inference_rest.md``. A column of the model is
an input tensor, a column of its answer an output tensor (see ``tensors``).
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orrery import __version__
from orrery.estimators.answer import label_names
from orrery.estimators.signature import Signature
from orrery.schema import Kind
from orrery.serving.online.desk import Desk
from orrery.serving.online.tensors import datatype_of, json_text, shape_of


async def server(desk: Desk, request: Request) -> Response:
    """``GET /v2``."""
    return _json(
        {
            "name": "orrery",
            "version": __version__,
            "extensions": ["binary_tensor_data", "model_configuration", "model_repository", "statistics"],
        }
    )


async def alive(desk: Desk, request: Request) -> Response:
    """``GET /v2/health/live``: the process answers."""
    return _json({"live": True})


async def ready(desk: Desk, request: Request) -> Response:
    """``GET /v2/health/ready`` and ``/v2/models/{name}/ready``: a model is live."""
    desk.asked(request)
    return _json({"ready": True})


async def metadata(desk: Desk, request: Request) -> Response:
    """``GET /v2/models/{name}``."""
    live = desk.asked(request)
    signature = live.runner.signature
    return _json(
        {
            "name": live.name,
            "versions": [str(each.version) for each in desk.shelf.route(live.name).open_versions()],
            "platform": "orrery",
            "inputs": input_heads(signature),
            "outputs": output_heads(signature),
        }
    )


async def config(desk: Desk, request: Request) -> Response:
    """``GET /v2/models/{name}/config``, as Triton's tools ask for it."""
    live = desk.asked(request)
    signature = live.runner.signature
    return _json(
        {
            "name": live.name,
            "platform": "orrery",
            "backend": "orrery",
            "version_policy": {"specific": {"versions": [live.version]}},
            "max_batch_size": 0,
            "input": [_configured(head) for head in input_heads(signature)],
            "output": [_configured(head) for head in output_heads(signature)],
        }
    )


def input_heads(signature: Signature) -> list[dict[str, Any]]:
    """Name, datatype and shape of each input."""
    return [
        {"name": field.name, "datatype": datatype_of(field.type, field.kind), "shape": shape_of(field)}
        for field in signature.inputs.each()
    ]


def output_heads(signature: Signature) -> list[dict[str, Any]]:
    """Name, datatype and shape of each output; that of the probabilities says the labels in their order."""
    target = signature.target
    heads: list[dict[str, Any]] = []
    for name in signature.outputs.names:
        head: dict[str, Any] = {"name": name, "datatype": "FP64", "shape": [-1]}
        if name == "probabilities":
            head |= {
                "shape": [-1, len(target.labels)],
                "parameters": {"labels": json_text(label_names(target))},
            }
        elif name == "prediction" and target.kind is Kind.VECTOR:
            head["shape"] = [-1, target.width]
        elif name == "prediction" and target.kind is not Kind.NUMBER:
            head["datatype"] = datatype_of(target.type, target.kind)
        heads.append(head)
    return heads


def _configured(head: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": head["name"],
        "data_type": f"TYPE_{_TRITON.get(head['datatype'], head['datatype'])}",
        "dims": head["shape"],
    }


_TRITON = {"BYTES": "STRING"}


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
