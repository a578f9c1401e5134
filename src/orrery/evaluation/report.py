"""How good a model is: :func:`evaluate` scored rows into a :class:`Report`, in numbers and as a page."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
import webbrowser
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from orrery import settings
from orrery.aggregate import RecordBatch
from orrery.errors import SettingsError, SourceError
from orrery.evaluation import build
from orrery.evaluation.findings import Findings
from orrery.evaluation.metrics.ks import widest_gap
from orrery.evaluation.pages.report import report_fragment, report_page
from orrery.evaluation.pages.summary import print_summary
from orrery.evaluation.scored import Outcome
from orrery.evaluation.tally import evaluation, fold_evenly, read_metrics
from orrery.schema import Kind
from orrery.spec import stable_key

__all__ = ["Outcome", "Report", "evaluate"]


class Report(Findings):
    """What an evaluation found; a page, JSON, and a summary in the terminal.

    >>> import pyarrow as pa
    >>> scores = pa.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], pa.list_(pa.float64(), 2))
    >>> rows = pa.record_batch({"truth": pa.array([0, 1, 1]), "scores": scores})
    >>> report = evaluate([rows], Outcome(Kind.CATEGORY, ("no", "yes"), "churned"))
    >>> round(report.metrics["accuracy"], 4), report.metrics["auc"]
    (0.6667, 1.0)
    >>> report.save("report.html").name
    'report.html'
    """

    def save(self, path: str | Path) -> Path:
        """Write ``*.html`` (one page that needs nothing else) or ``*.json``; says where.

        Raises SettingsError for other names, SourceError where it cannot be written.
        """
        path = Path(path)
        if path.suffix not in {".html", ".json"}:
            raise SettingsError(f"A report is saved as .html or .json, received {path.name!r}.")
        text = (
            self.to_html()
            if path.suffix == ".html"
            else json.dumps(self.to_dict(), ensure_ascii=False, indent=1)
        )
        partial = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:8]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text, "utf-8")
            partial.replace(path)
        except OSError as error:
            raise SourceError(
                f"The report {path} cannot be written: {error.strerror or error}.",
                hint="Nothing of it was kept. Check space and permissions.",
            ) from None
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A report that was saved as JSON. Raises SettingsError if the file is something else."""
        try:
            values = json.loads(Path(path).read_text("utf-8"))
        except ValueError as error:
            raise SettingsError(
                f"{Path(path).name} is not a report: {error}.", hint="Load the .json of one."
            ) from None
        return cls.from_dict(values if isinstance(values, dict) else {})

    def to_html(self) -> str:
        """The page, in English and Chinese, with charts; needs no network and no other file."""
        return report_page(self)

    def show(self, path: str | Path | None = None, *, open_page: bool = False) -> Path:
        """Print a summary, save the page and say where; ``open_page`` opens it in the browser too."""
        name = re.sub(r"\W+", "-", self.title or self.target).strip("-")[:60] or "report"
        key = stable_key(self.title, self.fingerprint, self.metrics)
        place = Path(path) if path else settings.home() / "reports" / f"{name}-{key[:8]}.html"
        saved = self.save(place).resolve()
        print_summary(self, saved)
        if open_page:
            webbrowser.open(saved.as_uri())
        return saved

    def _repr_html_(self) -> str:
        return report_fragment(self)


def evaluate(
    batches: Iterable[RecordBatch],
    outcome: Outcome,
    *,
    by: str | Sequence[str] | None = None,
    title: str = "",
    details: Mapping[str, Any] | None = None,
) -> Report:
    """The report on scored rows (see :mod:`orrery.evaluation.scored`), read once, in any cut and order.

    ``by`` names columns to tell every metric for each of their values. ``details`` is shown as it is.
    Raises EmptyTableError, SchemaError, UnknownColumnError.
    """
    if outcome.kind not in _OF_KIND:
        raise SettingsError(f"Nothing can be evaluated that predicts {outcome.kind.value!r}.")
    columns = [by] if isinstance(by, str) else list(by or ())
    found = fold_evenly(evaluation(outcome, columns), batches)
    metrics = read_metrics(outcome, found)
    rows, fingerprint = found["rows"]
    return Report(
        title=title,
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        kind=outcome.kind,
        target=outcome.name,
        labels=outcome.labels,
        rows=rows,
        weighted=found["weighted"],
        fingerprint=fingerprint,
        metrics=build.known(metrics),
        undefined=tuple(name for name, value in metrics.items() if value is None),
        slices=build.slices(outcome, found),
        worst=tuple(build.bad_row(outcome, bad) for bad in found["worst"]),
        details=json.loads(json.dumps(dict(details or {}), default=str)),
        **_OF_KIND[outcome.kind](outcome, found),
    )


def _category(outcome: Outcome, found: Mapping[str, Any]) -> dict[str, Any]:
    matrix, rankings = found["Confusion"], found["RankingTally"]
    few = len(outcome.labels) <= build.DRAWN_CLASSES
    return {
        "matrix": tuple(map(tuple, matrix.cells.tolist())) if few else (),
        "confused": build.most_confused(outcome, matrix),
        "classes": build.class_rows(outcome, matrix, rankings),
        "calibration": build.calibrated(found["Calibration"]),
        "best_gap": widest_gap(rankings[0]) if outcome.binary else None,
        **_ranked(outcome, rankings),
    }


def _labels(outcome: Outcome, found: Mapping[str, Any]) -> dict[str, Any]:
    rankings = found["RankingTally"]
    return {"classes": build.class_rows(outcome, found["LabelTally"], rankings), **_ranked(outcome, rankings)}


def _ranked(outcome: Outcome, rankings: list[Any]) -> dict[str, Any]:
    return {"curves": build.curves(outcome, rankings), "exact": all(r.exact for r in rankings)}


def _number(outcome: Outcome, found: Mapping[str, Any]) -> dict[str, Any]:
    numbers = build.number_rows(outcome, found["Errors"])
    return {"numbers": numbers, "residuals": build.residuals(found["sample"]) if "sample" in found else None}


_OF_KIND = {Kind.CATEGORY: _category, Kind.LABELS: _labels, Kind.NUMBER: _number, Kind.VECTOR: _number}
