"""What happened before each message of a stream: the same as offline, and each message counts once."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.contracts.brokers.bench import wait_for
from tests.servers.kafka import Kafka
from tests.serving.test_past import START, WINDOWS, offline, payments

import orrery as ory
from orrery.data.payloads import arrow as arrow_payload
from orrery.errors import ServingError, SettingsError
from orrery.serving.past import PastStore
from orrery.serving.record import predictions_folder
from orrery.serving.route import Route
from orrery.serving.stream import scorer as scorer_module
from orrery.serving.stream.broker import Message, Wiring
from orrery.serving.stream.form import Form, Scored, form_of
from orrery.serving.stream.memory import Topic
from orrery.serving.stream.stream import Stream

ROWS = payments(2_000)


@pytest.fixture(scope="module")
def busy() -> ory.Model:
    """Whether a card pays much, by what it paid before."""
    rows = [{**row, "much": "yes" if row["eur"] > 40 else "no"} for row in ROWS[:600]]
    told = WINDOWS.to_dict()
    del told["windows"]
    table = ory.read(rows).windows(*WINDOWS.windows, **told)
    ignored = ("id", "arrival", "time", "eur")
    kinds = {"card": "category", "shop": "category"}
    return ory.fit(table, "much", learner="boosted", ignore=ignored, kinds=kinds, progress=False)


def text(row: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({**row, "time": str(row["time"].isoformat()), **more}).encode()


def in_order(name: str, to: Topic) -> dict[str, list[Any]]:
    """Of a stream whose rows have ids of their own, which the record keeps; some come twice."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(predictions_folder(name).glob("*/*.parquet")):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            by_id.setdefault(row["id"], []).append(row["inputs"])
    rows = [by_id[json.loads(message.value or b"")["id"]].pop(0) for message in to.messages]
    return {window: [row[window] for row in rows] for window in WINDOWS.names}


def test_a_stream_computes_what_a_table_of_the_past_gives(busy: ory.Model) -> None:
    name = uuid4().hex
    source, to = Topic.of(name), Topic.of(f"{name}.to")
    for row in ROWS:
        source.put(text(row))
    source.complete()
    ory.stream(f"memory://{name}", busy, f"memory://{name}.to", name="busy", record=True)
    assert len(to.messages) == len(ROWS)
    assert in_order("busy", to) == offline(ROWS)
    expected = busy.predict(ory.read(ROWS)).select("prediction", "probability").to_rows()
    answers = [json.loads(message.value or b"") for message in to.messages]
    assert [{n: answer[n] for n in expected[0]} for answer in answers] == expected


class Scoring:
    """Messages answered by a form, with a past of their own."""

    def __init__(self, model: ory.Model, home: Path, **wiring: Any) -> None:
        self.past = PastStore("busy", home)
        self.form: Form = form_of(Wiring.from_dict(wiring), tagged=False, past=self.past)
        self.model = model
        self.count = 0

    def __call__(self, *texts: bytes, again: int = 0) -> Scored:
        """The last ``again`` messages come again with the ids that they had."""
        first = self.count - again
        messages = [Message(text, f"t/{first + i}") for i, text in enumerate(texts)]
        self.count = first + len(texts)
        with Route(self.model) as route:
            return self.form.score(route.live, messages)

    def counted(self, row: dict[str, Any], **more: Any) -> int:
        """How many payments of a row's card it knows of."""
        columns = {name: [{**row, **more}[name]] for name in WINDOWS.needs}
        found = self.past.observe(WINDOWS, columns, 1, keep=False)["count_1h_by_card"][0]
        assert isinstance(found, int)
        return found


PAID = {"id": "1", "card": "a", "shop": "s", "eur": 5.0, "time": START, "arrival": 0}
LATER = START + dt.timedelta(minutes=5)


def arrow_of(rows: Sequence[dict[str, Any]]) -> bytes:
    (found,) = arrow_payload.encode(pa.RecordBatch.from_pylist(list(rows)))
    return found


def test_a_message_that_cannot_be_read_counts_not_and_stops_no_other(busy: ory.Model, tmp_path: Path) -> None:
    scoring = Scoring(busy, tmp_path)
    found = scoring(
        text({**PAID, "id": "1"}),
        text({**PAID, "id": "2"}, time="soon"),
        text({**PAID, "id": "3"}, eur="much"),
        text({**PAID, "id": "4"}),
    )
    assert list(found.faults) == [1, 2]
    assert "'soon' cannot be read as time" in found.faults[1].reason
    assert (found.faults[1].column, found.faults[2].column) == ("time", "eur")
    assert found.rows == 2
    assert scoring.counted(PAID, id="9", time=LATER) == 2


def test_a_message_that_comes_again_counts_once(busy: ory.Model, tmp_path: Path) -> None:
    scoring = Scoring(busy, tmp_path)
    first = scoring(text(PAID), text({**PAID, "id": "2", "time": LATER}))
    again = scoring(text(PAID), text({**PAID, "id": "2", "time": LATER}), again=2)
    assert again.values == first.values
    assert scoring.counted(PAID, id="9", time=LATER + dt.timedelta(minutes=1)) == 2


def test_without_an_id_of_its_own_a_message_is_told_by_its_place(tmp_path: Path) -> None:
    counts = ory.Window(how="count", over="1h", by="card")
    rows = [{**row, "much": "yes" if row["eur"] > 40 else "no"} for row in ROWS[:300]]
    table = ory.read(rows).windows(counts, on="time")
    model = ory.fit(table, "much", learner="linear", ignore=("id", "arrival", "time"), progress=False)
    scoring = Scoring(model, tmp_path)
    scoring(text(PAID), text(PAID))
    scoring(text(PAID), text(PAID), again=2)
    windows = model.signature.windows
    assert windows is not None
    columns = {"card": ["a"], "time": [LATER]}
    assert scoring.past.observe(windows, columns, 1)["count_1h_by_card"] == [2]


def test_arrow_messages_of_many_rows(busy: ory.Model, tmp_path: Path) -> None:
    scoring = Scoring(busy, tmp_path, payload="arrow")
    rows = ROWS[:300]
    found = scoring(*(arrow_of(rows[start : start + 7]) for start in range(0, 300, 7)))
    assert found.faults == {}
    recorded = found.recorded()
    assert {name: recorded.columns[name] for name in WINDOWS.names} == offline(rows)
    assert list(recorded.ids) == [row["id"] for row in rows]
    sent = pa.ipc.open_stream(found.values[0][0]).read_all()
    assert not set(WINDOWS.names) & set(sent.column_names), "what the message had, and the answer"


def test_arrow_rows_whose_time_cannot_be_read(busy: ory.Model, tmp_path: Path) -> None:
    scoring = Scoring(busy, tmp_path, payload="arrow")
    rows = [
        {**PAID, "time": t, "id": str(i)}
        for i, t in enumerate(["2026-01-01T00:00Z", "soon", "2026-01-01T00:01Z"])
    ]
    found = scoring(*(arrow_of([row]) for row in rows))
    assert list(found.faults) == [1]
    assert "'soon' cannot be read as time" in found.faults[1].reason
    assert [len(value) for value in found.values] == [1, 1, 1]
    assert found.rows == 2
    assert scoring.counted(PAID, id="9", time=LATER) == 2


def test_where_nothing_can_be_kept_no_message_is_at_fault(busy: ory.Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    scoring = Scoring(busy, tmp_path / "file")
    with pytest.raises(ServingError, match="cannot be kept"):
        scoring(text(PAID), text(PAID))


def test_a_stream_waits_until_what_happened_can_be_kept(
    busy: ory.Model, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer_module, "_BACKOFF_S", (0.001, 0.01))
    home.mkdir(parents=True, exist_ok=True)
    (home / "windows").write_text("in its way")
    name = uuid4().hex
    source, to = Topic.of(name), Topic.of(f"{name}.to")
    source.put(text(PAID))
    with ory.stream(f"memory://{name}", busy, f"memory://{name}.to", name=name, wait=False) as running:
        wait_for(lambda: running.counts.reopened > 2, "another try")
        assert to.messages == []
        (home / "windows").unlink()
        wait_for(lambda: running.counts.settled == 1, "an answer")
    assert len(to.messages) == 1


@pytest.mark.slow
def test_over_kafka_it_is_the_same(kafka: Kafka, busy: ory.Model) -> None:
    source, to = kafka.topic(), kafka.topic()
    place = f"kafka://{kafka.bootstrap}"
    running: Stream = ory.stream(
        f"{place}/{source}", busy, f"{place}/{to}", name="kafka", record=True, wait=False, group=source
    )
    with running:
        kafka.send(source, [text(row) for row in ROWS])
        wait_for(lambda: running.counts.settled >= len(ROWS), "answers")
    answers = [
        json.loads(row["value"])
        for row in ory.read(f"kafka://{kafka.bootstrap}/{to}", payload="bytes").select("value").to_rows()
    ]
    expected = busy.predict(ory.read(ROWS)).select("prediction", "probability").to_rows()
    assert [{n: answer[n] for n in expected[0]} for answer in answers] == expected


def test_a_past_is_filled_in_before_the_first_answer(
    busy: ory.Model, capsys: pytest.CaptureFixture[str]
) -> None:
    name = uuid4().hex
    source, to = Topic.of(name), Topic.of(f"{name}.to")
    for row in ROWS[1_500:]:
        source.put(text(row))
    source.complete()
    ory.stream(f"memory://{name}", busy, f"memory://{name}.to", name="full", record=True, past=ROWS[:1_500])
    assert in_order("full", to) == {window: values[1_500:] for window, values in offline(ROWS).items()}
    assert "of 1,500 rows count now, 0 events were kept before" in capsys.readouterr().err


def test_a_table_of_the_past_needs_a_model_that_reads_it(tall: ory.Model) -> None:
    with pytest.raises(SettingsError, match="no model that reads what happened before"):
        ory.stream("memory://a", tall, "memory://b", past=ROWS[:10], wait=False)
