"""A PostgreSQL server for the tests: the system's own programs, a scratch folder, a free port."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Server:
    """A running server with an empty database ``test``."""

    binaries: Path
    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """Its address, with the password."""
        return f"postgresql://test:{self.password}@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """End it at once, as a crash would."""
        data = str(self.folder / "data")
        _run(self.folder, [str(self.binaries / "pg_ctl"), "-D", data, "-m", "immediate", "stop"])

    def start(self) -> None:
        """Start it; returns when it answers."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off"
        ask = ["-D", str(self.folder / "data"), "-w", "-o", options, "-l", str(self.folder / "log"), "start"]
        _run(self.folder, [str(self.binaries / "pg_ctl"), *ask])


def binaries() -> Path | None:
    """Where the server's programs are; None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@contextmanager
def running() -> Iterator[Server]:
    """A server for as long as the block runs; nothing is left of it."""
    where = binaries()
    assert where is not None, "no PostgreSQL here"
    folder = Path(tempfile.mkdtemp(prefix="orrery-pg-", dir="/tmp"))
    server = Server(where, folder, _free_port(), secrets.token_hex(8))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        secret = folder / "password"
        secret.write_text(server.password)
        secret.chmod(0o644)
        asked = [
            "-U",
            "test",
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            "-N",
            "-E",
            "UTF8",
            "--no-instructions",
        ]
        _run(folder, [str(where / "initdb"), "-D", str(folder / "data"), *asked])
        server.start()
        try:
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(folder: Path, command: list[str]) -> None:
    """PostgreSQL refuses to run as root: its own user runs it then."""
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        pwd.getpwnam(user)
    with (folder / "said").open("w+") as said:  # a file: the server keeps a pipe open for ever
        code = subprocess.call(
            command,
            cwd=folder,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            timeout=60,
            env={"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]},
        )
        said.seek(0)
        if code != 0:
            raise RuntimeError(f"{command[0]} failed: {said.read()}")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """One server for all tests of a session. Without PostgreSQL they are skipped, by name."""
    if binaries() is None:
        if os.environ.get("ORRERY_REQUIRE_SERVERS") == "1":
            pytest.fail("PostgreSQL is required here, and is not installed")
        pytest.skip("PostgreSQL is not installed")
    with running() as server:
        yield server
