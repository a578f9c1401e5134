"""``orrery.fit`` as an Estimator of Spark ML: for pipelines, grids and cross-validation."""

from __future__ import annotations

import re
from typing import Any

import pyspark.ml
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasSeed, HasWeightCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable

from orrery.data.table import Table, read
from orrery.errors import SettingsError
from orrery.estimators.estimator import fit
from orrery.spark.model import Model
from orrery.spark.params import Added, set_checked, to_plain

_FOLDS = re.compile(r"_[0-9a-f]{12}_rand")  # the column by which Spark ML cuts its folds


def _param(name: str, what: str, convert: Any) -> Any:
    return Param(Params._dummy(), name, what, typeConverter=convert)


class Estimator(
    Added,
    HasSeed,
    HasWeightCol,
    pyspark.ml.Estimator[Model],
    DefaultParamsReadable["Estimator"],
    DefaultParamsWritable,
):
    """Learns to predict the column ``target`` of a data frame. Gives a :class:`orrery.spark.Model`.

    ``Estimator(target="kind", features=["size", "colour"], learner="boosted", settings={"rounds": 50})``
    """

    target: Any = _param("target", "the column to predict", TypeConverters.toString)
    features: Any = _param(
        "features", "the columns to learn from; empty: all others", TypeConverters.toListString
    )
    learner: Any = _param("learner", "auto, network, boosted, linear", TypeConverters.toString)
    settings: Any = _param("settings", "of the learner: {'epochs': 5}", to_plain)
    kinds: Any = _param("kinds", "what columns mean: {'zip': 'category'}", to_plain)
    workers: Any = _param("workers", "how many learn together, or 'auto'", to_plain)
    engine: Any = _param("engine", "where they learn; empty: where the driver runs", TypeConverters.toString)

    def __init__(self, target: str | None = None, **params: Any) -> None:
        super().__init__()
        self._setDefault(
            features=[], learner="auto", settings={}, kinds={}, seed=0, workers=1, engine="", weightCol=""
        )
        set_checked(self, params if target is None else {"target": target, **params})

    def _fit(self, dataset: Any) -> Model:
        fitted = fit(
            self._table(dataset),
            self._needed(self.target),
            learner=self.getOrDefault(self.learner),
            kinds={**_nominal(dataset), **self.getOrDefault(self.kinds)},
            seed=self.getSeed(),
            engine=self.getOrDefault(self.engine) or None,
            workers=self.getOrDefault(self.workers),
            weight=self.getOrDefault(self.weightCol) or None,
            **self.getOrDefault(self.settings),
        )
        model = Model(fitted)
        model._resetUid(self.uid)
        copied: Model = self._copyValues(model)
        return copied

    def _needed(self, param: Any) -> Any:
        if not self.isDefined(param):
            raise SettingsError(
                f"The estimator has no {param.name}.", hint=f"Estimator({param.name}=..., ...)"
            )
        return self.getOrDefault(param)

    def _table(self, frame: Any) -> Table:
        """The columns that count; what Spark ML adds to cut folds does not."""
        table = read(frame)
        named = self.getOrDefault(self.features)
        if not named:
            return table.without([name for name in table.schema.names if _FOLDS.search(name)])
        weight = self.getOrDefault(self.weightCol)
        return table.select([*named, self._needed(self.target), *([weight] if weight else [])])


def _nominal(frame: Any) -> dict[str, str]:
    """Columns of numbers that Spark ML says are categories, as StringIndexer makes them."""
    kinds = {f.name: f.metadata.get("ml_attr", {}).get("type") for f in frame.schema.fields}
    return {name: "category" for name, kind in kinds.items() if kind in {"nominal", "binary"}}
