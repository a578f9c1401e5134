"""HDFS for the tests: a name node and a data node in one Java program, spoken to over WebHDFS."""

from __future__ import annotations

import getpass
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.servers import cache, maven, programs

_QUICK = ("-Xmx768m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_MAIN = "org.apache.hadoop.mapreduce.MiniHadoopClusterManager"


@dataclass(frozen=True)
class Hadoop:
    """A running file system, empty at first. Its paths begin with ``/``."""

    port: int
    http: int

    @property
    def url(self) -> str:
        """Its address over HTTP."""
        return f"webhdfs://127.0.0.1:{self.http}"

    @property
    def hdfs(self) -> str:
        """Its address in Hadoop's own protocol, for programs that have a client of it (Spark)."""
        return f"hdfs://127.0.0.1:{self.port}"

    def variables(self) -> dict[str, str]:
        """What a user's environment may hold."""
        return {"WEBHDFS_URL": self.url, "HDFS_URL": self.hdfs}

    def system(self) -> Any:
        """An independent client."""
        import fsspec

        return fsspec.filesystem(
            "webhdfs", host="127.0.0.1", port=self.http, user=getpass.getuser(), skip_instance_cache=True
        )


def fetch() -> None:
    """The programs, from Maven."""
    maven.fetch("hadoop")


@contextmanager
def running() -> Iterator[Hadoop]:
    """A file system for as long as the block runs; nothing is left of it."""
    jars = maven.classpath("hadoop")
    folder = Path(tempfile.mkdtemp(prefix="orrery-hadoop-"))
    server = Hadoop(*programs.free_ports(2))
    places = {
        "test.build.data": "data",
        "test.build.dir": "data",
        "hadoop.log.dir": "logs",
        "java.io.tmpdir": "tmp",
    }
    (folder / "tmp").mkdir()
    java = ["java", *_QUICK, *(f"-D{name}={folder}/{place}" for name, place in places.items())]
    ports = ["-nnport", str(server.port), "-nnhttpport", str(server.http)]
    loose = ["-D", "dfs.permissions.enabled=false", "-D", "dfs.replication=1"]
    program = programs.start([*java, "-cp", jars, _MAIN, "-nomr", "-format", *ports, *loose], folder)
    try:
        programs.wait_until(lambda: server.system().pipe("/ready", b"yes"), program, folder)
        server.system().rm("/ready")
        yield server
    finally:
        programs.stop(program, gently_s=0)  # its data is thrown away
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def hadoop() -> Iterator[Hadoop]:
    """One file system for all tests of a session. Where it cannot be had they are skipped, by name."""
    try:
        fetch()
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as server:
        yield server
