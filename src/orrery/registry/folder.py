"""A registry that is a folder: ``<root>/<name>/<version>/model``, and a ledger per name.

Readers take no lock: a version appears whole by one rename, and the ledger is replaced whole. Writers take
the folder's lock, and hold it for moments only: a model is copied before, aside.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import stat
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from orrery import settings
from orrery.errors import (
    ModelFormatError,
    ModelNotFoundError,
    RegistryError,
    SettingsError,
    did_you_mean,
    listing,
)
from orrery.registry.ledger import FILE, Ledger, damaged, now, read_json, write_json
from orrery.registry.lock import locked
from orrery.registry.registry import CHAMPION, LATEST, AliasChange, Version, check_alias, check_name
from orrery.registry.routes import FILE as ROUTE_FILE
from orrery.registry.routes import RouteBook, RouteChange, Routing
from orrery.registry.url import SCHEME, ModelUrl

_CARD = "version.json"
_CARD_BYTES = 64 << 20
_LEFT_S = 86_400
_VERSION = re.compile(r"[1-9][0-9]{0,8}")

_log = logging.getLogger("orrery.registry")


class FolderRegistry:
    """A registry in a folder, local or shared over the network.

    >>> registry = FolderRegistry(Path("registry"))
    >>> registry.versions()
    []
    """

    def __init__(self, root: Path, wait_s: float = 10.0) -> None:
        self.root = Path(root)
        self.wait_s = wait_s

    def publish(self, model_folder: Path, name: str, note: str = "") -> Version:
        """Copy a saved model (folder or zip) in, under the next version number of ``name``.

        Raises ModelFormatError if it is not a saved model, RegistryError if it cannot be written.
        """
        check_name(name)
        source = Path(model_folder)
        card = _read_card(source)
        home = self.root / name
        aside = self.root / f".incoming-{uuid.uuid4().hex[:12]}"
        try:
            with _disk_errors(f"{str(source)!r} cannot be published"):
                aside.mkdir(parents=True)
                _copy(source, aside / ("model" if source.is_dir() else "model.zip"))
                with locked(self.root, f"publishing {name}", self.wait_s):
                    home.mkdir(exist_ok=True)
                    self._sweep(home)
                    ledger = Ledger.read(home)
                    number = max([ledger.last, *_numbers(home)]) + 1
                    write_json(aside / _CARD, {"created": now(), "note": note, **card})
                    ledger.replace(last=number).write(home)
                    aside.rename(home / str(number))
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return self.get(name, number)

    def versions(self, name: str | None = None) -> list[Version]:
        """All versions of one model, or of all; by name, then version. Raises ModelNotFoundError.

        What is damaged is an error where it was asked for by name; in the list of all it is left out, and
        the log says so.
        """
        if name is not None:
            self._known(name)
            return list(self._listed(name))
        found: list[Version] = []
        for each in self._names():
            with _left_out():
                found += self._listed(each, _left_out)
        return found

    def _listed(
        self, name: str, around: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> Iterator[Version]:
        """The versions of a name, each read inside ``around()``."""
        ledger = Ledger.read(self.root / name)
        for number in _numbers(self.root / name):
            with around(), suppress(ModelNotFoundError):  # deleted a moment ago
                yield self._read(name, number, ledger)

    def get(self, name: str, which: int | str | None = None) -> Version:
        """A version by number, alias or ``latest``; None: the champion, or the latest if there is none."""
        # The ledger first: an alias that moves while we read points to a version that is listed after it.
        ledger = Ledger.read(self.root / check_name(name))
        numbers = self._known(name)
        number = which if isinstance(which, int) else self._pointed(name, which, ledger, numbers)
        if number not in numbers:
            raise ModelNotFoundError(
                f"{name!r} has no version {number}. Its versions are {listing(numbers)}.",
            )
        return self._read(name, number, ledger)

    def alias(self, name: str, alias: str, version: int | None) -> Version | None:
        """Let an alias point to a version, or with None take it away. Every change is kept in the history."""
        check_alias(alias)
        self._known(name)
        with _disk_errors("The alias cannot be written"), locked(self.root, f"alias of {name}", self.wait_s):
            if version is not None:
                self.get(name, version)
            ledger = Ledger.read(self.root / name)
            changed = ledger.pointed(alias, version)
            if changed is not ledger:
                changed.write(self.root / name)
        return None if version is None else self.get(name, version)

    def history(self, name: str) -> list[AliasChange]:
        """How the aliases of a name moved, oldest first."""
        self._known(name)
        return list(Ledger.read(self.root / name).history)

    def route(self, name: str) -> RouteChange:
        """Who answers for a name now, and how that came to be."""
        return self.routes(name).last

    def routes(self, name: str) -> RouteBook:
        """Every change of a name's route, oldest first."""
        self._known(name)
        return RouteBook.read(self.root / name)

    def reroute(
        self,
        name: str,
        routing: Routing,
        *,
        revision: int | None = None,
        who: str = "",
        why: str = "",
        back: int | None = None,
    ) -> RouteChange:
        """Change who answers for a name; services follow within a second.

        ``revision`` is the one that was read before, where nobody else's change may be overwritten;
        ``back`` the one that a rollback goes back to.
        Raises ModelNotFoundError for a version that is not there, RouteConflictError, SettingsError.
        """
        self._known(name)
        routing.check_of(name)
        with _disk_errors("The route cannot be written"), locked(self.root, f"route of {name}", self.wait_s):
            for which in routing.versions():
                self.get(name, which)
            if isinstance(routing.fallback, str) and routing.fallback.startswith(SCHEME):
                other = ModelUrl.parse(routing.fallback)
                self.get(other.name, other.which)
            book = RouteBook.read(self.root / name)
            changed = book.changed(routing, revision, who, why, back)
            if changed is not book:
                changed.write(self.root / name)
        return changed.last

    def delete(self, name: str, version: int | None = None) -> None:
        """Remove one version, which must have no alias; or, with None, the whole name."""
        self._known(name)
        trash = self.root / f".deleted-{uuid.uuid4().hex[:12]}"
        with _disk_errors("It cannot be deleted"), locked(self.root, f"deleting {name}", self.wait_s):
            place = self.root / name
            if version is not None:
                held = self.get(name, version).aliases
                if held:
                    raise RegistryError(
                        f"Version {version} of {name!r} is {listing(held)} and was not deleted.",
                        hint="Move or remove the alias first.",
                    )
                if version in self.routes(name).last.routing.versions():
                    raise RegistryError(
                        f"The route of {name!r} names version {version}, which was not deleted.",
                        hint=f"Change it first: orrery route set {name}",
                    )
                place = place / str(version)
            place.rename(trash)  # gone at once for readers, whatever happens to the slow part
        shutil.rmtree(trash, ignore_errors=True)

    def _sweep(self, home: Path) -> None:
        """Remove what killed writers left behind, here and beside a ledger, once it is a day old."""
        folders = (left for pattern in (".incoming-*", ".deleted-*") for left in self.root.glob(pattern))
        for left in [*folders, *home.glob(f".{FILE}.*"), *home.glob(f".{ROUTE_FILE}.*")]:
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _LEFT_S:
                    shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()

    def _names(self) -> list[str]:
        if not self.root.is_dir():
            return []
        found = []
        for place in sorted(self.root.iterdir()):
            with _left_out():
                if place.name[0] != "." and _numbers(place):
                    found.append(place.name)
        return found

    def _known(self, name: str) -> list[int]:
        """The version numbers of a name. Raises ModelNotFoundError that lists the close names."""
        check_name(name)
        numbers = _numbers(self.root / name)
        if not numbers:
            names = self._names()
            raise ModelNotFoundError(
                f"The registry {str(self.root)!r} has no model {name!r}. It has {listing(names)}.",
                hint=did_you_mean(name, names),
            )
        return numbers

    def _pointed(self, name: str, which: str | None, ledger: Ledger, numbers: list[int]) -> int:
        if which == LATEST:
            return numbers[-1]
        if which is None:
            return ledger.aliases.get(CHAMPION, numbers[-1])
        if which not in ledger.aliases:
            raise ModelNotFoundError(
                f"{name!r} has no alias {which!r}. Its aliases are {listing(sorted(ledger.aliases))}.",
                hint=did_you_mean(which, ledger.aliases),
            )
        return ledger.aliases[which]

    def _read(self, name: str, number: int, ledger: Ledger) -> Version:
        place = self.root / name / str(number)
        folder = place / "model"
        known = {
            "name": name,
            "version": number,
            "path": str((folder if folder.is_dir() else place / "model.zip").absolute()),
            "aliases": tuple(sorted(a for a, n in ledger.aliases.items() if n == number)),
        }
        try:
            return Version.from_dict({**read_json(place / _CARD), **known})
        except FileNotFoundError:
            raise ModelNotFoundError(f"Version {number} of {name!r} was deleted a moment ago.") from None
        except NotADirectoryError:
            raise damaged(place, "it is no folder.") from None
        except SettingsError as error:
            raise damaged(place / _CARD, error.message) from None


@contextmanager
def _left_out() -> Iterator[None]:
    """Damage is told in the log, and does not hide the rest."""
    try:
        yield
    except RegistryError as error:
        _log.warning("Left out: %s", error)


def open_registry(url: str | Path | None = None) -> FolderRegistry:
    """The registry at a folder; by default at ``ORRERY_REGISTRY__URL``. Raises SettingsError."""
    place = str(url) if url is not None else settings.registry_url()
    place = place.removeprefix("file://")
    if "://" in place:
        raise SettingsError(
            f"A registry is a folder; {place.partition('://')[0]!r} is not supported.",
            hint="Set ORRERY_REGISTRY__URL to the path of a folder.",
        )
    return FolderRegistry(Path(place).absolute())


def _numbers(home: Path) -> list[int]:
    """The version numbers in a name's folder, rising."""
    try:
        names = [path.name for path in home.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise damaged(home, f"{error.strerror}.") from None
    return sorted(int(name) for name in names if _VERSION.fullmatch(name))


def _read_card(source: Path) -> dict[str, Any]:
    """The metrics and lineage that a saved model carries. Raises ModelFormatError if it is none."""
    if not source.exists():
        raise ModelNotFoundError(f"There is no saved model at {str(source)!r}.")
    try:
        if source.is_dir():
            with (source / "model.json").open("rb") as file:
                text = file.read(_CARD_BYTES)
        else:
            with zipfile.ZipFile(source) as archive, archive.open("model.json") as file:
                text = file.read(_CARD_BYTES)
        card = json.loads(text)
        if not isinstance(card, Mapping):
            raise TypeError("model.json holds no object")
        return {key: dict(card.get(key) or {}) for key in ("metrics", "lineage")}
    except (OSError, KeyError, ValueError, TypeError, RecursionError, zipfile.BadZipFile) as error:
        raise ModelFormatError(
            f"{str(source)!r} is not a saved model: {error}.", hint="Publish what model.save(...) wrote."
        ) from None


def _copy(source: Path, target: Path) -> None:
    """Copy a model's plain files; a link could point anywhere, and is refused."""
    for path in [source, *source.rglob("*")] if source.is_dir() else [source]:
        mode = path.lstat().st_mode if path != source else path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ModelFormatError(
                f"{str(path)!r} is neither a file nor a folder; a model holds nothing else."
            )
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


@contextmanager
def _disk_errors(what: str) -> Iterator[None]:
    """A full disk, a read-only folder and the like, said in our words."""
    try:
        yield
    except shutil.Error as error:  # copytree gathers the errors of all files
        reasons = sorted({str(each[2]) for each in error.args[0]})
        raise RegistryError(f"{what}: {'; '.join(reasons)[:500]}.") from None
    except OSError as error:
        raise RegistryError(
            f"{what}: {error.strerror or error} ({error.filename or 'no file'}).",
            hint="Nothing was changed. Check space and permissions.",
        ) from None
