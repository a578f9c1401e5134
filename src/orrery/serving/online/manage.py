"""Models loaded, unloaded and routed while the service runs, over HTTP.

``POST /v2/repository/models/{name}/load`` and ``unload`` as Triton's clients ask for it, the same as
``POST /v1/models/{name}:load`` and ``:unload``; ``GET`` and ``PUT /v1/models/{name}/route``, and
``POST /v1/models/{name}:rollback``. Where the service has tokens, those to manage are needed; without, only
callers on this machine may, unless the limits say otherwise.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from orrery.errors import BadRequestError, ForbiddenError, RegistryError, RouteConflictError, listing
from orrery.registry.folder import FolderRegistry
from orrery.registry.rollback import rollback as roll_back
from orrery.registry.routes import Routing
from orrery.serving.online.access import check_manager
from orrery.serving.online.body import read_body, read_object
from orrery.serving.online.desk import Desk
from orrery.serving.route import Route


async def index(desk: Desk, request: Request) -> Response:
    """``POST /v2/repository/index``."""
    found = await asyncio.to_thread(desk.shelf.index)
    names = ("name", "version", "state", "reason")
    return _json([{name: entry[name] for name in names} for entry in found])


async def load(desk: Desk, request: Request) -> Response:
    """Open a model, or one of its versions beside: ``{"version": 3}``, or as a parameter in the OIP."""
    body = await _managed(desk, request)
    check_alone(desk)
    name = request.path_params["name"]
    await asyncio.to_thread(desk.shelf.load, name, _version(body))
    return _json({"name": name, "state": "READY"})


async def unload(desk: Desk, request: Request) -> Response:
    """Close a model, or one version of it that only answers when it is named."""
    body = await _managed(desk, request)
    check_alone(desk)
    name = request.path_params["name"]
    await asyncio.to_thread(desk.shelf.unload, name, _version(body))
    return _json({"name": name, "state": "UNAVAILABLE"})


def check_alone(desk: Desk) -> None:
    """Whether this process is all of the service. Raises BadRequestError."""
    if desk.metrics.tally is not None:
        raise BadRequestError(
            "A service of several workers opens and closes no models by request: one of them would hear it.",
            hint="Serve --all, and a model is opened when it is asked for; or change its route.",
        )


async def route(desk: Desk, request: Request) -> Response:
    """The route of a name, how it came to be, and what came of it here."""
    found = desk.shelf.route(request.path_params["name"])
    return _json(await asyncio.to_thread(_told, desk, found))


async def reroute(desk: Desk, request: Request) -> Response:
    """Change the route: ``{"routing": {...}, "revision": 7, "why": "..."}``, if it is at that revision."""
    body = await _managed(desk, request)
    found = desk.shelf.route(request.path_params["name"])
    unknown = sorted(body.keys() - {"routing", "revision", "why"})
    routing, revision, why = body.get("routing"), body.get("revision"), body.get("why", "")
    if unknown or not isinstance(routing, dict):
        raise BadRequestError(f"The body has {listing(body)}; it needs 'routing', an object.")
    if revision is not None and type(revision) is not int:
        raise BadRequestError("'revision' is a whole number, as it was read.", pointer="/revision")
    if not isinstance(why, str):
        raise BadRequestError("'why' is a text.", pointer="/why")
    value = Routing.from_dict(routing)
    registry = _registry(found)
    await asyncio.to_thread(
        registry.reroute, found.name, value, revision=revision, who=_who(request), why=why
    )
    return _json(await asyncio.to_thread(_told, desk, found))


async def rollback(desk: Desk, request: Request) -> Response:
    """Take the last change back, of the route or of the champion; ``{"revision": 7}``: if it is at that."""
    body = await _managed(desk, request)
    revision = body.get("revision")
    if body.keys() - {"revision"} or (revision is not None and type(revision) is not int):
        raise BadRequestError("The body has at most 'revision', a whole number.", pointer="/revision")
    found = desk.shelf.route(request.path_params["name"])
    try:
        registry = _registry(found)
        done = await asyncio.to_thread(roll_back, found.name, registry, revision=revision, who=_who(request))
    except RegistryError as error:  # there is nothing before
        raise RouteConflictError(error.message, hint=error.hint) from None
    return _json({"model": found.name, "version": done.version.version, "said": str(done)})


def _told(desk: Desk, route: Route) -> dict[str, Any]:
    lineup = route.lineup
    trial = desk.answerer.trials.get(route.name)
    said: dict[str, Any] = {
        "model": route.name,
        "live": [
            {"version": live.version, "arm": live.arm, "share": share} for live, share in lineup.shares()
        ],
        "shadows": [live.version for live in lineup.shadows],
        "live_revision": lineup.revision,
        "refused": {str(number): why for number, why in route.refused.items()},
        "absent": route.absent,
        "settled": route.settled,
    }
    if route.follows and route.registry is not None:
        said |= route.registry.route(route.name).to_dict()
    if trial is not None and lineup.canary is not None and trial.revision == lineup.revision:
        main, tried = trial.main.sample(), trial.tried.sample()
        said["canary"] = {
            "requests": tried.requests,
            "errors": tried.errors,
            "main_requests": main.requests,
            "main_errors": main.errors,
        }
    return said


def _registry(route: Route) -> FolderRegistry:
    if not route.follows or route.registry is None:
        raise BadRequestError(
            f"{route.name!r} is served as a file or by a fixed version: it has no route to change.",
            hint=f"Serve models:/{route.name}.",
        )
    return route.registry


async def _managed(desk: Desk, request: Request) -> dict[str, Any]:
    """The body of a call that changes something. Raises ForbiddenError for a caller from elsewhere."""
    if "role" in request.scope:
        check_manager(request.scope["role"])
    elif not desk.limits.manage_from_afar and not _is_local(request):
        raise ForbiddenError(
            "Only callers on its own machine may change what this service answers with.",
            hint="Change the route in the registry, or give the service tokens (ORRERY_TOKENS).",
        )
    with desk.seat(request) as seat:
        body = await read_body(request, seat)
        return await read_object(body, seat) if body.strip() else {}


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _who(request: Request) -> str:
    return f"HTTP from {request.client.host}" if request.client else "HTTP"


def _version(body: dict[str, Any]) -> int | None:
    """A version of the body, or of its parameters. Raises BadRequestError."""
    parameters = body.get("parameters")
    found = body.get("version", parameters.get("version") if isinstance(parameters, dict) else None)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 10:
        found = int(found)
    if found is not None and (type(found) is not int or not 0 < found < 10**9):
        raise BadRequestError(f"'version' is the number of a version, not {found!r:.40}.")
    return found


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
