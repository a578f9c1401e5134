"""The places that rows can be read from, one per file."""

from __future__ import annotations

KINDS = {
    "parquet": "orrery.data.sources.parquet:Parquet",
    "csv": "orrery.data.sources.csv:Csv",
    "jsonl": "orrery.data.sources.jsonl:JsonLines",
    "arrow": "orrery.data.sources.arrow:ArrowIpc",
    "orc": "orrery.data.sources.orc:Orc",
    "webdataset": "orrery.data.sources.webdataset:WebDataset",
    "delta": "orrery.data.sources.delta:Delta",
    "iceberg": "orrery.data.sources.iceberg:Iceberg",
    "text": "orrery.data.sources.text:Text",
    "logs": "orrery.data.sources.logs:Logs",
    "images": "orrery.data.sources.images:Images",
    "audio": "orrery.data.sources.audio:Sounds",
    "video": "orrery.data.sources.video:Videos",
    "sqlite": "orrery.data.sources.sqlite:Sqlite",
    "duckdb": "orrery.data.sources.duckdb:DuckDb",
    "mongodb": "orrery.data.sources.mongodb:MongoDb",
    "spark": "orrery.data.sources.spark:Spark",
    "postgresql": "orrery.data.sources.postgresql:PostgreSql",
    "sql": "orrery.data.sources.sql:Sql",
    "kafka": "orrery.data.sources.kafka:Kafka",
}
"""Kind of a place -> the class that reads it. Installed packages add theirs as entry points of this name."""
