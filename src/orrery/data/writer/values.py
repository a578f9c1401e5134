"""Rows into folders by their values: ``year=2024/city=Oslo/``, as Hive and Spark name them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from orrery.aggregate import RecordBatch
from orrery.data.writer.crew import Crew
from orrery.data.writer.layout import FILE_BYTES, Layout
from orrery.errors import SchemaError, UnknownColumnError

_MISSING = "__HIVE_DEFAULT_PARTITION__"
_WAITING_BYTES = 256 << 20


def parted(schema: Any, names: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    """The columns of the files, and those of the folders. Raises SchemaError, UnknownColumnError."""
    for name in names:
        if name not in schema.names:
            raise UnknownColumnError(name, schema.names)
        kind = schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_date(kind)):
            raise SchemaError(
                f"The column {name!r} is {kind}, which cannot name a folder.",
                hint="Folders are named by whole numbers, texts and dates.",
            )
    own = [field for field in schema if field.name not in names]
    if not own:
        raise SchemaError("Every column names a folder, so there is none for the files.")
    return pa.schema(own, schema.metadata), names


def spread(
    batches: Iterator[RecordBatch],
    schema: Any,
    names: tuple[str, ...],
    layout: Layout,
    crew: Crew,
    shard: Callable[[str], str],
) -> None:
    """Every row to the folder of its values; rows wait until they are a file, or take too much memory."""
    waiting: dict[str, list[Any]] = {}
    sizes: dict[str, int] = {}

    def flush(folder: str) -> None:
        crew.begin(shard(folder))
        for piece in waiting.pop(folder):
            crew.put(piece)
        del sizes[folder]

    for batch in batches:
        for folder, piece in _by_folder(batch, schema, names, layout):
            if folder in waiting and _is_full([*waiting[folder], piece], sizes[folder], layout):
                flush(folder)
            waiting.setdefault(folder, []).append(piece)
            sizes[folder] = sizes.get(folder, 0) + piece.nbytes
        while sum(sizes.values()) > _WAITING_BYTES:
            flush(max(sizes, key=lambda folder: sizes[folder]))
    for folder in sorted(waiting):
        flush(folder)


def _is_full(pieces: list[Any], size: int, layout: Layout) -> bool:
    if layout.rows_per_file and sum(piece.num_rows for piece in pieces) > layout.rows_per_file:
        return True
    return size >= (layout.file_bytes or (1 << 62 if layout.rows_per_file else FILE_BYTES))


def _by_folder(
    batch: RecordBatch, schema: Any, names: tuple[str, ...], layout: Layout
) -> Iterator[tuple[str, Any]]:
    """The rows of each folder, in their order; no more at once than a file takes."""
    columns = [batch.column(name).to_pylist() for name in names]
    folders = [
        "".join(_folder(n, v) for n, v in zip(names, row, strict=True)) for row in zip(*columns, strict=True)
    ]
    known, codes = np.unique(np.array(folders, dtype=object), return_inverse=True)
    own = batch.select(schema.names)
    most = layout.rows_per_file or batch.num_rows
    for code, folder in enumerate(known):
        rows = np.flatnonzero(codes == code)
        for start in range(0, len(rows), most):
            yield str(folder), own.take(pa.array(rows[start : start + most]))


def _folder(name: str, value: Any) -> str:
    """A folder's name. Raises SchemaError for an empty text, which could not be told from a missing one."""
    if value == "":
        raise SchemaError(f"An empty text in {name!r} cannot name a folder.")
    text = value.isoformat() if isinstance(value, dt.date) else str(value)
    told = quote(text, safe="") if text != _MISSING else f"%5F{_MISSING[1:]}"  # a text, and not missing
    return f"{quote(name, safe='')}={_MISSING if value is None else told}/"
