"""The server's front: limits, spoils, records and delivers what the rooms behind it answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from spokekit.errors import InputError
from spokekit.practice import control
from spokekit.practice.api.personal_data import report_accounts
from spokekit.practice.exchange import (
    Answer,
    Exchange,
    Query,
    RequestRecord,
    WriteRecord,
    gateway_error,
    json_answer,
    read_form,
    read_object,
)
from spokekit.practice.happened import happened_page
from spokekit.practice.keys import HEADER, TICKET
from spokekit.practice.oauth import Refusal, callback_address, read_fields
from spokekit.practice.pages import account, consent
from spokekit.practice.serving import Delivery, body_of, from_elsewhere, query_of
from spokekit.practice.triggers import WRITES

if TYPE_CHECKING:
    from spokekit.practice.api.gateway import Route as Operation
    from spokekit.practice.apps import Grant
    from spokekit.practice.server import PracticeSite

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

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
                *(self._route(f"/{name}", self._pages, ["GET", "POST"]) for name, _ in account.OWN_PAGES),
                self._route("/instance", self._pages, ["GET", "POST"]),
                *(self._route(f"/practice/{name}", self._control, how) for name, (how, _) in control.ANSWERS.items()),
                self._route("/practice/known", self._known, ["GET"]),
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
            body = await body_of(request)
        except ClientDisconnect:
            return Response(status_code=400)
        strange = from_elsewhere(request)
        if strange:
            return Delivery(gateway_error(403, strange), None)
        path = request.scope["path"]
        confluence = path.startswith("/ex/")
        # Who steers the site is not at work on it.
        counts = not path.startswith("/practice/")
        site.in_flight += counts
        site.most_in_flight = max(site.most_in_flight, site.in_flight)
        try:
            if site.latency_ms and confluence:
                await asyncio.sleep(site.latency_ms / 1000)
            try:
                name, account, result = answer(request, body)
                if counts:
                    self._note(request, body, name, account, result)
                if request.method not in ("GET", "HEAD"):
                    site.keep()
            except Exception as problem:  # noqa: BLE001 - a defect of ours must show in the test that met it
                site.defects.append(problem)
                result = gateway_error(500, "The practice site has a defect.")
        finally:
            site.in_flight -= counts
        client = request.client
        transport = self.transports.get((client.host, client.port)) if client else None
        return Delivery(result, transport)

    def _note(self, request: Request, body: bytes, name: str, account: str, answer: Answer) -> None:
        site = self.site
        method, path, query = request.method, request.scope["path"], query_of(request)
        shown = urlencode([(k, v) for k, v in parse_qsl(query) if k not in ("state", "code", TICKET)]) if query else ""
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
        route, _ = site.gateway.find(request.method, request.path_params["path"])
        due = site.triggers.come(route.name if route else "")
        site.triggers.pull(due, "before", lambda order: control.do(site, dict(order)))
        answered = self._answer(request, body, route)
        site.triggers.pull(due, "after", lambda order: control.do(site, dict(order)))
        return answered

    def _answer(self, request: Request, body: bytes, route: Operation | None) -> Named:
        site = self.site
        cloud_id, path = request.path_params["cloud_id"], request.path_params["path"]
        name = route.name if route else ""
        if name in WRITES:
            group_id = Query(parse_qsl(query_of(request))).first("groupId")
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
        world = site.worlds[cloud_id]
        before = world.version
        answer = site.limits.refuse(client_id, cloud_id, name) or site.gateway.answer(
            access, cloud_id, request.method, path, query_of(request), body
        )
        if name in WRITES:
            self._note_write(request, body, name, cloud_id, access.grant, answer.status, world.version != before)
        site.limits.spend(client_id, answer.points, cloud_id)
        answer.headers += site.limits.headers(client_id, cloud_id)
        site.faults.spoil(name, True, answer)
        return name, account, answer

    def _note_write(
        self, request: Request, body: bytes, name: str, cloud_id: str, grant: Grant, status: int, changed: bool
    ) -> None:
        site, query = self.site, Query(parse_qsl(query_of(request)))
        world, group_id, who = site.worlds[cloud_id], query.first("groupId"), query.first("accountId")
        if name == "add" and (told := read_object(body)) is not None:
            who = str(told.get("accountId") or "")
        row = world.group_row(group_id)
        group = world.group_name(row) if row is not None else ""
        site.written.append(
            WriteRecord(
                at=site.clock.now(),
                name=name,
                cloud_id=cloud_id,
                group_id=group_id[:200],
                group=group,
                account_id=who[:200],
                by=grant.account_id,
                client_id=grant.app.client_id,
                status=status,
                changed=changed,
                # The record of the request itself is the next one.
                request=len(site.requests),
            )
        )

    # -- the authorisation server ---------------------------------------------------------------------------

    def _authorize(self, request: Request, body: bytes) -> Named:
        if (onward := self._by_link(request)) is not None:
            return "", "", onward
        site, query = self.site, dict(parse_qsl(query_of(request), keep_blank_values=True))
        try:
            if request.method == "POST":
                form = dict(read_form(body))
                if form.get("decision") == "sign-in":
                    return self._other_person(request, query, form)
                target = site.auth.decide(form.get("request", ""), form.get("decision", ""), form.get("site", ""))
                return "consent", "", _go_to(target)
            return self._ask(request, query)
        except Refusal as refusal:
            if refusal.redirect:
                told = {
                    "error": refusal.error,
                    "error_description": refusal.description,
                    "state": query.get("state", ""),
                }
                return "authorize", "", _go_to(callback_address(refusal.redirect, **told))
            switch = self._switch(request)
            page = consent.refusal_page(refusal.error, refusal.description, refusal.status, switch=switch)
            return "authorize", "", page

    def _ask(self, request: Request, query: dict[str, str]) -> Named:
        """Show the consent page; raises `Refusal`."""
        site = self.site
        number, pending = site.auth.ask(query, site.account_id, strict=site.strict)
        person = site.world.find_person(site.account_id)
        words = f"{person.display_name} ({person.email})" if person.email else person.display_name
        one_site = site.switches.grant_level == "resource"
        shown = consent.consent_page(number, pending, words, one_site=one_site, switch=self._switch(request))
        return "authorize", "", shown

    def _other_person(self, request: Request, query: dict[str, str], form: dict[str, str]) -> Named:
        """Sign in as somebody else, in a browser that came by a link, and ask that person; raises `Refusal`."""
        refused = self._not_let_in(request)
        if refused is not None:
            return "", "", refused
        self.site.auth.forget_pages()
        with suppress(InputError):
            self.site.sign_in(form.get("as", ""))
        return self._ask(request, query)

    def _switch(self, request: Request) -> str:
        admitted = self.site.keys.admits(request.headers, self.site.port)
        return account.sign_in_form(self.site) if admitted else ""

    def _token(self, request: Request, body: bytes) -> Named:
        site = self.site
        fields = read_fields(body, request.headers.get("content-type", ""))
        name = site.auth.token_operation(fields)
        answer = site.faults.instead(name, False, site.limits, site.auth.kill_access)
        if answer is None:
            answer = site.auth.token(fields)
            answer.headers.append(("cache-control", "no-store"))
            site.faults.spoil(name, False, answer)
        return name, "", answer

    def _signed_in(self, request: Request, name: str, then: Callable[[Any], Answer]) -> Named:
        access = self.site.auth.access(request.headers.get("authorization", ""))
        if access is None:
            return name, "", gateway_error(401, self.site.switches.expired_token_message)
        account = access.grant.account_id
        if query_of(request) and self.site.strict:
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

    def _pages(self, request: Request, body: bytes) -> Named:
        refused = self._by_link(request) or self._not_let_in(request)
        if refused is not None:
            return "", "", refused
        site, posted, path = self.site, request.method == "POST", request.scope["path"]
        pairs = read_form(body)
        form = dict(pairs)
        if path == "/happened":
            return "happened", "", happened_page(site)
        if path == "/instance":
            return "", "", site.instance_beside.page(form if posted else None)
        if path == "/connected-apps":
            return "connected-apps", "", account.connected_apps(site, form if posted else None)
        if not posted:
            return "console", "", site.console.show()
        try:
            if form.get("decision") == "sign-in":
                site.sign_in(form.get("as", ""))
                return "console", "", site.console.show(f"Signed in as {account.signed_in_as(site)}.")
            if "administer" in form:
                return "console", "", site.console.show(account.administer(site, form))
        except InputError as error:
            return "console", "", site.console.show(problem=error.message)
        return "console", "", site.console.take(pairs, owner=site.account_id)

    def _by_link(self, request: Request) -> Answer | None:
        """Return what a browser that comes by a link is told: where the page is, with the cookie that opens it."""
        query = parse_qsl(query_of(request), keep_blank_values=True)
        ticket = dict(query).get(TICKET)
        if request.method != "GET" or ticket is None:
            return None
        rest = urlencode([pair for pair in query if pair[0] != TICKET])
        # By the name that the browser came with, since the cookie is for that name alone.
        here = f"http://{request.headers.get('host', '')}{request.scope['path']}"
        onward = _go_to(here + (f"?{rest}" if rest else ""))
        cookie = self.site.keys.open(ticket, self.site.port)
        if cookie:
            onward.headers.append(("set-cookie", cookie))
            return onward
        # A link that was used is as good as none; a browser that has the cookie goes on, and so does a consent.
        open_ = self.site.keys.admits(request.headers, self.site.port) or request.scope["path"] == "/authorize"
        return onward if open_ else consent.closed_page(used=True)

    def _not_let_in(self, request: Request) -> Answer | None:
        admitted = self.site.keys.admits(request.headers, self.site.port)
        return None if admitted else consent.closed_page()

    def _control(self, request: Request, body: bytes) -> Named:
        site = self.site
        if not site.keys.has_key(request.headers):
            words = f"The practice site's key is missing in the header {HEADER}; it is told where the site was started."
            return "", "", json_answer(403, {"message": words}, points=0)
        # A page of another site can send a form here, but no JSON.
        posted = request.method == "POST"
        if posted and not request.headers.get("content-type", "").startswith("application/json"):
            return "", "", json_answer(415, {"message": "Send JSON."}, points=0)
        _, answer = control.ANSWERS[request.scope["path"].rpartition("/")[2]]
        return "", "", answer(site, body if posted else None)

    def _known(self, request: Request, _: bytes) -> Named:
        token = request.headers.get("authorization", "")
        known, given = self.site.auth.access(token) is not None, self.site.auth.gave(token)
        return "", "", json_answer(200, {"known": known, "given": given}, points=0)


def _go_to(address: str) -> Answer:
    return Answer(
        302, b"", "text/plain", [("location", address), ("cache-control", "no-store"), consent.MARK], points=0
    )
