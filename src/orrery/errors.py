"""Every exception that Orrery raises, drawn as one tree.

::

    OrreryError
    ├── SettingsError            a setting is wrong, or an argument of a call
    ├── MissingExtraError        an optional package is not installed
    ├── DataError
    │   ├── SourceError          a place cannot be read: absent, refused, dropped, cut short
    │   ├── SchemaError          columns or types are not what was asked for
    │   │   └── UnknownColumnError
    │   ├── BadRowError          one row cannot be read: file, line, column, value
    │   └── EmptyTableError
    ├── FitError                 training cannot start, or failed
    │   ├── TargetError          the column to predict cannot be learnt
    │   └── DivergedError        the loss is no longer a number
    ├── ModelError
    │   ├── ModelFormatError     a saved model is cut short, altered or hostile
    │   ├── ModelVersionError    a saved model is of a format that this release does not read
    │   └── ReplayError          a model does not repeat its own example predictions
    ├── RegistryError
    │   ├── ModelNotFoundError
    │   ├── RouteConflictError   the route of a name was changed meanwhile
    │   └── RegistryBusyError    another writer holds the registry
    ├── FlowError
    │   ├── FlowNotFoundError    there is no such flow file
    │   ├── FlowCheckError       what ``check`` found, before anything ran
    │   └── NodeError            one node failed while running
    ├── EngineError
    │   ├── SlotsError           more workers were asked for than could start
    │   ├── ScriptNotFoundError  there is no such script to launch
    │   ├── DeadlineError        somebody did not answer in time; the message names who
    │   └── WorkerError          a worker failed; carries its rank, host and traceback
    ├── ServingError
    │   ├── PortInUseError
    │   ├── UnknownPathError     a URL that the service does not have
    │   ├── BadRequestError      a request cannot be answered as it stands
    │   │   └── TooLargeError    a request is larger than the service takes
    │   ├── UnauthorizedError    the caller has no token, or a wrong one
    │   ├── ForbiddenError       the caller may not do this
    │   ├── LateError            the answer did not come before the caller's deadline
    │   ├── OverloadedError      the queue is full: ask again later
    │   └── BrokerError          a stream's broker is away, or refuses
    └── FeedbackError            outcomes cannot be joined, or no data to decide on

A message says what happened, where, what is allowed, what was received, and what to do.
The *slug* of a class never changes, so that scripts and pages can refer to it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class OrreryError(Exception):
    """The root of all errors that Orrery raises on purpose.

    ``hint`` says what to do; ``pointer`` says where (a JSON Pointer, ``file:line`` or a node's id).

    >>> str(OrreryError("The table is empty.", hint="Check the query."))
    'The table is empty. Check the query.'
    """

    slug: ClassVar[str] = "orrery.errors/error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", pointer: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.pointer = pointer

    def __init_subclass__(cls) -> None:
        name = cls.__name__.removesuffix("Error")
        words = "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")
        cls.slug = f"orrery.errors/{words}"

    def __str__(self) -> str:
        where = f"{self.pointer}: " if self.pointer else ""
        return f"{where}{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; keyword-only arguments do not survive the default pickling.
        return (_rebuild, (type(self), self.__dict__.copy()))


def _rebuild(kind: type[OrreryError], state: dict[str, object]) -> OrreryError:
    error = kind.__new__(kind)
    Exception.__init__(error, state.get("message", ""))
    error.__dict__.update(state)
    return error


class SettingsError(OrreryError):
    """A setting or an argument is wrong."""

    exit_code = 2


class MissingExtraError(OrreryError):
    """An optional package is needed and not installed."""

    exit_code = 2


class DataError(OrreryError):
    """Something is wrong with the rows, or with the place they lie in."""

    exit_code = 3


class SourceError(DataError):
    """A place cannot be read: it is absent, refuses, dropped the connection, or is cut short."""


class SchemaError(DataError):
    """Columns or types are not what was asked for."""


class UnknownColumnError(SchemaError):
    """A column was named that the table does not have.

    >>> print(UnknownColumnError("lable", ["image", "label"]))
    There is no column 'lable'. The columns are 'image', 'label'. Did you mean 'label'?
    """

    def __init__(self, name: str, columns: Iterable[str], *, pointer: str = "") -> None:
        names = list(columns)
        super().__init__(
            f"There is no column {name!r}. The columns are {listing(names)}.",
            hint=did_you_mean(name, names),
            pointer=pointer,
        )
        self.name = name
        self.columns = names


class BadRowError(DataError):
    """One row cannot be read. Says the place, the column and the value."""

    column: str = ""
    """The column, where the row is one of a batch."""
    row: int | None = None
    """The row, counted from 0 within the batch."""


class EmptyTableError(DataError):
    """There are no rows where at least one is needed."""


class FitError(OrreryError):
    """Training cannot start, or failed."""


class TargetError(FitError):
    """The column to predict cannot be learnt: one class only, missing values, the wrong kind."""

    exit_code = 3


class DivergedError(FitError):
    """The loss is no longer a finite number."""


class ModelError(OrreryError):
    """Something is wrong with a model."""


class ModelFormatError(ModelError):
    """A saved model is cut short, altered, or not a model. Nothing in it was run."""


class ModelVersionError(ModelError):
    """A saved model has a format version that this release does not read."""


class ReplayError(ModelError):
    """A model does not repeat the predictions it was saved with."""


class RegistryError(OrreryError):
    """The registry cannot do what was asked."""


class ModelNotFoundError(RegistryError):
    """No model of that name, version or alias."""

    exit_code = 4


class RouteConflictError(RegistryError):
    """The route of a name was changed between reading it and writing it."""


class RegistryBusyError(RegistryError):
    """Another writer holds the registry, and did not let go in time."""


class FlowError(OrreryError):
    """A flow cannot be read or run."""


class FlowNotFoundError(FlowError):
    """There is no such flow file."""

    exit_code = 4


class FlowCheckError(FlowError):
    """What ``check`` found wrong, before anything ran."""

    exit_code = 2


class NodeError(FlowError):
    """A node of a flow failed while running."""


class EngineError(OrreryError):
    """Work could not be started or finished where it was sent."""


class SlotsError(EngineError):
    """More workers were asked for than could start now."""


class ScriptNotFoundError(EngineError):
    """There is no such script to launch."""

    exit_code = 4


class DeadlineError(EngineError):
    """Somebody did not answer in time; the message names who."""


class WorkerError(EngineError):
    """A worker failed. The message carries its rank, host and traceback."""

    rank: int = 0
    host: str = ""
    lost: bool = False
    """Whether it ended without a word, killed or stopped; what it did may be tried again."""
    gone: int = 0
    """How many workers were lost at once."""


class ServingError(OrreryError):
    """A service cannot start, or cannot answer."""


class PortInUseError(ServingError):
    """The port that was asked for is taken."""


class UnknownPathError(ServingError):
    """A URL that the service does not have."""

    exit_code = 4


class BadRequestError(ServingError):
    """A request cannot be answered as it stands."""


class TooLargeError(BadRequestError):
    """A request is larger than the service takes."""


class UnauthorizedError(ServingError):
    """A caller has no token, or one that is not known."""


class ForbiddenError(ServingError):
    """A caller may not do this."""


class LateError(ServingError):
    """The answer did not come before the deadline that the caller gave."""


class OverloadedError(ServingError):
    """The queue is full. Ask again later."""


class BrokerError(ServingError):
    """The broker of a stream is away, or refuses what was asked of it."""

    lasting: bool = False
    """Whether it would say the same again: a stream does not wait for that to pass."""


class FeedbackError(OrreryError):
    """Outcomes cannot be joined, or there is too little to decide on."""


def listing(names: Iterable[object], most: int = 12) -> str:
    """Names in quotes, separated by commas; a long list is cut and counted.

    >>> listing(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    quoted = [repr(str(name)) for name in names]
    if not quoted:
        return "none"
    if len(quoted) <= most:
        return ", ".join(quoted)
    return f"{', '.join(quoted[:most])} and {len(quoted) - most} more"


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """A question that names the closest options, or nothing.

    >>> did_you_mean("acuracy", ["accuracy", "log_loss"])
    "Did you mean 'accuracy'?"
    """
    names = [str(option) for option in options]
    folded = {n.casefold(): n for n in names}
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    if not close:
        return ""
    return f"Did you mean {' or '.join(repr(folded[c]) for c in close)}?"
