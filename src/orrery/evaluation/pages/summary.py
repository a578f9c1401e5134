"""A report in the terminal: the figures, the hardest classes, where the page is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orrery.display import percent
from orrery.evaluation.findings import Findings
from orrery.evaluation.metrics import METRICS
from orrery.evaluation.pages.phrases import caveats, told, verdict


def print_summary(found: Findings, saved: Path | None = None, console: Console | None = None) -> None:
    """Print the report in short."""
    out = console or Console(highlight=False)
    out.print()
    out.print(Text(found.title or f"Evaluation of {found.target!r}", style="bold"))
    out.print(Text(verdict(found).en, style="default"))
    out.print()
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for i, metric in enumerate(m for m in METRICS[found.kind] if m.name in found.metrics):
        style = "bold yellow" if i == 0 else "bold"
        value = Text(told(metric, found.metrics[metric.name]), style=style, justify="right")
        table.add_row(Text(metric.title.en), value, Text(metric.about.en, style="dim"))
    out.print(table)
    for line in _extras(found):
        out.print(Text(line, style="dim"))
    if saved is not None:
        out.print()
        out.print(Text.assemble(("Page  ", "bold"), str(saved)), soft_wrap=True)


def _extras(found: Findings) -> list[str]:
    lines = [note.en for note in caveats(found)]
    if len(found.classes) > 2:
        hard = sorted((c for c in found.classes if c.recall is not None), key=lambda c: c.recall or 0.0)[:3]
        lines.append("Hardest: " + ", ".join(f"{c.label} ({percent(c.recall)} found)" for c in hard))
    for column, values in found.slices.items():
        head = METRICS[found.kind][0]
        told_values = [f"{s.value} {told(head, s.metrics.get(head.name))} ({s.rows:,})" for s in values[:6]]
        lines.append(f"By {column}: " + ", ".join(told_values))
    return lines
