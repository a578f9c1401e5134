"""Learners: what turns features into predictions, one per file."""

from __future__ import annotations

KINDS: dict[str, str] = {
    "auto": "orrery.learners.auto:Auto",
    "network": "orrery.learners.network:Network",
    "boosted": "orrery.learners.boosted:Boosted",
    "linear": "orrery.learners.linear:Linear",
}
"""Kind of a learner -> ``module:Class``. Plug-ins add theirs by the entry point ``orrery.learners``."""

PREDICTORS: dict[str, str] = {
    "blend": "orrery.learners.auto:Blend",
    "network": "orrery.learners.network:NetworkPredictor",
    "boosted": "orrery.learners.boosted:BoostedPredictor",
    "linear": "orrery.learners.linear:LinearPredictor",
}
"""Kind of a saved predictor -> ``module:Class``."""
