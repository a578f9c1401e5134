"""The family of what can be fitted into a model, told apart by ``kind``; :class:`Estimator` is the first.

A model names what it came from by its settings alone, so it can be loaded and can predict without them
being understood: the learner's own packages need not be installed where the model only answers.
"""

from __future__ import annotations

from typing import ClassVar

from orrery.spec import Choice


class Recipe(Choice):
    """Settings that ``fit`` turns into a model."""

    family: ClassVar[str] = "orrery.estimators"
