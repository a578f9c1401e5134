from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from orrery.errors import FlowCheckError, FlowError, NodeError
from orrery.flow import cache as cache_module
from orrery.flow.flow import Flow
from orrery.flow.watch import NodeEvent
from orrery.registry.lock import locked
from orrery.settings import home

FLOW = """\
metadata: {name: people}
spec:
  nodes:
    - {id: rows, operator: read, with: {place: rows.csv}}
    - {id: old, operator: where, inputs: {table: rows}, with: {condition: "age >= 40"}}
    - {id: kept, operator: keep, inputs: {table: old}, with: {note: first}}
    - {id: last, operator: keep, inputs: {table: kept}, with: {note: second}}
"""

pytestmark = pytest.mark.usefixtures("code", "rows")


def run(text: str = FLOW, force: tuple[str, ...] = (), to: tuple[str, ...] = ()) -> dict[str, str]:
    """Run a flow; each node's state and reason."""
    done = Flow.from_yaml(text).run(force=force, to=to)
    return {r.node: f"{r.state}: {r.reason}".removesuffix(": ") for r in done.results}


def ran() -> list[str]:
    """The notes of the nodes that ran, since asked last."""
    path = Path("ran.txt")
    notes = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return notes


def test_the_second_run_reuses_what_has_not_changed() -> None:
    assert run() == {
        "rows": "read",
        "old": "read",
        "kept": "done: first run",
        "last": "done: first run",
    }
    assert ran() == ["first", "second"]
    assert run()["kept"] == "reused: nothing changed"
    assert ran() == []


def test_values_are_the_same_when_reused() -> None:
    flow = Flow.from_yaml(FLOW)
    first, second = flow.run()["last"].to_rows(), flow.run()["last"].to_rows()
    assert first == second
    assert all(row["age"] >= 40 for row in first)
    assert len(first) == 60


def test_a_changed_setting_is_named_and_what_comes_after_says_where_it_began() -> None:
    run()
    ran()
    done = run(FLOW.replace("note: first", "note: other"))
    assert done["kept"] == 'done: setting note changed "first" → "other"'
    assert done["last"] == 'done: input table changed (kept: setting note changed "first" → "other")'
    assert ran() == ["other", "second"]


def test_a_changed_step_before_is_traced() -> None:
    run()
    done = run(FLOW.replace(">= 40", ">= 50"))
    assert done["old"] == 'read: setting condition changed "age >= 40" → "age >= 50"'
    assert done["last"].endswith('(old: setting condition changed "age >= 40" → "age >= 50")')


def test_changed_rows_are_noticed(rows: Path) -> None:
    run()
    rows.write_text(rows.read_text() + "100,60,Nice\n")
    done = run()
    assert done["rows"] == "read: its rows changed"
    assert done["kept"] == "done: input table changed (rows: its rows changed)"


def test_going_back_finds_the_earlier_result() -> None:
    run()
    run(FLOW.replace("note: first", "note: other"))
    ran()
    assert run()["kept"] == 'reused: as in an earlier run: setting note changed "other" → "first"'
    assert ran() == []


def test_changed_code_runs_again(code: Path) -> None:
    run()
    code.write_text(code.read_text() + "\n# changed\n")
    assert run()["kept"] == "done: the code of operator keep changed"


def test_a_changed_variable_is_noticed_and_never_stored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = FLOW.replace("note: first", "note: '${SECRET}'")
    monkeypatch.setenv("SECRET", "tell-nobody")
    run(text)
    monkeypatch.setenv("SECRET", "other")
    assert run(text)["kept"] == "done: an environment variable in its settings changed"
    stored = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert stored
    assert not any(b"tell-nobody" in content for content in stored)


def test_another_version_of_a_package_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setattr(cache_module.platform, "python_version", lambda: "9.9.9")
    assert "python changed" in run()["kept"]


def test_a_lost_result_is_made_again(home: Path) -> None:
    run()
    for record in home.glob("cache/*/record.json"):
        record.unlink()
    assert run()["last"] == "done: its stored result is gone"


def test_forced_nodes_run() -> None:
    run()
    ran()
    assert run(force=("kept",))["kept"] == "done: asked for"
    assert ran() == ["first"]
    with pytest.raises(FlowError, match=r"no node 'ketp'.*Did you mean 'kept'"):
        run(force=("ketp",))


def test_only_what_is_needed_runs() -> None:
    assert list(run(to=("kept",))) == ["rows", "old", "kept"]
    assert ran() == ["first"]


def test_nothing_runs_when_something_is_wrong() -> None:
    with pytest.raises(FlowCheckError, match="ORR012"):
        run(FLOW.replace("age >= 40", "aeg >= 40"))
    assert ran() == []


def test_a_failed_node_is_named_and_what_was_done_stays(home: Path) -> None:
    text = FLOW.replace("{id: last, operator: keep", "{id: last, operator: fail").replace(
        ", with: {note: second}", ""
    )
    with pytest.raises(NodeError, match=r"Node 'last' \(fail\) failed: ValueError: no luck"):
        run(text)
    states = {
        n["node"]: n["state"] for n in json.loads((home / "flows/people/run.json").read_text())["nodes"]
    }
    assert states == {"rows": "read", "old": "read", "kept": "done", "last": "failed"}
    ran()
    with pytest.raises(NodeError):
        run(text)
    assert ran() == []
    assert Flow.from_yaml(text).plan()[3].reason == "first run"  # nothing was left to go on from


def test_a_stopped_node_goes_on_where_it_was(home: Path) -> None:
    text = FLOW.replace("{id: last, operator: keep", "{id: last, operator: stop").replace(
        ", with: {note: second}", ""
    )
    with pytest.raises(KeyboardInterrupt):
        run(text)
    assert run(text)["last"] == "done: goes on where it was stopped"
    assert not list(home.glob("cache/*.work"))


def test_a_plan_says_what_a_run_would_do() -> None:
    flow = Flow.from_yaml(FLOW)
    assert [(p.node, p.action) for p in flow.plan()] == [
        ("rows", "read"),
        ("old", "read"),
        ("kept", "run"),
        ("last", "run"),
    ]
    assert ran() == []
    flow.run()
    assert [p.action for p in flow.plan()] == ["read", "read", "reuse", "reuse"]
    changed = flow.with_settings({"kept.times": 2}).plan()
    assert changed[3].reason == "input table changed (kept: setting times changed not set → 2)"


def test_a_written_file_that_is_gone_is_written_again() -> None:
    text = FLOW + "    - {id: out, operator: write, inputs: {table: last}, with: {place: out.csv}}\n"
    run(text)
    assert run(text)["out"] == "reused: nothing changed"
    Path("out.csv").unlink()
    assert run(text)["out"] == "done: what it left outside is gone"
    assert Path("out.csv").exists()


def test_a_written_file_is_that_of_the_last_run() -> None:
    text = FLOW + "    - {id: out, operator: write, inputs: {table: old}, with: {place: out.csv}}\n"
    run(text)
    first = Path("out.csv").read_text()
    run(text.replace(">= 40", ">= 50"))
    assert Path("out.csv").read_text() != first
    run(text)
    assert Path("out.csv").read_text() == first


def test_old_results_are_dropped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "KEEP", 3)
    for note in "abcdef":
        run(FLOW.replace("note: first", f"note: {note}"))
    assert len(list(home.glob("cache/*"))) == 3


def test_abandoned_work_is_dropped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "KEEP_WORK", 2)
    for i in range(5):
        (home / "cache" / f"{i}.work").mkdir(parents=True)
    run()
    assert len(list(home.glob("cache/*.work"))) == 2


def test_events_tell_every_change() -> None:
    events: list[NodeEvent] = []
    Flow.from_yaml(FLOW).run(watch=events.append)
    assert [(e.node, e.state) for e in events] == [
        ("rows", "read"),
        ("old", "read"),
        ("kept", "running"),
        ("kept", "done"),
        ("last", "running"),
        ("last", "done"),
    ]


def test_an_unknown_value_of_a_run() -> None:
    done = Flow.from_yaml(FLOW).run()
    with pytest.raises(FlowError, match=r"no value 'kpt'.*Did you mean 'kept'"):
        _ = done["kpt"]


def test_two_runs_of_one_flow_at_a_time_are_refused(home: Path) -> None:
    with (
        locked(home / "flows" / "people", "running the flow people", 0),
        pytest.raises(FlowError, match=r"'people' is running already\. Its folder is held by process \d+ on"),
    ):
        run()
    assert ran() == []
    run()


def test_a_full_disk_is_said_and_leaves_no_halves() -> None:
    run()
    folder = home() / "flows" / "people"
    before = sorted(path.name for path in folder.iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(FlowError, match=r"run.json cannot be written"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in folder.iterdir()) == before
