"""A page of pictures with the probability of each class under it: to look, not only to count."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orrery.data.table import Table
from orrery.display import Both, Html, Words, count, fragment, page, percent, picture, tag, tiles
from orrery.errors import SchemaError, SettingsError, SourceError

_LIKELIEST = 5


@dataclass(frozen=True)
class Shown:
    """One picture, what it is, and what the model says."""

    picture: bytes | None
    truth: str | None
    predicted: str
    likely: tuple[tuple[str, float], ...]
    """The likeliest classes with their probabilities."""

    @property
    def wrong(self) -> bool:
        """Whether the model is mistaken."""
        return self.truth is not None and self.truth != self.predicted


@dataclass(frozen=True)
class Gallery:
    """The first pictures of a table, and the surest mistakes among all of them."""

    first: Sequence[Shown]
    mistakes: Sequence[Shown]
    rows: int
    wrong: int
    judged: int
    """Rows whose truth is known."""
    title: Words

    def to_html(self) -> str:
        """A page that needs nothing else, in English and Chinese."""
        return page(self.title, *self._chapters(), kicker=Both("Gallery", "图库"))

    def save(self, path: str | Path) -> Path:
        """Write the page, ``*.html``. Raises SourceError where it cannot be written."""
        path = Path(path)
        if path.suffix != ".html":
            raise SettingsError(f"A gallery is saved as .html, received {path.name!r}.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.to_html(), "utf-8")
        except OSError as error:
            raise SourceError(f"The page {path} cannot be written: {error.strerror or error}.") from None
        return path

    def _repr_html_(self) -> str:
        return fragment(*self._chapters(), title=self.title)

    def _chapters(self) -> list[Html]:
        right = (self.judged - self.wrong) / self.judged if self.judged else None
        figures = [(Both("Pictures", "图片"), count(self.rows), Both("looked at by the model", "模型看过"))]
        if right is not None:
            about = Both(f"{count(self.wrong)} are not", f"{count(self.wrong)} 张不对")
            figures.insert(0, (Both("Right", "正确"), percent(right), about))
        parts = [tiles(figures), _chapter(Both("Pictures", "图片"), _LEAD, self.first)]
        if self.mistakes:
            parts.append(_chapter(Both("Surest mistakes", "最有把握的错误"), _WRONG, self.mistakes))
        return parts


_LEAD = Both(
    "The first ones as they come, with the likeliest classes. The bar of the true class has its own colour.",
    "按顺序的前若干张，附最可能的类别。真实类别的条为另一种颜色。",
)
_WRONG = Both("Where the model was sure, and was wrong.", "模型很有把握、却判错的图片。")


_TITLE = Both("What the model sees", "模型眼中的图片")


def gallery(
    predicted: Table,
    *,
    image: str = "image",
    truth: str | None = None,
    most: int = 60,
    title: Words = _TITLE,
) -> Gallery:
    """The gallery of rows with their predictions, as ``model.predict(table)`` gives them; read once.

    ``image`` and ``truth`` are columns; ``most`` bounds each of both chapters. Raises UnknownColumnError,
    and SchemaError where the predictions are not of classes.

    >>> from orrery.data.table import read
    >>> said = {"prediction": "dog", "probabilities": {"cat": 0.2, "dog": 0.8}}
    >>> page = gallery(read([{"image": None, "kind": "cat", **said}]), truth="kind")
    >>> page.rows, page.wrong, page.first[0].likely
    (1, 1, (('dog', 0.8), ('cat', 0.2)))
    """
    if most < 1:
        raise SettingsError(f"A gallery shows at least 1 picture, not {most}.")
    if "probabilities" not in predicted.schema:
        raise SchemaError(
            "The rows have no column 'probabilities', so there is nothing to show under a picture.",
            hint="Give what model.predict(table) returns, of a model that predicts classes.",
        )
    first: list[Shown] = []
    mistakes: list[tuple[float, int, Shown]] = []  # a heap: the least sure of those kept lies on top
    rows = wrong = judged = 0
    columns = [image, *([truth] if truth else []), "prediction", "probabilities"]
    for batch in predicted.select(*columns).batches(256):
        for row in batch.to_pylist():
            shown = _shown(row, image, truth)
            rows, judged, wrong = rows + 1, judged + (shown.truth is not None), wrong + shown.wrong
            if len(first) < most:
                first.append(shown)
            if shown.wrong:
                heapq.heappush(mistakes, (shown.likely[0][1], -rows, shown))
                if len(mistakes) > most:
                    heapq.heappop(mistakes)
    surest = [shown for *_, shown in sorted(mistakes, key=lambda kept: (-kept[0], -kept[1]))]
    return Gallery(first, surest, rows, wrong, judged, title)


def _shown(row: dict[str, Any], image: str, truth: str | None) -> Shown:
    likely = sorted(row["probabilities"].items(), key=lambda pair: (-pair[1], pair[0]))[:_LIKELIEST]
    known = None if truth is None or row[truth] is None else str(row[truth])
    return Shown(row[image], known, str(row["prediction"]), tuple(likely))


def _chapter(title: Words, lead: Words, shown: Sequence[Shown]) -> Html:
    cards = tag("div", *map(_card, shown), class_="rows")
    return tag("section", tag("h2", title), tag("p", lead, class_="lead"), cards, class_="chapter")


def _card(shown: Shown) -> Html:
    drawn = picture(shown.picture, alt=shown.truth or shown.predicted) if shown.picture else _NONE
    said = [tag("div", tag("dt", Both("true", "真实")), tag("dd", shown.truth))] if shown.truth else []
    mark = "bad" if shown.wrong else None
    said.append(tag("div", tag("dt", Both("predicted", "预测")), tag("dd", shown.predicted, class_=mark)))
    lines = [_line(label, share, label == shown.truth) for label, share in shown.likely]
    return tag(
        "div",
        tag("div", drawn, class_="pictures"),
        tag("dl", *said, class_="said"),
        tag("div", *lines, class_="likely"),
        class_="card",
    )


def _line(label: str, share: float, true: bool) -> Html:
    bar = tag("i", style=f"width:{100 * share:.1f}%", class_="truth" if true else None)
    return tag("div", tag("span", label), tag("span", bar, class_="track"), tag("span", percent(share)))


_NONE = tag("span", Both("no picture", "无图片"), class_="soft")
