"""Pictures of five kinds of flowers, drawn with chance: the same seed and number give the same picture.

What tells the kinds apart is their shape. Colours, places, sizes, turns, light, backgrounds, what stands
before a flower, blur and noise overlap from kind to kind, so that no pixel alone says much.
"""

from __future__ import annotations

import colorsys
import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

LABELS = ("daisy", "dandelion", "rose", "sunflower", "tulip")
SIDE = 64
_FINE = 2 * SIDE  # drawn at twice the size, so that edges are smooth

Colour = tuple[int, int, int]
Point = tuple[float, float]


def flower(number: int, seed: int = 0) -> tuple[bytes, str, dict[str, object]]:
    """One picture as JPEG, its label, and how it was drawn."""
    chance = np.random.default_rng((seed, number))
    label = LABELS[number % len(LABELS)]
    scene = _background(chance)
    brush = ImageDraw.Draw(scene)
    radius = float(chance.uniform(0.26, 0.42)) * _FINE
    room = max(_FINE / 2 - 0.85 * radius, 1.0)
    middle = (_FINE / 2 + chance.uniform(-room, room), _FINE / 2 + chance.uniform(-room, room))
    hue = float(chance.choice([0.0, 0.03, 0.09, 0.13, 0.16, 0.78, 0.86, 0.93]) + chance.normal(0, 0.015))
    petals = _colour(hue, chance.uniform(0.1, 1.0), chance.uniform(0.65, 1.0))
    _DRAWN[label](brush, middle, radius, petals, chance)
    _occlude(brush, chance)
    picture = _lit(scene.filter(ImageFilter.GaussianBlur(float(chance.uniform(0.4, 1.6)))), chance)
    buffer = io.BytesIO()
    quality = int(chance.integers(70, 93))
    picture.save(buffer, "JPEG", quality=quality)
    about = {"hue": round(hue % 1, 3), "radius": round(radius / _FINE, 3), "quality": quality}
    return buffer.getvalue(), label, about


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(
        hue % 1, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1))
    )
    return int(255 * red), int(255 * green), int(255 * blue)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (int(min(255, channel * factor)) for channel in colour)
    return red, green, blue


def _around(middle: Point, angle: float, along: float, across: float = 0.0) -> Point:
    """A point in the coordinates of a petal: so far out at an angle, so far to its side."""
    cos, sin = math.cos(angle), math.sin(angle)
    return middle[0] + along * cos - across * sin, middle[1] + along * sin + across * cos


def _petal(middle: Point, angle: float, inner: float, outer: float, width: float, tip: float) -> list[Point]:
    """An outline: ``tip`` 0 is round, 1 is pointed."""
    points = []
    for t in np.linspace(-1, 1, 17):
        round_, pointed = math.sqrt(max(0.0, 1 - t * t)), 1 - abs(t)
        bulge = width * ((1 - tip) * round_ + tip * pointed)
        points.append((inner + (outer - inner) * (t + 1) / 2, bulge))
    sides = [*points, *((along, -across) for along, across in reversed(points))]
    return [_around(middle, angle, along, across) for along, across in sides]


def _disc(brush: ImageDraw.ImageDraw, middle: Point, radius: float, colour: Colour) -> None:
    x, y = middle
    brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _ring(
    brush: ImageDraw.ImageDraw, middle: Point, count: int, shape: tuple[float, float, float, float],
    colour: Colour, chance: np.random.Generator,
) -> None:  # fmt: skip
    """Petals all around: ``shape`` is where they begin, where they end, how wide and how pointed they are."""
    inner, outer, width, tip = shape
    start = chance.uniform(0, 2 * math.pi)
    for i in chance.permutation(count):
        angle = start + 2 * math.pi * i / count + chance.normal(0, 0.06)
        reach = outer * chance.uniform(0.9, 1.05)
        outline = _petal(middle, angle, inner, reach, width, tip)
        brush.polygon(outline, fill=_shade(colour, chance.uniform(0.8, 1.1)), outline=_shade(colour, 0.65))


def _daisy(
    brush: ImageDraw.ImageDraw, middle: Point, radius: float, colour: Colour, chance: np.random.Generator
) -> None:
    """A few long round petals about a small eye."""
    count = int(chance.integers(8, 13))
    _ring(brush, middle, count, (0.15 * radius, radius, 0.17 * radius, 0.1), colour, chance)
    eye = _colour(chance.uniform(0.08, 0.16), chance.uniform(0.5, 1), chance.uniform(0.5, 1))
    _disc(brush, middle, radius * chance.uniform(0.2, 0.27), eye)


def _sunflower(
    brush: ImageDraw.ImageDraw, middle: Point, radius: float, colour: Colour, chance: np.random.Generator
) -> None:
    """Many short pointed petals about a large dotted disc."""
    count = int(chance.integers(16, 24))
    _ring(brush, middle, count, (0.45 * radius, radius, 0.14 * radius, 0.9), colour, chance)
    disc = _colour(chance.uniform(0.03, 0.13), chance.uniform(0.4, 0.9), chance.uniform(0.25, 0.75))
    size = radius * chance.uniform(0.52, 0.62)
    _disc(brush, middle, size, disc)
    for i in range(60):  # seeds lie on a spiral of the golden angle
        place = _around(middle, i * 2.39996, size * 0.95 * math.sqrt((i + 0.5) / 60))
        _disc(brush, place, 0.045 * radius, _shade(disc, 0.6 if i % 2 else 1.35))


def _dandelion(
    brush: ImageDraw.ImageDraw, middle: Point, radius: float, colour: Colour, chance: np.random.Generator
) -> None:
    """A ball of thin rays, each with a tuft."""
    for _ in range(int(chance.integers(70, 110))):
        angle, reach = chance.uniform(0, 2 * math.pi), radius * math.sqrt(chance.uniform(0.25, 1.0))
        end = _around(middle, angle, reach)
        ray = _shade(colour, chance.uniform(0.75, 1.15))
        brush.line([middle, end], fill=ray, width=1)
        for turn in (-0.5, 0.0, 0.5):
            brush.line([end, _around(end, angle + turn, 0.14 * radius)], fill=ray, width=1)
    _disc(brush, middle, 0.09 * radius, _shade(colour, 0.55))


def _rose(
    brush: ImageDraw.ImageDraw, middle: Point, radius: float, colour: Colour, chance: np.random.Generator
) -> None:
    """Broad petals in layers that turn inwards, to a spiral."""
    turn = chance.uniform(0, 2 * math.pi)
    for layer, size in enumerate((1.0, 0.78, 0.57, 0.38)):
        count = 6 - layer
        for i in range(count):
            angle = turn + layer * 0.7 + 2 * math.pi * i / count
            place = _around(middle, angle, 0.45 * size * radius)
            blade = 0.55 * size * radius
            shade = _shade(colour, chance.uniform(0.85, 1.05) - 0.1 * layer)
            _disc(brush, place, blade, shade)
            x, y = place
            degrees = math.degrees(angle)
            box = (x - blade, y - blade, x + blade, y + blade)
            brush.arc(box, degrees - 75, degrees + 75, fill=_shade(colour, 0.55), width=2)
    spiral = [_around(middle, turn + t, 0.03 * radius * t) for t in np.linspace(0, 8, 30)]
    brush.line(spiral, fill=_shade(colour, 0.4), width=2)


def _tulip(
    brush: ImageDraw.ImageDraw, middle: Point, radius: float, colour: Colour, chance: np.random.Generator
) -> None:
    """A cup of three pointed petals on a stem, seen from the side."""
    up = -math.pi / 2 + chance.normal(0, 0.35)
    green = _colour(chance.uniform(0.24, 0.4), chance.uniform(0.4, 0.9), chance.uniform(0.25, 0.7))
    foot = _around(middle, up, -0.7 * radius)
    brush.line(
        [foot, _around(foot, up, -1.6 * radius, chance.normal(0, 6))], fill=green, width=int(0.14 * radius)
    )
    for side, shade in ((-1, 0.8), (1, 0.9), (0, 1.05)):
        lean = up + side * chance.uniform(0.22, 0.36)
        reach = radius * (1.75 if side else 1.55) * chance.uniform(0.95, 1.05)
        outline = _petal(foot, lean, 0.0, reach, 0.42 * radius, 0.35)
        brush.polygon(outline, fill=_shade(colour, shade), outline=_shade(colour, 0.55))


_DRAWN: dict[str, Callable[[ImageDraw.ImageDraw, Point, float, Colour, np.random.Generator], None]] = {
    "daisy": _daisy,
    "dandelion": _dandelion,
    "rose": _rose,
    "sunflower": _sunflower,
    "tulip": _tulip,
}


def _background(chance: np.random.Generator) -> Image.Image:
    """Meadow, sky, soil or a wall, out of focus, with spots of other flowers in it."""
    hue = float(chance.choice([0.08, 0.25, 0.33, 0.4, 0.55, 0.6]) + chance.normal(0, 0.03))
    base = _colour(hue, chance.uniform(0.1, 0.8), chance.uniform(0.2, 0.9))
    scene = Image.new("RGB", (_FINE, _FINE), base)
    brush = ImageDraw.Draw(scene)
    for _ in range(int(chance.integers(6, 24))):
        place = (chance.uniform(0, _FINE), chance.uniform(0, _FINE))
        spot = _colour(hue + chance.normal(0, 0.2), chance.uniform(0.1, 1), chance.uniform(0.2, 1))
        _disc(brush, place, chance.uniform(3, 22), spot)
    return scene.filter(ImageFilter.GaussianBlur(float(chance.uniform(2, 7))))


def _occlude(brush: ImageDraw.ImageDraw, chance: np.random.Generator) -> None:
    """Blades of grass and leaves before the flower."""
    for _ in range(int(chance.integers(0, 4))):
        green = _colour(chance.uniform(0.2, 0.42), chance.uniform(0.3, 1), chance.uniform(0.2, 0.8))
        start = (chance.uniform(0, _FINE), chance.uniform(0, _FINE))
        end = _around(start, chance.uniform(0, 2 * math.pi), chance.uniform(20, 80))
        brush.line([start, end], fill=green, width=int(chance.integers(2, 8)))


def _lit(scene: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Light from one side, more or less of it, and the noise of a camera; at the final size."""
    pixels = np.asarray(scene.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    angle = chance.uniform(0, 2 * math.pi)
    light = 1 + chance.uniform(0, 0.45) * (math.cos(angle) * columns + math.sin(angle) * rows)
    tint = chance.normal(1, 0.08, 3)
    pixels = (pixels - 128) * chance.uniform(0.6, 1.15) + 128 + chance.normal(0, 18)
    pixels = pixels * light[:, :, None] * tint + chance.normal(0, chance.uniform(2, 16), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
