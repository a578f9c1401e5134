"""Streams: messages in, the same rows with predictions out. One broker per file, one scorer over all of them.

Read ``broker`` first (what a broker does), then ``scorer`` (the loop). A broker's file has two functions,
``inbox(place, wiring)`` and ``outbox(place, wiring)``.
"""

from __future__ import annotations

BROKERS = {
    "kafka": "orrery.serving.stream.kafka",
    "redis": "orrery.serving.stream.redis",
    "nats": "orrery.serving.stream.nats",
    "rabbitmq": "orrery.serving.stream.rabbitmq",
    "mqtt": "orrery.serving.stream.mqtt",
    "memory": "orrery.serving.stream.memory",
    "-": "orrery.serving.stream.stdio",
}
"""What an address begins with -> the module that speaks to such a broker."""
