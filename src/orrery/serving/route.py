"""The route: which versions of a model answer now.

It watches the registry. When the alias moves or the route of the name changes, the versions that are not
open yet are opened, replayed and warmed beside those that answer, and all go live by one assignment: a
request that began with the old ones ends with them, none fails. A version that cannot be opened, or does
not repeat its own example predictions, gets no traffic. The main version before is kept open, so that a
rollback opens nothing.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from orrery.errors import ModelNotFoundError, OrreryError
from orrery.estimators.model import Model
from orrery.registry.folder import FolderRegistry, open_registry
from orrery.registry.registry import CHAMPION, Version
from orrery.registry.routes import RouteChange
from orrery.registry.url import SCHEME, ModelUrl
from orrery.serving.lineup import ARM, CANARY, FALLBACK, NAMED, SHADOW, Lineup
from orrery.serving.lineup import Live as Live
from orrery.serving.runner import Runner, replay
from orrery.serving.versions import Identity, Versions, files_bytes, identity_of, resident_bytes

POLL_S = 0.25
_LOOK_S = 0.005
_PATIENCE_S = 0.5  # for a version that is being opened; then its share is the main version's until it is open

_log = logging.getLogger("orrery.serving")


class _Wanted(NamedTuple):
    """What the registry says: the main version, and each other that a route names as it names it."""

    main: Version
    others: dict[int | str, Version]
    change: RouteChange

    def all(self) -> list[Version]:
        found = {identity_of(version): version for version in (self.main, *self.others.values())}
        return list(found.values())


class Route:
    """Who answers for one model URL, or for one model in hand.

    A URL that names no version, or the champion, follows the route that the registry keeps for the name.

    >>> Route("out/digits.zip").name
    'digits'
    """

    def __init__(
        self,
        what: str | Path | Model,
        *,
        name: str = "",
        registry: FolderRegistry | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self.what = what
        self.registry = registry
        self.poll_s = poll_s
        self.swaps = 0
        """How often another version went live as the main one."""
        self.absent: dict[str, str] = {}
        """What the route names and the registry does not have, and why."""
        self.named: frozenset[int] = frozenset()
        """Versions that are open beside, for callers that name them."""
        self.settled = True
        """Whether all that the route names is open or refused."""
        self._url = None if isinstance(what, Model) else ModelUrl.parse(str(what))
        self.name = name or (self._url.name if self._url else "") or _name_of(what)
        self._lineup: Lineup | None = None
        self._main: Identity | None = None
        self._spare: Identity | None = None
        self._changed = threading.Event()
        self._closing = False
        self._versions = Versions(self._opened, self._changed.set)
        self._thread: threading.Thread | None = None

    @property
    def live(self) -> Live:
        """The main version now. Take it once per request."""
        return self.lineup.main

    @property
    def lineup(self) -> Lineup:
        """Everybody who may answer now. Take it once per request."""
        if self._lineup is None:
            raise RuntimeError("The route is not open.")
        return self._lineup

    @property
    def refused(self) -> dict[int, str]:
        """Versions that were not let in, and why."""
        refused = list(self._versions.refused.items())
        return {number: why for (name, number, _), why in refused if self._url and name == self._url.name}

    @property
    def size_bytes(self) -> int:
        """About what all its open versions take in memory."""
        return self._versions.size_bytes() or self.live.size_bytes

    @property
    def follows(self) -> bool:
        """Whether the registry's route of the name decides who answers."""
        return bool(self._url and self._url.name and self._url.which in (None, CHAMPION))

    def open(self) -> Self:
        """Open the model, and watch its alias if it has one. Raises what opening a model raises."""
        if isinstance(self.what, Model):
            self._lineup = Lineup(_proved(self.what, self.name))
        elif self._url is None or not self._url.name:
            self._lineup = Lineup(_sized(self.what, self.name))
        else:
            self.registry = self.registry or open_registry()
            wanted = self._wanted()
            self._versions.now(wanted.main)
            while not self._versions.settled(wanted.all()):
                self._changed.wait(self.poll_s)
                self._changed.clear()
            self._lineup, self._main = self._lined_up(wanted), identity_of(wanted.main)
            if not isinstance(self._url.which, int):
                self._start()
        return self

    def name_versions(self, numbers: Iterable[int]) -> None:
        """Let these versions, and no others, answer beside when they are named. They are opened soon."""
        self.named = frozenset(numbers)
        self._start()
        self._changed.set()

    def await_version(self, number: int) -> None:
        """Open one more version, for callers that name it. Raises ModelNotFoundError, ModelError."""
        if self._url is None or not self._url.name or self.registry is None:
            raise ModelNotFoundError(f"{self.name!r} is not from a registry: it has one version.")
        self._versions.now(self.registry.get(self._url.name, number))
        self.name_versions(self.named | {number})
        while self.lineup.version(number) is None and not self._closing:
            time.sleep(_LOOK_S)

    def open_versions(self) -> list[Live]:
        """Every version that may answer, each once, the main one first."""
        found = {live.runner: live for live in reversed(list(self.lineup.lives()))}
        return list(reversed(found.values()))

    def close(self) -> None:
        """Stop watching."""
        self._closing = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
        self._versions.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        if self._thread is None and self.registry is not None:
            self._thread = threading.Thread(target=self._watch, name="orrery-route", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        waits_since_s = 0.0
        while True:
            self._changed.wait(self.poll_s)
            self._changed.clear()
            if self._closing:
                return
            try:
                wanted = self._wanted()
            except (OrreryError, OSError):
                continue  # the registry is away for now: who answers goes on answering
            self.settled = self._versions.settled(wanted.all())
            if self.settled or not waits_since_s:
                waits_since_s = time.monotonic()
            is_late = time.monotonic() - waits_since_s > _PATIENCE_S
            if (self.settled or is_late) and self._versions.get(wanted.main) is not None:
                self._go_live(wanted)

    def _go_live(self, wanted: _Wanted) -> None:
        fresh = self._lined_up(wanted)
        if fresh == self._lineup:
            return
        main = identity_of(wanted.main)
        self._lineup = fresh
        if main != self._main:
            self.swaps += 1
            self._spare, self._main = self._main, main
            _log.info("%s answers now.", wanted.main.url)
        self._versions.keep([*map(identity_of, wanted.all()), *([self._spare] if self._spare else [])])

    def _wanted(self) -> _Wanted:
        """What the registry says now. Raises ModelNotFoundError where nobody can answer."""
        if self._url is None or self.registry is None:
            raise RuntimeError("Only a published model has versions.")
        name = self._url.name
        change = self.registry.route(name) if self.follows else RouteChange()
        routing = change.routing
        main = self.registry.get(name, self._url.which if routing.main is None else routing.main)
        urls: dict[int | str, ModelUrl] = {
            which: ModelUrl(name=name, which=which) for which in (*routing.versions(), *sorted(self.named))
        }
        if isinstance(routing.fallback, str) and routing.fallback.startswith(SCHEME):
            urls[routing.fallback] = ModelUrl.parse(routing.fallback)
        others: dict[int | str, Version] = {}
        absent: dict[str, str] = {}
        for which, url in urls.items():
            try:
                others[which] = self.registry.get(url.name, url.which)
            except ModelNotFoundError as error:
                absent[str(which)] = str(error)
        self.absent = absent
        return _Wanted(main, others, change)

    def _lined_up(self, wanted: _Wanted) -> Lineup:
        """The versions that are open in their parts; the shares of others are the main version's."""

        def live(which: int | str | None, arm: str) -> Live | None:
            version = None if which is None else wanted.others.get(which)
            found = None if version is None else self._versions.get(version)
            return None if found is None else replace(found, arm=arm, fixed=arm == NAMED)

        routing = wanted.change.routing
        canary = None if routing.canary is None else live(routing.canary.to, CANARY)
        arms = [(live(arm.to, ARM), arm.share) for arm in routing.arms]
        return Lineup(
            main=self._versions.now(wanted.main),
            arms=tuple((found, share) for found, share in arms if found is not None),
            canary=canary,
            canary_share=0.0 if routing.canary is None else routing.canary.share,
            shadows=tuple(found for which in routing.shadows if (found := live(which, SHADOW))),
            fallback=live(routing.fallback, FALLBACK),
            named=tuple(found for number in sorted(self.named) if (found := live(number, NAMED))),
            by=routing.by,
            deadline_s=routing.deadline_s,
            revision=wanted.change.revision,
        )

    def _opened(self, version: Version) -> Live:
        own = self._url is not None and version.name == self._url.name
        return _sized(version.path, self.name if own else version.name, version.version, version.created)


def _sized(path: str | Path, name: str, version: int = 0, created: str = "") -> Live:
    """A saved model made ready, and about what it takes: its files, or by how much the process grew."""
    before = resident_bytes()
    live = _proved(Model.load(path), name, version, created)
    return replace(live, size_bytes=max(files_bytes(path), resident_bytes() - before))


def _proved(model: Model, name: str, version: int = 0, created: str = "") -> Live:
    """A model made ready: its replay, row by row and as a batch, also warms it."""
    runner = Runner(model)
    replay(model, runner)
    return Live(name, version, runner, created)


def _name_of(what: object) -> str:
    """A name for a model that has none in a registry: that of its file."""
    stem = "" if isinstance(what, Model) else Path(str(what)).name.removesuffix(".zip").lower()
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:100] or "model"
