"""What an operator is: a typed function, whose ports and settings are read from its signature.

A parameter annotated with a class that flows between operators (``Table``, ``Model``, ``Report`` …) is a
*port*; one annotated :class:`Context` receives the run's; every other one is a *setting*, checked by
pydantic. The return annotation says what comes out: one value, or several by a ``NamedTuple``. The
docstring is the help.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from pydantic import GetJsonSchemaHandler, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from orrery.errors import FlowError, did_you_mean, listing
from orrery.flow.graph import Node, Step
from orrery.flow.ports import type_of
from orrery.spec import Spec
from orrery.training.events import Observer

P = ParamSpec("P")
R = TypeVar("R")

SINGLE = "value"
"""The name of the output of an operator that gives one value; a reference leaves it out."""


@dataclass(frozen=True)
class Context:
    """What a run lends to an operator that asks for it by a parameter annotated ``Context``."""

    folder: Path | None = None
    """Where unfinished work is kept; the same folder again after a kill."""
    observers: tuple[Observer, ...] = ()
    """Who watches the training inside."""


OUTSIDE = Context()
"""The context of an operator that is called as a plain function."""


@dataclass(frozen=True)
class Column:
    """Marks a setting that names a column of a port, so that ``check`` can compare it with the schema.

    ``target: Annotated[str, Column("table")]``
    """

    port: str

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core), "x-column-of": self.port}


@dataclass(frozen=True)
class Port:
    """One input of an operator."""

    name: str
    type: str
    required: bool = True
    many: bool = False
    """Takes a list of values."""
    help: str = ""


@dataclass(frozen=True)
class Options:
    """What a decorator says about an operator beyond its signature."""

    lazy: bool = False
    """Only adds a step to a table: done at every run and at ``check``, never stored."""
    uses: tuple[str, ...] = ()
    """Distributions whose version changes the result."""
    holds: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] | None = None
    """For operators with an effect outside: (settings, outputs) -> is the effect still there?"""
    changes: str = ""
    """Why it runs each time, for operators that look at more than their inputs."""


class Operator(Generic[P, R]):
    """A typed function as a part of flows. Call it as the function it is, or place it with :meth:`node`."""

    def __init__(self, function: Callable[P, R], options: Options) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.name = function.__name__
        hints = typing.get_type_hints(function, include_extras=True)
        self.outputs = _outputs(hints.pop("return"), self.name)
        self.help, described = _docstring(function)
        self.inputs: dict[str, Port] = {}
        self.context_name = ""
        settings: dict[str, Any] = {}
        for parameter in inspect.signature(function).parameters.values():
            annotation = hints[parameter.name]
            port = _port(parameter, annotation, described.get(parameter.name, ""))
            if port is not None:
                self.inputs[parameter.name] = port
            elif annotation is Context:
                self.context_name = parameter.name
            else:
                default = ... if parameter.default is parameter.empty else parameter.default
                text = described.get(parameter.name)
                settings[parameter.name] = (annotation, FieldInfo(default=default, description=text))
        self.settings: type[Spec] = create_model(f"{self.name} settings", __base__=Spec, **settings)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    def node(self, id: str, *, tags: Sequence[str] = (), **arguments: Any) -> Step:  # noqa: A002  # as in files
        """This operator placed in a flow: ports take other steps (or ``step.output``), settings values."""
        unknown = [name for name in arguments if name not in {*self.inputs, *self.settings.model_fields}]
        if unknown:
            known = [*self.inputs, *self.settings.model_fields]
            raise FlowError(
                f"Operator {self.name!r} has no {unknown[0]!r}. It takes {listing(known)}.",
                hint=did_you_mean(unknown[0], known),
            )
        inputs: dict[str, tuple[str, ...]] = {}
        parents: list[Step] = []
        for name in self.inputs:
            given = arguments.pop(name, None)
            steps = list(given) if isinstance(given, list | tuple) else [given] if given is not None else []
            inputs[name] = tuple(step.reference for step in steps)
            parents += [step.origin for step in steps]
        wired = {name: found for name, found in inputs.items() if found}
        node = Node(id=id, operator=self.name, inputs=wired, settings=arguments, tags=tuple(tags))
        return Step(node=node, parents=tuple(parents), outputs=tuple(self.outputs))

    def split_result(self, result: R) -> dict[str, Any]:
        """The outputs by name."""
        if list(self.outputs) == [SINGLE]:
            return {SINGLE: result}
        return {name: getattr(result, name) for name in self.outputs}

    def code(self) -> str:
        """A hash of the file that defines the function: it changes when the operator does."""
        try:
            text = Path(inspect.getfile(self.function)).read_bytes()
        except (OSError, TypeError):  # typed at a prompt: its bytecode has to do
            text = self.function.__code__.co_code
        return hashlib.sha256(text).hexdigest()[:12]

    def columns_named(self, settings: Spec) -> dict[str, tuple[str, list[str]]]:
        """Settings marked with :class:`Column`: name -> (port, the columns that it names)."""
        found: dict[str, tuple[str, list[str]]] = {}
        hints = typing.get_type_hints(self.function, include_extras=True)
        for name in self.settings.model_fields:
            mark = _column_mark(hints[name])
            value = getattr(settings, name)
            if mark is not None and value is not None:
                found[name] = (mark.port, [value] if isinstance(value, str) else [str(v) for v in value])
        return found


def operator(
    *,
    lazy: bool = False,
    uses: Sequence[str] = (),
    holds: Callable[[Mapping[str, Any], Mapping[str, Any]], bool] | None = None,
    changes: str = "",
) -> Callable[[Callable[P, R]], Operator[P, R]]:
    """Make a typed function an operator. The settings are those of :class:`Options`."""
    options = Options(lazy, tuple(uses), holds, changes)
    return lambda function: Operator(function, options)


def _port(parameter: inspect.Parameter, annotation: Any, text: str) -> Port | None:
    """The port that a parameter is, if it is one: ``Table``, ``Table | None``, ``list[Table]``."""
    inner = annotation
    if typing.get_origin(inner) in {types.UnionType, typing.Union}:
        inner = next(part for part in typing.get_args(inner) if part is not type(None))
    many = typing.get_origin(inner) is list
    if many:
        inner = typing.get_args(inner)[0]
    kind = type_of(inner)
    if kind is None:
        return None
    return Port(parameter.name, kind.name, parameter.default is parameter.empty, many, text)


def _outputs(annotation: Any, name: str) -> dict[str, str]:
    """Output names -> port types, from the return annotation."""
    fields = getattr(annotation, "_fields", None)
    hints = typing.get_type_hints(annotation) if fields else {SINGLE: annotation}
    found = {output: type_of(hint) for output, hint in hints.items()}
    for output, kind in found.items():
        if kind is None:
            raise FlowError(f"Operator {name!r}: {hints[output]!r} is not a kind of value that flows.")
    return {output: kind.name for output, kind in found.items() if kind is not None}


def _column_mark(annotation: Any) -> Column | None:
    """The :class:`Column` mark of an annotation, also inside ``list[...]`` or ``... | None``."""
    for mark in getattr(annotation, "__metadata__", ()):
        if isinstance(mark, Column):
            return mark
    inner = (_column_mark(part) for part in typing.get_args(annotation))
    return next((mark for mark in inner if mark is not None), None)


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The first sentence, and what is said of each argument under ``Args:`` (Google style)."""
    lines = (inspect.getdoc(function) or "").splitlines()
    described: dict[str, str] = {}
    name = ""
    inside = False
    for line in lines:
        if not line.startswith(" "):
            inside = line == "Args:"
        elif inside and line.startswith("    ") and not line.startswith("     "):
            name, _, text = line.strip().partition(": ")
            described[name] = text
        elif inside and name:
            described[name] += " " + line.strip()
    return (lines[0] if lines else ""), described
