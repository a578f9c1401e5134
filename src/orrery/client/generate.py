"""A client of one model as Python code, with types from the model's signature (``orrery client``).

Names that others chose (of columns, labels, the model) get into the code in two ways only: as literals that
Python itself wrote, and as identifiers that are checked to be nothing else.
"""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from orrery.errors import ServingError
from orrery.schema import Field, Kind

_BEGIN = "# --- what follows is made from the model's signature\n"
_END = "# --- from here on it is the same for every model\n"
_TAKEN = {*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "dt", "dataclass", "Any"}
"""What a field may not be called: the code around it means something else by it."""

_KINDS = {
    Kind.TEXT: "str",
    Kind.DATETIME: "dt.datetime | dt.date | str",
    Kind.IMAGE: "bytes",
    Kind.AUDIO: "bytes",
    Kind.VIDEO: "bytes",
    Kind.VECTOR: "list[float]",
    Kind.SERIES: "list[float]",
    Kind.TENSOR: "list[Any]",
    Kind.LABELS: "list[str]",
    Kind.MAP: "dict[str, Any]",
    Kind.GEO: "list[float] | dict[str, float]",
}


def client_code(told: Mapping[str, Any]) -> str:
    """A module for a model, from what a service tells of it at ``/v1/models/{name}``.

    Raises ServingError where that is not what a service tells.

    >>> told = {"name": "pets", "version": 3, "inputs": [{"name": "weight in kg", "type": "double"}],
    ...         "target": {"name": "kind", "kind": "category", "type": "string", "labels": ["cat", "dog"]}}
    >>> "    weight_in_kg: float | None" in client_code(told)
    True
    """
    try:
        fields = [Field.from_dict(dict(one)) for one in told["inputs"]]
        target = told["target"]
        made = [
            f"MODEL = {_literal(str(told['name']))}",
            f"VERSION = {int(told['version'])}",
            f"TARGET = {_literal(str(target['name']))}",
            f"LABELS: tuple[str | int | float | bool, ...] = {_labels(target.get('labels') or ())}",
            *_row(fields),
            *_answer(Kind(target["kind"]), str(target["type"])),
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServingError(f"This is not what a service tells of a model: {error!r:.200}.") from None
    whole = (files("orrery.client") / "template.py").read_text("utf-8")
    before, _, rest = whole.partition(_BEGIN)
    return before + _BEGIN + "\n".join(made) + "\n" + _END + rest.partition(_END)[2]


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """An identifier for each name, all of them different.

    >>> identifiers(["age", "income €", "class", "2nd", "Age", "age"])
    {'age': 'age', 'income €': 'income', 'class': 'class_', '2nd': 'n2nd', 'Age': 'Age'}
    """
    found: dict[str, str] = {}
    used: set[str] = set()
    for name in dict.fromkeys(names):
        wanted = _identifier(name)
        unique, number = wanted, 2
        while unique in used:
            unique, number = f"{wanted}_{number}", number + 1
        used.add(unique)
        found[name] = unique
    return found


def _identifier(name: str) -> str:
    text = unicodedata.normalize("NFKC", name)  # as Python reads its own code
    text = re.sub(r"_+", "_", "".join(c if f"a{c}".isidentifier() else "_" for c in text)).strip("_")
    text = unicodedata.normalize("NFKC", text)[:60].strip("_") or "column"
    if not text[0].isidentifier():
        text = f"n{text}"
    text = f"{text}_" if text in _TAKEN else text
    return text if text.isidentifier() else "column"


def _row(fields: list[Field]) -> list[str]:
    names = identifiers(field.name for field in fields)
    columns = [f"    {_literal(names[f.name])}: {_literal(f.name)}," for f in fields]
    lines = [f"    {names[field.name]}: {_type_of(field.kind, field.type)} | None" for field in fields]
    return [
        *_class("Row", "What the model reads; None is missing."),
        *(lines or ["    pass"]),
        "\n",
        "COLUMNS: dict[str, str] = {",
        *columns,
        "}",
    ]


def _answer(kind: Kind, type_name: str) -> list[str]:
    outputs = {"prediction": _type_of(kind, type_name)}
    if kind is Kind.CATEGORY:
        outputs["probability"] = "float"
    if kind in (Kind.CATEGORY, Kind.LABELS):
        outputs["probabilities"] = "dict[str, float]"
    if kind is Kind.NUMBER:
        outputs["prediction"] = "float"
    return [
        *_class("Answer", "What the model says of a row."),
        "    id: str",
        "    version: str",
        *(f"    {name}: {type_text}" for name, type_text in outputs.items()),
        "\n",
        f"OUTPUTS = {tuple(outputs)!r}",
    ]


def _class(name: str, purpose: str) -> list[str]:
    return ["\n", "@dataclass(frozen=True, kw_only=True)", f"class {name}:", f'    """{purpose}"""', ""]


def _type_of(kind: Kind | None, type_name: str) -> str:
    """The Python type of a column's values."""
    if kind in _KINDS:
        return _KINDS[kind]
    if type_name == "bool":
        return "bool"
    if re.fullmatch(r"u?int\d+", type_name):
        return "int"
    if re.fullmatch(r"halffloat|float|double|decimal\w*\(.*\)", type_name):
        return "float"
    return "bytes" if "binary" in type_name else "str" if "string" in type_name else "Any"


def _labels(labels: Iterable[object]) -> str:
    """Labels as a tuple of literals; anything but text and numbers is told as its text."""
    texts = [
        _literal(one) if isinstance(one, str | bool | int | float) else _literal(str(one)) for one in labels
    ]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def _literal(value: str | bool | int | float) -> str:
    """A value as Python writes it: nothing in it can end the literal, or the line."""
    if isinstance(value, float) and value - value != 0:
        return f'float("{value!r}")'
    return repr(value)
