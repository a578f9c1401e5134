"""One report as a page, and as the piece of it that a notebook shows."""

from __future__ import annotations

from orrery.display import Both, Html, fragment, page, tag, tiles
from orrery.evaluation.findings import Findings
from orrery.evaluation.metrics import METRICS
from orrery.evaluation.pages import category, number, rows
from orrery.evaluation.pages.phrases import caveats, told, verdict
from orrery.schema import Kind


def report_page(found: Findings) -> str:
    """The whole page."""
    title = found.title or Both(f"How well is {found.target} predicted?", f"{found.target} 预测得怎么样？")
    return page(
        title,
        figures(found),
        *chapters(found),
        rows.particulars(found),
        kicker=Both("Evaluation report", "评估报告"),
        lead=verdict(found),
        foot=Both(f"Made by Orrery, {found.created[:10]}.", f"由 Orrery 于 {found.created[:10]} 生成。"),
    )


def report_fragment(found: Findings) -> str:
    """Verdict, figures, and the charts that say most."""
    shown = chapters(found)[:1]
    return fragment(
        tag("p", verdict(found), class_="lead"), figures(found), *shown, title=found.title or found.target
    )


def figures(found: Findings) -> Html:
    """Every metric as a large figure, the headline first, and what limits them."""
    items = [
        (m.title, told(m, found.metrics[m.name]), m.about)
        for m in METRICS[found.kind]
        if m.name in found.metrics
    ]
    notes = [tag("p", note, class_="note") for note in caveats(found)]
    return Html("".join([tiles(items), *notes]))


def chapters(found: Findings) -> list[Html]:
    """The chapters that this kind of outcome has."""
    if found.kind in {Kind.CATEGORY, Kind.LABELS}:
        made = [category.mistakes(found), category.ranking(found), category.calibration(found)]
    else:
        made = [number.errors(found), number.positions(found)]
    return [part for part in (*made, rows.slices(found), rows.worst(found)) if part]
