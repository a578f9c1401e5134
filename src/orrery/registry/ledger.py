"""The small file beside a name's versions: the last number given, where aliases point, how they moved."""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from orrery.errors import RegistryError
from orrery.registry.registry import AliasChange
from orrery.spec import Spec

FILE = "ledger.json"
_HISTORY_MOST = 10_000  # changes kept: years of promotions, and a bound on the file


class Ledger(Spec):
    """What a registry knows about one name, beside its versions."""

    last: int = 0
    """The highest number ever given; numbers are not reused, also after a version was deleted."""
    aliases: dict[str, int] = Field(default_factory=dict)
    history: tuple[AliasChange, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """The ledger of a name's folder; an empty one where there is none yet."""
        try:
            return cls.from_dict(json.loads((folder / FILE).read_bytes()))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError) as error:
            raise RegistryError(
                f"{str(folder / FILE)!r} cannot be read: {error}.", hint="Restore it from a backup."
            ) from None

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
