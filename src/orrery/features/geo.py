"""Places on earth: points on the unit sphere, which knows no date line, and cells of a learnt grid.

Legend: n rows, g rows and columns of the grid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from orrery.aggregate import RecordBatch
from orrery.errors import SettingsError
from orrery.features import state
from orrery.features.feature import Encoded, Output, Role, block_name
from orrery.features.forms import Form, Lifted, bad_row, lift
from orrery.features.measured import Gauge, Measured, MeasuredTransform, Tally, add_tallies, tally
from orrery.features.scale import Scale
from orrery.features.sketch import Sketch
from orrery.schema import Field as Column
from orrery.schema import Kind

MISSING = 0
_MOST_CELLS = 256


class Sphere(Gauge):
    """x, y and z of a place on a sphere of radius 1."""

    def names(self) -> tuple[str, ...]:
        """The axes."""
        return ("x", "y", "z")

    def measure(self, inputs: tuple[str, ...], columns: tuple[Lifted, ...]) -> NDArray[np.float64]:
        """float64 [n, 3]."""
        return on_sphere(degrees(inputs, columns))


class GeoTransform(MeasuredTransform):
    """Two blocks: NUMBER of the point on the sphere, scaled, and CODE of the cell, 0 where missing."""

    kind = "geo"
    form = Form.POINT
    gauge_type = Sphere

    def __init__(
        self,
        inputs: tuple[str, ...],
        scale: Scale,
        indicator: bool,
        latitudes: NDArray[np.float64],
        longitudes: NDArray[np.float64],
    ) -> None:
        super().__init__(inputs, Sphere(), scale, indicator)
        self.latitudes = latitudes  # where one row of cells ends and the next begins
        self.longitudes = longitudes
        cells = (len(latitudes) + 1) * (len(longitudes) + 1)
        name = f"{block_name(self.kind, inputs)} cell"
        shown = f"{','.join(inputs)} cell"
        cell = Output(name=name, role=Role.CODE, sizes=(1 + cells,), dtype="int32", names=(shown,))
        self.outputs = (*self.outputs, cell)

    def apply(self, *columns: Lifted) -> tuple[Encoded, ...]:
        """float64 [n, 3 or 4], int32 [n, 1]. Raises BadRowError for what is not on earth."""
        places = degrees(self.inputs, columns)
        rows = np.searchsorted(self.latitudes, places[:, 0], side="right")
        cells = rows * (len(self.longitudes) + 1) + np.searchsorted(
            self.longitudes, places[:, 1], side="right"
        )
        codes = np.where(np.isnan(places).any(axis=1), MISSING, 1 + cells).astype(np.int32)
        return self._scaled(on_sphere(places)), codes[:, None]

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The scale, and the borders of the cells."""
        values, arrays = super().state()
        borders = {"latitudes": self.latitudes, "longitudes": self.longitudes}
        return values, arrays | {name: state.arrow_floats(edges) for name, edges in borders.items()}

    @classmethod
    def from_state(cls, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Self:
        """Checked. Raises ModelFormatError."""
        inputs = state.columns(values)
        latitudes, longitudes = (state.floats(arrays, name) for name in ("latitudes", "longitudes"))
        for edges in (latitudes, longitudes):
            if len(edges) >= _MOST_CELLS or (np.diff(edges) <= 0).any():
                raise state.broken("the borders of cells do not rise, or are too many")
        if len(inputs) > 2:
            raise state.broken("a place has one column, or two")
        scale = Scale.from_arrays(arrays, 3, state.real(values, "clip", 0.0, 1e308))
        return cls(inputs, scale, state.truth(values, "indicator"), latitudes, longitudes)


class Places(NamedTuple):
    """What is known after some rows."""

    sphere: Tally
    latitude: Sketch
    longitude: Sketch


class Geo(Measured):
    """A place: one column of {"lat", "lon"}, [lat, lon] or "lat, lon", or two columns, latitude first.

    >>> import pyarrow as pa
    >>> geo = Geo(columns=("at",), cells=2)
    >>> at = pa.record_batch({"at": [{"lat": 60.0, "lon": 10.0}, {"lat": 48.0, "lon": 2.0}]})
    >>> geo.finish(geo.summarize(at)).apply(np.array([[59.9, 10.7], [48.8, 2.3]]))[1].T
    array([[4, 4]], dtype=int32)
    """

    form: ClassVar[Form] = Form.POINT
    transform: ClassVar[type[MeasuredTransform]] = GeoTransform

    kind: Literal["geo"] = "geo"
    columns: tuple[str, ...] = Field(min_length=1, max_length=2)
    """One column of places, or latitude and longitude."""
    cells: int = Field(default=12, ge=1, le=_MOST_CELLS)
    """Rows and columns of the grid; as many places lie in each row, and in each column."""

    def gauge(self) -> Sphere:
        """A point on the sphere."""
        return Sphere()

    def summarize(self, batch: RecordBatch) -> Places:
        """Moments of the points, and a sketch of both degrees."""
        found = degrees(self.columns, tuple(lift(batch.column(c), self.form, c) for c in self.columns))
        return Places(tally(on_sphere(found)), Sketch.of(found[:, 0]), Sketch.of(found[:, 1]))

    def merge(self, left: Places, right: Places) -> Places:
        """Exact."""
        sphere = add_tallies(left.sphere, right.sphere)
        return Places(sphere, left.latitude + right.latitude, left.longitude + right.longitude)

    def finish(self, summary: Places) -> GeoTransform:
        """The scale, and the borders of the cells."""
        shares = np.arange(1, self.cells) / self.cells
        borders = [np.unique(sketch.quantiles(shares)) for sketch in summary[1:]]
        missing, moments = summary.sphere
        scale = Scale.fit(moments, clip=self.clip)
        return GeoTransform(self.columns, scale, missing > 0, borders[0], borders[1])


_LATITUDE = re.compile(r"(?i:(?:^|(?<=[\W_]))(?:latitude|lat)(?=$|[\W_]))|Lat(?:itude)?$|纬度")
_LONGITUDES = ("longitude", "lon", "lng", "long", "经度")


def place_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Columns that are named as latitude and longitude of one place.

    >>> place_pairs(["lon", "lat", "from_lng", "from_lat", "latest"])
    [('lat', 'lon'), ('from_lat', 'from_lng')]
    """
    known = {name.lower(): name for name in names}
    pairs = []
    for name in known.values():
        if found := _LATITUDE.search(name):
            before, after = name[: found.start()].lower(), name[found.end() :].lower()
            partners = (known.get(before + spelt + after) for spelt in _LONGITUDES)
            if partner := next(filter(None, partners), None):
                pairs.append((name, partner))
    return pairs


def places(fields: Iterable[Column]) -> list[tuple[str, ...]]:
    """The columns of each place among columns of kind GEO: one that holds both, or two."""
    found = [field for field in fields if field.kind is Kind.GEO]
    numbers = [field.name for field in found if is_number(field.arrow().type)]
    pairs = place_pairs(numbers)
    paired = {name for pair in pairs for name in pair}
    if alone := [name for name in numbers if name not in paired]:
        raise SettingsError(
            f"{alone[0]!r} is of kind 'geo', and there is no second column to make a place of it.",
            hint="Name the two alike: 'lat' and 'lon', 'from_latitude' and 'from_longitude'.",
        )
    return [*((field.name,) for field in found if field.name not in numbers), *pairs]


def is_number(kind: Any) -> bool:
    """Whether a column of an Arrow type holds one number in each row."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def degrees(inputs: tuple[str, ...], columns: tuple[Lifted, ...]) -> NDArray[np.float64]:
    """Latitude and longitude [n, 2], the latter from -180 up to 180; both NaN where one is missing."""
    expected = 2 // len(inputs)
    parts = []
    for name, column in zip(inputs, columns, strict=True):
        if column.shape[1] not in (0, expected):
            wrong = int(np.argmax(~np.isnan(column).all(axis=1)))
            raise bad_row(name, wrong, f"{column.shape[1]} numbers where a place has {expected} here.")
        parts.append(column if column.shape[1] else np.full((len(column), expected), np.nan))
    found = np.concatenate(parts, axis=1)
    with np.errstate(invalid="ignore"):
        wrong_rows = (np.abs(found) > (90.0, 360.0)).any(axis=1)
    if wrong_rows.any():
        row = int(np.argmax(wrong_rows))
        raise bad_row(inputs[0], row, f"{found[row].tolist()} is no latitude and longitude in degrees.")
    found[np.isnan(found).any(axis=1)] = np.nan
    found[:, 1] = (found[:, 1] + 180.0) % 360.0 - 180.0
    return found


def on_sphere(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """x, y, z [n, 3] of degrees [n, 2]."""
    # One by one: a sine of an array may differ in its last bit from a sine of one number.
    out = np.empty((len(places), 3))
    for i, (latitude, longitude) in enumerate(np.radians(places).tolist()):
        flat = math.cos(latitude)
        out[i] = flat * math.cos(longitude), flat * math.sin(longitude), math.sin(latitude)
    return out
