"""Save and Get OAuth Token, without a widget: consent, callback, exchange, sites, account, all saved.

::

    Attempt.start(connection, tokens, receiver)     a state, an expiry, an address to open
        .admit(callback)                            at the door: right state, first delivery, in time
        .complete(callback)                         exchange; the token is saved before anything else happens
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Protocol

from spokekit._secret import Secret
from spokekit.connections.connection import Connection, Connections
from spokekit.errors import (
    CallbackRefused,
    ConsentCancelled,
    ConsentError,
    ConsentTimedOut,
    NoSite,
    NotConfigured,
    SiteChoiceNeeded,
)
from spokekit.oauth.answers import explain_callback
from spokekit.oauth.callbacks import Callback, Receiver
from spokekit.oauth.endpoint import Account, Endpoint, Site
from spokekit.oauth.receivers import ReceiverName, choose_receiver, make_receiver
from spokekit.oauth.status import TokenStatus
from spokekit.oauth.tokens import Tokens

LIFETIME = 600.0
AUDIENCE = "api.atlassian.com"

ChooseSite = Callable[[Sequence[Site]], "Site | str | None"]


@dataclass(frozen=True)
class Granted:
    """What a consent gave."""

    sites: tuple[Site, ...]
    account: Account | None
    scopes: tuple[str, ...]


class Attempt:
    """One attempt to get a token: made by `start`, good for ten minutes and for one callback."""

    def __init__(self, connection: Connection, tokens: Tokens, receiver: Receiver, *, pkce: bool) -> None:
        self.connection = connection
        self.redirect_uri = receiver.redirect_uri
        self.state = Secret(secrets.token_urlsafe(32))
        self.expires_at = datetime.now(UTC) + timedelta(seconds=LIFETIME)
        self._ends = time.monotonic() + LIFETIME
        self._tokens = tokens
        self._receiver = receiver
        self._endpoint: Endpoint = tokens.endpoint(connection)
        self._verifier = Secret(secrets.token_urlsafe(48)) if pkce else None
        self._lock = threading.Lock()
        self._admitted: Callback | None = None
        self._cancelled = False
        self._completed = False

    def __repr__(self) -> str:
        return f"Attempt({self.connection.name!r}, {self._receiver.name}, until {self.expires_at:%H:%M} UTC)"

    @classmethod
    def start(cls, connection: Connection, tokens: Tokens, receiver: Receiver, *, pkce: bool | None = None) -> Attempt:
        """Begin an attempt and let `receiver` listen.

        Parameters
        ----------
        pkce:
            Whether to prove with the exchange that it comes from here (S256). Without it: when the connection says so
            or the server's metadata offers it; never by itself at Atlassian, which documents nothing of it.

        Raises
        ------
        NotConfigured
            The client id or the client secret is missing.
        ConsentError
            The receiver cannot listen.
        """
        if not connection.client_id:
            raise NotConfigured(
                f"The connection “{connection.name}” has no OAuth client id.",
                hint="Copy it from the app's Settings page into the connection.",
            )
        # Opened now, so that a missing or damaged secret is told before the person consents.
        tokens.client_secret(connection)
        if pkce is None:
            pkce = connection.pkce or tokens.endpoint(connection).advertises_pkce()
        attempt = cls(connection, tokens, receiver, pkce=pkce)
        receiver.open(attempt.admit, lambda: attempt._address(None), attempt.state, LIFETIME)
        return attempt

    @property
    def authorize_url(self) -> str:
        """The consent page's address; it holds the state, so show it to the person only."""
        return self._address(self.state)

    @property
    def link(self) -> str:
        """What the person opens: the consent page, or the address in the Jupyter server that leads there."""
        return self._receiver.link(self.authorize_url)

    def _address(self, state: Secret | None) -> str:
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        more: dict[str, str] = {"audience": AUDIENCE, "prompt": "consent"}
        if self._verifier is not None:
            more["code_challenge"] = create_s256_code_challenge(self._verifier.reveal())
            more["code_challenge_method"] = "S256"
        address: str = prepare_grant_uri(
            f"{self.connection.auth_url.rstrip('/')}/authorize",
            self.connection.client_id,
            "code",
            redirect_uri=self.redirect_uri,
            scope=" ".join(self.connection.scopes),
            state=state.reveal() if state is not None else None,
            **more,
        )
        # Atlassian documents %20 between scopes; a plus sign in a value is written as %2B, so these are all spaces.
        return address.replace("+", "%20")

    def seconds_left(self) -> float:
        """Return for how long the attempt still counts."""
        return max(0.0, self._ends - time.monotonic())

    def admit(self, callback: Callback) -> None:
        """Let `callback` in if it is the one waited for; the first one that is, uses the attempt up.

        Raises
        ------
        CallbackRefused
            Its state is not this attempt's (the attempt goes on), or a callback came before.
        ConsentTimedOut, ConsentCancelled
            The attempt is over.
        """
        with self._lock:
            if self._cancelled:
                raise _cancelled()
            if self._admitted is not None:
                raise CallbackRefused(
                    "A callback was received before; each attempt takes one.",
                    likely="The page was loaded again, or the address was delivered twice.",
                    hint="Go back to where you came from; start anew if no token arrived.",
                )
            if self.seconds_left() <= 0:
                raise _timed_out(LIFETIME)
            if callback.state is None or callback.state != self.state:
                raise CallbackRefused(
                    "This is not the answer to the attempt that is waiting: its state differs.",
                    likely="It belongs to an earlier attempt, or the link came from somebody else.",
                    hint="Use the link of this attempt, and the page that it leads to.",
                )
            self._admitted = callback

    def complete(self, callback: Callback) -> Granted:
        """Exchange the code, save the token, and look up sites and account.

        The token is saved first: if looking up the sites fails, the consent is not lost.

        Raises
        ------
        ConsentError
            One kind for each thing that can go wrong; see `spokekit.errors`.
        """
        if callback is not self._admitted:
            self.admit(callback)
        with self._lock:
            if self._completed:
                raise CallbackRefused("This callback was used before.")
            self._completed = True
        if callback.error is not None:
            raise explain_callback(callback.error, callback.error_description, self.redirect_uri)
        if callback.code is None:
            raise CallbackRefused("The callback holds no code.")
        secret = self._tokens.client_secret(self.connection)
        answer = self._endpoint.redeem(callback.code, self.redirect_uri, secret, self._verifier)
        self._tokens.save_grant(self.connection, answer)
        scopes = self.connection.scopes if answer.scopes is None else answer.scopes
        sites = self._endpoint.sites(answer.access_token)
        account = self._endpoint.account(answer.access_token) if "read:me" in scopes else None
        return Granted(sites, account, scopes)

    def cancel(self) -> None:
        """End the attempt; a callback that comes later is refused."""
        with self._lock:
            self._cancelled = True
        self._receiver.close()


class Place(Protocol):
    """What `get_token` needs of a workspace."""

    @property
    def connections(self) -> Connections: ...

    @property
    def tokens(self) -> Tokens: ...


class Cancel(Protocol):
    """A `threading.Event`, or anything with its ``is_set``."""

    def is_set(self) -> bool: ...


def get_token(
    workspace: Place,
    connection: Connection,
    *,
    receiver: Receiver | ReceiverName | None = None,
    open_browser: Callable[[str], object] | None = None,
    show_address: Callable[[str], object] | None = None,
    choose_site: ChooseSite | None = None,
    timeout: float = LIFETIME,
    paste: Callable[[str], str | None] | None = None,
    cancel: Cancel | None = None,
    tell: Callable[[str], object] | None = None,
) -> TokenStatus:
    """Get a token for `connection`: everything that the button does after saving. Blocks; see `get_token_async`.

    Parameters
    ----------
    receiver:
        How the redirect comes back: a name, a receiver of your own (its `deliver` takes pasted addresses), or None to
        let `choose_receiver` decide.
    open_browser, show_address:
        Called with the address to open.
    choose_site:
        Called with the sites when the grant reaches several; returns one of them or its cloud id.
    timeout:
        How long to wait for the person, in seconds; at most ten minutes.
    paste:
        Asks for the pasted address, with a sentence to show; returns None when there is no more input. Used by the
        receiver ``paste``; without it, somebody else calls ``receiver.deliver``.
    cancel:
        Ends the attempt once it is set.
    tell:
        Called with a sentence at each step.

    Raises
    ------
    ConsentError
        One kind for each thing that can go wrong. With `SiteChoiceNeeded` and `NoSite` the token is saved already.
    NotConfigured, VaultError, TransportError, ServiceError
        Client id or secret are missing, a sealed secret does not open, Atlassian gives no usable answer.
    """
    say = tell or (lambda words: None)
    if receiver is None:
        receiver, reason = choose_receiver(connection.redirect_uri)
        say(reason)
    elif not isinstance(receiver, Receiver):
        receiver = make_receiver(receiver, connection.redirect_uri)
    try:
        attempt = Attempt.start(connection, workspace.tokens, receiver)
        if show_address is not None:
            show_address(attempt.link)
        if open_browser is not None:
            open_browser(attempt.link)
        say("Waiting for your consent in the browser.")
        callback = _await(attempt, receiver, min(timeout, LIFETIME), paste, cancel, say)
        # The browser has its answer; nothing that comes later counts.
        receiver.close()
        say("Consent received. Getting the token.")
        granted = _to_the_end(partial(attempt.complete, callback))
    finally:
        receiver.close()
    return _settle(workspace, connection, granted, choose_site, say)


def _await(
    attempt: Attempt,
    receiver: Receiver,
    timeout: float,
    paste: Callable[[str], str | None] | None,
    cancel: Cancel | None,
    say: Callable[[str], object],
) -> Callback:
    ends = time.monotonic() + timeout
    asked = "Paste the whole address of the page after the consent: "
    while True:
        if cancel is not None and cancel.is_set():
            attempt.cancel()
            raise _cancelled()
        left = min(ends - time.monotonic(), attempt.seconds_left())
        if left <= 0:
            attempt.cancel()
            raise _timed_out(timeout)
        if paste is not None and receiver.name == "paste":
            pasted = _sealed(paste(asked))
            if pasted is None:
                attempt.cancel()
                raise ConsentCancelled(
                    "The input ended before an address was pasted.", hint="Run it again in a terminal, or use a widget."
                )
            try:
                receiver.deliver(pasted)
            except CallbackRefused as error:
                say(str(error))
                continue
        callback = receiver.wait(min(left, 0.2))
        if callback is not None:
            return callback


def _sealed(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)


def _to_the_end(work: Callable[[], Granted]) -> Granted:
    """Run `work` in a thread of its own: an interrupted cell must not throw away a code that was sent."""
    outcome: Future[Granted] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits must hear of it
            outcome.set_exception(error.with_traceback(None))

    threading.Thread(target=run, name="spokekit-exchange", daemon=False).start()
    return outcome.result()


def _settle(
    workspace: Place,
    connection: Connection,
    granted: Granted,
    choose_site: ChooseSite | None,
    say: Callable[[str], object],
) -> TokenStatus:
    site = pick_site(connection, granted.sites, choose_site)
    workspace.connections.set_site(connection.connection_id, site.cloud_id, site.name, site.url)
    if granted.account is not None:
        workspace.connections.set_account(connection.connection_id, granted.account.account_id, granted.account.name)
    say(f"Connected to {site.name}.")
    return workspace.tokens.status(connection)


def pick_site(connection: Connection, sites: Sequence[Site], choose: ChooseSite | None = None) -> Site:
    """Return the site of the connection: the only one, or the one chosen; never a guess.

    Raises
    ------
    NoSite
        The grant reaches no site with Confluence.
    SiteChoiceNeeded
        It reaches several, or another one than the connection was for, and nobody chose.
    """
    if not sites:
        raise NoSite(
            "The consent was given, but it reaches no site with Confluence.",
            likely="The account has no Confluence, or a site without Confluence was chosen on the consent page.",
            hint="Sign in with an account that uses Confluence, or ask a site admin for access, then try again.",
        )
    known = next((site for site in sites if site.cloud_id == connection.cloud_id), None)
    if known is not None:
        return known
    if len(sites) == 1 and not connection.cloud_id:
        return sites[0]
    chosen = choose(tuple(sites)) if choose is not None else None
    wanted = chosen.cloud_id if isinstance(chosen, Site) else chosen
    for site in sites:
        if wanted is not None and wanted in (site.cloud_id, site.url, site.url.rstrip("/"), site.name):
            return site
    names = ", ".join(f"{site.name} ({site.url})" for site in sites)
    if connection.cloud_id:
        what = f"The connection was for {connection.site_name or connection.cloud_id}; this consent reaches: {names}."
    else:
        what = f"The consent reaches several sites: {names}."
    raise SiteChoiceNeeded(
        what,
        hint="Choose one of them. The token is saved; no new consent is needed for that.",
        sites=tuple((site.cloud_id, site.name, site.url) for site in sites),
    )


async def get_token_async(
    workspace: Place, connection: Connection, *, cancel: threading.Event | None = None, **options: object
) -> TokenStatus:
    """Do what `get_token` does, in a worker thread; cancelling the task ends the attempt cleanly."""
    import anyio

    stop = cancel or threading.Event()
    work: Callable[[], TokenStatus] = partial(get_token, workspace, connection, cancel=stop, **options)  # type: ignore[arg-type]
    try:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    finally:
        # When the task was cancelled the thread sees this within a moment, closes the listener and ends.
        stop.set()


def _cancelled() -> ConsentCancelled:
    return ConsentCancelled(
        "The attempt was cancelled; nothing was changed.", hint="Press Get OAuth Token to begin anew."
    )


def _timed_out(seconds: float) -> ConsentError:
    minutes = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    return ConsentTimedOut(
        f"No answer from the consent page came within {minutes}.",
        likely="The page was closed, or it could not come back to this computer.",
        hint="Press Get OAuth Token again; if the page after the consent does not load, paste its address.",
    )
