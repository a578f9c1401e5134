"""OpenMP libraries that wait without spinning: many times quicker where cores are shared.

A spinning thread holds its core while another program's thread, which it waits for, cannot run. The
libraries read their environment when they are loaded, so this has to come first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from orrery.extras import require

_PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}  # GNU's and LLVM's names for it


@contextmanager
def passive() -> Iterator[None]:
    """Libraries loaded inside wait passively, unless the user decided otherwise; nothing is left behind."""
    added = [name for name in _PASSIVE if name not in os.environ]
    os.environ.update({name: _PASSIVE[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def load(module: str, purpose: str) -> ModuleType:
    """Import an optional package whose OpenMP is to wait passively. Raises MissingExtraError.

    >>> load("json", "reading JSON").__name__
    'json'
    """
    with passive():
        return require(module, purpose)


def threads() -> int:
    """How many threads to compute with: ``OMP_NUM_THREADS``, else the cores this process may use."""
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if told.isdigit() and int(told) > 0:
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
