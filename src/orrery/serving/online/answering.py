"""How one version answers rows: in parts, within deadlines, counted and recorded; and those in its shadow."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from starlette.requests import ClientDisconnect

from orrery.data.codecs.image import pixels_of
from orrery.errors import BadRowError, LateError, OrreryError, OverloadedError, ServingError, TooLargeError
from orrery.estimators.signature import Signature
from orrery.schema import Kind
from orrery.serving.canary import Trial, scores_of
from orrery.serving.lineup import CANARY, MAIN, SHADOW, Lineup, Live
from orrery.serving.online.batcher import MOST_ROWS, Answers, Batcher
from orrery.serving.online.lengths import SECONDS_OF, check_seconds
from orrery.serving.online.limits import Limits
from orrery.serving.online.metrics import Metrics
from orrery.serving.online.problem import status_of
from orrery.serving.online.question import Question
from orrery.serving.online.seat import aside
from orrery.serving.parquet import Answered
from orrery.serving.record import Recorder
from orrery.serving.runner import Columns

_ANSWER_BYTES = 600  # about what one recorded answer takes, beside the bytes of the request


class TooSlowError(ServingError):
    """A version did not answer in the time that the route gives it; another one will."""


class Waiting(Protocol):
    """A caller who waits: a seat, or what is like one."""

    timeout_s: float | None
    held_bytes: int

    @property
    def gone(self) -> Callable[[], bool]:
        """Whether the caller hung up."""


@dataclass(frozen=True)
class Asked:
    """One question, the version that its columns were read for, and the seat of its caller."""

    question: Question
    signature: Signature
    seat: Waiting

    async def columns(self, live: Live) -> Columns:
        """The columns as a version reads them. Raises what reading them again raises."""
        signature = live.runner.signature
        return self.question.beside_past(await self._inputs(signature), signature)

    async def _inputs(self, signature: Signature) -> Columns:
        if signature is self.signature or signature.inputs == self.signature.inputs:
            return self.question.columns
        if self.question.again is not None:
            return await aside(self.seat.held_bytes, self.question.again, signature)
        signature.check(self.question.columns)
        return self.question.columns

    @property
    def size_bytes(self) -> int:
        """About what it takes while it waits."""
        return self.seat.held_bytes + len(self.question.ids) * _ANSWER_BYTES


class Answerer:
    """Has rows answered by a version. Used on the event loop's thread."""

    def __init__(self, recorder: Recorder | None, limits: Limits, metrics: Metrics) -> None:
        self.recorder = recorder
        self.limits = limits
        self.metrics = metrics
        self.trials: dict[str, Trial] = {}
        """By name: what was counted of the canary under way. Read by the keeper's thread."""
        self.batcher = Batcher()
        self._shadows: set[asyncio.Task[None]] = set()
        self._shadow_bytes = 0

    async def answer(self, lineup: Lineup | None, live: Live, asked: Asked) -> tuple[Answers, Live]:
        """The answers of a version, or of the one that stands in where it fails or takes too long."""
        instead = None if lineup is None else lineup.instead_of(live)
        most_s = None if instead is None or lineup is None else lineup.deadline_s
        trial = self._trial(lineup) if lineup is not None and lineup.canary is not None else None
        began_s = time.perf_counter()
        try:
            answers = await self._answer(lineup, live, asked, most_s)
        except (ClientDisconnect, LateError):
            raise
        except Exception as error:
            self._failed(live, trial)
            if instead is None or (live.arm == MAIN and not _is_own_fault(error)):
                raise
        else:
            seconds = time.perf_counter() - began_s
            self._succeeded(live, trial, answers, seconds)
            self.record(live, asked, answers)
            return answers, live
        return await self.answer(lineup, instead, asked)

    def shadow(self, lineup: Lineup, asked: Asked, answers: Answers) -> None:
        """Ask the versions in the shadow too, once the answer is there; nobody waits for them."""
        for live in lineup.shadows:
            size_bytes = asked.size_bytes
            if self._shadow_bytes + size_bytes > self.limits.waiting_bytes // 8:
                self.metrics.shadowed(live, "dropped", len(answers))
                continue
            self._shadow_bytes += size_bytes
            task = asyncio.create_task(self._shadow(live, asked, answers, size_bytes))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    def close(self) -> bool:
        """End the models' threads, after what they were asked; False if one hangs."""
        return self.batcher.close(self.limits.drain_s)

    async def _answer(self, lineup: Lineup | None, live: Live, asked: Asked, most_s: float | None) -> Answers:
        if most_s is not None and self.batcher.busy_s(live) > most_s:
            raise TooSlowError(f"Version {live.version} of {live.name!r} still answers somebody else.")
        columns = await asked.columns(live)
        pictures = [f.name for f in live.runner.signature.inputs.each() if f.kind is Kind.IMAGE]
        if pictures:
            found = [columns[name] for name in pictures]
            await aside(asked.seat.held_bytes, _check_pixels, found, self.limits.pixels)
        fields = [f for f in live.runner.signature.inputs.each() if f.kind in SECONDS_OF]
        if fields:
            lasting = [(f.name, f.kind, columns[f.name]) for f in fields if f.kind is not None]
            await asyncio.to_thread(check_seconds, lasting, self.limits.seconds)
        check = partial(check_wait, asked.seat, self.limits.answer_s, most_s, time.perf_counter())
        # Where others could answer, or are compared, a version that hangs must not hold up the event loop.
        apart = lineup is not None and (lineup.splits or lineup.fallback is not None)
        return await self._in_parts(live, columns, len(asked.question.ids), check, apart)

    async def _in_parts(
        self, live: Live, columns: Columns, rows: int, check: Callable[[], None], apart: bool
    ) -> Answers:
        """It is done in parts, between which others are answered, and ended when nobody waits for it."""
        answers: Answers = []
        for start in range(0, rows, MOST_ROWS):
            part = _part(columns, start, rows)
            count = min(MOST_ROWS, rows - start)
            try:
                answers += await self.batcher.predict(live, part, count, check, aside=apart)
            except BadRowError as error:
                error.row = None if error.row is None else error.row + start
                raise
        return answers

    async def _shadow(self, live: Live, asked: Asked, answers: Answers, size_bytes: int) -> None:
        check = partial(_check_shadow, self.limits.answer_s, time.perf_counter())
        try:
            found = await self._in_parts(live, await asked.columns(live), len(answers), check, True)
        except Exception:
            self.metrics.shadowed(live, "failed", len(answers))
        else:
            different = sum(not same(a, b) for a, b in zip(answers, found, strict=True))
            self.metrics.shadowed(live, "different", different)
            self.metrics.shadowed(live, "equal", len(answers) - different)
            self.record(live, asked, found)
        finally:
            self._shadow_bytes -= size_bytes

    def _trial(self, lineup: Lineup) -> Trial:
        name = lineup.main.name
        trial = self.trials.get(name)
        if trial is None or trial.revision != lineup.revision:
            trial = self.trials[name] = Trial(lineup.revision)
        return trial

    def _failed(self, live: Live, trial: Trial | None) -> None:
        self.metrics.failed(live)
        if trial is not None and live.arm in (MAIN, CANARY):
            (trial.tried if live.arm == CANARY else trial.main).failed()

    def _succeeded(self, live: Live, trial: Trial | None, answers: Answers, seconds: float) -> None:
        self.metrics.answered(live, len(answers), seconds)
        if trial is not None and live.arm in (MAIN, CANARY):
            scores = scores_of(answers, live.runner.signature.target)
            (trial.tried if live.arm == CANARY else trial.main).answered(seconds, scores)

    def record(self, live: Live, asked: Asked, answers: Answers) -> None:
        """Hand answers to the recorder, where there is one."""
        if self.recorder is None or not asked.question.record:
            return
        signature = live.runner.signature
        columns = asked.question.columns
        if any(name not in columns for name in signature.inputs.names):
            columns = asked.question.again(signature) if asked.question.again else columns
        columns = asked.question.beside_past(columns, signature)
        self.recorder.put(
            Answered(
                name=live.name,
                version=live.version,
                signature=signature,
                ids=asked.question.ids,
                columns=columns,
                answers=answers,
                time_us=time.time_ns() // 1000,
                size_bytes=asked.size_bytes,
                shadow=live.arm == SHADOW,
            )
        )


def same(answer: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two versions predict the same; numbers to six places.

    >>> same({"prediction": 1.0}, {"prediction": 1.0 + 1e-9}), same({"prediction": "a"}, {"prediction": "b"})
    (True, False)
    """
    one, two = answer["prediction"], other["prediction"]
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == two)


def _is_own_fault(error: Exception) -> bool:
    """Whether it was the version's fault, not that of what it was asked."""
    return not isinstance(error, OrreryError) or status_of(error) == 500


def _part(columns: Columns, start: int, rows: int) -> Columns:
    if rows <= MOST_ROWS:
        return columns
    return {name: values[start : start + MOST_ROWS] for name, values in columns.items()}


def check_wait(seat: Waiting, answer_s: float, most_s: float | None, began_s: float) -> None:
    """Whether somebody waits for the answer still.

    Raises ClientDisconnect, LateError, TooSlowError, OverloadedError.
    """
    if seat.gone():
        raise ClientDisconnect
    waited_s = time.perf_counter() - began_s
    if seat.timeout_s is not None and waited_s > seat.timeout_s:
        raise LateError(f"The rows were not answered in the {seat.timeout_s:g} s that the caller waits.")
    if most_s is not None and waited_s > most_s:
        raise TooSlowError(f"The version did not answer in {most_s:g} s.")
    if waited_s > answer_s:
        raise OverloadedError(f"The rows were not answered in {answer_s:g} s.", hint="Send fewer at once.")


def _check_shadow(answer_s: float, began_s: float) -> None:
    if time.perf_counter() - began_s > answer_s:
        raise TooSlowError("The version in the shadow did not answer in time.")


def _check_pixels(columns: Sequence[Sequence[object]], limit: int) -> None:
    """Pictures of few bytes may unpack to many: they are counted before one of them is."""
    pixels = 0
    for value in (value for column in columns for value in column):
        pixels += pixels_of(value) if isinstance(value, bytes) else 0
        if pixels > limit:
            raise TooLargeError(
                f"The pictures have more than the {limit:,} pixels that the service takes at once.",
                hint="Send fewer or smaller pictures at once.",
            )
