"""The gRPC server of a service: it runs on the service's own event loop and asks the same desk.

Calls arrive as bytes and are understood here, so that what cannot be read is a status of its own and never
``UNKNOWN``. A message that does not arrive at once must wait for one of few places: gRPC holds what has come
of it, and does not say how much that is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from starlette.requests import ClientDisconnect

from orrery.errors import BadRequestError, OrreryError, OverloadedError, ServingError, UnauthorizedError
from orrery.serving.online.access import Access, Tokens, check_manager
from orrery.serving.online.desk import Desk
from orrery.serving.online.grpc import service
from orrery.serving.online.grpc.infer import infer
from orrery.serving.online.grpc.messages import SERVICE, message
from orrery.serving.online.grpc.near import check_free, check_near
from orrery.serving.online.grpc.status import code_of, text_of, trailers_of
from orrery.serving.online.manage import check_alone
from orrery.serving.online.problem import status_of

_QUICK_S = 0.25  # in which a message arrives on any network, unless it is large or its sender slow
_STREAMS = 64  # of requests, open at once
_SPARE = 64  # calls beyond those that may wait, so that health can be asked
_log = logging.getLogger("orrery.serving")

_SAYS: dict[str, Callable[[Desk, Any], Awaitable[Any]]] = {
    "ServerLive": service.server_live,
    "ServerReady": service.server_ready,
    "ModelReady": service.model_ready,
    "ServerMetadata": service.server_metadata,
    "ModelMetadata": service.model_metadata,
    "ModelConfig": service.model_config,
    "ModelStatistics": service.model_statistics,
    "RepositoryIndex": service.repository_index,
    "RepositoryModelLoad": service.load,
    "RepositoryModelUnload": service.unload,
}
"""Calls beside inference. Those of the protocol that are not offered are UNIMPLEMENTED."""
_OPEN = ("ServerLive", "ServerReady")
_MANAGING = ("RepositoryModelLoad", "RepositoryModelUnload")


class GrpcServer(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers the calls of ``inference.GRPCInferenceService``; started and stopped on the event loop.

    ``port`` 0 becomes the one that was free.
    """

    def __init__(
        self,
        desk: Desk,
        host: str,
        port: int,
        access: Access,
        tokens: Tokens | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.desk = desk
        self.host = host
        self.port = port
        self.access = access
        self.tokens = tokens
        self.shared = shared
        """Whether other processes listen at the port too."""
        self._server: Any = None
        self._slow = 0  # messages that are taking long to arrive
        self._streams = 0

    async def start(self) -> None:
        """Listen. Raises PortInUseError, ServingError, SettingsError."""
        if not self.shared:
            check_free(self.host, self.port)
        limits = self.desk.limits
        self._server = grpc.aio.server(
            handlers=[self],
            maximum_concurrent_rpcs=limits.waiting_requests + _STREAMS + _SPARE,
            options=[
                ("grpc.max_receive_message_length", limits.body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.server_handshake_timeout_ms", int(1000 * limits.head_s)),
                ("grpc.so_reuseport", int(self.shared)),  # else a port that is taken is an error
            ],
        )
        try:
            place = f"[{self.host}]" if ":" in self.host else self.host
            self.port = self._listen(f"{place}:{self.port}")
        except RuntimeError as error:
            raise ServingError(f"gRPC cannot listen at {self.host}, port {self.port}: {error}.") from None
        await self._server.start()

    def _listen(self, place: str) -> int:
        if not self.access.certificate:
            return int(self._server.add_insecure_port(place))
        return int(self._server.add_secure_port(place, grpc.ssl_server_credentials([self.access.pem()])))

    async def stop(self) -> None:
        """Take no more calls, and end when those that run are answered or the time to drain is over."""
        if self._server is not None:
            await self._server.stop(self.desk.limits.drain_s)

    def service(self, details: Any) -> Any:
        """The handler of a call by its path; None for a call that is not offered."""
        package, _, name = details.method.lstrip("/").rpartition("/")
        if package != SERVICE:
            return None
        if name == "ModelStreamInfer":
            return grpc.stream_stream_rpc_method_handler(self._stream)
        if name != "ModelInfer" and name not in _SAYS:
            return None

        async def call(_: object, context: Any) -> bytes:
            return await self._call(name, context)

        return grpc.stream_unary_rpc_method_handler(call)  # as unary on the wire; but we read it ourselves

    async def _call(self, name: str, context: Any) -> bytes:
        """The answer to one call, counted; or its status."""
        began_s = time.perf_counter()
        status = 499  # the caller hung up, unless something else is known
        try:
            if name not in _OPEN:
                self._check_token(context, manages=name in _MANAGING)
            body = await self._read(context)
            if body is grpc.aio.EOF:
                raise BadRequestError("The call has no message.")
            answer = await self._answer(name, body, context)
            status = 200
        except Exception as error:
            said = _said(error, name)
            status = status_of(said)
        finally:
            self.desk.metrics.requested(f"grpc.{name}", status, time.perf_counter() - began_s)
        if status != 200:
            await context.abort(code_of(said), text_of(said), trailers_of(said))
        return answer

    async def _answer(self, name: str, body: bytes, context: Any) -> bytes:
        request = _parsed(f"{name}Request", body)
        if name in _MANAGING and self.tokens is None:
            check_near(self.desk.limits, context.peer())
        if name in _MANAGING:
            check_alone(self.desk)
        elif name != "ModelReady" and (asked := _asked(request)):
            await self.desk.called(asked)
        if name == "ModelInfer":
            answer = await self._infer(request, len(body), context)
        else:
            answer = await _SAYS[name](self.desk, request)
        answered: bytes = answer.SerializeToString()
        return answered

    async def _infer(self, request: Any, size_bytes: int, context: Any) -> Any:
        key = dict(context.invocation_metadata() or ()).get("x-orrery-key", "")
        with self.desk.place(context.done, context.time_remaining(), request.model_name) as seat:
            seat.hold(size_bytes)
            return await infer(self.desk, request, seat, str(key))

    async def _stream(self, _: object, context: Any) -> None:
        """``ModelStreamInfer``: a response to each request, in order; an error does not end the stream."""
        try:
            self._check_token(context)
            async with self._open_stream():
                while (body := await context.read()) is not grpc.aio.EOF:
                    await context.write(await self._streamed(body, context))
        except (OverloadedError, UnauthorizedError) as error:
            await context.abort(code_of(error), text_of(error), trailers_of(error))

    def _check_token(self, context: Any, *, manages: bool = False) -> None:
        """Whether the caller may. Raises UnauthorizedError, ForbiddenError."""
        if self.tokens is None:
            return
        metadata = context.invocation_metadata() or ()
        role = self.tokens.check(str(value) for name, value in metadata if name == "authorization")
        if manages:
            check_manager(role)

    @asynccontextmanager
    async def _open_stream(self) -> AsyncIterator[None]:
        if self._streams >= _STREAMS:
            raise OverloadedError(f"{_STREAMS} streams are open already.", hint="Ask again later.")
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def _streamed(self, body: bytes, context: Any) -> bytes:
        """One response of a stream."""
        began_s = time.perf_counter()
        status, response = 499, message("ModelStreamInferResponse")()
        try:
            response.infer_response.MergeFromString(await self._answer("ModelInfer", body, context))
            status = 200
        except Exception as error:
            said = _said(error, "ModelStreamInfer")
            status, response.error_message = status_of(said), text_of(said)
            response.infer_response.id = _id_of(body)
        finally:
            self.desk.metrics.requested("grpc.ModelStreamInfer", status, time.perf_counter() - began_s)
        response.infer_response.parameters["triton_final_response"].bool_param = True
        answered: bytes = response.SerializeToString()
        return answered

    async def _read(self, context: Any) -> Any:
        """The message of a call. Raises OverloadedError, BadRequestError when it is slow to arrive."""
        reading = asyncio.ensure_future(context.read())
        try:
            done, _ = await asyncio.wait({reading}, timeout=_QUICK_S)
            return reading.result() if done else await self._read_slowly(reading)
        finally:
            reading.cancel()

    async def _read_slowly(self, reading: asyncio.Future[Any]) -> Any:
        limits = self.desk.limits
        if self._slow >= max(1, limits.waiting_bytes // limits.body_bytes):
            raise OverloadedError(
                f"{self._slow} messages are arriving slowly already.", hint="Ask again later."
            )
        self._slow += 1
        try:
            async with asyncio.timeout(limits.read_s):
                return await reading
        except TimeoutError:
            raise BadRequestError(f"The message did not arrive in {limits.read_s:g} s.") from None
        finally:
            self._slow -= 1


def _said(error: Exception, name: str) -> OrreryError:
    """What the caller is told of an error; what is not the caller's fault is logged."""
    if isinstance(error, OrreryError):
        if status_of(error) == 500:
            _log.error("A call of %s failed: %s", name, error)
        return error
    if isinstance(error, ClientDisconnect):
        return BadRequestError("The caller hung up.")
    _log.error("A call of %s failed.", name, exc_info=error)
    return ServingError("The service failed on this request; its log says why.")


def _asked(request: Any) -> str:
    """The name of the model that a request is about."""
    return str(getattr(request, "model_name", "") or getattr(request, "name", ""))


def _parsed(name: str, body: bytes) -> Any:
    try:
        return message(name).FromString(body)
    except (DecodeError, RecursionError):
        raise BadRequestError(f"The message is not an {SERVICE.partition('.')[0]}.{name}.") from None


def _id_of(body: bytes) -> str:
    """The id of a request that failed, if it can be read."""
    try:
        return str(message("ModelInferRequest").FromString(body).id)
    except DecodeError:
        return ""
