"""Streams whose model follows an alias of the registry: another version answers, and the query goes on.

Each Python worker of Spark looks at the alias at most once a second, before a batch of rows, and opens
another version beside the one that answers. So the workers must see the registry's folder; rows of one
micro-batch may be answered by two versions, each row by one.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from orrery.errors import ModelError, ModelNotFoundError, OrreryError, listing
from orrery.estimators.model import Model
from orrery.estimators.spark_frame import answer_fields, map_frame
from orrery.estimators.spark_worker import usual
from orrery.registry.folder import FolderRegistry, open_registry
from orrery.registry.registry import Version
from orrery.registry.url import ModelUrl

_LOOK_S = 1.0
_RETRY_S = 30.0  # a version that failed is tried again: the fault may have been the disk's

_log = logging.getLogger("orrery.spark")


def transform(frame: Any, model: str | Path | Model, *, registry: str | Path | None = None) -> Any:
    """A data frame or stream with predictions beside its columns; by ``models:/fraud@champion``, or a path.

    A stream follows the alias while it runs. A data frame is answered by the version that the alias points to
    now, in ``foreachBatch`` too, where the workers need not see the registry.
    Raises ModelNotFoundError, SchemaError, SettingsError.
    """
    if isinstance(model, Model):
        return model.transform(frame)
    url = ModelUrl.parse(str(model))
    if not url.name:
        return Model.load(url.path).transform(frame)
    folder = open_registry(registry)
    version = folder.get(url.name, url.which)
    first = _kept(version.path, version.created)
    if isinstance(url.which, int) or not frame.isStreaming:
        return first.transform(frame)
    followed = Followed(str(folder.root), url, version.version, tuple(frame.columns), _answers(first))
    return map_frame(frame, first, followed, usual, answer_fields(first))


@lru_cache(4)
def _kept(path: str, created: str) -> Model:
    """A published version, kept open here: its files never change."""
    return Model.load(path)


def _answers(model: Model) -> tuple[str, ...]:
    return tuple(f"{field.name}: {field.type}" for field in model.signature.outputs)


@dataclass(frozen=True)
class Followed:
    """The version that an alias points to, seen from a worker."""

    registry: str
    url: ModelUrl
    first: int
    """The version of the query's start: it answers in workers that never saw another that could."""
    columns: tuple[str, ...]
    """Those of the stream."""
    answers: tuple[str, ...]
    """What is added; a version that adds something else is not let in."""

    def model(self) -> Model:
        """The model that answers now."""
        return _watch(self).model()


class Watch:
    """One worker's view of an alias."""

    def __init__(self, followed: Followed) -> None:
        self.followed = followed
        self._model: Model | None = None
        self._version: tuple[int, str] | None = None
        self._refused: tuple[int, str] | None = None
        self._looked_s = self._tried_s = float("-inf")

    def model(self) -> Model:
        """The model that answers now; looks at the alias at most once a second."""
        now = time.monotonic()
        if now - self._looked_s >= _LOOK_S or self._model is None:
            self._looked_s = now
            self._look(now)
        if self._model is None:
            self._model = self._opened(self._get(self.followed.first))
        return self._model

    def _look(self, now: float) -> None:
        try:
            wanted = self._get(self.followed.url.which)
        except (OrreryError, OSError):
            if self._model is None:
                raise
            return  # the registry is away for now: who answers goes on answering
        known = (wanted.version, wanted.created)
        if known == self._version or (known == self._refused and now - self._tried_s < _RETRY_S):
            return
        try:
            self._model, self._version = self._opened(wanted), known
        except Exception as error:  # whatever is wrong with the new one, the old one answers
            self._refused, self._tried_s = known, now
            _log.error("%s was not let in: %s", wanted.url, error)

    def _get(self, which: int | str | None) -> Version:
        try:
            return FolderRegistry(Path(self.followed.registry)).get(self.followed.url.name, which)
        except ModelNotFoundError as error:
            error.hint = "The workers must see the registry's folder; where they do not, use foreachBatch."
            raise

    def _opened(self, version: Version) -> Model:
        """The version, proved by its own example. Raises ModelError where it answers otherwise."""
        model = Model.load(version.path)
        if _answers(model) != self.followed.answers:
            raise ModelError(
                f"It adds {listing(_answers(model))}; the query {listing(self.followed.answers)}."
            )
        model.signature.check(set(self.followed.columns))
        return model


@lru_cache(8)
def _watch(followed: Followed) -> Watch:
    return Watch(followed)
