"""How a model shows itself: one line, plain values, or a page in a notebook."""

from __future__ import annotations

from typing import Any, Protocol

from orrery.estimators.signature import Signature
from orrery.features.plan import FeaturePlan
from orrery.learners.learner import Predictor


class Described(Protocol):
    """What is shown of a model."""

    signature: Signature
    plan: FeaturePlan
    predictor: Predictor
    lineage: dict[str, Any]
    metrics: dict[str, float]
    notes: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The estimator as plain values."""


def line(model: Described) -> str:
    """One line."""
    target = model.signature.target
    figures = ", ".join(f"{name} {value:.4g}" for name, value in list(model.metrics.items())[:3])
    classes = f" of {len(target.labels)}" if target.labels else ""
    known = f"; {figures}" if figures else ""
    return (
        f"Model({target.name!r}: {target.kind.value}{classes}, from {len(model.signature.inputs)} columns "
        f"by {model.predictor.kind}{known})"
    )


def describe(model: Described) -> dict[str, Any]:
    """Everything, as plain JSON values."""
    target = model.signature.target
    return {
        "target": target.to_dict(),
        "inputs": [field.to_dict() for field in model.signature.inputs.each()],
        "features": model.plan.describe(),
        "learner": model.settings.get("learner"),
        "predictor": model.predictor.kind,
        "notes": list(model.notes),
        "metrics": model.metrics,
        "lineage": model.lineage,
    }


def html(model: Described) -> str:
    """For a notebook."""
    return f"<pre>{line(model)}</pre>"
