"""Folders that are tables of a lake: Delta and Iceberg keep a log or metadata beside their files."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from orrery.data import files, remote
from orrery.errors import OrreryError, SettingsError, SourceError

DELTA_LOG = "_delta_log"
METADATA = "metadata"
_SAME = {"s3a": "s3", "s3n": "s3", "abfss": "abfs"}


def kind_of(place: str) -> str | None:
    """``delta`` or ``iceberg``, for the folder of such a table; None for any other place."""
    if files.is_local(place):
        folder = files.local(place)
        if (folder / DELTA_LOG).is_dir():
            return "delta"
        tables = (folder / METADATA).glob("*.metadata.json") if (folder / METADATA).is_dir() else iter(())
        return "iceberg" if next(tables, None) is not None else None
    scheme = place.partition("://")[0].lower()
    if scheme in ("http", "https") or not remote.is_known(scheme):
        return None
    with suppress(OrreryError, OSError):  # told when it is read
        system, path = remote.system_of(place)
        names = {str(p).rstrip("/").rpartition("/")[2] for p in system.ls(path.rstrip("/"), detail=False)}
        if DELTA_LOG in names:
            return "delta"
        if METADATA in names:
            inside = system.ls(f"{path.rstrip('/')}/{METADATA}", detail=False)
            return "iceberg" if any(str(p).endswith(".metadata.json") for p in inside) else None
    return None


def newest_metadata(names: list[str]) -> str | None:
    """Of the names of metadata files the one of the newest version: ``00012-….metadata.json``, ``v12.…``."""
    numbered = [
        (int(found[1]), name) for name in names if (found := re.search(r"(?:^|/)v?(\d+)[^/]*$", name))
    ]
    return max(numbered)[1] if numbered else None


def instant(text: str) -> dt.datetime:
    """A time as ISO 8601 says it; without a zone it is of UTC. Raises SettingsError."""
    try:
        found = dt.datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise SettingsError(
            f"{text!r} is no time.", hint="Write it like 2026-05-01T12:00:00+00:00."
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def is_inside(address: str, root: str) -> bool:
    """Whether a file lies in a folder: here links are followed, and ``..`` leads out wherever it is."""
    if ".." in re.split(r"[/\\]", unquote(address)):
        return False
    if not _is_here(root):
        scheme, _, path = remote.bare(address).partition("://")
        of_root, _, folder = remote.bare(root).partition("://")
        same = _SAME.get(scheme.lower(), scheme.lower()) == _SAME.get(of_root.lower(), of_root.lower())
        return same and path.startswith(f"{folder.rstrip('/')}/")
    bare = re.sub(r"^file:(//)?", "", address)
    ways = {bare, bare.partition("#")[0].partition("?")[0]} if bare != address else {bare}
    return _is_here(address) and all(
        Path(way).resolve().is_relative_to(files.local(root).resolve()) for way in ways
    )


def _is_here(address: str) -> bool:
    return files.is_local(address) and not re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+:", address)


def outside(address: str, place: str) -> SourceError:
    """What to say of a file that is not in its table's folder."""
    return SourceError(
        f"The table {files.shown(place)} names {files.shown(address)[:200]!r}, which is not in its folder.",
        hint="If you know who wrote the table, and that it should, read it with outside=True.",
    )


def object_store(place: str) -> dict[str, str] | None:
    """What ``deltalake`` needs to know to reach a place, its connection's login among it."""
    told = remote.options_of(place)
    names = {"key": "aws_access_key_id", "secret": "aws_secret_access_key", "token": "aws_session_token"}
    found = {to: str(told[name]) for name, to in names.items() if name in told}
    if endpoint := told.get("endpoint_url"):
        found |= {"aws_endpoint": endpoint, "aws_allow_http": str(endpoint.startswith("http://")).lower()}
    if told:
        found["aws_region"] = told.get("client_kwargs", {}).get("region_name", "us-east-1")
    return found or None


def file_io(place: str) -> dict[str, str]:
    """The same for ``pyiceberg``."""
    told = remote.options_of(place)
    names = {"key": "s3.access-key-id", "secret": "s3.secret-access-key", "token": "s3.session-token"}
    found = {to: str(told[name]) for name, to in names.items() if name in told}
    if endpoint := told.get("endpoint_url"):
        found["s3.endpoint"] = endpoint
    if told:
        found["s3.region"] = told.get("client_kwargs", {}).get("region_name", "us-east-1")
    return found
