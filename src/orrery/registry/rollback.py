"""One step back: to the route or the champion before."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from orrery.errors import RegistryError, RouteConflictError
from orrery.registry.folder import FolderRegistry
from orrery.registry.registry import CHAMPION, Version
from orrery.registry.routes import RouteChange, Routing, fitted, retraced

_TRIES = 20  # by a rollback that others overtake, each time after up to so long
_PAUSE_S = 0.05


@dataclass(frozen=True)
class RolledBack:
    """What a rollback did."""

    version: Version
    """Who answers now as the main version."""
    champion: int | None
    """The version that was champion and is no longer; None where only the route went back."""
    said: str

    def __str__(self) -> str:
        return self.said


def rollback(
    name: str, registry: FolderRegistry, *, revision: int | None = None, who: str = "", why: str = ""
) -> RolledBack:
    """Take a person's last change back: a canary under way, else what came later of a route and a champion.

    A canary and what ended it are one change. Called twice it goes two changes back. Where others change the
    route at the same time it reads again, unless ``revision`` says which one is meant: RouteConflictError.
    Raises RegistryError where there is nothing to go back to.
    """
    for _ in range(_TRIES - 1):
        try:
            return _rollback(name, registry, revision, who, why)
        except RouteConflictError:
            if revision is not None:
                raise
        time.sleep(random.uniform(0, _PAUSE_S))
    return _rollback(name, registry, revision, who, why)


def _rollback(name: str, registry: FolderRegistry, revision: int | None, who: str, why: str) -> RolledBack:
    """Once. Raises RouteConflictError where somebody else changed the route meanwhile."""
    book = registry.routes(name)
    now, past = book.last, book.past()

    def back(routing: Routing, to: RouteChange, said: str) -> RolledBack:
        expected = now.revision if revision is None else revision
        reason = why or fitted(said)
        registry.reroute(name, routing, revision=expected, who=who, why=reason, back=to.revision)
        return RolledBack(registry.get(name, routing.main), None, said)

    if now.routing.canary is not None:
        steady = now.routing.steady()
        # A change that only began the canary is taken back as a whole; of another one the rest stays.
        to = past[-2] if len(past) > 1 and past[-2].routing == steady else past[-1]
        return back(steady, to, f"the canary of {now.routing.canary.to} was stopped")
    champions = [c for c in registry.history(name) if c.alias == CHAMPION and c.version is not None]
    before = champion_before(name, registry)
    while (
        champions
        and champions[-1].at > past[-1].at
        and [past[-1].routing] == [p.routing for p in past[-2:-1]]
    ):
        past.pop()  # a canary that ended before the champion moved left nothing to take back
    if len(past) > 1 and (before is None or past[-1].at >= champions[-1].at):
        routing = past[-2].routing
        return back(routing, past[-2], f"the route of revision {past[-1].revision} was taken back: {routing}")
    if before is None:
        raise RegistryError(
            f"There is no earlier champion of {name!r} to go back to, and no other route.",
            hint=f"Name a version: orrery model alias {name} champion VERSION",
        )
    if revision not in (None, now.revision):
        raise RouteConflictError(f"The route is at revision {now.revision}, not {revision}.")
    registry.alias(name, CHAMPION, before)
    current = champions[-1].version
    return RolledBack(registry.get(name, before), current, f"rolled back from version {current}")


def champion_before(name: str, registry: FolderRegistry) -> int | None:
    """The champion before the present one, among the versions that still exist."""
    alive = {version.version for version in registry.versions(name)}
    moves = [c.version for c in registry.history(name) if c.alias == CHAMPION and c.version is not None]
    return next((v for v in reversed(retraced(moves)[:-1]) if v in alive), None)
