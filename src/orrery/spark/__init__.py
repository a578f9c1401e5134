"""Models in Spark's words: Estimator and Transformer of ``pyspark.ml``, and streams that follow an alias.

Importing this package loads no Spark: each name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from orrery.extras import require

if TYPE_CHECKING:
    from orrery.spark.estimator import Estimator as Estimator
    from orrery.spark.model import Model as Model
    from orrery.spark.stream import transform as transform

_HOMES = {
    "Estimator": "orrery.spark.estimator",
    "Model": "orrery.spark.model",
    "transform": "orrery.spark.stream",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'orrery.spark' has no attribute {name!r}")
    require("pyspark", f"orrery.spark.{name}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
