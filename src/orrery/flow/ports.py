"""What may flow between operators, and how each kind of value is kept on disk between runs.

A kind is known by the class that a port is annotated with. The table below is lazy: a class is imported when
a value of it is met, so that checking a flow of tables loads no learner.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from orrery.errors import FlowError


@dataclass(frozen=True)
class PortType:
    """One kind of value: its class as ``module:Class``, and how it is stored in a folder."""

    name: str
    home: str
    save: Callable[[Any, Path], object]
    load: Callable[[Any, Path], Any]

    def cls(self) -> Any:
        """The class itself."""
        module, _, name = self.home.partition(":")
        return getattr(importlib.import_module(module), name)


def _save_table(value: Any, folder: Path) -> None:
    folder.mkdir(parents=True)
    value.write(str(folder / "rows.parquet"))


def _load_table(cls: Any, folder: Path) -> Any:
    module = importlib.import_module(cls.__module__)
    return module.read(str(folder / "rows.parquet"))


def _save_report(value: Any, folder: Path) -> None:
    folder.mkdir(parents=True)
    value.save(folder / "report.json")


def _save_values(value: Any, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "value.json").write_bytes(TypeAdapter(type(value)).dump_json(value))


def _load_values(cls: Any, folder: Path) -> Any:
    return TypeAdapter(cls).validate_json((folder / "value.json").read_bytes())


TYPES: tuple[PortType, ...] = (
    PortType("table", "orrery.data.table:Table", _save_table, _load_table),
    PortType(
        "model",
        "orrery.estimators.model:Model",
        lambda value, folder: value.save(folder),
        lambda cls, folder: cls.load(folder),
    ),
    PortType(
        "report",
        "orrery.evaluation.report:Report",
        _save_report,
        lambda cls, folder: cls.load(folder / "report.json"),
    ),
    PortType("published", "orrery.feedback.publish:Published", _save_values, _load_values),
    PortType("decision", "orrery.feedback.promotion:Decision", _save_values, _load_values),
    PortType("drift", "orrery.feedback.drift:Drift", _save_values, _load_values),
)

_BY_HOME = {kind.home: kind for kind in TYPES}
_BY_NAME = {kind.name: kind for kind in TYPES}


def type_of(annotation: object) -> PortType | None:
    """The kind of value that a class stands for; None for a class that is not passed between operators."""
    if not isinstance(annotation, type):
        return None
    return _BY_HOME.get(f"{annotation.__module__}:{annotation.__qualname__}")


def save(kind: str, value: Any, folder: Path) -> None:
    """Keep a value in a new folder."""
    _BY_NAME[kind].save(value, folder)


def load(kind: str, folder: Path) -> Any:
    """The value again. Raises FlowError for a kind that no operator gives."""
    if kind not in _BY_NAME:
        raise FlowError(f"A stored result is of kind {kind!r}, which this release does not know.")
    found = _BY_NAME[kind]
    return found.load(found.cls(), folder)


_FIGURES = 4  # as many metrics fit on a line, the most telling first


def describe(value: Any) -> tuple[str, dict[str, Any]]:
    """A value in one or a few lines for people, and as plain values for programs."""
    metrics = getattr(value, "metrics", None)
    if isinstance(metrics, dict):
        figures = {name: figure for name, figure in metrics.items() if isinstance(figure, int | float)}
        return ", ".join(f"{name} {figure:.4g}" for name, figure in list(figures.items())[:_FIGURES]), figures
    return str(value), TypeAdapter(type(value)).dump_python(value, mode="json")
