"""How a model is named: ``models:/digits@champion``, ``models:/digits/3``, ``models:/digits``, or a path."""

from __future__ import annotations

from typing import Self

from orrery.errors import SettingsError
from orrery.registry.registry import LATEST, check_alias, check_name
from orrery.spec import Spec

SCHEME = "models:/"


class ModelUrl(Spec):
    """A model in the registry (``name`` and ``which``), or a saved one (``path``).

    >>> ModelUrl.parse("models:/digits@champion")
    ModelUrl(name='digits', which='champion', path='')
    >>> str(ModelUrl.parse("models:/digits/3"))
    'models:/digits/3'
    >>> ModelUrl.parse("out/model.zip").path
    'out/model.zip'
    """

    name: str = ""
    which: int | str | None = None
    """A version number, an alias, ``latest``; None is the champion, or the latest where there is none."""
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """From text. Raises SettingsError that shows the forms there are."""
        if not text.startswith("models:"):
            return cls(path=text)
        rest = text.removeprefix("models:").lstrip("/")
        name, at, alias = rest.partition("@")
        if at:
            return cls(name=check_name(name), which=alias if alias == LATEST else check_alias(alias))
        name, slash, version = rest.partition("/")
        if not slash:
            return cls(name=check_name(name))
        if version == LATEST:
            return cls(name=check_name(name), which=LATEST)
        if not (version.isascii() and version.isdigit() and 0 < len(version) < 10):
            raise SettingsError(
                f"{text!r} does not name a model: after the '/' comes a version number, not {version!r}.",
                hint=f"Write {SCHEME}{name}/3, or {SCHEME}{name}@{version or 'champion'} for an alias.",
            )
        return cls(name=check_name(name), which=int(version))

    def __str__(self) -> str:
        if not self.name:
            return self.path
        if self.which is None:
            return f"{SCHEME}{self.name}"
        mark = "/" if isinstance(self.which, int) else "@"
        return f"{SCHEME}{self.name}{mark}{self.which}"
