"""Orrery: the complete loop of deep learning on the data platform you already have.

Importing this package loads nothing heavy: each name below is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orrery.client.client import AsyncClient as AsyncClient
    from orrery.client.client import Client as Client
    from orrery.data.table import Table as Table
    from orrery.data.table import read as read
    from orrery.data.windows import Window as Window
    from orrery.estimators.estimator import Estimator as Estimator
    from orrery.estimators.estimator import fit as fit
    from orrery.estimators.model import Model as Model
    from orrery.evaluation.report import Report as Report
    from orrery.flow.flow import Flow as Flow
    from orrery.registry.load import load as load
    from orrery.registry.reroute import route as route
    from orrery.registry.routes import Arm as Arm
    from orrery.registry.routes import Canary as Canary
    from orrery.registry.routes import Routing as Routing
    from orrery.training.gang import gang as gang

__version__ = "0.1.0"

_HOMES = {
    "Client": "orrery.client.client",
    "AsyncClient": "orrery.client.client",
    "Table": "orrery.data.table",
    "read": "orrery.data.table",
    "Window": "orrery.data.windows",
    "Estimator": "orrery.estimators.estimator",
    "fit": "orrery.estimators.estimator",
    "gang": "orrery.training.gang",
    "Model": "orrery.estimators.model",
    "Report": "orrery.evaluation.report",
    "Flow": "orrery.flow.flow",
    "load": "orrery.registry.load",
    "route": "orrery.registry.reroute",
    "Arm": "orrery.registry.routes",
    "Canary": "orrery.registry.routes",
    "Routing": "orrery.registry.routes",
    "publish": "orrery.feedback.publish",
    "retrain": "orrery.feedback.retrain",
    "promote": "orrery.feedback.promotion",
    "rollback": "orrery.feedback.promotion",
    "outcomes": "orrery.feedback.outcomes",
    "drift": "orrery.feedback.drift",
    "batch": "orrery.serving.batch.batch",
    "serve": "orrery.serving.online.server",
    "stream": "orrery.serving.stream.stream",
}
"""Public name -> the module it lives in."""

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'orrery' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
