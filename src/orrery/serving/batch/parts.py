"""What a batch has answered so far: a file per piece of the rows, in a folder beside the output.

``part-<number>-<hash of the rows>.arrow`` appears whole once its rows are answered, so a process that is
killed leaves nothing half. ``begun.json`` says of what model and of what rows the parts are.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from orrery import settings
from orrery.aggregate import RecordBatch
from orrery.data import files
from orrery.data.masking import masked
from orrery.data.quarantine import SCHEMA as BAD_ROWS
from orrery.data.writer.whole import whole_file
from orrery.errors import SettingsError
from orrery.registry.lock import locked

_BEGUN = "begun.json"
_BAD = b"orrery.bad"


@dataclass(frozen=True)
class Begun:
    """What a batch was begun with. Parts of another one are of no use to it."""

    model: str
    """The hash of the whole model."""
    model_name: str
    rows: str
    """A hash of the files that are read; empty where the rows are only known piece by piece."""
    release: str
    piece_rows: int
    format: int = 1


class Parts:
    """The parts of one batch, held by one process at a time. Raises SettingsError, RegistryBusyError.

    >>> begun = Begun("a1", "models:/prices/3", "", "0.1.0", 10)
    >>> with Parts("out.csv", begun) as parts:
    ...     parts.put(0, "5f", pa.record_batch({"x": [1, 2]}), [])
    ...     sum(batch.num_rows for batch in parts.batches())
    2
    """

    def __init__(self, to: str, begun: Begun, *, restart: bool = False) -> None:
        self.to = to
        self.begun = begun
        self.restart = restart
        self.folder = _folder(to)
        self._open = ExitStack()
        self._paths: dict[int, Path] = {}

    def __enter__(self) -> Self:
        what = f"The batch that is written to {masked(self.to)!r}"
        self._open.enter_context(locked(self.folder, "batch", 0.5, what=what))
        try:
            self._begin()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if not self._paths and kind is not None:  # nothing of it is worth going on with
            shutil.rmtree(self.folder, ignore_errors=True)

    def finished(self) -> None:
        """The output is whole: nothing here is needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def has(self, number: int, key: str) -> bool:
        """Whether the rows of a piece are answered. Raises SettingsError where they were other rows."""
        path = self._paths.get(number)
        if path is not None and path != self._path(number, key):
            raise self._other(f"the rows are not what they were (piece {number + 1} of them)")
        return path is not None

    def check_end(self, pieces: int) -> None:
        """Whether there are answers of so many pieces, and no more. Raises SettingsError."""
        if len(self._paths) != pieces:
            raise self._other("the rows are fewer than they were")

    def put(self, number: int, key: str, answered: RecordBatch, bad: list[dict[str, Any]]) -> None:
        """Keep a piece that is answered, and those of its rows that could not be."""
        path = self._path(number, key)
        schema = answered.schema.with_metadata({_BAD: json.dumps(bad).encode()})
        with whole_file(str(path)) as file, pa.ipc.new_file(file, schema) as out:
            out.write_batch(answered.replace_schema_metadata(schema.metadata))
        self._paths[number] = path

    def batches(self) -> Iterator[RecordBatch]:
        """All rows that were answered, in their order."""
        for _, path in sorted(self._paths.items()):
            with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as found:
                for i in range(found.num_record_batches):
                    yield found.get_batch(i)

    def bad(self) -> Any:
        """The rows that the model could not answer, as :mod:`orrery.data.quarantine` keeps bad rows."""
        rows: list[dict[str, Any]] = []
        for _, path in sorted(self._paths.items()):
            with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as found:
                rows += json.loads((found.schema.metadata or {}).get(_BAD, b"[]"))
        return pa.Table.from_pylist(rows, schema=BAD_ROWS)

    def _path(self, number: int, key: str) -> Path:
        return self.folder / f"part-{number:08}-{key}.arrow"

    def _begin(self) -> None:
        told = self.folder / _BEGUN
        if self.restart:
            for path in self.folder.glob("part-*"):
                path.unlink()
            told.unlink(missing_ok=True)
        if told.exists():
            self._check(told)
        else:
            with whole_file(str(told)) as file:
                file.write(json.dumps(asdict(self.begun)).encode())
        self._paths = {int(path.name.split("-")[1]): path for path in self.folder.glob("part-*.arrow")}

    def _check(self, told: Path) -> None:
        try:
            before = Begun(**json.loads(told.read_bytes()))
        except (ValueError, TypeError):
            raise self._other(f"{told} does not say with what") from None
        if before.model != self.begun.model:
            raise self._other(f"the model was {before.model_name}, and is {self.begun.model_name} now")
        if (before.rows, before.piece_rows) != (self.begun.rows, self.begun.piece_rows):
            raise self._other("the rows are not what they were")
        if before != self.begun:
            raise self._other(f"it was begun by Orrery {before.release}")

    def _other(self, why: str) -> SettingsError:
        return SettingsError(
            f"A batch to {masked(self.to)} was stopped on its way, and this is another one: {why}.",
            hint="To go on, give the same rows and name the same version; to begin anew: restart=True, "
            "or --restart.",
        )


def _folder(to: str) -> Path:
    """Where the parts of an output are: beside it, or in Orrery's home where it is on another machine."""
    if files.is_local(to):
        path = files.local(to.rstrip("/"))
        return path.with_name(f".{path.name[:100]}.parts")
    return settings.home() / "batch" / hashlib.sha256(to.encode()).hexdigest()[:20]
