"""One step back: to the route or the champion before."""

from __future__ import annotations

from dataclasses import dataclass

from orrery.errors import RegistryError
from orrery.registry.folder import FolderRegistry
from orrery.registry.registry import CHAMPION, Version
from orrery.registry.routes import retraced


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


def rollback(name: str, registry: FolderRegistry, *, who: str = "", why: str = "") -> RolledBack:
    """Take the last change back: a canary under way, else what came later of a route and a champion.

    Called twice it goes two changes back. Raises RegistryError where there is nothing to go back to.
    """
    now = registry.route(name)
    if now.routing.canary is not None:
        said = f"the canary of {now.routing.canary.to} was stopped"
        registry.reroute(name, now.routing.steady(), revision=now.revision, who=who, why=why or said)
        return RolledBack(registry.get(name, now.routing.main), None, said)
    steady = registry.routes(name).steady()
    champions = [c for c in registry.history(name) if c.alias == CHAMPION and c.version is not None]
    past = retraced(change.routing for change in steady)
    if len(past) > 1 and (not champions or steady[-1].at >= champions[-1].at):
        routing = past[-2]
        said = f"the route of revision {now.revision} was taken back: {routing}"
        registry.reroute(name, routing, revision=now.revision, who=who, why=why or said)
        return RolledBack(registry.get(name, routing.main), None, said)
    before = champion_before(name, registry)
    if before is None:
        raise RegistryError(
            f"There is no earlier champion of {name!r} to go back to, and no other route.",
            hint=f"Name a version: orrery model alias {name} champion VERSION",
        )
    registry.alias(name, CHAMPION, before)
    current = champions[-1].version
    return RolledBack(registry.get(name, before), current, f"rolled back from version {current}")


def champion_before(name: str, registry: FolderRegistry) -> int | None:
    """The champion before the present one, among the versions that still exist."""
    alive = {version.version for version in registry.versions(name)}
    moves = [c.version for c in registry.history(name) if c.alias == CHAMPION and c.version is not None]
    return next((v for v in reversed(retraced(moves)[:-1]) if v in alive), None)
