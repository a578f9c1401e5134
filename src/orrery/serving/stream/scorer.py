"""The scorer: the one loop that every stream runs. Read ``broker`` first.

Order: messages are answered in the order in which they were taken, on one thread.
Load: it waits for nothing while there is something to do, so a lone message is a batch of one, and under load
a batch is what came while the one before was answered, as long as that stays quick.
Failure: if a broker is lost, both ends are closed and opened again, and what was not acknowledged is answered
again, with the same id.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from base64 import b64encode
from collections.abc import Sequence

from orrery.data.payloads.payload import Fault
from orrery.errors import ServingError, SourceError
from orrery.serving.parquet import Answered
from orrery.serving.record import Recorder
from orrery.serving.route import Live, Route
from orrery.serving.stream.broker import Exact, Headers, Inbox, Letter, Message, Outbox, Wiring
from orrery.serving.stream.counts import PER_BATCH, Counts, Feed
from orrery.serving.stream.form import Form, Scored, model_of

_LEAST, _MOST = 32, 1024
_QUICK_S, _SLOW_S = 0.02, 0.1
"""A full batch that took less lets the next be larger; one that took more, smaller."""
_WAITING_BYTES = 8 << 20
"""Of messages answered and not acknowledged."""
_BACKOFF_S = (0.1, 10.0)
_LAG_S = 1.0

_log = logging.getLogger("orrery.stream")


class Scorer:
    """Answers what an inbox gives, by the version that is live, until it is told to end."""

    def __init__(
        self,
        route: Route,
        inbox: Inbox,
        outbox: Outbox,
        form: Form,
        wiring: Wiring,
        recorder: Recorder | None = None,
    ) -> None:
        self.route = route
        self.inbox = inbox
        self.outbox = outbox
        self.form = form
        self.wiring = wiring
        self.recorder = recorder
        self.counts = Counts()
        self.feed = Feed()
        self._ending = threading.Event()
        self._waiting: list[Message] = []
        """Answered, and not acknowledged."""
        self._waiting_bytes = 0
        self._waiting_since_s = 0.0
        self._dead = 0  # of those that wait
        self._records: list[Answered] = []
        self._most = _LEAST
        self._lag_s = 0.0

    def open(self) -> None:
        """Connect both ends. Raises BrokerError, SourceError, SettingsError: nothing runs yet."""
        try:
            self.outbox.open()
            self.inbox.open(self._settle)
        except BaseException:
            self._close()
            raise

    def run(self) -> None:
        """Answer until :meth:`end` is called, or no message will ever come. It was opened before.

        Raises BrokerError where a broker refuses for good, or is away at the end.
        """
        try:
            more = True
            while more and not self._ending.is_set():
                try:
                    more = self._turn()
                except (ServingError, SourceError) as error:
                    if getattr(error, "lasting", False):
                        raise
                    self._reopen(error)
            if self._waiting:
                self._settle()
        finally:
            self._close()

    def end(self) -> None:
        """Have :meth:`run` end: what was taken is answered and acknowledged, nothing more is taken."""
        self._ending.set()

    def _turn(self) -> bool:
        """Take, answer, and acknowledge where it is time. False when no message will ever come."""
        messages = self.inbox.take(self._most, 0.0 if self._waiting else self.wiring.poll_s)
        if messages:
            self._answer(messages)
        if self._waiting and (not messages or self._is_due()):
            self._settle()
        self._look()
        return messages is not None

    def _answer(self, messages: Sequence[Message]) -> None:
        began_s = time.perf_counter()
        if not self._waiting:
            self._waiting_since_s = began_s
        live = self.route.live  # one version for all of them
        scored = self.form.score(live, messages)
        took_s = time.perf_counter() - began_s
        dead = self._send(live, messages, scored)
        self._waiting += messages
        self._waiting_bytes += sum(len(message.value or b"") for message in messages)
        self._dead += dead
        if self.recorder is not None and scored.rows:
            self._records.append(scored.recorded())
        self._count(live, messages, scored, took_s)
        if took_s > _SLOW_S:
            self._most = max(self._most // 2, 1)
        elif took_s < _QUICK_S and len(messages) == self._most:
            self._most = min(self._most * 2, _MOST)

    def _send(self, live: Live, messages: Sequence[Message], scored: Scored) -> int:
        """Send answers and dead letters. Returns how many messages could not be answered."""
        headed = self.outbox.has_headers
        model = model_of(live).encode()
        letters, origins = [], []
        for i, message in enumerate(messages):
            fault = scored.faults.get(i)
            if fault is not None:
                letters.append(dead_letter(message, fault, model, headed))
                origins.append(i)
                continue
            headers = tagged(message, ("orrery-model", model)) if headed else ()
            for value in scored.values[i]:
                letters.append(Letter(value, message.key, message.lane, headers))
                origins.append(i)
        dead = len(scored.faults)
        refused = self.outbox.send(letters)
        if refused:
            dead += self._bury([(messages[origins[r.number]], r.reason) for r in refused], model)
        return dead

    def _bury(self, refused: Sequence[tuple[Message, str]], model: bytes) -> int:
        """Dead letters for what the outbox does not take; without the text, if it takes not even that."""
        headed = self.outbox.has_headers
        faults = [
            (message, Fault(None, None, f"the broker refuses the answer: {why}")) for message, why in refused
        ]
        again = self.outbox.send([dead_letter(m, fault, model, headed) for m, fault in faults])
        for r in again:
            message, fault = faults[r.number]
            _log.error("The message %s is left out of its dead letter: %s", message.id, r.reason)
            bare = message._replace(value=b"", headers=())
            self.outbox.send([dead_letter(bare, fault, model, headed)])
        return len({message.id for message, _ in refused})

    def _is_due(self) -> bool:
        return (
            self._waiting_bytes >= _WAITING_BYTES
            or time.perf_counter() - self._waiting_since_s >= self.wiring.max_wait_s
        )

    def _settle(self) -> None:
        """Have what was answered stored, and acknowledge it."""
        if not self._waiting:
            return
        if self.wiring.guarantee == "exactly-once" and isinstance(self.outbox, Exact):
            self.outbox.commit(self.inbox, self._waiting)
        else:
            self.outbox.flush()
            self.inbox.acknowledge(self._waiting)
        self.counts.settled += len(self._waiting)
        self.counts.dead += self._dead
        self.counts.commits += 1
        for record in self._records:
            assert self.recorder is not None
            self.recorder.put(record)
        self._forget()

    def _forget(self) -> None:
        self._waiting, self._records = [], []
        self._waiting_bytes = self._dead = 0

    def _reopen(self, error: Exception) -> None:
        """Close both ends and open them again, as often as it takes."""
        least_s, most_s = _BACKOFF_S
        wait_s = least_s
        while True:
            _log.warning("The stream is broken, and begun again in %.1f s: %s", wait_s, error)
            self._forget()
            self._close()
            if self._ending.wait(wait_s):
                return
            wait_s = min(wait_s * 2, most_s)
            try:
                self.open()
                self.counts.reopened += 1
                return
            except (ServingError, SourceError) as again:
                if getattr(again, "lasting", False):
                    raise
                error = again

    def _close(self) -> None:
        """The outbox first: an open transaction ends before its messages are given to somebody else."""
        try:
            self.outbox.close()
        finally:
            self.inbox.close()

    def _count(self, live: Live, messages: Sequence[Message], scored: Scored, took_s: float) -> None:
        counts = self.counts
        counts.taken += len(messages)
        counts.answered += len(messages) - len(scored.faults)
        counts.rows += scored.rows
        counts.batches += 1
        counts.model_s += took_s
        written_ms = messages[-1].time_ms
        counts.delay_s = time.time() - written_ms / 1000 if written_ms else None
        last = scored.last(PER_BATCH)
        behind = (m for i, m in reversed(list(enumerate(messages))) if i not in scored.faults)
        good = [m for m, _ in zip((m for m in behind if m.value is not None), last, strict=False)]
        said = [
            (m.id, (m.key or b"").decode("utf-8", "backslashreplace"), answer)
            for m, answer in zip(reversed(good), last, strict=False)
        ]
        self.feed.put(said, model_of(live), counts.delay_s)

    def _look(self) -> None:
        now_s = time.monotonic()
        if now_s - self._lag_s >= _LAG_S:
            self._lag_s = now_s
            self.counts.lag = self.inbox.lag()


def tagged(message: Message, *tags: tuple[str, bytes]) -> Headers:
    """A message's own headers, and what an answer says of itself; tags of an earlier stream go."""
    kept = [h for h in message.headers if not h[0].startswith("orrery-")] if message.headers else []
    return [*kept, ("orrery-id", message.id.encode()), *tags]


def dead_letter(message: Message, fault: Fault, model: bytes, headed: bool) -> Letter:
    """A message that cannot be answered: the bytes that came, where they stood, and what is wrong."""
    if headed:
        said = [("orrery-reason", fault.reason.encode()), ("orrery-model", model)]
        if fault.column:
            said.append(("orrery-column", fault.column.encode()))
        return Letter(message.value, message.key, message.lane, tagged(message, *said), is_dead=True)
    whole = {"id": message.id, "reason": fault.reason, "column": fault.column, "model": model.decode()}
    try:
        whole["message"] = None if message.value is None else message.value.decode()
    except UnicodeDecodeError:
        whole["message_base64"] = b64encode(message.value or b"").decode()
    return Letter(json.dumps(whole, ensure_ascii=False).encode(), message.key, message.lane, is_dead=True)
