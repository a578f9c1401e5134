"""HTML and terminal views of what a person holds: pages, tables, charts, in English and Chinese.

Everything is a function from plain values to :class:`Html` or to text. Whatever is not already
:class:`Html` is escaped, so that names and values from data can never become markup.
"""

from __future__ import annotations

from orrery.display.charts import (
    Axis,
    Bin,
    Series,
    histogram,
    line_chart,
    scatter,
    spark,
)
from orrery.display.page import fragment, page
from orrery.display.tables import bars, card, facts, heat, picture, section, table_html, tiles
from orrery.display.terminal import text_facts, text_table
from orrery.display.words import Both, Html, Words, count, figure, join, percent, tag, words

__all__ = [
    "Axis",
    "Bin",
    "Both",
    "Html",
    "Series",
    "Words",
    "bars",
    "card",
    "count",
    "facts",
    "figure",
    "fragment",
    "heat",
    "histogram",
    "join",
    "line_chart",
    "page",
    "percent",
    "picture",
    "scatter",
    "section",
    "spark",
    "table_html",
    "tag",
    "text_facts",
    "text_table",
    "tiles",
    "words",
]
