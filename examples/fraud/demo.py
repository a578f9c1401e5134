"""Fraud in a stream, from the past to a better model: ``python demo.py``, or ``python demo.py HOST:PORT``.

Payments come as messages, in order, through a broker in this process or through Kafka at that address. A
model that reads what happened before each of them answers; what they were is known three days later. Then
those who steal change their ways. Each run begins anew, in a folder of its own within ``.orrery``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
from draw import CHANGE, START, day_of, payments
from rich.console import Console
from wires import KafkaWire, MemoryWire, Wire

import orrery as ory
from orrery.data.windows import Windows
from orrery.errors import OrreryError
from orrery.feedback.join import joined, predictions
from orrery.registry.folder import open_registry
from orrery.serving.past import PastStore
from orrery.serving.runner import Runner

NAME = "fraud"
FIRST, TEST, LIVE, AFTER, TRIED, LAST = 8, 24, 30, 44, 47, 52
"""Days: learnt from, judged on, the stream begins, new rows to learn from end, the canary's, the end."""
KNOWN = 3  # days until it is known what a payment was
SENT = ("id", "time", "card", "shop", "eur")
NOT_LEARNT = ("id", "time", "card", "shop", "arrival")
WINDOWS = Windows(
    on="time",
    id="id",
    arrival="arrival",
    windows=(
        ory.Window(how="count", over="1h", by="card"),
        ory.Window(how="distinct", of="shop", over="1h", by="card", column="shops_1h"),
        ory.Window(how="sum", of="eur", over="1d", by="card"),
        ory.Window(how="mean", of="eur", over="14d", by="card", column="usual"),
        ory.Window(how="max", of="eur", over="14d", by="card"),
        ory.Window(how="count", over="14d", by=("card", "shop"), column="been_here"),
        ory.Window(how="distinct", of="card", over="1h", by="shop", column="cards_1h"),
    ),
)
screen = Console(highlight=False, soft_wrap=True)

Rows = Sequence[Mapping[str, Any]]


def main() -> int:
    """Run it; returns the exit code."""
    start = time.perf_counter()
    home = os.environ.get("ORRERY_HOME") or f".orrery/{time.strftime('%Y%m%d-%H%M%S')}"
    os.environ["ORRERY_HOME"] = home
    wire: Wire = KafkaWire(sys.argv[1]) if len(sys.argv) > 1 else MemoryWire()
    try:
        story(wire, payments(LAST))
    except OrreryError as error:
        screen.print(f"[red]{error}[/]")
        return 1
    screen.print(f"\n[bold]Done[/] in {time.perf_counter() - start:.0f} s. Look at report.html, or try")
    screen.print(f"  ORRERY_HOME={home} orrery route history {NAME}")
    return 0


def story(wire: Wire, rows: Rows) -> None:
    """From what is known to a model that has learnt what changed."""
    heading("1  Payments, and what happened before each")
    table = with_windows(rows)
    told = [row for row in rows if day_of(row) < LIVE]
    screen.print(f"{len(rows):,} payments of {LAST} days; {len(told):,} are known, {share(told):.1%} fraud")
    heading("2  Learn from what is known")
    learn(table)
    heading(f"3  {wire.title}: answers at once, outcomes {KNOWN} days later")
    stream = wire.stream(f"models:/{NAME}", past=ory.read(told))
    with stream:
        answer_days(wire, stream, rows, LIVE, AFTER)
        heading("4  What changed?")
        lines = str(ory.drift(NAME, reference=table(FIRST, TEST))).splitlines()
        screen.print("\n".join(lines[:4]))
        heading("5  Learn again; a canary decides")
        learn_again(table)
        try_out(wire, between(rows, AFTER, TRIED))
        heading(f"6  The same stream, with version {await_champion(stream)}")
        answer_days(wire, stream, rows, TRIED, LAST)
    heading("7  The same online and offline?")
    differ, values = differing(table(LIVE, LAST))
    screen.print(f"{differ} of {values:,} windows differ between the stream and a table of the past")
    screen.print(f"one payment with its windows, on one core: {delays(rows)}")


def heading(text: str) -> None:
    """Where we are."""
    screen.print(f"\n[bold cyan]{text}[/]")


def between(rows: Rows, first: int, last: int) -> list[Mapping[str, Any]]:
    """The payments that arrived on some days, in their order."""
    return [row for row in rows if first <= day_of(row) < last]


def share(rows: Rows) -> float:
    """Of fraud."""
    return sum(row["fraud"] == "yes" for row in rows) / len(rows)


def with_windows(rows: Rows) -> Callable[[int, int], ory.Table]:
    """The payments of some days with what happened before each, which no later one changes."""
    told = WINDOWS.to_dict()
    windows = [ory.Window(**window) for window in told.pop("windows")]
    table = ory.read(list(rows)).windows(*windows, **told).write("payments.parquet")

    def days(first: int, last: int) -> ory.Table:
        begin, end = (f"timestamptz '{START}' + interval {day} day" for day in (first, last))
        return table.where(f"arrival >= {begin} and arrival < {end}")

    return days


def learn(table: Callable[[int, int], ory.Table]) -> None:
    """A linear and a boosted model; the better one becomes the champion."""
    train, test = table(FIRST, TEST), table(TEST, LIVE)
    bare = ory.fit(train.select("eur", "fraud"), "fraud", learner="boosted", progress=False)
    screen.print(
        f"boosted, without windows   AUC {bare.evaluate(test.select('eur', 'fraud')).metrics['auc']:.4f}"
    )
    for learner in ("linear", "boosted"):
        model = ory.fit(train, "fraud", learner=learner, windows=WINDOWS, ignore=NOT_LEARNT, progress=False)
        report = model.evaluate(test)
        screen.print(
            f"{learner + ', with windows':26} AUC {report.metrics['auc']:.4f}   {ory.publish(model, NAME)}"
        )
    report.save("report.html")


def answer_days(wire: Wire, stream: Any, rows: Rows, first: int, last: int) -> None:
    """Send day after day, and tell what the payments of three days ago were."""
    for day in range(first, last):
        wire.send([message(row) for row in between(rows, day, day + 1)])
        wire.wait()
        stream.scorer.recorder.flush()
        ory.outcomes(
            NAME, [{"id": r["id"], "fraud": r["fraud"]} for r in between(rows, day - KNOWN, day - KNOWN + 1)]
        )
    known = joined(NAME)
    screen.print(
        f"{wire.sent:,} sent so far, answered by version {', '.join(map(str, sorted(set(versions()))))}; "
        f"{known.waiting:,} wait for their outcome"
    )
    for begin, end in ((first, min(last, CHANGE)), (max(first, CHANGE), last)):
        if begin < end:
            screen.print(f"days {begin} to {end}   AUC {auc(between(rows, begin, end)):.4f}")


def message(row: Mapping[str, Any]) -> bytes:
    """A payment as it is sent: nobody knows yet what it is."""
    return json.dumps({n: row[n].isoformat() if n == "time" else row[n] for n in SENT}).encode()


def versions() -> list[int]:
    """Who gave each recorded answer."""
    found: list[int] = predictions(NAME).select("model_version").to_arrow().column(0).to_pylist()
    return found


def auc(rows: Rows) -> float:
    """Of the recorded answers to some payments: how often fraud has the higher score of two."""
    said = predictions(NAME).select("prediction_id", "probabilities").to_rows()
    scores = {row["prediction_id"]: row["probabilities"]["yes"] for row in said}
    truth = {row["id"]: row["fraud"] == "yes" for row in rows if row["id"] in scores}
    yes = np.array([scores[i] for i, fraud in truth.items() if fraud])
    no = np.sort([scores[i] for i, fraud in truth.items() if not fraud])
    below, upto = np.searchsorted(no, yes), np.searchsorted(no, yes, side="right")
    return float((below + upto).mean() / 2 / len(no))


def learn_again(table: Callable[[int, int], ory.Table]) -> None:
    """Retrain on old rows and on those whose outcome is known; it does not answer yet."""
    fresh = joined(NAME).table
    model = ory.retrain(NAME, table(FIRST, TEST), new=fresh)
    published = ory.publish(model, NAME, note=f"with {fresh.count()} payments of the stream")
    screen.print(f"learnt from {fresh.count():,} more payments: {published}")
    ory.route(NAME, canary_of(published.version.version), why="it has seen what changed")


def canary_of(version: int) -> ory.Routing:
    """Tried on a fifth, then on half of the cards. It may answer otherwise than the champion: it should."""
    canary = ory.Canary(
        to=version, share=0.2, steps=(0.2, 0.5), step_s=0.5, least_requests=60, most_drift=10, most_delay=10
    )
    return ory.Routing(canary=canary, by="card")


def try_out(wire: Wire, rows: Rows) -> None:
    """Ask a service, which shares the past with the stream, until the canary is promoted or stopped."""
    registry = open_registry()
    with ory.serve(f"models:/{NAME}", port=0, wait=False) as service, ory.Client(service.url, NAME) as client:
        for asked, row in enumerate(rows, 1):
            client.predict([json.loads(message(row))])
            if asked % 50 == 0 and registry.route(NAME).routing.canary is None:
                break
    wire.send([message(row) for row in rows[asked:]])
    wire.wait()
    ory.outcomes(NAME, [{"id": row["id"], "fraud": row["fraud"]} for row in rows])
    screen.print(f"{asked:,} requests over HTTP later: {registry.route(NAME).why}")


def await_champion(stream: Any) -> int:
    """The stream follows the registry, some times a second."""
    champion, deadline = open_registry().get(NAME).version, time.monotonic() + 10
    while stream.version != champion and time.monotonic() < deadline:
        time.sleep(0.05)
    version: int = stream.version
    return version


def differing(table: ory.Table) -> tuple[int, int]:
    """How many windows that were read online differ from those of the table, and how many there are."""
    names = [window.name for window in WINDOWS.windows]
    online = {
        row["prediction_id"]: row for row in predictions(NAME).select("prediction_id", *names).to_rows()
    }
    offline = {
        row["id"]: row for row in table.select("id", "arrival", *names).to_rows()
    }  # the last of repeats
    both = [(online[i], row) for i, row in offline.items() if i in online]
    return sum(a[name] != b[name] for a, b in both for name in names), len(both) * len(names)


def delays(rows: Rows) -> str:
    """How long one payment takes from its values to the answer, beside a past of weeks."""
    runner = Runner(ory.load(f"models:/{NAME}@champion"))
    windows: Windows | None = runner.signature.windows
    assert windows is not None
    took_s: list[float] = []
    with PastStore(f"timed-{uuid4().hex}") as past:
        past.fill(windows, ory.read(between(rows, 0, LIVE)))
        for row in between(rows, LIVE, LIVE + 3):
            columns = {name: [value] for name, value in json.loads(message(row)).items()}
            begin_s = time.perf_counter()
            seen = past.observe(windows, columns, 1)
            runner.predict_columns({**columns, **seen}, 1)
            took_s.append(time.perf_counter() - begin_s)
        past.path.unlink()
    half, most = np.percentile(took_s, [50, 99]) * 1000
    return f"p50 {half:.2f} ms, p99 {most:.2f} ms"


if __name__ == "__main__":
    sys.exit(main())
