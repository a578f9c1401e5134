"""Folders of shards where nothing can be renamed: a list beside them says which are there, and that all are.

The list is written first, as unfinished, and once more when every shard is there; so what a writer leaves
that was killed is never taken for data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orrery.errors import SourceError

LIST = "_orrery.json"
"""The name of the list, in the folder of the shards."""

_FORMAT = 1


def begin(system: Any, folder: str) -> None:
    """Say that a folder is being written."""
    system.pipe_file(f"{folder}/{LIST}", json.dumps({"format": _FORMAT, "finished": False}).encode())


def finish(system: Any, folder: str, names: Sequence[str]) -> None:
    """Say that the shards of these names, below the folder, are all there."""
    told = {"format": _FORMAT, "finished": True, "files": sorted(names)}
    system.pipe_file(f"{folder}/{LIST}", json.dumps(told).encode())


def finished(system: Any, folder: str, found: Mapping[str, Any], shown: str) -> dict[str, Any]:
    """Of the files of a folder those that its list names; all, without a list. Raises SourceError."""
    root = folder.rstrip("/")
    if f"{root}/{LIST}" not in found:
        return dict(found)
    try:
        told = json.loads(system.cat_file(f"{root}/{LIST}"))
        names = [str(name) for name in told["files"]] if told["finished"] else None
    except (ValueError, KeyError, TypeError):
        raise SourceError(f"{shown}/{LIST} is not a list of shards.") from None
    if names is None:
        raise SourceError(
            f"{shown} is not finished: it is being written, or its writer was stopped.",
            hint="Delete the folder, and write it again.",
        )
    absent = [name for name in names if f"{root}/{name}" not in found]
    if absent:
        raise SourceError(f"{shown} lacks {absent[0]!r}, which its list {LIST} names.")
    return {f"{root}/{name}": found[f"{root}/{name}"] for name in names}
