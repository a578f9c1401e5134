"""Reading and changing the route of a name, in one call."""

from __future__ import annotations

from orrery.registry.folder import FolderRegistry, open_registry
from orrery.registry.routes import RouteChange, Routing


def route(
    name: str,
    routing: Routing | None = None,
    *,
    why: str = "",
    revision: int | None = None,
    registry: FolderRegistry | None = None,
) -> RouteChange:
    """Who answers for a name; with a ``routing``, who answers from now on. Services follow within a second.

    ``revision`` is the one that was read before, where nobody else's change may be overwritten.
    Raises ModelNotFoundError, RouteConflictError.
    """
    registry = registry or open_registry()
    if routing is None:
        return registry.route(name)
    return registry.reroute(name, routing, revision=revision, why=why)
