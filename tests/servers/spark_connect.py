"""A Spark Connect server for the tests: a program of its own on loopback, which clients reach over gRPC."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.servers import cache, programs

_MAIN = "org.apache.spark.sql.connect.service.SparkConnectServer"
_SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.log.level": "ERROR",
    "spark.connect.grpc.binding.address": "127.0.0.1",
}


def fetch() -> None:
    """Nothing to fetch: PySpark brings the server. Raises MissingServerError without Java or PySpark."""
    try:
        import grpc_status  # noqa: F401
        import pyspark  # noqa: F401
    except ImportError as error:
        raise cache.MissingServerError(f"Spark Connect needs {error.name}, which is not installed") from None
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise cache.MissingServerError("Spark Connect needs Java, which is not installed")


@contextmanager
def running() -> Iterator[str]:
    """The address of a server for as long as the block runs; nothing is left of it."""
    import pyspark

    home = Path(pyspark.__file__).parent
    folder = Path(tempfile.mkdtemp(prefix="orrery-connect-"))
    (port,) = programs.free_ports(1)
    own = {
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.local.dir": f"{folder}/local",
    }
    settings = [
        word for name, value in {**_SETTINGS, **own}.items() for word in ("--conf", f"{name}={value}")
    ]
    submit = [str(home / "bin" / "spark-submit"), "--master", "local[3]", "--class", _MAIN]
    env = {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    address = f"sc://127.0.0.1:{port}"
    program = programs.start([*submit, *settings, "spark-internal"], folder, env)
    try:
        programs.wait_until(lambda: _ask(port), program, folder)
        yield address
    finally:
        programs.stop(program)
        shutil.rmtree(folder, ignore_errors=True)


def _ask(port: int) -> None:
    """Raises while nobody answers."""
    import socket

    socket.create_connection(("127.0.0.1", port), timeout=1).close()


@pytest.fixture(scope="session")
def spark_connect() -> Iterator[Any]:
    """One session of Connect for all tests. Where it cannot be had they are skipped, by name."""
    try:
        fetch()
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as address:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PySpark remarks on the release of pandas
            from pyspark.sql.connect.session import SparkSession

            session = SparkSession.builder.remote(address).create()
        try:
            assert session.range(3).count() == 3
            yield session
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                session.stop()
