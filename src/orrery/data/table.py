"""Tables: rows, lazily read. A table is a source and steps over it, both values; nothing is read until asked.

``Table`` has three parts: the steps (here), what reads rows (``reading``), and what says where the rows come
from (``lineage``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from orrery.aggregate import RecordBatch
from orrery.data import conditions, views, writer
from orrery.data.address import source_of
from orrery.data.as_of import AsOf
from orrery.data.lineage import Traceable
from orrery.data.loader.loader import Loader
from orrery.data.loader.settings import Settings
from orrery.data.pictures import Pictures, checked_kinds
from orrery.data.pipeline import Pipeline, build
from orrery.data.quarantine import OnBad
from orrery.data.reading import Readable
from orrery.data.source import Source
from orrery.data.sources.memory import Memory
from orrery.data.split import Cuts, Part, Sample, Shares
from orrery.data.sql import THIS
from orrery.data.steps import Kinds, Map, Select, Sql, Step, Union, Where
from orrery.data.variables import expand
from orrery.data.window_step import WindowStep
from orrery.data.windows import Window, Windows
from orrery.errors import SettingsError, SourceError, listing
from orrery.schema import Kind, Schema


def read(
    place: str | Path | object,
    *,
    query: str | None = None,
    kinds: Mapping[str, str | Kind] | None = None,
    on_bad: OnBad = "stop",
    connection: str | None = None,
    **options: Any,
) -> Table:
    """A table from an address, or from rows in memory.

    Addresses: ``*.parquet``, ``*.csv[.gz]``, ``*.jsonl[.gz]``, ``*.arrow``, ``*.feather``, ``*.orc``,
    ``*.txt[.gz]`` (columns text, line), ``shard-{000..099}.tar`` (WebDataset), a glob or folder of them,
    tables of Delta (``version=``) and Iceberg (``snapshot=``), a folder of pictures (columns image, label,
    path), of sounds (audio) or of videos (``frames_per_s=1``: a row per frame), ``sqlite:///file.db`` and
    ``duckdb:///file.db`` (with ``query=`` or ``table=``), ``postgresql://…``, ``mysql://…``, ``mariadb://…``,
    ``sqlalchemy+<any URL>`` (databases also with ``split_on=`` and ``parts=``, read in ranges of a key),
    ``mongodb://host/database/collection``, ``kafka://host/topic`` (with ``start=``, ``end=``, ``payload=``),
    files of logs with a grok ``pattern=``.
    In memory: pandas, Polars, Arrow, a list of dicts, a dict of columns; a function or an iterator that gives
    rows; data sets of PyTorch, Hugging Face and Ray; data frames of Spark (also ``spark://table``).
    All places with what each does itself: ``docs/concepts/sources.md``.

    ``kinds`` says what columns mean; ``on_bad`` whether a row that cannot be read stops the run or is set
    aside (:meth:`Table.quarantined`), corrupt pictures, sounds and videos in columns of those kinds among
    them; ``connection`` names the environment variable ``ORRERY_CONNECTION__<NAME>`` that holds the address
    with its password (databases, S3, HTTP). Files may lie behind ``s3://``, ``https://``, ``webhdfs://``;
    folders named ``year=2024`` give their rows a column ``year``. Other options are the source's own:
    ``types`` …

    >>> read({"size": [3, 5], "kind": ["a", "b"]}).where("size > 3").to_rows()
    [{'size': 5, 'kind': 'b'}]
    """
    if isinstance(place, str) and not place.strip():  # which would be every file of the current folder
        raise SourceError("The place to read is empty.", hint="Name a file, a folder, or '.' for this one.")
    given = {"query": query, "connection": connection, "on_bad": None if on_bad == "stop" else on_bad}
    options = {**options, **{name: value for name, value in given.items() if value is not None}}
    table = place if isinstance(place, Table) else Table(source_of(place, options, kinds or {}))
    table = table.with_kinds(kinds) if kinds else table
    looked_at = checked_kinds(kinds or {})
    if on_bad == "quarantine" and looked_at:
        step = Pictures(tuple(looked_at), repr(table.source), kinds=tuple(looked_at.values()))
        table = Table(table.source, (*table.steps, step))
    return table


class Table(Readable, Traceable):
    """Rows, lazily read; immutable. Each step gives another table.

    >>> table = read([{"a": 1, "b": "x"}, {"a": 2, "b": None}])
    >>> table.select("a").schema.names
    ('a',)
    >>> table.count()
    2
    """

    def __init__(self, source: Source, steps: Sequence[Step] = ()) -> None:
        self.source = source
        self.steps = tuple(steps)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return build(self.source, self.steps)

    @cached_property
    def schema(self) -> Schema:
        """The columns: names, types, and kinds where they are known."""
        return Schema.of(self._pipeline.schema)

    def select(self, *names: str | Sequence[str]) -> Table:
        """Some columns, in this order: ``select("a", "b")`` or ``select(["a", "b"])``."""
        return self._then(Select(_columns(names)))

    def without(self, *names: str | Sequence[str]) -> Table:
        """All columns but some. Raises UnknownColumnError."""
        left_out = _columns(names)
        self.schema.select(left_out)
        return self._then(Select(tuple(name for name in self.schema.names if name not in left_out)))

    def where(self, condition: str) -> Table:
        """The rows for which an SQL condition is true: ``age > 30 and "home town" = 'Oslo'``."""
        return self._then(Where(condition))

    def sql(self, query: str, *, dialect: str | None = None, **tables: Table) -> Table:
        """The answer to a query on a table called ``this``, and on others by the names they are given.

        Asked of the database where all the rows lie in one, in its own dialect; of DuckDB anywhere else,
        larger than memory too. ``dialect`` says what the query is written in (``duckdb``, ``postgres``,
        ``mysql``, ``sqlite``, ``spark``), and it is put into the words of the place, so that rows are equal
        wherever they lie; what could come out otherwise is an error (:mod:`orrery.data.sql_dialects`).

        >>> sales, shops = read({"shop": [1, 1], "sum": [5, 9]}), read({"shop": [1], "town": ["Oslo"]})
        >>> sales.sql("select town, sum from this join s using (shop) where sum > 5", s=shops).to_rows()
        [{'town': 'Oslo', 'sum': 9}]
        """
        return self._then(Sql(query, _named(tables), dialect))

    def as_of(
        self,
        features: Table,
        *,
        on: str,
        by: str | Sequence[str],
        tolerance: str | float | None = None,
        columns: Sequence[str] | None = None,
    ) -> Table:
        """These rows, each with the latest row of ``features`` known at its time: never one of the future.

        ``on`` is the time and ``by`` names what the rows are about, in both tables. Every row stays, in its
        order; without a match its new columns are missing. Of several rows of the same time the last one
        counts. ``tolerance`` is how old a match may be: ``"7d"``, ``"90min"``, or a number where ``on`` is
        one. ``columns`` are those of ``features`` to add; by default all others.

        >>> sales = read({"shop": [1, 1], "day": [3, 9]})
        >>> prices = read({"shop": [1, 1], "day": [2, 9], "price": [5, 6]})
        >>> sales.as_of(prices, on="day", by="shop").to_rows()
        [{'shop': 1, 'day': 3, 'price': 5}, {'shop': 1, 'day': 9, 'price': 6}]
        """
        return self._then(
            AsOf(features, on, _names(by), tolerance, None if columns is None else tuple(columns))
        )

    def windows(self, *windows: Window, on: str, **settings: Any) -> Table:
        """What happened before each event to the same key: counts, sums … over the last hour, as columns.

        ``on`` is the time of an event. More settings, each told in :class:`orrery.data.windows.Windows`:
        ``id`` names an event, so that a repeat counts once; ``arrival`` orders events as they arrived, and
        ``late`` is how far behind one may. A model that is fitted on these columns takes the windows with it:
        a service keeps what happened and computes the same.

        >>> import datetime as dt
        >>> from orrery.data.windows import Window
        >>> paid = [{"card": "a", "time": dt.datetime(2026, 1, 1, 12, m), "eur": 5.0 * m} for m in (1, 2, 40)]
        >>> spent = Window(how="sum", of="eur", over="30min", by="card")
        >>> read(paid).windows(spent, on="time").select(spent.name).to_rows()
        [{'sum_eur_30min_by_card': 0.0}, {'sum_eur_30min_by_card': 5.0}, {'sum_eur_30min_by_card': 0.0}]
        """
        return self._then(WindowStep(Windows.from_dict({"on": on, "windows": windows, **settings})))

    def map(self, function: Callable[[RecordBatch], RecordBatch], schema: Any = None) -> Table:
        """A function of each record batch. ``schema`` (Arrow) says what it gives, if trying it does not."""
        return self._then(Map(function, schema.arrow() if isinstance(schema, Schema) else schema, self))

    def with_kinds(self, kinds: Mapping[str, str | Kind]) -> Table:
        """The same rows; some columns are said to mean something: ``{"zip": "category"}``."""
        for kind in kinds.values():
            if kind not in [*Kind, "set"]:
                raise SettingsError(f"There is no kind {str(kind)!r}. The kinds are {listing(Kind)}.")
        return self._then(Kinds(tuple((name, Kind(kind)) for name, kind in kinds.items())))

    def union(self, other: Table) -> Table:
        """These rows, then those of another table with the same columns."""
        return self._then(Union(other))

    def split(
        self,
        ratio: float | tuple[float, ...] = 0.8,
        *,
        stratify: str | Sequence[str] | None = None,
        group: str | Sequence[str] | None = None,
        rule: str | None = None,
        time: str | None = None,
        key: str | Sequence[str] | None = None,
        seed: int = 0,
    ) -> tuple[Table, ...]:
        """Parts that add up to the whole; a row's part depends on nothing but the row.

        ``ratio``: the first part's share, or all shares. ``stratify``: exact shares of every value of a
        column. ``group``: rows of one group stay together. ``rule``: a condition; where true, the first of
        two parts. ``time``: the oldest rows first; rows without a time belong to the first part. ``key``:
        the columns that name a row, instead of all: it keeps its part when others change.
        """
        if rule is not None:
            text = conditions.parse(rule, self.schema.names).sql("duckdb")
            return self.where(text), self.where(f"not coalesce(({text}), false)")
        ratios = (float(ratio), 1.0 - float(ratio)) if isinstance(ratio, (int, float)) else tuple(ratio)
        shares = Shares(ratios, _names(stratify), _names(group), time, _names(key), seed)
        cuts = Cuts(shares, self)
        return tuple(self._then(Part(cuts, i)) for i in range(len(ratios)))

    def sample(self, rows: int | None = None, share: float | None = None, seed: int = 0) -> Table:
        """Some rows by chance, in their order: so many, or a share; the same ones for the same seed."""
        if (rows is None) == (share is None):
            raise SettingsError("A sample takes rows= or share=, one of them.")
        if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool)):
            raise SettingsError(
                f"A sample of rows={rows!r} is none: rows is a whole number.",
                hint=f"For a share of the rows: share={rows!r}." if isinstance(rows, float) else "",
            )
        if (rows is not None and rows < 0) or (share is not None and not 0.0 <= share <= 1.0):
            raise SettingsError(
                f"A sample of rows={rows}, share={share} is none: rows >= 0, 0 <= share <= 1."
            )
        return self._then(Sample(self, rows, share, seed))

    def write(
        self,
        url: str | Path,
        *,
        rows_per_file: int | None = None,
        file_bytes: int | None = None,
        row_group_bytes: int = writer.Layout.row_group_bytes,
        partition_by: str | Sequence[str] | None = None,
        form: str | None = None,
    ) -> Table:
        """Write all rows, and give the table that reads them.

        To one file, ``*.parquet``, ``*.arrow``, ``*.feather``, ``*.orc``, ``*.csv``, ``*.jsonl`` (text also
        compressed: ``*.csv.zst``) or ``*.tar`` (WebDataset); or to many: ``out/``, of the ``form`` that is
        said, or ``out/part-{0000..}.tar``, of ``rows_per_file`` or ``file_bytes`` at most, several at a time;
        ``partition_by`` names the columns whose values are folders. In CSV a struct is written as one column
        per field, ``probabilities.<label>``, and a list as JSON text (:mod:`orrery.data.flat`).
        A file, or a folder of them, appears whole or not at all. Raises SourceError where that cannot be.
        """
        layout = writer.Layout(rows_per_file, file_bytes, row_group_bytes, _names(partition_by), form)
        pipeline = self._pipeline
        return read(writer.write(str(url), pipeline.schema, pipeline.batches(), layout))

    def loader(
        self,
        batch_size: int,
        columns: Sequence[str] | None = None,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
        **settings: Any,
    ) -> Loader:
        """Batches of exactly ``batch_size`` rows, shuffled, for training: one iteration is one epoch.

        The same global batches whatever the number of workers (``world``) and threads; goes on at any batch
        (``state_dict``). More settings, each told in :class:`orrery.data.loader.settings.Settings`:

        - a batch: ``form`` ("torch", "numpy", "arrow", "pandas"), ``features`` (columns of one matrix),
          ``tensors``, ``row_number``, ``drop_last``;
        - pictures: ``images`` (name: height and width), ``resize``, ``augment``; ``transform`` of a batch;
        - how well it is mixed, and what it may take: ``buffer_bytes``, ``lanes``, ``prefetch_bytes``,
          ``threads``, ``cache`` (a folder), ``cache_bytes``.

        Raises SettingsError, UnknownColumnError.

        >>> table = read({"x": [1.0, 2.0, 3.0], "y": [0, 1, 0]})
        >>> for batch in table.loader(2, form="numpy", features=["x"], shuffle=False):
        ...     print(batch["features"].tolist(), batch["y"].tolist())
        [[1.0], [2.0]] [0, 1]
        [[3.0]] [0]
        """
        told = {"columns": columns, "shuffle": shuffle, "seed": seed}
        return Loader(self, Settings.of(batch_size=batch_size, rank=rank, world=world, **told, **settings))

    @classmethod
    def from_dict(cls, plan: Mapping[str, Any]) -> Table:
        """The table again, from ``to_dict``. Raises SettingsError for steps that are functions."""
        options = dict(expand(plan))
        steps = options.pop("steps", [])
        table = read(options.pop("place"), **options)
        for step in steps:
            table = _rebuilt(table, dict(step))
        return table

    def __repr__(self) -> str:
        return views.line(self)

    def _repr_html_(self) -> str:
        return views.table_page(self)

    def _then(self, step: Step) -> Table:
        return Table(self.source, (*self.steps, step))

    def _of(self, rows: Any) -> Table:
        return Table(Memory(rows))


def _named(tables: Mapping[str, Table]) -> tuple[tuple[str, Table], ...]:
    """The other tables of a query. Raises SettingsError for what is no table, or is called ``this``."""
    for name, table in tables.items():
        if not isinstance(table, Table):
            raise SettingsError(f"{name}={table!r:.80} is no table.", hint=f"Give {name}=read(…).")
        if name.casefold() == THIS:
            raise SettingsError(
                "'this' is the table that sql() is called on; call the other one something else."
            )
    return tuple(tables.items())


def _names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def _columns(names: Sequence[str | Sequence[str]]) -> tuple[str, ...]:
    """The names of columns, one by one or in one list. Raises SettingsError for anything else."""
    if len(names) == 1 and isinstance(names[0], (list, tuple)):
        names = names[0]
    for name in names:
        if not isinstance(name, str):
            raise SettingsError(f"A column is named by a string, not by {name!r:.100}.")
    return tuple(name for name in names if isinstance(name, str))


def _rebuilt(table: Table, step: dict[str, Any]) -> Table:
    """A table with one more step, from the step's plain values."""
    name = step.pop("step", None)
    if name == "select":
        return table.select(*step["columns"])
    if name == "kinds":
        return table.with_kinds(step["kinds"])
    if name == "union":
        return table.union(Table.from_dict(step["table"]))
    if name == "pictures":
        kinds = tuple(map(Kind, step.get("kinds", ())))
        checked = Pictures(tuple(step["columns"]), repr(table.source), kinds=kinds)
        return Table(table.source, (*table.steps, checked))
    if name == "part":
        part = int(step.pop("part"))
        return table.split(tuple(step.pop("ratio")), **step)[part]
    if name == "sql":
        others = {key: Table.from_dict(other) for key, other in step.get("tables", {}).items()}
        return table.sql(step["query"], dialect=step.get("dialect"), **others)
    if name == "as_of":
        return table.as_of(Table.from_dict(step.pop("table")), **step)
    if name == "windows":
        return Table(table.source, (*table.steps, WindowStep(Windows.from_dict(step))))
    if name in ("where", "sample"):
        made: Table = getattr(table, name)(**step)
        return made
    raise SettingsError(
        f"A table with the step {name!r} cannot be rebuilt from plain values.",
        hint="A function of your own is not written down; apply map() again.",
    )
