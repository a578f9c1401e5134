"""Markup is safe, charts are drawn where the data says, text is aligned."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orrery import display
from orrery.display import Axis, Bin, Both, Html, Series, tag
from orrery.display.charts import Frame
from orrery.display.terminal import shorten, width

SVG = "{http://www.w3.org/2000/svg}"


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(f'<div xmlns="http://www.w3.org/2000/svg">{markup}</div>')


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=40).filter(lambda t: not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]", t))
)
def test_any_text_stays_text(text: str) -> None:
    markup = tag("p", text, Both(text, text), title=text)
    element = parsed(markup)[0]
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    assert "".join(element.itertext()) == normal * 3
    assert len(element) == 2


def test_attributes() -> None:
    assert tag("input", disabled=True, checked=False, data_x=None, class_="a") == '<input disabled class="a">'
    assert tag("p", Html("<b>x</b>"), "<") == "<p><b>x</b>&lt;</p>"
    assert "tspan" in tag("text", Both("a", "b"))


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    axis = Axis("", low, low + span)
    ticks = axis.ticks()
    assert len(ticks) <= 12
    near = span * 1e-6 + abs(low) * 1e-12 + 1e-9
    assert all(low - near <= t <= low + span + near for t in ticks)


def test_ticks_read_apart() -> None:
    axes = [Axis("", 0, 1), Axis("", 100_000, 100_000.5), Axis("", -3e-4, 2e-4), Axis("", 0, 7e12)]
    for axis in axes:
        texts = [axis.text(t) for t in axis.ticks()]
        assert len(set(texts)) == len(texts) >= 3
    assert Axis("", 0, 1).text(0.25) == "0.25"
    assert Axis("", 0, 5e6).text(1e6) == "1,000,000"


def test_a_frame_puts_data_in_its_place() -> None:
    frame = Frame(Axis("x", 0, 10), Axis("y", 0, 1))
    assert (frame.px(0), frame.px(10)) == (frame.left, frame.width - frame.right)
    assert (frame.py(0), frame.py(1)) == (frame.height - frame.bottom, frame.top)


def test_charts_are_well_formed_and_tell_their_values() -> None:
    lines = [
        Series(Both("a & b", "甲"), [(0, 0), (0.5, 0.25), (1, 1)], 1, filled=True),
        Series("<c>", [(0, 1), (1, 0)], 2),
    ]
    chart = display.line_chart(
        lines, x=Axis("x"), y=Axis("y", share=True), title="t", guide=[(0, 0), (1, 1)], dots=True
    )
    root = parsed(chart.replace("<i ", "<span ").replace("</i>", "</span>"))
    tips = [t.text or "" for t in root.iter(f"{SVG}title")]
    assert len(tips) == 60
    assert "<c>: 99.2 %" in tips[0]
    bars = display.histogram([Bin(0, 1, 3), Bin(1, 2, 6)], x="x", y="rows", title="t")
    heights = [float(r.get("height", "0")) for r in parsed(bars).iter(f"{SVG}rect")]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.3)
    dots = display.scatter([(0.5, 0.5)] * 3, x=Axis("x"), y=Axis("y"), title="t")
    assert len(list(parsed(dots).iter(f"{SVG}circle"))) == 3


@pytest.mark.parametrize("points", [[], [(0.0, 0.0)], [(1.0, 2.0), (1.0, 2.0)]])
def test_charts_of_almost_nothing(points: list[tuple[float, float]]) -> None:
    flat = Axis("x", 1.0, 1.0)
    parsed(display.line_chart([Series("a", points)], x=flat, y=flat, title="t"))
    parsed(display.scatter(points, x=flat, y=flat, title="t"))
    assert display.histogram([], x="x", y="y", title="t") == ""
    assert "svg" in display.spark([])


def test_tables_put_numbers_to_the_right() -> None:
    table = display.table_html(["name", "rows"], [["a", 1], ["b", None]])
    assert table.count('class="n"') == 3
    assert "<td><span>a</span></td>" in table
    assert display.table_html([], []) != ""


def test_a_page_is_whole_and_offline() -> None:
    page = display.page(Both("Title", "标题"), tag("p", "x"), kicker="k", lead="l")
    assert page.count("<html") == page.count("</html>") == 1
    assert not re.search(r"https?://|url\(|@import", page)
    assert page.count('type="radio"') == 5
    assert "pick-zh" in page


def test_two_fragments_do_not_share_their_switches() -> None:
    one, two = (display.fragment(tag("p", text)) for text in "ab")
    names = [set(re.findall(r'name="([^"]+)"', text)) for text in (one, two)]
    assert len(names[0]) == len(names[1]) == 1
    assert names[0] != names[1]


def test_pictures() -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 8 + (8).to_bytes(4, "big")
    assert 'class="picture small"' in display.picture(png)
    assert "data:image/webp" in display.picture(b"RIFF\0\0\0\0WEBP")
    assert "<img" not in display.picture(b"\xff\xd8\xff" + b"\0" * (1 << 20))
    assert "<img" not in display.picture(b"<svg onload=alert(1)>")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30), st.integers(1, 20))
def test_shortened_text_fits(text: str, most: int) -> None:
    assert width(shorten(text, most)) <= max(most, 1)


def test_text_tables_speak_both_languages() -> None:
    rows = [["a\nb", 1.5], ["长长长长", None]]
    assert display.text_table([Both("name", "名"), "x"], rows, language="zh", widest=6).splitlines() == [
        "名         x",
        "─────  ─────",
        "a b    1.500",
        "长长…      –",
    ]


def test_every_name_is_there() -> None:
    assert all(hasattr(display, name) for name in display.__all__)
