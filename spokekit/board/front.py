"""The board's front: who may ask for what, how much, and how it is answered. Nothing of a request is logged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from spokekit.board import trainer
from spokekit.board.admission import HEADERS, Refused, body_of, from_elsewhere
from spokekit.board.classroom import Classroom, WrongCode
from spokekit.board.joining import Tries
from spokekit.board.orders import Menus
from spokekit.board.records import Forgotten, Given, Learner
from spokekit.board.wire import (
    LONGEST_WAIT,
    Join,
    Kept,
    Message,
    Order,
    Orders,
    Report,
    decode,
    encode,
)
from spokekit.errors import Conflict, InputError, NotFound, SpokekitError, StoreError

T = TypeVar("T")
_MOST_WAITING = 3
"""Requests for orders of one learner that are held at the same time; of more, the first is answered at once."""
MOST_DEFECTS = 50
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")


class Front:
    """Routes of one board.

    Parameters
    ----------
    classroom, menus:
        The class, and what the board knows of lessons and faults.
    doors:
        Digests of the keys that let a browser in as the trainer.
    hosts:
        Names by which the board may be called, besides this computer's own.
    """

    def __init__(self, classroom: Classroom, menus: Menus, doors: frozenset[str], hosts: tuple[str, ...]) -> None:
        self.classroom, self.hosts = classroom, hosts
        self.trainer = trainer.Trainer(classroom, menus, doors, self.turn, self.give)
        self.defects: list[Exception] = []
        self._codes, self._certificates = Tries(), Tries(most=30)
        self._turn: asyncio.Lock | None = None
        self._waiting: dict[int, list[asyncio.Event]] = {}
        self._ending = False
        answers = {
            ("POST", "/api/join"): self._join,
            ("POST", "/api/report"): self._report,
            ("GET", "/api/orders"): self._orders,
            ("GET", "/api/sent"): self._sent,
            ("POST", "/api/certificate"): self._certificate,
            ("GET", "/api/verify"): self._verify,
            **self.trainer.routes(),
            ("", "/{path:path}"): self._nothing,
        }
        routes = [Route(path, self._endpoint(one, how), methods=_METHODS) for (how, path), one in answers.items()]
        self.app = Starlette(routes=routes)

    # -- around every request ----------------------------------------------------------------------------------------

    def _endpoint(self, answer: trainer.Answer, method: str = "") -> trainer.Answer:
        async def endpoint(request: Request) -> Response:
            try:
                strange = from_elsewhere(request, self.hosts)
                if strange:
                    raise Refused(403, strange)
                if method and request.method not in (method, "HEAD" if method == "GET" else method):
                    raise Refused(405, f"Only {method} is answered here.", Allow=method)
                made = await answer(request)
            except Refused as refused:
                made = _told(request, refused.status, refused.message, refused.headers)
            except ClientDisconnect:
                return Response(status_code=400)
            except (StoreError, Forgotten) as problem:
                gone = isinstance(problem, Forgotten)
                made = _told(request, 410 if gone else 503, problem.message, {} if gone else {"Retry-After": "5"})
            except (Conflict, NotFound) as problem:
                made = _told(request, 409 if isinstance(problem, Conflict) else 404, _sentence(problem), {})
            except Exception as problem:  # noqa: BLE001 - it must not reach a page or a log with what was asked
                self._note(problem)
                made = _told(request, 500, "The board has a defect. It is no fault of yours.", {})
            for name, value in HEADERS.items():
                made.headers.setdefault(name, value)
            return made

        return endpoint

    def _note(self, problem: Exception) -> None:
        if len(self.defects) < MOST_DEFECTS:
            self.defects.append(problem)

    async def turn(self, work: Callable[..., T], *given: Any) -> T:
        """Do what reads or changes the class, one after the other, in a thread: writing waits for the disk."""
        if self._turn is None:
            self._turn = asyncio.Lock()
        async with self._turn:
            return await anyio.to_thread.run_sync(work, *given)

    # -- learners' computers -----------------------------------------------------------------------------------------

    async def _join(self, request: Request) -> Response:
        asked = _read(await body_of(request), Join)
        address = request.client.host if request.client else ""
        known = self.classroom.learner_of(asked.key) is not None
        if not known and (wait := self._codes.wait(address)) > 0:
            seconds = str(int(wait) + 1)
            raise Refused(
                429, f"Too many wrong codes came from there. Try again in {seconds} seconds.", Retry_After=seconds
            )
        try:
            return _message(await self.turn(self.classroom.join, asked))
        except WrongCode as problem:
            self._codes.wrong(address)
            raise Refused(403, _sentence(problem)) from None

    async def _report(self, request: Request) -> Response:
        learner = self._learner(request)
        told = _read(await body_of(request), Report)
        return _message(Kept(await self.turn(self.classroom.report, learner, told)))

    async def _orders(self, request: Request) -> Response:
        learner = self._learner(request)
        after = _number(request, "after", 0, 10**9)
        wait = _number(request, "wait", 0, 10**9)
        found = self.classroom.orders_for(learner, int(after))
        if not found and wait > 0 and not self._ending:
            await self._wait(learner, min(wait, LONGEST_WAIT))
            found = self.classroom.orders_for(learner, int(after))
            learner.seen = max(learner.seen, self.classroom.clock())
        return _message(Orders(found))

    async def _wait(self, learner: Learner, seconds: float) -> None:
        woken = asyncio.Event()
        waiting = self._waiting.setdefault(learner.number, [])
        waiting.append(woken)
        if len(waiting) > _MOST_WAITING:
            waiting[0].set()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), seconds)
        finally:
            waiting.remove(woken)

    async def _sent(self, request: Request) -> Response:
        return _message(await self.turn(self.classroom.sent, self._learner(request)))

    async def _certificate(self, request: Request) -> Response:
        learner = self._learner(request)
        await body_of(request)
        return _message(await self.turn(self.classroom.certify, learner))

    async def _verify(self, request: Request) -> Response:
        address = request.client.host if request.client else ""
        if (wait := self._certificates.wait(address)) > 0:
            raise Refused(429, "Too many codes were tried. Try again in a minute.", Retry_After=str(int(wait) + 1))
        try:
            return _message(await self.turn(self.classroom.verify, request.query_params.get("code", "")))
        except NotFound:
            self._certificates.wrong(address)
            raise

    async def _nothing(self, request: Request) -> Response:
        raise Refused(404, "There is nothing at this address.")

    def _learner(self, request: Request) -> Learner:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        found = self.classroom.learner_of(key.strip()) if kind.lower() == "bearer" else None
        if found is None:
            raise Refused(
                401, "This key is none of this class. Join it with its code.", WWW_Authenticate='Bearer realm="class"'
            )
        return found

    # -- orders ------------------------------------------------------------------------------------------------------

    async def give(self, order: Order, to: int | None) -> Given:
        """Give an order, and wake those who wait for one."""
        given = await self.turn(self.classroom.order, order, to)
        for number, waiting in self._waiting.items():
            if to in (None, number):
                for woken in waiting:
                    woken.set()
        return given

    def wake_all(self) -> None:
        """Answer everybody who waits: the board ends."""
        self._ending = True
        for waiting in self._waiting.values():
            for woken in waiting:
                woken.set()


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return decode(body, kind)
    except InputError as problem:
        raise Refused(400, problem.message) from None


def _number(request: Request, name: str, least: float, most: float) -> float:
    said = request.query_params.get(name, "0")
    try:
        value = float(said) if len(said) <= 20 else -1.0
    except ValueError:
        value = -1.0
    if not least <= value <= most:
        raise Refused(400, f"{name} is a number from {least:g} on.")
    return value


def _sentence(problem: SpokekitError) -> str:
    return " ".join(filter(None, (problem.message, problem.hint)))


def _message(message: Message) -> Response:
    return Response(encode(message), media_type="application/json")


def _told(request: Request, status: int, words: str, headers: dict[str, str]) -> Response:
    """Return a refusal: a message for a learner's computer, a page for a browser."""
    if not request.url.path.startswith("/api/"):
        return trainer.refusal(status, words, headers)
    return Response(msgspec.json.encode({"message": words}), status, headers, media_type="application/json")
