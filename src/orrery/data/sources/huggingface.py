"""Data sets of Hugging Face ``datasets``: their Arrow as it is, with what its features mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa

from orrery.data.foreign.huggingface import meanings
from orrery.data.foreign.meaning import Meaning
from orrery.data.source import Partition
from orrery.data.sources.memory import unaddressed
from orrery.data.sources.plain import PlainSource, bare
from orrery.errors import SettingsError, listing
from orrery.schema import Schema
from orrery.spec import stable_key

_PART_ROWS = 65_536
_BATCH_ROWS = 1_024


class HuggingFace(PlainSource):
    """A data set by number of row; a part is 65,536 rows. Classes become their names, media their bytes."""

    @cached_property
    def _stored(self) -> Any:
        """The Arrow schema, with the features in its metadata."""
        return self.place.features.arrow_schema

    @cached_property
    def _meanings(self) -> dict[str, Meaning]:
        return meanings(self._stored)

    def schema(self) -> Schema:
        """The columns; kinds where the features say what they are."""
        told = self._meanings
        plain = {field.name: pa.field(field.name, _storage(field.type)) for field in self._stored}
        return Schema.of(pa.schema([told[n].field if n in told else plain[n] for n in plain]))

    def partitions(self) -> Sequence[Partition]:
        """Parts of as many rows each."""
        rows = len(self.place)
        starts = range(0, max(rows, 1), _PART_ROWS)
        return [
            Partition(i, {"start": start}, min(_PART_ROWS, rows - start)) for i, start in enumerate(starts)
        ]

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        """The Arrow tables of a part."""
        start = int(partition.where["start"])
        end = start + (partition.rows or 0)
        if not columns:
            yield bare(end - start)
            return
        stored = self.place.select_columns(list(columns)).with_format("arrow")
        for first in range(start, end, _BATCH_ROWS):
            yield self._read(stored[first : min(first + _BATCH_ROWS, end)])

    def _read(self, table: Any) -> Any:
        """A table as it is stored, with the meaning of its columns."""
        arrays, names = [], table.schema.names
        for name, column in zip(names, table.columns, strict=True):
            whole = column.combine_chunks()
            whole = whole.storage if isinstance(whole.type, pa.BaseExtensionType) else whole
            told = self._meanings.get(name)
            arrays.append(told.read(whole, repr(self)) if told is not None else whole)
        return pa.table(dict(zip(names, arrays, strict=True)))

    def count(self, where: str | None) -> int | None:
        """The length of the data set."""
        return len(self.place) if where is None else None

    def fingerprint(self) -> str:
        """That of the data set, which follows its rows and every change of them."""
        return stable_key("datasets", self.place._fingerprint, self.schema().to_dict())

    def to_dict(self) -> dict[str, Any]:
        """An object has no address."""
        raise unaddressed()

    def __repr__(self) -> str:
        return f"{type(self.place).__name__} of datasets in memory"


class HuggingFaceStream(HuggingFace):
    """A data set that is streamed: one part, from its beginning each time."""

    @cached_property
    def _stored(self) -> Any:
        if self.place.features is not None:
            return self.place.features.arrow_schema
        first = next(self._tables(None), None)
        return pa.schema([]) if first is None else first.schema

    def _tables(self, schema: Any) -> Iterator[Any]:
        """The stream as Arrow, media as they are stored.

        Where it is made of Python's values, a column whose first are missing would have no type.
        """
        if getattr(getattr(self.place, "_ex_iterable", None), "iter_arrow", None) is not None:
            yield from self.place.with_format("arrow").iter(_BATCH_ROWS)
            return
        stored = self.place.decode(False) if self.place.features is not None else self.place
        for batch in stored.iter(_BATCH_ROWS):
            yield pa.table(dict(batch), schema=schema)

    def partitions(self) -> Sequence[Partition]:
        """One part."""
        return [Partition(0)]

    def rows(self, partition: Partition, columns: Sequence[str]) -> Iterator[Any]:
        """The Arrow tables of the stream."""
        for table in self._tables(self._stored):
            yield self._read(table.select(list(columns))) if columns else bare(table.num_rows)

    def count(self, where: str | None) -> int | None:
        """Not known before the end."""
        return None

    def fingerprint(self) -> str:
        """A hash of every row, in order."""
        return PlainSource.fingerprint(self)


def Splits(place: Any) -> HuggingFace:  # noqa: N802 - stands where a source stands
    """Several data sets by name are not one table. Raises SettingsError that names them."""
    raise SettingsError(
        f"This is {len(place)} data sets: {listing(place)}.",
        hint=f"Read one of them: read(data[{next(iter(place), 'train')!r}]).",
    )


def _storage(kind: Any) -> Any:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
