"""A Spark session for the tests: three threads of one JVM, on loopback, without its page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

_SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.log.level": "ERROR",
}


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """One session for all tests. Without Java they are skipped, by name. No JVM is left."""
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        if os.environ.get("ORRERY_REQUIRE_SERVERS") == "1":
            pytest.fail("Spark is required here, and there is no Java")
        pytest.skip("Spark needs Java, which is not installed")
    folder = tempfile.mkdtemp(prefix="orrery-spark-")
    before = dict(os.environ)
    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PySpark remarks on the release of pandas
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[3]").appName("orrery-tests")
        for name, value in _SETTINGS.items():
            builder = builder.config(name, value)
        builder = builder.config("spark.sql.warehouse.dir", f"{folder}/warehouse")
        session = builder.config("spark.local.dir", f"{folder}/local").getOrCreate()
    try:
        yield session
    finally:
        gateway = session.sparkContext._gateway
        session.stop()
        gateway.shutdown()
        process: subprocess.Popen[bytes] | None = getattr(gateway, "proc", None)
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()  # which the JVM waits for
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)
