"""The faces put together: which path is answered by whom, how errors are said, and what is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Path

from orrery.errors import BadRequestError, OrreryError, UnknownPathError
from orrery.serving.online import (
    infer,
    invocations,
    manage,
    metrics,
    oip,
    openapi,
    outcomes,
    page,
    rows,
    stats,
)
from orrery.serving.online.desk import Desk
from orrery.serving.online.problem import Said, failed, oip_error, problem
from orrery.serving.online.quick import Quick

Face = Callable[[Desk, Request], Awaitable[Response]]

_GONE = 499  # the caller hung up: nobody reads this answer


def app_of(desk: Desk) -> Quick:
    """The ASGI application of one service."""
    model = "/v2/models/{name}"
    version = f"{model}/versions/{{version}}"
    paths = [
        _path("GET", "/v2", oip.server, desk),
        _path("GET", "/v2/health/live", oip.alive, desk),
        _path("GET", "/v2/health/ready", oip.ready, desk),
        _path("POST", "/v2/repository/index", manage.index, desk),
        _path("POST", "/v2/repository/models/{name}/load", manage.load, desk),
        _path("POST", "/v2/repository/models/{name}/unload", manage.unload, desk),
        _path("POST", "/v1/models/{name}:load", manage.load, desk),
        _path("POST", "/v1/models/{name}:unload", manage.unload, desk),
        _path("POST", "/v1/models/{name}:rollback", manage.rollback, desk),
        _path("GET", "/v1/models/{name}/route", manage.route, desk),
        _path("PUT", "/v1/models/{name}/route", manage.reroute, desk),
        _path("POST", "/v1/models/{name}:predict", rows.predict, desk),
        _path("POST", "/v1/models/{name}:outcomes", outcomes.take, desk),
        _path("POST", "/invocations", invocations.invoke, desk),
        _path("GET", "/ping", invocations.ping, desk),
        _path("GET", "/health", invocations.ping, desk),
        _path("GET", "/version", invocations.version, desk),
        _path("GET", "/openapi.json", openapi.document, desk),
        _path("GET", "/v1/models", page.models, desk),
        _path("GET", "/v1/models/{name}", page.model, desk),
        _path("GET", "/", page.page, desk),
        _path("GET", "/metrics", _metrics, desk),
    ]
    for place in (model, version):
        paths += [
            _path("GET", place, oip.metadata, desk),
            _path("GET", f"{place}/ready", oip.ready, desk),
            _path("GET", f"{place}/config", oip.config, desk),
            _path("GET", f"{place}/stats", stats.statistics, desk),
            _path("POST", f"{place}/infer", infer.infer, desk),
        ]
    return Quick(desk, Starlette(routes=paths, exception_handlers={HTTPException: _no_such_path}))


def _path(method: str, path: str, face: Face, desk: Desk) -> Path:
    """A path that answers whatever happens: every error in the form that its protocol has for it."""
    said: Said = oip_error if path.startswith("/v2") else problem
    name = f"{face.__module__.rpartition('.')[2]}.{face.__name__.lstrip('_')}"

    async def answer(request: Request) -> Response:
        began_s = time.perf_counter()
        response = await _answered(desk, request, face, said)
        asked = request.path_params.get("name", "")
        desk.metrics.requested(name, response.status_code, time.perf_counter() - began_s, asked)
        return response

    return Path(path, answer, methods=[method])


async def _answered(desk: Desk, request: Request, face: Face, said: Said) -> Response:
    try:
        _check_origin(request)
        if "name" in request.path_params and face not in (manage.load, manage.unload):
            await desk.called(request.path_params["name"])
        return await face(desk, request)
    except ClientDisconnect:
        return Response(status_code=_GONE)
    except Exception as error:
        return failed(error, request.url.path, said)


def _check_origin(request: Request) -> None:
    """A page of another site may not use the browser of a local user to send rows or outcomes here."""
    origin = request.headers.get("origin")
    if request.method in ("GET", "HEAD") or not origin:
        return
    try:
        place = urlsplit(origin).netloc
    except ValueError:
        place = ""
    if place != request.headers.get("host"):
        raise BadRequestError(f"Pages of {origin!r:.80} may not use this service.")


async def _metrics(desk: Desk, request: Request) -> Response:
    text = desk.metrics.text() if desk.metrics.tally is None else await asyncio.to_thread(desk.metrics.text)
    return Response(text, media_type=metrics.CONTENT_TYPE)


async def _no_such_path(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    path = request.url.path
    hint = "GET /v2 and GET /v1/models say what is."
    found: OrreryError = UnknownPathError(f"This service has no {path:.200}.", hint=hint)
    if status == 405:
        found = BadRequestError(f"{path:.200} is not asked with {request.method}.", hint=hint)
    return (oip_error if path.startswith("/v2") else problem)(found, status)
