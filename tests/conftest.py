"""The servers of all tests: each starts when the first test asks for it, and serves them all."""

from __future__ import annotations

from tests.servers.hadoop import hadoop
from tests.servers.kafka import kafka
from tests.servers.mariadb import mariadb
from tests.servers.mongodb import mongodb
from tests.servers.mosquitto import mosquitto
from tests.servers.nats import nats
from tests.servers.postgresql import postgresql
from tests.servers.rabbitmq import rabbitmq
from tests.servers.ray import ray_node
from tests.servers.redis import redis
from tests.servers.s3 import s3
from tests.servers.spark import spark
from tests.servers.spark_connect import spark_connect
from tests.servers.yarn import yarn

__all__ = [
    "hadoop",
    "kafka",
    "mariadb",
    "mongodb",
    "mosquitto",
    "nats",
    "postgresql",
    "rabbitmq",
    "ray_node",
    "redis",
    "s3",
    "spark",
    "spark_connect",
    "yarn",
]
