"""Each worker encodes the rows that it read; all of them see the rows of all.

The order of an epoch mixes all rows, so each worker will need any of them. The encoded rows lie in one file
of the gang's scratch folder, each worker's behind those of the worker before it, and are mapped by all
workers of a machine. Where the gang is on several machines, each has such a file: the rows that were encoded
elsewhere come over once, before the first epoch. When all have mapped it the file loses its name, so
nothing is left behind however the gang ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orrery.errors import FitError
from orrery.features.feature import Encoded, Output
from orrery.features.forms import Bag
from orrery.training.blocks import Batch
from orrery.training.exchange.traffic import Traffic

_ALIGNED = 64

Arrays = Mapping[str, NDArray[Any]]


def share(
    arrays: Arrays,
    rank: int,
    size: int,
    path: Path,
    barrier: Callable[[], object],
    places: Sequence[int] = (),
    traffic: Traffic | None = None,
) -> dict[str, Any]:
    """The arrays of all workers, each joined in the order of their ranks; read-only, on disk.

    All workers call this with the same names, types and shapes, but for the first axis. ``path`` is a file
    that does not exist yet, in a folder that they share; ``barrier`` waits for all of them.
    ``places``: the machine of each rank, where there are several; the workers of each share a folder. The
    bytes that this worker sends to others are counted in ``traffic``.
    """
    plain = {name: (str(array.dtype), list(array.shape)) for name, array in arrays.items()}
    told = _tell(json.dumps(plain), rank, size, path, barrier, places)
    layout, at = {}, 0
    lie: list[list[tuple[int, int]]] = [[] for _ in range(size)]
    for name, array in arrays.items():
        lengths = [shapes[name][1][0] for shapes in told]
        row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
        shape = (sum(lengths), *array.shape[1:])
        layout[name] = (at, shape)
        for other in range(size):
            lie[other].append((at + row_bytes * sum(lengths[:other]), row_bytes * lengths[other]))
        at += row_bytes * sum(lengths)
        at += -at % _ALIGNED
    with _room(path, at) as file:
        for (place, _), array in zip(lie[rank], arrays.values(), strict=True):
            _write(file, _bytes(array), place)
        if places:
            _carry(file, lie, arrays, places, traffic)
    barrier()
    found = {
        name: np.zeros(shape, arrays[name].dtype)
        if 0 in shape
        else np.memmap(path, arrays[name].dtype, "r", place, shape).view(np.ndarray)
        for name, (place, shape) in layout.items()
    }
    barrier()
    if rank == (places.index(places[rank]) if places else 0):
        path.unlink()
        for other in range(size):
            path.with_suffix(f".{other}").unlink(missing_ok=True)
    return found


def _tell(
    text: str, rank: int, size: int, path: Path, barrier: Callable[[], object], places: Sequence[int]
) -> list[Any]:
    if places:
        from orrery.training.exchange.carrying import tell_all

        return [json.loads(each) for each in tell_all(text)]
    path.with_suffix(f".{rank}").write_text(text)
    barrier()
    return [json.loads(path.with_suffix(f".{other}").read_text()) for other in range(size)]


def _carry(
    file: int,
    lie: Sequence[Sequence[tuple[int, int]]],
    arrays: Arrays,
    places: Sequence[int],
    traffic: Traffic | None,
) -> None:
    from orrery.training.exchange.carrying import carry

    sent = carry(partial(_write, file), lie, [_bytes(array) for array in arrays.values()], places)
    if traffic is not None:
        traffic.moved_bytes += sent


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _write(file: int, array: NDArray[np.uint8], place: int) -> None:
    left = memoryview(array.data)
    while left:
        written = os.pwrite(file, left, place)
        left, place = left[written:], place + written


@contextmanager
def _room(path: Path, size_bytes: int) -> Iterator[int]:
    """The file, open and of its size."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.truncate(file, max(size_bytes, 1))
            yield file
        finally:
            os.close(file)
    except OSError as error:
        raise FitError(
            f"The encoded rows do not fit on the disk under {path.parent}: {error.strerror or error}.",
            hint="Make room, or point TMPDIR to a larger disk.",
        ) from None


def flatten(batch: Batch, hashes: NDArray[np.uint64], outputs: Sequence[Output]) -> dict[str, NDArray[Any]]:
    """A batch as arrays by name; a block that several groups share is there once."""
    arrays: dict[str, NDArray[Any]] = {"target": batch.target, "hashes": hashes}
    if batch.weight is not None:
        arrays["weight"] = batch.weight
    for name, own in first_of(batch.blocks, outputs).items():
        if name != own:
            continue
        block = batch.blocks[name]
        if isinstance(block, Bag):
            arrays[f"{name}\0lengths"] = np.diff(block.offsets)
            arrays[f"{name}\0ids"], arrays[f"{name}\0weights"] = block.ids, block.weights
        else:
            arrays[f"{name}\0block"] = block
    return arrays


def first_of(blocks: Mapping[str, Encoded], outputs: Sequence[Output]) -> dict[str, str]:
    """Each block's name -> the first name of the same block."""
    first = {id(blocks[output.name]): output.name for output in reversed(outputs)}
    return {output.name: first[id(blocks[output.name])] for output in outputs}


def unflatten(arrays: Arrays, same: Mapping[str, str]) -> tuple[Batch, NDArray[np.uint64]]:
    """The batch again. ``same``: each block's name -> the name that it goes by."""
    blocks: dict[str, Encoded] = {}
    for name, own in same.items():
        if name != own:
            blocks[name] = blocks[own]
        elif f"{name}\0block" in arrays:
            blocks[name] = arrays[f"{name}\0block"]
        else:
            offsets = np.concatenate([[0], np.cumsum(arrays[f"{name}\0lengths"])]).astype(np.int64)
            blocks[name] = Bag(offsets, arrays[f"{name}\0ids"], arrays[f"{name}\0weights"])
    rows = np.arange(len(arrays["target"]), dtype=np.int64)
    return Batch(blocks, arrays["target"], arrays.get("weight"), rows), arrays["hashes"]
