"""Features: what is learnt from columns, one kind per file."""

from __future__ import annotations

KINDS: dict[str, str] = {
    "audio": "orrery.features.audio:Audio",
    "category": "orrery.features.category:Category",
    "date": "orrery.features.date:Date",
    "geo": "orrery.features.geo:Geo",
    "hashing": "orrery.features.hashing:Hashing",
    "image": "orrery.features.image:Image",
    "labels": "orrery.features.labels:LabelSet",
    "map": "orrery.features.map:Map",
    "number": "orrery.features.number:Number",
    "plain": "orrery.features.plain:Plain",
    "quantile": "orrery.features.quantile:Quantile",
    "series": "orrery.features.series:Series",
    "spectrogram": "orrery.features.spectrogram:Spectrogram",
    "target_mean": "orrery.features.target_mean:TargetMean",
    "tensor": "orrery.features.tensor:Tensor",
    "tfidf": "orrery.features.tfidf:Tfidf",
    "tokens": "orrery.features.tokens:Tokens",
    "vector": "orrery.features.vector:Vector",
    "video": "orrery.features.video:Video",
}
"""Kind of a feature -> ``module:Class``. Plug-ins add theirs by the entry point ``orrery.features``."""
