"""Features: what is learnt from columns, one kind per file."""

from __future__ import annotations

KINDS: dict[str, str] = {
    "category": "orrery.features.category:Category",
    "date": "orrery.features.date:Date",
    "hashing": "orrery.features.hashing:Hashing",
    "image": "orrery.features.image:Image",
    "labels": "orrery.features.labels:LabelSet",
    "number": "orrery.features.number:Number",
    "plain": "orrery.features.plain:Plain",
    "quantile": "orrery.features.quantile:Quantile",
    "target_mean": "orrery.features.target_mean:TargetMean",
    "tfidf": "orrery.features.tfidf:Tfidf",
    "tokens": "orrery.features.tokens:Tokens",
    "vector": "orrery.features.vector:Vector",
}
"""Kind of a feature -> ``module:Class``. Plug-ins add theirs by the entry point ``orrery.features``."""
