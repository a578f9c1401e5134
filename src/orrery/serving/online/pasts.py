"""What happened before the rows of a request: looked up once, for every version that may answer them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from orrery.data.windows import Windows
from orrery.estimators.signature import Signature
from orrery.serving.lineup import Live
from orrery.serving.online.question import Question
from orrery.serving.past import PastStore
from orrery.serving.runner import Columns


class Pasts:
    """The past of each model that is asked, on a thread of its own: a slow disk holds up nobody else."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._stores: dict[str, PastStore] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="orrery-past")

    async def seen(self, name: str, lives: Iterable[Live], question: Question) -> Question:
        """The question with the windows that any of the versions reads; its rows count for those to come.

        Rows that are not to be recorded do not count. Raises BadRowError, ServingError.
        """
        wanted: dict[Windows, Signature] = {}
        for live in lives:
            signature = live.runner.signature
            if signature.windows is not None:
                wanted.setdefault(signature.windows, signature)
        if not wanted:
            return question
        asked = [(windows, _columns(question, signature)) for windows, signature in wanted.items()]
        store = self._stores.setdefault(name, PastStore(name, self.home))
        look = partial(store.observe_all, asked, len(question.ids), keep=question.record)
        found = await asyncio.get_running_loop().run_in_executor(self._thread, look)
        return replace(question, past=dict(zip(wanted, found, strict=True)))

    def close(self) -> None:
        """End the thread after what it was asked, and close the files."""
        self._thread.shutdown()
        for store in self._stores.values():
            store.close()


def _columns(question: Question, signature: Signature) -> Columns:
    """The columns of a question as a version reads them."""
    if question.again is not None and any(n not in question.columns for n in signature.inputs.names):
        return question.again(signature)
    signature.check(question.columns)
    return question.columns
