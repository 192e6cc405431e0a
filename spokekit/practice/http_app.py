"""The server's front: limits, spoils, records and delivers what the rooms behind it answer."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from spokekit.errors import InputError
from spokekit.practice.api.personal_data import report_accounts
from spokekit.practice.exchange import Answer, Exchange, Query, RequestRecord, gateway_error, json_answer
from spokekit.practice.faults import FAULTS
from spokekit.practice.oauth import Refusal, callback_address
from spokekit.practice.pages import consent

if TYPE_CHECKING:
    from spokekit.practice.server import PracticeSite

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_BODY_LIMIT = 2_000_000
_NAMES = frozenset(("127.0.0.1", "localhost", "::1"))

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Named = tuple[str, str, Answer]
"""The operation's name, who asked (account id) and the answer."""


class Front:
    """Routes of one practice site, and what happens around every request."""

    def __init__(self, site: PracticeSite) -> None:
        self.site = site
        self.transports: dict[tuple[str, int], asyncio.Transport] = {}
        self.app = Starlette(
            routes=[
                self._route("/ex/confluence/{cloud_id}{path:path}", self._confluence, _METHODS),
                self._route("/authorize", self._authorize, ["GET", "POST"]),
                self._route("/oauth/token", self._token, ["POST"]),
                self._route("/oauth/token/accessible-resources", self._resources, ["GET"]),
                self._route("/me", self._me, ["GET"]),
                self._route("/app/report-accounts/", self._report, ["POST"]),
                self._route("/app/report-accounts", self._report, ["POST"]),
                self._route("/", lambda *_: ("console", "", _go_to("/console")), ["GET"]),
                self._route("/console", self._console, ["GET", "POST"]),
                self._route("/practice/faults", self._faults, ["GET", "POST"]),
                self._route("/{path:path}", lambda *_: ("", "", gateway_error(404, "Not Found")), _METHODS),
            ]
        )

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's HTTP protocol, noting each connection so that a fault can reset it."""
        transports = self.transports

        class Protocol(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                transports[transport.get_extra_info("peername")] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                for peer in [peer for peer, transport in transports.items() if transport is self.transport]:
                    transports.pop(peer, None)

        return Protocol

    # -- around every request -------------------------------------------------------------------------------

    def _route(self, path: str, answer: Callable[[Request, bytes], Named], methods: list[str]) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._exchange(request, answer)

        return Route(path, endpoint, methods=methods)

    async def _exchange(self, request: Request, answer: Callable[[Request, bytes], Named]) -> Response:
        site = self.site
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)
        strange = _from_elsewhere(request)
        if strange:
            return _Delivery(gateway_error(403, strange), None)
        confluence = request.scope["path"].startswith("/ex/")
        site.in_flight += 1
        site.most_in_flight = max(site.most_in_flight, site.in_flight)
        try:
            if site.latency_ms and confluence:
                await asyncio.sleep(site.latency_ms / 1000)
            try:
                name, account, result = answer(request, body)
                self._note(request, body, name, account, result)
            except Exception as problem:  # noqa: BLE001 - a defect of ours must show in the test that met it
                site.defects.append(problem)
                result = gateway_error(500, "The practice site has a defect.")
        finally:
            site.in_flight -= 1
        client = request.client
        transport = self.transports.get((client.host, client.port)) if client else None
        return _Delivery(result, transport)

    def _note(self, request: Request, body: bytes, name: str, account: str, answer: Answer) -> None:
        site = self.site
        method, path, query = request.method, request.scope["path"], _query(request)
        shown = urlencode([(k, v) for k, v in parse_qsl(query) if k not in ("state", "code")]) if query else ""
        site.requests.append(
            RequestRecord(
                method, path, shown, answer.status, answer.points, name, account, site.clock.now(), answer.broken
            )
        )
        observers = (*site.observers, *site.observe_all)
        if not observers:
            return
        headers = dict([("content-type", answer.content_type), *answer.headers])
        exchange = Exchange(
            method, path, query, dict(request.headers), body, answer.status, headers, answer.body, name, answer.broken
        )
        for observer in observers:
            observer(exchange)

    # -- Confluence -----------------------------------------------------------------------------------------

    def _confluence(self, request: Request, body: bytes) -> Named:
        site = self.site
        cloud_id, path = request.path_params["cloud_id"], request.path_params["path"]
        route, _ = site.gateway.find(request.method, path)
        name = route.name if route else ""
        if name in ("add", "remove"):
            group_id = Query(parse_qsl(_query(request))).first("groupId")
            site.writes[group_id] = site.writes.get(group_id, 0) + 1
        broken = site.faults.instead(name, True, site.limits, site.auth.kill_access)
        if broken is not None:
            return name, "", broken
        access = site.auth.access(request.headers.get("authorization", ""))
        refused = site.gateway.refuse(access, cloud_id, route)
        if refused is not None or access is None:
            answer = refused or gateway_error(401, "Unauthorized")
            answer.points = 0
            return name, access.grant.account_id if access else "", answer
        client_id, account = access.grant.app.client_id, access.grant.account_id
        answer = site.limits.refuse(client_id, cloud_id, name) or site.gateway.answer(
            access, cloud_id, request.method, path, _query(request), body
        )
        site.limits.spend(client_id, answer.points, cloud_id)
        answer.headers += site.limits.headers(client_id, cloud_id)
        site.faults.spoil(name, True, answer)
        return name, account, answer

    # -- the authorisation server ---------------------------------------------------------------------------

    def _authorize(self, request: Request, body: bytes) -> Named:
        site, query = self.site, dict(parse_qsl(_query(request), keep_blank_values=True))
        try:
            if request.method == "POST":
                form = dict(parse_qsl(body.decode("utf-8", "replace")))
                target = site.auth.decide(form.get("request", ""), form.get("decision", ""), form.get("site", ""))
                return "consent", "", _go_to(target)
            number, pending = site.auth.ask(query, site.account_id, strict=site.strict)
        except Refusal as refusal:
            if refusal.redirect:
                values = {
                    "error": refusal.error,
                    "error_description": refusal.description,
                    "state": query.get("state", ""),
                }
                return "authorize", "", _go_to(callback_address(refusal.redirect, **values))
            return "authorize", "", consent.refusal_page(refusal.error, refusal.description, refusal.status)
        person = site.world.find_person(site.account_id)
        words = f"{person.display_name} ({person.email})" if person.email else person.display_name
        one_site = site.switches.grant_level == "resource"
        return "authorize", "", consent.consent_page(number, pending, words, one_site=one_site)

    def _token(self, request: Request, body: bytes) -> Named:
        site = self.site
        name = site.auth.token_operation(body, request.headers.get("content-type", ""))
        answer = site.faults.instead(name, False, site.limits, site.auth.kill_access)
        if answer is None:
            answer = site.auth.token(body, request.headers.get("content-type", ""))
            answer.headers.append(("cache-control", "no-store"))
            site.faults.spoil(name, False, answer)
        return name, "", answer

    def _signed_in(self, request: Request, name: str, then: Callable[[Any], Answer]) -> Named:
        access = self.site.auth.access(request.headers.get("authorization", ""))
        if access is None:
            return name, "", gateway_error(401, self.site.switches.expired_token_message)
        account = access.grant.account_id
        if _query(request) and self.site.strict:
            return name, account, gateway_error(400, "The practice site is strict: unknown query parameter")
        return name, account, then(access)

    def _resources(self, request: Request, _: bytes) -> Named:
        auth = self.site.auth
        return self._signed_in(request, "accessible-resources", lambda access: json_answer(200, auth.resources(access)))

    def _me(self, request: Request, _: bytes) -> Named:
        return self._signed_in(request, "me", lambda access: self.site.auth.me(access))

    def _report(self, request: Request, body: bytes) -> Named:
        site = self.site
        return self._signed_in(
            request, "report-accounts", lambda access: report_accounts(site.world, site.switches, access, body)
        )

    # -- for people and tests -------------------------------------------------------------------------------

    def _console(self, request: Request, body: bytes) -> Named:
        if request.method == "GET":
            return "console", "", self.site.console.show()
        form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        return "console", "", self.site.console.take(form)

    def _faults(self, request: Request, body: bytes) -> Named:
        site = self.site
        if request.method == "POST":
            # A page of another site can send a form here, but no JSON.
            if not request.headers.get("content-type", "").startswith("application/json"):
                return "faults", "", json_answer(415, {"message": "Send JSON."}, points=0)
            try:
                order = json.loads(body)
                if order.get("clear"):
                    site.faults.clear(*(order["clear"] if isinstance(order["clear"], list) else ()))
                site.faults.add(*order.get("add", ()))
            except (ValueError, AttributeError, TypeError, RecursionError, InputError) as error:
                words = error.message if isinstance(error, InputError) else 'Send {"clear": true, "add": ["429:3"]}.'
                return "faults", "", json_answer(400, {"message": words}, points=0)
        active = [
            {"name": f.name, "value": f.value, "every": f.every, "times": f.times, "on": f.on}
            for f in site.faults.active
        ]
        return "faults", "", json_answer(200, {"active": active, "menu": FAULTS}, points=0)


def _from_elsewhere(request: Request) -> str:
    """Say what is wrong with a request that a web page from elsewhere makes a browser send; empty when nothing is.

    Such a page can let a name of its own point to this computer (the Host header tells), and can send forms here (the
    Origin header tells; programs send none, and a page without a referrer says ``null``).
    """
    host = request.headers.get("host", "")
    if _name_of("//" + host) not in _NAMES:
        return "This address is for this computer only."
    origin = request.headers.get("origin", "null")
    if request.method != "GET" and origin not in ("null", f"http://{host}"):
        return "A page from elsewhere may not send forms here."
    if request.method != "GET" and request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "A page from elsewhere may not send forms here."
    return ""


def _name_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _query(request: Request) -> str:
    # Starlette's request.url is a whole address made anew: dear on every call of a large walk.
    return str(request.scope["query_string"], "latin-1")


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        # What is longer than any request of this API is read to its end, so that an answer can be heard, and dropped.
        if size <= _BODY_LIMIT:
            parts.append(part)
    return b"".join(parts) if size <= _BODY_LIMIT else b""


def _go_to(address: str) -> Answer:
    return Answer(
        302, b"", "text/plain", [("location", address), ("cache-control", "no-store"), consent.MARK], points=0
    )


class _Delivery(Response):
    """An answer on its way, whole or as a fault wants it."""

    def __init__(self, answer: Answer, transport: asyncio.Transport | None) -> None:
        super().__init__(answer.body, status_code=answer.status, media_type=None)
        self.raw_headers = [
            (b"content-length", str(len(answer.body)).encode()),
            *((key.lower().encode("latin-1"), value.encode("latin-1")) for key, value in answer.headers),
        ]
        if answer.status not in (201, 204) or answer.body:
            self.raw_headers.append((b"content-type", answer.content_type.encode("latin-1")))
        self._answer = answer
        self._transport = transport

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        how, seconds, body = self._answer.delivery, self._answer.seconds, self._answer.body
        if how == "stall":
            await asyncio.sleep(seconds)
        if how in ("", "stall"):
            await super().__call__(scope, receive, send)
            return
        if how == "hang-up" or (how in ("reset", "cut") and not body):
            # An answer without a body has no middle: nothing of it comes.
            self._break(reset=how == "reset")
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if how == "drip":
            step = max(1, -(-len(body) // 8))
            for first in range(0, len(body), step):
                await asyncio.sleep(seconds / 8)
                await send({"type": "http.response.body", "body": body[first : first + step], "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": body[: max(1, len(body) // 2)], "more_body": True})
        # The first half has to be on its way before the connection goes.
        await asyncio.sleep(0.01)
        self._break(reset=how == "reset")

    def _break(self, *, reset: bool) -> None:
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if reset and raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
        self._transport.abort()


class Server(uvicorn.Server):
    """uvicorn that stops at once when told to, instead of at its next look every tenth of a second."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(config)

    async def main_loop(self) -> None:
        """Tick ten times a second, as uvicorn does, but end when woken."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self._ready()
        counter = 0
        while not await self.on_tick(counter):
            counter = (counter + 1) % 864000
            try:
                await asyncio.wait_for(self._wake.wait(), 0.1)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything at once: whoever waits for an answer of a stopped practice site gets an error."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for task in list(self.server_state.tasks):
            task.cancel()
        for _ in range(200):
            if not self.server_state.connections and not self.server_state.tasks:
                return
            await asyncio.sleep(0.001)

    def stop(self) -> None:
        """End the server from another thread."""
        self.should_exit = True
        if self._loop is not None and self._wake is not None:
            self._loop.call_soon_threadsafe(self._wake.set)
