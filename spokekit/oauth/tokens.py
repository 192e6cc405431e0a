"""Keeping a token alive: one refresher at a time over threads, tasks and processes.

A reader with a valid token reads one row and waits for nobody. Who finds the token expired starts one refresh for this
process, or joins the one that runs. It happens in a thread of its own, which no cancelled task and no interrupted cell
can stop half-way, inside a write transaction of the store: read again, ask only if still needed, write the rotated
token down, release. Before the request a mark is committed, so that a refresh whose answer was lost (the process was
killed, the line was cut) is known and tried again within the ten minutes in which Atlassian accepts the same token.
A token that the store does not take is kept aside (`spokekit.oauth.unsaved`) and goes in as soon as it can.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio.to_thread

from spokekit._ids import BLANK
from spokekit._secret import Secret
from spokekit._words import moment
from spokekit.connections.connection import Connection, account_changes, credentials, forget_grant
from spokekit.connections.kinds import connection_kinds, is_read_only
from spokekit.connections.store import Store
from spokekit.errors import (
    ConsentNeeded,
    NotConfigured,
    NotFound,
    SpokekitError,
    StoreError,
    UnexpectedAnswer,
)
from spokekit.oauth.answers import TokenAnswer
from spokekit.oauth.endpoint import Endpoint
from spokekit.oauth.grants import Grant, open_grant, open_secret, opened_grant, seal_secret
from spokekit.oauth.pending import Pending
from spokekit.oauth.single_refresh import awaited, flights, wait_for
from spokekit.oauth.status import Reach, Record, TokenStatus, describe, to_answer, who, without_site
from spokekit.oauth.token_rows import account_in, after_failure, lease, update_row
from spokekit.oauth.unsaved import Kept
from spokekit.oauth.vault import Vault

if TYPE_CHECKING:
    import httpx2

SKEW = timedelta(seconds=60)


class TokenSource(Protocol):
    """What the gateway takes: gives the access token; told of a rejected one, gives another or says why not."""

    async def __call__(self, *, rejected: Secret | None = None) -> Secret: ...


class _Source:
    """The token source of one connection, which also knows what the consent covers."""

    def __init__(self, tokens: Tokens, connection: Connection) -> None:
        self._tokens, self._connection = tokens, connection

    async def __call__(self, *, rejected: Secret | None = None) -> Secret:
        tokens, connection = self._tokens, self._connection
        usable = partial(tokens._usable, connection, rejected)
        while True:
            token = await anyio.to_thread.run_sync(usable, abandon_on_cancel=True)
            if token is None:
                token = await awaited(tokens._join(connection, rejected))
            if rejected is None or token != rejected:
                return token

    def granted(self) -> tuple[str, ...]:
        """Return the scopes that the consent covers; empty where that is not known."""
        try:
            return self._tokens.status(self._connection).scopes or ()
        except SpokekitError:
            return ()

    def read_only(self) -> bool:
        """Tell whether the connection is marked read-only by now."""
        with self._tokens.store.read() as db:
            return is_read_only(db, self._connection.connection_id)

    def without_site(self) -> SpokekitError | None:
        """Return why there is no site although a token is there; None when that is not so."""
        return without_site(self._connection) if self._tokens.status(self._connection).needs_site else None


class Tokens:
    """The tokens and client secrets of all connections of `store`, sealed by `vault`. Safe to share between threads.

    Parameters
    ----------
    transport:
        Where requests go instead of the network, for tests.
    now:
        The clock, a function that returns an aware time; the default is the computer's.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        *,
        transport: httpx2.BaseTransport | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.store = store
        self.vault = vault
        self.pending = Pending(store, vault)
        self._transport = transport
        self._now = now or (lambda: datetime.now(UTC))

    def __repr__(self) -> str:
        return f"Tokens({self.store.describe()})"

    def endpoint(self, connection: Connection) -> Endpoint:
        """Return the authorisation server of `connection`."""
        return Endpoint(connection, transport=self._transport)

    # -------------------------------------------------------------- secrets and grants

    def set_client_secret(self, connection: Connection, secret: Secret | None) -> None:
        """Keep the client secret sealed, without blanks at its ends; None forgets it."""
        self._ready()
        secret = Secret(secret.reveal().strip(BLANK)) if secret else None
        with self.store.write() as db:
            Record.read(db, connection, lock=True)
            sealed = None if not secret else seal_secret(secret, connection, self.vault.sealer())
            update_row(db, connection, client_secret=sealed, reason="")

    def has_client_secret(self, connection: Connection) -> bool:
        """Tell whether a client secret is saved (not whether it is right)."""
        return self._record(connection).client_secret is not None

    def client_secret(self, connection: Connection) -> Secret:
        """Return the client secret; raises `NotConfigured` when none is saved."""
        return self._secret_of(self._record(connection), connection)

    def _secret_of(self, record: Record, connection: Connection) -> Secret:
        if record.client_secret is None:
            raise NotConfigured(
                f"The connection “{connection.name}” has no client secret.",
                hint="Enter the client secret from the app's Settings page and save.",
                next_step="fix_secret",
            )
        return open_secret(record.client_secret, self.vault, connection)

    def save_grant(self, connection: Connection, answer: Mapping[str, Any] | TokenAnswer) -> None:
        """Keep the token that a consent gave. `answer` is the token endpoint's JSON, as a mapping.

        Raises `UnexpectedAnswer` when it holds no access token.
        """
        answer = TokenAnswer.of(answer)  # type: ignore[assignment] # from here on nothing local is a secret in clear
        if not isinstance(answer, TokenAnswer):
            raise UnexpectedAnswer("The answer holds no access token.", status=200, endpoint="POST /oauth/token")
        try:
            record = self.pending.row(connection)
        except StoreError:
            # Not even to be read: whatever stands there was there before this consent.
            record = Record(generation=sys.maxsize)
        self.adopt(connection, Kept.consented(connection, answer, record, self._now()))

    def receive(self, connection: Connection, redeem: Callable[[], TokenAnswer]) -> Kept:
        """Keep aside what a consent gives, in a sealed file, until it is known who gave it: then `adopt` it.

        Where the connection has spoken for an account before, it is marked as one to ask about.
        """
        # Everything that can fail here without the server is done before the server takes the code.
        record, before = self.pending.row(connection), self.account(connection)[0]
        with self.pending.room(connection) as room:
            kept = Kept.consented(connection, redeem(), record, self._now())
            kept = replace(kept, asks=before is not None)
            self.pending.keep(connection, kept, room)
        return kept

    def adopt(self, connection: Connection, kept: Kept) -> None:
        """Let a token that a consent gave take its place in the store, and note who gave it where that was asked.

        A store that cannot be written does not lose it: it is kept in a sealed file, and goes in as soon as it can.
        """
        kept = replace(kept, asks=False)
        try:
            self.pending.put(connection, kept, as_it_is=True)
        except NotFound:
            self.pending.drop(kept)
            raise
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being written, the token is not lost
            self.pending.hold(connection, kept, None, error)

    def forget(self, connection: Connection) -> None:
        """Forget the token here; the client secret stays. The consent itself ends in the account's settings."""
        self._ready()
        with self.store.write() as db:
            forget_grant(db, connection.connection_id)
        for kept in self.pending.all_of(connection):
            self.pending.drop(kept)

    def stored(self, connection: Connection) -> Secret | None:
        """Return the access token that is here, expired or not; None where none is, or none that opens. Asks nobody."""
        grant = opened_grant(self._record(connection).sealed_grant, self.vault, connection)
        return None if grant is None else grant.access_token

    def status(self, connection: Connection) -> TokenStatus:
        """Say how the token stands, in words and as a state; asks nobody and raises nothing."""
        record = self._record(connection)
        with self.store.read() as db:
            reach = Reach.read(db, connection)
        found = describe(connection, record, self.vault, self._now(), reach)
        told = self.pending.words(connection)
        waits = self._waits(connection)
        if not told and not waits:
            return found
        words = " ".join(filter(None, (found.words, told, waits)))
        return replace(found, words=words, kept=told, waits=waits, attention=True)

    def _waits(self, connection: Connection) -> str:
        kept = self.pending.waiting(connection)
        if kept is None:
            return ""
        return (
            f"{who(kept.account_id, kept.account_name)} consented at {moment(kept.refreshed_at)}, and the connection "
            f"has spoken for {who(*self.account(connection))} so far: that token is kept aside, sealed, and waits for "
            f"your answer. {to_answer(connection)}"
        )

    def account(self, connection: Connection) -> tuple[str | None, str | None]:
        """Return the id and the name of the account for which the connection speaks; None where not known."""
        with self.store.read() as db:
            return account_in(db, connection)

    # -------------------------------------------------------------- the access token

    def access_token(self, connection: Connection, *, rejected: Secret | None = None) -> Secret:
        """Return a valid access token, after a refresh when needed; for a service account, a new one when needed.

        Parameters
        ----------
        rejected:
            The token that the service has just refused. It is not given again: either somebody renewed it in the
            meantime, or it is renewed now.

        Raises
        ------
        NotConfigured, ConsentNeeded, ClientSecretRefused, VaultError
            When a person has to do something; ``next_step`` says what.
        TransportError, ServiceError
            When the authorisation server did not answer usefully; the saved token is kept.
        """
        while True:
            token = self._usable(connection, rejected)
            if token is None:
                token = wait_for(self._join(connection, rejected))
            if rejected is None or token != rejected:
                return token
            # A flight that began before the rejection found the token still good: now a new one is needed.

    def source(self, connection: Connection) -> TokenSource:
        """Return what the gateway takes: `access_token` for tasks. Cancelling a task never cancels a refresh."""
        return _Source(self, connection)

    def _join(self, connection: Connection, rejected: Secret | None) -> Future[Secret]:
        """Return the refresh that runs in this process, or start one."""
        work = partial(self._refresh, connection, rejected)
        again = (
            (lambda: None)
            if connection.is_service_account
            else partial(_try_again, weakref.ref(self), connection, rejected)
        )
        return flights(self.store).join(connection.connection_id, work, again)

    def _usable(self, connection: Connection, rejected: Secret | None) -> Secret | None:
        """Return the stored token when it is good as far as we know, None when a refresh is needed."""
        return self._judge(self._record(connection), connection, rejected)[0]

    def _judge(
        self, record: Record, connection: Connection, rejected: Secret | None
    ) -> tuple[Secret | None, Grant | None]:
        grant: Grant | None
        if connection.is_service_account:
            # Whatever is wrong with the token that is here, the next one does not come from it.
            grant = opened_grant(record.sealed_grant, self.vault, connection)
            if grant is None or not grant.fits(connection):
                return None, None
        else:
            grant = self._consented(record, connection)
        usable = not self._expired(record, grant) and (rejected is None or grant.access_token != rejected)
        return (grant.access_token if usable else None), grant

    def _consented(self, record: Record, connection: Connection) -> Grant:
        """Return the grant of a person's consent; raises `ConsentNeeded` where it is of no use."""
        if record.sealed_grant is None:
            raise ConsentNeeded(
                f"The connection “{connection.name}” has no token yet.",
                hint="Press Save and Get OAuth Token, or run: spokekit token get.",
            )
        grant = open_grant(record.sealed_grant, self.vault, connection)
        if not grant.fits(connection):
            raise ConsentNeeded(
                f"The token of “{connection.name}” was given to another app or by another server.",
                likely="The OAuth client id or the authorisation URL of the connection was changed.",
                hint="Press Get OAuth Token and consent again.",
            )
        if record.state == "consent_needed":
            raise ConsentNeeded(record.reason, hint="Press Get OAuth Token and consent again.")
        return grant

    def _expired(self, record: Record, grant: Grant) -> bool:
        now, lifetime = self._now(), timedelta(seconds=grant.lifetime)
        if record.expires_at is None or record.refreshed_at is None:
            return True
        # A lifetime below the skew must not make every call a refresh. A token from the future means that the clock
        # was turned back since: nobody knows then how old it is.
        return now > record.expires_at - min(SKEW, lifetime / 2) or now < record.refreshed_at - lifetime

    # -------------------------------------------------------------- the refresh

    def _refresh(self, connection: Connection, rejected: Secret | None) -> Secret:
        """Renew the token under the lease; only a flight calls this, in a thread of its own."""
        token = self._mark(connection, rejected)
        if token is not None:
            return token
        with self.pending.room(connection) as room:
            return self._renew(connection, rejected, room)

    def _renew(self, connection: Connection, rejected: Secret | None, room: Path | None) -> Secret:
        failure: SpokekitError | None = None
        kept: Kept | None = None
        try:
            with lease(self.store, connection) as held:
                record = held.record()
                token, grant = self._judge(record, connection, rejected)
                if token is not None:
                    return token
                # Everything that can fail here without the server is done before the server rotates the token.
                secret, sealer, account_id = self._secret_of(record, connection), self.vault.sealer(), held.account()
                try:
                    answer = self._ask(connection, grant, secret)
                except SpokekitError as error:
                    failure = error.with_traceback(None)
                    held.save(record, **after_failure(error, record, self._now()))
                else:
                    kept = Kept.renewed(connection, answer, grant, record, account_id, self._now())
                    held.save(record, **kept.values(record, sealer))
        except NotFound:
            raise
        except Exception as error:
            if kept is None:
                raise
            # The server has rotated the token: what is in hand is the only one that will work.
            self.pending.hold(connection, kept, sealer, error, room)
        if kept is None:
            assert failure is not None  # noqa: S101 - one of the two came out of the request
            raise failure
        return kept.grant.access_token

    def _ask(self, connection: Connection, grant: Grant | None, secret: Secret) -> TokenAnswer:
        endpoint = self.endpoint(connection)
        if connection.is_service_account:
            return endpoint.service_token(secret)
        assert grant is not None and grant.refresh_token is not None  # noqa: S101 - _mark saw to it
        return endpoint.refresh(grant.refresh_token, secret)

    def _mark(self, connection: Connection, rejected: Secret | None) -> Secret | None:
        """Commit that a refresh begins, before anything is sent; returns a token when none is needed any more."""
        with self.store.write() as db:
            record = self.pending.taken_in(db, connection)
            token, grant = self._judge(record, connection, rejected)
            if token is not None:
                return token
            if connection.is_service_account:
                # Nothing is used up by asking, so there is nothing to know of a request whose answer was lost.
                return None
            if grant is None or grant.refresh_token is None:
                raise ConsentNeeded(
                    f"The token of “{connection.name}” has expired and cannot be renewed.",
                    likely="The consent was given without the scope offline_access, so there is no refresh token.",
                    hint="Add offline_access to the connection's scopes, then press Get OAuth Token.",
                )
            if record.refresh_started_at is None:
                update_row(db, connection, refresh_started_at=self._now())
        return None

    # -------------------------------------------------------------- the row

    def _record(self, connection: Connection) -> Record:
        return self.pending.record(connection)

    def _ready(self) -> None:
        self.store.ensure(credentials, account_changes, connection_kinds)


def _try_again(tokens: weakref.ref[Tokens], connection: Connection, rejected: Secret | None) -> None:
    """Refresh in the background, if anybody still has these tokens open."""
    owner = tokens()
    if owner is not None:
        # Whatever goes wrong was noted in the row, and is told to whoever asks for the token next.
        with suppress(SpokekitError):
            owner.access_token(connection, rejected=rejected)
