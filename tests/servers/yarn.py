"""YARN for the tests: a resource manager and a node manager in one Java program on loopback."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.servers import cache, maven, programs

_QUICK = ("-Xmx512m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_SOURCE = Path(__file__).with_name("MiniYarn.java")
_START_S = 300.0


@dataclass(frozen=True)
class Yarn:
    """A running cluster with room for an application of two executors."""

    folder: Path

    def variables(self) -> dict[str, str]:
        """What a user's environment holds: where the cluster is, and how Spark uses it."""
        conf = str(self.folder / "conf")
        return {
            "HADOOP_CONF_DIR": conf,
            "YARN_CONF_DIR": conf,
            "SPARK_CONF_DIR": conf,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
        }


def _spark_settings(folder: Path) -> dict[str, str]:
    import pyspark

    home = Path(pyspark.__file__).parent
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "768m",
        "spark.executor.instances": "2",
        "spark.executor.memory": "512m",
        "spark.yarn.am.memory": "512m",
        "spark.yarn.jars": f"local:{home}/jars/*",  # else each application uploads them
        "spark.yarn.stagingDir": f"file://{folder}/staging",
        "spark.local.dir": f"{folder}/local",
        "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": "127.0.0.1",
        "spark.executorEnv.SPARK_LOCAL_IP": "127.0.0.1",
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.default.parallelism": "2",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
    }


def fetch() -> None:
    """The programs, from Maven. Raises MissingServerError."""
    try:
        import pyspark  # noqa: F401
    except ImportError:
        raise cache.MissingServerError("YARN is for Spark, and pyspark is not installed") from None
    if not shutil.which("javac"):
        raise cache.MissingServerError("YARN needs a JDK: javac is not installed")
    maven.fetch("hadoop")


@contextmanager
def running() -> Iterator[Yarn]:
    """A cluster for as long as the block runs; nothing is left of it."""
    jars = maven.classpath("hadoop")
    folder = Path(tempfile.mkdtemp(prefix="orrery-yarn-"))
    conf = folder / "conf"
    for each in ("conf", "tmp", "staging", "local"):
        (folder / each).mkdir()
    settings = (f"{name} {value}\n" for name, value in _spark_settings(folder).items())
    (conf / "spark-defaults.conf").write_text("".join(settings))
    places = {"test.build.data": "data", "test.build.dir": "data", "hadoop.log.dir": "logs"}
    places |= {"java.io.tmpdir": "tmp", "yarn.log.dir": "logs"}
    java = ["java", *_QUICK, *(f"-D{name}={folder}/{place}" for name, place in places.items())]
    program = programs.start(
        [*java, "-cp", jars, str(_SOURCE), str(conf), *map(str, programs.free_ports(5))], folder
    )
    try:
        programs.wait_until((conf / "yarn-site.xml").read_bytes, program, folder, _START_S)
        yield Yarn(folder)
    finally:
        programs.stop(program, gently_s=30)  # it ends the containers, which have process groups of their own
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def yarn() -> Iterator[Yarn]:
    """One cluster for the tests that ask for it. Where it cannot be had they are skipped, by name."""
    try:
        fetch()
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as server:
        yield server
