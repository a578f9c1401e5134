"""What a pickle says, without doing it: nothing is imported, nothing called, whatever it asks for.

A pickle is a program that names classes and functions and calls them. Here a name stays a name, a call stays
a note of it, and a state what would have been given; so a stranger's pickle is read as the text that it is.
Source: ``pickletools`` of Python's library, whose table of operations says what each one means.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from orrery.errors import SourceError

_MOST_BYTES = 16 << 20
_MOST_STEPS = 1_000_000
_MOST_PAIRS = 100_000
_MOST_DEPTH = 1_000


class Name(NamedTuple):
    """A class or function that is named, and never looked up."""

    module: str
    name: str


@dataclass(eq=False)
class Made:
    """What a call would have made."""

    of: Any
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    members: list[Any] = field(default_factory=list)

    def is_a(self, name: str) -> bool:
        """Whether it is of a class of this name, in whatever module."""
        return isinstance(self.of, Name) and self.of.name == name


class _Mark:
    """Where the arguments of an operation begin."""


def parsed(data: bytes) -> Any:
    """What a pickle describes. Raises SourceError for one that is broken, or does more than describe."""
    if len(data) > _MOST_BYTES:
        raise SourceError(f"A pickle of {len(data):,} bytes is not read; at most {_MOST_BYTES:,} are.")
    reader = _Reader()
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
            if count > _MOST_STEPS:
                raise ValueError("too many steps")
            if operation.name == "STOP":
                return _shallow(reader.stack.pop())
            reader.step(operation.name, argument)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise SourceError(f"A pickle cannot be understood: {str(error)[:200]}.") from None
    raise SourceError("A pickle is cut short.")


def _shallow(value: Any) -> Any:
    """The value, whose parts lie at most so deep in it. Raises ValueError."""
    seen: set[int] = set()
    level = [value]
    for _ in range(_MOST_DEPTH):
        inside: list[Any] = []
        for part in level:
            if id(part) not in seen:
                seen.add(id(part))
                inside.extend(_parts(part))
        if not inside:
            return value
        level = inside
    raise ValueError("its parts lie too deep in each other")


def _parts(value: Any) -> list[Any]:
    """What a value holds."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, Made):
        return [value.of, value.arguments, value.state, value.items, value.members]
    return list(value) if isinstance(value, list | tuple) else []


def _key(value: Any) -> Any:
    """A key of a mapping. Raises ValueError for one that may take for ever to hash, or to compare."""
    if isinstance(value, str | bytes) or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    raise ValueError(f"a key of type {type(value).__name__}")


def _arguments(value: Any) -> tuple[Any, ...]:
    """The arguments of a call: a tuple, which is not copied."""
    if not isinstance(value, tuple):
        raise ValueError("a call without a tuple of arguments")
    return value


def _pairs(taken: list[Any]) -> dict[Any, Any]:
    """A mapping, of keys and values in turn."""
    return {_key(key): value for key, value in zip(taken[::2], taken[1::2], strict=True)}


class _Reader:
    """The stack and the memory of a pickle's program."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.named = 0

    def step(self, name: str, argument: Any) -> None:
        """One operation. Raises KeyError for those that reach outside."""
        if name in _NOTHING:
            return
        if name in _VALUES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memory[int(argument)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memory[int(argument)])
        elif name == "MEMOIZE":
            self.memory[len(self.memory)] = self.stack[-1]
        elif name in ("GLOBAL", "INST"):
            module, _, attribute = str(argument).partition(" ")
            arguments = tuple(self._marked()) if name == "INST" else ()
            known = Name(module, attribute)
            self.stack.append(Made(known, arguments) if name == "INST" else known)
        else:
            _STEPS[name](self)

    def _marked(self) -> list[Any]:
        """All since the last mark."""
        found: list[Any] = []
        while not isinstance(top := self.stack.pop(), _Mark):
            found.append(top)
        return found[::-1]

    def _pop(self) -> None:
        """Forget the last."""
        self.stack.pop()

    def _pop_mark(self) -> None:
        """Forget all since the mark."""
        self._marked()

    def _twice(self) -> None:
        """The last once more."""
        self.stack.append(self.stack[-1])

    def _tuple_of(self, count: int | None = None) -> None:
        """The last so many, or all since the mark."""
        taken = self._marked() if count is None else [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(taken))

    def _list_of(self) -> None:
        """All since the mark."""
        self.stack.append(self._marked())

    def _dict_of(self) -> None:
        """Pairs since the mark."""
        self.stack.append(_pairs(self._marked()))

    def _append(self) -> None:
        """The last, to the list before it."""
        self._extend([self.stack.pop()])

    def _appends(self) -> None:
        """All since the mark, to the list before it."""
        self._extend(self._marked())

    def _extend(self, values: list[Any]) -> None:
        target = self.stack[-1]
        (target.members if isinstance(target, Made) else target).extend(values)

    def _set_item(self) -> None:
        """A pair, to the mapping before it."""
        value, key = self.stack.pop(), self.stack.pop()
        self._update({_key(key): value})

    def _set_items(self) -> None:
        """Pairs since the mark, to the mapping before them."""
        self._update(_pairs(self._marked()))

    def _update(self, values: dict[Any, Any]) -> None:
        target = self.stack[-1]
        items: dict[Any, Any] = target.items if isinstance(target, Made) else target
        items.update(values)
        if len(items) > _MOST_PAIRS:
            raise ValueError("too many pairs")

    def _name(self) -> None:
        """A name, from two texts."""
        attribute, module = self.stack.pop(), self.stack.pop()
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise ValueError("a name that is no text")
        self.stack.append(Name(module, attribute))

    def _call(self) -> None:
        """A note of a call."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if isinstance(function, Name) and function.name == "_reconstructor" and arguments:
            function, _, base = arguments  # how old pickles make an object, from a tuple or from nothing
            arguments = base if isinstance(base, tuple) else ()
        self.stack.append(Made(function, _arguments(arguments)))

    def _call_named(self) -> None:
        """A note of a call with named arguments."""
        named, arguments, function = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.named += len(named) if isinstance(named, dict) else _MOST_PAIRS + 1
        if self.named > _MOST_PAIRS:  # the same ones may be named again and again, and each is a copy
            raise ValueError("too many named arguments")
        self.stack.append(Made(function, _arguments(arguments), items=dict(named)))

    def _object_of(self) -> None:
        """A note of a call, of all since the mark."""
        function, *arguments = self._marked()
        self.stack.append(Made(function, tuple(arguments)))

    def _build(self) -> None:
        """A note of a state."""
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, Made):
            raise ValueError("a state without an object")
        target.state = state


_NOTHING = {"PROTO", "FRAME"}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": _Mark,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
}
_STEPS: dict[str, Callable[[_Reader], None]] = {
    "POP": _Reader._pop,
    "POP_MARK": _Reader._pop_mark,
    "DUP": _Reader._twice,
    "TUPLE": _Reader._tuple_of,
    "TUPLE1": lambda reader: reader._tuple_of(1),
    "TUPLE2": lambda reader: reader._tuple_of(2),
    "TUPLE3": lambda reader: reader._tuple_of(3),
    "LIST": _Reader._list_of,
    "FROZENSET": _Reader._tuple_of,
    "DICT": _Reader._dict_of,
    "APPEND": _Reader._append,
    "APPENDS": _Reader._appends,
    "ADDITEMS": _Reader._appends,
    "SETITEM": _Reader._set_item,
    "SETITEMS": _Reader._set_items,
    "STACK_GLOBAL": _Reader._name,
    "REDUCE": _Reader._call,
    "NEWOBJ": _Reader._call,
    "NEWOBJ_EX": _Reader._call_named,
    "OBJ": _Reader._object_of,
    "BUILD": _Reader._build,
}
