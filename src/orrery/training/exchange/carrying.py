"""Encoded rows on their way to other machines: each machine of a gang gets every worker's rows once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

_PIECE_BYTES = 8 << 20

Bytes = NDArray[np.uint8]


def tell_all(text: str) -> list[str]:
    """What every worker says, by rank; nothing that was said is unpickled."""
    device = _device()
    own = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8).to(device)
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, torch.tensor([len(own)], dtype=torch.int64, device=device))
    lengths = [int(size) for size in sizes]
    padded = torch.zeros(max(lengths), dtype=torch.uint8, device=device)
    padded[: len(own)] = own
    found = [torch.zeros_like(padded) for _ in lengths]
    dist.all_gather(found, padded)
    return [bytes(t[:n].cpu().numpy()).decode() for t, n in zip(found, lengths, strict=True)]


def carry(
    put: Callable[[Bytes, int], object],
    parts: Sequence[Sequence[tuple[int, int]]],
    own: Iterable[Bytes],
    places: Sequence[int],
) -> int:
    """``put`` the rows of workers on other machines where they belong; the bytes that this worker sent.

    ``parts``: for each rank, where each of its arrays begins, and how long it is; ``own``: this
    worker's arrays; ``places``: the machine of each rank. One worker writes for its machine.
    """
    rank, arrays, sent = dist.get_rank(), list(own), 0
    first = {place: places.index(place) for place in places}
    for source, lie in enumerate(parts):
        takers = [taker for place, taker in first.items() if place != places[source]]
        for number, (at, size) in enumerate(lie):
            for low in range(0, size, _PIECE_BYTES):
                high = min(size, low + _PIECE_BYTES)
                if rank == source:
                    piece = torch.from_numpy(arrays[number][low:high].copy()).to(_device())
                    for taker in takers:
                        dist.send(piece, taker)
                        sent += high - low
                elif rank in takers:
                    room = torch.empty(high - low, dtype=torch.uint8, device=_device())
                    dist.recv(room, source)
                    put(room.cpu().numpy(), at + low)
    return sent


def _device() -> str:
    return "cuda" if dist.get_backend() == "nccl" else "cpu"
