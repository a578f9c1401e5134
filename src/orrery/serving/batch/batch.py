"""``batch``: a model answers a whole table, piece by piece, and goes on where it was stopped.

Every piece of the rows becomes a part beside the output once it is answered. When all are there, the writer
puts them together under the output's name: whole, or not at all.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import orrery
from orrery import settings
from orrery.aggregate import RecordBatch
from orrery.data import writer
from orrery.data.masking import masked
from orrery.data.quarantine import OnBad
from orrery.data.sources.file import FileSource
from orrery.data.table import Table, read
from orrery.engines.engine import Engine
from orrery.errors import ModelError
from orrery.estimators.faces import with_windows
from orrery.estimators.model import Model
from orrery.estimators.spark_frame import zipped
from orrery.registry.load import open_registry
from orrery.registry.url import ModelUrl
from orrery.serving.batch.loop import Loop
from orrery.serving.batch.parts import Begun, Parts

_PIECE_BYTES = 16 << 20
_PIECE_ROWS = 65_536
_LOOKED_AT = 256  # rows that tell how large a row is


@dataclass(frozen=True)
class Done:
    """What came of a batch: every row that was read is in ``to``, or set aside in ``bad_to``."""

    to: str
    rows: int
    bad: int
    bad_to: str
    model: str
    resumed: int
    """Rows that had been answered by a call which was stopped."""
    seconds: float


def batch(
    model: str | Path | Model,
    table: Any,
    to: str | Path,
    *,
    engine: Engine | str | None = None,
    on_bad: OnBad = "stop",
    restart: bool = False,
    progress: bool | None = None,
) -> Done:
    """Write every row of a table with its prediction: all columns in their order, all rows in theirs.

    ``table`` is what :func:`orrery.read` takes, ``to`` what :meth:`Table.write` takes: it appears whole or
    not at all. A call that was stopped goes on when it is made again; ``restart`` begins anew. ``engine``
    answers elsewhere: ``spark://host:7077``. ``on_bad="quarantine"`` sets aside the rows that cannot be read
    or answered, in ``<to>.bad.csv``. Raises BadRowError, SourceError, SchemaError, RegistryBusyError, and
    SettingsError where the rows or the model are not those that it was begun with.

    >>> import orrery as ory
    >>> rows = [{"height": float(h), "tall": "yes" if h > 170 else "no"} for h in range(140, 200)]
    >>> model = ory.fit(rows, "tall", learner="linear")
    >>> ory.batch(model, rows[:5], "answers.parquet").rows
    5
    """
    began_s, place = time.monotonic(), str(to)
    found, name = _opened(model)
    rows = table if isinstance(table, Table) else read(table, on_bad=on_bad)
    found.signature.check(rows.schema.names)
    schema = found.signature.answered(rows.schema.arrow())
    writer.check(place)
    begun = _begun(found, name, rows)
    with Parts(place, begun, restart=restart) as parts, _bar(progress) as bar:
        loop = Loop(found, rows.schema.names, parts, on_bad == "quarantine", repr(rows.source))
        task = bar.add_task("answered", total=_known(rows))
        pieces = with_windows(found, rows).batches(begun.piece_rows)
        loop.run(pieces, engine, lambda count: bar.advance(task, count))
        bad, bad_to = _set_aside(rows, parts, place) if on_bad == "quarantine" else (0, "")
        counted = _Counted(parts.batches(), schema)
        writer.write(place, schema, iter(counted))
        if counted.rows + loop.bad != loop.rows:
            raise ModelError(f"{loop.rows} rows were read, {counted.rows} written and {loop.bad} set aside.")
        parts.finished()
    return Done(place, counted.rows, bad, bad_to, name, loop.resumed, time.monotonic() - began_s)


def _opened(model: str | Path | Model) -> tuple[Model, str]:
    """A model, and how it is called: by its version, which an alias does not keep."""
    if isinstance(model, Model):
        return model, "a model in memory"
    url = ModelUrl.parse(str(model))
    if not url.name:
        return Model.load(url.path), masked(url.path)
    version = open_registry().get(url.name, url.which)
    return Model.load(version.path), version.url


def _begun(model: Model, name: str, rows: Table) -> Begun:
    looked_at = rows.head(_LOOKED_AT).to_arrow()
    row_bytes = looked_at.nbytes / max(looked_at.num_rows, 1)
    piece_rows = max(1, min(_PIECE_ROWS, int(_PIECE_BYTES / max(row_bytes, 1.0))))
    known = isinstance(rows.source, FileSource)  # of any other, it would be a pass over the rows
    return Begun(
        model=hashlib.sha256(zipped(model)).hexdigest(),
        model_name=name,
        rows=rows.fingerprint() if known else "",
        release=orrery.__version__,
        piece_rows=piece_rows,
    )


def _known(rows: Table) -> int | None:
    """How many rows there are, where the place knows without reading them."""
    count = None if rows.steps else getattr(rows.source, "count", None)
    return None if count is None else count(None)


def _bar(progress: bool | None) -> Progress:
    console = Console(stderr=True)
    wanted = settings.progress() if progress is None else progress
    shown = console.is_terminal if wanted is None else wanted
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not shown)


def _set_aside(rows: Table, parts: Parts, place: str) -> tuple[int, str]:
    """Write the rows that could not be read or answered; how many there are, and where."""
    bad = pa.concat_tables([rows.quarantined().to_arrow(), parts.bad()])
    to = f"{place.rstrip('/')}.bad.csv"
    read(bad).write(to)
    return bad.num_rows, to


class _Counted:
    """Batches as the output has them, counted."""

    def __init__(self, batches: Iterator[RecordBatch], schema: Any) -> None:
        self.batches = batches
        self.schema = schema
        self.rows = 0

    def __iter__(self) -> Iterator[RecordBatch]:
        for each in self.batches:
            self.rows += each.num_rows
            yield pa.RecordBatch.from_arrays(each.columns, schema=self.schema)
