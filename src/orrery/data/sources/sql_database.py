"""What all databases share: a query is wrapped, narrowed and cut into parts before it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Protocol

import pyarrow as pa
from sqlglot import exp

from orrery.data import conditions, sql
from orrery.data.source import Partition
from orrery.data.sources import ranges
from orrery.data.sources.ranges import Key
from orrery.errors import SchemaError, SettingsError, UnknownColumnError, listing
from orrery.schema import Schema


class Column(Protocol):
    """What a column becomes, as far as every database knows."""

    @property
    def type(self) -> Any:
        """Its Arrow type."""

    @property
    def sort(self) -> str:
        """What it can be compared with at the place as here: ``number``, ``text``, ``date``, ``time``."""


class Database:
    """The half of a database's source that writes SQL; how it is asked is the place's own.

    ``columns`` are those of ``rows``, the query whose rows are read. With a key (``split_on``, or the
    primary key of a table) rows come in its order, in ``parts`` ranges; else as the place gives them.
    """

    dialect: ClassVar[str] = ""
    query: str | None
    split_on: str | None = None
    parts: int = 1

    @property
    def rows(self) -> str:
        """The query whose rows are read."""
        raise NotImplementedError

    @property
    def columns(self) -> Mapping[str, Column]:
        """Each column's type, and what can be asked of it."""
        raise NotImplementedError

    def _answers(self, query: str) -> Sequence[Sequence[Any]]:
        """The rows of a small query."""
        raise NotImplementedError

    def _declared(self) -> tuple[str | None, set[str]]:
        """The primary key of the table if it is one column, and all columns that are filled and unique."""
        return None, set()

    def schema(self) -> Schema:
        """The columns."""
        return Schema.of(pa.schema([pa.field(name, column.type) for name, column in self.columns.items()]))

    @cached_property
    def key(self) -> Key | None:
        """The column that orders and cuts the rows; None where they come as the place gives them."""
        if not isinstance(self.parts, int) or self.parts < 1:
            raise SettingsError(f"{self!r} is read in parts={self.parts!r}; allowed is 1 or more.")
        if self.query is not None and self.split_on is None and self.parts == 1:
            return None
        primary, unique = self._declared() if self.query is None else (None, set[str]())
        name = self.split_on
        if name is None and primary is not None and self._is_whole(primary):
            name = primary
        if name is None and self.parts > 1:
            raise SettingsError(
                f"{self!r} cannot be cut into {self.parts} parts: it has no single whole primary key.",
                hint="Name a column with split_on=…, best one that is unique and has an index.",
            )
        if name is None:
            return None
        self._check_key(name)
        return Key(name, self._is_whole(name), name in unique)

    def _check_key(self, name: str) -> None:
        if name not in self.columns:
            raise UnknownColumnError(name, self.columns)
        column = self.columns[name]
        if not (column.sort and ranges.is_key(column.type)):
            allowed = [n for n, c in self.columns.items() if c.sort and ranges.is_key(c.type)]
            raise SchemaError(
                f"{self!r} cannot be split on {name!r}, which is {column.type}; allowed are whole numbers, "
                f"decimals, texts, dates and times: {listing(allowed)}."
            )

    def _is_whole(self, name: str) -> bool:
        return name in self.columns and pa.types.is_integer(self.columns[name].type)

    def partitions(self) -> Sequence[Partition]:
        """All rows as one part, or ranges of the key, whose order is that of the whole.

        Ranges are read as of one moment in this process, where the place can give one.
        """
        found = [Partition(0)] if self.key is None else ranges.partitions(self.key, self._cuts)
        moment = self._moment() if len(found) > 1 else None
        if moment is None:
            return found
        return [Partition(part.index, {**part.where, "moment": moment}) for part in found]

    def _moment(self) -> Any:
        """What lets several parts be read as of one moment; None where the place has no such thing."""
        return None

    @cached_property
    def _cuts(self) -> list[Any]:
        assert self.key is not None, "only a query with a key is cut"
        column = self._sorted_by(self.key.name)
        return ranges.find_cuts(self._answers, self.rows, column, self.key.whole, self.parts)

    def _is_unique(self) -> bool:
        """Whether no two rows have the same key; asked of the database only when it is in doubt."""
        assert self.key is not None, "only a query with a key is asked for it"
        column = self._sorted_by(self.key.name)
        twice = (
            f"select count(*) as n from ({self.rows}) this where {column} is not null "
            f"group by {column} having count(*) > 1"
        )
        return self.key.unique or not self._answers(f"select count(*) from ({twice}) twice")[0][0]

    def _asked(self, fields: Sequence[str], where: str, part: Mapping[str, Any], last: Any = None) -> str:
        """The query for some columns of one part, from behind the key ``last`` on, in its order."""
        wanted = [where] if where else []
        order = ""
        if "key" in part:
            column = f"this.{self._sorted_by(part['key'])}"  # and not what is made of it for the answer
            wanted += ranges.conditions(part, column, self._literal)
            wanted += [f"{column} > {self._literal(last)}"] if last is not None else []
            order = "" if part.get("missing") else f" order by {column}"
        narrowed = f" where {' and '.join(wanted)}" if wanted else ""
        return f"select {', '.join(fields)} from ({self.rows}) this{narrowed}{order}"

    def _quoted(self, name: str) -> str:
        """A name as the place writes it."""
        return str(exp.to_identifier(name, quoted=True).sql(dialect=self.dialect))

    def _sorted_by(self, name: str) -> str:
        """A key as the place orders and compares it."""
        return self._quoted(name)

    def _literal(self, value: Any) -> str:
        """A key's value as the place writes it."""
        if isinstance(value, (int, Decimal)):
            return f"{value:f}" if isinstance(value, Decimal) else str(value)
        return str(exp.Literal.string(str(value)).sql(dialect=self.dialect))

    def _parsed(self, where: str) -> conditions.Condition:
        sorts = {name: column.sort for name, column in self.columns.items()}
        return conditions.parse(where, tuple(self.columns)).bare(sorts)

    def _sql_of(self, condition: conditions.Condition) -> str:
        return condition.sql(self.dialect)

    def _is_plain(self, condition: conditions.Condition) -> bool:
        """Whether the place means the same by a condition."""
        return condition.is_plain({name: column.sort for name, column in self.columns.items()})

    def pushed(self, where: str | None) -> str:
        """The parts of a condition that mean the same to the place."""
        if where is None:
            return ""
        return " and ".join(f"({self._sql_of(p)})" for p in self._parsed(where).parts() if self._is_plain(p))

    def _exact(self, where: str | None) -> str | None:
        """A whole condition, with ``where`` before it; None if the place means another thing by it."""
        if where is None:
            return ""
        parsed = self._parsed(where)
        return f" where {self._sql_of(parsed)}" if self._is_plain(parsed) else None

    def _inlined(self, query: str, columns: Sequence[str], where: str | None) -> str | None:
        """A query on ``this`` as one of the place; None where only Orrery can tell its rows."""
        narrowed = self._exact(where)
        if narrowed is None:
            return None
        names = ", ".join(self._quoted(name) for name in columns)
        return sql.inlined(query, f"select {names} from ({self.rows}) this{narrowed}", self.dialect)
