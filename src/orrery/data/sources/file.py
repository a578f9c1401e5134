"""What all sources share whose rows lie in files: how they are found, named and told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data import files
from orrery.data.rows import narrowed, needed
from orrery.data.source import Partition
from orrery.errors import SchemaError, SourceError
from orrery.schema import Schema


class FileSource:
    """One file, a glob, or a folder of them, of the same columns; a part is a file."""

    endings: ClassVar[tuple[str, ...]]
    """How the names of such files end."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.bytes_read = 0

    @cached_property
    def paths(self) -> list[str]:
        """The files, sorted."""
        return files.find(self.place, self.endings)

    def partitions(self) -> Sequence[Partition]:
        """One part per file."""
        return [
            Partition(i, {"path": path}, size_bytes=files.size(path)) for i, path in enumerate(self.paths)
        ]

    def fingerprint(self) -> str:
        """A hash of the files' bytes."""
        return files.fingerprint(self.paths)

    def to_dict(self) -> dict[str, Any]:
        """The address, and the options that were given."""
        settings = {name: value for name, value in self._options().items() if value is not None}
        return {"place": files.shown(self.place), **settings}

    def _options(self) -> dict[str, Any]:
        """Options as plain values; None for those that are as ever."""
        return {}

    def __repr__(self) -> str:
        return files.shown(self.place)


class ColumnarSource(FileSource):
    """Files that say what their columns are, and let some of them be read."""

    form: ClassVar[str]
    """What such a file is called."""

    def _schema_of(self, path: str) -> Any:
        """The Arrow schema that a file has."""
        raise NotImplementedError

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        """Rows of one part with the columns wanted; those that ``where`` excludes may be left out."""
        raise NotImplementedError

    @cached_property
    def _arrow(self) -> Any:
        schema = Schema.of(self._schema_of(self.paths[0])).arrow()
        for path in self.paths[1:]:
            names = Schema.of(self._schema_of(path)).names
            if set(names) != set(schema.names):
                raise SchemaError(
                    f"{files.shown(path)} has the columns {list(names)}, but {files.shown(self.paths[0])} "
                    f"has {schema.names}.",
                    hint="Read them as two tables.",
                )
        return schema

    def schema(self) -> Schema:
        """The columns of the first file, which all others must have."""
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
        batches = self._typed(partition, needed(names, columns, where), where)
        return narrowed(batches, names, columns, where, start)

    def _typed(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[RecordBatch]:
        """The batches, with the types of the first file."""
        schema = pa.schema([self._arrow.field(name) for name in wanted])
        with self._telling(str(partition.where["path"])):
            for batch in self._batches(partition, wanted, where):
                yield batch.select(list(wanted)).cast(schema) if wanted else batch

    @contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        """What Arrow says about a file becomes SourceError that names it."""
        try:
            yield
        except pa.ArrowException as error:
            raise SourceError(
                f"{files.shown(path)} cannot be read as {self.form}: {error}", hint="Is it cut short?"
            ) from None
