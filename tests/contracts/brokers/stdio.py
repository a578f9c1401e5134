"""A pipe of this process, in the place of standard input and output."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.contracts.brokers.bench import Sent

from orrery.serving.route import Route
from orrery.serving.stream.broker import Wiring
from orrery.serving.stream.form import form_of
from orrery.serving.stream.scorer import Scorer
from orrery.serving.stream.stdio import JsonLines, PipeInbox, PipeOutbox
from orrery.serving.stream.stdio_lines import Lines
from orrery.serving.stream.stream import Stream


class Stdio:
    """JSON lines in through a pipe, answers and dead letters to files."""

    source = to = "-"

    def __init__(self, ask: Callable[[str], Any]) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=ask("tmp_path")))
        self.read, self.write = os.pipe()
        self.out, self.err = ((self.folder / name).open("wb") for name in ("out", "err"))
        ask("request").addfinalizer(self._close)

    def _close(self) -> None:
        for fd in (self.read, self.write):
            os.close(fd)
        self.out.close()
        self.err.close()

    def put(self, messages: Sequence[Sent]) -> None:
        """A line each; it has no keys."""
        for message in messages:
            os.write(self.write, (message.value or b"") + b"\n")

    def answers(self) -> list[Sent]:
        """The lines that were written."""
        return [Sent(line) for line in (self.folder / "out").read_bytes().splitlines()]

    def dead(self) -> list[Sent]:
        """Those of the other file."""
        found = []
        for line in (self.folder / "err").read_bytes().splitlines():
            said = json.loads(line)
            headers = {f"orrery-{name}": str(said[name]).encode() for name in ("id", "reason", "model")}
            found.append(Sent(said["message"].encode(), None, headers))
        return found

    def stream(self, model: Any, **options: Any) -> Stream:
        """From its parts: the process has but one standard input."""
        route = Route(model).open()
        wiring = Wiring.from_dict(options)
        inbox = PipeInbox(self.read, Lines())
        outbox = PipeOutbox(self.out.fileno(), self.err.fileno(), JsonLines())
        made = Stream(Scorer(route, inbox, outbox, form_of(wiring, tagged=True), wiring), "pipe")
        made.start()
        return made

    def away(self) -> AbstractContextManager[None]:
        """It never is."""
        raise NotImplementedError
