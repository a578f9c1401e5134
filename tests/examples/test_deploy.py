"""The files for containers: they parse, and ask of the service only what it offers."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
import yaml

from orrery.cli.serve import app
from orrery.serving.online.access import VARIABLE
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import serve

DEPLOY = Path(__file__).resolve().parent.parent.parent / "examples" / "deploy"


def check_arguments(arguments: list[str]) -> dict[str, Any]:
    """The parameters of ``orrery serve``, as the command line reads them."""
    command = typer.main.get_command(app)
    with command.make_context("serve", arguments, resilient_parsing=False) as context:
        return dict(context.params)


@pytest.fixture
def manifest() -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def test_the_manifest_asks_for_what_the_command_line_offers(manifest: dict[str, dict[str, Any]]) -> None:
    pod = manifest["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    asked = check_arguments(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert (asked["port"], asked["grpc_port"], asked["host"]) == (ports["http"], ports["grpc"], "0.0.0.0")
    assert [each["name"] for each in container["env"]] == [VARIABLE]
    assert "value" not in container["env"][0]
    assert pod["terminationGracePeriodSeconds"] > Limits().drain_s
    assert pod["securityContext"]["runAsNonRoot"]
    assert {port["targetPort"] for port in manifest["Service"]["spec"]["ports"]} <= ports.keys()
    labels = manifest["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert manifest["Service"]["spec"]["selector"] == labels
    assert manifest["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_the_probes_are_answered_without_a_token(
    manifest: dict[str, dict[str, Any]], saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (container,) = manifest["Deployment"]["spec"]["template"]["spec"]["containers"]
    monkeypatch.setenv(VARIABLE, "ask:0123456789abcdef")
    with serve(saved, port=0, wait=False, record=False) as service:
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = container[kind]["httpGet"]["path"]
            assert httpx.get(service.url + path).status_code == 200, kind
        assert httpx.get(service.url + "/v2").status_code == 401


def test_the_dockerfile_runs_what_there_is_as_nobody() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    said = {line.split()[0]: line.partition(" ")[2].strip() for line in lines}
    assert json.loads(said["ENTRYPOINT"]) == ["orrery", "serve"]
    asked = check_arguments(json.loads(said["CMD"]))
    assert str(asked["port"]) in said["EXPOSE"].split()
    assert (asked["everything"], said["USER"].isdigit(), said["USER"] != "0") == (True, True, True)
    code = json.loads(said["HEALTHCHECK"].partition(" CMD ")[2])[2]
    compile(code, "HEALTHCHECK", "exec")
    assert f":{asked['port']}/v2/health/ready" in code
    (extras,) = re.findall(r"orrery-ml\[([a-z,]+)\]", said["RUN"])
    offered = (DEPLOY.parent.parent / "pyproject.toml").read_text()
    assert all(f"\n{extra} = [" in offered for extra in extras.split(","))
    assert shlex.split(said["STOPSIGNAL"]) == ["SIGTERM"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    import orrery as ory

    rows = [{"x": float(i), "y": 2.0 * i} for i in range(30)]
    return ory.fit(rows, "y", learner="linear").save(tmp_path / "line")
