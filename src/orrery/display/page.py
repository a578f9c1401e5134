"""The shell of a page: one file, offline, two languages, light and dark, good on paper."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from orrery.display.words import Both, Html, Words, join, tag, words

_LANGUAGES = (("en", "English"), ("zh", "中文"))
_THEMES = (("auto", Both("Auto", "自动")), ("light", Both("Light", "浅色")), ("dark", Both("Dark", "深色")))


@cache
def style() -> str:
    """The style sheet that all pages and fragments share."""
    return Path(__file__).with_name("page.css").read_text("utf-8")


@cache
def script() -> str:
    """The script of a whole page. Without it everything still reads and switches; it adds tips and memory."""
    return Path(__file__).with_name("page.js").read_text("utf-8")


def page(title: Words, *body: Html, kicker: Words = "", lead: Words = "", foot: Words = "") -> str:
    """A whole page, as the text of one HTML file that needs nothing else.

    ``kicker`` is the small line over the title, ``lead`` the sentence under it.

    >>> text = page(Both("Report", "报告"), tag("p", "5 < 6"))
    >>> "5 &lt; 6" in text, "http://" in text
    (True, False)
    """
    english, chinese = title if isinstance(title, Both) else (str(title), str(title))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", english, data_zh=chinese),
        tag("style", Html(style())),
    )
    top = tag(
        "header",
        tag("div", tag("span", kicker, class_="kicker"), switches("page"), class_="bar"),
        tag("h1", title),
        tag("p", lead, class_="lead") if lead else Html(""),
    )
    last = tag("footer", foot or Both("Made by Orrery.", "由 Orrery 生成。"))
    content = tag("body", top, tag("main", *body), last, tag("script", Html(script())), class_="orrery page")
    return f"<!doctype html>\n{tag('html', head, content, lang='en')}\n"


def fragment(*body: Html, title: Words = "") -> str:
    """The same look as a piece of another page: what ``_repr_html_`` returns to a notebook."""
    inner = join([words(part) for part in body])
    name = hashlib.sha256(inner.encode()).hexdigest()[:8]
    head = tag("div", tag("strong", title), switches(name, themes=False), class_="bar")
    return tag("div", tag("style", Html(style())), head, inner, class_="orrery piece")


def switches(name: str, *, themes: bool = True) -> Html:
    """Buttons for language and theme: plain radio buttons, so that they work without a script."""
    groups = [_switch(f"{name}-language", "language", _LANGUAGES)]
    if themes:
        groups.append(_switch(f"{name}-theme", "theme", _THEMES))
    return tag("div", *groups, class_="switches")


def _switch(name: str, kind: str, choices: tuple[tuple[str, Words], ...]) -> Html:
    parts = []
    for i, (value, text) in enumerate(choices):
        button = tag("input", type="radio", name=name, value=value, class_=f"pick-{value}", checked=i == 0)
        parts.append(tag("label", button, tag("span", words(text))))
    return tag("span", *parts, class_=f"switch {kind}", role="radiogroup", aria_label=kind)
