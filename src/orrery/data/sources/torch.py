"""Data sets of PyTorch: items with a number, or a stream of them; torch itself is not needed to read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from orrery.data.quarantine import BadRows, OnBad
from orrery.data.source import Partition
from orrery.data.sources.generator import Generated, schema_of
from orrery.data.sources.memory import unaddressed
from orrery.data.sources.plain import PlainSource, as_row
from orrery.schema import Schema

_PART_ROWS = 4_096
_LOOKED_AT = 64
"""Items by which the types of columns are decided: one may be a picture that has to be decoded."""


class TorchDataset(PlainSource):
    """A data set with a length and items by number; of tuples the columns are ``x0``, ``x1`` ….

    A part is 4,096 items. Tensors become columns of their shape, pictures of Pillow PNG files.
    """

    def __init__(self, place: Any, types: Mapping[str, str] | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(place)
        self.types = dict(types or {})
        self.bad = BadRows(on_bad)

    @cached_property
    def _schema(self) -> Schema:
        first = range(min(_LOOKED_AT, len(self.place)))
        return schema_of([item_row(self.place[i]) for i in first], self.types)

    def schema(self) -> Schema:
        """The columns, decided by the first items."""
        return self._schema

    def partitions(self) -> Sequence[Partition]:
        """Parts of as many items each."""
        rows = len(self.place)
        starts = range(0, max(rows, 1), _PART_ROWS)
        return [
            Partition(i, {"start": start}, min(_PART_ROWS, rows - start)) for i, start in enumerate(starts)
        ]

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        """The items of a part."""
        start = int(partition.where["start"])
        for i in range(start, start + (partition.rows or 0)):
            yield item_row(self.place[i])

    def count(self, where: str | None) -> int | None:
        """The length of the data set."""
        return len(self.place) if where is None else None

    def to_dict(self) -> dict[str, Any]:
        """An object has no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        return f"{type(self.place).__name__} in memory"


class TorchStream(Generated):
    """A data set that is iterated, anew each time."""

    def _items(self) -> Iterator[Any]:
        return map(item_row, super()._items())


def item_row(item: Any) -> Any:
    """One item as a row: a single value is a row of one column, ``x0``."""
    if isinstance(item, (Mapping, tuple, list)):
        return as_row(item, 1)
    return {"x0": item}
