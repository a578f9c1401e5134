"""Parquet files: only the columns and row groups that are needed are read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from sqlglot import exp

from orrery.data import conditions, files
from orrery.data.rows import BATCH_ROWS
from orrery.data.source import Partition
from orrery.data.sources.file import ColumnarSource


class Parquet(ColumnarSource):
    """One Parquet file, a glob, or a folder of them, of one schema; a part is a row group."""

    endings = (".parquet", ".pq")
    form = "Parquet"

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._footers: dict[str, Any] = {}

    def _schema_of(self, path: str) -> Any:
        return self._footer(path).schema.to_arrow_schema()

    def _footer(self, path: str) -> Any:
        if path in self._footers:
            return self._footers[path]
        with self._telling(path), files.opened(path, ranges=True) as file:
            footer = pq.read_metadata(file)
        if not files.is_local(path):  # a file of this machine is looked at again: it may have changed
            self._footers[path] = footer
        return footer

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

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        path, group = str(partition.where["path"]), int(partition.where["group"])
        if where is not None and self._ruled_out(path, group, where):
            return
        with files.opened(path, ranges=True) as file:
            far = not files.is_local(path)  # there, a few long reads beat many short ones
            reader = pq.ParquetFile(file, metadata=self._footer(path), pre_buffer=far)
            self.bytes_read += _bytes_of(reader.metadata.row_group(group), set(wanted))
            yield from reader.iter_batches(BATCH_ROWS, [group], list(wanted))

    def _ruled_out(self, path: str, group: int, where: str) -> bool:
        """Whether the row group's least and greatest values exclude every row."""
        bound = _expression(conditions.parse(where, tuple(self._arrow.names)), self._arrow)
        if bound is None:
            return False
        footer = io.BytesIO()
        self._footer(path).write_metadata_file(footer)  # as a file of its own: nothing more is fetched
        form: Any = ds.ParquetFileFormat()
        fragment = form.make_fragment(pa.py_buffer(footer.getvalue()), row_groups=[group])
        return not fragment.split_by_row_group(bound, schema=self._arrow)

    def count(self, where: str | None) -> int | None:
        """Rows, as the footers tell."""
        return sum(self._footer(path).num_rows for path in self.paths) if where is None else None

    def pushed(self, where: str) -> str:
        """What row groups are skipped by."""
        parts = conditions.parse(where, tuple(self._arrow.names)).parts()
        return " and ".join(p.text for p in parts if _term(p.tree, self._arrow) is not None)


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
