"""Records in a database and in Kafka; and what happens where they are away."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from tests.servers.kafka import Kafka
from tests.serving.test_record import answered

from orrery.errors import SettingsError
from orrery.serving.keeping import Keeping
from orrery.serving.parquet import predictions_table
from orrery.serving.record import Recorder
from orrery.serving.sinks import KafkaSink, sink_of


def test_answers_in_a_database(tmp_path: Path) -> None:
    for first in (0, 3):
        with Recorder(keeping=Keeping(to=f"sqlite:///{tmp_path}/record.db")) as recorder:
            recorder.put(answered(first, 3))
        assert (recorder.written, recorder.lost) == (3, 0)
    with sqlite3.connect(tmp_path / "record.db") as connection:
        rows = connection.execute(
            "select id, name, version, inputs, output from orrery_predictions"
        ).fetchall()
    connection.close()
    assert [row[0] for row in rows] == [str(i) for i in range(6)]
    assert rows[1][1:] == ("m", 1, '{"x": 1.0}', '{"prediction": 0.5}')


def test_a_database_that_is_away_loses_the_record_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Recorder(keeping=Keeping(to=f"sqlite:///{tmp_path}/none/record.db")) as recorder:
        recorder.put(answered(0, 3))
        assert recorder.flush(60)
        (tmp_path / "none").mkdir()
        recorder.put(answered(3, 2))
    assert (recorder.written, recorder.lost) == (2, 3)
    assert "3 predictions of 'm' could not be recorded" in caplog.text


def test_what_is_no_place_is_said_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("nothing://me:secret@host/x", "kafka://host"):
        with pytest.raises(SettingsError) as error:
            sink_of(url, None, 1)
        assert "secret" not in str(error.value)
    with pytest.raises(SettingsError, match="ORRERY_CONNECTION__RECORD"):
        sink_of("record", None, 1)
    monkeypatch.setenv("ORRERY_CONNECTION__RECORD", "sqlite:///x.db")
    assert type(sink_of("record", None, 1)).__name__ == "SqlSink"
    assert "secret" not in repr(Keeping(to="postgresql://me:secret@host/x"))


@pytest.mark.slow
def test_answers_in_a_topic(kafka: Kafka) -> None:
    from confluent_kafka import Consumer

    topic = kafka.topic()
    with Recorder(keeping=Keeping(to=f"kafka://{kafka.bootstrap}/{topic}")) as recorder:
        recorder.put(answered(0, 500))
    assert (recorder.written, recorder.lost) == (500, 0)
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "g", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    found: list[tuple[str, dict[str, str]]] = []
    while len(found) < 500:
        messages = consumer.consume(500, 60)
        assert messages
        found += [((m.key() or b"").decode(), json.loads(m.value() or b"")) for m in messages]
    consumer.close()
    assert sorted(int(key) for key, _ in found) == list(range(500))
    assert found[0][1]["inputs"] == json.dumps({"x": float(found[0][0])})


def test_a_topic_that_is_away_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orrery.serving.sinks._SEND_S", -4.5)
    sink = KafkaSink("kafka://127.0.0.1:1/topic")
    with pytest.raises(Exception, match="2 messages were not acknowledged"):
        sink.write(predictions_table([answered(0, 2)]), "m", 1, False)
    sink.close()
