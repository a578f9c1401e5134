"""Reports: what they hold, how they are kept, what they say of odd rows and of bad input."""

from __future__ import annotations

import base64
import io
import json
import re
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from orrery.errors import EmptyTableError, SchemaError, SettingsError, SourceError, UnknownColumnError
from orrery.evaluation.compare import compare
from orrery.evaluation.findings import Picture
from orrery.evaluation.pages.category import colored
from orrery.evaluation.report import Outcome, Report, evaluate
from orrery.evaluation.worst import Worst
from orrery.schema import Kind

Make = Callable[..., pa.RecordBatch]
KINDS = ["binary", "classes", "number", "labels", "vector"]


@pytest.fixture
def reports(make: Make, outcomes: dict[str, Outcome]) -> dict[str, Report]:
    return {name: evaluate([make(name, 80, 1, True)], outcomes[name], by="city") for name in KINDS}


def test_json_gives_the_report_back(reports: dict[str, Report]) -> None:
    for name, report in reports.items():
        path = report.save(f"{name}.json")
        assert Report.load(path) == report
        json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)  # no NaN, no Infinity


def test_a_file_that_is_no_report() -> None:
    Path("x.json").write_text("{", "utf-8")
    with pytest.raises(SettingsError, match=r"x\.json is not a report"):
        Report.load("x.json")
    with pytest.raises(SettingsError, match=r"\.html or \.json"):
        Report.model_construct().save("report.pdf")


def test_the_page_needs_nothing_else(reports: dict[str, Report]) -> None:
    for report in reports.values():
        page = report.to_html()
        assert page.startswith("<!doctype html>")
        assert not re.search(r"(src|href)=\"(?!data:)|url\(|@import|https?://", page)
        assert page.count('<span lang="en">') == page.count('<span lang="zh">') > 20


def test_values_never_become_markup(outcomes: dict[str, Outcome]) -> None:
    evil = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\" onload=\""
    outcome = Outcome(Kind.CATEGORY, ("<b>no</b>", evil), evil)
    scores = pa.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    rows = pa.record_batch({"truth": [0, 1, 1, 0], "scores": scores, evil: [evil] * 4})
    report = evaluate([rows], outcome, by=evil, title=evil, details={evil: evil})
    other = evaluate([rows], outcome, title=evil)
    for page in (report.to_html(), report._repr_html_(), compare({evil: report, "b": other}).to_html()):
        assert "<img src=x" not in page
        assert "<b>no" not in page
        assert "<script>alert" not in page
        assert '" onload="' not in page


def test_show_prints_and_says_where(
    reports: dict[str, Report], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = reports["binary"].show()
    out = capsys.readouterr().out
    assert path.is_file()
    assert path.parent == (home / "reports").resolve()
    assert "Accuracy" in out
    assert path.name in out.replace("\n", "")


def test_a_notebook_gets_a_fragment(reports: dict[str, Report]) -> None:
    for report in reports.values():
        text = report._repr_html_()
        assert text.startswith("<div")
        assert "<script" not in text


def test_one_class_only_leaves_out_what_cannot_be_told() -> None:
    rows = pa.record_batch({"truth": [1, 1], "scores": pa.array([[0.1, 0.9], [0.6, 0.4]])})
    report = evaluate([rows], Outcome(Kind.CATEGORY, ("no", "yes"), "y"))
    assert report.metrics["accuracy"] == 0.5
    assert {"auc", "ks", "lift"} <= set(report.undefined)
    assert "auc" not in report.metrics
    assert "cannot be told" in report.to_html()


@pytest.mark.parametrize("name", KINDS)
def test_one_row_and_no_weight(make: Make, outcomes: dict[str, Outcome], name: str) -> None:
    one = make(name, 1, 0, False)
    assert evaluate([one], outcomes[name]).rows == 1
    weightless = one.append_column("weight", pa.array([0.0]))
    report = evaluate([weightless], outcomes[name])
    assert report.metrics == {}
    assert "<!doctype html>" in report.to_html()
    report._repr_html_()


def test_slices_are_reports_of_their_rows(make: Make, outcomes: dict[str, Outcome]) -> None:
    batch = make("classes", 200, 4, True)
    report = evaluate([batch], outcomes["classes"], by=["city"])
    assert sum(s.rows for s in report.slices["city"]) == 200
    for part in report.slices["city"]:
        rows = batch.filter(pa.compute.equal(batch.column("city"), part.value))
        assert part.metrics == evaluate([rows], outcomes["classes"]).metrics


def test_worst_rows_are_the_worst(make: Make, outcomes: dict[str, Outcome]) -> None:
    batch = make("number", 500, 5, False)
    gaps = np.abs(
        np.stack(batch.column("scores").to_numpy(zero_copy_only=False))[:, 0]
        - batch.column("truth").to_numpy()
    )
    report = evaluate([batch.slice(0, 77), batch.slice(77)], outcomes["number"])
    assert [row.loss for row in report.worst] == sorted(gaps.tolist(), reverse=True)[
        : Worst(outcomes["number"]).rows
    ]


def test_pictures_of_the_worst_rows_are_kept_small() -> None:
    large, broken = io.BytesIO(), b"\x89PNG\r\n\x1a\n rubbish"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 300, 3), np.uint8)).save(large, "PNG")
    pictures = pa.array([large.getvalue(), broken, None], pa.binary())
    rows = pa.record_batch({"truth": [0, 1, 1], "scores": pa.array([[0.1, 0.9]] * 3), "scan": pictures})
    report = evaluate([rows], Outcome(Kind.CATEGORY, ("no", "yes"), "y"))
    found = {type(row.columns["scan"]) for row in report.worst}
    assert found == {Picture, str, type(None)}
    kept = next(row.columns["scan"] for row in report.worst if isinstance(row.columns["scan"], Picture))
    assert isinstance(kept, Picture)
    assert max(Image.open(io.BytesIO(base64.b64decode(kept.picture))).size) == 160
    assert "data:image/png;base64," in report.to_html()


def guessed(k: int, rows: int = 400) -> Report:
    """A report on k classes; the fifth is guessed blindly, the others are mostly right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, k, rows)
    scores = rng.dirichlet(np.ones(k), rows)
    scores[np.arange(rows), truth] += np.where(truth == 5, 0.0, 1.0)
    listed = pa.FixedSizeListArray.from_arrays(pa.array((scores / scores.sum(1)[:, None]).ravel()), k)
    batch = pa.record_batch({"truth": truth, "scores": listed})
    return evaluate([batch], Outcome(Kind.CATEGORY, tuple(range(k)), "y"))


def test_many_classes_still_make_a_page() -> None:
    report = guessed(150)
    assert report.matrix == ()
    assert len(report.to_html()) < 1_000_000
    assert [len(report.curves[key]) for key in ("roc", "pr")] == [8, 8]
    assert report.curves["roc"][0].label == "5"
    assert "Only 8 of 150 classes are drawn: the hardest" in report.to_html()
    assert "150 个类别中只画出 AUC 最低的 8 个" in report.to_html()


def test_the_page_says_which_classes_stand_out() -> None:
    page = guessed(12).to_html()
    assert "In colour the 3 hardest of 12 classes" in page
    assert "彩色为 12 个类别中最难的 3 个" in page
    assert colored(guessed(12).curves["roc"], guessed(12))[-3:][0].color
    assert "5" in [str(line.name) for line in colored(guessed(12).curves["roc"], guessed(12)) if line.color]
    assert "hardest of" not in guessed(8).to_html()


def test_a_report_is_one_line_in_the_terminal(reports: dict[str, Report]) -> None:
    for report in reports.values():
        assert str(report) == repr(report)
        assert len(str(report)) < 200
        assert f"{report.target!r}: {report.kind.value}" in str(report)
    report = reports["classes"]
    assert f"accuracy {report.metrics['accuracy']:.4g}" in str(report)
    assert len(repr(compare({"a": report, "b": report}))) < 500


def test_bad_rows_are_named() -> None:
    yes = Outcome(Kind.CATEGORY, ("no", "yes"), "y")
    scores = pa.array([[0.1, 0.9]])

    def run(by: str | None = None, outcome: Outcome = yes, **columns: object) -> None:
        evaluate([pa.record_batch({"truth": [1], "scores": scores, **columns})], outcome, by=by)

    with pytest.raises(EmptyTableError, match="no rows"):
        evaluate([], yes)
    with pytest.raises(SchemaError, match="positions from 2 to 2"):
        run(truth=[2])
    with pytest.raises(SchemaError, match="'truth' is missing in 1 of 1"):
        run(truth=pa.array([None], pa.int32()))
    with pytest.raises(SchemaError, match="'scores' holds NaN"):
        run(scores=pa.array([[0.1, np.nan]]))
    with pytest.raises(SchemaError, match="'scores' holds 3 numbers"):
        run(scores=pa.array([[0.1, 0.5, 0.4]]))
    with pytest.raises(SchemaError, match="'weight' holds values from -1 to -1"):
        run(weight=[-1.0])
    with pytest.raises(UnknownColumnError, match="no column 'town'"):
        run(by="town")
    with pytest.raises(SchemaError, match="sliced by 'bag'"):
        run(by="bag", bag=pa.array([[1]]))
    with pytest.raises(SettingsError, match="predicts 'text'"):
        run(outcome=Outcome(Kind.TEXT))


def test_too_many_slices_are_refused() -> None:
    rows = pa.record_batch(
        {"truth": [0] * 300, "scores": pa.array([[0.9, 0.1]] * 300), "id": list(range(300))}
    )
    with pytest.raises(SchemaError, match="more than 200 different values"):
        evaluate([rows], Outcome(Kind.CATEGORY, ("no", "yes")), by="id")


def test_a_large_slice_says_that_its_scores_were_rounded(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    monkeypatch.setattr("orrery.evaluation.tally.SLICE_BYTES", 100)
    report = evaluate([make("binary", 200, 1, False)], Outcome(Kind.CATEGORY, ("no", "yes"), "y"), by="city")
    assert report.exact
    assert not any(part.exact for part in report.slices["city"])
    assert "rounded to 1/1024" in report.to_html()


def test_a_full_disk_is_said_and_leaves_nothing_behind(reports: dict[str, Report], tmp_path: Path) -> None:
    report = next(iter(reports.values()))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(SourceError, match=r"report.html cannot be written"):
            report.save(tmp_path / "folder" / "report.html")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "folder").iterdir()) == []
