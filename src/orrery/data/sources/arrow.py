"""Arrow IPC files (also called Feather) and streams: only the columns that are needed are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from orrery.data import files
from orrery.data.source import Partition
from orrery.data.sources.file import ColumnarSource

_MAGIC = b"ARROW1"


class ArrowIpc(ColumnarSource):
    """One Arrow file or stream, a glob or a folder of them, of one schema; a part is a file."""

    endings = (".arrow", ".feather", ".ipc", ".arrows")
    form = "Arrow"

    def _schema_of(self, path: str) -> Any:
        with self._telling(path), _reader(path) as reader:
            return reader.schema

    def _batches(self, partition: Partition, wanted: Sequence[str], where: str | None) -> Iterator[Any]:
        path = str(partition.where["path"])
        places = {name: i for i, name in enumerate(self._schema_of(path).names)}
        chosen = [places[name] for name in wanted]
        # Without a column, a batch would not know how many rows it has.
        with _reader(path, chosen or [0]) as reader:
            count = getattr(reader, "num_record_batches", None)
            for batch in reader if count is None else map(reader.get_batch, range(count)):
                self.bytes_read += batch.nbytes
                yield batch


@contextmanager
def _reader(path: str, columns: list[int] | None = None) -> Iterator[Any]:
    """A reader of some columns: of a file, or of a stream, whichever it is."""
    options = pa.ipc.IpcReadOptions(included_fields=columns) if columns else None
    with files.opened(path, ranges=True) as file:
        is_file = file.read(len(_MAGIC)) == _MAGIC
        file.seek(0)
        with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(file, options=options) as reader:
            yield reader
