"""Peers that work in threads: SPDL and Grain, in ``build/peers-threads`` (``setup.sh threads``).

SPDL is an engine: what is read, mixed and made into batches is ours here, as a careful user would write it.
Grain shuffles by index and needs rows that any thread can reach at once: they lie in memory, and loading them
is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.peers import sets
from benchmarks.peers.loaders import _BLOCK, BATCH, _matrix, decode

Batches = Iterator[tuple[Any, Any]]
_MIXED_GROUPS = {"A": 4, "B": 4, "C": 8}


def spdl(kind: str) -> Callable[[int], Batches]:
    """SPDL, two threads: some row groups at a time are read, then cut into mixed batches."""
    from spdl.pipeline import PipelineBuilder

    places = [
        (path, g) for path in sorted(sets.folder(kind).iterdir()) for g in range(sets.shape(kind[0])[1])
    ]

    def epoch(number: int) -> Batches:
        chance, most = np.random.default_rng(number), _MIXED_GROUPS[kind[0]]
        order = chance.permutation(len(places))
        windows = [
            ([places[i] for i in order[at : at + most]], int(chance.integers(1 << 30)))
            for at in range(0, len(order), most)
        ]
        pipeline = (
            PipelineBuilder()
            .add_source(windows)
            .pipe(lambda window: _cut(kind, *window), concurrency=1)
            .disaggregate()
            .pipe(lambda part: _batch(kind, *part), concurrency=2)
            .add_sink(4)
            .build(num_threads=2)
        )
        with pipeline.auto_stop():
            yield from pipeline

    return epoch


def _cut(kind: str, window: list[tuple[Path, int]], seed: int) -> list[tuple[Any, Any, Any]]:
    """The rows of some row groups, and which of them make each batch."""
    tables = [pq.ParquetFile(path).read_row_group(group, use_threads=False) for path, group in window]
    features = [_features(kind, table) for table in tables]
    labels = np.concatenate([table.column("label").to_numpy() for table in tables])
    rows = pa.concat_arrays(features) if kind[0] == "C" else np.concatenate(features)
    order, size = np.random.default_rng(seed).permutation(len(labels)), BATCH[kind[0]]
    return [(rows, labels, order[at : at + size]) for at in range(0, len(order), size)]


def _features(kind: str, table: Any) -> Any:
    if kind[0] == "B":
        return _matrix(table.column("x"))
    if kind[0] == "C":
        return table.column("image").combine_chunks()
    out = np.empty((table.num_rows, len(sets.FEATURES)), np.float32)
    for i, batch in enumerate(table.select(sets.FEATURES).to_batches(_BLOCK)):
        out[i * _BLOCK : i * _BLOCK + batch.num_rows] = np.asarray(batch.to_tensor(row_major=True))
    return out


def _batch(kind: str, rows: Any, labels: Any, chosen: Any) -> tuple[Any, Any]:
    if kind[0] != "C":
        found = torch.from_numpy(rows[chosen])
        found = found.view(-1, 64, 64) if kind[0] == "B" else found
        return found, torch.from_numpy(labels[chosen])
    out = np.empty((len(chosen), sets.SIDE, sets.SIDE, 3), np.uint8)
    for i, row in enumerate(chosen):
        decode(rows[int(row)].as_py(), out[i])
    return torch.from_numpy(out), torch.from_numpy(labels[chosen])


class _Rows:
    """Rows in memory, one at a time, as Grain asks for them."""

    def __init__(self, kind: str) -> None:
        tables = [pq.read_table(path) for path in sorted(sets.folder(kind).iterdir())]
        self.kind = kind
        self.labels = np.concatenate([table.column("label").to_numpy() for table in tables])
        features = [_features(kind, table) for table in tables]
        self.rows = pa.concat_arrays(features) if kind[0] == "C" else np.concatenate(features)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        if self.kind[0] != "C":
            return self.rows[row], self.labels[row]
        out = np.empty((sets.SIDE, sets.SIDE, 3), np.uint8)
        decode(self.rows[row].as_py(), out)
        return out, self.labels[row]


def grain(kind: str) -> Callable[[int], Batches]:
    """Grain, two threads, full shuffle by index over rows in memory, loaded before the clock starts."""
    import grain as library

    rows = _Rows(kind)

    def epoch(number: int) -> Batches:
        mixed = library.MapDataset.source(rows).shuffle(seed=number)
        read = library.ReadOptions(num_threads=2, prefetch_buffer_size=2 * BATCH[kind[0]])
        for features, labels in mixed.to_iter_dataset(read).batch(BATCH[kind[0]]):
            found = torch.from_numpy(features)
            yield found.view(-1, 64, 64) if kind[0] == "B" else found, torch.from_numpy(labels)

    return epoch


LOADERS: dict[str, Callable[[str], Callable[[int], Batches]]] = {"spdl": spdl, "grain": grain}
IN_MEMORY = ("grain",)
"""Whose rows lie in memory: opening is outside the clock."""
