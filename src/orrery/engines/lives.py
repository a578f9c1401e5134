"""The lives of a gang: it starts again when a worker is lost, and anew when more workers can join.

A gang that may change its size goes on with the workers that are left, and takes others in at a checkpoint:
all that are there save, and end; the next life begins with as many as there is room for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any, Protocol, Self

from orrery.engines import freight
from orrery.engines.engine import Again, Grown, Lost
from orrery.engines.job import Gang
from orrery.errors import SettingsError, WorkerError


class Counted(Protocol):
    """An engine that counts the slots that its own gangs hold."""

    taken: int
    taking: threading.Lock

    def room(self) -> int:
        """Slots that nobody uses now; at once."""


class Berth:
    """The slots that one gang holds of an engine: one for each worker, whose number may change."""

    def __init__(self, engine: Counted, workers: int) -> None:
        self.engine = engine
        self.workers = workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.resize(0)

    def room(self) -> int:
        """Workers that this gang could have now, its own included."""
        return self.workers + self.engine.room()

    def resize(self, workers: int) -> None:
        """Hold so many from now on."""
        with self.engine.taking:
            self.engine.taken += workers - self.workers
            self.workers = workers


Live = Callable[[Gang, IO[bytes]], list[Any]]
"""One life: of a gang of so many workers as it says, with its task in a file."""


def lives(gang: Gang, live: Live, berth: Berth) -> list[Any]:
    """What every worker of the last life returned. Raises what ends the gang for good."""
    left = gang.restarts
    with freight.load(gang.task) as task:
        while True:
            try:
                returned = live(replace(gang, workers=berth.workers), task)
            except WorkerError as error:
                if not error.lost or not left:
                    raise _told(error, gang.restarts) from error.__cause__
                left -= 1
                berth.resize(_fewer(gang, berth.workers, error.gone))
                _tell(gang, error.rank, Lost(error.message, left, berth.workers))
                continue
            if not any(isinstance(one, Again) for one in returned):
                return returned
            berth.resize(max(berth.workers, min(most(gang), berth.room())))
            _tell(gang, 0, Grown(berth.workers))


def most(gang: Gang) -> int:
    """Workers that a gang can ever have."""
    return gang.elastic[1] if gang.elastic is not None else gang.workers


def checked(elastic: object, workers: int) -> tuple[int, int] | None:
    """The least and most workers of a gang that may change its size. Raises SettingsError.

    >>> checked((1, 4), 2)
    (1, 4)
    """
    if elastic is None:
        return None
    pair = tuple(elastic) if isinstance(elastic, (tuple, list)) else ()
    whole = all(isinstance(each, int) and not isinstance(each, bool) for each in pair)
    if len(pair) != 2 or not whole or not 1 <= pair[0] <= workers <= pair[1]:
        raise SettingsError(
            f"elastic={elastic!r} is wrong with workers={workers}: it is the least and the most workers, "
            "and the gang begins with a number between them.",
            hint="elastic=(1, 4), workers=2.",
        )
    return pair[0], pair[1]


def _fewer(gang: Gang, workers: int, gone: int) -> int:
    return workers if gang.elastic is None else max(gang.elastic[0], workers - max(gone, 1))


def _told(error: WorkerError, restarts: int) -> WorkerError:
    if restarts and error.lost:
        error.hint = f"The gang was started again {restarts} times; no more. {error.hint}"
    return error


def _tell(gang: Gang, rank: int, what: object) -> None:
    if gang.listen is not None:
        gang.listen(rank, what)
