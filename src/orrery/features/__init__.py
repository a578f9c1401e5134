"""Features: what is learnt from columns, one kind per file."""

from __future__ import annotations

KINDS: dict[str, str] = {
    "category": "orrery.features.category:Category",
    "image": "orrery.features.image:Image",
    "number": "orrery.features.number:Number",
    "plain": "orrery.features.plain:Plain",
    "tokens": "orrery.features.tokens:Tokens",
    "vector": "orrery.features.vector:Vector",
}
"""Kind of a feature -> ``module:Class``. Plug-ins add theirs by the entry point ``orrery.features``."""
