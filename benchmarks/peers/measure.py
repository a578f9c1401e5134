"""One loader in a process of its own: ``python -m benchmarks.peers.measure '{"who": …, "kind": …}'``.

Prints one JSON object: per epoch rows, seconds, CPU seconds (children too) and seconds to the first batch; E
of the labels as they came; memory (PSS) after imports. Count and sum of labels must fit, else no figure.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import sets


def cpu_s() -> float:
    """CPU seconds of this process and of those that it waited for."""
    told = os.times()
    return told.user + told.system + told.children_user + told.children_system


def pss_mb(pid: int | str = "self") -> float:
    """Memory of a process; pages that several share count once in all."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    return 0.0


def effective(labels: list[Any], of_group: int) -> float:
    """E: 1 / Σ p², without the bias of sampling, averaged over batches."""
    found = []
    for batch in labels:
        shares = np.unique(batch // of_group, return_counts=True)[1] / len(batch)
        once = 1 / len(batch)
        found.append(1 / max((float(shares @ shares) - once) / (1 - once), 1e-9))
    return float(np.mean(found)) if found else 1.0


def epochs(
    kind: str, make: Callable[[str], Callable[[int], Iterator[Any]]], number: int, files: int | None = None
) -> dict[str, Any]:
    """Figures of some epochs, of the first files or all. Opening is inside the clock, imports are not.

    Where ``make`` has opened what it gives already, that is not counted.
    """
    all_files, _, of_group = sets.shape(kind[0])
    total = sets.rows(kind[0]) * (files or all_files) // all_files
    imported = pss_mb()
    told: list[dict[str, float]] = []
    sampled: list[Any] = []
    for e in range(number):
        start, cpu, first = time.perf_counter(), cpu_s(), 0.0
        if e == 0:
            epoch = make(kind)
        rows = added = seen = 0
        for features, labels in epoch(e):
            if not rows:
                first = time.perf_counter() - start
            features.reshape(-1)[0].item()
            rows, added, seen = rows + len(labels), added + int(labels.sum()), seen + 1
            if e == 0 and seen % 16 == 0:
                sampled.append(labels.numpy().copy())
        seconds = time.perf_counter() - start
        if rows != total or added != total * (total - 1) // 2:
            raise SystemExit(f"{rows} rows of {total}, sum {added}: rows were lost or doubled")
        told.append(
            {"rows": rows, "s": seconds, "cpu_s": cpu_s() - cpu, "first_s": first, "pss_mb": pss_mb()}
        )
    return {"epochs": told, "E": effective(sampled, of_group), "imported_mb": imported}


def ours(options: dict[str, Any]) -> Callable[[str], Callable[[int], Iterator[Any]]]:
    """Our loader, with settings from outside."""

    def make(kind: str) -> Callable[[int], Iterator[Any]]:
        loader, key = opened(kind, options)

        def epoch(number: int) -> Iterator[Any]:
            for batch in loader:
                yield batch[key], batch["label"]

        return epoch

    return make


def opened(kind: str, options: dict[str, Any]) -> tuple[Any, str]:
    """Our loader of a set, and under what name the features come."""
    from orrery.data.table import read

    files = options.pop("files", None)
    table = read(str(sets.folder(kind) / files) if files else str(sets.folder(kind)))
    if kind[0] == "A":
        return table.loader(1024, ["label"], features=sets.FEATURES, **options), "features"
    if kind[0] == "B":
        told = {"tensors": {"x": ("float32", (64, 64))}} if kind == "B_fsb" else {}
        return table.loader(256, **told, **options), "x"
    side = (sets.SIDE, sets.SIDE)
    return table.loader(64, images={"image": side}, resize="bilinear", **options), "image"


def moments(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Seconds to the first batch after a resume in the middle, and to close; what closing left."""
    loader, _ = opened(kind, dict(options))
    state = {**loader.state_dict(), "batch": len(loader) // 2}
    again, _ = opened(kind, dict(options))
    start = time.perf_counter()
    again.load_state_dict(state)
    next(iter(again))
    resumed = time.perf_counter() - start
    again.close()
    closing = []
    for taken in (1, 40, 200):
        running = iter(loader)
        for _ in itertools.islice(running, taken):
            pass
        start = time.perf_counter()
        loader.close()
        closing.append(time.perf_counter() - start)
    left = [t.name for t in threading.enumerate() if t.name.startswith("orrery")]
    return {"resume_s": resumed, "close_s": max(closing), "left": left, "state_bytes": len(json.dumps(state))}


def main(told: dict[str, Any]) -> dict[str, Any]:
    """What was asked for."""
    import torch

    torch.set_num_threads(1)
    who, kind, options = told["who"], told["kind"], told.get("options", {})
    sets.warm(sets.folder(kind))
    for name in told.get("imports", ()):
        importlib.import_module(name)
    if who == "ours":
        importlib.import_module("orrery.data.table")
        if told.get("moments"):
            return moments(kind, options)
        return epochs(kind, ours(options), told["epochs"], 1 if "files" in options else None)
    loaders = importlib.import_module("benchmarks.peers.loaders").LOADERS
    if who not in loaders:
        threads = importlib.import_module("benchmarks.peers.threads")
        loaders = threads.LOADERS
        if who in threads.IN_MEMORY:
            opened_before = loaders[who](kind)
            return epochs(kind, lambda _: opened_before, told["epochs"])
    return epochs(kind, loaders[who], told["epochs"])


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
