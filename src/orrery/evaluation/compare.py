"""Several models on the same rows, side by side: which is better, at what, by how much."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from orrery.errors import SettingsError, listing
from orrery.evaluation.findings import Findings
from orrery.evaluation.metrics import BETTER
from orrery.evaluation.pages.compare import comparison_fragment, comparison_page
from orrery.evaluation.report import Report
from orrery.spec import Spec


class Comparison(Spec):
    """Reports by the name of the model; the first is the one that the others are measured against."""

    reports: dict[str, Findings]
    same_rows: bool
    """Whether the fingerprints say that all were evaluated on the same rows."""

    def better(self, metric: str) -> str:
        """The name of the best model by a metric. Raises SettingsError for a metric that not all have."""
        shared = set.intersection(*(set(found.metrics) for found in self.reports.values()))
        if metric not in shared:
            raise SettingsError(f"Not every report has {metric!r}; all have {listing(sorted(shared))}.")
        sign = 1.0 if BETTER[metric] == "higher" else -1.0
        return max(self.reports, key=lambda name: sign * self.reports[name].metrics[metric])

    def to_html(self) -> str:
        """One page with all of them."""
        return comparison_page(self.reports, self.same_rows)

    def save(self, path: str | Path) -> Path:
        """Write ``*.html`` or ``*.json``; says where."""
        path = Path(path)
        if path.suffix not in {".html", ".json"}:
            raise SettingsError(f"A comparison is saved as .html or .json, received {path.name!r}.")
        text = (
            self.to_html()
            if path.suffix == ".html"
            else json.dumps(self.to_dict(), ensure_ascii=False, indent=1)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def __repr__(self) -> str:
        rows = "the same rows" if self.same_rows else "different rows"
        reports = ", ".join(f"{name!r}: {found!r}" for name, found in list(self.reports.items())[:4])
        return f"Comparison({len(self.reports)} on {rows}; {reports})"

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return comparison_fragment(self.reports, self.same_rows)


def compare(reports: Mapping[str, Report]) -> Comparison:
    """Reports of models that predict the same thing, best on the same rows.

    Rows are compared by ``details["fingerprint"]`` where every report has one, else by the fingerprint of
    what was evaluated; different rows are said aloud on the page. Raises SettingsError.
    """
    if len(reports) < 2:
        raise SettingsError(f"A comparison needs two reports or more, received {len(reports)}.")
    outcomes = {(r.kind, r.labels, r.target) for r in reports.values()}
    if len(outcomes) > 1:
        what = [f"{name}: {r.target} ({r.kind.value}, {len(r.labels)} labels)" for name, r in reports.items()]
        raise SettingsError(f"These models do not predict the same thing: {'; '.join(what)}.")
    given = [r.details.get("fingerprint") for r in reports.values()]
    prints = given if all(given) else [r.fingerprint for r in reports.values()]
    same = len(set(prints)) == 1 and len({r.rows for r in reports.values()}) == 1
    return Comparison(reports=dict(reports), same_rows=same)
