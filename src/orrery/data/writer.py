"""Write rows to a file: Parquet, CSV or JSON lines; whole or not at all."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import errno
import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from orrery.aggregate import RecordBatch
from orrery.data import files, remote
from orrery.errors import SchemaError, SettingsError, SourceError, listing

Write = Callable[[Any, Any, Iterator[RecordBatch]], None]


def write(url: str, schema: Any, batches: Iterator[RecordBatch]) -> None:
    """Write rows to a file of the form that its name says. Raises SourceError where that cannot be."""
    form, packed = form_of(url)
    with whole_file(url) as file:
        if packed:
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:  # no time: equal rows, equal bytes
                form(stream, schema, batches)
        else:
            form(file, schema, batches)


def form_of(url: str) -> tuple[Write, bool]:
    """The function that writes a form, and whether to compress. Raises SettingsError."""
    name = remote.bare(url).lower()
    packed = name.endswith(".gz")
    name = name.removesuffix(".gz")
    for ending, form in FORMS.items():
        if name.endswith(ending):
            return form, packed
    raise SettingsError(f"{url!r} does not say its form; a table is written to {listing(FORMS)}.")


@contextmanager
def whole_file(url: str) -> Iterator[Any]:
    """A file to write bytes to, which appears under its name once all of it is on the disk."""
    if not files.is_local(url):
        with files.reading(url), _whole_object(url) as file:
            yield file
        return
    path = files.local(url)
    part = path.with_name(f".{path.name[:100]}.{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _whole_object(url: str) -> Iterator[Any]:
    """The same, on another machine."""
    system, inner = remote.system_of(url)
    try:
        file = system.open(inner, "wb", autocommit=False)
    except NotImplementedError:
        raise SourceError(f"{files.shown(url)} cannot be written to.", hint="Write to s3://…") from None
    try:
        yield file
        file.close()
    except BaseException:
        file.closed = True  # else it would still be sent
        file.discard()
        raise
    file.commit()


def _cannot_write(path: Path, error: OSError) -> SourceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SourceError(f"{path} cannot be written: the disk is full.", hint="Nothing of it was kept.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SourceError(
            f"{path} cannot be written: the folder {path.parent} is read-only.", hint="Choose another folder."
        )
    return SourceError(f"{path} cannot be written: {error.strerror or error}.")


def _parquet(file: Any, schema: Any, batches: Iterator[RecordBatch]) -> None:
    with pq.ParquetWriter(file, schema, compression="zstd") as out:
        for batch in batches:
            out.write_batch(batch)


def _csv(file: Any, schema: Any, batches: Iterator[RecordBatch]) -> None:
    for field in schema:
        if (
            pa.types.is_nested(field.type)
            or pa.types.is_binary(field.type)
            or pa.types.is_large_binary(field.type)
        ):
            raise SchemaError(
                f"The column {field.name!r} is {field.type}, which CSV cannot hold.",
                hint="Write to *.parquet, or leave the column out with without().",
            )
    with pacsv.CSVWriter(file, schema) as out:
        for batch in batches:
            out.write_batch(batch)


def _jsonl(file: Any, schema: Any, batches: Iterator[RecordBatch]) -> None:
    for batch in batches:
        lines = [json.dumps(row, ensure_ascii=False, default=_plain) for row in batch.to_pylist()]
        file.write(("\n".join(lines) + "\n").encode())


def _plain(value: Any) -> Any:
    """What JSON has no word for: bytes as base64, times as ISO 8601, decimals as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise SchemaError(
        f"A value of {type(value).__name__} cannot be written as JSON.", hint="Write to *.parquet."
    )


FORMS: dict[str, Write] = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl}
"""How a name ends -> how its form is written."""
