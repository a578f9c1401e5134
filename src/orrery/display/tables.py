"""Tables, bars, tiles and sections as HTML."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence

from orrery.display.words import Both, Html, Words, figure, tag, tip_attributes

PICTURE_BYTES = 256 << 10
"""A larger picture is not put into a page."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
)


def cell(value: object) -> Html:
    """One value: numbers as people read them, missing as a dash, bytes as a picture or their length."""
    if value is None:
        return tag("span", "–", class_="soft")
    if isinstance(value, Both | Html):
        return tag("span", value)
    if isinstance(value, bytes):
        return picture(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return tag("span", text if len(text) <= 200 else f"{text[:199]}…")
    return tag("span", figure(value))


def table_html(
    columns: Sequence[Words],
    rows: Sequence[Sequence[object]],
    *,
    caption: Words = "",
    note: Words = "",
    right: Collection[int] = (),
) -> Html:
    """A table; columns that hold only numbers stand to the right, and those whose positions are in ``right``.

    >>> "<td>Lyon</td>" in table_html(["city"], [["Lyon"]]).replace("<span>", "").replace("</span>", "")
    True
    """
    numeric = [
        i in right or (bool(rows) and all(_numeric(row[i]) for row in rows)) for i in range(len(columns))
    ]
    classes = ["n" if right else None for right in numeric]
    head = [tag("th", name, class_=c, scope="col") for name, c in zip(columns, classes, strict=True)]
    body = [
        tag("tr", *(tag("td", cell(value), class_=c) for value, c in zip(row, classes, strict=True)))
        for row in rows
    ]
    inner = [tag("thead", tag("tr", *head)), tag("tbody", *body)]
    if caption:
        inner.insert(0, tag("caption", caption))
    foot = tag("p", note, class_="note") if note else Html("")
    return Html(tag("div", tag("table", *inner), class_="scroll") + foot)


def _numeric(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def facts(pairs: Mapping[str, object] | Sequence[tuple[Words, object]]) -> Html:
    """Names and values, as a list of facts."""
    items = list(pairs.items()) if isinstance(pairs, Mapping) else list(pairs)
    return tag("dl", *(tag("div", tag("dt", n), tag("dd", cell(v))) for n, v in items), class_="facts")


def tiles(items: Sequence[tuple[Words, str, Words]]) -> Html:
    """Large figures side by side: name, figure, and a sentence that says what it means."""
    return tag(
        "div",
        *(
            tag(
                "div",
                tag("div", name, class_="name"),
                tag("div", value, class_="value"),
                tag("div", about, class_="about"),
                class_="tile",
            )
            for name, value, about in items
        ),
        class_="tiles",
    )


def bars(
    items: Sequence[tuple[Words, float]], *, largest: float | None = None, texts: Sequence[str] = ()
) -> Html:
    """Horizontal bars, a line each: name, bar, figure. Values are not negative.

    >>> "width:50.0%" in bars([("a", 1.0), ("b", 2.0)])
    True
    """
    top = largest or max((value for _, value in items), default=1.0) or 1.0
    shown = list(texts) or [figure(value) for _, value in items]
    lines = [
        tag(
            "div",
            tag("div", name, class_="name"),
            tag("div", tag("i", style=f"width:{100 * min(value / top, 1.0):.1f}%"), class_="track"),
            tag("div", text, class_="value"),
        )
        for (name, value), text in zip(items, shown, strict=True)
    ]
    return tag("div", *lines, class_="bars")


def heat(
    rows: Sequence[Words],
    columns: Sequence[Words],
    shades: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    *,
    tips: Sequence[Sequence[Words]] = (),
    corner: Words = "",
    across: Words = "",
) -> Html:
    """A matrix as a table of shaded cells: shades from 0 to 1; the diagonal has its own colour.

    ``corner`` names the rows, ``across`` the columns.
    """
    head = [tag("th", corner, class_="corner"), *(tag("th", name, scope="col") for name in columns)]
    over = tag("tr", tag("th"), tag("th", across, colspan=len(columns), class_="across"))
    body = []
    for i, name in enumerate(rows):
        cells = [
            tag(
                "td",
                text,
                class_=("hit" if i == j else "miss") + (" strong" if shade > 0.8 else ""),
                style=f"--v:{100 * shade:.1f}%",
                **(tip_attributes(tips[i][j]) if tips else {}),
            )
            for j, (shade, text) in enumerate(zip(shades[i], texts[i], strict=True))
        ]
        body.append(tag("tr", tag("th", name, scope="row"), *cells))
    size = " few" if len(columns) <= 3 else " many" if len(columns) > 14 else ""
    table = tag(
        "table",
        tag("thead", over, tag("tr", *head)),
        tag("tbody", *body),
        class_=f"heat{size}",
        style=f"--k:{len(columns)}",
    )
    return tag("div", table, class_="scroll")


def card(title: Words, *content: Html, about: Words = "", wide: bool = False) -> Html:
    """A titled box with a chart or a table, and a sentence on how to read it."""
    text = tag("p", about, class_="about") if about else Html("")
    return tag("section", tag("h3", title), text, *content, class_="card wide" if wide else "card")


def section(title: Words, *content: Html, about: Words = "") -> Html:
    """A chapter of a page; cards inside stand side by side where there is room."""
    text = tag("p", about, class_="lead") if about else Html("")
    return tag("section", tag("h2", title), text, tag("div", *content, class_="grid"), class_="chapter")


def picture(data: bytes, alt: str = "") -> Html:
    r"""A picture inside the page itself; other bytes, or too many, are told by their length.

    >>> "2 bytes" in picture(b"\x00\x01")
    True
    """
    kind = picture_type(data)
    if not kind or len(data) > PICTURE_BYTES:
        return tag("span", Both(f"{len(data):,} bytes", f"{len(data):,} 字节"), class_="soft")
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return tag("img", src=source, alt=alt, class_="picture small" if _is_small(data) else "picture")


def picture_type(data: bytes) -> str:
    """The media type of a picture that a browser can show, by its first bytes; else empty."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for magic, mime in _MAGIC if data.startswith(magic)), "")


def _is_small(data: bytes) -> bool:
    """Whether a PNG is at most 48 pixels wide: then its pixels are shown as squares."""
    return data.startswith(b"\x89PNG") and int.from_bytes(data[16:20], "big") <= 48
