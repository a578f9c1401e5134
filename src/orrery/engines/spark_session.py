"""Sessions of Spark: the one that is there, or one for a master; what can be wrong is told in seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orrery.engines.spark_master import check_master
from orrery.errors import EngineError, OrreryError, SettingsError
from orrery.extras import require

JAVA = 17
"""The oldest Java that Spark 4 runs on."""

_WAIT_S = 5.0


def session_for(master: str | None) -> Any:
    """The session that is there, where it is the master's; else a new one. Raises EngineError in seconds."""
    found = require("pyspark.sql", "The engine 'spark'").SparkSession
    active = found.getActiveSession()
    if active is not None:
        _check_same(active, master)
        return active
    check_java()
    check_master(master or os.environ.get("SPARK_MASTER") or "")
    if master is not None and master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = found.builder.appName("orrery").config("spark.ui.showConsoleProgress", "false")
    with speaking():
        return (builder.master(master) if master else builder).getOrCreate()


def _check_same(session: Any, master: str | None) -> None:
    context = getattr(session, "_jsc", None) and session.sparkContext
    own = context.master if context else None
    if master is not None and own is not None and own != master:
        raise SettingsError(
            f"engine={master!r}, but a session of Spark on {own!r} is there already.",
            hint="Stop it, or say engine='spark' to use it.",
        )


def check_java() -> None:
    """Raises EngineError where Java is missing or too old."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    hint = f"Install a JDK of version {JAVA} or later, or set JAVA_HOME to one."
    if java is None or not Path(java).exists():
        where = f" JAVA_HOME is {home!r}, which has no bin/java." if home else ""
        raise EngineError(f"Spark needs Java, which is not here.{where}", hint=hint)
    try:
        told = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=_WAIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"Spark needs Java; {java} does not run: {error}.", hint=hint) from None
    version = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    if version is None or int(version.group(1)) < JAVA:
        text = (told.stderr + told.stdout).strip().splitlines()
        raise EngineError(
            f"Spark needs Java {JAVA} or later; {java} is {(text or ['silent'])[0]}.", hint=hint
        )


@contextmanager
def speaking() -> Iterator[None]:
    """What Spark says becomes EngineError; its remark on pandas, which is not used here, is dropped."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
            yield
    except OrreryError:
        raise
    except Exception as error:
        raise told(error) from None


class SparkError(EngineError):
    """What Spark says of a job of ours that it ended; ``lost``: an executor went, the work was sound."""

    lost = False


def told(error: BaseException) -> SparkError:
    """One message, with what Spark says is the cause."""
    text = str(error)
    if re.search(r"No module named '(orrery|pyarrow|cloudpickle)", text):
        missing = re.search(r"No module named '([\w.]+)'", text)
        return SparkError(
            f"The executors of Spark cannot import {missing.group(1) if missing else 'orrery'!r}.",
            hint="Install orrery-ml in the Python of the executors (PYSPARK_PYTHON), or ship an environment "
            "with spark.archives.",
        )
    if "BarrierJobRunWithDynamicAllocation" in text or "DYNAMIC_ALLOCATION" in text:
        return SparkError(
            "Spark runs no gang while it allocates executors dynamically.",
            hint="Set spark.dynamicAllocation.enabled=false, and spark.executor.instances.",
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if re.match(r"(Caused by: )?[\w.]*(Error|Exception)\b", line)]
    own = [line for line in causes if "py4j" not in line and "java.lang.Thread" not in line]
    first = own[-1] if own else (lines or [type(error).__name__])[0]
    found = SparkError(f"Spark: {first:.500}")
    found.lost = bool(
        re.search(
            r"ExecutorLost|executor .{1,80} exited|Executor heartbeat timed out|"
            r"worker lost|Worker .{1,40} lost",
            text,
        )
    )
    return found
