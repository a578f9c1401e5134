"""Topics of Kafka: JSON, a row each message, and Arrow, many rows each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from tests.contracts.rows import ARROW, NAMES, arrow_of
from tests.servers.kafka import Kafka

from orrery.data.payloads import arrow
from orrery.data.payloads.arrow import Arrow
from orrery.data.payloads.json import Json
from orrery.data.payloads.payload import Payload
from orrery.data.steps import empty
from orrery.data.table import Table, read

JSON = Json(types=dict(zip(NAMES, ("int64", "double", "string"), strict=True)))


def place_json(rows: list[dict[str, Any]], server: Kafka) -> Table:
    codec = JSON.codec("", list)
    return placed([m for batch in arrow_of(rows).to_batches() for m in codec.encode(batch)], server, JSON)


def place_arrow(rows: list[dict[str, Any]], server: Kafka) -> Table:
    batches = arrow_of(rows).to_batches(max_chunksize=40) or [empty(ARROW.schema)]
    return placed([m for batch in batches for m in arrow.encode(batch)], server, Arrow())


def placed(messages: Sequence[bytes], server: Kafka, payload: Payload) -> Table:
    """The same rows are the same messages of the same topic: it is made once."""
    topic = f"contract-{hashlib.sha256(b'|'.join(messages)).hexdigest()[:16]}"
    try:
        server.topic(name=topic)
        server.send(topic, messages)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    return read(f"kafka://{server.bootstrap}/{topic}", payload=payload.to_dict()).select(*NAMES)


PLACES = {
    "kafka json": lambda rows, ask: place_json(rows, ask("kafka")),
    "kafka arrow": lambda rows, ask: place_arrow(rows, ask("kafka")),
}
