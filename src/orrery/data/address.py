"""From an address or an object to the source that reads it."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Iterable, Mapping
from copy import copy
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from typing import Any

from orrery.data import files, packed, remote
from orrery.data.quarantine import BadRows
from orrery.data.sources import KINDS, lakes, objects
from orrery.data.sources.file import FileSource
from orrery.data.sources.hive import in_folders, of_folders
from orrery.data.sources.memory import Memory, is_rows
from orrery.errors import SettingsError, did_you_mean, listing

SCHEMES = {
    "sqlite": "sqlite",
    "duckdb": "duckdb",
    "delta": "delta",
    "iceberg": "iceberg",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "sql",
    "mariadb": "sql",
    "oracle": "sql",
    "mssql": "sql",
    "sqlalchemy": "sql",
    "kafka": "kafka",
    "spark": "spark",
    "mongodb": "mongodb",
    "mongodb+srv": "mongodb",
}
"""Scheme of an address -> kind of source."""

_TEXTS = {"csv": (".csv", ".tsv"), "jsonl": (".jsonl", ".ndjson"), "text": (".txt", ".log")}
"""Forms of text, all of which may be compressed."""

ENDINGS = {
    **{ending: kind for kind, names in _TEXTS.items() for ending in packed.every(*names)},
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".orc": "orc",
    **dict.fromkeys((*packed.every(".tar"), ".tgz"), "webdataset"),
    ".metadata.json": "iceberg",
    ".png": "images",
    ".jpg": "images",
    ".jpeg": "images",
    ".webp": "images",
    ".gif": "images",
    ".bmp": "images",
    ".tif": "images",
    ".tiff": "images",
    **dict.fromkeys((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"), "audio"),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg"), "video"),
    **dict.fromkeys((".flv", ".wmv", ".ogv"), "video"),
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
    ".duckdb": "duckdb",
}
"""How a file's name ends -> kind of source."""

MEDIA = {"images", "audio", "video"}
"""Kinds of which a folder is one source, sub-folders and other files beside them included."""

_MEMBERS = ("schema", "partitions", "read", "fingerprint", "to_dict")
"""What a source has."""


def source_of(place: Any, options: dict[str, Any], kinds: Mapping[str, Any]) -> Any:
    """The source for an address or for rows in memory; ``kinds`` helps a text form to find its types.

    Raises SettingsError.
    """
    if _is_source(place):
        return _made(type(place), place, options)
    if (known := objects.class_of(place)) is not None:
        return _made(_loaded(known), place, options)
    if is_rows(place):
        return _made(Memory, place, options)
    if not isinstance(place, (str, os.PathLike)):
        raise SettingsError(
            f"{type(place).__name__} cannot be read as a table.",
            hint="Give an address, a data frame, Arrow, a data set, dicts, or a function that gives rows.",
        )
    text = os.fspath(place)
    if options.get("connection") and text.partition("://")[0].lower() in remote.PACKAGES:
        text = remote.with_connection(text, options["connection"])
        options = {name: value for name, value in options.items() if name != "connection"}
    kind = "logs" if "pattern" in options and _may_be_log(text) else kind_of(text)
    source = _class_of(kind)
    if kinds and "kinds" in inspect.signature(source).parameters:
        options = {"kinds": {name: str(kind) for name, kind in kinds.items()}, **options}
    if not issubclass(source, FileSource) or kind in MEDIA:
        return _made(source, text, options)
    types = options.get("types") or {}
    folders = of_folders(source(text), types) if types else {}
    if folders:  # the others are of the files' own columns
        own = {name: kind for name, kind in types.items() if name not in folders}
        options = {n: v for n, v in options.items() if n != "types"} | ({"types": own} if own else {})
    return in_folders(_made(source, text, options), folders)


def kind_of(place: str) -> str:
    """The kind of source behind an address: by its scheme, its ending, or what lies in the folder."""
    scheme = re.match(r"^([A-Za-z][A-Za-z0-9+.-]+)://", place)
    if scheme and (kind := _of_scheme(scheme[1].lower())):
        return kind
    if scheme and scheme[1].lower() in _plugins():
        return scheme[1].lower()
    if scheme and scheme[1].lower() != "file" and not remote.is_known(scheme[1]):
        known = [*SCHEMES, *_plugins(), *remote.PACKAGES, "file"]
        raise SettingsError(
            f"No source is known that reads {scheme[1]}:// ({files.shown(place)}).",
            hint=did_you_mean(scheme[1], known) or f"There are {listing(sorted(known), 20)}.",
        )
    if kind := _by_ending(place.partition("?")[0] if scheme else place):
        return kind
    if kind := lakes.kind_of(place):
        return kind
    if files.is_local(place) and files.local(place).is_dir():
        below = (p for p in files.local(place).rglob("*") if p.is_file() and p.name[0] not in "._")
        return _kind_of_folder(place, (p.name for p in below))
    if scheme and remote.is_known(scheme[1]):
        return _kind_of_folder(place, map(remote.bare, files.find(place, tuple(ENDINGS))))
    if files.is_local(place) and not files.local(place).exists():
        files.find(place, ())  # says that it is not there
    raise SettingsError(
        f"{files.shown(place)!r} does not say what it is.",
        hint=f"Addresses end in {listing(sorted(ENDINGS), 20)}, or begin with sqlite:// or postgresql://.",
    )


def _of_scheme(scheme: str) -> str | None:
    """A driver may be named behind a plus: ``mysql+pymysql``."""
    return SCHEMES.get(scheme) or SCHEMES.get(scheme.partition("+")[0])


def _may_be_log(place: str) -> bool:
    """A log may be called anything (``syslog``, ``access_log.1``) that no other kind of file is called."""
    scheme, _, rest = place.partition("://")
    known = not rest or scheme == "file" or remote.is_known(scheme)
    return known and _by_ending(place.partition("?")[0] if rest else place) in (None, "text")


def _by_ending(name: str) -> str | None:
    lower = name.lower().rstrip("/")
    return next((kind for ending, kind in ENDINGS.items() if lower.endswith(ending)), None)


def _kind_of_folder(folder: str, names: Iterable[str]) -> str:
    """What most of the folder's first files are."""
    counts: dict[str, int] = {}
    for name in islice(names, 1000):
        if kind := _by_ending(name):
            counts[kind] = counts.get(kind, 0) + 1
    if not counts:
        raise SettingsError(f"The folder {files.shown(folder)} holds no file that can be read as a table.")
    if len(counts) > 1 and not MEDIA & {*counts}:
        raise SettingsError(
            f"The folder {files.shown(folder)} holds files of several kinds: {listing(counts)}.",
            hint="Use a glob.",
        )
    return max(counts, key=lambda kind: counts[kind])


def _plugins() -> dict[str, EntryPoint]:
    return {point.name.lower(): point for point in entry_points(group="orrery.data.sources")}


def _class_of(kind: str) -> Any:
    return _loaded(KINDS[kind]) if kind in KINDS else _installed(_plugins()[kind])


def _loaded(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _installed(point: EntryPoint) -> Any:
    """The source of an installed package. Raises SettingsError that names the package."""
    package = point.dist.name if point.dist is not None else point.value
    told = f"The package {package!r} says that it reads {point.name}://, but its source {point.value!r}"
    try:
        found = point.load()
    except Exception as error:  # another's code may raise anything while it is imported
        text = f"{type(error).__name__}: {error}"
        raise SettingsError(
            f"{told} cannot be loaded: {text}.", hint=f"Update or remove {package}."
        ) from error
    missing = [name for name in _MEMBERS if not callable(getattr(found, name, None))]
    if not callable(found) or missing:
        raise SettingsError(
            f"{told} is no source: it has no {listing(missing or ['constructor'])}.",
            hint="orrery.data.sources.plain.PlainSource has all but schema and rows.",
        )
    return found


def _is_source(place: Any) -> bool:
    """Whether an object is a source itself."""
    return all(callable(getattr(type(place), name, None)) for name in _MEMBERS)


_ELSEWHERE = {("MongoDb", "query"): "MongoDB is asked by filter={…}, or by pipeline=[…] for an aggregation."}
"""Options of another place -> how this one is asked."""


def _made(source: Any, place: Any, options: dict[str, Any]) -> Any:
    """The source with its options; an unknown option is told with those there are.

    ``place`` may be a source already. ``on_bad`` is for all: one that takes no such option and reports bad
    rows is told afterwards; one that has none of its own, a table of a database, has nothing to do.
    """
    ready = isinstance(source, type) and isinstance(place, source)
    known = [] if ready else list(inspect.signature(source).parameters)[1:]
    bad = BadRows(options["on_bad"]) if "on_bad" in options and "on_bad" not in known else None
    if bad is not None:
        options = {name: value for name, value in options.items() if name != "on_bad"}
    for name in options:
        if name not in known:
            raise SettingsError(
                f"{source.__name__} has no option {name!r}; its options are {listing(known) or 'on_bad'}.",
                hint=_ELSEWHERE.get((source.__name__, name)) or did_you_mean(name, known),
            )
    made = place if ready else source(place, **options)
    if bad is not None and isinstance(getattr(made, "bad", None), BadRows):
        made = copy(made) if ready else made  # which others may read another way
        made.bad = bad
    return made
