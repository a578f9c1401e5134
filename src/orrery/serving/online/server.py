"""The server of models: it opens them, listens, and ends without leaving a request unanswered."""

from __future__ import annotations

import errno
import gc
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from orrery import settings
from orrery.errors import PortInUseError, ServingError, SettingsError
from orrery.estimators.model import Model
from orrery.extras import require
from orrery.serving.fill import fill_pasts
from orrery.serving.keeping import Keeping
from orrery.serving.online.access import Access, is_exposed
from orrery.serving.online.job import Job
from orrery.serving.online.limits import Limits
from orrery.serving.record import Recorder
from orrery.serving.route import Route
from orrery.serving.shelf import Shelf, What

_PURPOSE = "Serving a model"
_EXPOSED = "Others can reach the service at %s, and it has not both tokens and a certificate."
_log = logging.getLogger("orrery.serving")
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def serve(
    model: What | Sequence[What],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    record: bool | Keeping = True,
    wait: bool = True,
    name: str = "",
    limits: Limits | None = None,
    grpc_port: int | None = None,
    access: Access | None = None,
    past: Any = None,
) -> Service:
    """Answer over HTTP with a model: a URL such as ``models:/digits@champion``, a path, or a model in hand.

    Several are given as a list; ``models:/`` is the whole registry, whose models are opened when they are
    asked for. A moved alias and a changed route are followed without a pause. With ``wait`` it answers until
    Ctrl-C or SIGTERM; without, it returns at once, and the :class:`Service` is closed by its ``with`` block.
    ``port`` 0 takes a free one.
    With ``grpc_port`` it answers there too, over gRPC; 0 takes a free one. ``access`` says which tokens
    callers need, and which certificate it shows; ``record`` a share of the predictions, without some columns
    or elsewhere than in Parquet.
    ``past`` is a table of what happened before, for models that read windows.
    Raises PortInUseError, ModelNotFoundError, ReplayError, MissingExtraError.
    """
    whats = [model] if isinstance(model, str | Path | Model) else list(model)
    job = Job(
        models=tuple(str(what) for what in whats if isinstance(what, str | Path)),
        host=host,
        port=port,
        grpc_port=grpc_port,
        record=record is not False,
        keeping=record if isinstance(record, Keeping) else Keeping(),
        limits=limits or Limits(),
        access=access or Access(),
    )
    job.access.check()
    with ExitStack() as undo:
        listener = undo.enter_context(listen(host, port))
        before = None if past is None else partial(_fill, past=past, aloud=wait)
        service = serve_at(listener, job, whats=whats, name=name, before=before)
        undo.pop_all()
    if wait:
        service.wait()
    return service


def serve_at(
    listener: socket.socket,
    job: Job,
    tallies: Path | None = None,
    *,
    whats: Sequence[What] | None = None,
    name: str = "",
    before: Callable[[Shelf], None] | None = None,
) -> Service:
    """Do a job at a socket that listens; ``tallies`` is where others who listen at it keep their metrics.

    ``before`` is done when the models are open, before the first answer.
    """
    for package in ("uvicorn", "httptools", "starlette", "prometheus_client", "python_multipart", "msgspec"):
        require(package, _PURPOSE)
    for package in ("grpc", "google.protobuf") if job.grpc_port is not None else ():
        require(package, "Serving over gRPC")
    with ExitStack() as undo:
        shelf = undo.enter_context(_shelf(job.models if whats is None else whats, name, job.limits))
        recorder = Recorder(settings.home().absolute(), keeping=job.keeping) if job.record else None
        if not shelf.everything:
            job.keeping.check(
                live.runner.signature for r in shelf.routes.values() for live in r.lineup.lives()
            )
        if before is not None:
            before(shelf)
        service = Service(shelf, recorder, job, listener, tallies)
        undo.callback(service.close)
        service.start()
        undo.pop_all()
    return service


def _fill(shelf: Shelf, past: Any, aloud: bool) -> None:
    told = fill_pasts(shelf.routes.values(), past)
    if aloud:
        sys.stderr.writelines(f"{line}\n" for line in told)


def _shelf(whats: Sequence[What], name: str, limits: Limits) -> Shelf:
    if not whats:
        raise SettingsError("There is no model to serve.", hint="Name one, or models:/ for all.")
    return Shelf(
        whats,
        name=name,
        most_models=limits.loaded_models,
        most_bytes=limits.loaded_bytes,
        idle_s=limits.idle_s,
    )


class Service:
    """One or more models that answer at ``url``, until it is closed. Made by :func:`serve`."""

    def __init__(
        self,
        shelf: Shelf,
        recorder: Recorder | None,
        job: Job,
        listener: socket.socket,
        tallies: Path | None = None,
    ) -> None:
        self.shelf = shelf
        self.recorder = recorder
        self.job = job
        self.limits = job.limits
        self.access = job.access
        self.listener = listener
        self.grpc_port = job.grpc_port
        """Where it answers over gRPC; None for nowhere."""
        self.tallies = tallies
        """Where the processes that listen here too keep their metrics; None where there is no other."""
        self.url = url_of(listener, self.access)
        self._server: Any = None
        self._ended = ExitStack()

    @property
    def route(self) -> Route:
        """The route of the first model."""
        return self.shelf.first

    @property
    def name(self) -> str:
        """Of the first model, as in ``/v1/models/{name}:predict``."""
        return self.route.name

    @property
    def version(self) -> int:
        """The version that answers now; 0 for a model that is not from a registry."""
        return self.route.live.version

    def start(self) -> None:
        """Begin to answer."""
        from orrery.serving.online.desk import Desk  # it needs optional packages
        from orrery.serving.online.metrics import Metrics
        from orrery.serving.online.traces import traces_wanted
        from orrery.serving.online.warden import Warden

        metrics = Metrics(self.shelf, self.recorder)
        desk = Desk(self.shelf, self.recorder, self.limits, metrics, settings.home().absolute())
        traces = metrics.traces = traces_wanted()
        if traces is not None:
            traces.start()
            self._ended.callback(traces.close)
        self._server = self._server_of(desk)
        if self.tallies is not None:
            self._ended.enter_context(metrics.shared(self.tallies))
        thread = threading.Thread(
            target=self._server.run, args=([self.listener],), name="orrery-serve", daemon=True
        )
        if self.recorder is not None:
            self._ended.callback(self.recorder.close)
        warden = Warden(self.shelf, desk.answerer.trials)
        self._ended.callback(self.shelf.close)
        self._ended.callback(warden.close)
        self._ended.callback(desk.close)
        self._ended.callback(thread.join)
        warden.start()
        thread.start()
        while not self._server.started:
            if not thread.is_alive():
                raise getattr(self._server, "error", None) or ServingError(
                    f"The server at {self.url} could not start."
                )
            time.sleep(0.002)
        if self.grpc_port is not None:
            self.grpc_port = self._server.other.port

    def _server_of(self, desk: Any) -> Any:
        """Uvicorn's server, with gRPC beside it where that is wanted."""
        import uvicorn  # an optional package

        from orrery.serving.online.app import app_of
        from orrery.serving.online.express import Express
        from orrery.serving.online.gate import Gate, allowed_hosts

        tokens = self.access.tokens()
        address = self.listener.getsockname()[0]
        if is_exposed(address, self.access, tokens):
            _log.warning(_EXPOSED, address)
        hosts = allowed_hosts(address, self.job.host, self.limits.allowed_hosts)
        app: Any = app_of(desk)
        if desk.metrics.traces is not None:
            app = desk.metrics.traces.around(app)
        config = uvicorn.Config(
            Gate(app, hosts, tokens),
            http=partial(Express, limits=self.limits, idle={}),  # type: ignore[arg-type]
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=self.limits.drain_s,
            ssl_certfile=self.access.certificate or None,
            ssl_keyfile=self.access.private_key or None,
        )
        if self.grpc_port is None:
            return uvicorn.Server(config)
        from orrery.serving.online.grpc.beside import Beside
        from orrery.serving.online.grpc.server import GrpcServer

        return Beside(
            config,
            GrpcServer(desk, address, self.grpc_port, self.access, tokens, shared=self.tallies is not None),
        )

    def wait(self) -> None:
        """Answer until SIGTERM, which ends it well, or Ctrl-C, which is raised again when all is ended."""
        stop = threading.Event()
        received: list[int] = []

        def handle(number: int, frame: FrameType | None) -> None:
            received.append(number)
            stop.set()

        is_main = threading.current_thread() is threading.main_thread()  # only it may ask for signals
        numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
        before = {number: signal.signal(number, handle) for number in numbers}
        sys.stderr.write(f"{self}\nCtrl-C ends it.\n")
        gc.freeze()  # what is loaded by now stays: the collector need not look through it again
        try:
            stop.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.close()
        if signal.SIGINT in received:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Answer what was asked, write what is to be recorded, and stop. A second call does nothing."""
        if self._server is not None:
            self._server.should_exit = True
        self._ended.close()
        self.listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        version = f", version {self.version}," if self.version else ""
        beside = f", and over gRPC at port {self.grpc_port}" if self.grpc_port else ""
        others = len(self.shelf.routes) - 1
        more = f" and {others} more answer" if others else " answers"
        return f"{self.name}{version}{more} at {self.url}{beside}"

    def __repr__(self) -> str:
        return f"<Service: {self}>"


def url_of(listener: socket.socket, access: Access) -> str:
    """Where a socket is reached from this machine."""
    address, port = listener.getsockname()[:2]
    address = _WILDCARDS.get(address, address)
    scheme = "https" if access.certificate else "http"
    return f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises PortInUseError that names a free port."""
    if not 0 <= port < 1 << 16:
        raise SettingsError(f"A port is a number from 0 to 65535, not {port}.")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise SettingsError(f"{host!r}, port {port}, is no address to listen at: {error}.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(f"Port {port} of {host} is in use.", hint=_free_port(family, host)) from None
        raise ServingError(f"The server cannot listen at {host}, port {port}: {error.strerror}.") from None
    return listener


def _free_port(family: int, host: str) -> str:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            return f"Port {probe.getsockname()[1]} is free; port 0 takes any free one."
    except OSError:
        return "Choose another one."
