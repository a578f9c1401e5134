"""Charts as inline SVG: lines, points, histograms, with axes and a word on every mark pointed at.

Coordinates of data are turned into places on the drawing by :class:`Frame`. Colours are classes
(``s1`` … ``s8``) that the page's style sheet gives a light and a dark shade.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from orrery.display.words import Both, Html, Words, count, tag, tip

STRIPS = 60
"""How many places along a line chart can be pointed at."""


@dataclass(frozen=True)
class Axis:
    """One axis: its name, where it starts and ends, and whether its numbers are shares (shown in percent)."""

    name: Words = ""
    low: float = 0.0
    high: float = 1.0
    share: bool = False

    def text(self, value: float) -> str:
        """A value of this axis, as people read it."""
        if self.share:
            return f"{100 * value:.4g} %"
        span = abs(self.high - self.low) or 1.0
        if abs(value) >= 1e9 or span < 1e-6:
            return f"{value:.4g}"
        text = f"{value:,.{max(2 - math.floor(math.log10(span)), 0)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers inside the axis.

        >>> Axis(low=0, high=9.7).ticks()
        [0.0, 2.0, 4.0, 6.0, 8.0]
        """
        span = self.high - self.low
        if not span > 0 or not math.isfinite(span):
            return [self.low]
        rough = span / about
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


@dataclass(frozen=True)
class Series:
    """One line: its name and its points in the order of x. ``color`` 1 to 8; 0 is quiet grey."""

    name: Words
    points: Sequence[tuple[float, float]]
    color: int = 1
    dashed: bool = False
    filled: bool = False


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram."""

    low: float
    high: float
    count: float
    color: int = 1


@dataclass(frozen=True)
class Frame:
    """The drawing's size and its two axes: data in, places out."""

    x: Axis
    y: Axis
    width: int = 440
    height: int = 300
    left: int = 54
    right: int = 14
    top: int = 14
    bottom: int = 46

    def px(self, value: float) -> float:
        """The horizontal place of a value."""
        span = (self.x.high - self.x.low) or 1.0
        return round(self.left + (value - self.x.low) / span * (self.width - self.left - self.right), 1)

    def py(self, value: float) -> float:
        """The vertical place of a value; upwards."""
        span = (self.y.high - self.y.low) or 1.0
        return round(
            self.height - self.bottom - (value - self.y.low) / span * (self.height - self.top - self.bottom),
            1,
        )

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        """The points as the ``d`` of an SVG path."""
        return "M" + "L".join(f"{self.px(x):g},{self.py(y):g}" for x, y in points)

    def draw(self, title: Words, *content: Html) -> Html:
        """The whole chart: grid, axes with names, and what lies on them."""
        label = title.en if isinstance(title, Both) else str(title)
        return tag(
            "svg",
            *self._grid(),
            *content,
            viewBox=f"0 0 {self.width} {self.height}",
            role="img",
            aria_label=label,
            class_="chart",
        )

    def _grid(self) -> list[Html]:
        parts: list[Html] = []
        x0, x1 = self.left, self.width - self.right
        y0, y1 = self.height - self.bottom, self.top
        for value in self.y.ticks():
            y = self.py(value)
            parts.append(tag("line", x1=x0, x2=x1, y1=y, y2=y, class_="grid-line"))
            parts.append(tag("text", self.y.text(value), x=x0 - 8, y=y + 4, text_anchor="end"))
        for value in self.x.ticks():
            x = self.px(value)
            parts.append(tag("line", x1=x, x2=x, y1=y0, y2=y0 + 4, class_="axis"))
            parts.append(tag("text", self.x.text(value), x=x, y=y0 + 18, text_anchor="middle"))
        parts.append(tag("line", x1=x0, x2=x1, y1=y0, y2=y0, class_="axis"))
        if self.x.name:
            parts.append(
                tag(
                    "text",
                    self.x.name,
                    x=(x0 + x1) / 2,
                    y=self.height - 8,
                    text_anchor="middle",
                    class_="title",
                )
            )
        if self.y.name:
            middle = (y0 + y1) / 2
            parts.append(
                tag(
                    "text",
                    self.y.name,
                    x=13,
                    y=middle,
                    text_anchor="middle",
                    class_="title",
                    transform=f"rotate(-90 13 {middle:g})",
                )
            )
        return parts


def framed(x: Axis, y: Axis) -> Frame:
    """A frame with room for the longest number of its y axis."""
    longest = max(len(y.text(value)) for value in y.ticks())
    return Frame(x, y, left=max(54, 30 + 7 * longest))


def line_chart(
    series: Sequence[Series],
    *,
    x: Axis,
    y: Axis,
    title: Words,
    guide: Sequence[tuple[float, float]] = (),
    mark: tuple[float, float, Words] | None = None,
    dots: bool = False,
) -> Html:
    """Lines over one x axis, with a legend where there are several.

    ``guide`` is a thin dashed line behind them (chance, or perfection); ``mark`` one named point;
    ``dots`` draws the points too.

    >>> line_chart([Series("a", [(0, 0), (1, 1)])], x=Axis("x"), y=Axis("y"), title="A line")[:4]
    '<svg'
    """
    frame = framed(x, y)
    content: list[Html] = []
    if guide:
        content.append(tag("path", d=frame.path(guide), class_="guide"))
    for one in series:
        if one.filled and one.points:
            ground = [(one.points[-1][0], y.low), (one.points[0][0], y.low)]
            content.append(
                tag("path", d=frame.path([*one.points, *ground]) + "Z", class_=f"area s{one.color}")
            )
    for one in series:
        if one.points:
            content.append(
                tag(
                    "path",
                    d=frame.path(one.points),
                    class_=f"line s{one.color}{' dashed' if one.dashed else ''}",
                )
            )
        if dots:
            content += [
                tag("circle", cx=frame.px(a), cy=frame.py(b), r=3.2, class_=f"dot s{one.color}")
                for a, b in one.points
            ]
    if mark:
        content.append(
            tag("circle", tip(mark[2]), cx=frame.px(mark[0]), cy=frame.py(mark[1]), r=5, class_="mark")
        )
    named = [one for one in series if one.name and one.color]
    drawn = frame.draw(title, *content, *_strips(frame, series))
    return Html(drawn + legend([(one.name, one.color) for one in named])) if len(named) > 1 else drawn


def _strips(frame: Frame, series: Sequence[Series]) -> list[Html]:
    """Upright strips that tell, when pointed at, the value of every line there."""
    named = [one for one in series if one.color and one.points][:8]
    if not named:
        return []
    span = frame.x.high - frame.x.low
    parts = []
    bottom, size = frame.height - frame.bottom, (frame.width - frame.left - frame.right) / STRIPS
    for i in range(STRIPS):
        at = frame.x.low + span * (i + 0.5) / STRIPS
        values = [(one, _at(one.points, at)) for one in named]
        inside = [(one, value) for one, value in values if value is not None]
        if not inside:
            continue
        dots = [
            tag("circle", cx=frame.px(at), cy=frame.py(v), r=3.5, class_=f"dot s{one.color}")
            for one, v in inside
        ]
        place = frame.px(at)
        strip = tag(
            "rect", x=round(place - size / 2, 1), y=frame.top, width=round(size, 1), height=bottom - frame.top
        )
        wire = tag("line", x1=place, x2=place, y1=frame.top, y2=bottom)
        parts.append(tag("g", tip(_strip_words(frame, at, inside)), strip, wire, *dots, class_="strip"))
    return parts


def _strip_words(frame: Frame, at: float, inside: Sequence[tuple[Series, float]]) -> Both:
    def say(language: int) -> str:
        def pick(text: Words) -> str:
            return text[language] if isinstance(text, Both) else str(text)

        lines = [f"{pick(frame.x.name)} {frame.x.text(_round(at))}"]
        lines += [f"{pick(one.name) or pick(frame.y.name)}: {frame.y.text(_round(v))}" for one, v in inside]
        return "\n".join(lines)

    return Both(say(0), say(1))


def _round(value: float) -> float:
    return float(f"{value:.3g}")


def _at(points: Sequence[tuple[float, float]], x: float) -> float | None:
    """The height of a line at x, between its points; None outside of them."""
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 <= x <= x1:
            return y1 if x1 == x0 else y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return None


def legend(names: Sequence[tuple[Words, int]]) -> Html:
    """What the colours mean."""
    return tag("div", *(tag("span", tag("i", class_=f"s{c}"), name) for name, c in names), class_="legend")


def scatter(
    points: Sequence[tuple[float, float]],
    *,
    x: Axis,
    y: Axis,
    title: Words,
    guide: Sequence[tuple[float, float]] = (),
) -> Html:
    """Points, half transparent so that many together are darker; ``guide`` is a thin dashed line."""
    frame = framed(x, y)
    content = [
        tag(
            "circle", tip(f"{x.text(_round(a))} → {y.text(_round(b))}"), cx=frame.px(a), cy=frame.py(b), r=2.6
        )
        for a, b in points
    ]
    line = tag("path", d=frame.path(guide), class_="guide") if guide else Html("")
    return frame.draw(title, tag("g", *content, class_="points s1"), line)


def histogram(
    bins: Sequence[Bin],
    *,
    x: Words,
    y: Words,
    title: Words,
    share: bool = False,
    names: Sequence[tuple[Words, int]] = (),
) -> Html:
    """Bars side by side along a number line; ``share`` shows x in percent, ``names`` is the legend."""
    if not bins:
        return Html("")
    top = max(b.count for b in bins) or 1.0
    frame = framed(Axis(x, bins[0].low, max(b.high for b in bins), share), Axis(y, 0.0, top * 1.05))
    content = []
    for b in bins:
        left, right, height = frame.px(b.low), frame.px(b.high), frame.py(b.count)
        what = f"{frame.x.text(_round(b.low))} – {frame.x.text(_round(b.high))}: {count(b.count)}"
        content.append(
            tag(
                "rect",
                tip(what),
                x=round(left + 0.5, 1),
                y=height,
                width=round(max(right - left - 1, 0.5), 1),
                height=round(frame.height - frame.bottom - height, 1),
                class_=f"bar s{b.color}",
            )
        )
    drawn = frame.draw(title, *content)
    return Html(drawn + legend(names)) if names else drawn


def spark(counts: Sequence[float], *, title: Words = "") -> Html:
    """A tiny histogram for a table's cell.

    >>> spark([1, 2]).count("<rect")
    2
    """
    top = max(counts, default=1.0) or 1.0
    step = 96 / max(len(counts), 1)
    rects = [
        tag(
            "rect",
            x=round(i * step, 1),
            y=round(24 - 23 * c / top, 1),
            width=round(max(step - 1, 0.5), 1),
            height=round(23 * c / top, 1),
        )
        for i, c in enumerate(counts)
    ]
    label = title.en if isinstance(title, Both) else str(title)
    return tag(
        "svg",
        tip(title) if title else "",
        *rects,
        viewBox="0 0 96 24",
        class_="spark",
        role="img",
        aria_label=label,
    )
