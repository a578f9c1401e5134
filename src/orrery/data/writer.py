"""Write rows to a file: Parquet, CSV or JSON lines; whole or not at all."""

from __future__ import annotations

import errno
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from orrery.aggregate import RecordBatch
from orrery.data import files, remote
from orrery.data.flat import as_json, flat_batch, flat_schema
from orrery.data.masking import hide
from orrery.errors import OrreryError, SettingsError, SourceError, listing

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
    for ending, form in FORMS.items():
        if name.endswith(ending):
            return form, ending.endswith(".gz")
    raise SettingsError(
        f"{files.shown(url)!r} does not say its form; a table is written to {listing(FORMS)}."
    )


@contextmanager
def whole_file(url: str) -> Iterator[Any]:
    """A file to write bytes to, which appears under its name once all of it is on the disk."""
    if not files.is_local(url):
        with _remote_file(url) as file:
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
def _remote_file(url: str) -> Iterator[Any]:
    """The same, on another machine."""
    with _remote_errors(url):
        system, inner = remote.system_of(url)
        file = system.open(inner, "wb", autocommit=False)
    try:
        yield file
        with _remote_errors(url):
            file.close()
    except BaseException:
        file.closed = True  # else it would still be sent
        with suppress(Exception):
            file.discard()
        raise
    with _remote_errors(url):
        file.commit()


@contextmanager
def _remote_errors(url: str) -> Iterator[None]:
    """What a file system elsewhere says, which may be of any class, becomes SourceError."""
    shown = files.shown(url)
    try:
        with files.installed(url):
            yield
    except OrreryError:
        raise
    except NotImplementedError:
        scheme = url.partition("://")[0]
        raise SourceError(
            f"{shown} cannot be written: {scheme}:// is for reading only.",
            hint="Write to a file, or to s3://.",
        ) from None
    except Exception as error:
        text = hide(" ".join(str(error).split()), url)
        raise SourceError(f"{shown} cannot be written: {text or type(error).__name__}.") from None


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
    flat = flat_schema(schema)
    with pacsv.CSVWriter(file, flat) as out:
        for batch in batches:
            out.write_batch(flat_batch(batch, flat))


def _jsonl(file: Any, schema: Any, batches: Iterator[RecordBatch]) -> None:
    for batch in batches:
        lines = [as_json(row) for row in batch.to_pylist()]
        file.write(("\n".join(lines) + "\n").encode())


FORMS: dict[str, Write] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".csv.gz": _csv,
    ".jsonl": _jsonl,
    ".jsonl.gz": _jsonl,
    ".ndjson": _jsonl,
    ".ndjson.gz": _jsonl,
}
"""How a name ends -> how its form is written; ``.gz`` is compressed."""
