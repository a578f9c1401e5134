"""Files that say what their columns are, and let some of them be read: Parquet, Arrow, ORC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import conditions, files
from orrery.data.foreign.columns import meanings
from orrery.data.foreign.meaning import Meaning
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.data.sources import widening
from orrery.data.sources.file import FileSource, steady
from orrery.errors import OrreryError, SourceError
from orrery.schema import Schema


class ColumnarSource(FileSource):
    """Files of one schema, which each of them tells.

    The files may have their columns in any order, and of different types where one holds the values of all
    (:mod:`orrery.data.sources.widening`). With ``missing="null"`` some may lack columns that others have.
    """

    form: ClassVar[str]
    """What such a file is called."""

    def __init__(self, place: str, missing: str = "error") -> None:
        super().__init__(place)
        self.missing = widening.checked(missing)

    def _schema_of(self, path: str) -> Any:
        """The Arrow schema that a file has."""
        raise NotImplementedError

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        """Rows of one part with the columns wanted; those that ``where`` excludes may be left out."""
        raise NotImplementedError

    @cached_property
    def _stored(self) -> Any:
        """The columns of all files, as they are stored."""
        pairs = ((path, self._schema_of(path)) for path in self.paths)
        return widening.unified(pairs, self.missing == "null")

    @cached_property
    def _meanings(self) -> dict[str, Meaning]:
        """The columns that other programs wrote in a way of their own, and how to read them."""
        first = self.paths[0] if self.paths else self.place
        return meanings(self._stored, self.place, first, self._first_values)

    def _first_values(self, name: str) -> Any:
        """Some values of a column as it is stored, or none, to see what they are."""
        for part in self.partitions():
            path = str(part.where["path"])
            with self._telling(path):
                for batch in self._batches(part, [name], None) if name in self._schema_of(path).names else ():
                    if batch.column(name).null_count < batch.num_rows:
                        return batch.column(name)
        return None

    @cached_property
    def _arrow(self) -> Any:
        known = self._meanings
        fields = [known[f.name].field if f.name in known else widening.usual(f) for f in self._stored]
        return Schema.of(pa.schema(fields)).arrow()

    @cached_property
    def is_plain(self) -> bool:
        """Whether every file holds the columns just as they are given."""
        given = {field.name: field.type for field in self._arrow}
        schemas = (self._schema_of(path) for path in self.paths)
        return all({f.name: widening.usual(f).type for f in schema} == given for schema in schemas)

    def schema(self) -> Schema:
        """The columns of the first file, and those that others add."""
        return Schema.of(self._arrow)

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one part."""
        names = self._arrow.names
        batches = self.rough(partition, needed(names, columns, where), where)
        return narrowed(batches, names, columns, where, start)

    def rough(self, partition: Partition, columns: Sequence[str], where: str | None) -> Iterator[RecordBatch]:
        """The batches, with the types of the schema, unfiltered."""
        path = str(partition.where["path"])
        with self._telling(path):
            chosen = list(columns)
            if self.missing == "null":
                there = self._schema_of(path).names
                chosen = [name for name in columns if name in there]
            for batch in steady(partition, self._batches(partition, chosen, self._bound(where))):
                yield self._typed(batch, columns, path)

    def _bound(self, where: str | None) -> str | None:
        """What of a condition is on columns as they are stored: parts of a file may be left out by it."""
        if where is None or not self._meanings:
            return where
        parts = conditions.parse(where, tuple(self._arrow.names)).parts()
        plain = [f"({p.sql('duckdb')})" for p in parts if not set(p.columns) & set(self._meanings)]
        return " and ".join(plain) or None

    def _typed(self, batch: Any, columns: Sequence[str], path: str) -> RecordBatch:
        """A batch with the types of the schema, and what it lacks as missing values."""
        if not columns:
            return batch
        arrays = []
        for name in columns:
            meaning = self._meanings.get(name)
            field = self._stored.field(name) if meaning is not None else self._arrow.field(name)
            place = batch.schema.get_field_index(name)
            array = batch.column(place) if place >= 0 else pa.nulls(batch.num_rows, field.type)
            array = widening.widened(array, field, files.shown(path))
            arrays.append(meaning.read(array, files.shown(path)) if meaning is not None else array)
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([self._arrow.field(n) for n in columns]))

    def _options(self) -> dict[str, Any]:
        return {"missing": self.missing if self.missing != "error" else None}

    @contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        """What Arrow says about a file becomes SourceError that names it."""
        try:
            yield
        except (OrreryError, OSError):
            raise
        except (pa.ArrowException, ValueError, LookupError, OverflowError, MemoryError) as error:
            raise SourceError(
                f"{files.shown(path)} cannot be read as {self.form}: {error}", hint="Is it cut short?"
            ) from None
