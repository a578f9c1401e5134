"""Who takes part in a fit: this worker's place among the gang, its device, its folder, its seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
