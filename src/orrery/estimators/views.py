"""How estimators and models show themselves: one line, plain values, or a piece of a page in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orrery.display import Both, Html, facts, figure, fragment, table_html, tiles

if TYPE_CHECKING:
    from orrery.estimators.model import Model
    from orrery.learners.learner import Predictor

_FIGURES = 4  # headline metrics shown at the top


def line(model: Model) -> str:
    """One line."""
    target = model.signature.target
    classes = f" of {len(target.labels)}" if target.labels else ""
    known = ", ".join(f"{name} {figure(value)}" for name, value in list(model.metrics.items())[:3])
    return (
        f"Model({target.name!r}: {target.kind.value}{classes}, from {len(model.signature.inputs)} columns "
        f"by {model.predictor.kind}{f'; {known}' if known else ''})"
    )


def describe(model: Model) -> dict[str, Any]:
    """Everything, as plain JSON values."""
    return {
        "target": model.signature.target.to_dict(),
        "inputs": [field.to_dict() for field in model.signature.inputs.each()],
        "features": model.plan.describe(),
        "learner": model.settings.get("learner"),
        "predictor": model.predictor.kind,
        "learnt": _learnt(model.predictor),
        "notes": list(model.notes),
        "metrics": model.metrics,
        "lineage": model.lineage,
    }


def _learnt(predictor: Predictor) -> dict[str, Any]:
    """What a predictor tells of itself, where it does."""
    tell = getattr(predictor, "describe", dict)
    return dict(tell())


def model_html(model: Model) -> str:
    """A model in a notebook: its figures, columns, what was noticed, where it comes from."""
    inputs = [(f.name, f.kind.value if f.kind else "", f.type) for f in model.signature.inputs.each()]
    shown = [(name, figure(value), "") for name, value in list(model.metrics.items())[:_FIGURES]]
    lineage = model.lineage
    origin = [
        (Both("fitted", "训练时间"), lineage.get("created")),
        (Both("rows", "行数"), lineage.get("rows")),
        (Both("seconds", "秒"), lineage.get("seconds")),
        (Both("predictor", "预测器"), model.predictor.kind),
        (Both("parent", "父模型"), lineage.get("parent")),
    ]
    notes = [[note] for note in model.notes]
    return fragment(
        tiles(shown) if shown else Html(""),
        facts(origin),
        table_html(_COLUMNS, inputs),
        table_html([Both("What was noticed and tried", "发现与尝试")], notes) if notes else Html(""),
        title=line(model),
    )


def estimator_html(settings: Mapping[str, Any]) -> str:
    """An estimator in a notebook: its settings, one a line."""
    plain = {name: str(value) for name, value in settings.items()}
    return fragment(facts(plain), title=f"Estimator({settings.get('target')!r})")


_COLUMNS = [Both("column", "列"), Both("kind", "含义"), Both("type", "类型")]
