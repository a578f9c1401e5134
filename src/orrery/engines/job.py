"""What can be asked of an engine: four kinds of job, each a value that can be printed and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Resources:
    """What one worker needs."""

    cpus: int = 1
    gpus: int = 0
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Map:
    """A function of a record batch, over every batch of a table; results keep the table's order."""

    task: Callable[[Any], Any]
    table: Any
    deadline_s: float | None = None


@dataclass(frozen=True)
class Gather:
    """An aggregate over a table: summarized in parts, merged, finished."""

    aggregate: Any
    table: Any
    deadline_s: float | None = None


@dataclass(frozen=True)
class Gang:
    """Workers that start all together or not at all; each is called with its ``Member``.

    The result is what each worker returned, in the order of their ranks.
    """

    task: Callable[[Any], Any]
    workers: int = 1
    resources: Resources = field(default_factory=Resources)
    deadline_s: float | None = None
    restarts: int = 0
    """How often the whole gang starts again when a worker is lost: killed, stopped, or its machine gone."""
    elastic: tuple[int, int] | None = None
    """The least and the most workers: it goes on with those that are left, and takes others in when it
    saves. Its task then returns ``Again`` where the link says that the gang is ``growing``."""
    listen: Callable[[int, Any], object] | None = None
    """Called here with the rank and what a worker tells; the answer ``"stop"`` goes to that worker."""
    logs: Path | None = None
    """A folder that keeps what each worker printed, ``rank-<n>.log``."""
    folder: Path | None = None
    """A folder here, whose checkpoints workers elsewhere begin with, and where theirs arrive."""
    rows: Any = None
    """A table of the cluster's own, whose rows the engine feeds to the workers."""
    warm: Sequence[str] = ()
    """Modules to load once for all workers, where the engine can."""


@dataclass(frozen=True)
class Each:
    """One call per item, as many at a time as there are slots."""

    task: Callable[[Any], Any]
    items: Sequence[Any]
    resources: Resources = field(default_factory=Resources)
    deadline_s: float | None = None


Job = Map | Gather | Gang | Each
