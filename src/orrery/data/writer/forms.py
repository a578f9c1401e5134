"""The forms that rows are written in, one function each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.orc as pyorc
import pyarrow.parquet as pq

from orrery.aggregate import RecordBatch
from orrery.data import files, packed, remote
from orrery.data.flat import as_json, flat_batch, flat_schema
from orrery.data.writer import tar
from orrery.data.writer.layout import Layout
from orrery.errors import SchemaError, SettingsError, listing

Write = Callable[[Any, str, Any, Iterator[RecordBatch], Layout], None]
"""Writes to an open file, whose name is given, rows of a schema."""

_ORC_STRIPE_BYTES = 64 << 20


def form_of(url: str) -> Write:
    """The function that writes a form. Raises SettingsError."""
    name = remote.bare(url).lower()
    for ending, form in FORMS.items():
        if name.endswith(ending):
            return _telling(form, ending)
    raise SettingsError(
        f"{files.shown(url)!r} does not say its form; a table is written to {listing(FORMS, 20)}."
    )


def _telling(form: Write, ending: str) -> Write:
    """A form that says of columns which it cannot hold that it is so. Raises SchemaError."""

    def write(file: Any, name: str, schema: Any, batches: Iterator[RecordBatch], layout: Layout) -> None:
        try:
            form(file, name, schema, batches, layout)
        except (pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            kinds = ", ".join(sorted({str(kind) for kind in schema.types}))
            raise SchemaError(
                f"A {ending} file cannot hold columns of the types {kinds:.300}: {error}."
            ) from None

    return write


def grouped(batches: Iterator[RecordBatch], most_bytes: int) -> Iterator[Any]:
    """The same rows as tables of about so many bytes, and of one row at least."""
    waiting: list[Any] = []
    held = 0.0
    for batch in batches:
        start, of_row = 0, max(batch.nbytes, 1) / max(batch.num_rows, 1)
        while start < batch.num_rows:
            fits = int((most_bytes - held) / of_row)
            if waiting and fits < 1:
                yield pa.Table.from_batches(waiting)
                waiting, held = [], 0.0
                continue
            waiting.append(batch.slice(start, max(fits, 1)))
            start += waiting[-1].num_rows
            held += waiting[-1].num_rows * of_row
    if waiting:
        yield pa.Table.from_batches(waiting)


def _parquet(file: Any, name: str, schema: Any, batches: Iterator[RecordBatch], layout: Layout) -> None:
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as out:
        for table in grouped(batches, layout.row_group_bytes):
            out.write_table(table, row_group_size=table.num_rows)


def _arrow(file: Any, name: str, schema: Any, batches: Iterator[RecordBatch], layout: Layout) -> None:
    """Files that are mapped into memory as they are; only Feather's are compressed."""
    lower = remote.bare(name).lower()
    options = pa.ipc.IpcWriteOptions(compression="zstd" if lower.endswith(".feather") else None)
    make = pa.ipc.new_stream if lower.endswith(".arrows") else pa.ipc.new_file
    with make(file, schema, options=options) as out:
        for table in grouped(batches, layout.row_group_bytes):
            out.write_batch(table.combine_chunks().to_batches()[0])


def _orc(file: Any, name: str, schema: Any, batches: Iterator[RecordBatch], layout: Layout) -> None:
    plain = pa.schema([field.with_type(_of_orc(field.type, field.name)) for field in schema])
    try:
        with pyorc.ORCWriter(file, compression="ZSTD", stripe_size=_ORC_STRIPE_BYTES) as out:
            out.write(plain.empty_table())
            for table in grouped(batches, layout.row_group_bytes):
                out.write(table.cast(plain))
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise SchemaError(f"ORC cannot hold these columns: {error}.", hint="Write to *.parquet.") from None


def _of_orc(kind: Any, name: str) -> Any:
    """The type that ORC gives again: times in nanoseconds. Raises SchemaError for what ends the program."""
    if pa.types.is_dictionary(kind):
        return _of_orc(kind.value_type, name)
    if pa.types.is_decimal(kind) and kind.scale < 0:
        raise SchemaError(
            f"The column {name!r} is {kind}, and ORC holds no decimals of a negative scale.",
            hint="Write to *.parquet, or cast it to a scale of 0.",
        )
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ns", kind.tz)
    if pa.types.is_struct(kind):
        return pa.struct(
            [f.with_type(_of_orc(f.type, name)) for f in (kind.field(i) for i in range(kind.num_fields))]
        )
    if pa.types.is_map(kind):
        return pa.map_(_of_orc(kind.key_type, name), _of_orc(kind.item_type, name))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        make = pa.list_ if pa.types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_of_orc(kind.value_type, name)))
    return kind


def _csv(file: Any, name: str, schema: Any, batches: Iterator[RecordBatch], layout: Layout) -> None:
    flat = flat_schema(schema)
    with packed.packing(file, remote.bare(name)) as plain, pacsv.CSVWriter(plain, flat) as out:
        for batch in batches:
            out.write_batch(flat_batch(batch, flat))


def _jsonl(file: Any, name: str, schema: Any, batches: Iterator[RecordBatch], layout: Layout) -> None:
    with packed.packing(file, remote.bare(name)) as plain:
        for batch in batches:
            lines = [as_json(row) for row in batch.to_pylist()]
            plain.write(("\n".join(lines) + "\n").encode())


def _tar(file: Any, name: str, schema: Any, batches: Iterator[RecordBatch], layout: Layout) -> None:
    with packed.packing(
        file, remote.bare(name).removesuffix(".tgz") + ".gz" * name.endswith(".tgz")
    ) as plain:
        tar.write(plain, batches)


FORMS: dict[str, Write] = {
    ".parquet": _parquet,
    **dict.fromkeys(packed.every(".csv"), _csv),
    **dict.fromkeys(packed.every(".jsonl", ".ndjson"), _jsonl),
    **dict.fromkeys((".arrow", ".arrows", ".ipc", ".feather"), _arrow),
    ".orc": _orc,
    **dict.fromkeys((".tar", ".tar.gz"), _tar),
}
"""How a name ends -> how its form is written; text may be compressed."""
