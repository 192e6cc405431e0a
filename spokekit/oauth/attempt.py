"""One attempt to get a token: its state, its time, and the one callback that it takes.

::

    Attempt.start(connection, tokens, receiver)     a state, an expiry, an address to open
        .admit(callback)                            at the door: right state, first delivery, in time
        .complete(callback)                         exchange; the token is kept before anything else happens
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from spokekit._secret import Secret
from spokekit._words import span
from spokekit.connections.connection import Connection
from spokekit.errors import CallbackRefused, ConsentCancelled, ConsentError, ConsentTimedOut, NotConfigured
from spokekit.oauth.answers import explain_callback
from spokekit.oauth.callbacks import Callback, Receiver
from spokekit.oauth.endpoint import Account, Endpoint, Site
from spokekit.oauth.tokens import Tokens
from spokekit.oauth.unsaved import Kept

LIFETIME = 600.0
AUDIENCE = "api.atlassian.com"


@dataclass(frozen=True)
class Granted:
    """What a consent gave; ``waiting`` is its token where a person is to be asked about the account first."""

    sites: tuple[Site, ...]
    account: Account | None
    scopes: tuple[str, ...]
    waiting: Kept | None = None


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

    def authorize_url(self) -> str:
        """Return the consent page's address; it holds the state, so show it to the person only.

        No property: a debugger evaluates those to show them.
        """
        return self._address(self.state)

    def link(self) -> str:
        """Return what the person opens: the consent page, or the address in the Jupyter server that leads there."""
        return self._receiver.link(self.authorize_url())

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
                raise cancelled()
            if self._admitted is not None:
                raise CallbackRefused(
                    "A callback was received before; each attempt takes one.",
                    likely="The page was loaded again, or the address was delivered twice.",
                    hint="Go back to where you came from; start anew if no token arrived.",
                )
            if self.seconds_left() <= 0:
                raise timed_out(LIFETIME)
            if callback.state is None or callback.state != self.state:
                raise CallbackRefused(
                    "This is not the answer to the attempt that is waiting: its state differs.",
                    likely="It belongs to an earlier attempt, or the link came from somebody else.",
                    hint="Use the link of this attempt, and the page that it leads to.",
                )
            self._admitted = callback

    def complete(self, callback: Callback) -> Granted:
        """Exchange the code, look up sites and account, and save the token.

        The token is kept aside first: if looking up the sites fails, the consent is not lost. It stays there, and the
        token of before in use, when the connection has spoken for another account so far (``Granted.waiting``).

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
        code, connection, tokens = callback.code, self.connection, self._tokens
        kept = tokens.receive(
            connection, lambda: self._endpoint.redeem(code, self.redirect_uri, secret, self._verifier)
        )
        try:
            sites, account = identify(self._endpoint, kept)
        except BaseException:
            if not kept.asks:
                # A failure now must not lose the consent.
                tokens.adopt(connection, kept)
            raise
        scopes = tuple(kept.scopes.split())
        kept = kept.given_by(account)
        if kept.asks and kept.account_id != tokens.account(connection)[0]:
            tokens.pending.keep(connection, kept)
            return Granted(sites, account, scopes, kept)
        tokens.adopt(connection, kept)
        return Granted(sites, account, scopes)

    def cancel(self) -> None:
        """End the attempt; a callback that comes later is refused."""
        with self._lock:
            self._cancelled = True
        self._receiver.close()


def identify(endpoint: Endpoint, kept: Kept) -> tuple[tuple[Site, ...], Account | None]:
    """Return the sites that a new token reaches, and whom it speaks for."""
    token = kept.grant.access_token
    sites = endpoint.sites(token)
    return sites, who_consented(endpoint, token, tuple(kept.scopes.split()), sites)


def who_consented(
    endpoint: Endpoint, token: Secret, scopes: tuple[str, ...], sites: tuple[Site, ...]
) -> Account | None:
    """Return who a token speaks for: from the identity API, else from Confluence, else None."""
    account = endpoint.account(token) if "read:me" in scopes else None
    if account is None and sites:
        account = endpoint.person(token, sites[0].cloud_id)
    return account


def cancelled() -> ConsentCancelled:
    return ConsentCancelled(
        "The attempt was cancelled; nothing was changed.", hint="Press Get OAuth Token to begin anew."
    )


def timed_out(seconds: float) -> ConsentError:
    return ConsentTimedOut(
        f"No answer from the consent page came within {span(seconds)}.",
        likely="The page was closed, showed an error of Atlassian's own, or could not come back to this computer.",
        hint="Press Get OAuth Token again, and paste the address of the page on which you end: it says what happened.",
    )
