"""Words in two languages, markup that is safe, and figures as people read them."""

from __future__ import annotations

import math
from html import escape
from typing import NamedTuple


class Both(NamedTuple):
    """The same words in English and in Chinese; a page shows one of them.

    >>> words(Both("rows", "行"))
    '<span lang="en">rows</span><span lang="zh">行</span>'
    """

    en: str
    zh: str


class Html(str):
    """Markup that is safe already: functions of this package pass it on as it is.

    >>> words(Html("<b>x</b>")), words("<b>x</b>")
    ('<b>x</b>', '&lt;b&gt;x&lt;/b&gt;')
    """

    __slots__ = ()


Words = str | Both
"""What may be written on a page: plain text (escaped), both languages, or :class:`Html`."""

_SVG_TEXT = {"text", "tspan"}
_EMPTY = {"img", "input", "br", "meta", "link", "col", "hr"}


def words(text: Words, within: str = "span") -> Html:
    """Words as markup, escaped; two languages become two elements, of which the page shows one."""
    if isinstance(text, Html):
        return text
    if isinstance(text, Both):
        english = f'<{within} lang="en">{escape(text.en)}</{within}>'
        return Html(f'{english}<{within} lang="zh">{escape(text.zh)}</{within}>')
    return Html(escape(str(text)))


def tag(element: str, /, *children: Words, **attributes: object) -> Html:
    """One element. ``class_`` stands for ``class``, ``_`` for ``-``; None and False leave an attribute out.

    >>> tag("a", "R&D", href="?q=1&r=2", class_="x")
    '<a href="?q=1&amp;r=2" class="x">R&amp;D</a>'
    """
    parts = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        parts.append(f" {attribute}" if value is True else f' {attribute}="{escape(str(value))}"')
    start = f"<{element}{''.join(parts)}>"
    if element in _EMPTY:
        return Html(start)
    within = "tspan" if element in _SVG_TEXT else "span"
    inner = "".join(words(child, within) for child in children)
    return Html(f"{start}{inner}</{element}>")


def join(parts: list[Html] | tuple[Html, ...], between: str = "") -> Html:
    """Markup put together."""
    return Html(escape(between).join(parts))


def tip(text: Words) -> Html:
    """What a mark of an SVG chart says when pointed at; the page's script makes it switch languages."""
    if isinstance(text, Both):
        return tag("title", text.en, data_zh=text.zh)
    return tag("title", str(text))


def tip_attributes(text: Words) -> dict[str, str]:
    """The same for an HTML element, as its attributes."""
    if isinstance(text, Both):
        return {"title": text.en, "data_zh": text.zh}
    return {"title": str(text)}


def figure(value: float | int | str | None, digits: int = 4) -> str:
    """A number as people read it: thousands apart, about ``digits`` digits that count.

    >>> figure(1234567), figure(0.98614), figure(1234.5678), figure(1.2e-7), figure(None)
    ('1,234,567', '0.9861', '1,235', '1.2e-07', '–')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size >= 1e15 or 0 < size < 0.01:
        return f"{value:.{digits - 1}g}"
    whole = len(str(int(size))) if size >= 1 else 0
    decimals = 0 if isinstance(value, int) else max(digits - whole, 0)
    return f"{value:,.{decimals}f}"


def count(value: float) -> str:
    """How many: whole numbers without decimals, weights with few.

    >>> count(7.0), count(1234.5)
    ('7', '1,234.5')
    """
    return (
        f"{int(value):,}"
        if float(value).is_integer()
        else f"{value:,.4g}"
        if value < 100
        else f"{value:,.1f}"
    )


def percent(share: float | None, digits: int = 1) -> str:
    r"""A share of one in percent.

    >>> percent(0.98614), percent(None)
    ('98.6\xa0%', '–')
    """
    return "–" if share is None or math.isnan(share) else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"
