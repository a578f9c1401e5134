"""The loader: a table as shuffled batches, in one order, from any batch on."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self
from weakref import ReferenceType, WeakSet, ref

from orrery.data.loader import quality
from orrery.data.loader.arena import Arena, Buffers
from orrery.data.loader.opening import opened
from orrery.data.loader.order import VERSION
from orrery.data.loader.quality import Quality
from orrery.data.loader.run import Plan, Run
from orrery.data.loader.settings import Settings
from orrery.errors import SettingsError, SourceError
from orrery.spec import stable_key

if TYPE_CHECKING:
    from orrery.data.loader.dataset import Dataset
    from orrery.data.table import Table

_ORDERING = ("batch_size", "shuffle", "drop_last")
"""Settings that decide the order, and must be the same when a loader goes on."""


class Loader:
    """Batches of a table; one iteration is one epoch. Usable where a torch ``DataLoader`` is.

    One can also stand inside of one: ``DataLoader(loader, batch_size=None)``.
    The order is a function of data, seed, epoch, batch size and buffer; not of workers, threads or time.
    ``state_dict`` after any batch is enough to go on at the next, also with another number of workers.
    ``epoch`` is the number of the epoch that runs, or of the next one.

    >>> from orrery.data.table import read
    >>> loader = read({"a": list(range(10))}).loader(4, form="numpy", seed=1)
    >>> len(loader), sorted(int(n) for batch in loader for n in batch["a"])
    (3, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    num_workers = 0
    """As torch counts them: processes. There are none."""
    pin_memory = False
    persistent_workers = False
    timeout = 0
    sampler = batch_sampler = collate_fn = generator = worker_init_fn = prefetch_factor = None
    """What a ``DataLoader`` may be asked for, and a loader has no use for."""

    def __init__(self, table: Table, settings: Settings) -> None:
        self._table = table
        self.settings = settings
        self.epoch = 0
        self._batch = 0
        self._begun = False  # whether a batch of this epoch was given, since the last state was loaded
        self._running: ReferenceType[Iteration] | None = None
        self._arena: Arena | None = None
        self._buffers = Buffers(settings.prefetch_bytes)
        _make_known()

    @cached_property
    def dataset(self) -> Dataset:
        """The table; its ``len`` is the number of rows."""
        from orrery.data.loader.dataset import Dataset  # which is a table, and a table knows loaders

        return Dataset(self._table, lambda: sum(self._plan.order.rows))

    @property
    def batch_size(self) -> int:
        """Rows of a global batch: those of all workers together."""
        return self.settings.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether a short last batch is left out."""
        return self.settings.drop_last

    @cached_property
    def _plan(self) -> Plan:
        return opened(self._table, self.settings)

    def __len__(self) -> int:
        return self._plan.order.batches

    def __iter__(self) -> Iterator[Any]:
        """A whole epoch; after ``load_state_dict`` its rest. One runs at a time: an older one is given up.

        An epoch given up after a batch counts as begun: this is the next one. An iterator that was given up
        raises SettingsError when it is asked again. Raises SourceError with file and row group as soon as a
        row cannot be read.
        """
        _refuse_workers()
        self._give_up("Another iteration of this loader has begun, which ended this one.")
        if self._begun:
            self.epoch, self._batch, self._begun = self.epoch + 1, 0, False
        running = Iteration(self._epoch())
        _ITERATED.add(self)
        self._running = ref(running)  # held by whoever iterates: dropped by them, it ends at once
        return running

    def _epoch(self) -> Generator[Any, None, None]:
        plan, arena = self._plan, self._arena
        if arena is None or arena.rows < plan.arena_rows:
            arena = Arena(plan.layout.dense, plan.arena_rows)
        self._arena = None
        run = Run(plan, arena, self._buffers, self.epoch, self._batch)
        whole = False
        try:
            for batch in run:
                self._batch, self._begun = self._batch + 1, True
                yield batch
            whole = True
        finally:
            if run.close():  # else a thread may still write there
                arena.clear()
                self._arena = arena
            if whole:
                self.epoch, self._batch, self._begun = self.epoch + 1, 0, False

    def set_epoch(self, epoch: int) -> None:
        """Begin that epoch, at its first batch, with the next iteration."""
        self._stop()
        self.epoch, self._batch, self._begun = epoch, 0, False

    def state_dict(self) -> dict[str, Any]:
        """Where the next batch is: plain values, under 1 KB. Equal on all workers.

        Of an epoch that was given up it is still the place where that stood, until another begins.
        """
        order, chosen = self._plan.order, self.settings
        return {
            "version": VERSION,
            **{name: getattr(chosen, name) for name in _ORDERING},
            "seed": order.seed,
            "epoch": self.epoch,
            "batch": self._batch,
            "lanes": order.lanes,
            "hold": order.hold,
            "fingerprint": self._fingerprint,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another loader of the same rows stood; any number of workers, threads, any buffer.

        Raises SettingsError where the state is of another order, SourceError where the rows have changed.
        """
        if state.get("version") != VERSION:
            raise SettingsError(f"The state is of version {state.get('version')!r}, not {VERSION}.")
        for name in _ORDERING:
            if state.get(name) != getattr(self.settings, name):
                raise SettingsError(
                    f"The state is of a loader with {name}={state.get(name)!r}, "
                    f"this one has {getattr(self.settings, name)!r}.",
                    hint="The rest of an epoch is only the same in the same order.",
                )
        if state["fingerprint"] != self._fingerprint:
            raise SourceError(
                "The rows are not those that the state was taken from: their fingerprint differs.",
                hint="Begin a new epoch: make the loader without load_state_dict.",
            )
        if not (state["epoch"] >= 0 and 0 <= state["batch"] <= self._plan.order.batches):
            raise SettingsError(f"There is no batch {state['batch']} in epoch {state['epoch']}.")
        self._stop()
        order = replace(self._plan.order, seed=state["seed"], lanes=state["lanes"], hold=state["hold"])
        self.__dict__["_plan"] = replace(self._plan, order=order)
        self.epoch, self._batch, self._begun = int(state["epoch"]), int(state["batch"]), False

    @cached_property
    def _fingerprint(self) -> str:
        return stable_key(self._table.fingerprint(), list(self._plan.order.rows))

    def quality(self) -> Quality:
        """E, the row groups that are mixed in a batch, by arithmetic: nothing is read."""
        return quality.expected(self._plan.order, self.epoch, self._plan.groups.origin)

    def close(self) -> None:
        """Stop at once: no thread and no file is left. The loader may be iterated again."""
        self._stop()
        if "_plan" in self.__dict__:
            self._plan.groups.drop()

    def _stop(self) -> None:
        """End the iteration that runs, and keep what the next will use."""
        self._give_up("The loader was closed, which ended this iteration.")
        if "_plan" in self.__dict__:
            self._plan.groups.close()  # what was opened to count rows

    def _give_up(self, why: str) -> None:
        running = self._running() if self._running is not None else None
        if running is not None:
            running.close(why)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        raise _no_workers()  # a pickle of a loader is asked for by a DataLoader that starts processes

    def __repr__(self) -> str:
        return f"Loader({self._table!r}, batch_size={self.batch_size}, epoch={self.epoch})"


def _make_known() -> None:
    """Let torch's ``DataLoader`` take loaders for what they are, where it is in use."""
    data = sys.modules.get("torch.utils.data")
    if data is not None:
        data.IterableDataset.register(Loader)


def _refuse_workers() -> None:
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None:  # each would give every batch
        raise _no_workers()


def _no_workers() -> SettingsError:
    return SettingsError(
        "A loader works in threads, and not in the processes of a DataLoader.",
        hint="DataLoader(loader, batch_size=None, num_workers=0); or iterate the loader itself.",
    )


class Iteration(Iterator[Any]):
    """The batches of one iteration; given up before its end, it says so rather than seem to be at its end."""

    def __init__(self, running: Generator[Any, None, None]) -> None:
        self._running = running
        self._ended = False
        self._why = ""

    def __next__(self) -> Any:
        if self._why:
            raise SettingsError(
                self._why, hint="Begin again: for batch in loader; or make a loader for each."
            )
        try:
            return next(self._running)
        except StopIteration:
            self._ended = True
            raise
        except BaseException:
            self._why = "This iteration ended with an error."
            raise

    def close(self, why: str = "This iteration was closed.") -> None:
        """Stop; asked again it tells why, unless it had come to its end."""
        self._running.close()
        self._why = self._why or ("" if self._ended else why)


_ITERATED: WeakSet[Loader] = WeakSet()


@atexit.register
def _close_all() -> None:
    """Before the interpreter goes: threads would outlive what they use."""
    for loader in list(_ITERATED):
        loader.close()
