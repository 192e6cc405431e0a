"""Keeping a token alive: one refresher at a time over threads, tasks and processes.

A reader with a valid token reads one row and waits for nobody. Who finds the token expired starts one refresh for this
process, or joins the one that runs. It happens in a thread of its own, which no cancelled task and no interrupted cell
can stop half-way, inside a write transaction of the store: read again, ask only if still needed, write the rotated
token down, release. Before the request a mark is committed, so that a refresh whose answer was lost (the process was
killed, the line was cut) is known and tried again within the ten minutes in which Atlassian accepts the same token.
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio.to_thread
import sqlalchemy as sa

from spokekit._ids import BLANK
from spokekit._secret import Secret
from spokekit.connections.connection import Connection, account_changes, credentials
from spokekit.connections.store import Store
from spokekit.errors import (
    ConsentNeeded,
    NotConfigured,
    NotFound,
    SpokekitError,
    TransportError,
    UnexpectedAnswer,
)
from spokekit.oauth.answers import TokenAnswer
from spokekit.oauth.endpoint import Endpoint, answer_is_lost
from spokekit.oauth.flights import awaited, flights, wait_for
from spokekit.oauth.grants import Grant, open_grant, open_secret, seal_grant, seal_secret
from spokekit.oauth.status import LEEWAY, Reach, Record, TokenStatus, clock, describe, without_site
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
            self._locked(db, connection)
            sealed = None if not secret else seal_secret(secret, connection, self.vault.sealer())
            self._update(db, connection, client_secret=sealed, reason="")

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
        self._ready()
        now = self._now()
        with self.store.write() as db:
            record = self._locked(db, connection)
            scopes = connection.scopes if answer.scopes is None else answer.scopes
            self._update(
                db,
                connection,
                sealed_grant=seal_grant(Grant.of(connection, answer), self.vault.sealer()),
                generation=record.generation + 1,
                scopes=" ".join(scopes),
                state="valid",
                reason="",
                granted_at=now,
                refreshed_at=now,
                expires_at=now + timedelta(seconds=answer.lifetime),
                refresh_started_at=None,
            )

    def forget(self, connection: Connection) -> None:
        """Forget the token here; the client secret stays. The consent itself ends in the account's settings."""
        self._ready()
        with self.store.write() as db:
            record = self._locked(db, connection)
            self._update(
                db,
                connection,
                sealed_grant=None,
                generation=record.generation + 1,
                scopes="",
                state="none",
                reason="",
                granted_at=None,
                refreshed_at=None,
                expires_at=None,
                refresh_started_at=None,
            )

    def status(self, connection: Connection) -> TokenStatus:
        """Say how the token stands, in words and as a state; asks nobody and raises nothing."""
        self._ready()
        with self.store.read() as db:
            record, reach = Record.read(db, connection), Reach.read(db, connection)
        return describe(connection, record, self.vault, self._now(), reach)

    # -------------------------------------------------------------- the access token

    def access_token(self, connection: Connection, *, rejected: Secret | None = None) -> Secret:
        """Return a valid access token, after a refresh when needed.

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
        again = partial(_try_again, weakref.ref(self), connection, rejected)
        return flights(self.store).join(connection.connection_id, work, again)

    def _usable(self, connection: Connection, rejected: Secret | None) -> Secret | None:
        """Return the stored token when it is good as far as we know, None when a refresh is needed."""
        return self._judge(self._record(connection), connection, rejected)[0]

    def _judge(
        self, record: Record, connection: Connection, rejected: Secret | None
    ) -> tuple[Secret | None, Grant | None]:
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
        if not self._expired(record, grant) and (rejected is None or grant.access_token != rejected):
            return grant.access_token, grant
        return None, grant

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
        failure: SpokekitError
        with self._lease(connection) as lease:
            record = lease.record()
            token, grant = self._judge(record, connection, rejected)
            if token is not None:
                return token
            assert grant is not None and grant.refresh_token is not None  # noqa: S101 - _mark saw to it
            # Everything that can fail here without the server is done before the server rotates the token.
            secret, sealer = self._secret_of(record, connection), self.vault.sealer()
            try:
                answer = self.endpoint(connection).refresh(grant.refresh_token, secret)
            except SpokekitError as error:
                failure = error.with_traceback(None)
                lease.save(record, **_after_failure(error, record, self._now()))
            else:
                now = self._now()
                grant = Grant.of(connection, answer, grant)
                lease.save(
                    record,
                    sealed_grant=seal_grant(grant, sealer),
                    generation=record.generation + 1,
                    scopes=record.scopes if answer.scopes is None else " ".join(answer.scopes),
                    state="valid",
                    reason="",
                    refreshed_at=now,
                    expires_at=now + timedelta(seconds=answer.lifetime),
                    refresh_started_at=None,
                )
                return grant.access_token
        raise failure

    def _mark(self, connection: Connection, rejected: Secret | None) -> Secret | None:
        """Commit that a refresh begins, before anything is sent; returns a token when none is needed any more."""
        with self.store.write() as db:
            record = self._locked(db, connection)
            token, grant = self._judge(record, connection, rejected)
            if token is not None:
                return token
            if grant is None or grant.refresh_token is None:
                raise ConsentNeeded(
                    f"The token of “{connection.name}” has expired and cannot be renewed.",
                    likely="The consent was given without the scope offline_access, so there is no refresh token.",
                    hint="Add offline_access to the connection's scopes, then press Get OAuth Token.",
                )
            if record.refresh_started_at is None:
                self._update(db, connection, refresh_started_at=self._now())
        return None

    @contextmanager
    def _lease(self, connection: Connection) -> Iterator[_Lease]:
        if self.store.in_memory:
            # One process only, and there one flight at a time: its single connection stays free for readers.
            yield _Lease(self, connection, None)
        else:
            with self.store.write() as db:
                yield _Lease(self, connection, db)

    # -------------------------------------------------------------- the row

    def _record(self, connection: Connection) -> Record:
        self._ready()
        with self.store.read() as db:
            return Record.read(db, connection)

    def _ready(self) -> None:
        self.store.ensure(credentials, account_changes)

    def _locked(self, db: sa.Connection, connection: Connection) -> Record:
        return Record.read(db, connection, lock=True)

    def _update(self, db: sa.Connection, connection: Connection, **values: Any) -> None:
        which = credentials.c.connection_id == connection.connection_id
        if not db.execute(sa.update(credentials).where(which).values(**values)).rowcount:
            values |= {"credential_id": str(uuid.uuid4()), "connection_id": connection.connection_id}
            try:
                db.execute(sa.insert(credentials).values(**values))
            except sa.exc.IntegrityError:
                gone = NotFound(
                    f"The connection “{connection.name}” is gone.",
                    likely="Somebody removed it in the meantime.",
                    hint="Look at the list of connections again.",
                )
            else:
                return
            raise gone


@dataclass
class _Lease:
    """The right to refresh: a held write transaction, or single steps on a store in memory."""

    tokens: Tokens
    connection: Connection
    db: sa.Connection | None

    def record(self) -> Record:
        with self._open() as db:
            return self.tokens._locked(db, self.connection)

    def save(self, basis: Record, **values: Any) -> None:
        with self._open() as db:
            if self.db is None and self.tokens._locked(db, self.connection).generation != basis.generation:
                # The grant was forgotten or replaced while the request was under way: it does not come back.
                return
            self.tokens._update(db, self.connection, **values)

    @contextmanager
    def _open(self) -> Iterator[sa.Connection]:
        if self.db is not None:
            yield self.db
        else:
            with self.tokens.store.write() as db:
                yield db


def _try_again(tokens: weakref.ref[Tokens], connection: Connection, rejected: Secret | None) -> None:
    """Refresh in the background, if anybody still has these tokens open."""
    owner = tokens()
    if owner is not None:
        # Whatever goes wrong was noted in the row, and is told to whoever asks for the token next.
        with suppress(SpokekitError):
            owner.access_token(connection, rejected=rejected)


def _after_failure(error: SpokekitError, record: Record, now: datetime) -> dict[str, Any]:
    """Return what a failed refresh changes in the row. Nothing here ever takes the sealed grant away."""
    if answer_is_lost(error):
        # The server may have rotated the token: the mark stays, and the next try falls into the leeway.
        return {"reason": error.message}
    values: dict[str, Any] = {"refresh_started_at": None, "reason": error.message}
    if isinstance(error, TransportError):
        # Nothing was sent this time, but an earlier request of this refresh may have been.
        started = record.refresh_started_at
        if started is not None and now - started > timedelta(seconds=5):
            del values["refresh_started_at"]
    if isinstance(error, ConsentNeeded):
        words = error.message
        if record.refresh_started_at is not None and now - record.refresh_started_at > LEEWAY:
            words += f" A renewal that began at {clock(record.refresh_started_at)} was interrupted and its answer lost."
        values |= {"state": "consent_needed", "reason": words}
    return values
