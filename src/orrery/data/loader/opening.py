"""From a table and settings to what is run: groups of rows, their layout, and the order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from orrery.data.codecs.image import Decoding
from orrery.data.loader import columns
from orrery.data.loader.arena import Buffers
from orrery.data.loader.cache import Cache, Spill
from orrery.data.loader.columns import Layout
from orrery.data.loader.forms import Finish, checked
from orrery.data.loader.order import Order, draw
from orrery.data.loader.parquet import ParquetGroups
from orrery.data.loader.pictures import Pictures, needed, sizes
from orrery.data.loader.read import Groups, MemoryGroups, SourceGroups
from orrery.data.loader.run import Plan
from orrery.data.loader.settings import Settings, Transform
from orrery.data.loader.tensors import tensors_of
from orrery.data.passes import cores
from orrery.data.pipeline import Pipeline
from orrery.data.sources.memory import Memory
from orrery.data.sources.parquet import Parquet
from orrery.data.steps import positions
from orrery.errors import SettingsError
from orrery.spec import stable_key

if TYPE_CHECKING:
    from orrery.data.table import Table

CACHE_VERSION = 1
_TRANSFORM = 5  # what is drawn, beside the order's own
_LEAST_ROW_BYTES = 96  # that a row counts for: to keep account of it takes 12, an eighth at most
_ARRAYS = ("Array2D", "Array3D", "Array4D", "Array5D")  # features of Hugging Face
_BATCHES = 4  # of pictures, beside those that are ready: held by the user, and being filled
_RAGGED = 1.5  # memory of other columns, while half of a unit is given, beside their size


def opened(table: Table, chosen: Settings) -> Plan:
    """What to run. Reads footers; writes the rows to a spill or a cache where that has to be."""
    chosen.check()
    if chosen.images:
        table = type(table)(table.source, needed(table.source, table.steps, tuple(chosen.images)))
    pipeline = table._pipeline
    schema = _selected(pipeline.schema, chosen)
    groups, missing = groups_of(pipeline, schema, chosen)
    shapes = sizes(chosen.images)
    numbered = chosen.row_number is not None or bool(shapes)
    layout = columns.layout(schema, chosen.features, missing | set(shapes), chosen.tensors, numbered=numbered)
    threads = chosen.threads or cores()
    if chosen.cache is not None:
        groups = _cached(table, chosen.cache, groups, layout, chosen.cache_bytes, threads)
    ragged = groups.ragged_bytes(layout.ragged) if layout.ragged else 0.0
    pixels = sum(float(np.prod(shape)) for shape in shapes.values())
    pictures = None
    if shapes:
        ready = Buffers(chosen.prefetch_bytes + int(_BATCHES * pixels * chosen.batch_size / chosen.world))
        pictures = Pictures(shapes, Decoding(chosen.resize), chosen.augment, chosen.seed, ready)
    tensors = tensors_of(layout, {**_arrays(pipeline, layout.names), **chosen.tensors}, missing)
    made = Finish(layout, checked(chosen.form), pictures, chosen.row_number, tensors)
    return Plan(
        order=_order(groups.rows, max(layout.row_bytes + _RAGGED * ragged, _LEAST_ROW_BYTES), chosen),
        groups=groups,
        layout=layout,
        finish=made if chosen.transform is None else Transformed(made, chosen.transform, chosen),
        rank=chosen.rank,
        world=chosen.world,
        threads=threads,
        prefetch_bytes=chosen.prefetch_bytes,
        batch_bytes=max(1, int((layout.row_bytes + ragged + pixels) * chosen.batch_size / chosen.world)),
    )


def groups_of(pipeline: Pipeline, schema: Any, chosen: Settings) -> tuple[Groups, set[str]]:
    """Groups of a table's rows in these columns, and the columns of which a value may be missing.

    Where the place does not know its rows, they are written to a spill in one pass.
    """
    source = pipeline.source
    nullable = [field.name for field in schema if field.nullable]
    if pipeline.is_plain() and pipeline.where is None:
        if isinstance(source, Parquet) and source.is_plain:
            read = ParquetGroups(source, 0 if chosen.cache else chosen.keep_bytes)
            return read, read.missing(nullable)
        if isinstance(source, Memory):
            return MemoryGroups(source), {n for n in nullable if source.table.column(n).null_count}
        bad = getattr(source, "bad", None)
        parts = source.partitions() if bad is None or bad.on_bad == "stop" else []
        if parts and all(part.rows is not None for part in parts):
            return SourceGroups(source, parts), _missing(source, nullable)
    spill = Spill.of(pipeline.batches(schema.names), schema, chosen.cache_bytes)
    return spill, spill.missing


def _missing(source: Any, names: list[str]) -> set[str]:
    """The columns of which a value may be missing, where the data set in memory behind a source tells."""
    place = getattr(source, "place", None)
    if getattr(place, "tensors", None) is not None:  # torch's TensorDataset
        return set()
    held: Any = getattr(place, "data", None)  # of Hugging Face: an Arrow table
    if hasattr(held, "column_names") and set(names) <= set(held.column_names):
        return {name for name in names if held.column(name).null_count}
    return set(names)


def _arrays(pipeline: Pipeline, names: list[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of the columns that Hugging Face's features call arrays: Arrow holds them as lists."""
    features = getattr(getattr(pipeline.source, "place", None), "features", None) or {}
    found = {name: features[name] for name in names if pipeline.is_plain() and name in features}
    shaped = {
        n: f for n, f in found.items() if type(f).__name__ in ("Array2D", "Array3D", "Array4D", "Array5D")
    }
    return {name: (f.dtype, tuple(f.shape)) for name, f in shaped.items() if None not in f.shape}


@dataclass(frozen=True)
class Transformed:
    """A batch, changed by the user's own function."""

    finish: Finish
    transform: Transform
    settings: Settings

    def __call__(self, place: tuple[int, int], dense: Any, rest: Any) -> Any:
        """As ``Finish`` does, then the function; its generator knows seed, epoch, batch and worker."""
        epoch, batch = place
        chance = draw(self.settings.seed, epoch, _TRANSFORM, batch, self.settings.rank)
        return self.transform(self.finish(place, dense, rest), chance)


def _selected(schema: Any, chosen: Settings) -> Any:
    """The columns asked for. Raises UnknownColumnError."""
    named = [*chosen.features, *(chosen.columns or ()), *chosen.images, *chosen.tensors]
    positions(schema, named)
    if chosen.columns is not None:
        schema = pa.schema([schema.field(name) for name in dict.fromkeys(named)])
    if chosen.row_number in schema.names:
        raise SettingsError(f"row_number={chosen.row_number!r} is a column already; call it something else.")
    return schema


def _order(rows: tuple[int, ...], row_bytes: float, chosen: Settings) -> Order:
    """The order that fits into the buffer."""
    total, size = sum(rows), chosen.batch_size
    lanes = chosen.lanes if chosen.shuffle else 1
    hold = int(min(chosen.buffer_bytes // row_bytes - size, total + lanes) // lanes)
    hold = max(hold, min(size, total) // lanes, 2)  # a batch takes its memory in any case
    return Order(rows, size, lanes, hold, chosen.seed, chosen.shuffle, chosen.drop_last)


def _cached(
    table: Table, folder: str, groups: Groups, layout: Layout, most_bytes: int, threads: int
) -> Cache:
    """The cache of these rows in these columns under a folder, written if it is not there."""
    told = [(part.key, part.names, str(part.dtype), part.shape) for part in layout.dense]
    key = stable_key(CACHE_VERSION, table.fingerprint(), told, layout.ragged, str(layout.schema))
    return Cache.of(Path(folder).expanduser() / key, groups, layout, most_bytes, threads)
