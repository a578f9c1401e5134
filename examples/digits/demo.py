"""The whole loop on real handwritten digits, in one terminal: ``python demo.py``.

Read, split, learn, judge and publish by ``flow.yaml``; then serve, ask over HTTP, tell the service what the
digits really were, look at what drifted, learn again, compare, and let the better model take over while the
service answers. Everything lies in this folder and in ``.orrery`` beside it.
"""

from __future__ import annotations

import base64
import io
import json
import signal
import sys
import time
import urllib.request
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from prepare import prepare
from rich.console import Console
from rich.text import Text

import orrery as ory
from orrery.evaluation.compare import compare
from orrery.feedback.join import feedback
from orrery.flow.watch import Lines
from orrery.registry.folder import open_registry
from orrery.registry.load import load
from orrery.training.progress import bars

NAME = "digits"
WIDE, TALL = 13, 14  # of a digit on the screen, in dots
screen = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the loop; returns the exit code."""
    start = time.perf_counter()
    try:
        whole_loop()
    except KeyboardInterrupt:
        screen.print("\nStopped. Nothing is left running; run it again and it goes on.")
        return 130
    took = time.perf_counter() - start
    screen.print(f"\n[bold]Done[/] in {took:.0f} s. Look at report.html and comparison.html, or try")
    screen.print("  orrery model list\n  orrery feedback decisions digits\n  orrery serve models:/digits")
    screen.print("Run this again: what has not changed is reused, and it says why.")
    return 0


def whole_loop() -> None:
    """From rows to a model that has learnt from what happened."""
    heading("1  Pictures in a database")
    screen.print(f"digits.db holds {prepare():,} handwritten digits, 8 × 8 dots each, as PNG")
    heading("2  A flow: read, split, learn, judge, publish")
    model, train, test = run_flow()
    heading("3  Five digits it has never seen")
    draw(model, test)
    asked, held = test.split(0.5, stratify="label", seed=1)
    heading("4  A service")
    with ory.serve(f"models:/{NAME}@champion", port=0, wait=False) as service:
        screen.print(f"{service.url} answers with version {service.version}: open it while this runs")
        heading("5  A new scanner arrives: it saves negatives")
        ask_and_tell(service, asked.map(negative))
        screen.print(str(ory.drift(NAME, reference=train)))
        heading("6  Learn again, compare, promote")
        learn_again(train, held.union(held.map(negative)))
        heading("7  The same service, a moment later")
        wait_for_champion(service)
        answers = ask(service.url, held.map(negative), record=False)
        share = right(answers, held)
        screen.print(f"version {answers['version']} reads the new scanner: [bold green]{share:.1%}[/] right")


def heading(text: str) -> None:
    """Where we are."""
    screen.print(f"\n[bold cyan]{text}[/]")


def run_flow() -> tuple[ory.Model, ory.Table, ory.Table]:
    """Run ``flow.yaml``; what has not changed since the last time is reused."""
    flow = ory.Flow.load("flow.yaml")
    done = flow.run(watch=Lines(flow, sys.stdout))
    report = done["report"]
    accuracy = report.metrics["accuracy"]
    screen.print(
        f"test accuracy [bold green]{accuracy:.4f}[/] on {report.rows} digits kept back: report.html"
    )
    return done["model"], done["parts.train"], done["parts.test"]


def draw(model: ory.Model, test: ory.Table, count: int = 5) -> None:
    """Digits side by side, and under each the three likeliest answers."""
    rows = model.predict(test.sample(rows=count, seed=3)).to_rows()
    pictures = [larger(row["image"]) for row in rows]
    for top in range(0, TALL, 2):  # a character shows two dots: one as its colour, one as its background
        line = Text("  ")
        for dots in pictures:
            for upper, lower in zip(dots[top].tolist(), dots[top + 1].tolist(), strict=True):
                style = f"rgb({upper},{upper},{upper}) on rgb({lower},{lower},{lower})"
                plain = " .:-=+*#%@"[(upper + lower) * 9 // 510]
                line.append("▀" if screen.color_system else plain, style=style)
            line.append("  ")
        screen.print(line)
    for place in range(3):
        line = Text("  ")
        for row in rows:
            label, share = sorted(row["probabilities"].items(), key=lambda pair: -pair[1])[place]
            bar = "█" * round(share * 5)
            line.append(f"{label} {share:5.0%} {bar}".ljust(WIDE + 2), style="green" if place == 0 else "dim")
        screen.print(line)


def larger(data: bytes) -> np.ndarray:
    """A picture as greys, large enough for a terminal."""
    return np.asarray(Image.open(io.BytesIO(data)).resize((WIDE, TALL), Image.Resampling.BICUBIC))


def negative(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows, as a scanner would save them that swaps paper and ink."""
    pictures = []
    for data in batch.column("image").to_pylist():
        buffer = io.BytesIO()
        Image.fromarray(255 - np.asarray(Image.open(io.BytesIO(data)))).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    place = batch.schema.get_field_index("image")
    return batch.set_column(
        place, batch.schema.field(place), pa.array(pictures, batch.schema.field(place).type)
    )


def ask_and_tell(service: Any, rows: ory.Table) -> None:
    """Ask over HTTP, then tell the service what the digits really were."""
    answers = ask(service.url, rows)
    outcomes = [
        {"id": answer["id"], "label": label}
        for answer, label in zip(answers["rows"], labels(rows), strict=True)
    ]
    post(f"{service.url}/v1/models/{NAME}:outcomes", {"outcomes": outcomes})
    service.recorder.flush()  # predictions are recorded beside the answers, not before them
    share = right(answers, rows)
    colour = "red" if share < 0.9 else "green"
    said = f"asked for {len(outcomes)} of them over HTTP: version {answers['version']} reads"
    screen.print(f"{said} [bold {colour}]{share:.1%}[/] right. Told it what they were.")


def ask(url: str, rows: ory.Table, *, record: bool = True) -> dict[str, Any]:
    """What the service says to these rows. Equal ids each time: asked twice, a digit still counts once."""
    pictures = rows.select("image").to_rows()
    body = [
        {"id": f"scan-{i:03}", "image": base64.b64encode(row["image"]).decode()}
        for i, row in enumerate(pictures)
    ]
    return post(f"{url}/v1/models/{NAME}:predict", {"rows": body, "record": record})


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send JSON, receive JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def labels(rows: ory.Table) -> list[int]:
    """What the digits really are."""
    return [row["label"] for row in rows.select("label").to_rows()]


def right(answers: dict[str, Any], rows: ory.Table) -> float:
    """The share of right answers."""
    said = [answer["prediction"] for answer in answers["rows"]]
    return float(np.mean([a == b for a, b in zip(said, labels(rows), strict=True)]))


def learn_again(old: ory.Table, held: ory.Table) -> None:
    """Retrain on old and new rows, unless a version has learnt from these already; publish what comes out."""
    new = ory.read(feedback(NAME).select("image", "label").to_arrow())  # only what was asked, and what it was
    note = f"with {new.count()} rows of the new scanner ({new.fingerprint()[:12]})"
    known = [version for version in open_registry().versions(NAME) if version.note == note]
    if known:
        screen.print(
            f"reused: version {known[-1].version} has learnt from these rows already; nothing is new"
        )
        return
    before = load(f"models:/{NAME}@champion")
    shown = bars()
    challenger = ory.retrain(NAME, old, new=new, observers=[shown] if shown else [])
    page = compare({"champion": before.evaluate(held), "challenger": challenger.evaluate(held)}).save(
        "comparison.html"
    )
    screen.print(
        f"both judged on the same {held.count()} digits, old scanner and new, that neither knows: {page}"
    )
    published = ory.publish(challenger, NAME, test=held, note=note)
    screen.print(f"[bold green]{published}[/]" if published.decision.promoted else str(published))


def wait_for_champion(service: Any, seconds: float = 10.0) -> None:
    """The service looks for a new champion twice a second."""
    champion = open_registry().get(NAME).version
    deadline = time.monotonic() + seconds
    while service.version != champion and time.monotonic() < deadline:
        time.sleep(0.05)


def stop(number: int, frame: object) -> None:
    """A polite kill ends like Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    sys.exit(main())
