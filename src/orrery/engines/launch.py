"""Programs that people already have, as a gang: a PyTorch or TensorFlow script, or any command, unchanged.

Each worker runs the command once, with the variables by which ``torchrun`` tells a script its place
(RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT …), and TensorFlow's TF_CONFIG.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orrery.engines.engine import Engine, Member
from orrery.engines.job import Gang
from orrery.engines.logs import followed
from orrery.errors import ScriptNotFoundError, SettingsError, WorkerError


@dataclass(frozen=True)
class Command:
    """What one worker runs; ``ports``: one to meet at, then one for each worker."""

    words: tuple[str, ...]
    ports: tuple[int, ...]

    def __call__(self, member: Member) -> int:
        """Run inside a worker."""
        # A process of its own: the script may set up what it likes, and finds a fresh interpreter.
        done = subprocess.run(self.words, env={**os.environ, **variables(member, self.ports)}, check=False)
        if done.returncode:
            raise WorkerError(
                f"Worker {member.rank} of {member.size} on {member.host or socket.gethostname()}: "
                f"{' '.join(self.words)!r:.200} ended with exit code {done.returncode}.",
                hint="What it printed says why.",
            )
        return done.returncode


def variables(member: Member, ports: Sequence[int]) -> dict[str, str]:
    """What a script is told of its place.

    >>> variables(Member(rank=1, size=2), (4000, 4001, 4002))["TF_CONFIG"]
    '{"cluster": {"worker": ["127.0.0.1:4001", "127.0.0.1:4002"]}, "task": {"type": "worker", "index": 1}}'
    """
    places = list(member.addresses) or [f"127.0.0.1:{port}" for port in ports[1:]]
    cluster = {"cluster": {"worker": places}, "task": {"type": "worker", "index": member.rank}}
    host, port = "127.0.0.1", str(ports[0])
    if member.meeting.startswith("tcp://"):  # on a cluster: where the first worker is
        host, _, port = member.meeting.removeprefix("tcp://").rpartition(":")
    neighbours = member.places.count(member.places[member.rank]) if member.places else member.size
    return {
        "RANK": str(member.rank),
        "LOCAL_RANK": str(member.local_rank),
        "GROUP_RANK": str(member.places[member.rank] if member.places else 0),
        "WORLD_SIZE": str(member.size),
        "LOCAL_WORLD_SIZE": str(neighbours),
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
        "TORCHELASTIC_RUN_ID": "orrery",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "TF_CONFIG": json.dumps(cluster),
    }


def launch(
    command: Sequence[str],
    *,
    engine: Engine,
    workers: int,
    logs: Path,
    show: Callable[[int, str], object],
    deadline_s: float | None = None,
) -> None:
    """Run a command as a gang; ``show`` gets each line that a worker prints. Raises WorkerError."""
    if not command:
        raise SettingsError("There is no command to launch.", hint="orrery launch --workers 2 train.py")
    if command[0].endswith(".py") and not Path(command[0]).is_file():
        raise ScriptNotFoundError(
            f"There is no file {command[0]}.", hint="Name the script as it is seen from this folder."
        )
    words = [sys.executable, *command] if command[0].endswith(".py") else list(command)
    gang = Gang(
        Command(tuple(words), tuple(free_ports(workers + 1))), workers, deadline_s=deadline_s, logs=logs
    )
    for old in logs.glob("rank-*.log"):
        old.unlink()
    with followed(logs, workers, show):
        engine.submit(engine.plan(gang)).result()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]
