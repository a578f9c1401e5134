"""From a Parquet table to scored rows without leaving Spark: ``python demo.py`` (or ``python demo.py spark://…``).

Visits of a shop, made up, lie as Parquet. Spark makes features of them; two workers on its executors learn
together, each next to its share of the rows; the model then answers on the data frame.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import orrery as ory
import orrery.spark

VISITS = Path("visits.parquet")
ROWS = 6_000


def session(master: str) -> Any:
    """A session that stays on this machine, unless another master is named."""
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("visits")
    if master.startswith("local"):
        builder = builder.config("spark.driver.host", "127.0.0.1")
        builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.sql.shuffle.partitions", "4")  # for so few rows, 200 would be many
    return builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()


def write_visits(spark: Any) -> None:
    """The rows, the same each time."""
    rows = spark.range(ROWS).selectExpr(
        "id as visit",
        "id % 400 as customer",
        "cast(hash(id, 1) & 1023 as double) / 64 as minutes",
        "element_at(array('phone', 'desk', 'shop'), cast(id % 3 as int) + 1) as device",
    )
    bought = "if(minutes + if(device = 'shop', 6, 0) + cast(hash(visit, 2) & 3 as double) > 11, 'yes', 'no')"
    rows.selectExpr("*", f"{bought} as bought").write.mode("overwrite").parquet(str(VISITS))


def features(spark: Any) -> Any:
    """What Spark knows better than a row alone: how long a customer usually stays."""
    spark.read.parquet(str(VISITS)).createOrReplaceTempView("visits")
    return spark.sql(
        "select *, avg(minutes) over (partition by customer) as usual, "
        "count(*) over (partition by customer) as often from visits"
    )


def main(master: str = "local[2]") -> int:
    """Write, learn, answer; returns the exit code."""
    spark = session(master)
    try:
        write_visits(spark)
        train, test = features(spark).randomSplit([0.8, 0.2], seed=7)
        train = train.cache()
        began = time.perf_counter()
        model = ory.fit(
            train, target="bought", learner="network", epochs=4, ignore=("visit",), engine="spark", workers=2
        )
        gang = model.lineage["gang"]
        print(f"two workers read {gang['rows_read']} rows each, in {time.perf_counter() - began:.0f} s")
        answers = model.transform(test)
        answers.select("visit", "bought", "prediction").show(5)
        total, right = answers.selectExpr("count(*)", "sum(int(bought = prediction))").first()
        print(f"{right} of {total} rows that nobody had seen are answered rightly")
        model.register(spark, "predict")
        test.createOrReplaceTempView("unseen")
        spark.sql("select visit, device, predict(struct(*)).prediction as likely from unseen").show(5)
        orrery.spark.Model(model).transform(test).select("visit", "rawPrediction").show(5, truncate=False)
        model.save("visits-model")
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
