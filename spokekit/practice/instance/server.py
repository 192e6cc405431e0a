"""The practice instance itself: a small HTTP server in a thread, beside the practice site."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from spokekit._serving import listen
from spokekit.errors import InputError
from spokekit.practice.exchange import Answer, RequestRecord, json_answer, read_form
from spokekit.practice.instance import pages
from spokekit.practice.instance.api import TableApi, error
from spokekit.practice.instance.switches import InstanceSwitches, check_fault
from spokekit.practice.instance.tables import Database, known_id
from spokekit.practice.instance.token import Ask, anybody, get_token, save_secret
from spokekit.practice.instance.unload import import_xml
from spokekit.practice.keys import TICKET, Keys, same
from spokekit.practice.pages.consent import MARK, closed_page
from spokekit.practice.serving import Delivery, Server, body_of, from_elsewhere, query_of

_ORDERS = ("/practice/import", "/practice/clone")


class PracticeInstance:
    """An instance that answers like ServiceNow's Table API, for the tables of a hand-over, on one loopback port.

    ::

        with PracticeInstance() as instance:
            instance.import_folder("hand-over/unload")
            ...  # instance.url, instance.client_id, instance.client_secret, instance.api_key

    By the Table API the platform's rules run (a registry gets a default profile, a child alias copies five fields, one
    active connection an alias); by an XML import none of them. Queries ignore what they do not understand.

    Parameters
    ----------
    port:
        Port on 127.0.0.1; 0 for a free one.
    faults:
        Faults to start with, by name: ``asleep``, ``basic``, ``busy``, ``down``, ``repeats``, ``denied:TABLE``,
        ``hidden:TABLE``.
    client_id, client_secret, api_key, session, password:
        What somebody signs in with; practice secrets, so plain texts. New ones when left out. ``session`` is the value
        of the cookie JSESSIONID, ``password`` that of the account ``admin``.
    certificate:
        Paths of a certificate and its key, to serve https.
    ask:
        Asks Atlassian for a token when **Get OAuth Token** is pressed; without it, whoever asks gets one.
    changed:
        Called after each request that may have changed a record, in the server's thread.
    **switches:
        Anything in `InstanceSwitches`.

    Attributes
    ----------
    data:
        The `Database`: records by table and sys_id. May be changed at any time, as somebody on the instance would.
    faults, switches:
        What goes wrong, and what is not known; may be set at any time.
    parent_sys_id:
        The sys_id of the alias that the spoke ships.
    requests:
        A `RequestRecord` for each request answered. No secret or token is in it.
    imported, refused:
        How many records were imported as XML, and how often **Get OAuth Token** got none.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        faults: Iterable[str] = (),
        client_id: str = "",
        client_secret: str = "",
        api_key: str = "",
        session: str = "",
        password: str = "",
        certificate: tuple[str | Path, str | Path] | None = None,
        ask: Ask = anybody,
        changed: Callable[[], object] = bool,
        **switches: Any,
    ) -> None:
        try:
            self.switches = InstanceSwitches(**switches)
        except TypeError:
            names = ", ".join(InstanceSwitches.__dataclass_fields__)
            raise InputError(
                "The practice instance has no such switch.", field="switch", hint=f"Switches: {names}."
            ) from None
        self.faults = {check_fault(one) for one in faults}
        self.data = Database()
        self.parent_sys_id = known_id("alias")
        self.client_id = client_id or secrets.token_hex(16)
        self.client_secret = client_secret or secrets.token_urlsafe(24)
        self.api_key = api_key or secrets.token_urlsafe(24)
        self.session = session or secrets.token_hex(16)
        self.password = password or secrets.token_urlsafe(12)
        self.keys = Keys()
        self.api = TableApi(self)
        self.requests: list[RequestRecord] = []
        self.imported = self.refused = 0
        self._ask, self._changed = ask, changed
        self.defects: list[Exception] = []
        self.certificate = certificate
        self._wanted_port = port
        self._server: Server | None = None

    # -- running -------------------------------------------------------------------------------------------------------

    def start(self, port: int | None = None) -> PracticeInstance:
        """Start serving; returns when requests are answered. Raises `InputError` when the port is taken.

        `port` counts for more than the one that it was made with.
        """
        listener = listen("127.0.0.1", self._wanted_port if port is None else port, "practice instance")
        self.port: int = listener.getsockname()[1]
        tls: dict[str, Any] = {}
        if self.certificate is not None:
            tls = {"ssl_certfile": str(self.certificate[0]), "ssl_keyfile": str(self.certificate[1])}
        routes = [Route("/{path:path}", self._exchange, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])]
        self._server = Server(Starlette(routes=routes), listener, "practice instance", http="h11", **tls)
        return self

    def stop(self) -> None:
        """Stop serving and release the port."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> PracticeInstance:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if self.defects and kind is None:
            raise self.defects[0]

    # -- addresses and what tests do -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Address of the server; stands for https://NAME.service-now.com/."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}/"

    def page(self) -> str:
        """Return a link that opens the page with the records in a browser, once."""
        return f"{self.url}records?{TICKET}={self.keys.ticket()}"

    def describe(self) -> dict[str, str]:
        """Return what a person needs to sign in, as `spokekit practice --instance` prints it."""
        names = ("url", "client_id", "client_secret", "api_key", "session", "parent_sys_id")
        return {name: getattr(self, name) for name in names}

    def become(self, other: PracticeInstance) -> None:
        """Be what `other` is, at the address that this one is served at: records, faults, switches and credentials."""
        self.data, self.faults, self.switches = other.data, other.faults, other.switches
        self.imported, self.refused, self._ask = other.imported, other.refused, other._ask
        self.client_id, self.client_secret, self.api_key = other.client_id, other.client_secret, other.api_key
        self.session, self.password, self.requests = other.session, other.password, []
        self.api.tokens.clear()

    def import_xml(self, text: str | bytes) -> list[tuple[str, str]]:
        """Import an unload file as **Import XML** does, and return (table, sys_id) of what was written."""
        written = import_xml(self.data, self.switches, text)
        self.imported += len(written)
        return written

    def save_secret(self, registry: str, secret: str) -> str:
        """Type a client secret into a registry by its sys_id, and return what is said; raises `InputError`."""
        return save_secret(self.data, registry, secret)

    def get_token(self, credential: str) -> str:
        """Press **Get OAuth Token** on a credential by its sys_id; raises `InputError` where no token comes."""
        try:
            return get_token(self.data, self._ask, credential)
        except InputError:
            self.refused += 1
            raise

    def import_folder(self, folder: str | Path) -> list[tuple[str, str]]:
        """Import all XML files of a folder by their names, as their numbers say."""
        files = sorted(Path(folder).expanduser().glob("*.xml"))
        if not files:
            raise InputError(f"There is no XML file in {folder}.", field="folder")
        return [written for path in files for written in self.import_xml(path.read_bytes())]

    def become_a_clone(self, of: str = "production") -> None:
        """Become what a test instance is after a clone: its records name the instance that it was cloned from.

        `of` is that one's name. Registries send the consent back there, connections are switched off, as scripts after
        a clone often do so that a test instance reaches nothing of production, and tokens are gone.
        """
        for registry in self.data.rows["oauth_entity"].values():
            registry["redirect_url"] = f"https://{of}.service-now.com/oauth_redirect.do"
        for connection in self.data.rows["http_connection"].values():
            connection["active"] = "false"
        self.data.rows["oauth_credential"].clear()

    # -- around every request ------------------------------------------------------------------------------------------

    async def _exchange(self, request: Request) -> Response:
        try:
            body = await body_of(request)
        except ClientDisconnect:
            return Response(status_code=400)
        path, query = request.scope["path"], query_of(request)
        try:
            answer = self._answer(request, path, query, body)
        except Exception as problem:  # noqa: BLE001 - a defect of ours must show in the test that met it
            self.defects.append(problem)
            answer = Answer(500, b"The practice instance has a defect.", "text/plain")
        if request.method != "GET":
            self._changed()
        shown = "" if TICKET in query else query
        self.requests.append(RequestRecord(request.method, path, shown, answer.status, 0))
        return Delivery(answer, None)

    def _answer(self, request: Request, path: str, query: str, body: bytes) -> Answer:
        if strange := from_elsewhere(request):
            return Answer(403, strange.encode(), "text/plain")
        if path in ("/", "/records"):
            return self._page(request, query, body)
        if path in _ORDERS and request.method == "POST":
            return self._ordered(path, request.headers, body)
        return self.api.answer(request.method, path, query, request.headers, body)

    def _ordered(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Do what `RemoteInstance` asks for, whose key is the API key."""
        if not same(headers.get("x-sn-apikey", ""), self.api_key):
            return error(401, "User Not Authenticated", "Required to provide Auth information")
        if path == "/practice/clone":
            self.become_a_clone()
            return json_answer(200, {})
        try:
            return json_answer(200, {"written": self.import_xml(body)})
        except InputError as wrong:
            return error(400, wrong.message)

    def _page(self, request: Request, query: str, body: bytes) -> Answer:
        ticket = dict(parse_qsl(query)).get(TICKET)
        if ticket is not None and request.method == "GET":
            cookie = self.keys.open(ticket, self.port)
            if not cookie:
                return closed_page(used=True)
            return Answer(302, b"", "text/plain", [("location", "/records"), ("set-cookie", cookie), MARK])
        if not self.keys.admits(request.headers, self.port):
            return closed_page()
        return self.page_of(dict(read_form(body)) if request.method == "POST" else None)

    def page_of(self, form: Mapping[str, str] | None, above: str = "") -> Answer:
        """Show the records; with a form, do what it asks for first. `above` is markup that stands before the rest."""
        if form is None:
            return pages.records(self.data, above=above)
        try:
            if "registry" in form:
                told = self.save_secret(form["registry"], form.get("secret", ""))
            elif "credential" in form:
                told = self.get_token(form["credential"])
            else:
                told = f"Records imported: {len(self.import_xml(form.get('xml', '')))}."
        except InputError as error:
            return pages.records(self.data, problem=error.message, above=above)
        return pages.records(self.data, told=told, above=above)
