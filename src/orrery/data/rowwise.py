"""Which tables can be taken apart: those whose steps look at a row, or a batch, and at nothing else."""

from __future__ import annotations

from orrery.data.pictures import Pictures
from orrery.data.pipeline import Pipeline
from orrery.data.split import Part
from orrery.data.steps import Kinds, Map, Select, Where

_BY_ROW = (Select, Kinds, Where, Map, Part, Pictures)


def is_rowwise(pipeline: Pipeline) -> bool:
    """Whether the rows come out alike, wherever and in whatever parts they are read."""
    return all(isinstance(step, _BY_ROW) for step in pipeline.steps)


def learn_cuts(pipeline: Pipeline) -> None:
    """What splits have to learn from all rows they learn here, once; those who read a part are told."""
    for step in pipeline.steps:
        if isinstance(step, Part):
            step.cuts.learn()
