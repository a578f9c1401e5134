"""Documents of MongoDB as Arrow, beside pymongoarrow: read from a server, and decoded from the same bytes.

The server is the one at ``MONGODB_URL``, or the stand-in of the flowers example, whose own pace then bounds
both. pymongoarrow is given the types, and lives in an environment of its own (``peers/mongodb.sh``); where
that cannot be made, nothing is measured, and that is said. Ours has looked at its sample before the clock
starts.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import runpy
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pymongo

from benchmarks import harness
from orrery.data.quarantine import BadRows
from orrery.data.sources.mongodb_documents import Reader
from orrery.data.sources.mongodb_types import decide
from orrery.data.table import read

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "build" / "peers-mongodb" / "bin" / "python"
DATABASE = "orrery_bench"
RUNS = 7


def people(count: int = 100_000) -> list[dict[str, Any]]:
    """Seven fields, two of them in a document within."""
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    return [
        {
            "_id": bson.ObjectId(f"{i:024x}"),
            "number": i,
            "size": i * 0.5,
            "name": f"name {i % 1000}",
            "at": start + dt.timedelta(seconds=i),
            "member": i % 2 == 0,
            "address": {"city": f"city {i % 50}", "zip": i % 99_999},
        }
        for i in range(count)
    ]


def pictures(count: int = 5_000) -> list[dict[str, Any]]:
    """A label, and 3 KB of bytes."""
    chance = np.random.default_rng(0)
    return [
        {"_id": bson.ObjectId(f"{i:024x}"), "label": "rose", "image": chance.bytes(3_000)}
        for i in range(count)
    ]


@contextmanager
def server() -> Iterator[tuple[str, str]]:
    """An address, and what is there."""
    if url := os.environ.get("MONGODB_URL"):
        yield url, "MongoDB"
        return
    with runpy.run_path(str(ROOT / "examples" / "flowers" / "standin.py"))["running"]() as address:
        yield address, "stand-in"


def compare(name: str, documents: list[dict[str, Any]], url: str, what: str) -> list[dict[str, Any]]:
    """Two measures of one set: rows per second."""
    raw = b"".join(map(bson.encode, documents))
    with pymongo.MongoClient(url) as client:
        client[DATABASE].drop_collection(name)
        client[DATABASE][name].insert_many(documents)
    os.environ["ORRERY_CONNECTION__BENCH"] = url
    table = read(f"mongodb:///{DATABASE}/{name}", connection="bench")
    columns = decide(documents[:2_000], {}, "the benchmark")
    assert table.to_arrow().num_rows == len(documents)

    def read_ours() -> float:
        return len(documents) / harness.seconds(table.to_arrow)

    def decode_ours() -> float:
        reader = Reader(columns, True, "the benchmark", BadRows())
        start = time.perf_counter()
        rows = sum(batch.num_rows for batch in reader.batches(raw))
        return rows / (time.perf_counter() - start)

    with tempfile.NamedTemporaryFile() as file:
        file.write(raw)
        file.flush()
        peer = subprocess.Popen(
            [
                PEERS,
                "-W",
                "ignore",
                ROOT / "benchmarks" / "peers" / "mongodb.py",
                url,
                DATABASE,
                name,
                file.name,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

        def ask(line: str) -> float:
            assert peer.stdin is not None
            assert peer.stdout is not None
            print(line, file=peer.stdin, flush=True)
            told = json.loads(peer.stdout.readline())
            assert told["rows"] == len(documents)
            return float(told["rows"] / told["s"])

        try:
            ask("read"), ask("decode"), read_ours(), decode_ours()  # warm
            pairs = ((f"read from the {what}", read_ours, "read"), ("decode BSON", decode_ours, "decode"))
            return [
                harness.paired(
                    f"{name}: {title}",
                    ours,
                    lambda line=line: ask(line),  # type: ignore[misc]  # bound now
                    unit="rows/s",
                    who="pymongoarrow 1.15.0",
                    better="higher",
                    runs=RUNS,
                )
                for title, ours, line in pairs
            ]
        finally:
            peer.communicate()


def measure() -> list[dict[str, Any]]:
    """Both sets; nothing where pymongoarrow cannot be had."""
    made = subprocess.run(
        ["sh", str(ROOT / "benchmarks" / "peers" / "mongodb.sh")], capture_output=True, text=True
    )
    if made.returncode != 0:
        print(f"  skipped: pymongoarrow cannot be had here: {made.stderr.strip()[-300:]}")
        return []
    with ExitStack() as stack:
        url, what = stack.enter_context(server())
        found = compare("people", people(), url, what)
        return [*found, *compare("pictures", pictures(), url, what)]


if __name__ == "__main__":
    harness.run("sources_mongodb", measure())
