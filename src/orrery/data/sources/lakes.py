"""Folders that are tables of a lake: Delta and Iceberg keep a log or metadata beside their files."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress

from orrery.data import files, remote
from orrery.errors import OrreryError, SettingsError

DELTA_LOG = "_delta_log"
METADATA = "metadata"


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
