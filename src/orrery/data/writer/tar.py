"""Rows as samples of a WebDataset shard: files of one name in a tar, one for each column that is there.

A column's name is its file's ending: ``jpg``, ``cls``, ``json``. Bytes are written as they are; texts and
numbers as text; lists and structs as JSON. ``__key__`` names the sample; without it, its number does.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from itertools import count
from typing import Any

from orrery.aggregate import RecordBatch
from orrery.data.flat import as_json
from orrery.errors import SchemaError

KEY = "__key__"


def write(file: Any, batches: Iterator[RecordBatch]) -> None:
    """All rows, to a file open for bytes. Raises SchemaError for a key that cannot name a file."""
    numbers = count()
    seen: set[str] = set()
    checked: set[str] = set()
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as out:
        for batch in batches:
            _check(batch.schema.names, checked)
            for row in batch.to_pylist():
                key = _key(row.pop(KEY, None), next(numbers), seen)
                for name, value in row.items():
                    if value is not None:
                        _add(out, f"{key}.{name}", value)


def _check(names: list[str], checked: set[str]) -> None:
    """Raises SchemaError for columns whose names cannot be endings of files."""
    for name in names if not checked else ():
        lower = name.lower()  # as endings are read
        strange = not name or name != name.strip() or re.search(r"[/\\\x00-\x1f]", name)
        if strange or lower in checked:
            why = "is there twice" if lower in checked else "cannot be the ending of a file"
            raise SchemaError(f"The column {name[:200]!r} {why}.", hint="Give it another name first.")
        checked.add(lower)


def _key(given: Any, number: int, seen: set[str]) -> str:
    key = f"{number:09}" if given is None else str(given)
    last = key.rpartition("/")[2]
    leads = key.startswith(("/", "./")) or ".." in key.split("/") or "\\" in key or "\0" in key
    if not last or "." in last or key in seen or leads:
        why = "is there twice" if key in seen else "cannot name a file, less its ending"
        raise SchemaError(f"The {KEY} {key[:200]!r} {why}.", hint="Give each row a key without dots.")
    seen.add(key)
    return key


def _add(out: tarfile.TarFile, name: str, value: Any) -> None:
    if isinstance(value, bytes):
        data = value
    elif isinstance(value, str):
        data = value.encode()
    else:
        data = as_json(value).encode()
    member = tarfile.TarInfo(name)  # no time, no owner: equal rows, equal bytes
    member.size = len(data)
    out.addfile(member, io.BytesIO(data))
