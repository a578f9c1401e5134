"""A Kafka broker for the tests: one node that is its own controller, a scratch folder, free ports."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.servers import cache, maven, programs

CLUSTER = "orreryTestsClusterAAAA"  # 22 characters of base64; asking for one takes another second
_QUICK = ("-Xmx512m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_SETTINGS = """process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_test="{password}";
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={folder}/server.pem
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.backoff.ms=100
log.retention.ms=-1
log.retention.check.interval.ms=1000
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
auto.create.topics.enable=false
"""


@dataclass
class Kafka:
    """A running broker. Tests keep apart by topic."""

    folder: Path
    port: int
    secure: int
    password: str
    programs: list[programs.Program] = field(default_factory=list)

    @property
    def bootstrap(self) -> str:
        """Host and port, without encryption and sign-in."""
        return f"127.0.0.1:{self.port}"

    def connection(self) -> str:
        """What a connection's variable holds for the listener with TLS and a password."""
        return f"kafka://test:{self.password}@127.0.0.1:{self.secure}?tls=true&ca={self.folder}/ca.pem"

    def variables(self) -> dict[str, str]:
        """What a user's environment may hold."""
        return {"KAFKA_BOOTSTRAP": self.bootstrap, "ORRERY_CONNECTION__KAFKA": self.connection()}

    def admin(self) -> Any:
        """A client that manages topics."""
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.bootstrap}, logger=_QUIET)

    def topic(self, partitions: int = 1, config: Mapping[str, str] | None = None, name: str = "") -> str:
        """A new topic; its name."""
        from confluent_kafka.admin import NewTopic

        name = name or f"t-{uuid4().hex}"
        admin = self.admin()  # held: its answers die with it
        admin.create_topics([NewTopic(name, partitions, 1, config=dict(config or {}))])[name].result(30)

        def known() -> None:
            if name not in admin.list_topics(timeout=5).topics:
                raise RuntimeError(f"the broker does not know {name} yet")

        programs.wait_until(known, self.programs[0], self.folder)
        return name

    def producer(self, **settings: Any) -> Any:
        """A client that writes."""
        from confluent_kafka import Producer

        return Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5, **settings}, logger=_QUIET)

    def send(self, topic: str, values: Sequence[bytes | None], partition: int = 0, **more: Any) -> None:
        """Messages to one partition, in order; returns when the broker has them."""
        producer = self.producer()
        for value in values:
            producer.produce(topic, value, partition=partition, **more)
            producer.poll(0)
        if producer.flush(30):
            raise RuntimeError("the broker did not take all messages")

    def kill(self) -> None:
        """End it at once, as a crash would; what it stored stays."""
        programs.stop(self.programs.pop(), gently_s=0)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """It takes connections for as long as the block runs, and answers nothing."""
        os.killpg(self.programs[0].pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.programs[0].pid, signal.SIGCONT)

    def start(self) -> None:
        """Start it; returns when it answers."""
        java = [
            "java",
            *_QUICK,
            f"-Djava.io.tmpdir={self.folder}",
            "-cp",
            maven.classpath("kafka"),
            "kafka.Kafka",
        ]
        self.programs.append(programs.start([*java, f"{self.folder}/server.properties"], self.folder))
        client = self.admin()

        def ready() -> None:
            if not client.list_topics(timeout=1).brokers:
                raise RuntimeError("the broker is not yet registered with itself")

        programs.wait_until(ready, self.programs[0], self.folder)


class _Silent:
    """librdkafka logs to standard error every time a broker is not there."""

    def log(self, *_: object) -> None:
        pass


_QUIET = _Silent()


def fetch() -> None:
    """The broker's programs, from Maven."""
    maven.fetch("kafka")


@contextmanager
def running() -> Iterator[Kafka]:
    """A broker for as long as the block runs; nothing is left of it."""
    jars = maven.classpath("kafka")
    folder = Path(tempfile.mkdtemp(prefix="orrery-kafka-"))
    port, secure, controller = programs.free_ports(3)
    server = Kafka(folder, port, secure, secrets.token_hex(8))
    try:
        _certificate(folder)
        settings = folder / "server.properties"
        ports = {"port": port, "secure": secure, "controller": controller}
        settings.write_text(_SETTINGS.format(folder=folder, password=server.password, **ports))
        tool = ["java", *_QUICK, "-cp", jars, "kafka.tools.StorageTool", "format", "--standalone"]
        done = subprocess.run([*tool, "-t", CLUSTER, "-c", str(settings)], capture_output=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's folder could not be formatted: {done.stderr.decode()[-2000:]}")
        server.start()
        yield server
    finally:
        for program in server.programs:
            programs.stop(program, gently_s=0)  # its data is thrown away
        shutil.rmtree(folder, ignore_errors=True)


def _certificate(folder: Path) -> None:
    """A certificate of the server's own: ``ca.pem`` for clients, ``server.pem`` with the key."""
    key, certificate = folder / "key.pem", folder / "ca.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(
        [*command, *names, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    (folder / "server.pem").write_text(key.read_text() + certificate.read_text())


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """One broker for all tests of a session. Where it cannot be had they are skipped, by name."""
    try:
        fetch()
    except cache.MissingServerError as error:
        cache.skip(error)
    with running() as server:
        yield server
