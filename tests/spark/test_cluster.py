"""Executors that share no files, and Spark Connect: the model reaches them, and answers as it does here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import os, sys
from pyspark.sql import SparkSession
import orrery as ory
import orrery.spark

builder = SparkSession.builder
builder = builder.remote("local[2]") if sys.argv[1] == "connect" else builder.master(sys.argv[1])
for setting in sys.argv[2:]:
    builder = builder.config(*setting.split("="))
spark = builder.getOrCreate()
rows = [{"x": float(i), "kind": "cat" if i > 50 else "dog"} for i in range(100)]
model = ory.fit(rows, "kind", learner="linear")
os.unlink(model.save("here.zip"))
frame = spark.createDataFrame([(i, float(i)) for i in range(100)], "id long, x double").repartition(4)
answers = model.predict([{"x": float(i)} for i in range(100)])
expected = {i: answer["probability"] for i, answer in enumerate(answers)}
assert {row.id: row.probability for row in model.transform(frame).collect()} == expected
model.register(spark, "predict")
frame.createOrReplaceTempView("visits")
found = spark.sql("select id, predict(x => x).probability as p from visits").collect()
assert {row.id: row.p for row in found} == expected
told = orrery.spark.Model(model).transform(frame).collect()
assert {row.id: max(row.probability) for row in told} == expected
if sys.argv[1] != "connect":
    print("executors", spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1)
spark.stop()
"""
_SETTINGS = (
    "spark.driver.host=127.0.0.1",
    "spark.driver.bindAddress=127.0.0.1",
    "spark.ui.enabled=false",
    "spark.ui.showConsoleProgress=false",
    "spark.log.level=ERROR",
    "spark.driver.memory=512m",
    "spark.executor.memory=512m",
)


def run(master: str, folder: Path) -> list[str]:
    """What the program prints, in a process of its own: a session is for a whole process."""
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        pytest.skip("Spark needs Java, which is not installed")
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    environment |= {"SPARK_WORKER_DIR": str(folder / "work"), "SPARK_LOCAL_DIRS": str(folder / "local")}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, master, *_SETTINGS],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_executors_answer_as_one_process(tmp_path: Path) -> None:
    assert run("local-cluster[2,1,1024]", tmp_path)[-1] == "executors 2"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_spark_connect_answers_as_one_process(tmp_path: Path) -> None:
    pytest.importorskip("grpc_status")
    run("connect", tmp_path)
