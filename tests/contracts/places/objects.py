"""Objects of other libraries, and rows that a program makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import datasets
import polars as pl
import pyarrow.dataset as ds
from tests.contracts.rows import ARROW, NAMES, SIZE, arrow_of
from torch.utils.data import Dataset, IterableDataset

from orrery.data.table import Table, read

TYPES = {"id": "int64", SIZE: "double", NAMES[2]: "string"}


class Items(Dataset[dict[str, Any]]):
    """Rows by number."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.kept = rows

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.kept[index]


class Stream(IterableDataset[dict[str, Any]]):
    """Rows one after another."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.kept = rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.kept)


def hugging_face(rows: list[dict[str, Any]]) -> Any:
    return datasets.Dataset(arrow_of(rows))


def hugging_face_stream(rows: list[dict[str, Any]]) -> Any:
    def given() -> Iterator[dict[str, Any]]:
        yield from rows

    return datasets.IterableDataset.from_generator(given, features=hugging_face(rows).features)


def place_arrow_dataset(rows: list[dict[str, Any]]) -> Table:
    table = arrow_of(rows)
    return read(ds.InMemoryDataset(table.to_batches(40), schema=ARROW.schema))


PLACES = {
    "polars lazy": lambda rows, ask: read(pl.from_arrow(arrow_of(rows)).lazy()),  # type: ignore[union-attr]
    "arrow dataset": lambda rows, ask: place_arrow_dataset(rows),
    "function of dicts": lambda rows, ask: read(lambda: iter(rows), types=TYPES),
    "function of batches": lambda rows, ask: read(lambda: [arrow_of(rows)]),
    "iterator": lambda rows, ask: read(iter(rows), types=TYPES),
    "torch dataset": lambda rows, ask: read(Items(rows), types=TYPES),
    "torch stream": lambda rows, ask: read(Stream(rows), types=TYPES),
    "hugging face": lambda rows, ask: read(hugging_face(rows)),
    "hugging face stream": lambda rows, ask: read(hugging_face_stream(rows)),
}
