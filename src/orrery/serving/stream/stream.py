"""``stream``: a model answers the messages of a broker, on a thread of its own."""

from __future__ import annotations

import gc
import importlib
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, Unpack

from orrery import settings
from orrery.data.masking import masked
from orrery.errors import SettingsError, listing
from orrery.estimators.model import Model
from orrery.serving.fill import fill_pasts
from orrery.serving.past import PastStore
from orrery.serving.record import Recorder
from orrery.serving.route import Route
from orrery.serving.stream import BROKERS
from orrery.serving.stream.broker import Exact, Inbox, Outbox, Wiring
from orrery.serving.stream.counts import Counts, Feed
from orrery.serving.stream.form import form_of
from orrery.serving.stream.options import Options
from orrery.serving.stream.scorer import Scorer


def stream(
    source: str,
    model: str | Path | Model,
    to: str,
    *,
    record: bool = False,
    wait: bool = True,
    name: str = "",
    metrics_port: int | None = None,
    past: Any = None,
    **wiring: Unpack[Options],
) -> Stream:
    """Answer the messages of ``source`` with a model, and send the answers to ``to``.

    Addresses are ``kafka://host:9092/topic``, ``-`` (standard input and output), or those of another broker.
    A moved alias is followed between two batches. The options are those of
    :class:`~orrery.serving.stream.broker.Wiring`. With ``wait`` it answers until Ctrl-C, SIGTERM or the
    source's end; without, it returns at once, and the :class:`Stream` is closed by its ``with`` block.
    ``past`` is a table of what happened before, for a model that reads windows.
    Raises SettingsError, SourceError, BrokerError, ModelNotFoundError, ReplayError, MissingExtraError.
    """
    with ExitStack() as undo:
        route = undo.enter_context(Route(model, name=name))
        options = Wiring.from_dict({**wiring, "group": wiring.get("group") or f"orrery-{route.name}"})
        inbox, outbox = _ends(source, to, options)
        recorder = undo.enter_context(Recorder(settings.home().absolute())) if record else None
        told = [] if past is None else fill_pasts([route], past)
        sys.stderr.writelines(f"{line}\n" for line in told if wait)
        store = undo.enter_context(PastStore(route.name, settings.home().absolute()))
        form = form_of(options, not outbox.has_headers, store)
        scorer = Scorer(route, inbox, outbox, form, options, recorder)
        made = Stream(scorer, f"{masked(source)} → {route.name} → {masked(to)}")
        made.start(metrics_port)
        made.on_end(undo.pop_all())
    if wait:
        made.wait()
    return made


def _ends(source: str, to: str, wiring: Wiring) -> tuple[Inbox, Outbox]:
    inbox: Inbox = _module(source).inbox(source, wiring)
    outbox: Outbox = _module(to).outbox(to, wiring)
    if wiring.guarantee == "exactly-once" and not (isinstance(outbox, Exact) and hasattr(inbox, "position")):
        raise SettingsError(
            f"{masked(source)} and {masked(to)} cannot be exactly once together; both ends of Kafka can.",
            hint="Readers can drop repeats by the header orrery-id.",
        )
    return inbox, outbox


def _module(place: str) -> Any:
    """What speaks to the broker of an address."""
    scheme = place.partition("://")[0]
    if scheme not in BROKERS:
        raise SettingsError(
            f"{masked(place)} is no address of a stream; they begin with {listing(BROKERS)}.",
            hint="Write it like kafka://host:9092/orders, or - for standard input and output.",
        )
    return importlib.import_module(BROKERS[scheme])


class Stream:
    """A model that answers messages until it is closed. Made by :func:`stream`.

    >>> import orrery as ory
    >>> from orrery.serving.stream.memory import Topic
    >>> rows = [{"height": float(h), "tall": "yes" if h > 170 else "no"} for h in range(140, 200)]
    >>> model = ory.fit(rows, "tall", learner="linear")
    >>> with stream("memory://people", model, "memory://answers", wait=False) as running:
    ...     Topic.of("people").put(b'{"height": 195}')
    ...     [event.answer["prediction"] for event in running.feed.after(0, wait_s=30)]
    ['yes']
    """

    def __init__(self, scorer: Scorer, title: str) -> None:
        self.scorer = scorer
        self.title = title
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._ended = ExitStack()

    @property
    def counts(self) -> Counts:
        """What happened so far."""
        return self.scorer.counts

    @property
    def feed(self) -> Feed:
        """The last predictions."""
        return self.scorer.feed

    @property
    def version(self) -> int:
        """The version that answers now; 0 for a model that is not from a registry."""
        return self.scorer.route.live.version

    @property
    def is_running(self) -> bool:
        """Whether it answers still."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, metrics_port: int | None = None) -> None:
        """Connect, and begin to answer. A port is that of the metrics and the live page, on loopback."""
        self.scorer.open()
        try:
            if metrics_port is not None:
                from orrery.serving.stream.metrics import serve_metrics  # an optional package

                self._ended.callback(serve_metrics(self.scorer, metrics_port, self.title))
        except BaseException:
            self.scorer.inbox.close()
            self.scorer.outbox.close()
            raise
        self._thread = threading.Thread(target=self._run, name="orrery-stream", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.scorer.run()
        except BaseException as error:
            self._error = error

    def on_end(self, what: ExitStack) -> None:
        """What is to be closed behind the stream."""
        self._ended.push(what)

    def wait(self, progress: bool | None = None) -> None:
        """Answer until the source ends or SIGTERM, which ends it well, or Ctrl-C, which is raised again then.

        ``progress`` keeps one line on standard error up to date; on a terminal, if it is not said.
        """
        received: list[int] = []

        def handle(number: int, frame: FrameType | None) -> None:
            received.append(number)
            self.scorer.end()

        gc.freeze()  # a process that does nothing else: what is there now is not looked through again
        is_main = threading.current_thread() is threading.main_thread()  # only it may ask for signals
        numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
        before = {number: signal.signal(number, handle) for number in numbers}
        try:
            self._watch(sys.stderr.isatty() if progress is None else progress)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            gc.unfreeze()
            self.close()
        if signal.SIGINT in received:
            raise KeyboardInterrupt

    def _watch(self, progress: bool) -> None:
        assert self._thread is not None
        while self._thread.is_alive():
            self._thread.join(1.0 if progress else 60.0)
            if progress:
                sys.stderr.write(f"\r\x1b[K{self}")
        if progress:
            sys.stderr.write("\n")

    def close(self) -> None:
        """Answer what was taken, acknowledge it, and stop. Raises what ended the stream, once.

        Raises BrokerError where the broker is away, or refused: what it did not take is given again.
        """
        self.scorer.end()
        if self._thread is not None:
            self._thread.join()
        self._ended.close()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        counts = self.counts
        told = [f"{counts.settled:,} answered", f"{counts.rate():,.0f}/s"]
        told += [f"{counts.dead:,} dead letters"] if counts.dead else []
        told += [f"{counts.lag:,} waiting"] if counts.lag is not None else []
        told += [f"{counts.delay_s * 1000:,.0f} ms"] if counts.delay_s is not None else []
        told += [f"version {self.version}"] if self.version else []
        return f"{self.title}: {' · '.join(told)}"

    def __repr__(self) -> str:
        return f"<Stream: {self}>"
