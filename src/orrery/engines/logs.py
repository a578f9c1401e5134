"""What the workers of a gang print: a file for each, and its lines as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_S = 0.1


class Logs:
    r"""The logs of a gang, read from where the last look ended.

    >>> folder = Path("logs")
    >>> folder.mkdir()
    >>> _ = (folder / "rank-1.log").write_text("one\ntw")
    >>> Logs(folder, workers=2).new()
    [(1, 'one')]
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.workers = workers
        self._read = [0] * workers

    def new(self, *, rest: bool = False) -> list[tuple[int, str]]:
        """Rank and line of all that is new; a line that is not ended yet only as the ``rest``."""
        found = []
        for rank in range(self.workers):
            path = self.folder / f"rank-{rank}.log"
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(self._read[rank])
                text = file.read()
            whole = text if rest else text[: text.rfind(b"\n") + 1]
            self._read[rank] += len(whole)
            found += [(rank, line) for line in whole.decode(errors="replace").splitlines()]
        return found


@contextmanager
def followed(folder: Path, workers: int, show: Callable[[int, str], object]) -> Iterator[None]:
    """Inside, ``show`` is called with the rank and each line that a worker prints, soon after it did."""
    logs, ended = Logs(folder, workers), threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            for rank, line in logs.new():
                show(rank, line)

    thread = threading.Thread(target=look, name="orrery-logs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for rank, line in logs.new(rest=True):
            show(rank, line)
