"""A stand-in for MongoDB on this machine: ``python standin.py`` starts one, and Ctrl-C ends it.

It speaks MongoDB's wire protocol and keeps everything in memory; it is not MongoDB, and is here so that the
example and the tests run where no MongoDB does. It is mongo-java-server (from Maven) behind the launcher in
``standin/``; it needs Java 17 or newer, and Maven the first time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VERSION = "1.47.0"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
HERE = Path(__file__).resolve().parent / "standin"
_START_S = 120


class CannotStartError(Exception):
    """The stand-in cannot run here; says why."""


def fetch() -> Path:
    """The folder of the stand-in's program, fetched and built the first time. Raises CannotStartError.

    It is built beside its place and renamed when complete, so a folder that is there is whole.
    """
    cache = os.environ.get("ORRERY_CACHE") or Path.home() / ".cache" / "orrery"
    folder = Path(cache) / "servers" / f"mongodb-stand-in-{VERSION}"
    for program in ("java", "javac", *(() if folder.is_dir() else ("mvn",))):
        if shutil.which(program) is None:
            raise CannotStartError(f"The stand-in for MongoDB needs {program}, which is not installed.")
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                _build(beside)
                beside.rename(folder)
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    return folder


def _build(folder: Path) -> None:
    """The jars that ``pom.xml`` names, and the launcher compiled against them."""
    copy = ["mvn", "-B", "-q", "-U", "-f", str(HERE / "pom.xml"), f"{PLUGIN}:copy-dependencies"]
    compile_ = ["javac", "-cp", f"{folder}/*", "-d", str(folder), str(HERE / "StandIn.java")]
    for command in ([*copy, f"-DoutputDirectory={folder}"], compile_):
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise CannotStartError(f"{command[0]} could not make the stand-in for MongoDB:\n{said}")


@contextmanager
def running() -> Iterator[str]:
    """A stand-in for as long as the block runs: its address. Nothing is left of it."""
    program = fetch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    tied = [setpriv, "--pdeathsig", "KILL", "--"] if (setpriv := shutil.which("setpriv")) else []
    java = ["java", "-Xmx1g", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{program}/*:{program}"]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*tied, *java, "StandIn", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(port, server, log)
            yield f"mongodb://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # all is in memory, and SIGTERM takes 2 s
            server.wait()


def _wait(port: int, server: subprocess.Popen[bytes], log: Any) -> None:
    """Until it answers a client."""
    import pymongo

    deadline = time.monotonic() + _START_S
    while True:
        try:
            with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=200) as client:
                client.admin.command("ping")
            return
        except pymongo.errors.PyMongoError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                said = log.read().decode(errors="replace")[-2000:]
                raise CannotStartError(f"The stand-in for MongoDB did not start: {error}\n{said}") from None


if __name__ == "__main__":
    with running() as address:
        print(f"A stand-in for MongoDB (all in memory): {address}")
        try:
            signal.pause()
        except KeyboardInterrupt:
            sys.exit(0)
