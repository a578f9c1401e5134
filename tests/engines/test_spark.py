"""The engine of Spark, in one JVM: passes, fits that equal those of this machine, and what can be wrong."""

from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engines.visits import ROWS, fitted, frame_of, rows, weights

import orrery as ory
from orrery.engines.find import engine_of
from orrery.engines.job import Each, Gang, Map
from orrery.engines.spark import Spark
from orrery.engines.spark_master import check_master
from orrery.engines.spark_session import check_java, told
from orrery.errors import (
    EmptyTableError,
    EngineError,
    FitError,
    MissingExtraError,
    SettingsError,
    SlotsError,
    WorkerError,
)


def test_a_fit_on_spark_equals_the_fit_on_this_machine(spark: Any) -> None:
    whole = rows()
    frame = frame_of(spark, whole, 5)
    there = fitted(frame, engine=Spark(spark))
    here = fitted(frame)
    np.testing.assert_allclose(weights(there), weights(here), atol=1e-5)
    facts = there.lineage["gang"]
    assert sum(facts["rows_read"]) == ROWS
    assert facts["rows_per_epoch"] == here.lineage["gang"]["rows_per_epoch"]


def test_a_pass_is_made_on_the_executors(spark: Any) -> None:
    class Rows:
        """Counts rows."""

        def summarize(self, batch: Any) -> int:
            return int(batch.num_rows)

        def merge(self, left: int, right: int) -> int:
            return left + right

        def finish(self, summary: int) -> int:
            return summary

    frame = frame_of(spark, rows(), 5)
    engine = Spark(spark)
    table = ory.read(frame).where("x > 0")
    assert engine.feeds(table)
    here, there = table.aggregate(Rows()), table.aggregate(Rows(), engine)
    assert (there, here) == (here, table.count())


def test_a_map_gives_what_the_task_makes_of_each_batch(spark: Any) -> None:
    table = ory.read(frame_of(spark, rows(), 3))
    engine = Spark(spark)
    job = Map(lambda batch: batch.num_rows, table)
    assert sum(engine.submit(engine.plan(job)).result()) == ROWS

    def odd(batch: Any) -> None:
        raise FitError("The rows are odd.")

    with pytest.raises(FitError, match="The rows are odd"):
        engine.submit(engine.plan(Map(odd, table))).result()


def test_an_item_that_fails_is_told_with_its_traceback(spark: Any) -> None:
    engine = Spark(spark)

    def inverse(number: int) -> float:
        return 1 / number

    with pytest.raises(WorkerError, match=r"ZeroDivisionError(.|\n)*in inverse"):
        engine.submit(engine.plan(Each(inverse, [1, 0]))).result()


def test_a_frame_without_rows_is_told(spark: Any) -> None:
    frame = spark.createDataFrame(rows()).where("x > 100")
    with pytest.raises(EmptyTableError):
        fitted(frame, engine=Spark(spark))


def test_four_workers_where_three_could_start(spark: Any) -> None:
    with pytest.raises(SlotsError, match="Asked for 4 workers; 3 of Spark's 3 slots are free"):
        Spark(spark).plan(Gang(print, 4))


def test_a_session_of_another_master_is_not_taken(spark: Any) -> None:
    with pytest.raises(SettingsError, match=r"a session of Spark on 'local\[3\]' is there"):
        engine_of("local[2]").slots()
    assert engine_of("local[3]").slots().total == 3
    assert engine_of("spark").slots().total == 3


@pytest.fixture
def closed() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_master_that_is_dead_is_told_within_seconds(closed: int) -> None:
    with pytest.raises(EngineError, match=f"No master of Spark answers at spark://127.0.0.1:{closed}"):
        check_master(f"spark://127.0.0.1:{closed}")
    with pytest.raises(EngineError, match=r"answers at spark://host: host has no port\. .*host:7077"):
        check_master("spark://host")


def test_one_of_several_masters_is_enough(closed: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as open_:
        check_master(f"spark://127.0.0.1:{closed},127.0.0.1:{open_.getsockname()[1]}")


def test_without_kubernetes_its_address_is_told(closed: int) -> None:
    with pytest.raises(EngineError, match=rf"No Kubernetes answers at k8s://https://127.0.0.1:{closed}: .*"):
        check_master(f"k8s://https://127.0.0.1:{closed}")
    with pytest.raises(EngineError, match=r"answers at k8s://nobody\.invalid: nobody\.invalid:443: "):
        check_master("k8s://nobody.invalid")


def test_without_yarn_its_configuration_is_told(
    closed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("YARN_CONF_DIR", raising=False)
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    with pytest.raises(EngineError, match="engine='yarn' needs the cluster's configuration"):
        check_master("yarn")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    with pytest.raises(EngineError, match=r"yarn-site\.xml cannot be read"):
        check_master("yarn")
    site = "<configuration><property><name>yarn.resourcemanager.{}</name><value>{}</value></property>{}"
    own = site.format("address", f"127.0.0.1:{closed}", "</configuration>")
    (tmp_path / "yarn-site.xml").write_text(own)
    with pytest.raises(EngineError, match=f"No resource manager of YARN answers .* 127.0.0.1:{closed}"):
        check_master("yarn")
    (tmp_path / "yarn-site.xml").write_text(site.format("hostname.rm1", "${env.MANAGER}", "</configuration>"))
    check_master("yarn")  # what a variable says only Spark knows


@pytest.mark.parametrize(
    ("version", "message"),
    [(None, "which is not here"), ('openjdk version "11.0.2"', "needs Java 17 or later; .*11[.]0[.]2")],
)
def test_a_java_that_is_missing_or_old_is_told(
    version: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if version is not None:
        java = tmp_path / "bin" / "java"
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\necho '{version}' >&2\n")
        java.chmod(java.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(EngineError, match=message):
        check_java()


def test_without_pyspark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pyspark"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(MissingExtraError, match="pyspark"):
        Spark().slots()


def test_what_spark_says_is_told_in_one_line() -> None:
    missing = told(RuntimeError("PythonException\nModuleNotFoundError: No module named 'orrery'"))
    assert "executors of Spark cannot import 'orrery'" in missing.message
    lost = told(RuntimeError("ExecutorLostFailure (executor 1 exited caused by one of the running tasks)"))
    assert lost.lost
