"""The workers of a gang meet: one process group of torch for as long as they work together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from orrery.errors import EngineError
from orrery.training.exchange.traffic import Traffic

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


def from_the_first(module: nn.Module) -> torch.device | None:
    """Everybody takes the first worker's weights and statistics; the device where they lie."""
    device = None
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor, 0)
            device = tensor.device
    return device


def summed(values: Sequence[float], device: torch.device | None, traffic: Traffic) -> list[float]:
    """The sums of every worker's values, the same bits for all."""
    given = torch.tensor(list(values), dtype=torch.float64, device=device)
    traffic.sent_bytes += ring_bytes(given)
    dist.all_reduce(given)
    found: list[float] = given.tolist()
    return found


class Untold:
    """What workers would have told at every step, summed until all meet; a loss is told as it is.

    >>> untold = Untold()
    >>> untold.kept([0.5, 1.0]), untold.all([0.25, 1.0])
    ([0.5, 0.0], [0.25, 2.0])
    """

    def __init__(self) -> None:
        self._sums: list[float] = []

    def kept(self, told: Sequence[float]) -> list[float]:
        """Keep it; what one who is alone hears: the loss, and nothing else."""
        self._sums = self.all(told)[1:]
        return [told[0], *(0.0 for _ in self._sums)]

    def all(self, told: Sequence[float]) -> list[float]:
        """With all that was kept, which is then forgotten."""
        before, self._sums = self._sums or [0.0] * (len(told) - 1), []
        return [told[0], *(a + b for a, b in zip(before, told[1:], strict=True))]


def agreed(wish: bool) -> bool:
    """Whether any worker wishes it, the same for all; so it is also where all meet."""
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    wishes = torch.tensor([float(wish)], device=device)
    dist.all_reduce(wishes)
    return bool(wishes.item())


def ring_bytes(tensor: Tensor) -> int:
    """What each worker sends when a tensor is added up around a ring: all twice, but for its own part."""
    return ring_share(tensor.numel() * tensor.element_size())


def ring_share(size_bytes: int) -> int:
    """The same of so many bytes."""
    size = dist.get_world_size()
    return 2 * (size - 1) * size_bytes // size
