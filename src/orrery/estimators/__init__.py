"""Estimators: what is fitted, the model that comes out, and how it is saved."""

from __future__ import annotations

KINDS: dict[str, str] = {"estimator": "orrery.estimators.estimator:Estimator"}
"""Kind of what can be fitted -> ``module:Class``; the entry point ``orrery.estimators`` adds others."""
