"""Each loader as a generator of (features, labels): one function per loader and set; epochs are numbered.

Pictures are decoded by simplejpeg and resized by OpenCV (bilinear) for every peer, as ours does in this run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.peers import sets

Batches = Iterator[tuple[Any, Any]]
BATCH = {"A": 1024, "B": 256, "C": 64}
MIXED = {"A": 250_000, "B": 4000, "C": 2000}
"""Rows that every loader mixes, as far as it can."""
_BLOCK = 4096


def decode(data: bytes, out: Any) -> None:
    """One picture, uint8 [224, 224, 3]."""
    import cv2
    import simplejpeg

    cv2.resize(simplejpeg.decode_jpeg(data), (sets.SIDE, sets.SIDE), dst=out)


def unpacked(kind: str, table: Any) -> tuple[Any, Any]:
    """Features and labels of an Arrow table as fresh tensors."""
    labels = torch.from_numpy(table.column("label").to_numpy().copy())
    if kind[0] == "A":
        batch = table.select(sets.FEATURES).combine_chunks().to_batches()[0]
        return torch.from_numpy(np.asarray(batch.to_tensor(row_major=True)).copy()), labels
    if kind[0] == "B":
        return torch.from_numpy(_matrix(table.column("x")).copy()).view(-1, 64, 64), labels
    out = np.empty((table.num_rows, sets.SIDE, sets.SIDE, 3), np.uint8)
    for i, cell in enumerate(table.column("image")):
        decode(cell.as_py(), out[i])
    return torch.from_numpy(out), labels


def _matrix(column: Any) -> Any:
    """Set B's tensors, float32 [n, 4096], whatever they are written as."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    if pa.types.is_fixed_size_binary(array.type):
        flat = np.frombuffer(array.buffers()[1], np.float32)
        return flat.reshape(-1, 4096)[array.offset : array.offset + len(array)]
    return array.flatten().to_numpy(zero_copy_only=True).reshape(-1, 4096)


def huggingface(kind: str) -> Callable[[int], Batches]:
    """Hugging Face datasets, stream, shuffled through a buffer, Arrow batches, in this process."""
    os.environ.setdefault("HF_HOME", str(sets.ROOT.parent / "peers-cache"))
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    import datasets

    files = [str(path) for path in sorted(sets.folder(kind).iterdir())]
    stream = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)

    def epoch(number: int) -> Batches:
        mixed = stream.shuffle(seed=number, buffer_size=MIXED[kind[0]]).with_format("arrow")
        for table in mixed.iter(batch_size=BATCH[kind[0]]):
            yield unpacked(kind, table)

    return epoch


def petastorm(kind: str) -> Callable[[int], Batches]:
    """Petastorm, batch reader, two threads, batched loader with a shuffling queue."""
    from petastorm import make_batch_reader
    from petastorm.pytorch import BatchedDataLoader

    def epoch(number: int) -> Batches:
        url = sets.folder(kind).as_uri()
        names = [*(sets.FEATURES if kind[0] == "A" else ["x"]), "label"]
        reader = make_batch_reader(
            url, schema_fields=names, reader_pool_type="thread", workers_count=2, num_epochs=1, seed=number
        )
        with BatchedDataLoader(
            reader, batch_size=BATCH[kind[0]], shuffling_queue_capacity=MIXED[kind[0]]
        ) as loader:
            for batch in loader:
                if kind[0] == "A":
                    yield torch.stack([batch[name] for name in sets.FEATURES], dim=1), batch["label"]
                else:
                    yield batch["x"].reshape(-1, 64, 64), batch["label"]

    return epoch


class RowGroups(torch.utils.data.IterableDataset):  # type: ignore[misc,type-arg]
    """What a careful user writes by hand: row groups by turns, two of them mixed at a time, per process."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.epoch = 0

    def __iter__(self) -> Batches:
        told = torch.utils.data.get_worker_info()
        rank, world = (told.id, told.num_workers) if told else (0, 1)
        places = [
            (p, g)
            for p in sorted(sets.folder(self.kind).iterdir())
            for g in range(pq.read_metadata(p).num_row_groups)
        ]
        order = np.random.default_rng(self.epoch).permutation(len(places))[rank::world]
        size, chance = BATCH[self.kind[0]], np.random.default_rng(1000 + rank)
        for at in range(0, len(order), 2):
            tables = [self._group(*places[i]) for i in order[at : at + 2]]
            mixed = pa.concat_tables(tables)
            places_of = chance.permutation(mixed.num_rows)
            if self.kind[0] == "C":
                for low in range(0, len(places_of), size):
                    yield unpacked(self.kind, mixed.take(pa.array(places_of[low : low + size])))
            else:
                features, labels = unpacked(self.kind, mixed)
                for low in range(0, len(places_of), size):
                    chosen = torch.from_numpy(places_of[low : low + size])
                    yield features[chosen], labels[chosen]

    def _group(self, path: Path, group: int) -> Any:
        return pq.ParquetFile(path).read_row_group(group, use_threads=False)


def by_hand(kind: str) -> Callable[[int], Batches]:
    """Torch's DataLoader over ``RowGroups``, two processes."""

    def epoch(number: int) -> Batches:
        rows = RowGroups(kind)
        rows.epoch = number
        yield from torch.utils.data.DataLoader(rows, batch_size=None, num_workers=2)

    return epoch


def raw(kind: str) -> Callable[[int], Batches]:
    """No shuffling, no batches: every row group to row-major NumPy (pictures: decoded), in two threads.

    The limit to compare with. What it gives are whole row groups, from memory that is used again.
    """
    files = sorted(sets.folder(kind).iterdir())
    readers = [pq.ParquetFile(path, pre_buffer=False) for path in files]
    rows = sets.shape(kind[0])[2]
    wide = {"A": 40, "B": 4096}
    outs = [np.zeros((rows, wide[kind[0]]), np.float32) if kind[0] != "C" else _pixels(64) for _ in range(2)]

    def group(thread: int, place: tuple[int, int]) -> tuple[int, Any]:
        table = readers[place[0]].read_row_group(place[1], use_threads=False)
        out = outs[thread]
        if kind[0] == "A":
            for i, batch in enumerate(table.select(sets.FEATURES).to_batches(_BLOCK)):
                out[i * _BLOCK : i * _BLOCK + batch.num_rows] = np.asarray(batch.to_tensor(row_major=True))
        elif kind[0] == "B":
            out[:] = _matrix(table.column("x"))
        else:
            for i, cell in enumerate(table.column("image")):
                decode(cell.as_py(), out[i % 64])
        return thread, table.column("label").to_numpy()

    def epoch(number: int) -> Batches:
        halves = [
            [(f, g) for f in range(t, len(files), 2) for g in range(sets.shape(kind[0])[1])] for t in (0, 1)
        ]
        with ThreadPoolExecutor(2) as pool:
            done = pool.map(lambda t: [group(t, place) for place in halves[t]], (0, 1))
            for found in done:
                for thread, labels in found:
                    yield torch.from_numpy(outs[thread]), torch.from_numpy(labels.copy())

    return epoch


def _pixels(n: int) -> Any:
    return np.zeros((n, sets.SIDE, sets.SIDE, 3), np.uint8)


LOADERS: dict[str, Callable[[str], Callable[[int], Batches]]] = {
    "huggingface": huggingface,
    "petastorm": petastorm,
    "by_hand": by_hand,
    "raw": raw,
}
