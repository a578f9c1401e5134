"""The shelf: the models of one process by name, opened when asked for and closed when told or idle."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orrery.errors import ModelNotFoundError, OverloadedError, SettingsError, did_you_mean, listing
from orrery.estimators.model import Model
from orrery.registry.folder import FolderRegistry, open_registry
from orrery.registry.registry import check_name
from orrery.registry.url import SCHEME, ModelUrl
from orrery.serving.lineup import Lineup
from orrery.serving.route import Route

What = str | Path | Model

_log = logging.getLogger("orrery.serving")


class Shelf:
    """The models of one service. Reading takes no lock: what is open is replaced as a whole.

    ``whats`` are open from the start to the end; ``models:/`` stands for the whole registry, whose models are
    opened when they are asked for.

    >>> [route.name for route in Shelf(["models:/a", "models:/b@champion", "c.zip"]).routes.values()]
    ['a', 'b', 'c']
    """

    def __init__(
        self,
        whats: Sequence[What],
        *,
        name: str = "",
        registry: FolderRegistry | None = None,
        most_models: int = 100,
        most_bytes: int = 8 << 30,
        idle_s: float = 3_600.0,
    ) -> None:
        self.registry = registry
        self.most_models = most_models
        self.most_bytes = most_bytes
        self.idle_s = idle_s
        self.everything = any(_is_all(what) for what in whats)
        """Whether each model of the registry is opened when it is asked for."""
        self.routes: dict[str, Route] = _routes([w for w in whats if not _is_all(w)], name, registry)
        """What is open, by name."""
        self._given = frozenset(self.routes)
        self._closed: set[str] = set()  # by order, so that asking does not open them again
        self._used_s: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def first(self) -> Route:
        """The model that answers where no name is given. Raises ModelNotFoundError where none is open."""
        route = next(iter(self.routes.values()), None)
        if route is None:
            raise ModelNotFoundError("No model is open here.", hint="Ask for one by its name.")
        return route

    def open(self) -> Self:
        """Open what was given, or of a whole registry its first model. Raises what opening a model raises."""
        try:
            for route in self.routes.values():
                route.open()
            if self.everything:
                names = sorted({version.name for version in self._registry().versions()})
                if not self.routes and names:
                    self.load(names[0])
                if not self.routes:
                    raise ModelNotFoundError("The registry has no models.", hint="orrery publish MODEL NAME")
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Close all of it."""
        for route in self.routes.values():
            route.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def route(self, name: str) -> Route:
        """The route of a name. Raises ModelNotFoundError."""
        route = self.routes.get(name)
        if route is None:
            names = list(self.routes)
            raise ModelNotFoundError(
                f"This service has no model {name!r:.120}; it has {listing(names)}.",
                hint=did_you_mean(name[:120], names),
            )
        if name not in self._given:
            self._used_s[name] = time.monotonic()
        return route

    def lineup(self, name: str) -> Lineup | None:
        """Who answers for a name now, if it is open."""
        route = self.routes.get(name)
        return None if route is None else route.lineup

    def opens(self, name: str) -> bool:
        """Whether a name is not open, and opens by being asked for."""
        return self.everything and name not in self.routes and name not in self._closed

    def load(self, name: str, version: int | None = None) -> None:
        """Open a model of the registry, or one more of its versions beside. Takes as long as it takes.

        Raises ModelNotFoundError, ReplayError, and OverloadedError where there is no room for it.
        """
        with self._lock:
            route = self.routes.get(name)
            if route is None:
                route = Route(_url_of(name), registry=self._registry()).open()
                self.routes = {**self.routes, name: route}
                self._used_s[name] = time.monotonic()
            self._closed.discard(name)
            self._make_room(name)
        if version is not None:
            route.await_version(version)

    def unload(self, name: str, version: int | None = None) -> None:
        """Close a model, or one of its versions that answers only when it is named."""
        route = self.route(name)
        if version is not None:
            route.name_versions(route.named - {version})
            return
        if len(self.routes) == 1 and not self.everything:
            raise SettingsError(f"{name!r} is the only model of this service.", hint="End the service.")
        with self._lock:
            self._close(name)
            self._closed.add(name)

    def tidy(self) -> None:
        """Close what was opened when asked and is asked no more."""
        now_s = time.monotonic()
        if not self._lock.acquire(blocking=False):
            return  # one is being opened: another time
        try:
            for name, used_s in list(self._used_s.items()):
                if now_s - used_s > self.idle_s and len(self.routes) > 1:
                    self._close(name)
        finally:
            self._lock.release()

    def index(self) -> list[dict[str, Any]]:
        """Every version that is open or was refused, and the names that could be opened."""
        found: list[dict[str, Any]] = []
        for name, route in self.routes.items():
            for live in route.open_versions():
                found.append(_entry(name, str(live.version), "READY", "", live.size_bytes))
            for number, reason in route.refused.items():
                found.append(_entry(name, str(number), "UNAVAILABLE", reason, 0))
        if self.everything:
            others = {version.name for version in self._registry().versions()} - self.routes.keys()
            found += [_entry(name, "", "UNAVAILABLE", "unloaded", 0) for name in sorted(others)]
        return found

    def _registry(self) -> FolderRegistry:
        self.registry = self.registry or open_registry()
        return self.registry

    def _make_room(self, new: str) -> None:
        """Close those that are asked least lately, until the new one fits. Raises OverloadedError."""
        while not self._fits():
            others = [name for name in self._used_s if name != new]
            if not others:
                if new not in self._given:
                    self._close(new)
                raise OverloadedError(f"There is no room for {new!r} beside what is open.")
            self._close(min(others, key=lambda name: self._used_s[name]))

    def _fits(self) -> bool:
        size_bytes = sum(route.size_bytes for route in self.routes.values())
        return len(self.routes) <= self.most_models and size_bytes <= self.most_bytes

    def _close(self, name: str) -> None:
        route = self.routes.get(name)
        self.routes = {other: each for other, each in self.routes.items() if other != name}
        self._used_s.pop(name, None)
        if route is not None:
            route.close()
            _log.info("%s was closed.", name)


def _is_all(what: What) -> bool:
    return isinstance(what, str) and what.rstrip("/") == SCHEME.rstrip("/")


def _url_of(name: str) -> str:
    try:
        return f"{SCHEME}{check_name(name)}"
    except SettingsError:
        raise ModelNotFoundError(f"There is no model {name!r:.120}.") from None


def _routes(whats: Sequence[What], name: str, registry: FolderRegistry | None) -> dict[str, Route]:
    """A route for each name. Raises SettingsError where two models would have the same one."""
    routes: dict[str, Route] = {}
    for what in whats:
        route = Route(what, name=name if len(whats) == 1 else "", registry=registry)
        before = routes.setdefault(route.name, route)
        if before is route:
            continue
        number = None if isinstance(what, Model) else ModelUrl.parse(str(what)).which
        if not isinstance(number, int):
            raise SettingsError(
                f"Two models of this service would be called {route.name!r}.",
                hint="Further versions of it are given by number: models:/name/3.",
            )
        before.named = before.named | {number}
    return routes


def _entry(name: str, version: str, state: str, reason: str, size_bytes: int) -> dict[str, Any]:
    return {"name": name, "version": version, "state": state, "reason": reason, "size_bytes": size_bytes}
