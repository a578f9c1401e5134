"""What MLflow's tools call to open a saved model: ``mlflow.pyfunc.load_model(folder).predict(frame)``."""

from __future__ import annotations

from pathlib import Path

from orrery.estimators.model import Model


def _load_pyfunc(path: str) -> Model:
    """The model at a path that MLflow hands over. Its ``predict`` takes and gives a pandas frame."""
    return Model.load(Path(path))
