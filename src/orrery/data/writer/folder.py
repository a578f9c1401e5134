"""Write rows to many files of a folder, several at a time; the folder appears whole, or not at all.

Here it is written under a hidden name and then renamed. Where nothing can be renamed, a list in the folder
says that it is finished (:mod:`orrery.data.shards`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from uuid import uuid4

from orrery.aggregate import RecordBatch
from orrery.data import files, remote, shards
from orrery.data.writer import values
from orrery.data.writer.crew import Crew
from orrery.data.writer.forms import Write, form_of
from orrery.data.writer.layout import FILE_BYTES, Layout
from orrery.data.writer.whole import cannot_write, remote_errors, whole_file
from orrery.errors import SettingsError, SourceError

Place = Callable[[str], str]
"""From the name of a shard, below the folder, to the address that it is written at."""


def write(
    url: str, names: tuple[str, str, int], schema: Any, batches: Iterator[RecordBatch], layout: Layout
) -> str:
    """Write shards, whose names have a number of so many digits between two texts; give the folder."""
    before, behind, digits = names
    root, _, begins = before.rpartition("/")
    if root in ("", "."):
        raise SettingsError(f"{url!r} names no folder of its own.", hint="Write to a folder: 'out/'.")
    folder = f"{root}/"
    named = remote.with_connection(folder, found) if (found := remote.connection_of(url)) else folder
    form = form_of(behind)
    own, parts = values.parted(schema, layout.partition_by)
    with _folder(named) as place:
        written: list[str] = []

        def shard(below: str) -> str:
            written.append(f"{below}{begins}{len(written):0{digits}}{behind}")
            return written[-1]

        with Crew(lambda name, rows: _one(place(name), form, own, rows, layout)) as crew:
            if parts:
                values.spread(batches, own, parts, layout, crew, shard)
            else:
                _fill(batches, own, layout, crew, shard)
    return named


def _one(url: str, form: Write, schema: Any, batches: Iterator[RecordBatch], layout: Layout) -> None:
    with whole_file(url) as file:
        form(file, url, schema, batches, layout)


def _fill(
    batches: Iterator[RecordBatch], schema: Any, layout: Layout, crew: Crew, shard: Callable[[str], str]
) -> None:
    """One shard after the other, each as full as the layout says; one without rows where there are none."""
    most_rows = layout.rows_per_file
    most_bytes = layout.file_bytes or (None if most_rows else FILE_BYTES)
    crew.begin(shard(""))
    rows = size = 0
    for batch in batches:
        start = 0
        while start < batch.num_rows:
            if (most_rows and rows >= most_rows) or (most_bytes and size >= most_bytes):
                crew.begin(shard(""))
                rows = size = 0
            room = most_rows - rows if most_rows else batch.num_rows
            if most_bytes:
                room = min(room, max(1, (most_bytes - size) * batch.num_rows // max(batch.nbytes, 1)))
            piece = batch.slice(start, room)
            crew.put(piece)
            start, rows, size = start + piece.num_rows, rows + piece.num_rows, size + piece.nbytes


def _folder(url: str) -> AbstractContextManager[Place]:
    return _local_folder(url) if files.is_local(url) else _remote_folder(url)


def check_free(folder: str, url: str) -> None:
    """Whether a folder of this machine is new or empty. Raises SourceError."""
    path = files.local(folder)
    if files.is_local(folder) and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise _taken(url)


@contextmanager
def _local_folder(url: str) -> Iterator[Place]:
    """A new folder, under a hidden name until all of it is there."""
    folder = files.local(url)
    part = folder.with_name(f".{folder.name[:100]}.{uuid4().hex[:8]}.part")
    check_free(url, url)

    def place(name: str) -> str:
        return str(part / name)

    try:
        part.mkdir(parents=True)
        yield place
        part.replace(folder)  # which may be there, if it is empty
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _remote_folder(url: str) -> Iterator[Place]:
    """A new folder, with a list that says when all of it is there."""
    written: list[str] = []
    with remote_errors(url):
        system, inner = remote.system_of(url)
        inner = inner.rstrip("/")
        with suppress(FileNotFoundError):
            if system.find(inner):
                raise _taken(url)
        shards.begin(system, inner)

    def place(name: str) -> str:
        written.append(name)
        found = remote.connection_of(url)
        address = f"{remote.bare(url).rstrip('/')}/{name}"
        return remote.with_connection(address, found) if found else address

    try:
        yield place
        with remote_errors(url):
            shards.finish(system, inner, written)
    except BaseException:
        for name in [*written, shards.LIST]:
            with suppress(Exception):
                system.rm_file(f"{inner}/{name}")
        raise


def _taken(url: str) -> SourceError:
    return SourceError(
        f"{files.shown(url)} is there already, and is not empty.",
        hint="Many files are written to a new folder; choose another name, or delete it.",
    )
