"""What an exchange costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Traffic:
    """What an exchange has cost this worker so far."""

    steps: int = 0
    sent_bytes: int = 0
    waited_s: float = 0.0
    """In which nothing was computed, for others' numbers were awaited."""
