"""The desk: it takes the questions of all faces, and says who answers them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from starlette.requests import Request

from orrery.errors import BadRowError, ModelNotFoundError, ServingError
from orrery.estimators.signature import Signature
from orrery.features.forms import as_text
from orrery.features.target import Target
from orrery.serving.lineup import Lineup, Live
from orrery.serving.online.answering import Answerer, Asked
from orrery.serving.online.batcher import Answers
from orrery.serving.online.limits import Limits
from orrery.serving.online.metrics import Metrics
from orrery.serving.online.pasts import Pasts
from orrery.serving.online.question import Question as Question
from orrery.serving.online.question import Reply as Reply
from orrery.serving.online.seat import Room, timeout_of
from orrery.serving.online.seat import Seat as Seat
from orrery.serving.online.seat import aside as aside
from orrery.serving.record import Recorder
from orrery.serving.route import Route
from orrery.serving.runner import Columns
from orrery.serving.shelf import Shelf

_ID = "id"
_CHANCE = (1 << 62) - 1


class Desk:
    """Takes questions, has them answered by the versions that are live, and hands them to the recorder.

    All of it runs on the event loop's thread, but for models that take long.
    """

    def __init__(
        self, shelf: Shelf, recorder: Recorder | None, limits: Limits, metrics: Metrics, home: Path
    ) -> None:
        self.shelf = shelf
        self.recorder = recorder
        self.limits = limits
        self.metrics = metrics
        self.home = home
        self.room = Room(limits)
        self.answerer = Answerer(recorder, limits, metrics)
        self.pasts = Pasts(home)
        self._opening: dict[str, asyncio.Task[None]] = {}

    @property
    def route(self) -> Route:
        """The route of the first model, which answers where no name is given."""
        return self.shelf.first

    def live(self, name: str, key: str = "", version: str = "") -> Live:
        """Who answers for a name now: by the caller's key or by share where the route splits.

        ``version``, where given, is the only one that may answer. Raises ModelNotFoundError.
        """
        lineup = self.shelf.route(name).lineup
        if version:
            return _version(lineup, version)
        if not lineup.splits:
            return lineup.main
        if key:
            return replace(lineup.of_key(key), fixed=True)
        return lineup.main if lineup.by else lineup.drawn()

    def asked(self, request: Request) -> Live:
        """Who answers a request over HTTP, by the name and version of its path and the key of its header.

        A path without a name asks the first model. Raises ModelNotFoundError.
        """
        found = request.path_params
        key = request.headers.get("x-orrery-key", "")
        return self.live(found.get("name", self.route.name), key, found.get("version", ""))

    async def called(self, name: str) -> None:
        """Open a model that is asked for and not open yet. Raises what opening it raises."""
        if not self.shelf.opens(name):
            return
        task = self._opening.get(name)
        if task is None:
            task = self._opening[name] = asyncio.create_task(asyncio.to_thread(self.shelf.load, name))
            task.add_done_callback(lambda _: self._opening.pop(name, None))
        await asyncio.shield(task)

    def seat(self, request: Request) -> AbstractContextManager[Seat]:
        """A place for one request over HTTP, from its first byte to its answer. Raises OverloadedError."""
        transport = request.scope.get("transport")
        gone = (lambda: False) if transport is None else transport.is_closing
        return self.place(gone, timeout_of(request), request.path_params.get("name", ""))

    @contextmanager
    def place(
        self, gone: Callable[[], bool], timeout_s: float | None = None, name: str = ""
    ) -> Iterator[Seat]:
        """A place for one request of any face. Raises OverloadedError.

        ``gone`` tells whether its caller hung up, ``timeout_s`` how long the caller waits, ``name`` which
        model is asked, as far as that is known by now.
        """
        self.room.models = len(self.shelf.routes)
        self.room.enter(name)
        seat = Seat(self, name, gone, timeout_s)
        try:
            yield seat
        finally:
            self.room.leave(name, seat.held_bytes)

    async def ask(self, live: Live, question: Question, seat: Seat) -> Reply:
        """The answers, one per row, and who gave them: not always the version that was asked.

        Where that one fails or takes too long another one stands in, and where the route splits by a column
        the rows are divided. Raises TooLargeError, OverloadedError, LateError, and what the model says.
        """
        if not question.ids:
            return Reply([], live)
        lineup = self.shelf.lineup(live.name)
        lives = [live] if lineup is None else [live, *lineup.lives()]
        question = await self.pasts.seen(live.name, lives, question)
        signature = live.runner.signature
        groups = [] if lineup is None else _divided(lineup, live, question)
        if len(groups) > 1:
            work = (self._part(lineup, each, rows, question, signature, seat) for each, rows in groups)
            found = await asyncio.gather(*work, return_exceptions=True)
            reply = _together(len(question.ids), [rows for _, rows in groups], found)
            if not question.mixed and not _are_alike(reply.by or ()):
                raise ServingError("The rows were answered by versions with different labels.")
        else:
            asked = Asked(question, signature, seat)
            reply = Reply(*await self.answerer.answer(lineup, groups[0][0] if groups else live, asked))
        if lineup is not None and lineup.shadows and not live.fixed:
            self.answerer.shadow(lineup, Asked(question, signature, seat), reply.answers)
        return reply

    async def _part(
        self,
        lineup: Lineup | None,
        live: Live,
        rows: Sequence[int],
        question: Question,
        signature: Signature,
        seat: Seat,
    ) -> tuple[Answers, Live]:
        """The answers to some rows; an error names the row as the caller counts it."""
        try:
            return await self.answerer.answer(lineup, live, Asked(_rows(question, rows), signature, seat))
        except BadRowError as error:
            error.row = None if error.row is None else rows[error.row]
            raise

    def close(self) -> bool:
        """End the models' threads, after what they were asked; False if one hangs and is left."""
        self.pasts.close()
        return self.answerer.close()


def _version(lineup: Lineup, text: str) -> Live:
    live = lineup.version(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else None
    if live is not None:
        return live
    name, version = lineup.main.name, lineup.main.version
    raise ModelNotFoundError(
        f"Version {text!r:.40} of {name!r} does not answer here; version {version} does.",
        hint=f"Load it first: POST /v1/models/{name}:load with its version." if version else "",
    )


def _divided(lineup: Lineup, live: Live, question: Question) -> list[tuple[Live, list[int]]]:
    """Who answers which rows, where the route splits by a column; nothing where it does not."""
    if live.fixed or not lineup.splits or not lineup.by:
        return []
    keys: Sequence[object] | None = question.columns.get(lineup.by)
    if keys is None and lineup.by == _ID:
        keys = question.ids
    if keys is None and question.beside is not None:
        keys = question.beside(lineup.by)
    groups: dict[int, tuple[Live, list[int]]] = {}
    for row, key in enumerate(keys or ()):
        chosen = lineup.main if key is None else lineup.of_key(as_text(key))
        groups.setdefault(id(chosen), (chosen, []))[1].append(row)
    if not question.mixed and not _are_alike([chosen for chosen, _ in groups.values()]):
        return []  # the main version answers all: no tensor holds labels of two kinds
    return list(groups.values())


def _are_alike(lives: Sequence[Live]) -> bool:
    """Whether the answers of versions fit into one table."""
    runners = {id(live.runner): live.runner for live in lives}
    targets = [runner.signature.target for runner in runners.values()]
    return all(_shape_of(t) == _shape_of(targets[0]) for t in targets)


def _shape_of(target: Target) -> tuple[object, ...]:
    return target.kind, target.type, target.labels, target.width


def _rows(question: Question, rows: Sequence[int]) -> Question:
    """Some rows of a question."""
    again = question.again
    return Question(
        _chosen(question.columns, rows),
        [question.ids[row] for row in rows],
        question.record,
        again=None if again is None else lambda signature: _chosen(again(signature), rows),
        past={windows: _chosen(found, rows) for windows, found in question.past.items()},
    )


def _chosen(columns: Columns, rows: Sequence[int]) -> Columns:
    return {name: [values[row] for row in rows] for name, values in columns.items()}


def _together(
    count: int,
    places: Sequence[Sequence[int]],
    found: Sequence[tuple[Answers, Live] | BaseException],
) -> Reply:
    """The answers of divided rows in the order of the rows; an error of a part is that of the whole."""
    answers: Answers = [{}] * count
    by: dict[int, Live] = {}
    for rows, part in zip(places, found, strict=True):
        if isinstance(part, BaseException):
            raise part
        for row, answer in zip(rows, part[0], strict=True):
            answers[row], by[row] = answer, part[1]
    lives = [by[row] for row in range(count)]
    return Reply(answers, lives[0], lives)


def new_id() -> str:
    """An id that sorts by time: UUID version 7 (RFC 9562, section 5.7).

    >>> len(new_id()), new_id()[14]
    (36, '7')
    """
    milliseconds = time.time_ns() // 1_000_000
    chance = int.from_bytes(os.urandom(10))
    value = milliseconds << 80 | 0x7 << 76 | (chance >> 68) << 64 | 0b10 << 62 | chance & _CHANCE
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
