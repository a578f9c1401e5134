"""Five kinds of flowers, from documents in MongoDB to a page with probabilities: ``python flow.py``.

4,300 pictures are drawn (or taken from ``--photos FOLDER``, a sub-folder per kind) and stored in MongoDB as
documents. They are read there, in place, by two workers that learn together; the model is judged on rows it
never saw, and shows what it sees in ``flowers.html``.

MongoDB is the one at ``MONGODB_URL``. Where there is none, a stand-in is started for as long as this runs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

import pymongo
import standin
from draw import flower
from rich.console import Console

import orrery as ory
from orrery.display import Both
from orrery.evaluation.gallery import gallery
from orrery.features.image import Image
from orrery.training.progress import bars

PICTURES = 4_300
WORKERS = 2
EPOCHS = 10
DATABASE = "orrery_flowers"
screen = Console(highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; returns the exit code."""
    settings = options(arguments)
    started = time.perf_counter()
    with ExitStack() as open_:
        address = os.environ.get("MONGODB_URL", "")
        if not address:
            try:
                address = open_.enter_context(standin.running())
            except standin.CannotStartError as error:
                screen.print(f"{error}\nSet MONGODB_URL to a MongoDB: mongodb://user:password@host")
                return 1
            screen.print("[yellow]No MONGODB_URL: a stand-in for MongoDB is used, all in memory.[/]")
        os.environ["ORRERY_CONNECTION__FLOWERS"] = address  # the password stays in the environment
        heading("1  Pictures in MongoDB")
        name = "photos" if settings.photos else "drawn"
        count = store(address, name, photos(settings.photos) if settings.photos else drawn(settings.pictures))
        flowers = ory.read(f"mongodb:///{DATABASE}/{name}", connection="flowers")
        screen.print(f"{count:,} documents. Their fields as columns: {', '.join(flowers.schema.names)}")
        accuracy = learn(flowers, settings)
    took = time.perf_counter() - started
    screen.print(f"\n[bold]Done[/] in {took:.0f} s: accuracy [bold green]{accuracy:.4f}[/]")
    screen.print("Look at flowers.html, the pictures with their probabilities, and report.html.")
    return 0


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Five kinds of flowers in MongoDB: store, learn, look.")
    parser.add_argument(
        "--photos", metavar="FOLDER", help="your own, a sub-folder per kind, instead of drawn ones"
    )
    parser.add_argument("--pictures", type=int, default=PICTURES, help="how many are drawn (%(default)s)")
    parser.add_argument("--workers", type=int, default=WORKERS, help="that learn together (%(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over the rows (%(default)s)")
    return parser.parse_args(arguments)


def heading(text: str) -> None:
    """Where we are."""
    screen.print(f"\n[bold cyan]{text}[/]")


def drawn(count: int) -> Iterator[dict[str, Any]]:
    """Documents of pictures that this program draws."""
    for number in range(count):
        picture, label, about = flower(number)
        yield {"_id": number, "image": picture, "label": label, "about": {**about, "drawn": True}}


def photos(folder: str) -> Iterator[dict[str, Any]]:
    """Documents of the pictures in a folder; a sub-folder's name is the label."""
    number = 0
    for batch in ory.read(folder).batches(64):
        for row in batch.to_pylist():
            yield {
                "_id": number,
                "image": row["image"],
                "label": row["label"],
                "about": {"path": row["path"]},
            }
            number += 1


def store(address: str, name: str, documents: Iterator[dict[str, Any]]) -> int:
    """Write documents into a collection, in place of what it held; how many it holds."""
    with pymongo.MongoClient(address) as client:
        collection = client[DATABASE][name]
        collection.drop()
        while some := list(islice(documents, 200)):
            collection.insert_many(some)
        return int(collection.count_documents({}))


def learn(flowers: ory.Table, settings: argparse.Namespace) -> float:
    """Split, learn with several workers, judge, show; the accuracy on rows kept back."""
    rows = flowers.select("image", "label")
    train, held, test = rows.split((0.72, 0.08, 0.2), stratify="label", seed=7)
    heading(f"2  {settings.workers} workers read and learn together")
    shown = bars()
    started = time.perf_counter()
    model = ory.fit(
        train,
        target="label",
        validation=held,
        learner="network",
        features=[Image(columns=("image",), height=32, width=32)],
        epochs=settings.epochs,
        workers=settings.workers,
        observers=[shown] if shown else [],
    )
    screen.print(f"learnt in {time.perf_counter() - started:.0f} s")
    tell_rows(model, train.count(), held.count())
    heading("3  Judged on pictures it never saw")
    report = model.evaluate(test)
    accuracy = float(report.metrics["accuracy"])
    screen.print(
        f"accuracy [bold green]{accuracy:.4f}[/] on {report.rows} pictures: {report.save('report.html')}"
    )
    page = gallery(model.predict(test), truth="label", title=Both("Flowers", "花卉")).save("flowers.html")
    screen.print(f"what it sees in each: {page}")
    return accuracy


def tell_rows(model: ory.Model, train: int, held: int) -> None:
    """Who read how many rows, and how many were learnt from in each epoch, as the workers counted."""
    gang = model.lineage.get("gang")
    if gang is None:
        return
    read = ", ".join(f"worker {rank} read {count:,}" for rank, count in enumerate(gang["rows_read"]))
    together = sum(gang["rows_read"])
    screen.print(
        f"{read}: together {together:,}; MongoDB has {train:,} to learn from and {held:,} to stop by"
    )
    counts = " or ".join(f"{count:,}" for count in gang["rows_per_epoch"])
    once = gang["rows_per_epoch"] == [train] and together == train + held
    screen.print(
        f"rows learnt from in each epoch, over all workers: {counts}{', each row once' if once else ''}"
    )


def stop(number: int, frame: object) -> None:
    """A polite kill ends like Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        screen.print("\nStopped. Nothing is left running.")
        sys.exit(130)
