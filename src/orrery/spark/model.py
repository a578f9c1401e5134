"""A fitted model as a Transformer of Spark ML. Saved, it is Spark ML's folder with the model's zip inside.

``path/metadata`` is Spark ML's own (JSON); ``path/model.zip`` is what :meth:`orrery.Model.save` writes, so
that ``orrery.Model.load("path/model.zip")`` opens it where there is no Spark. Nothing is pickled.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyspark.ml
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql.types import StructField

from orrery.errors import ModelNotFoundError, SettingsError
from orrery.estimators.model import Model as Fitted
from orrery.estimators.spark_frame import map_frame, ship
from orrery.spark.params import Added
from orrery.spark.vectors import MlAnswer, meanings, spark_type

FILE = "model.zip"
"""The model's file in the folder that Spark ML writes."""


class Model(Added, pyspark.ml.Model, MLWritable, MLReadable["Model"]):
    """Adds predictions to the columns of a data frame, in its order.

    ``fitted`` is the :class:`orrery.Model`, for everything else: ``evaluate``, ``save``, ``register`` …
    """

    def __init__(self, fitted: Fitted | None = None) -> None:
        super().__init__()
        self._fitted = fitted

    @property
    def fitted(self) -> Fitted:
        """The model itself."""
        if self._fitted is None:
            raise SettingsError("This model is empty.", hint="Model(fitted), or Model.load(path).")
        return self._fitted

    def _transform(self, dataset: Any) -> Any:
        target = self.fitted.signature.target
        added = {m: name for m, name in self.added().items() if m in meanings(target)}
        fields = [StructField(name, spark_type(target, m), True) for m, name in added.items()]
        whose = ship(self.fitted, dataset.sparkSession)
        return map_frame(dataset, self.fitted, whose, MlAnswer(tuple(added)), fields)

    def write(self) -> MLWriter:
        """What saves it: ``model.write().overwrite().save(path)``."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[Model]:
        """What loads it."""
        return _Reader()


class _Writer(MLWriter):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def save(self, path: str) -> None:
        _files(self.sparkSession, path)  # before anything is replaced
        super().save(path)

    def saveImpl(self, path: str) -> None:  # noqa: N802 - Spark's own name
        jvm, files = _files(self.sparkSession, path)
        with tempfile.TemporaryDirectory(prefix="orrery-model-") as folder:
            file = self.model.fitted.save(Path(folder) / FILE)
            DefaultParamsWriter.saveMetadata(self.model, path, self.sparkSession)
            files.copyFromLocalFile(jvm.Path(str(file)), jvm.Path(f"{path}/{FILE}"))


class _Reader(MLReader[Model]):
    def load(self, path: str) -> Model:
        jvm, files = _files(self.sparkSession, path)
        if not files.exists(jvm.Path(f"{path}/{FILE}")):
            raise ModelNotFoundError(f"{path!r} holds no {FILE}.", hint="orrery.spark.Model.save wrote it.")
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        with tempfile.TemporaryDirectory(prefix="orrery-model-") as folder:
            files.copyToLocalFile(False, jvm.Path(f"{path}/{FILE}"), jvm.Path(f"{folder}/{FILE}"), True)
            model = Model(Fitted.load(Path(folder) / FILE))
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model


def _files(session: Any, path: str) -> tuple[Any, Any]:
    """Hadoop's words, and the file system of a path. Raises SettingsError with Spark Connect."""
    if not hasattr(session, "_jvm"):
        raise SettingsError(
            "Spark Connect cannot save or load models.",
            hint="model.fitted.save(path), orrery.Model.load(path)",
        )
    hadoop = session._jvm.org.apache.hadoop.fs
    return hadoop, hadoop.Path(path).getFileSystem(session._jsc.hadoopConfiguration())
