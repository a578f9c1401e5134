"""What reading a table would do, told before a row is read: a value, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from orrery.data.pipeline import Pipeline
from orrery.data.rows import needed
from orrery.data.source import Source
from orrery.data.sources.file import FileSource
from orrery.data.steps import Step, asked_of, told
from orrery.display import Both, facts, fragment
from orrery.spec import Spec

_SHOWN = 20  # names of columns


class Explanation(Spec):
    """Where rows lie, what their place does itself, what is done here, and how many bytes that takes.

    Looking costs what the place asks for it: the ends of files, the sizes of parts. None is «unknown».

    >>> from orrery.data.table import read
    >>> plan = read({"a": [1, 2], "b": ["x", "y"]}).where("a > 1").select("b").explain()
    >>> plan.columns, plan.condition, plan.rows
    (('b', 'a'), '("a" > 1)', 2)
    """

    place: str
    columns: tuple[str, ...]
    """Those that are read."""
    of_columns: int
    """How many there are."""
    condition: str | None = None
    """All of what rows have to fulfil."""
    condition_there: str | None = None
    """The parts of it that the place applies, in its own words."""
    query: str | None = None
    """What the place is asked, in its own words."""
    here: tuple[str, ...] = ()
    """The steps that are done here, in their order."""
    parts: int | None = None
    rows: int | None = None
    """At the place, before any condition."""
    size_bytes: int | None = None
    """At the place."""
    to_read_bytes: int | None = None
    """After columns and conditions were pushed down."""
    bytes_read: int | None = None
    """Read of it so far."""
    estimated: tuple[str, ...] = ()
    """Which of ``rows``, ``size_bytes`` and ``to_read_bytes`` are not exact; shown with ``~`` before them."""
    others: tuple[Explanation, ...] = ()
    """Other tables that the steps read."""

    def __str__(self) -> str:
        lines = [f"{name:9}{value}" for name, value in self._lines()]
        for other in self.others:
            lines += ["beside", *(f"  {line}" for line in str(other).splitlines())]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Explanation({self.place}, {self._told('to_read_bytes')} to be read)"

    def _repr_html_(self) -> str:
        pairs: list[tuple[Any, object]] = [
            (Both(name, _CHINESE[name]), value) for name, value in self._lines()
        ]
        pairs += [(Both("beside", "另有"), str(other)) for other in self.others]
        return fragment(facts(pairs), title=self.place)

    def _lines(self) -> list[tuple[str, str]]:
        names = ", ".join(self.columns[:_SHOWN])
        more = ", …" if len(self.columns) > _SHOWN else ""
        known = [
            ("from", self.place),
            ("parts", f"{_count(self.parts)} with {self._told('rows')} rows"),
            ("columns", f"{len(self.columns)} of {self.of_columns}: {names}{more}"),
            ("where", self.condition),
            ("there", self.condition_there),
            ("query", " ".join(self.query.split()) if self.query else None),
            *(("then", step) for step in self.here),
            ("size", f"{self._told('size_bytes')}; to be read {self._told('to_read_bytes')}"),
            ("read", f"{_bytes(self.bytes_read)} so far"),
        ]
        return [(name, value) for name, value in known if value]

    def _told(self, name: str) -> str:
        number: int | None = getattr(self, name)
        shown = _count(number) if name == "rows" else _bytes(number)
        return f"~{shown}" if name in self.estimated and number is not None else shown


_CHINESE = {
    "from": "来自",
    "parts": "分区",
    "columns": "列",
    "where": "条件",
    "there": "在数据所在处",
    "query": "查询",
    "then": "随后在此",
    "size": "大小",
    "read": "已读",
}


def explained(pipeline: Pipeline) -> Explanation:
    """What a pipeline would do."""
    source = pipeline.source
    names = pipeline.schemas[0].names
    needs = pipeline.needs(pipeline.schema.names)
    columns = needed(names, needs[0], pipeline.where)
    parts = source.partitions()
    size = _sum([part.size_bytes for part in parts])
    exact = {
        "rows": _sum([part.rows for part in parts]),
        "size_bytes": size,
        "to_read_bytes": _to_read(source, columns, pipeline, size),
    }
    about = _estimate(source, columns, pipeline)
    pushed = getattr(source, "pushed", None)
    return Explanation(
        place=repr(source),
        columns=tuple(columns),
        of_columns=len(names),
        condition=pipeline.where,
        condition_there=pushed(pipeline.where) or None if pushed and pipeline.where else None,
        query=getattr(source, "query", None),
        here=tuple(map(worded, pipeline.steps)),
        parts=len(parts),
        **{**exact, **about},
        estimated=tuple(about),
        bytes_read=getattr(source, "bytes_read", None),
        others=tuple(
            explained(table._pipeline)
            for step, have, wanted in zip(pipeline.steps, pipeline.schemas[:-1], needs[1:], strict=True)
            for table in asked_of(step, wanted, have)
        ),
    )


def _sum(numbers: list[int | None]) -> int | None:
    return sum(n for n in numbers if n is not None) if None not in numbers else None


def _estimate(source: Source, columns: list[str], pipeline: Pipeline) -> dict[str, int]:
    """What the place's own statistics say."""
    ask = getattr(source, "estimate", None)
    found = asdict(ask(_asked(columns, pipeline), pipeline.where)) if ask is not None else {}
    return {name: number for name, number in found.items() if number is not None}


def _asked(columns: list[str], pipeline: Pipeline) -> list[str] | None:
    """None stands for all."""
    return None if columns == list(pipeline.schemas[0].names) else columns


def _to_read(source: Source, columns: list[str], pipeline: Pipeline, size: int | None) -> int | None:
    """Asked of the place where it can tell; a file of text is read whole."""
    ask = getattr(source, "bytes_to_read", None)
    if ask is not None:
        known: int | None = ask(_asked(columns, pipeline), pipeline.where)
        return known
    return size if isinstance(source, FileSource) and not pushes(source) else None


def pushes(source: Source) -> bool:
    """Whether a place reads less than all of it for some columns or rows."""
    return hasattr(source, "pushed") or hasattr(source, "ask")


def worded(step: Step) -> str:
    """A step as people read it."""
    plain = told(step)
    name = str(plain.pop("step"))
    values = [str(value) if len(plain) == 1 else f"{key}={value}" for key, value in plain.items()]
    return f"{name} {', '.join(values)}".strip()


def _bytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size:,} bytes"


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
