"""The route of a name: which of its versions answers whom. A small value, kept in the registry.

``<root>/<name>/route.json`` holds every change with its number (``revision``), when, by whom and why; the
last one counts. A name without the file has the plain route: its champion answers everybody.
"""

from __future__ import annotations

import getpass
import unicodedata
from collections.abc import Callable, Hashable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, model_validator

from orrery.errors import RouteConflictError, SettingsError
from orrery.registry.ledger import HIGHEST, damaged, now, read_json, write_json
from orrery.registry.registry import CHAMPION, LATEST, check_alias
from orrery.registry.url import SCHEME, ModelUrl
from orrery.spec import Spec

T = TypeVar("T", bound=Hashable)

FILE = "route.json"
ITSELF = "canary"
"""Who changed a route where a canary grew, ended or was stopped by itself."""
WHY_MOST = 500
_HISTORY_MOST = 1_000  # changes kept; their numbers go on rising
_BY_MOST = 200
_ARMS_MOST, _SHADOWS_MOST, _STEPS_MOST = (
    16,
    8,
    32,
)  # each is a model in memory; each shadow is asked every time
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, ends of lines


def _which(which: int | str) -> int | str:
    if isinstance(which, str) and which.isascii() and which.isdigit():
        which = int(which)
    if isinstance(which, int):
        if not 1 <= which <= HIGHEST:
            raise SettingsError(f"{which} is no version.")
        return which
    return which if which == LATEST else check_alias(which)


def _who(who: int | str | None) -> int | str | None:
    if isinstance(who, str) and who.startswith(SCHEME):
        return str(ModelUrl.parse(who))
    return None if who is None else _which(who)


def _checked(check: Callable[[Any], Any]) -> AfterValidator:
    """A check of ours, whose error pydantic tells with its place."""

    def checked(value: Any) -> Any:
        try:
            return check(value)
        except SettingsError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(checked)


def _check_line(place: str, text: str, most: int) -> None:
    """Refuse what would spoil a table or a log. It never repeats the text."""
    if len(text) > most:
        raise SettingsError(f"{place}: at most {most} characters, received {len(text)}")
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        raise SettingsError(f"{place}: control characters and line ends are not allowed")


def _check_count(place: str, count: int, most: int) -> None:
    if count > most:
        raise SettingsError(f"{place}: at most {most}, received {count}")


Which = Annotated[int | str, _checked(_which)]
"""A version of the name: its number, an alias, or ``latest``."""
Share = Annotated[float, Field(gt=0, le=1)]


class Arm(Spec):
    """A version that answers a share of the requests."""

    to: Which
    share: Share


class Canary(Spec):
    """A version that is tried on a share of the requests, which grows step by step while all is well.

    It is stopped by itself where its errors, its delay or its scores differ too much from those of the main
    version, on the same requests in the same time (see ``serving.canary``).
    """

    to: Which
    share: Share = 0.05
    """Now; the service raises it."""
    steps: tuple[Share, ...] = (0.05, 0.2, 0.5)
    """The shares it goes through."""
    step_s: float = Field(default=300.0, ge=0, allow_inf_nan=False)
    """How long each step lasts at least."""
    least_requests: int = Field(default=100, ge=1)
    """How many requests it has answered at least in each step."""
    most_errors: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    """By how much its share of errors may be above the main version's."""
    most_delay: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """How many times the main version's delay its own may be, at the 95th of 100."""
    most_drift: float = Field(default=0.25, gt=0, allow_inf_nan=False)
    """Of its scores against the main version's, as a population stability index."""
    promote: bool = True
    """Whether it becomes the champion after the last step; else it stays there."""

    @model_validator(mode="after")
    def _check_steps(self) -> Canary:
        _check_count("canary.steps", len(self.steps), _STEPS_MOST)
        if any(after <= before for before, after in pairwise(self.steps)):
            raise SettingsError(f"canary.steps: each is more than the one before, received {self.steps}")
        return self


class Routing(Spec):
    """Who answers for a name.

    >>> routing = Routing(arms=[Arm(to=4, share=0.1)], by="card", shadows=["challenger"])
    >>> routing.versions()
    [4, 'challenger']
    >>> Routing.from_dict(routing.to_dict()) == routing
    True
    """

    main: Which | None = None
    """Who answers what nobody else does; None is the champion, or the latest where there is none."""
    arms: tuple[Arm, ...] = ()
    """Versions that answer a share each; the main version answers the rest."""
    by: str = ""
    """A column (or ``id``) that decides: rows with equal values go to the same version. Empty: by chance."""
    canary: Canary | None = None
    shadows: tuple[Which, ...] = ()
    """Versions that are asked too; their answers are recorded, and nobody waits for them."""
    fallback: Annotated[int | str | None, _checked(_who)] = None
    """Who answers when the main version fails or takes too long: a version, or ``models:/another``."""
    deadline_s: float = Field(default=10.0, gt=0, le=3600)
    """How long a version may take where another one could answer in its place."""

    @model_validator(mode="after")
    def _check(self) -> Routing:
        _check_count("arms", len(self.arms), _ARMS_MOST)
        _check_count("shadows", len(self.shadows), _SHADOWS_MOST)
        _check_line("by", self.by, _BY_MOST)
        tried = [self.canary.to] if self.canary else []
        seen: set[int | str] = set()
        for which in (*(arm.to for arm in self.arms), *tried, *self.shadows):
            if which in seen:
                raise SettingsError(
                    f"version {which} comes twice in arms, canary and shadows; once is allowed"
                )
            seen.add(which)
        if self.fallback is not None and self.fallback == (self.main or CHAMPION):
            raise SettingsError(f"fallback: {self.fallback} is the main version itself; name another one")
        return self

    @model_validator(mode="after")
    def _check_shares(self) -> Routing:
        total = sum(arm.share for arm in self.arms)
        if total > 1 + 1e-9:
            raise ValueError(f"the shares of all arms are {total:g} in sum, and may be 1 at most")
        return self

    def check_of(self, name: str) -> None:
        """Refuse a fallback on the model ``name`` itself, which is the model that this routes."""
        if not isinstance(self.fallback, str) or not self.fallback.startswith(SCHEME):
            return
        url = ModelUrl.parse(self.fallback)
        if url.name == name and url.which in (None, self.main or CHAMPION):
            raise SettingsError(
                f"fallback: {self.fallback} is the model itself, which failed.",
                hint="Name another version of it, or another model.",
            )

    def versions(self) -> list[int | str]:
        """Every version of the name that it names, each once."""
        named = [self.main, *(arm.to for arm in self.arms), *self.shadows]
        if self.canary is not None:
            named.append(self.canary.to)
        if isinstance(self.fallback, int) or (self.fallback and not self.fallback.startswith(SCHEME)):
            named.append(self.fallback)
        return list(dict.fromkeys(which for which in named if which is not None))

    def steady(self) -> Routing:
        """The same without a canary."""
        return self.replace(canary=None)

    def __str__(self) -> str:
        said = [f"{self.main or CHAMPION} answers"]
        said += [f"{arm.to} a share of {arm.share:g}" for arm in self.arms]
        if self.canary:
            said.append(f"{self.canary.to} is tried on a share of {self.canary.share:g}")
        said += [f"{which} in the shadow" for which in self.shadows]
        if self.fallback:
            said.append(f"{self.fallback} in its place after {self.deadline_s:g} s or a failure")
        return ", ".join([*said, *([f"by {self.by!r}"] if self.by else [])])


class RouteChange(Spec):
    """A route, and how it came to be."""

    revision: int = 0
    """Rises by one with every change; 0 is the plain route that a name begins with."""
    routing: Routing = Routing()
    at: str = ""
    """UTC, ISO 8601."""
    who: str = ""
    why: str = ""
    back: int | None = None
    """The revision that a rollback went back to; None for every other change."""


class RouteBook(Spec):
    """All changes of a name's route, oldest first."""

    changes: tuple[RouteChange, ...] = ()

    @property
    def last(self) -> RouteChange:
        """The route now."""
        return self.changes[-1] if self.changes else RouteChange()

    @classmethod
    def read(cls, folder: Path) -> RouteBook:
        """The book of a name's folder. Raises RegistryError for one that is damaged."""
        path = folder / FILE
        try:
            return cls.from_dict(read_json(path))
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except SettingsError as error:
            raise damaged(path, error.message) from None

    def write(self, folder: Path) -> None:
        """Replace the file as a whole."""
        write_json(folder / FILE, self.to_dict())

    def changed(
        self, routing: Routing, revision: int | None, who: str, why: str, back: int | None = None
    ) -> RouteBook:
        """The book with one more change; unchanged where the route already is so, unless it is a rollback.

        ``revision`` is the one that the change was thought out for. Raises RouteConflictError, and
        SettingsError for a reason that no table could show.
        """
        why = fitted(why) if who == ITSELF else why
        _check_line("why", why, WHY_MOST)
        last = self.last
        if revision is not None and revision != last.revision:
            raise RouteConflictError(
                f"The route has changed meanwhile: it is at revision {last.revision}, not {revision} "
                f"({last.who or 'somebody'}: {last.why or 'no reason given'}).",
                hint="Read it again, and decide anew.",
            )
        if routing == last.routing and back is None:
            return self
        facts: dict[str, Any] = {"at": now(), "who": who or somebody(), "why": why, "back": back}
        change = RouteChange(revision=last.revision + 1, routing=routing, **facts)
        return self.replace(changes=(*self.changes, change)[-_HISTORY_MOST:])

    def past(self) -> list[RouteChange]:
        """What people changed and nobody took back, the present last: a rollback goes to the one before.

        Whatever grew, ended or stopped a canary is one change with its beginning; no canary is in it.
        """
        past, before = [RouteChange()], Routing()
        for change in self.changes:
            routing = change.routing.steady()
            ended = before.canary is not None and change.routing == before.steady()
            if change.back is not None:
                while len(past) > 1 and past[-1].revision > change.back:
                    past.pop()
            if change.back is None and change.who != ITSELF and not ended:
                past.append(change.replace(routing=routing))
            else:
                past[-1] = past[-1].replace(routing=routing)
            before = change.routing
        return past


def fitted(why: str) -> str:
    r"""A reason that was put together by itself, as one line that is not too long.

    >>> fitted("it failed:\n  no file")
    'it failed: no file'
    """
    seen = (" " if unicodedata.category(c) in _UNSEEN else c for c in why)
    line = " ".join("".join(seen).split())
    return line if len(line) <= WHY_MOST else line[: WHY_MOST - 1] + "…"


def retraced(values: Iterable[T]) -> list[T]:
    """The past that a rollback goes back through: what came up again left behind what followed it.

    >>> retraced([1, 2, 3]), retraced([1, 2, 3, 2]), retraced([1, 2, 3, 2, 1])
    ([1, 2, 3], [1, 2], [1])
    """
    past: list[T] = []
    for value in values:
        if value in past:
            del past[past.index(value) + 1 :]
        else:
            past.append(value)
    return past


def somebody() -> str:
    """Who changes something, where nothing else is known: the user of this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without names
        return "unknown"
