"""The route: which version of a model answers now.

It watches the registry. When the alias moves, the new version is opened, replayed and warmed beside the old
one, and made live by one assignment: a request that began with the old one ends with it, none fails. A
version that cannot be opened, or does not repeat its own example predictions, gets no traffic.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from orrery.errors import OrreryError
from orrery.estimators.model import Model
from orrery.registry.folder import open_registry
from orrery.registry.registry import Registry, Version
from orrery.registry.url import ModelUrl
from orrery.serving.runner import Runner, replay

POLL_S = 0.25
_RETRY_S = 30.0  # a version that failed is tried again: the fault may have been the disk's

_log = logging.getLogger("orrery.serving")


@dataclass(frozen=True)
class Live:
    """A version that answers. Whoever holds one may use it to the end of the request."""

    name: str
    version: int
    """0 for a model that is not from a registry."""
    runner: Runner
    created: str = ""
    """When it was published: a number may be used again after its name was deleted."""


class Route:
    """Who answers for one model URL, or for one model in hand.

    >>> Route("out/digits.zip").name
    'digits'
    """

    def __init__(
        self,
        what: str | Path | Model,
        *,
        name: str = "",
        registry: Registry | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self.what = what
        self.registry = registry
        self.poll_s = poll_s
        self.swaps = 0
        """How often another version went live."""
        self.refused: dict[int, str] = {}
        """Versions that were not let in, and why."""
        self._url = None if isinstance(what, Model) else ModelUrl.parse(str(what))
        self.name = name or (self._url.name if self._url else "") or _name_of(what)
        self._live: Live | None = None
        self._tried_s = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def live(self) -> Live:
        """The version that answers now. Take it once per request."""
        if self._live is None:
            raise RuntimeError("The route is not open.")
        return self._live

    def open(self) -> Self:
        """Open the model, and watch its alias if it has one. Raises what opening a model raises."""
        if isinstance(self.what, Model):
            self._live = _proved(self.what, self.name)
        elif self._url is None or not self._url.name:
            self._live = _proved(Model.load(self.what), self.name)
        else:
            self.registry = self.registry or open_registry()
            self._live = self._opened(self._wanted())
            if not isinstance(self._url.which, int):
                self._thread = threading.Thread(target=self._watch, name="orrery-route", daemon=True)
                self._thread.start()
        return self

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wanted(self) -> Version:
        if self._url is None or self.registry is None:
            raise RuntimeError("Only a published model has versions.")
        return self.registry.get(self._url.name, self._url.which)

    def _opened(self, version: Version) -> Live:
        return _proved(Model.load(version.path), self.name, version.version, version.created)

    def _watch(self) -> None:
        while not self._closing.wait(self.poll_s):
            try:
                wanted = self._wanted()
            except (OrreryError, OSError):
                continue  # the alias is gone or the registry away for now: who answers goes on answering
            live = self.live
            is_other = (wanted.version, wanted.created) != (live.version, live.created)
            if is_other and self._is_due(wanted.version):
                self._swap(wanted)

    def _is_due(self, version: int) -> bool:
        return version not in self.refused or time.monotonic() - self._tried_s >= _RETRY_S

    def _swap(self, wanted: Version) -> None:
        try:
            fresh = self._opened(wanted)
        except Exception as error:  # whatever is wrong with the new one, the old one answers
            self._tried_s = time.monotonic()
            self.refused[wanted.version] = str(error)
            _log.error("%s was not let in, %d goes on: %s", wanted.url, self.live.version, error)
            return
        self.refused.pop(wanted.version, None)
        self._live = fresh
        self.swaps += 1
        _log.info("%s answers now.", wanted.url)


def _proved(model: Model, name: str, version: int = 0, created: str = "") -> Live:
    """A model made ready: its replay, row by row and as a batch, also warms it."""
    runner = Runner(model)
    replay(model, runner)
    return Live(name, version, runner, created)


def _name_of(what: object) -> str:
    """A name for a model that has none in a registry: that of its file."""
    stem = "" if isinstance(what, Model) else Path(str(what)).name.removesuffix(".zip").lower()
    return re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:100] or "model"
