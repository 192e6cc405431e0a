"""The practice site itself: a small HTTP server in a thread, with everything that a test may want to ask or set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlencode, urlsplit

from spokekit._serving import listen
from spokekit.errors import (
    ConsentError,
    RedirectMismatch,
    ScopeNotEnabled,
    SiteAdminMustAuthorize,
)
from spokekit.practice.apps import DEFAULT_SCOPES, App
from spokekit.practice.exchange import Exchange, RequestRecord, WriteRecord
from spokekit.practice.http_app import Front
from spokekit.practice.instance_beside import InstanceBeside
from spokekit.practice.kept import Keeper
from spokekit.practice.keys import TICKET, Keys
from spokekit.practice.serving import Server
from spokekit.practice.start import DEFAULT_REDIRECT_URI, OPERATIONS, AppMake, Start, build, check_start

if TYPE_CHECKING:
    from spokekit.practice.api.gateway import Gateway
    from spokekit.practice.apps import Clock
    from spokekit.practice.faults import Faults
    from spokekit.practice.limits import Limits
    from spokekit.practice.oauth import AuthServer
    from spokekit.practice.pages.console import Console
    from spokekit.practice.switches import Switches
    from spokekit.practice.triggers import Triggers
    from spokekit.practice.world import World

Observer = Callable[[Exchange], None]


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """A site of the practice server: its cloud id, its name and the address that it would have."""

    cloud_id: str
    name: str
    url: str


class PracticeSite:
    """A site that behaves like Atlassian Cloud: OAuth 2.0 (3LO) and the Confluence REST API, on one loopback port.

    It is made for trying things out, for training and for tests, ours and yours::

        with PracticeSite() as site:
            token = site.issue_token()["access_token"]
            groups = httpx2.get(f"{site.api_base}/wiki/rest/api/group", headers={"Authorization": f"Bearer {token}"})

    Parameters
    ----------
    size, seed:
        The world: see `World`.
    sites:
        How many sites the account can reach. All have the same people; groups have other ids on each.
    port:
        Port on 127.0.0.1; 0 for a free one.
    latency_ms:
        Milliseconds that every answer under ``/ex/confluence`` is held back.
    strict:
        Refuse unknown query parameters with 400. Atlassian ignores them, which hides typing errors.
    signed_in:
        Who is signed in to Atlassian in the browser and for `issue_token`: ``"admin"`` (site administrator),
        ``"member"``, ``"guest"``, or ``"outsider"`` (no Confluence; in the world ``class`` only).
    redirect_uris:
        Callback URLs of the apps; matched character for character.
    faults:
        Faults to start with, as ``"name"`` or ``"name:argument"``; see `Faults`.
    client_id, client_secret:
        Of the first app. When left out they follow from the seed, so that a connection made yesterday still fits.
    key:
        What a program sends in ``X-Practice-Key`` to steer the site or to see its secrets; a new one when left out.
    salt:
        What only this person's processes know: with it nobody else can work the client secrets out from the seed.
    kept:
        A file in which the site stays as it is over a restart: worlds, apps, consents, tokens (as digests), clock. It
        is read at the start, and written whenever something changed.
    **switches:
        Anything in `Switches`.

    Attributes
    ----------
    first_start, start_point:
        The `Start` that the site was started with, and the one that it was put back to last.
    begun:
        A word that is another one after each reset, and the same after a restart that goes on.
    instance_beside:
        The practice instance that a lesson has asked for; ``instance_beside.made`` is None without one.
    keys:
        The `Keys`: ``site.keys.key``, and ``site.page("console")`` for a link that lets a browser in.
    url, auth_url:
        ``"http://127.0.0.1:PORT/"``, which stands for both of Atlassian's hosts.
    apps:
        The apps. The first has the nine scopes that ServiceNow's form asks for and the granular ones that spokekit
        can use; the second only the four that ServiceNow's page tells people to tick.
    sites, world, worlds:
        The sites as `SiteInfo`, the first site's `World`, and all worlds by cloud id.
    switches:
        The `Switches`; may be set at any time.
    faults:
        The `Faults` at work; add and clear at any time.
    requests:
        A `RequestRecord` for each request answered, oldest first. No token, code or secret is in it.
    written:
        A `WriteRecord` for each membership write that came over the API, oldest first.
    writes:
        Group id to the number of membership writes that were sent for it, refused and failed ones included.
    limits:
        The points ledger: ``site.limits.spend(site.client_id, 64_000)`` brings an app near its hourly quota.
    in_flight, most_in_flight:
        Requests being answered now, and at most at one time since the start.
    observers:
        Functions called with each `Exchange`, in the server's thread, before the answer is sent. Those in the class
        attribute ``observe_all`` are called for every practice site of the process.
    """

    observe_all: ClassVar[list[Observer]] = []

    first_start: Start
    start_point: Start
    begun: str
    worlds: dict[str, World]
    world: World
    signed_in: str
    apps: list[App]
    switches: Switches
    clock: Clock
    faults: Faults
    limits: Limits
    triggers: Triggers
    auth: AuthServer
    console: Console
    gateway: Gateway
    writes: dict[str, int]
    requests: list[RequestRecord]
    written: list[WriteRecord]

    def __init__(
        self,
        size: str = "class",
        seed: int = 1,
        *,
        sites: int = 1,
        port: int = 0,
        latency_ms: float = 0,
        strict: bool = False,
        signed_in: Literal["admin", "member", "guest", "outsider"] = "admin",
        redirect_uris: Iterable[str] = (DEFAULT_REDIRECT_URI,),
        faults: Iterable[str] = (),
        client_id: str = "",
        client_secret: str = "",
        key: str = "",
        salt: str = "",
        kept: str | Path | None = None,
        **switches: Any,
    ) -> None:
        self.latency_ms = latency_ms
        self.strict = strict
        self.app_make = AppMake(seed, client_id, client_secret, tuple(redirect_uris), salt)
        self.keys = Keys(key)
        self._server: Server | None = None
        self.instance_beside: InstanceBeside = InstanceBeside(self)
        self.first_start = check_start(Start(size, seed, sites, signed_in, tuple(faults), switches))
        build(self, self.first_start)
        self.keeper = Keeper(Path(kept)) if kept else None
        if self.keeper is not None:
            self.keeper.load(self, switches)
        self.observers: list[Observer] = []
        self.defects: list[Exception] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._wanted_port = port

    # -- running --------------------------------------------------------------------------------------------

    def start(self) -> PracticeSite:
        """Start serving; returns when requests are answered. Raises `InputError` when the port is taken."""
        listener = listen("127.0.0.1", self._wanted_port, "practice site")
        self.port: int = listener.getsockname()[1]
        front = Front(self)
        self._server = Server(front.app, listener, "practice site", http=front.protocol(), timeout_keep_alive=75)
        self.instance_beside.start()
        return self

    def stop(self) -> None:
        """Stop serving and release the port."""
        if self._server is not None:
            self._server.stop()
            self._server = None
            self.keep()
            self.instance_beside.stop()

    @property
    def serving(self) -> bool:
        """Whether requests are answered."""
        return self._server is not None

    def keep(self) -> None:
        """Write what changed into the file that the site is kept in, if there is one."""
        if self.keeper is not None:
            self.keeper.save(self)

    def keep_soon(self) -> None:
        """Keep the site between two of its requests, from another thread."""
        if self._server is not None:
            self._server.soon(self.keep)

    def reset(self, start: Start | None = None) -> None:
        """Put the site back to where it began, or to another `start`, in place: address, key and app ids stay.

        Worlds, apps, consents, tokens, clock, points, faults, switches and the request log are new; whoever held one of
        them holds the old one. Raises `InputError` for a start that cannot be, and changes nothing then.
        """
        start = check_start(start or self.first_start)
        if self._server is None:
            build(self, start)
        else:
            # Between two requests, never inside one.
            self._server.call(lambda: build(self, start))
        self.keep()

    def __enter__(self) -> PracticeSite:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if self.defects and kind is None:
            raise self.defects[0]

    # -- addresses and credentials --------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Address of the server; stands for https://api.atlassian.com/."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def auth_url(self) -> str:
        """Address of the authorisation server; stands for https://auth.atlassian.com/."""
        return self.url

    @property
    def api_base(self) -> str:
        """Address under which the first site's ``/wiki`` is."""
        return f"{self.url}ex/confluence/{self.world.cloud_id}"

    @property
    def sites(self) -> tuple[SiteInfo, ...]:
        """The sites of the server."""
        return tuple(SiteInfo(w.cloud_id, w.site_name, f"https://{w.site_host}") for w in self.worlds.values())

    def page(self, name: str = "console") -> str:
        """Return a link that opens one of the site's own pages in a browser, once; it holds a secret of the site."""
        return f"{self.url}{name}?{TICKET}={self.keys.ticket()}"

    @property
    def client_id(self) -> str:
        """Client id of the first app."""
        return self.apps[0].client_id

    @property
    def client_secret(self) -> str:
        """Client secret of the first app; a practice secret, so a plain text."""
        return self.apps[0].client_secret

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """Callback URLs of the first app."""
        return tuple(self.apps[0].redirect_uris)

    @property
    def account_id(self) -> str:
        """Account id of who is signed in."""
        return self.world.account(self.signed_in)

    def describe(self) -> dict[str, Any]:
        """Return what a person needs to connect, as `spokekit practice` prints it."""
        return {
            "url": self.url,
            "auth_url": self.auth_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "redirect_uris": list(self.redirect_uris),
            "key": self.keys.key,
            **({"words": self.keeper.words} if self.keeper is not None and self.keeper.words else {}),
            "sites": [{"cloud_id": site.cloud_id, "name": site.name, "url": site.url} for site in self.sites],
        }

    def allow_redirect(self, uri: str, *, app: App | None = None) -> None:
        """Register a callback URL with an app, or with all apps."""
        for one in [app] if app is not None else self.apps:
            self.auth.set_redirects(one, [*one.redirect_uris, uri])

    # -- what tests do --------------------------------------------------------------------------------------

    def issue_token(
        self, scopes: Iterable[str] | None = None, account: str | None = None, app: App | None = None
    ) -> dict[str, Any]:
        """Return a token endpoint's answer as after a consent to all sites, without a consent page.

        Parameters
        ----------
        scopes:
            Scopes of the token; the app's default list when left out (nine for the first app).
        account:
            Account id or role ("admin", "member", "guest", "outsider"); who is signed in when left out.
        app:
            One of ``site.apps``; the first when left out.
        """
        app = app or self.apps[0]
        chosen = tuple(scopes) if scopes is not None else (DEFAULT_SCOPES if app is self.apps[0] else app.scopes)
        who = account or self.signed_in
        account_id = who if self.world.user_row(who) is not None else self.world.account(who)
        grant = self.auth.consent(app, account_id, chosen, list(self.worlds))
        return self.auth.issue(grant, chosen)

    def play_browser(
        self, authorize_url: str, decision: Literal["accept", "cancel"] = "accept", site: str | None = None
    ) -> str:
        """Do what a person does with an authorise address: open it, choose a site, press a button.

        Parameters
        ----------
        authorize_url:
            The address that the app would open in the browser.
        decision:
            Which button is pressed.
        site:
            Cloud id to choose; the page's first choice (all sites, or the only one) when left out.

        Returns
        -------
        str
            The callback address that the browser is sent to. It is not opened.

        Raises
        ------
        RedirectMismatch, ScopeNotEnabled, SiteAdminMustAuthorize, ConsentError
            The page shows an error instead, and the app hears nothing.
        """
        parts = urlsplit(authorize_url)
        path = f"{parts.path}?{parts.query}"
        status, headers, text = self._browse("GET", path)
        if status == 302:
            return headers["location"]
        number = re.search(r'name="request" value="([^"]+)"', text)
        if number is None:
            raise _as_error(text)
        if site is None:
            option = re.search(r'<option value="([^"]*)"', text)
            site = option[1] if option else ""
        form = urlencode({"request": unescape(number[1]), "decision": decision, "site": site})
        status, headers, text = self._browse("POST", path, form)
        if status != 302:
            raise _as_error(text)
        return headers["location"]

    def _browse(self, method: str, path: str, form: str = "") -> tuple[int, dict[str, str], str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
            connection.request(method, path, body=form or None, headers=kind)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def advance(self, seconds: float) -> None:
        """Move the site's clock forward: tokens, codes and quotas age by so many seconds at once."""
        self.clock.offset += seconds

    @property
    def quiet(self) -> bool:
        """Whether nobody is in the middle of a consent or of a request."""
        return self.in_flight == 0 and self.auth.quiet()

    def sign_in(self, role: str) -> None:
        """Sign in as another person in the browser: admin, member, guest or outsider. Raises `InputError`."""
        self.world.account(role)
        self.signed_in = role

    def change_password(self, account: str | None = None) -> None:
        """End the refresh tokens of an account, as a changed password does; access tokens live on."""
        self.auth.end_families(account or self.account_id)

    def remove_app(self, account: str | None = None, *, app: App | None = None) -> None:
        """Take the consent (to one app) back, as a person does under "Connected apps": its tokens are dead."""
        client_id = app.client_id if app is not None else None
        self.auth.end_families(account or self.account_id, access_too=True, client_id=client_id)

    def limit_scopes(self, cloud_id: str, scopes: Iterable[str]) -> None:
        """Let only these scopes count on one site, whatever was consented to."""
        self.auth.site_scopes[cloud_id] = frozenset(scopes)

    def count(self, what: str) -> int:
        """Return how many requests had this name, or this text in their path.

        Names: authorize, exchange, refresh, accessible-resources, me, and for Confluence groups, group, picker,
        members, add, remove, user, current, bulk, memberof, users-bulk, spaces, space-permissions, pages, search ...
        """
        if what in OPERATIONS:
            return sum(record.name == what for record in self.requests)
        return sum(what in record.path for record in self.requests)


def _as_error(text: str) -> ConsentError:
    code = re.search(r'<code id="error">([^<]*)', text)
    words = re.search(r"</h1>\s*<p>([^<]*)", text)
    message = unescape(words[1]) if words else "The practice site shows an error page."
    error = unescape(code[1]) if code else ""
    if message.startswith("redirect_uri"):
        return RedirectMismatch(message)
    if error == "invalid_scope":
        return ScopeNotEnabled(message)
    if message.startswith("Your site admin"):
        return SiteAdminMustAuthorize(message)
    return ConsentError(message)
