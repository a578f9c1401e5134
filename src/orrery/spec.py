"""Settings of any part: frozen, checked, comparable, and equal in Python, YAML and REST.

A :class:`Spec` is settings and nothing else. Where there is a choice (which feature, which learner), the
family's base class is a :class:`Choice`: its members carry a ``kind`` tag and are found by name in one
lazy table, ``KINDS`` of the family's package, or through an entry point of the same name.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.metadata import entry_points
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from orrery.errors import SettingsError, did_you_mean, listing


class Spec(BaseModel):
    """Settings: frozen, with no unknown keys.

    >>> class Scale(Spec):
    ...     column: str
    ...     clip: float = 10.0
    >>> Scale(column="age").to_dict()
    {'column': 'age', 'clip': 10.0}
    >>> Scale.from_dict({"column": "age"}) == Scale(column="age")
    True
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True
    )

    def to_dict(self) -> dict[str, Any]:
        """Every setting, defaults included, as plain JSON values."""
        return self.model_dump(mode="json", serialize_as_any=True)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Settings from plain values. Raises SettingsError that names each wrong key."""
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise settings_error(cls, error) from None

    def key(self) -> str:
        """A hash that is stable over processes and releases: the same settings, the same key."""
        return stable_key(type(self).__name__, self.to_dict())

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked again."""
        return type(self).from_dict({**{n: getattr(self, n) for n in type(self).model_fields}, **changes})


def stable_key(*parts: object) -> str:
    """Twenty hexadecimal digits that depend on nothing but the values (JSON, keys sorted).

    >>> stable_key({"b": 1, "a": 2}) == stable_key({"a": 2, "b": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def code_key(thing: Any) -> str:
    """A hash of the file in which a user's own function or class stands; nothing for what Orrery ships.

    Part of the key of a run: edited code must not go on from what the old code learnt.

    >>> code_key(Spec)
    ''
    """
    module = inspect.getmodule(thing)
    if module is None or module.__name__.partition(".")[0] == "orrery":
        return ""
    try:
        return stable_key(inspect.getsource(module))
    except (OSError, TypeError):  # written at a prompt: its name is all there is
        return stable_key(module.__name__, getattr(thing, "__qualname__", ""))


def settings_error(kind: type[BaseModel], error: ValidationError) -> SettingsError:
    """Pydantic's findings as one error: each with its place, what is allowed, and what was received."""
    lines = []
    for finding in error.errors():
        place = ".".join(str(part) for part in finding["loc"])
        if finding["type"] == "extra_forbidden":
            known = list(kind.model_fields)
            name = str(finding["loc"][-1])
            lines.append(
                f"{place}: unknown setting; allowed are {listing(known)}. {did_you_mean(name, known)}"
            )
        elif finding["type"] == "missing":
            lines.append(f"{place}: this setting is needed")
        else:
            said = finding["msg"].removeprefix("Value error, ")  # pydantic's words for an error of ours
            received = repr(finding["input"])
            lines.append(f"{place}: {said}" if received in said else f"{place}: {said}, received {received}")
    return SettingsError(f"Wrong settings for {kind.__name__}: {'; '.join(s.strip() for s in lines)}")


class Choice(Spec):
    """The base of a family whose members are told apart by ``kind``.

    ``family`` names the package whose ``KINDS`` maps each kind to ``module:Class``; the same name is the
    entry-point group through which installed plug-ins add members.
    """

    family: ClassVar[str] = ""
    kind: str

    @classmethod
    def kinds(cls) -> dict[str, str]:
        """Each kind of this family -> ``module:Class``, plug-ins included."""
        table = dict(importlib.import_module(cls.family).KINDS)
        for point in entry_points(group=cls.family):
            table.setdefault(point.name, point.value)
        return table

    @classmethod
    def member(cls, kind: str) -> type[Choice]:
        """The class behind a kind. Raises SettingsError that lists the kinds there are."""
        table = cls.kinds()
        if kind not in table:
            raise SettingsError(
                f"There is no {cls.__name__.lower()} of kind {kind!r}. The kinds are {listing(table)}.",
                hint=did_you_mean(kind, table),
            )
        module, _, name = table[kind].partition(":")
        found: type[Choice] = getattr(importlib.import_module(module), name)
        return found

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """A member from plain values: ``{"kind": ..., ...}``."""
        kind = settings.get("kind")
        if kind is None:
            raise SettingsError(f"A {cls.__name__.lower()} needs 'kind', one of {listing(cls.kinds())}.")
        return cls.member(str(kind)).from_dict(settings)  # type: ignore[return-value]  # a member of the family

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        if "family" not in cls.__dict__:  # a member, not the family's base
            return handler(source)

        def choose(value: Any) -> Any:
            if isinstance(value, str):
                value = {"kind": value}
            try:
                return cls.of(value) if isinstance(value, Mapping) else value
            except SettingsError as error:
                raise ValueError(str(error)) from None

        return core_schema.no_info_before_validator_function(choose, core_schema.is_instance_schema(cls))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        if "family" not in cls.__dict__:
            return handler(core)
        if cls.family in _unfolding.get():  # a member that holds members, at any depth
            kinds = {"kind": {"enum": sorted(cls.kinds())}}
            return {"title": cls.__name__, "type": "object", "properties": kinds, "required": ["kind"]}
        token = _unfolding.set(_unfolding.get() | {cls.family})
        try:
            members = [_inlined(cls.member(kind).model_json_schema()) for kind in sorted(cls.kinds())]
        finally:
            _unfolding.reset(token)
        return {"title": cls.__name__, "oneOf": members, "discriminator": {"propertyName": "kind"}}


_unfolding: ContextVar[frozenset[str]] = ContextVar(
    "families whose JSON Schema is being written", default=frozenset()
)


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema with its ``$defs`` put where they are used, for it becomes part of a larger one."""
    defs = schema.get("$defs", {})

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        found = defs.get(str(node.get("$ref", "")).removeprefix("#/$defs/"), {})
        return {key: walk(value) for key, value in {**found, **node}.items() if key not in {"$ref", "$defs"}}

    inlined: dict[str, Any] = walk(schema)
    return inlined
