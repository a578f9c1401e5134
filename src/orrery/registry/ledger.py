"""The small file beside a name's versions: the last number given, where aliases point, how they moved."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from orrery.errors import RegistryError, SettingsError
from orrery.registry.registry import AliasChange
from orrery.spec import Spec

FILE = "ledger.json"
HIGHEST = 999_999_999
"""No version has a higher number."""
_HISTORY_MOST = 10_000  # changes kept: years of promotions, and a bound on the file

_Number = Annotated[int, Field(strict=True, ge=1, le=HIGHEST)]


class Ledger(Spec):
    """What a registry knows about one name, beside its versions."""

    last: Annotated[int, Field(strict=True, ge=0, le=HIGHEST)] = 0
    """The highest number ever given; numbers are not reused, also after a version was deleted."""
    aliases: dict[str, _Number] = Field(default_factory=dict)
    history: tuple[AliasChange, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """The ledger of a name's folder; an empty one where there is none yet.

        Raises RegistryError for one that is damaged: it is never taken for an empty one.
        """
        path = folder / FILE
        try:
            return cls.from_dict(read_json(path))
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except SettingsError as error:
            raise damaged(path, error.message) from None

    def write(self, folder: Path) -> None:
        """Replace the file as a whole: a reader sees the old ledger or the new one."""
        write_json(folder / FILE, self.to_dict())

    def pointed(self, alias: str, version: int | None) -> Ledger:
        """The ledger after an alias was set, or with None taken away; unchanged if it already is so."""
        previous = self.aliases.get(alias)
        if previous == version:
            return self
        aliases = {name: number for name, number in self.aliases.items() if name != alias}
        if version is not None:
            aliases[alias] = version
        change = AliasChange(alias=alias, version=version, previous=previous, at=now())
        return self.replace(aliases=aliases, history=(*self.history, change)[-_HISTORY_MOST:])


def now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def damaged(path: Path, reason: str) -> RegistryError:
    """The error for a file of the registry that cannot be what was written there."""
    return RegistryError(f"{str(path)!r} cannot be read: {reason}", hint="Restore it from a backup.")


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file of the registry holds. Raises RegistryError, and what an absent file raises."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except RecursionError:
        raise damaged(path, "its brackets lie too deep inside each other.") from None
    except (OSError, ValueError) as error:
        raise damaged(path, f"{error}.") from None
    if not isinstance(value, dict):
        raise damaged(path, f"it holds no object but {type(value).__name__}.")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file atomically, and so that it survives a power cut."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
