"""What a Spark ML estimator and its model have in common: the names of the columns that are added."""

from __future__ import annotations

import json
from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasPredictionCol, HasProbabilityCol, HasRawPredictionCol

from orrery.errors import SettingsError, did_you_mean, listing
from orrery.spark.vectors import INDEX, PREDICTION, PROBABILITY, RAW


class Added(HasPredictionCol, HasProbabilityCol, HasRawPredictionCol):
    """Names of the columns that predictions add; an empty name leaves a column out."""

    indexCol: Any = Param(  # noqa: N815 - as Spark ML spells its parameters
        Params._dummy(),
        "indexCol",
        "the class's place in the vectors, as a double; empty: none",
        typeConverter=TypeConverters.toString,
    )

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(indexCol="")

    def added(self) -> dict[str, str]:
        """Meaning -> name of the column, of those that have a name."""
        named = {
            PREDICTION: self.getPredictionCol(),
            PROBABILITY: self.getProbabilityCol(),
            RAW: self.getRawPredictionCol(),
            INDEX: self.getOrDefault(self.indexCol),
        }
        return {meaning: name for meaning, name in named.items() if name}


def set_checked(params: Params, values: dict[str, Any]) -> None:
    """Set parameters by name. Raises SettingsError for one that there is not, or of a wrong type."""
    known = [param.name for param in params.params]
    for name, value in values.items():
        if name not in known:
            raise SettingsError(
                f"{type(params).__name__} has no parameter {name!r}; it has {listing(known, 40)}.",
                hint=did_you_mean(name, known),
            )
        try:
            params._set(**{name: value})
        except TypeError as error:
            raise SettingsError(str(error)) from None


def to_plain(value: Any) -> Any:
    """A value of JSON, as a parameter is saved. Raises TypeError."""
    return json.loads(json.dumps(value))
