"""Where a Delta table keeps the numbers of its deleted rows, as its log says, and whether that is its folder.

``deltalake`` opens whatever the log names. All of the log up to a version is looked at, so that what it named
once is refused too. Source: the Delta transaction log protocol, "Deletion Vectors" and "Checkpoints".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from orrery.data import files, remote
from orrery.data.sources import lakes
from orrery.extras import require

_OWN = 20  # characters of a relative vector's own number; what stands before them is a folder
_ADDED = ("add.deletionVector.storageType", "add.deletionVector.pathOrInlineDv")


def check(place: str, version: int) -> None:
    """Raises SourceError where the log up to a version names a file of deleted rows outside the folder."""
    root = remote.bare(place).rstrip("/")
    seen: set[str] = set()
    for path in _log(place, version):
        for action in _commit(path) if remote.bare(path).endswith(".json") else _checkpoint(path):
            for address in set(_addresses(action, root)) - seen:
                if not (lakes.is_inside(address, root) and lakes.is_inside(unquote(address), root)):
                    raise lakes.outside(address, place)
                seen.add(address)


def _log(place: str, version: int) -> Iterator[str]:
    """The files of the log: commits, checkpoints, and what checkpoints leave to others."""
    if files.is_local(place):
        folder = files.local(place) / lakes.DELTA_LOG
        found = [str(path) for path in folder.rglob("*") if path.is_file()]
    else:
        system, root = remote.system_of(place)
        inside = system.find(f"{root.rstrip('/')}/{lakes.DELTA_LOG}")
        found = list(remote.addresses(system, inside, place).values())
    for path in sorted(found):
        number = re.match(r"\d+", remote.bare(path).rpartition("/")[2])
        later = number is not None and "/_sidecars/" not in path and int(number[0]) > version
        if remote.bare(path).endswith((".json", ".parquet")) and not later:
            yield path


def _commit(path: str) -> Iterator[Any]:
    with files.opened(path) as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def _checkpoint(path: str) -> Iterator[Any]:
    parquet = require("pyarrow.parquet", "Reading a Delta table")
    with files.opened(path, ranges=True) as file:
        for batch in parquet.ParquetFile(file).iter_batches(10_000, columns=[*_ADDED, "sidecar.path"]):
            yield from batch.to_pylist()


def _addresses(action: Any, root: str) -> Iterator[str]:
    """Of the files that one line of the log has a reader open, but for those that hold the rows."""
    if isinstance(sidecar := _within(action, "sidecar").get("path"), str):
        yield _full(sidecar, f"{root}/{lakes.DELTA_LOG}/_sidecars")
    vector = _within(_within(action, "add"), "deletionVector")
    path, storage = vector.get("pathOrInlineDv"), vector.get("storageType")
    if isinstance(path, str) and storage == "p":
        yield _full(path, root)
    elif isinstance(path, str) and storage == "u":
        folder = "/".join(part for part in (root, path[:-_OWN]) if part)
        yield f"{folder}/deletion_vector"
        if files.is_local(folder):  # of which one may be a link
            yield from map(str, files.local(folder).glob("deletion_vector_*.bin"))


def _within(action: Any, name: str) -> Mapping[str, Any]:
    found = action.get(name) if isinstance(action, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _full(path: str, folder: str) -> str:
    return path if re.match(r"/|[A-Za-z][A-Za-z0-9+.-]*:", path) else f"{folder}/{path}"
