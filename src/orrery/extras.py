"""Optional packages: one table, one helpful error.

A part that needs an optional package asks for it here, so that a missing one is told in one line.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from orrery.errors import MissingExtraError

EXTRA_OF = {
    "torch": "network",
    "onnx": "network",
    "onnxscript": "network",
    "cloudpickle": "network",
    "lightgbm": "boosted",
    "sklearn": "linear",
    "scipy": "linear",
    "fastapi": "server",
    "uvicorn": "server",
    "prometheus_client": "server",
    "starlette": "server",
    "httptools": "server",
    "msgspec": "server",
    "python_multipart": "server",
    "pandas": "pandas",
    "polars": "polars",
    "adbc_driver_postgresql": "postgresql",
    "psycopg": "postgresql",
    "sqlalchemy": "sql",
    "pymysql": "mysql",
    "tensorboardX": "tensorboard",
    "simplejpeg": "images",
    "cv2": "images",
    "soundfile": "audio",
    "soxr": "audio",
    "av": "video",
    "pyspark": "spark",
    "ray": "ray",
    "confluent_kafka": "kafka",
    "fastavro": "kafka",
    "google": "kafka",
    "pymongo": "mongo",
    "bson": "mongo",
    "s3fs": "s3",
    "aiohttp": "http",
    "requests": "hdfs",
    "deltalake": "delta",
    "pyiceberg": "iceberg",
    "lightkube": "kubernetes",
    "grpc": "grpc",
    "httpx": "client",
    "redis": "redis",
    "pika": "rabbitmq",
    "nats": "nats",
    "paho": "mqtt",
    "opentelemetry": "traces",
}
"""Import name of an optional package -> the extra of ``orrery-ml`` that brings it."""


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional package, or say in one line what to install.

    >>> require("json", "reading JSON").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            f"{purpose} needs the package {package!r}, which is not installed.",
            hint=f'Install it with: pip install "orrery-ml[{EXTRA_OF.get(package, "all")}]"',
        ) from None


def available(module: str) -> bool:
    """Whether a package could be imported, found without importing it."""
    return importlib.util.find_spec(module) is not None
