"""A function of one's own as a gang: ``ory.gang(fn, workers=4, table=df)``.

``fn(worker)`` runs in every worker. The workers have met: with torch installed, ``torch.distributed`` is
ready, and ``DistributedDataParallel(net)`` is all that a training script needs besides ``worker.batches``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from orrery import settings
from orrery.data.rowhash import row_hashes
from orrery.data.table import Table, read
from orrery.engines.engine import Again, Engine, Grown, Lost, Member
from orrery.engines.fed import fed_by, fed_of
from orrery.engines.find import engine_of
from orrery.engines.job import Gang
from orrery.engines.lives import checked, most
from orrery.engines.logs import followed
from orrery.errors import SettingsError
from orrery.extras import available, require
from orrery.spec import code_key, stable_key
from orrery.training.pushed import handed, template
from orrery.training.rows import CLUSTERED
from orrery.training.sharing import share
from orrery.training.stretches import deal, own_part
from orrery.training.worker import Rows, Worker
from orrery.training.world import Growing

WARM = ("torch", "torch.distributed", "torch._dynamo", "orrery.training.checkpoint")


def gang(
    fn: Callable[[Worker], Any],
    *,
    workers: int | Literal["auto"],
    elastic: tuple[int, int] | None = None,
    table: Any = None,
    engine: Engine | str | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    restarts: int = 2,
    deadline_s: float | None = None,
    on_report: Callable[[int, Mapping[str, float]], object] | None = None,
    on_print: Callable[[int, str], object] | None = None,
) -> list[Any]:
    """Run a function in several workers at once; what each of them returned, in the order of ranks.

    ``workers``: a number, or "auto" for all that could start now; with ``elastic=(1, 4)`` the gang goes on
    with those that are left when one is lost, and takes others in when it saves.
    ``table``: rows to learn from; each worker reads its part of them in place. ``folder`` keeps what
    ``worker.save`` saves, and what the workers print: the same call goes on from there;
    so does the gang by itself when a worker is lost, ``restarts`` times. ``on_report`` hears what
    ``worker.report`` tells, ``on_print`` each printed line.
    Raises SlotsError, WorkerError with the first failed worker's traceback, DeadlineError, and SettingsError.

    >>> gang(lambda worker: worker.rank, workers=1)
    [0]
    """
    place = engine_of(engine)
    count = _counted(fn, workers, place)
    if checked(elastic, count) is not None:
        require("torch", "elastic=")  # by which the workers agree when to begin anew
    rows = None if table is None else table if isinstance(table, Table) else read(table)
    data = None if rows is None else rows.fingerprint()
    name = stable_key(getattr(fn, "__qualname__", ""), code_key(fn), data, elastic or count, seed)
    kept = Path(folder) if folder is not None else settings.home() / "gangs" / name
    parts, fed = _handed(rows, count if elastic is None else 2 * elastic[1], place)
    task = Task(fn, parts, kept.absolute(), seed, settings.device())

    def listen(rank: int, told: Any) -> None:
        if on_report is not None and not isinstance(told, Lost | Grown):
            on_report(rank, told)

    job = Gang(
        task,
        count,
        elastic=elastic,
        restarts=restarts,
        deadline_s=deadline_s,
        listen=listen,
        logs=kept / "logs",
        folder=kept,
        rows=fed,
        warm=WARM if available("torch") else (),
    )
    plan = place.plan(job)
    with followed(kept / "logs", most(job), on_print) if on_print is not None else nullcontext():
        returned: list[Any] = place.submit(plan).result()
    if folder is None:
        shutil.rmtree(kept, ignore_errors=True)
    return returned


def _counted(fn: object, workers: object, engine: Engine) -> int:
    if not callable(fn):
        raise SettingsError(
            f"{fn!r:.80} is no function.", hint="Give a function of one argument, the worker."
        )
    if workers == "auto":
        return max(1, engine.slots().free)
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise SettingsError(f"workers is {workers!r}; it is a whole number of at least 1, or 'auto'.")
    return workers


def _handed(rows: Table | None, parts: int, engine: Engine) -> tuple[list[Table] | Table | None, list[Any]]:
    """What the workers read, each its part, or make of what the engine feeds them; and what it feeds."""
    if rows is None:
        return None, []
    pipeline = fed_by(engine, rows)
    if pipeline is not None:
        fed = fed_of(pipeline, pipeline.schema.names)
        return template(pipeline, fed, 0), [fed]
    return deal(read(rows.to_arrow()) if isinstance(rows.source, CLUSTERED) else rows, parts), []


@dataclass(frozen=True)
class Task:
    """What a worker of the gang does."""

    fn: Callable[[Worker], Any]
    parts: list[Table] | Table | None
    folder: Path
    seed: int
    device: str

    def __call__(self, member: Member) -> Any:
        """Run inside a worker."""
        with ExitStack() as stack:
            device = "cpu"
            meet: Callable[[], object] = _alone
            agree: Callable[[bool], bool] = bool
            if available("torch"):
                from orrery.training.exchange.group import agreed, device_of, joined

                device = device_of(self.device, member.local_rank)
                if member.meeting:
                    from torch import distributed

                    stack.enter_context(joined(member.meeting, member.rank, member.size, device))
                    meet = distributed.barrier
                    agree = agreed
            rows = None if self.parts is None else _all_rows(self.parts, member, meet)
            worker = Worker(member, device, member.folder or self.folder, rows, self.seed, agree)
            try:
                return self.fn(worker)
            except Growing:
                return Again()


def _alone() -> None:
    """There is nobody to wait for."""


def _all_rows(parts: list[Table] | Table, member: Member, meet: Callable[[], object]) -> Rows:
    """All rows, of which this worker reads its part; they lie beside each other on disk, mapped by all.

    Rows that the cluster fed are put in the order of what they hold, see :mod:`orrery.training.pushed`.
    """
    dealt = isinstance(parts, list)
    own = own_part(parts, member.rank, member.size) if isinstance(parts, list) else handed(parts, member)
    if member.scratch is None:
        return Rows(own.to_arrow())
    path = member.scratch / f"rows-{member.rank}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, own.empty().schema) as writer:
        for batch in own.batches():
            writer.write_batch(batch)
    stream = np.memmap(path, np.uint8, "r")
    arrays = {"rows": stream, "lengths": np.array([len(stream)])}
    together = share(
        arrays, member.rank, member.size, member.scratch / "rows", meet, member.places, traffic=None
    )
    path.unlink()
    tables, at = [], 0
    for length in together["lengths"].tolist():
        with pa.ipc.open_stream(pa.py_buffer(together["rows"][at : at + length])) as reader:
            tables.append(reader.read_all())
        at += length
    found = pa.concat_tables(tables)
    return Rows(found if dealt else found.take(np.argsort(_hashes(found), kind="stable")))


def _hashes(rows: Any) -> Any:
    names = rows.schema.names
    return np.concatenate([np.zeros(0, np.uint64), *(row_hashes(b, names) for b in rows.to_batches())])
