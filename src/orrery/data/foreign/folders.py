"""Folders that Hugging Face ``datasets`` saved: ``state.json`` names the files that count, in their order."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from orrery.data import files, remote
from orrery.errors import SourceError

_MOST_BYTES = 16 << 20


def named(place: str) -> list[str]:
    """The files of a saved data set, in order; none where the place is no such folder. Raises SourceError."""
    if not files.is_local(place) or not files.local(place).is_dir():
        return []
    folder = files.local(place)
    if (folder / "dataset_dict.json").is_file():
        parts = sorted(p.parent.name for p in folder.glob("*/state.json"))
        raise SourceError(
            f"{files.shown(place)} holds several data sets: {', '.join(parts)}.",
            hint=f"Read one of them: {folder / parts[0] if parts else folder}.",
        )
    state = folder / "state.json"
    if not state.is_file() or state.stat().st_size > _MOST_BYTES:
        return []
    try:
        names = [str(one["filename"]) for one in json.loads(state.read_bytes())["_data_files"]]
    except (ValueError, KeyError, TypeError):
        return []
    for name in names:
        if PurePosixPath(name).name != name or remote.bare(name).startswith("."):
            raise SourceError(f"{state} names {name!r:.200}, which is no file of its folder.")
    return [str(folder / name) for name in names]
