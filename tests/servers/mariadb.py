"""A MariaDB server for the tests: installed on the machine, or unpacked from the distribution's packages.

The packages are only downloaded and unpacked into the cache: nothing is installed, and no service starts.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import cache, programs

_SQL = ("mysql_system_tables", "mysql_performance_tables", "mysql_system_tables_data")


@dataclass
class MariaDb:
    """A running server with an empty database ``test``."""

    root: Path
    folder: Path
    port: int
    password: str
    program: programs.Program | None = None

    @property
    def url(self) -> str:
        """Its address, with the password."""
        return f"mysql://test:{self.password}@127.0.0.1:{self.port}/test"

    def connect(self) -> Any:
        """An independent client, which commits each statement."""
        import pymysql

        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="test",
            password=self.password,
            database="test",
            charset="utf8mb4",
            autocommit=True,
        )

    def start(self) -> None:
        """Start it; returns when it answers."""
        files = [f"--pid-file={self.folder}/pid", f"--socket={self.folder}/socket"]
        network = ["--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve"]
        quick = ["--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"]
        command = [*self._command(), *files, *network, *quick]
        self.program = programs.start(command, self.folder, _environment(self.root))
        programs.wait_until(lambda: self.connect().close(), self.program, self.folder, 60)

    def stop(self) -> None:
        """End it at once, as a crash would."""
        if self.program is not None:
            programs.stop(self.program, gently_s=0)

    def prepare(self) -> None:
        """The system's own tables, an empty database and its user."""
        (self.folder / "data").mkdir()
        shared = self.root / "share" / "mysql"
        system = "".join((shared / f"{name}.sql").read_text() for name in _SQL)
        user = f"'test'@'127.0.0.1' identified by '{self.password}'"
        own = f"create database test character set utf8mb4;\ngrant all on *.* to {user};\n"
        asked = subprocess.run(
            [*self._command(), "--bootstrap", "--skip-networking"],
            input=f"create database mysql;\nuse mysql;\n{system}\nflush privileges;\n{own}",
            env={**os.environ, **_environment(self.root)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        if asked.returncode != 0:
            raise RuntimeError(f"mariadbd --bootstrap failed: {asked.stderr[-2000:]}")

    def _command(self) -> list[str]:
        user = pwd.getpwuid(os.geteuid()).pw_name
        places = [f"--basedir={self.root}", f"--lc-messages-dir={self.root}/share/mysql"]
        data = [f"--datadir={self.folder}/data", f"--tmpdir={self.folder}"]
        return [str(_program(self.root)), "--no-defaults", f"--user={user}", *places, *data]


def installed() -> Path | None:
    """The folder above the server's programs where it is here; None where it is not."""
    for root in (Path("/usr"), Path("/usr/local"), cache.folder("mariadb") / "usr"):
        if _program(root).exists() and (root / "share" / "mysql").is_dir():
            return root
    return None


def fetch() -> Path:
    """Have the server's programs here. Raises MissingServerError where they cannot be had."""
    return installed() or cache.built("mariadb", _unpack) / "usr"


@contextmanager
def running() -> Iterator[MariaDb]:
    """A server for as long as the block runs; nothing is left of it."""
    root = fetch()
    folder = Path(tempfile.mkdtemp(prefix="orrery-maria-", dir="/tmp"))
    server = MariaDb(root, folder, programs.free_ports(1)[0], secrets.token_hex(8))
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _program(root: Path) -> Path:
    return root / "sbin" / "mariadbd"


def _unpack(folder: Path) -> None:
    """Download the packages as any user may, and unpack them."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise cache.MissingServerError("MariaDB is not installed, and there is no apt-get to have it from")
    packages = cache.pins()["mariadb"]["debian"]
    with tempfile.TemporaryDirectory(prefix="orrery-deb-") as scratch:
        Path(scratch).chmod(0o755)
        download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
        if _run(download, scratch) != 0:
            _run(["apt-get", "-q", "update"], scratch)  # the lists of packages may be old
            if _run(download, scratch) != 0:
                raise cache.MissingServerError("MariaDB is not installed, and its packages cannot be had")
        for file in sorted(Path(scratch).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(file), str(folder)], check=True, timeout=120)
    if not _program(folder / "usr").exists():
        raise cache.MissingServerError("the distribution's packages of MariaDB hold no mariadbd")


def _run(command: list[str], folder: str) -> int:
    quiet = subprocess.DEVNULL
    return subprocess.call(command, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet, timeout=300)


def _environment(root: Path) -> dict[str, str]:
    """Where unpacked libraries lie."""
    if root.parent in (Path("/"), Path("/usr")):
        return {}
    found = sorted({str(path.parent) for path in root.parent.glob("**/lib*.so.*")})
    return {"LD_LIBRARY_PATH": ":".join([*found, os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")}


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """One server for all tests of a session. Where it cannot be had they are skipped, by name."""
    try:
        fetch()
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as server:
        yield server
