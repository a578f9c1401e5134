"""Write rows to a file, or to a folder of many; whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orrery.aggregate import RecordBatch
from orrery.data import braces, remote
from orrery.data.writer import folder
from orrery.data.writer.forms import form_of
from orrery.data.writer.layout import Layout as Layout
from orrery.data.writer.whole import whole_file
from orrery.errors import SettingsError

_AS_EVER = Layout()


def write(url: str, schema: Any, batches: Iterator[RecordBatch], layout: Layout = _AS_EVER) -> str:
    """Write rows, and give the address to read them at.

    To one file of the form that its name says; to many, where the address is a folder (it ends in ``/``) or
    has a number in it (``part-{0000..}.parquet``). Raises SourceError where that cannot be.
    """
    bare, many = remote.bare(url), _many(url, layout)
    if many is not None:
        return folder.write(url, many, schema, batches, layout)
    if layout.is_many:
        raise SettingsError(
            f"{bare!r} is one file, and rows_per_file, file_bytes and partition_by ask for many.",
            hint="Name a folder, 'out/', or a pattern, 'out/part-{0000..}.parquet'.",
        )
    form = form_of(url)
    with whole_file(url) as file:
        form(file, url, schema, batches, layout)
    return url


def check(url: str, layout: Layout = _AS_EVER) -> None:
    """Whether rows could be written there, before any is made. Raises SettingsError, SourceError."""
    many = _many(url, layout)
    if many is None:
        form_of(url)
        return
    form_of(many[1])
    folder.check_free(f"{many[0].rpartition('/')[0]}/", url)


def _many(url: str, layout: Layout) -> tuple[str, str, int] | None:
    """What stands before and behind the numbers of many files, and their digits; None for one file."""
    bare = remote.bare(url)
    if bare.endswith("/"):
        return f"{bare}part-", f".{layout.form or 'parquet'}", 5
    return braces.numbered(bare)
