"""Files written by Hugging Face ``datasets``: what its features mean is in the schema's metadata.

Pictures and sounds (``struct<bytes, path>``) become their bytes, numbers of classes their names. Other
features are stored as what they are. Source: ``datasets`` 5.2, ``features/features.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from orrery.data.foreign.meaning import Meaning
from orrery.errors import SourceError
from orrery.schema import Kind

_MEDIA = {"Image": Kind.IMAGE, "Audio": Kind.AUDIO, "Video": Kind.VIDEO}


def meanings(schema: Any) -> dict[str, Meaning]:
    """The columns of pictures, sounds, films and classes."""
    features = _features(schema)
    found: dict[str, Meaning] = {}
    for field in schema:
        feature = features.get(field.name)
        kind = feature.get("_type") if isinstance(feature, Mapping) else None
        names = feature.get("names") if isinstance(feature, Mapping) else None
        if kind in _MEDIA and _is_medium(field.type):
            found[field.name] = _medium(field, _MEDIA[str(kind)])
        elif kind == "ClassLabel" and pa.types.is_integer(field.type) and isinstance(names, list):
            found[field.name] = _classes(field, [str(name) for name in names])
    return found


def _features(schema: Any) -> Mapping[str, Any]:
    text = (schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(text)["info"]["features"] if text else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, Mapping) else {}


def _is_medium(kind: Any) -> bool:
    return pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0


def _medium(field: Any, kind: Kind) -> Meaning:
    given = pa.field(field.name, field.type.field("bytes").type, True, {"orrery.kind": kind.value})

    def read(array: Any, shown: str) -> Any:
        data, paths = array.flatten()[field.type.get_field_index("bytes")], None
        place = field.type.get_field_index("path")
        if place >= 0:
            paths = array.flatten()[place]
        if paths is not None:
            for row in range(len(array)):
                if not data[row].is_valid and paths[row].is_valid:
                    raise SourceError(
                        f"{shown}: the column {field.name!r} names the file {str(paths[row])[:200]!r} "
                        "instead of holding it; Orrery opens no file that a file names.",
                        hint="Embed the files first: datasets' save_to_disk and push_to_hub do.",
                    )
        return data

    return Meaning(given, read)


def _classes(field: Any, names: list[str]) -> Meaning:
    given = pa.field(field.name, pa.string(), True, {"orrery.kind": Kind.CATEGORY.value})
    words = pa.array(names, pa.string())

    def read(array: Any, shown: str) -> Any:
        known = pa.array([None if n is None or n == -1 else n for n in array.to_pylist()], pa.int64())
        try:
            return words.take(known)
        except (pa.ArrowIndexError, IndexError):
            raise SourceError(
                f"{shown}: a number in {field.name!r} is none of its {len(names)} classes."
            ) from None

    return Meaning(given, read)
