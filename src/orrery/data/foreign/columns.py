"""Whose columns a file holds: Hugging Face's, Petastorm's, Spark's; most are nobody's in particular."""

from __future__ import annotations

from typing import Any

from orrery.data.foreign import huggingface, petastorm, spark
from orrery.data.foreign.meaning import Meaning, Values


def meanings(schema: Any, place: str, first: str, values: Values) -> dict[str, Meaning]:
    """The columns that are stored in another program's own way, by name.

    ``place`` is what was asked for, ``first`` the first file there, whose schema it is.
    """
    return {
        **spark.meanings(schema, values),
        **petastorm.meanings(schema, place, first, values),
        **huggingface.meanings(schema),
    }
