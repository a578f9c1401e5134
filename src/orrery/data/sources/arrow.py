"""Arrow IPC files (also called Feather) and streams: only the columns that are needed are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import pyarrow as pa

from orrery.data import files
from orrery.data.foreign import folders
from orrery.data.source import Partition
from orrery.data.sources.columnar import ColumnarSource
from orrery.data.sources.file import version_of

_MAGIC = b"ARROW1"
_PART_BYTES = 32 << 20


class ArrowIpc(ColumnarSource):
    """One Arrow file or stream, a glob or a folder of them, of one schema.

    A part is some of a file's record batches, about 32 MiB of it; of a stream, which has to be read from its
    beginning, the whole file.
    """

    endings = (".arrow", ".feather", ".ipc", ".arrows")
    form = "Arrow"

    def __init__(self, place: str, missing: str = "error") -> None:
        super().__init__(place, missing)
        self._checked: set[str] = set()

    @cached_property
    def paths(self) -> list[str]:
        """The files, sorted; of a folder that Hugging Face datasets saved, those that it names."""
        return folders.named(self.place) or files.find(self.place, self.endings)

    def _schema_of(self, path: str) -> Any:
        with self._telling(path), _reader(path) as reader:
            return reader.schema

    def partitions(self) -> Sequence[Partition]:
        """Some record batches each."""
        parts: list[Partition] = []
        for path, version in self.versions().items():
            with self._telling(path), _reader(path, None, version) as reader:
                count = getattr(reader, "num_record_batches", None)
            pieces = 1 if count is None else max(1, min(count, -(-version.size_bytes // _PART_BYTES)))
            for i in range(pieces):
                place: dict[str, Any] = {"path": path, "version": list(version)}
                if count is not None:
                    place["batches"] = [i * count // pieces, (i + 1) * count // pieces]
                parts.append(Partition(len(parts), place, size_bytes=version.size_bytes // pieces))
        return parts

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        path = str(partition.where["path"])
        places = {name: i for i, name in enumerate(self._schema_of(path).names)}
        chosen = [places[name] for name in wanted]
        # Without a column, a batch would not know how many rows it has.
        with _reader(path, chosen or [0], version_of(partition.where)) as reader:
            span = partition.where.get("batches")
            for i, batch in enumerate(reader if span is None else map(reader.get_batch, range(*span))):
                key = (path, partition.where.get("version"), span, i, chosen)
                self._check(batch, str(key))
                self.bytes_read += batch.nbytes
                yield batch

    def _check(self, batch: Any, key: str) -> None:
        """Raises ArrowInvalid for a batch that would lead out of its memory; of each version once."""
        if key not in self._checked:
            batch.validate(full=True)
            self._checked.add(key)


@contextmanager
def _reader(path: str, columns: list[int] | None = None, version: files.State | None = None) -> Iterator[Any]:
    """A reader of some columns: of a file, or of a stream, whichever it is."""
    options = pa.ipc.IpcReadOptions(included_fields=columns) if columns else None
    with files.opened(path, ranges=True, version=version) as file:
        is_file = file.read(len(_MAGIC)) == _MAGIC
        file.seek(0)
        with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file, options=options) as reader:
            yield reader
