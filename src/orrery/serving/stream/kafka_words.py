"""What Kafka's errors mean to a stream: those that pass, and those that end it."""

from __future__ import annotations

from typing import Any

from orrery.data.sources import kafka_client
from orrery.data.sources.kafka_client import Client
from orrery.errors import BrokerError
from orrery.extras import require

_PASSING = (
    *("REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "_MAX_POLL_EXCEEDED", "_NO_OFFSET"),
    *("COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "_ASSIGNMENT_LOST"),
    *("UNSTABLE_OFFSET_COMMIT", "_PARTITION_EOF", "_STATE", "_RETRY", "CONCURRENT_TRANSACTIONS"),
)
"""Of a group that is shared out anew, or whose coordinator is away."""
_LASTING = (
    *("_AUTHENTICATION", "_SSL", "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"),
    *("CLUSTER_AUTHORIZATION_FAILED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "SASL_AUTHENTICATION_FAILED"),
    *("INVALID_GROUP_ID", "UNSUPPORTED_VERSION"),
)

CLIENT: dict[str, Any] = {
    "reconnect.backoff.max.ms": 1_000,
    # With the other strategy clients of librdkafka 2.16 wait for ever where all brokers were away at once.
    "metadata.recovery.strategy": "none",
}
"""What consumers and producers of a stream share."""


def passes(error: Any) -> bool:
    """Whether it may go away by itself."""
    return error.code() in _codes(_PASSING) or kafka_client._passes(error)


def broken(client: Client, error: Any) -> BrokerError:
    """An error of Kafka as one of a stream, without a password."""
    made = BrokerError(client.failed(error.str()).message)
    is_fenced = "fenced by other consumer" in error.str()  # librdkafka reports it as one of its fatal errors
    made.lasting = is_fenced or error.code() in _codes(_LASTING)
    if is_fenced:
        made.hint = "Another scorer of the group has the same name."
    return made


def check_heard(client: Client) -> None:
    """Raise what the client reported in the background, if it will not go on by itself."""
    final = _codes(("_AUTHENTICATION", "_SSL", "_FATAL"))
    if client.errors and client.errors[0].code() in final:
        raise broken(client, client.errors[0])


def _codes(names: tuple[str, ...]) -> set[int]:
    kafka = require("confluent_kafka", "Streams of Kafka")
    return {getattr(kafka.KafkaError, name) for name in names if hasattr(kafka.KafkaError, name)}
