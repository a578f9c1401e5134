"""Models loaded and unloaded over gRPC, versions by number, and who may do that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

import orrery as ory
from orrery.errors import ForbiddenError
from orrery.estimators.model import Model
from orrery.serving.online.grpc.near import check_near
from orrery.serving.online.limits import Limits
from orrery.serving.online.server import serve


def number(value: float) -> triton.InferInput:
    """The one input of the prices."""
    x = triton.InferInput("x", [1], "FP64")
    x.set_data_from_numpy(np.array([value]))
    return x


def test_models_of_the_registry_come_and_go(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORRERY_HOME", str(tmp_path))
    prices = Model.load(saved["prices"])
    for name in ("a", "b", "b"):
        ory.publish(prices, name)
    expected = prices.predict([{"x": 2.0}])[0]["prediction"]
    with serve("models:/", port=0, grpc_port=0, wait=False, record=False) as service:
        client = triton.InferenceServerClient(f"127.0.0.1:{service.grpc_port}")
        assert client.is_model_ready("a")
        assert not client.is_model_ready("b")
        states = {(m.name, m.state) for m in client.get_model_repository_index().models}
        assert states == {("a", "READY"), ("b", "UNAVAILABLE")}

        answer = client.infer("b", [number(2.0)])  # opened by being asked for
        assert answer.as_numpy("prediction").tolist() == [expected]
        client.load_model("b", config='{"ignored": true}')
        assert client.is_model_ready("b")
        assert {m.name for m in client.get_inference_statistics("").model_stats} == {"a", "b"}

        client.unload_model("b")
        assert not client.is_model_ready("b")
        with pytest.raises(InferenceServerException, match="NOT_FOUND"):
            client.infer("b", [number(2.0)])
        with pytest.raises(InferenceServerException, match="NOT_FOUND"):
            client.load_model("nope")
        client.load_model("b")
        assert client.infer("b", [number(2.0)]).as_numpy("prediction").tolist() == [expected]
        client.close()


@pytest.mark.parametrize(
    "peer", ["ipv4:10.0.0.7:50", "ipv6:%5B2001:db8::1%5D:50", "unix:", "", "ipv4:x", "a:::"]
)
def test_callers_from_elsewhere_change_nothing(peer: str) -> None:
    with pytest.raises(ForbiddenError):
        check_near(Limits(), peer)
    check_near(Limits(manage_from_afar=True), peer)


@pytest.mark.parametrize("peer", ["ipv4:127.0.0.1:50", "ipv6:[::1]:50", "ipv6:%5B::1%5D:50"])
def test_callers_of_this_machine_may(peer: str) -> None:
    check_near(Limits(), peer)
