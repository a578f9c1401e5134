"""How far a gang would scale, on paper: from the bytes that a step was measured to send, on a stated network.

A worker sends ``2 (n - 1) / n`` times the gradients in a step, in ``2 (n - 1)`` messages per bucket. What
leaves in the backward pass, two thirds of the computing, costs nothing; the rest is waited for. No figure
here was measured on so many machines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from benchmarks import harness

NETWORK_BYTES_S = 25e9 / 8
"""25 Gbit/s, as in Horovod's paper (Sergeev and Del Balso, 2018)."""
MESSAGE_S = 5e-6
"""Of one message between neighbours, over RDMA."""
HIDDEN = 2 / 3
PUBLISHED = (("Horovod, ResNet-101 at 512", 0.90), ("Horovod, VGG-16 at 512", 0.68))


@dataclass(frozen=True)
class Load:
    """One step of one worker."""

    name: str
    gradient_bytes: float
    compute_s: float
    bucket_bytes: float = 25 << 20


LOADS = (
    Load("ResNet-50, 64 pictures at 360/s", 25.6e6 * 4, 64 / 360),
    Load("1 billion, 8,192 tokens at 50 TFLOP/s", 1e9 * 4, 6 * 1e9 * 8_192 / 50e12),
    Load("1 billion, bf16 gradients", 1e9 * 2, 6 * 1e9 * 8_192 / 50e12),
)


def efficiency(load: Load, workers: int, overhead: float = 1.0) -> float:
    """The share of the time that is computing; ``overhead``: bytes measured for each that theory asks for.

    >>> efficiency(Load("no gradients", 0.0, 1.0), 8)
    1.0
    """
    ring = 2 * (workers - 1)
    sent_s = ring / workers * load.gradient_bytes * overhead / NETWORK_BYTES_S
    messages_s = ring * math.ceil(load.gradient_bytes / load.bucket_bytes) * MESSAGE_S
    waited_s = max(0.0, sent_s + messages_s - HIDDEN * load.compute_s)
    return load.compute_s / (load.compute_s + waited_s)


def measure(overhead: float) -> list[dict[str, Any]]:
    """A line for each network and number of workers."""
    found = []
    for load in LOADS:
        who, published = PUBLISHED[0] if "ResNet" in load.name else PUBLISHED[1]
        for workers in (8, 64, 512):
            share = efficiency(load, workers, overhead)
            name = f"on paper, {workers:3} workers: {load.name}"
            found.append(_line(name, share, published, who))
    return found


def _line(name: str, share: float, published: float, who: str) -> dict[str, Any]:
    return harness.paired(name, lambda: share, lambda: published, unit="share", who=who, runs=1)
