"""Observers that show a run and keep its curves: bars in the terminal, JSON lines, TensorBoard files."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orrery import settings
from orrery.extras import require
from orrery.training.events import Checkpoint, Ended, Epoch, Event, Observer, Started, Step


class Bars:
    """A bar with the loss and the time left, and a line for each epoch that is the best so far.

    >>> bars = Bars(Console(width=80))
    >>> bars(Started("network", rows=100, steps=2))
    >>> bars(Ended("finished", 2))
    network: finished after 2 steps
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._progress: Progress | None = None
        self._task: Any = None
        self._learner = ""

    def __call__(self, event: Event) -> Literal["stop"] | None:
        """Show one event; never stops the run."""
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Step) and self._progress is not None:
            told = f"loss {event.loss:.4f}"
            self._progress.update(self._task, completed=event.step, description=f"{self._learner} {told}")
        elif isinstance(event, Epoch) and event.best:
            metrics = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            self._print(f"{self._learner} epoch {event.epoch}: {metrics}")
        elif isinstance(event, Ended):
            self.close()
            steps = f" after {event.steps} steps" if event.steps else ""
            self._print(f"{self._learner}: {event.reason}{steps}")
        return None

    def _start(self, event: Started) -> None:
        self.close()
        self._learner = event.learner
        if not self.console.is_terminal:
            return  # a log gets lines only: no bars, which would be thousands of them
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self.console, transient=True, refresh_per_second=8)
        self._task = self._progress.add_task(
            event.learner, total=event.steps or None, completed=event.resumed_at_step
        )
        self._progress.start()

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False)

    def close(self) -> None:
        """Take the bar away; also after an error, so that the terminal is left as it was."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def bars(show: bool | None = None) -> Observer | None:
    """The terminal observer, or nothing: as asked, else as ``ORRERY_PROGRESS`` says, else if a terminal."""
    wanted = show if show is not None else settings.progress()
    console = Console()
    return Bars(console) if (console.is_terminal if wanted is None else wanted) else None


class JsonLines:
    """Each event as one line of a file, with the time: curves that any tool reads. A resumed run goes on.

    >>> watch = JsonLines("curves.jsonl")
    >>> watch(Epoch(1, {"train/loss": 0.5}))
    >>> json.loads(Path("curves.jsonl").read_text())["metrics"]
    {'train/loss': 0.5}
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __call__(self, event: Event) -> Literal["stop"] | None:
        """Append one event."""
        values = {"event": type(event).__name__.lower(), "time": time.time(), **vars(event)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, default=dict) + "\n")
        return None


class TensorBoard:
    """Loss, learning rate and metrics as files that TensorBoard reads."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writer: Any = None
        self._step = 0

    def __call__(self, event: Event) -> Literal["stop"] | None:
        """Write one event; ``Ended`` closes the file."""
        if self._writer is None:
            self._writer = require("tensorboardX", "Writing TensorBoard files").SummaryWriter(
                str(self.folder)
            )
        if isinstance(event, Step):
            self._step = event.step
            self._writer.add_scalar("train/step_loss", event.loss, event.step)
            self._writer.add_scalar("train/learning_rate", event.learning_rate, event.step)
        elif isinstance(event, Epoch):
            for name, value in event.metrics.items():
                self._writer.add_scalar(name, value, self._step)
        elif isinstance(event, Checkpoint):
            self._writer.flush()
        elif isinstance(event, Ended):
            self.close()
        return None

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
