"""What all sources share whose rows lie in files: how they are found, named and told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from orrery.aggregate import RecordBatch
from orrery.data import files
from orrery.data.source import Partition
from orrery.schema import Schema


class FileSource:
    """One file, a glob, or a folder of them, of the same columns; a part is a file."""

    endings: ClassVar[tuple[str, ...]]
    """How the names of such files end."""

    folders_are_columns: ClassVar[bool] = True
    """Whether folders named ``column=value`` are columns of the rows below."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.bytes_read = 0

    @cached_property
    def paths(self) -> list[str]:
        """The files, sorted."""
        return files.find(self.place, self.endings)

    def schema(self) -> Schema:
        """The columns."""
        raise NotImplementedError

    def partitions(self) -> Sequence[Partition]:
        """One part per file."""
        return [
            Partition(i, {"path": path, "version": list(now)}, size_bytes=now.size_bytes)
            for i, (path, now) in enumerate(self.versions().items())
        ]

    def versions(self) -> dict[str, files.State]:
        """The version of each file as it lies there now: what is read later must still be that one."""
        far = files.listed(self.place, self.endings) if not files.is_local(self.place) else {}
        return {path: far.get(path) or files.state(path) for path in self.paths}

    def read(
        self,
        partition: Partition,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        start: int = 0,
    ) -> Iterator[RecordBatch]:
        """Rows of one part."""
        raise NotImplementedError

    def rough(self, partition: Partition, columns: Sequence[str], where: str | None) -> Iterator[RecordBatch]:
        """Rows of one part with at least these columns; those that ``where`` excludes may be among them."""
        return self.read(partition, columns)

    def fingerprint(self) -> str:
        """A hash of the files' bytes."""
        far = None if files.is_local(self.place) else self.versions()
        return files.fingerprint(self.paths, (), far)

    def to_dict(self) -> dict[str, Any]:
        """The address, and the options that were given."""
        settings = {name: value for name, value in self._options().items() if value is not None}
        return {"place": files.shown(self.place), **settings}

    def _options(self) -> dict[str, Any]:
        """Options as plain values; None for those that are as ever."""
        return {}

    def __repr__(self) -> str:
        return files.shown(self.place)


def version_of(where: Mapping[str, Any]) -> files.State | None:
    """The version of a partition's file, where the partition tells it."""
    return files.State(*where["version"]) if where.get("version") else None


def steady(partition: Partition, batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
    """The batches of a part, for as long as its file stays the version that it was. Raises SourceError.

    A file elsewhere is looked at when it is opened, and at the end; S3 is asked for the version itself. One
    of this machine is looked at before every batch and at the end.
    """
    path, before = str(partition.where["path"]), version_of(partition.where)
    if before is None or not files.is_local(path):
        yield from batches
        if before is not None and not path.startswith(("s3://", "s3a://")):
            files.unchanged(path, before, files.state(path))
        return
    try:
        for batch in batches:
            files.unchanged(path, before, files.state(path))
            yield batch
    except Exception:  # which may come of the change
        files.unchanged(path, before, files.state(path))
        raise
    files.unchanged(path, before, files.state(path))
