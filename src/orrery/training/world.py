"""Who takes part in a fit: this worker's place among the gang, its device, its folder, its seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orrery.training.exchange.choice import AllReduce, Exchanging
from orrery.training.exchange.traffic import Traffic

if TYPE_CHECKING:
    from orrery.training.events import Observer


class Crew(Protocol):
    """Several workers that a learner may ask for, when it is fitted in one process."""

    def fit(self, learner: Any, rows: Any, world: World, observe: Observer) -> Any:
        """What the learner learns in a gang: a predictor."""


class Growing(BaseException):
    """Raised in every worker, past all that catches errors: all is saved, and more workers can join."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass(frozen=True)
class World:
    """One worker's view. A fit on one machine is a world of one."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    """``cpu``, ``cuda``, ``cuda:1``; ``auto`` takes a GPU where there is one."""
    seed: int = 0
    folder: Path | None = None
    """Where checkpoints and curves go; None keeps nothing. The same folder resumes the run."""
    keep: Callable[[Path, Sequence[str]], object] | None = None
    """Sends a file of the folder to the driver, where the folder is a copy; with those it needs there."""
    exchange: Exchanging = field(default_factory=AllReduce)
    """How the workers of a gang agree."""
    serves: bool = False
    """Whether this worker holds parameters for the others, who number ``size``, and does not learn."""
    traffic: Traffic = field(default_factory=Traffic)
    """What that has cost this worker."""
    stopping: Callable[[], bool] = never
    """Whether somebody outside asked this worker to stop; the gang then stops together."""
    growing: Callable[[], bool] = never
    """Whether there is room for more workers: the gang then ends with its next checkpoint, to begin anew."""
    fixed: bool = True
    """Whether the gang keeps its size, so that chance and bits may depend on it."""
    crew: Crew | None = None
    """Workers to be had, where this is not one of them already."""
