"""TODO."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orrery.serving.online.desk import Desk


async def models(desk: Desk, request: Request) -> Response:
    """``GET /v1/models``."""
    live = desk.route.live
    return Response(
        msgspec.json.encode({"models": [{"name": live.name, "version": live.version}]}),
        media_type="application/json",
    )


async def model(desk: Desk, request: Request) -> Response:
    """``GET /v1/models/{name}``."""
    live = desk.live(request.path_params["name"])
    return Response(msgspec.json.encode(live.runner.signature.to_dict()), media_type="application/json")


async def page(desk: Desk, request: Request) -> Response:
    """``GET /``."""
    return Response("", media_type="text/html")
