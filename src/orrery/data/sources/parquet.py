"""Parquet files: only the columns and row groups that are needed are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem
from sqlglot import exp

from orrery.aggregate import RecordBatch
from orrery.data import conditions, files
from orrery.data.rows import BATCH_ROWS, narrowed, needed
from orrery.data.source import Partition
from orrery.errors import SchemaError, SourceError
from orrery.schema import Schema

ENDINGS = (".parquet", ".pq")


class Parquet:
    """One Parquet file, a glob, or a folder of them, of one schema; a part is a row group."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.bytes_read = 0

    @cached_property
    def paths(self) -> list[str]:
        """The files, sorted."""
        return files.find(self.place, ENDINGS)

    @cached_property
    def _arrow(self) -> Any:
        first, *rest = [self._footer(path) for path in self.paths]
        schema = Schema.of(first.schema.to_arrow_schema()).arrow()
        for path, footer in zip(self.paths[1:], rest, strict=True):
            other = Schema.of(footer.schema.to_arrow_schema()).arrow()
            if set(other.names) != set(schema.names):
                raise SchemaError(
                    f"{files.shown(path)} has the columns {other.names}, but {files.shown(self.paths[0])} "
                    f"has {schema.names}.",
                    hint="Read them as two tables.",
                )
        return schema

    def _footer(self, path: str) -> Any:
        with files.opened(path) as file:
            try:
                return pq.read_metadata(file)
            except pa.ArrowException as error:
                raise SourceError(f"{files.shown(path)} is no Parquet file: {error}") from None

    def schema(self) -> Schema:
        """The columns of the first file, which all others must have."""
        return Schema.of(self._arrow)

    def partitions(self) -> Sequence[Partition]:
        """One part per row group."""
        parts: list[Partition] = []
        for path in self.paths:
            footer = self._footer(path)
            for group in range(footer.num_row_groups):
                found = footer.row_group(group)
                place = {"path": path, "group": group}
                parts.append(Partition(len(parts), place, found.num_rows, found.total_byte_size))
        return parts

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one row group; none where its statistics rule the condition out."""
        names = self._arrow.names
        batches = self._group(partition, needed(names, columns, where), where)
        return narrowed(batches, names, columns, where, start)

    def _group(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[RecordBatch]:
        path, group = str(partition.where["path"]), int(partition.where["group"])
        if where is not None and self._ruled_out(path, group, where):
            return
        schema = pa.schema([self._arrow.field(name) for name in wanted])
        with files.opened(path) as file:
            try:
                reader = pq.ParquetFile(file)
                self.bytes_read += _bytes_of(reader.metadata.row_group(group), set(wanted))
                for batch in reader.iter_batches(BATCH_ROWS, [group], list(wanted)):
                    yield batch.select(list(wanted)).cast(schema) if wanted else batch
            except pa.ArrowException as error:
                raise SourceError(
                    f"{files.shown(path)} cannot be read: {error}", hint="Is it cut short?"
                ) from None

    def _ruled_out(self, path: str, group: int, where: str) -> bool:
        """Whether the row group's least and greatest values exclude every row."""
        bound = _expression(conditions.parse(where, tuple(self._arrow.names)), self._arrow)
        if bound is None or not files.is_local(path):
            return False
        form: Any = ds.ParquetFileFormat()
        fragment = form.make_fragment(str(files.local(path)), LocalFileSystem(), row_groups=[group])
        return not fragment.split_by_row_group(bound, schema=self._arrow)

    def count(self, where: str | None) -> int | None:
        """Rows, as the footers tell."""
        return sum(self._footer(path).num_rows for path in self.paths) if where is None else None

    def pushed(self, where: str) -> str:
        """What row groups are skipped by."""
        parts = conditions.parse(where, tuple(self._arrow.names)).parts()
        return " and ".join(p.text for p in parts if _term(p.tree, self._arrow) is not None)

    def fingerprint(self) -> str:
        """A hash of the files' bytes."""
        return files.fingerprint(self.paths)

    def to_dict(self) -> dict[str, Any]:
        """The address."""
        return {"place": files.shown(self.place)}

    def __repr__(self) -> str:
        return files.shown(self.place)


def _bytes_of(group: Any, wanted: set[str]) -> int:
    chunks = (group.column(i) for i in range(group.num_columns))
    return sum(c.total_compressed_size for c in chunks if c.path_in_schema.split(".")[0] in wanted)


def _expression(condition: conditions.Condition, schema: Any) -> Any:
    """What of the condition Arrow can hold against a row group's statistics; None for nothing."""
    terms = [t for t in (_term(part.tree, schema) for part in condition.parts()) if t is not None]
    whole = None
    for term in terms:
        whole = term if whole is None else whole & term
    return whole


_COMPARED = {exp.EQ: "__eq__", exp.GT: "__gt__", exp.GTE: "__ge__", exp.LT: "__lt__", exp.LTE: "__le__"}


def _term(tree: Any, schema: Any) -> Any:
    """One comparison of a number or text column with a literal, as Arrow's expression."""
    if type(tree) not in _COMPARED or not isinstance(tree.this, exp.Column):
        return None
    kind = schema.field(tree.this.name).type
    value, sign = tree.expression, 1
    if isinstance(value, exp.Neg):
        value, sign = value.this, -1
    if not isinstance(value, exp.Literal):
        return None
    if value.is_string:
        literal: Any = value.this if pa.types.is_string(kind) else None
    else:
        text = str(value.this)
        whole = pa.types.is_integer(kind) and text.isdigit() and int(text) < 2**63
        literal = sign * int(text) if whole else sign * float(text) if pa.types.is_float64(kind) else None
    return None if literal is None else getattr(ds.field(tree.this.name), _COMPARED[type(tree)])(literal)
