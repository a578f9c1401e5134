"""What an exchange costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Traffic:
    """What an exchange has cost this worker so far."""

    steps: int = 0
    sent_bytes: int = 0
    moved_bytes: int = 0
    """Encoded rows that this worker sent to other machines, before the first epoch."""
    waited_s: float = 0.0
    """In which nothing was computed, for others' numbers were awaited."""
    held_share: float = 1.0
    """Of the parameters, that this worker holds between two steps."""
