"""The metrics of several processes as one: each keeps its own in a file, and whoever is asked adds them up.

A process writes its file before it adds, so what one has shown, every other one shows at least: a counter
never goes back, also where a process was killed, whose file stays.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

_EVERY_S = 1.0
_ADDED = ("counter", "histogram")
_Key = tuple[str, tuple[tuple[str, str], ...]]  # name and labels of a sample


class Tally:
    """The file of this process in a folder of such files, written anew each second from ``own``."""

    def __init__(self, folder: Path, own: Callable[[], bytes]) -> None:
        self.folder = folder
        self.own = own
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orrery-tally", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self.write()
        self._thread.start()

    def write(self) -> None:
        """Write now; a reader sees the file as it was, or as it is."""
        path = self.folder / f"{os.getpid()}.prom"
        with self._lock:
            aside = path.with_suffix(".part")
            aside.write_bytes(self.own())
            aside.replace(path)

    def text(self) -> bytes:
        """The sum over all processes."""
        self.write()
        return summed(path.read_text() for path in sorted(self.folder.glob("*.prom")))

    def close(self) -> None:
        """Write for the last time."""
        self._closing.set()
        self._thread.join()
        self.write()

    def _run(self) -> None:
        while not self._closing.wait(_EVERY_S):
            try:
                self.write()
            except OSError:
                continue  # a full disk; the next one may succeed


def summed(texts: Iterable[str]) -> bytes:
    """Texts for Prometheus as one: counters and bytes are added, of other states the largest is told.

    >>> one = '''# TYPE a_total counter
    ... a_total 1.0
    ... # TYPE b gauge
    ... b 3.0
    ... '''
    >>> [line for line in summed([one, one]).decode().splitlines() if line[0] != "#"]
    ['a_total 2.0', 'b 3.0']
    """
    families: dict[str, Metric] = {}
    found: dict[str, dict[_Key, Sample]] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            families.setdefault(family.name, family)
            samples = found.setdefault(family.name, {})
            is_added = family.type in _ADDED or family.name.endswith("_bytes")
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                before = samples.get(key)
                samples[key] = sample if before is None else _joined(before, sample, is_added)
    return generate_latest(_registry(families, found))


def _joined(one: Sample, two: Sample, is_added: bool) -> Sample:
    if one.name.endswith("_created"):
        return one._replace(value=min(one.value, two.value))
    return one._replace(value=one.value + two.value if is_added else max(one.value, two.value))


def _registry(families: dict[str, Metric], found: dict[str, dict[_Key, Sample]]) -> CollectorRegistry:
    class Sums(Collector):
        def collect(self) -> list[Metric]:
            for name, family in families.items():
                family.samples = list(found[name].values())
            return list(families.values())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Sums())
    return registry
