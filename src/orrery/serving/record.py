"""The record: every prediction, kept for the day its outcome is known, off the path of the answer.

What lies where, all of it plain Parquet, each file written aside and renamed when whole::

    <home>/feedback/<name>/predictions/<version>/<UTC time>-<random>.parquet
        id      string                   the row's own ``id``, or the one that the answer gave it
        time    timestamp[us, UTC]       when it was answered
        name    string                   of the model
        version int32                    of the model; 0 where it was not served from a registry
        inputs  struct                   a member per column that the model reads, typed as it was fitted
        output  struct                   prediction; for categories also probability and probabilities
        unfit   string, mostly null      JSON object: values that their column's type cannot hold (3.5 in
                                         int64) and that are null in ``inputs``
    <home>/feedback/<name>/shadows/<version>/<UTC time>-<random>.parquet
        the same, of versions in the shadow: answers that nobody was given
    <home>/feedback/<name>/outcomes/<UTC time>-<random>.parquet
        id      string                   of the prediction
        time    timestamp[us, UTC]       when the outcome arrived
        outcome the target's type        what really happened; of several for one id the last counts

The predictions of one name, of all its versions, take at most ``ORRERY_RECORD__MOST_GIB`` (2 by default) on
disk: beyond it the oldest files are deleted, and counted. Outcomes are small, and are never deleted.

A folder of one version has one schema, unless its name was deleted from the registry and begun anew. An id
may come twice, where a caller asked twice with the same one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from orrery import settings
from orrery.serving.keeping import Keeping
from orrery.serving.parquet import Answered, predictions_table, write_aside
from orrery.serving.sinks import sink_of

RING_BYTES = 64 << 20
"""What may wait to be written; beyond it predictions are answered, counted as lost, and not kept."""
_SOON_S, _LATE_S = 1.0, 20.0  # a lone prediction is on disk after a second; a steady stream gets fewer files

_log = logging.getLogger("orrery.serving")


def predictions_folder(name: str, home: Path | None = None) -> Path:
    """Where the predictions of a model are recorded, a folder per version."""
    return (home or settings.home()) / "feedback" / name / "predictions"


def shadows_folder(name: str, home: Path | None = None) -> Path:
    """Where the answers of versions in the shadow are recorded, a folder per version."""
    return (home or settings.home()) / "feedback" / name / "shadows"


def outcomes_folder(name: str, home: Path | None = None) -> Path:
    """Where the outcomes of a model's predictions are kept."""
    return (home or settings.home()) / "feedback" / name / "outcomes"


def write_outcomes(name: str, table: pa.Table, home: Path | None = None) -> int:
    """Keep outcomes: a column ``id``, and one more that says what happened. Returns the number of rows.

    They are on disk when this returns. Raises OSError where they cannot be written.
    """
    (column,) = [n for n in table.column_names if n != "id"]
    now = pa.array([time.time_ns() // 1000] * len(table), pa.int64()).cast(pa.timestamp("us", "UTC"))
    ids: Any = table.column("id").cast(pa.string())
    happened: Any = table.column(column)
    write_aside(pa.table({"id": ids, "time": now, "outcome": happened}), outcomes_folder(name, home))
    return len(table)


class Recorder:
    """A bounded ring of answers, and one thread that writes it to disk.

    ``put`` never waits and never fails: where the ring or the disk is full, ``lost`` counts.

    >>> with Recorder() as recorder:
    ...     recorder.written, recorder.lost
    (0, 0)
    """

    def __init__(
        self,
        home: Path | None = None,
        ring_bytes: int = RING_BYTES,
        most_bytes: int | None = None,
        keeping: Keeping | None = None,
    ) -> None:
        self.home = home
        self.ring_bytes = ring_bytes
        self.most_bytes = settings.record_most_bytes() if most_bytes is None else most_bytes
        """Of a name's predictions on disk; beyond it the oldest files are deleted."""
        self.keeping = keeping or Keeping()
        self.sink = sink_of(self.keeping.to, home, self.most_bytes)
        self.waiting_bytes = 0
        self.written = 0
        """Rows on disk."""
        self.lost = 0
        """Rows answered and not kept."""
        self.deleted = 0
        """Files deleted, the oldest first, to stay within ``most_bytes``."""
        self._ring: deque[Answered] = deque()
        self._ringed = self._drained = 0  # answers that went in, and that came out
        self._changed = threading.Condition()
        self._hurry = self._closing = False
        self._thread: threading.Thread | None = None
        self._told_s = -60.0

    def put(self, answered: Answered) -> None:
        """Keep an answer, if it is to be kept and there is room."""
        kept = self.keeping.kept(answered)
        if kept is None:
            return
        answered = kept
        with self._changed:
            if self._closing or self.waiting_bytes + answered.size_bytes > self.ring_bytes:
                self.lost += len(answered.ids)
                return
            self._ring.append(answered)
            self._ringed += 1
            self.waiting_bytes += answered.size_bytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="orrery-record", daemon=True)
                self._thread.start()
            elif len(self._ring) == 1 or self._is_due():
                self._changed.notify_all()

    def flush(self, wait_s: float = 10.0) -> bool:
        """Wait until what was put so far is written or lost; False if that took too long."""
        with self._changed:
            goal = self._ringed
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._drained >= goal, wait_s)

    def close(self) -> None:
        """Write what waits, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
        self.sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        gather_s = _SOON_S
        while taken := self._take(gather_s):
            written, lost = self._write(taken)
            with self._changed:
                self.written += written
                self.lost += lost
                self.waiting_bytes -= sum(answered.size_bytes for answered in taken)
                self._drained += len(taken)
                self._changed.notify_all()
                steady = self._changed.wait_for(lambda: self._ring or self._closing, _SOON_S)
                gather_s = min(_LATE_S, gather_s * 1.5) if steady else _SOON_S
                self._changed.wait_for(lambda: self._ring or self._closing)

    def _take(self, gather_s: float) -> list[Answered]:
        """What gathered in the ring; nothing when all is written and the recorder closes."""
        with self._changed:
            self._changed.wait_for(self._is_due, gather_s)
            taken = list(self._ring)
            self._ring.clear()
            self._hurry = False
            return taken

    def _is_due(self) -> bool:
        return self._closing or self._hurry or self.waiting_bytes * 2 > self.ring_bytes

    def _write(self, taken: Sequence[Answered]) -> tuple[int, int]:
        """Write a file per version. Returns how many rows were written, and how many lost."""
        groups: dict[tuple[str, int, int, bool], list[Answered]] = {}
        for answered in taken:
            key = answered.name, answered.version, id(answered.signature), answered.shadow
            groups.setdefault(key, []).append(answered)
        written = lost = 0
        for (name, version, _, shadow), group in groups.items():
            rows = sum(len(answered.ids) for answered in group)
            try:
                self.deleted += self.sink.write(predictions_table(group), name, version, shadow)
                written += rows
            except Exception as error:  # a record that cannot be kept must not stop the thread
                lost += rows
                self._tell(name, rows, error)
        return written, lost

    def _tell(self, name: str, rows: int, error: Exception) -> None:
        """Once a minute: a full disk fails every time."""
        if time.monotonic() - self._told_s >= 60:
            self._told_s = time.monotonic()
            _log.warning("%d predictions of %r could not be recorded: %s", rows, name, error)
