"""Brokers that are away, refuse, or hold something else: what is told, and what is given again."""

from __future__ import annotations

import importlib
from typing import Any
from uuid import uuid4

import pytest
from tests.servers.nats import Nats
from tests.servers.programs import free_ports
from tests.servers.rabbitmq import RabbitMq
from tests.servers.redis import Redis

from orrery.errors import BrokerError, SourceError
from orrery.serving.stream import BROKERS
from orrery.serving.stream.broker import Letter, Wiring
from orrery.serving.stream.nats_line import from_headers, pending_of, to_headers, word

NAMES = ["redis", "nats", "rabbitmq", "mqtt"]


def nothing() -> None:
    """Nobody takes messages from us here."""


def ends(place: str, **wiring: Any) -> tuple[Any, Any]:
    """An inbox and an outbox of one place."""
    module = importlib.import_module(BROKERS[place.partition("://")[0]])
    return module.inbox(place, Wiring(group="g", **wiring)), module.outbox(place, Wiring(group="g"))


@pytest.mark.parametrize("name", NAMES)
def test_a_broker_that_is_away_is_told_without_secrets(name: str) -> None:
    place = f"{name}://me:hidden@127.0.0.1:{free_ports(1)[0]}/x?timeout_s=5"
    for end in ends(place):
        with pytest.raises(BrokerError) as caught:
            end.open(nothing) if hasattr(end, "take") else end.open()
        assert "hidden" not in str(caught.value)
        assert not caught.value.lasting
        end.close()
        end.close()


def taken(inbox: Any, count: int) -> list[Any]:
    """So many messages."""
    found: list[Any] = []
    while len(found) < count:
        found += inbox.take(count - len(found), 1.0)
    return found


@pytest.mark.parametrize("name", ["redis", "nats", "rabbitmq"])
def test_what_was_not_acknowledged_is_given_again_at_once(name: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(name)
    place = f"{name}://127.0.0.1:{server.port}/t-{uuid4().hex}"
    inbox, outbox = ends(place)
    outbox.open()
    outbox.send([Letter(b"%d" % i, b"k\xff%d" % i, headers=[("a b", b"\xc3\xa9\n")]) for i in range(9)])
    outbox.flush()
    inbox.open(nothing)
    first = taken(inbox, 6)
    inbox.acknowledge(first[:4])
    inbox.close()
    other, _ = ends(place)
    other.open(nothing)
    again = taken(other, 5)
    other.acknowledge(again)
    assert [m.value for m in again] == [b"4", b"5", b"6", b"7", b"8"]
    assert [m.id for m in again[:2]] == [m.id for m in first[4:]]
    assert [m.key for m in again] == [b"k\xff%d" % i for i in range(4, 9)]
    assert other.take(10, 0.3) == []
    other.close()
    outbox.close()


def test_another_thing_under_the_name_is_lasting(redis: Redis) -> None:
    name = uuid4().hex
    with redis.connect() as client:
        client.set(name, "text")
    inbox, _ = ends(f"{redis.url}/{name}")
    with pytest.raises(BrokerError) as caught:
        inbox.open(nothing)
    assert caught.value.lasting
    inbox.close()


def test_an_entry_without_value_is_its_fields(redis: Redis) -> None:
    name = uuid4().hex
    with redis.connect() as client:
        client.xadd(name, {"age": "31", "city": "北京", "key": "k"})
    inbox, _ = ends(f"{redis.url}/{name}")
    inbox.open(nothing)
    (one,) = taken(inbox, 1)
    assert (one.value, one.key, one.headers) == ('{"age": "31", "city": "北京"}'.encode(), b"k", [])
    assert inbox.lag() == 0
    inbox.close()


def test_entries_that_were_deleted_are_passed_over(redis: Redis) -> None:
    name = uuid4().hex
    inbox, _ = ends(f"{redis.url}/{name}", instance="a")
    with redis.connect() as client:
        first, _ = client.xadd(name, {"value": "1"}), client.xadd(name, {"value": "2"})
        inbox.open(nothing)
        assert len(taken(inbox, 2)) == 2
        client.xdel(name, first)
        inbox.open(nothing)  # as after a crash: nothing was acknowledged
        assert [m.value for m in taken(inbox, 1)] == [b"2"]
        assert client.xpending(name, "g")["pending"] == 1
    inbox.close()


def test_a_wrong_password_is_lasting(rabbitmq: RabbitMq) -> None:
    inbox, _ = ends(f"rabbitmq://guest:hidden@127.0.0.1:{rabbitmq.port}/x")
    with pytest.raises(BrokerError) as caught:
        inbox.open(nothing)
    assert caught.value.lasting
    assert "hidden" not in str(caught.value)


def test_equal_messages_of_a_queue_have_one_id_and_others_their_own(rabbitmq: RabbitMq) -> None:
    import pika

    name = uuid4().hex
    with rabbitmq.connect() as connection, connection.channel() as channel:
        channel.queue_declare(name, durable=True)
        for body, own in ((b"a", None), (b"a", None), (b"b", None), (b"a", "7")):
            channel.basic_publish("", name, body, pika.BasicProperties(message_id=own))
    inbox, _ = ends(f"rabbitmq://127.0.0.1:{rabbitmq.port}/{name}")
    inbox.open(nothing)
    ids = [message.id for message in taken(inbox, 4)]
    inbox.close()
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert ids[3] == f"{name}/7"


def test_a_subject_without_a_stream_is_told(nats: Nats) -> None:
    inbox, _ = ends(f"{nats.url}/nothing.here")
    with pytest.raises(SourceError, match=r"nothing\.here"):
        inbox.open(nothing)
    inbox.close()


def test_what_is_larger_than_the_server_takes_is_refused(nats: Nats) -> None:
    _, outbox = ends(f"{nats.url}/t-{uuid4().hex}")
    outbox.open()
    refused = outbox.send([Letter(b"a"), Letter(bytes(2 << 20)), Letter(b"b")])
    outbox.flush()
    outbox.close()
    assert [one.number for one in refused] == [1]


def test_headers_of_nats_are_lines_of_text() -> None:
    made = to_headers([("orrery-reason", "№ 1\r\nx: y".encode()), ("a: b\n", None)], b"k%\xff")
    assert made is not None
    assert all(c.isascii() and c.isprintable() for pair in made.items() for text in pair for c in text)
    assert from_headers(made)[1] == b"k%\xff"
    assert to_headers([], None) is None


def test_places_of_acknowledgements() -> None:
    assert pending_of("$JS.ACK.orders.g.1.42.7.1700000000000000000.5") == (42, 1700000000000000000, 5)
    long = "$JS.ACK._.hash.orders.g.1.42.7.1700000000000000000.5.token"
    assert pending_of(long) == (42, 1700000000000000000, 5)
    assert word("...") == "orrery"
