"""An estimator: the settings of a fit. What is left open is inferred; ``fit`` gives a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

from pydantic import Field as Setting

from orrery.data.pipeline import build
from orrery.data.sources.spark import Spark
from orrery.data.table import Table, read
from orrery.data.windows import Windows
from orrery.engines.engine import Engine
from orrery.engines.find import engine_of
from orrery.errors import SettingsError, did_you_mean, listing
from orrery.estimators import views
from orrery.estimators.fitting import fit_model
from orrery.estimators.model import Model
from orrery.estimators.recipe import Recipe
from orrery.estimators.resolving import check_columns, resolve
from orrery.features.feature import Feature
from orrery.learners.crew import GangCrew
from orrery.learners.learner import Learner
from orrery.schema import Kind
from orrery.training.events import Observer
from orrery.training.exchange.choice import Exchanging, exchange_of
from orrery.training.progress import bars


class Estimator(Recipe):
    """Which column to predict, from what, and how to learn. Only ``target`` is needed; the rest is inferred.

    >>> estimator = Estimator(target="price", kinds={"postcode": Kind.CATEGORY}, ignore=("name",))
    >>> estimator.learner.kind
    'auto'
    """

    kind: Literal["estimator"] = "estimator"
    target: str
    """The column to predict."""
    kinds: dict[str, Kind] = Setting(default_factory=dict)
    """What columns mean, where inference would be wrong: ``{"postcode": "category"}``."""
    features: tuple[Feature, ...] | None = None
    """What to learn from the columns; by default what the learner likes for their kinds."""
    learner: Learner = Setting(default_factory=lambda: Learner.of({"kind": "auto"}))
    """How to learn: ``auto`` tries several kinds, ``network``, ``boosted``, ``linear``."""
    windows: Windows | None = None
    """What happened before each event, which the model takes with it; by default the table's own."""
    weight: str | None = None
    """A column that says how much each row counts."""
    ignore: tuple[str, ...] = ()
    """Columns not to learn from."""
    seed: int = 0
    """Decides everything that is drawn at random."""
    validation_share: float = Setting(default=0.1, ge=0.0, le=0.5)
    """The share of rows held out to stop early, for learners that do, unless validation rows are given."""

    def resolve(self, table: Any) -> Estimator:
        """The same estimator with everything inferred filled in; ``to_dict()`` prints it in full.

        Reads the table once, to see what its columns hold. Raises as ``fit`` would.
        """
        return resolve(self, as_table(table)).estimator

    def fit(
        self,
        table: Any,
        *,
        validation: Any = None,
        engine: Engine | str | None = None,
        workers: int | Literal["auto"] = 1,
        elastic: tuple[int, int] | None = None,
        feed: Literal["auto", "push", "pull"] = "auto",
        exchange: str | Mapping[str, Any] | Exchanging = "allreduce",
        observers: Sequence[Observer] = (),
        folder: str | Path | None = None,
    ) -> Model:
        """Learn from the rows of a table.

        ``validation`` are rows to stop early on. ``workers`` learn together (``auto``: one for each GPU, or
        core) on an ``engine``, this machine by default, and agree by an ``exchange``. ``elastic=(1, 4)``:
        where workers are lost it goes on with those that are left, and takes others in later. On a cluster
        the engine feeds rows to them (``feed="push"``) or they read the source themselves (``"pull"``); by
        default rows of the cluster's own are fed. What they learn is the same.
        ``folder`` keeps checkpoints: the same call after a crash goes on from the last one; by default a
        folder in ORRERY_HOME named by settings and data.
        Raises DataError, TargetError, FitError, SettingsError.
        """
        rows, held = as_table(table), None if validation is None else as_table(validation)
        place = engine_of(engine)
        several = count_workers(workers, place)
        asked = several > 1 or elastic is not None or feed != "auto"
        there = place if engine is not None else None
        with kept(rows):
            return fit_model(
                resolve(self, rows, validated=held is not None, engine=there),
                validation=held,
                engine=there,
                crew=GangCrew(place, several, elastic=elastic, feed=feed) if asked else None,
                exchange=exchange_of(exchange),
                observers=observers,
                folder=None if folder is None else Path(folder),
            )

    def _repr_html_(self) -> str:
        return views.estimator_html(self.to_dict())


def fit(
    table: Any,
    target: str,
    *,
    learner: str | Learner = "auto",
    validation: Any = None,
    kinds: Mapping[str, str | Kind] | None = None,
    features: Sequence[Feature] | None = None,
    seed: int = 0,
    engine: Engine | str | None = None,
    workers: int | Literal["auto"] = 1,
    elastic: tuple[int, int] | None = None,
    feed: Literal["auto", "push", "pull"] = "auto",
    exchange: str | Mapping[str, Any] | Exchanging = "allreduce",
    observers: Sequence[Observer] = (),
    progress: bool | None = None,
    folder: str | Path | None = None,
    **settings: Any,
) -> Model:
    """Learn to predict the column ``target`` from the others. Kinds, features and learner are inferred.

    ``table`` is a Table or what :func:`orrery.read` takes. ``settings`` are the learner's (``epochs=5``), or
    the estimator's (``weight="w"``, ``ignore=("id",)``). ``workers`` learn together on the ``engine``, this
    machine by default. ``progress`` shows bars; by default in a terminal.

    >>> rows = [{"x": float(i), "y": 2.0 * i + 1.0} for i in range(50)]
    >>> model = fit(rows, "y", learner="linear")
    >>> round(model.predict({"x": 10.5})["prediction"], 1)
    22.0
    """
    own = {name: settings.pop(name) for name in list(settings) if name in Estimator.model_fields}
    estimator = Estimator.from_dict(
        {
            **own,
            "target": target,
            "kinds": dict(kinds or {}),
            "features": None if features is None else tuple(features),
            "learner": _learner(learner, settings),
            "seed": seed,
        }
    )
    rows = as_table(table)
    check_columns([*estimator.kinds, *estimator.ignore], rows.schema)
    shown = bars(progress)
    try:
        watching = [*observers, shown] if shown else list(observers)
        return estimator.fit(
            rows,
            validation=validation,
            engine=engine,
            workers=workers,
            elastic=elastic,
            feed=feed,
            exchange=exchange,
            observers=watching,
            folder=folder,
        )
    finally:
        close = getattr(shown, "close", None)
        if close is not None:  # also after an error, so that the terminal is left as it was
            close()


def count_workers(workers: int | str, engine: Engine) -> int:
    """How many workers: as asked for, or all that could start now. Raises SettingsError."""
    if workers == "auto":
        return max(1, engine.slots().free)
    if isinstance(workers, int) and not isinstance(workers, bool) and workers >= 1:
        return workers
    raise SettingsError(f"workers={workers!r} is wrong: a whole number of at least 1, or 'auto'.")


def kept(table: Table) -> AbstractContextManager[None]:
    """Inside, rows that Spark computes are computed once, however many passes a fit makes."""
    source = build(table.source, table.steps).source
    return source.kept() if isinstance(source, Spark) else nullcontext()


def as_table(data: Any) -> Table:
    """A Table, as it is or read."""
    return data if isinstance(data, Table) else read(data)


def _learner(learner: str | Learner, settings: Mapping[str, Any]) -> Learner:
    """A learner from its name or itself, with some settings changed. Raises SettingsError that names both."""
    if isinstance(learner, str):
        member = Learner.member(learner)
        _check_known(member.model_fields, settings, learner)
        return Learner.of({"kind": learner, **settings})
    _check_known(type(learner).model_fields, settings, learner.kind)
    return learner.replace(**settings) if settings else learner


def _check_known(known: Mapping[str, Any], settings: Mapping[str, Any], kind: str) -> None:
    for name in settings:
        if name not in known:
            options = sorted({*known, *Estimator.model_fields} - {"kind", "target"})
            raise SettingsError(
                f"fit with the learner {kind!r} has no setting {name!r}; it has {listing(options, 40)}.",
                hint=did_you_mean(name, options),
            )
