"""Tokens and TLS: who is let in, over HTTP and gRPC, and what is never said."""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import ssl
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import tritonclient.grpc as triton
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tritonclient.utils import InferenceServerException

import orrery as ory
from orrery.errors import ForbiddenError, SettingsError, UnauthorizedError
from orrery.registry.folder import open_registry
from orrery.serving.online.access import Access, Tokens
from orrery.serving.online.server import serve

ASK, MANAGE = "ask-0123456789abcdef", "manage-0123456789abcdef"
ROWS = {"rows": [{"x": 1.0}]}


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORRERY_TOKENS", f"ask:{ASK} manage:{MANAGE}")


@pytest.fixture
def pem(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), local]), critical=False)
        .sign(key, hashes.SHA256())
    )
    places = tmp_path / "cert.pem", tmp_path / "key.pem"
    places[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    places[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return places


@pytest.mark.usefixtures("tokens")
def test_who_has_no_token_is_turned_away(saved: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    open_registry().publish(saved["prices"], "prices")
    predict, load = "/v1/models/prices:predict", "/v2/repository/models/prices/load"
    with (
        serve("models:/prices", port=0, wait=False, record=False) as service,
        httpx.Client(base_url=service.url, timeout=60) as client,
    ):

        def status(path: str, header: str, method: str = "POST") -> int:
            headers = {"Authorization": header} if header else {}
            body: Any = ROWS if path == predict else {}
            return client.request(method, path, headers=headers, json=body).status_code

        for header in ("", "Bearer x", f"Bearer {ASK}x", f"Token {ASK}", "Basic !", f"Bearer {ASK} {ASK}"):
            assert [status(path, header) for path in (predict, load)] == [401, 401], header
        both = [("Authorization", f"Bearer {ASK}"), ("Authorization", f"Bearer {ASK}")]
        assert client.post(predict, headers=both, json=ROWS).status_code == 401
        told = client.get("/metrics")
        assert told.status_code == 401
        assert told.headers["www-authenticate"].startswith("Bearer ")
        assert told.json()["code"] == "unauthorized"
        assert client.get("/v2/models/prices").json().keys() == {"error"}
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert status(path, "", "GET") == 200
        assert [status(predict, f"Bearer {t}") for t in (ASK, MANAGE)] == [200, 200]
        assert [status(load, f"bearer {t}") for t in (ASK, MANAGE)] == [403, 200]
        assert client.get("/", auth=("anybody", ASK)).status_code == 200
        assert client.put("/v1/models/prices/route", json={}, auth=("", ASK)).status_code == 403
    assert ASK not in caplog.text + repr(service) + str(service)


@pytest.mark.usefixtures("tokens")
def test_the_client_has_a_token_and_keeps_it_to_itself(saved: dict[str, Path]) -> None:
    with serve(saved["prices"], port=0, wait=False, record=False) as service:
        with ory.Client(service.url, token=ASK) as client:
            assert client.predict([{"x": 1.0}])[0].keys() >= {"prediction"}
            assert ASK not in repr(client)
        wrong = MANAGE + "-of-another"
        with (
            ory.Client(service.url, token=wrong, retries=0) as stranger,
            pytest.raises(UnauthorizedError) as error,
        ):
            stranger.predict([{"x": 1.0}])
        assert wrong not in f"{error.value} {stranger!r}"


@pytest.mark.usefixtures("tokens")
def test_the_same_over_grpc(saved: dict[str, Path]) -> None:
    open_registry().publish(saved["prices"], "prices")
    with serve("models:/prices", port=0, grpc_port=0, wait=False, record=False) as service:
        client = triton.InferenceServerClient(f"127.0.0.1:{service.grpc_port}")
        mine, managing = ({"authorization": f"Bearer {token}"} for token in (ASK, MANAGE))
        assert client.is_server_live()
        assert client.is_server_ready()
        for call in (client.get_model_metadata, client.unload_model):
            with pytest.raises(InferenceServerException, match="no token") as error:
                call("prices")
            assert error.value.status() == "StatusCode.UNAUTHENTICATED"
        assert client.get_model_metadata("prices", headers=mine).name == "prices"
        with pytest.raises(InferenceServerException, match="may ask") as error:
            client.load_model("prices", headers=mine)
        assert error.value.status() == "StatusCode.PERMISSION_DENIED"
        client.load_model("prices", headers=managing)
        with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}") as channel:
            stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
            with pytest.raises(grpc.RpcError) as refused:
                next(stream(iter([b""])))
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        client.close()


@pytest.mark.parametrize(
    "text", ["", "ask:", "ask:short", f"{ASK}", f"rule:{ASK}", f"ask:{ASK} ask:é" + "x" * 20]
)
def test_what_is_no_token_is_said_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError) as error:
        Tokens.read(text, "HERE")
    assert ASK not in str(error.value)
    assert "HERE" in str(error.value)


def test_a_variable_that_is_named_has_to_be_there() -> None:
    assert Access().tokens() is None
    with pytest.raises(SettingsError, match="'NO_SUCH_TOKENS' is not set"):
        Access(tokens_from="NO_SUCH_TOKENS").tokens()


def test_the_line_is_encrypted(
    saved: dict[str, Path], pem: tuple[Path, Path], home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    access = Access(certificate=str(pem[0]), private_key=str(pem[1]))
    with serve(saved["prices"], port=0, grpc_port=0, wait=False, access=access, record=False) as service:
        trusts = ssl.create_default_context(cafile=str(pem[0]))
        assert service.url.startswith("https://127.0.0.1:")
        answer = httpx.post(service.url + "/v1/models/prices:predict", json=ROWS, verify=trusts)
        assert answer.status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(service.url.replace("https", "http") + "/v2")
        credentials = grpc.ssl_channel_credentials(pem[0].read_bytes())
        with grpc.secure_channel(f"localhost:{service.grpc_port}", credentials) as channel:
            live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            assert live(b"", timeout=30) == b"\x08\x01"


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("cert.pem", "absent.pem", "cannot be read: No such file"),
        ("cert.pem", "cert.pem", "no PEM files"),
        ("", "key.pem", "needs a certificate"),
        ("cert.pem", "other.pem", "do not belong together"),
        ("cert.pem", "locked.pem", "has a password"),
    ],
)
def test_wrong_files_are_told(
    saved: dict[str, Path], pem: tuple[Path, Path], certificate: str, key: str, words: str
) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    for name, lock in (
        ("other.pem", serialization.NoEncryption()),
        ("locked.pem", serialization.BestAvailableEncryption(b"secret")),
    ):
        pem[0].with_name(name).write_bytes(
            other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        )
    where = [str(pem[0].with_name(name)) if name else "" for name in (certificate, key)]
    with pytest.raises(SettingsError, match=words):
        serve(saved["prices"], port=0, wait=False, access=Access(certificate=where[0], private_key=where[1]))


def test_others_who_can_reach_it_are_warned_of(
    saved: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), serve(saved["prices"], host="0.0.0.0", port=0, wait=False):
        assert "Others can reach the service at 0.0.0.0" in caplog.text


def test_a_manager_is_needed() -> None:
    from orrery.serving.online.access import check_manager

    with pytest.raises(ForbiddenError):
        check_manager("ask")
