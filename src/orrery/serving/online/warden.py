"""The warden: it carries out what the rule of a canary decides, and closes what nobody asks for.

What it decides becomes a change of the route in the registry, by compare-and-swap and with its reason; so all
processes that serve the name follow, and of two that decide at once one wins.
"""

from __future__ import annotations

import logging
import threading

from orrery.errors import OrreryError
from orrery.registry.folder import FolderRegistry
from orrery.registry.registry import CHAMPION, LATEST
from orrery.registry.routes import Canary, RouteChange
from orrery.serving.canary import Trial, Verdict
from orrery.serving.route import Route
from orrery.serving.shelf import Shelf

_POLL_S = 0.25
_WHO = "canary"
_log = logging.getLogger("orrery.serving")


class Warden:
    """Looks after the canaries of a service, in a thread of its own.

    ``trials`` are what was counted, by name.
    """

    def __init__(self, shelf: Shelf, trials: dict[str, Trial], poll_s: float = _POLL_S) -> None:
        self.shelf = shelf
        self.trials = trials
        self.poll_s = poll_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orrery-warden", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        self._thread.join()

    def look(self) -> None:
        """Once: decide on every canary, and tidy up. Raises nothing that a registry away would."""
        for route in list(self.shelf.routes.values()):
            if route.follows and route.registry is not None:
                try:
                    self._look_at(route, route.registry)
                except (OrreryError, OSError) as error:  # changed by somebody else meanwhile, or away
                    _log.info("The canary of %s was left as it is: %s", route.name, error)
        self.shelf.tidy()

    def _run(self) -> None:
        while not self._closing.wait(self.poll_s):
            try:
                self.look()
            except Exception:  # a fault in the judge must not stop the next look
                _log.exception("The canaries could not be looked after.")

    def _look_at(self, route: Route, registry: FolderRegistry) -> None:
        lineup = route.lineup
        if lineup.canary is None and not route.refused:
            return
        change = registry.route(route.name)
        canary = change.routing.canary
        if canary is None or change.revision != lineup.revision:
            return
        refused = route.refused.get(registry.get(route.name, canary.to).version)
        if refused is not None:
            carry_out(route.name, registry, change, canary, Verdict("stop", f"it was not let in: {refused}"))
            return
        trial = self.trials.get(route.name)
        if trial is not None and trial.revision == change.revision:
            carry_out(route.name, registry, change, canary, trial.verdict(canary))


def carry_out(
    name: str, registry: FolderRegistry, change: RouteChange, canary: Canary, verdict: Verdict
) -> None:
    """Change the route as decided. Raises RouteConflictError where somebody else was first."""
    routing, why = change.routing, f"version {registry.get(name, canary.to).version}: {verdict.why}"
    if verdict.act == "wait":
        return
    if verdict.act == "grow":
        fresh = routing.replace(canary=canary.replace(share=verdict.share))
        registry.reroute(name, fresh, revision=change.revision, who=_WHO, why=why)
    elif verdict.act == "stop":
        _log.warning("The canary of %s was stopped: %s", name, why)
        registry.reroute(name, routing.steady(), revision=change.revision, who=_WHO, why=f"stopped, {why}")
    else:
        number = registry.get(name, canary.to).version
        main = routing.main
        if isinstance(main, int) or main == LATEST:
            main = number
        else:
            registry.alias(name, main or CHAMPION, number)
        fresh = routing.steady().replace(main=main)
        registry.reroute(name, fresh, revision=change.revision, who=_WHO, why=f"promoted, {why}")
