"""What stands beside our service: ``python -m benchmarks.serve.peers NAME PORT MODEL.onnx``.

``echo`` is the same front with nothing in it: uvicorn, a bare ASGI function that gives the body back.
``starlette`` is what a good engineer writes by hand in an afternoon: Starlette, msgspec, ONNX Runtime, one by
one. It is the best of the Python servers that were measured for this project. ``checked`` is the same with
its body checked by pydantic, as FastAPI does it.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import numpy as np
import uvicorn
from pydantic import BaseModel

Send = Callable[[dict[str, Any]], Awaitable[None]]


async def echo(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    """The body back."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    size = str(len(body)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", size)]})
    await send({"type": "http.response.body", "body": body})


class Tensor(BaseModel):
    """One input, as pydantic checks it."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Body(BaseModel):
    """A request."""

    inputs: list[Tensor]


def starlette(path: str, *, checked: bool = False) -> Any:
    """The Open Inference Protocol for one model of numbers."""
    import onnxruntime
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    async def infer(request: Request) -> Response:
        body = await request.body()
        if checked:
            tensor = Body.model_validate_json(body).inputs[0].model_dump()
        else:
            tensor = msgspec.json.decode(body)["inputs"][0]
        x = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
        (y,) = session.run(None, {name: x})
        out = {"name": "y", "shape": list(y.shape), "datatype": "FP32", "data": y.ravel().tolist()}
        return Response(
            msgspec.json.encode({"model_name": "m", "outputs": [out]}), media_type="application/json"
        )

    return Starlette(routes=[Route("/v2/models/m/infer", infer, methods=["POST"])])


if __name__ == "__main__":
    who, port, model = sys.argv[1:]
    app = echo if who == "echo" else starlette(model, checked=who == "checked")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)
