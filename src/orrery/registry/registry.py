"""What a registry is: published models by name, version and alias."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from orrery.errors import SettingsError
from orrery.spec import Spec

CHAMPION = "champion"
"""The alias that answers when a model is asked for by its name alone."""
LATEST = "latest"
"""Always the highest version; it cannot be set."""


class Version(Spec):
    """One published model. Its files never change; its aliases may."""

    name: str
    version: int
    path: str
    """Where the model lies: what ``Model.load`` reads."""
    created: str
    """UTC, ISO 8601."""
    aliases: tuple[str, ...] = ()
    metrics: dict[str, Any] = Field(default_factory=dict)
    lineage: dict[str, Any] = Field(default_factory=dict)
    note: str = ""

    @property
    def url(self) -> str:
        """``models:/name/version``."""
        return f"models:/{self.name}/{self.version}"

    def __repr__(self) -> str:
        return f"Version({self})"

    def __str__(self) -> str:
        figures = {name: value for name, value in self.metrics.items() if isinstance(value, int | float)}
        known = [f"{name} {value:.4g}" for name, value in list(figures.items())[:3]]
        return ", ".join([self.url, *self.aliases, *known])


class AliasChange(Spec):
    """An alias was set, moved or taken away (``version`` is None). What a rollback reads."""

    alias: str
    version: int | None
    previous: int | None
    at: str
    """UTC, ISO 8601."""


class Registry(Protocol):
    """Published models. Each call is atomic, and safe beside other writers."""

    def publish(self, model_folder: Path, name: str, note: str = "") -> Version:
        """Copy a saved model (folder or zip) in, under the next version number of ``name``."""

    def versions(self, name: str | None = None) -> list[Version]:
        """All versions of one model, or of all; by name, then version."""

    def get(self, name: str, which: int | str | None = None) -> Version:
        """A version by number, alias or ``latest``; None: the champion, or the latest if there is none.

        Raises ModelNotFoundError.
        """

    def alias(self, name: str, alias: str, version: int | None) -> Version | None:
        """Let an alias point to a version; None takes the alias away."""

    def delete(self, name: str, version: int | None = None) -> None:
        """Remove one version, which must have no alias and whose number is not reused; or the whole name."""


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def check_name(name: str, what: str = "name of a model") -> str:
    """The name again, if it may be one: it becomes part of paths and URLs. Raises SettingsError.

    >>> check_name("digits-v2")
    'digits-v2'
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{name!r:.120} cannot be the {what}: allowed are lower-case letters, digits, '.', '_' and '-', "
            "starting with a letter or digit, at most 100 in all.",
            hint=_suggestion(name),
        )
    return name


def check_alias(alias: str) -> str:
    """The alias again, if it may be one: a number would read as a version. Raises SettingsError."""
    check_name(alias, "alias of a version")
    if alias.isdigit() or alias == LATEST:
        raise SettingsError(
            f"{alias!r} cannot be an alias: numbers and {LATEST!r} already name versions.",
            hint=f"Use a word such as {CHAMPION!r}.",
        )
    return alias


def _suggestion(name: str) -> str:
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:100]
    return f"For example {plain!r}." if plain else ""
