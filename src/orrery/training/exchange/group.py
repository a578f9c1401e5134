"""The workers of a gang meet: one process group of torch for as long as they work together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from orrery.errors import EngineError

_WAIT_S = 600.0  # for another worker, in one exchange; a worker that has died is noticed by the engine


@contextmanager
def joined(meeting: str, rank: int, size: int, device: str) -> Iterator[None]:
    """Meet the others, and part from them at the end. ``meeting``: ``file:///…`` or ``tcp://host:port``."""
    try:
        dist.init_process_group(
            "nccl" if device.startswith("cuda") else "gloo",
            init_method=meeting,
            rank=rank,
            world_size=size,
            timeout=dt.timedelta(seconds=_WAIT_S),
        )
    except (RuntimeError, ValueError) as error:
        raise EngineError(
            f"Worker {rank} of {size} could not meet the others at {meeting}: {error}"
        ) from None
    try:
        yield
    finally:
        dist.destroy_process_group()


def device_of(wanted: str, local_rank: int) -> str:
    """The device of one worker of several on a host: GPUs are dealt out one by one."""
    if wanted not in ("auto", "cuda"):
        return wanted
    if not torch.cuda.is_available():
        return "cpu" if wanted == "auto" else wanted
    device = f"cuda:{local_rank % torch.cuda.device_count()}"
    torch.cuda.set_device(device)
    return device
