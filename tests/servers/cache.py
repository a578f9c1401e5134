"""Where the programs of test servers are kept between runs, and how they come there: whole, and once."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest


class MissingServerError(Exception):
    """A server cannot be had on this machine; says why."""


def pins() -> dict[str, dict[str, Any]]:
    """The pinned versions, by server."""
    return tomllib.loads(Path(__file__).with_name("versions.toml").read_text())


def folder(name: str) -> Path:
    """Where a server's programs are, or will be: one folder per version, shared by all checkouts."""
    cache = os.environ.get("ORRERY_CACHE") or Path.home() / ".cache" / "orrery"
    return Path(cache) / "servers" / f"{name}-{pins()[name]['version']}"


def built(name: str, build: Callable[[Path], None]) -> Path:
    """The folder of a server's programs; ``build`` fills it if it is not there yet.

    It is filled under another name and renamed when complete, so a folder that exists is whole; of two
    processes that want it one builds and the other waits.
    """
    final = folder(name)
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with final.with_name(f".{final.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if final.is_dir():
            return final
        beside = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
        try:
            build(beside)
            beside.chmod(0o755)
            beside.rename(final)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return final


def skip(reason: object) -> NoReturn:
    """Skip the tests of a server that cannot be had; where all are required, fail."""
    if os.environ.get("ORRERY_REQUIRE_SERVERS") == "1":
        pytest.fail(f"A server is required here: {reason}")
    pytest.skip(str(reason))
