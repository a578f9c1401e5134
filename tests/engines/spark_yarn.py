"""A program whose Spark is on YARN, as its environment says; prints what it found, as JSON lines."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from tests.engines.spark_cluster import equal, left, told

from orrery.engines.find import engine_of


def main() -> int:
    """A gang on two executors."""
    warnings.simplefilter("ignore")
    engine: Any = engine_of("yarn")
    spark = engine.session
    told("master", lambda: spark.sparkContext.master)
    told("equal", lambda: equal(spark, engine))
    told("left", left)
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
