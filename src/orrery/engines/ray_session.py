"""Connections to Ray: the cluster that is there, one by its address, or a new one on this machine.

A process has one Ray at a time. What this program started ends with it; a cluster that was there stays.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orrery import settings
from orrery.data.passes import Cancelled, cores
from orrery.errors import EngineError, OrreryError, SettingsError
from orrery.extras import require

_WAIT_S = 5.0
_LONGEST = 30  # letters of a folder: Ray makes sockets below it, whose paths have 107 at most
_CLIENT = "ray://"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns of what it will do with GPUs
}
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # on every system: listen on loopback
_IS_NEW = (None, "local")
_connecting = threading.Lock()


class RayError(EngineError):
    """What Ray says of work of ours that it ended; ``lost``: a process or a machine went."""

    lost = False


def is_address(name: str) -> bool:
    """Whether a word is the address of a server of Ray.

    >>> is_address("ray://host:10001"), is_address("ray")
    (True, False)
    """
    return name.startswith(_CLIENT)


def connected(address: str | None) -> Any:
    """The package ``ray``, connected. Raises EngineError in seconds where nobody answers.

    Without an address: the connection that is there; else RAY_ADDRESS; else the cluster that ``ray start``
    made on this machine; else a new one here, which ends with this program.
    """
    with _connecting:
        place = address or os.environ.get("RAY_ADDRESS") or started_here()
        for name, value in (_QUIET | (_ALONE if place in _IS_NEW else {})).items():
            os.environ.setdefault(name, value)  # Ray reads them when it is imported
        ray = require("ray", "The engine 'ray'")
        if ray.is_initialized():
            _check_same(ray, address)
        elif place in _IS_NEW:
            _start(ray)
        else:
            if place != "auto":
                check_address(place)
            with speaking():
                ray.init(address=place, logging_level="ERROR", log_to_driver=False)
        return ray


def is_client(ray: Any) -> bool:
    """Whether calls go through a server of Ray's, and this process is no part of the cluster."""
    return bool(ray.util.client.ray.is_connected())


def started_here() -> str | None:
    """The address of the cluster that ``ray start`` made on this machine, where it still answers."""
    base = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    told = Path(base) / "ray" / "ray_current_cluster"  # where Ray writes it
    try:
        address = told.read_text().strip()
        check_address(address)
    except (OSError, EngineError):
        return None
    return address


def check_address(address: str) -> None:
    """Raises EngineError where nobody answers. Ray itself tries for half a minute."""
    host, _, port = address.removeprefix(_CLIENT).partition("?")[0].strip("/").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_WAIT_S).close()
    except (OSError, ValueError) as error:
        raise EngineError(
            f"No Ray answers at {address}: {error}.",
            hint="Start it; name ray://host:10001 from outside of the cluster, or set RAY_ADDRESS on one of "
            "its machines.",
        ) from None


def _check_same(ray: Any, address: str | None) -> None:
    if address is None:
        return
    client = ray.util.client.ray
    own = f"{_CLIENT}{client.get_context().client_worker._conn_str}" if is_client(ray) else _gcs(ray)
    if address != own:
        raise SettingsError(
            f"engine={address!r}, but this program is connected to a Ray at {own!r} already.",
            hint="Call ray.shutdown(), or say engine='ray' to use it.",
        )


def _gcs(ray: Any) -> str:
    return str(ray.get_runtime_context().gcs_address)


def _start(ray: Any) -> None:
    """A cluster of this machine alone."""
    _sweep()
    folder = _folder()
    try:
        with speaking():
            ray.init(
                address="local",
                num_cpus=settings.slots() or cores(),
                include_dashboard=False,
                logging_level="ERROR",
                log_to_driver=False,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(folder),
            )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    atexit.register(_end, ray, folder)


def _end(ray: Any, folder: Path) -> None:
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def _folder() -> Path:
    base = tempfile.gettempdir()
    place = base if len(base) <= _LONGEST else "/tmp"  # the name that follows is not to be guessed
    return Path(tempfile.mkdtemp(prefix=f"orrery-ray-{os.getpid()}-", dir=place))


def _sweep() -> None:
    """Folders of programs that were killed."""
    for base in {tempfile.gettempdir(), "/tmp"}:  # as in _folder
        for folder in Path(base).glob("orrery-ray-*-*"):
            pid = folder.name.split("-")[2]
            if pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


@contextmanager
def speaking() -> Iterator[None]:
    """What Ray says becomes EngineError; our own errors come as they were raised."""
    try:
        yield
    except (OrreryError, Cancelled):
        raise
    except Exception as error:
        raise told(error) from None


def told(error: BaseException) -> OrreryError:
    """One message, with what Ray says is the cause."""
    cause = error
    while (inner := getattr(cause, "cause", None)) is not None and inner is not cause:
        cause = inner
    if isinstance(cause, OrreryError):
        return cause
    text = str(error)
    if (missing := re.search(r"No module named '((?:orrery|pyarrow|cloudpickle)[\w.]*)'", text)) is not None:
        return RayError(
            f"The machines of Ray cannot import {missing.group(1)!r}.",
            hint="Install orrery-ml in their Python, or name it in the runtime_env of ray.init.",
        )
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()] or ["it says nothing"]
    said = lines[0] if len(lines) == 1 or not lines[0].endswith(":") else f"{lines[0]} {lines[-1]}"
    found = RayError(f"Ray: {type(cause).__name__}: {said:.500}")
    if isinstance(cause, ConnectionError):
        found.hint = _VERSIONS
    found.lost = bool(_LOST & {kind.__name__ for kind in type(error).__mro__})
    return found


_VERSIONS = (
    "This program needs the cluster's versions of Ray and Python; and where it asks for a token, "
    "RAY_AUTH_MODE=token with RAY_AUTH_TOKEN."
)
_LOST = {
    "WorkerCrashedError",
    "NodeDiedError",
    "ObjectLostError",
    "OutOfMemoryError",
    "LocalRayletDiedError",
    "TaskPlacementGroupRemoved",
}
