"""The one door to Confluence Cloud: every request of the spoke passes here.

It keeps the number of requests in flight, repeats what may be repeated, pays points to the ledger, refreshes a stale
token once, sends the token to the connection's own host only, and lets no group be changed that its guard refuses.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial as bind
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import anyio
import anyio.to_thread
import httpx2
import msgspec

from spokekit._http import retry_after
from spokekit._secret import Secret
from spokekit.confluence import refusals, service_account
from spokekit.confluence.backoff import Patience, RetryPolicy, Tries
from spokekit.confluence.operation import Operation
from spokekit.confluence.read_only import refuse_change
from spokekit.confluence.report import Fence, Guard
from spokekit.confluence.wire import HEAVY, NeverSent, Raw, Timeouts, Wire, changed, decode, nobody_there, too_heavy
from spokekit.errors import (
    Cancelled,
    GuardRefused,
    InputError,
    ServiceError,
    SpokekitError,
    StoreError,
    TransportError,
    UnexpectedAnswer,
)

if TYPE_CHECKING:
    from spokekit.confluence.quota import Ledger
    from spokekit.connections.connection import Connection
    from spokekit.oauth.tokens import TokenSource

T = TypeVar("T")
Query = Sequence[tuple[str, str | int]]

IN_FLIGHT, IN_FLIGHT_MOST = 8, 64
READS_BY_POST = frozenset({"/wiki/api/v2/users-bulk", "/app/report-accounts/"})
_TOKEN_KEPT = 20.0
_REDIRECTS, _REDIRECTS_MOST = (301, 302, 303, 307, 308), 3
_COME_BACK = (502, 503, 504)
_QUOTA_WAITS = 3
# A place where nobody ever answered is more likely wrong, or off, than busy.
_TRIES_UNHEARD = 2


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A decoded answer."""

    value: T
    headers: httpx2.Headers
    status: int


@dataclass
class _Request:
    """One request, sent until it has its answer; ``allowed`` is asked right before each time that a change is sent."""

    method: str
    endpoint: str
    target: str
    operation: Operation
    worst: int
    body: Any = None
    idempotent: bool = True
    headers: Mapping[str, str] | None = None
    allowed: Callable[[], Awaitable[None]] | None = None
    heavy_most: int = 0
    tries: Tries = field(default_factory=Tries)


class Gateway:
    """Send requests of one connection.

    Parameters
    ----------
    connection:
        Says where: its URL's host gets the token, and no other.
    tokens:
        Gives the access token, and a fresh one when told which was rejected.
    ledger:
        Points, shared by all kernels; None to count nothing.
    in_flight:
        Requests at a time, 8 by default; Atlassian advises 5 to 10, and asks nobody to get round limits this way.
    guard:
        Decides which groups may be changed. Without it every change is refused.
    transport:
        Replaces the network, for tests.
    max_bytes:
        The longest answer that is read, decompressed.
    """

    def __init__(
        self,
        connection: Connection,
        tokens: TokenSource,
        *,
        ledger: Ledger | None = None,
        in_flight: int = IN_FLIGHT,
        guard: Guard | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        retry: RetryPolicy | None = None,
        timeouts: Timeouts | None = None,
        max_bytes: int = 32 * 1024 * 1024,
        clock: Callable[[], datetime] | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        if not 1 <= in_flight <= IN_FLIGHT_MOST:
            raise InputError(
                f"{in_flight} requests in flight is not possible.",
                field="in_flight",
                hint=f"Choose 1 to {IN_FLIGHT_MOST}; {IN_FLIGHT} is the default, more than 16 seldom helps.",
            )
        self.connection = connection
        self.ledger = ledger
        self.in_flight = in_flight
        self.guard = guard
        self.fence: Fence | None = None
        self.wire = Wire(
            connection.url,
            connections=in_flight,
            timeouts=timeouts or Timeouts(),
            max_bytes=max_bytes,
            transport=transport,
        )
        self._clock = clock or (lambda: datetime.now(UTC))
        self._patience = Patience(retry or RetryPolicy(), self._clock, sleep)
        self._tokens = tokens
        self._token_lock = anyio.Lock()
        self._token: Secret | None = None
        self._token_since = 0.0
        self._limiter = anyio.CapacityLimiter(in_flight)
        self._heard = False

    def __repr__(self) -> str:
        return f"Gateway({self.connection.name!r}, {self.in_flight} in flight)"

    async def aclose(self) -> None:
        """Give unspent points back and close the connections; a forked child leaves both to its parent."""
        if self.wire.inherited:
            return
        await self.give_back()
        await self.wire.aclose()

    async def give_back(self) -> None:
        """Give unspent points back to the ledger."""
        if self.ledger is not None:
            # Where the store does not answer they lie idle until the hour ends: no reason to lose what was read.
            with suppress(StoreError):
                await self.ledger.give_back()

    # -- what callers use ----------------------------------------------------------------------------------------------

    async def read(
        self,
        path: str,
        decoder: msgspec.json.Decoder[T],
        *,
        operation: Operation,
        worst: int,
        points: Callable[[T], int] | None = None,
        query: Query = (),
        body: Any = None,
        at_root: bool = False,
        empty: T | None = None,
        too_heavy: int = 0,
    ) -> Answer[T]:
        """Read from ``path`` (below the site, or below the host with ``at_root``) and decode the answer.

        ``worst`` is the most that the answer can cost, ``points`` counts what it did where that may be less; ``empty``
        stands for a 204.
        With a ``body`` the request is a POST, allowed for the few endpoints that read by POST. ``too_heavy`` is after
        how many answers of a service that cannot bring so much (`wire.too_heavy`) a caller who can ask for less wants
        to hear of it; 0 for a caller who cannot.
        """
        if body is not None and path not in READS_BY_POST:
            raise GuardRefused(f"POST {path} is not among the reads that spokekit sends.")
        method = "GET" if body is None else "POST"
        endpoint = f"{method} {path}"
        target = _target((self.wire.origin if at_root else self._site()) + path, query)

        def understand(raw: Raw) -> tuple[T, int]:
            if raw.status == 204 and empty is not None:
                return empty, 1
            value = decode(raw, decoder, endpoint)
            return value, worst if points is None else points(value)

        request = _Request(method, endpoint, target, operation, worst, body, heavy_most=too_heavy)
        return await self._send(request, understand)

    async def change_membership(
        self, method: str, group_id: str, account_id: str, *, operation: Operation
    ) -> Answer[None]:
        """POST adds, DELETE removes one membership, after the guard has agreed; a change costs 1 point.

        The guard is asked right before each time that the change is sent: between two tries, or while the hour's
        points are waited for, somebody may take the group off the registry. After it the ``fence`` is asked, if there
        is one, and once more when the connection stands if much time has passed by then.

        Only an error that leaves the outcome open is raised after a try that may have made the change: a refusal of
        the second try (by the guard, by a limit, for the token) would say that nothing was done.
        """
        allowed = bind(self._allowed, group_id)
        await allowed()
        path = "/wiki/rest/api/group/userByGroupId"
        endpoint = f"{method} {path}"
        query: list[tuple[str, str | int]] = [("groupId", group_id)]
        body: Any = None
        if method == "POST":
            body = {"accountId": account_id}
        elif method == "DELETE":
            query.append(("accountId", account_id))
        else:
            raise InputError(f"A membership is not changed by {method}.", field="method")
        request = _Request(
            method,
            endpoint,
            _target(self._site() + path, query),
            operation,
            worst=1,
            body=body,
            idempotent=method == "DELETE",
            headers={"X-Atlassian-Token": "no-check"},
            allowed=allowed,
        )
        try:
            return await self._send(request, bind(changed, endpoint=endpoint))
        except SpokekitError as error:
            first = operation.doubtful
            open_ = isinstance(error, Cancelled | TransportError) and not isinstance(error, NeverSent)
            if first is None or open_:
                raise
            raise first from None

    async def _allowed(self, group_id: str) -> None:
        """Raise `GuardRefused` unless the guard lets the group be changed through this connection."""
        await anyio.to_thread.run_sync(refuse_change, self.connection, self._tokens)
        guard = self.guard
        if guard is None:
            raise GuardRefused(
                "No group is changed without a registry that says which groups may be.",
                hint="Open the spoke from a workspace, or give it a registry as guard.",
            )
        # Whoever registered a group for one connection has not allowed another one to change it.
        theirs, ours = getattr(guard, "connection", None), self.connection
        if theirs is not None and (theirs.alias_id, theirs.cloud_id) != (ours.alias_id, ours.cloud_id):
            raise GuardRefused(
                f"The registered groups are those of “{theirs.name}”, and this is “{ours.name}”; nothing was sent.",
                hint="Open the spoke from a workspace: it brings the registry of its own connection.",
            )
        await anyio.to_thread.run_sync(guard.check, group_id)
        if self.fence is not None:
            await anyio.to_thread.run_sync(self.fence.ask)

    async def _still_ours(self) -> None:
        """Ask the fence again when the process was stopped, or the connection took long, since it was asked."""
        while self.fence is not None and self.fence.due():
            await anyio.to_thread.run_sync(self.fence.ask)

    # -- one request, repeated while it may be -------------------------------------------------------------------------

    async def _send(self, request: _Request, understand: Callable[[Raw], tuple[T, int]]) -> Answer[T]:
        endpoint, operation, allowed = request.endpoint, request.operation, request.allowed
        patience, tries = self._patience, request.tries
        while True:
            self.wire.check_open()
            operation.check()
            if patience.holding:
                await patience.wait(endpoint, operation)
            turn = 0 if self.ledger is None else await self.ledger.take(request.worst, operation)
            spent = 0
            try:
                token = await self._access_token()
                async with self._limiter:
                    if patience.held(endpoint):
                        # A 429 came while this one stood in the queue.
                        continue
                    if allowed is not None:
                        await allowed()
                        operation.check()
                        operation.under_way = True
                    spent = 1
                    last = None if allowed is None else self._still_ours
                    raw = await self.wire.exchange(
                        request.method, request.target, endpoint, token, request.body, request.headers, last
                    )
                self._heard = True
                if self.ledger is not None:
                    self.ledger.observe(raw.headers)
                if raw.status < 300:
                    value, spent = understand(raw)
                    return Answer(value, raw.headers, raw.status)
                if raw.status == 429:
                    spent = 0
            except TransportError as error:
                never_sent = isinstance(error, NeverSent)
                spent = 0 if never_sent else spent
                tries.heavy += too_heavy(error)
                if error.lasting or not (request.idempotent or never_sent) or self._spent(request):
                    raise
                if never_sent and not self._heard and tries.attempt + 1 >= _TRIES_UNHEARD:
                    raise nobody_there(error, tries.attempt + 1) from None
                raw = None
                if allowed is not None and not never_sent:
                    operation.doubtful = error.with_traceback(None)
            finally:
                operation.tally.points += spent
                if self.ledger is not None:
                    self.ledger.settle(turn, request.worst, spent)
            await self._before_next(request, raw, token)

    def _spent(self, request: _Request) -> bool:
        tries = request.tries
        return tries.attempt >= self._patience.policy.retries or 0 < request.heavy_most <= tries.heavy

    async def _before_next(self, request: _Request, raw: Raw | None, token: Secret) -> None:
        """Wait as the answer (or its lack) asks, and note where to ask next; raise where asking again is no use."""
        endpoint, operation, tries, policy = request.endpoint, request.operation, request.tries, self._patience.policy
        operation.under_way = False
        operation.tally.retries += 1
        if raw is not None and raw.status in HEAVY:
            tries.heavy += 1
            if 0 < request.heavy_most <= tries.heavy:
                raise self._error(raw, endpoint, operation)
        if raw is None:
            await self._patience.rest(tries.attempt, None, operation, f"{self.wire.host[1]} does not answer")
            tries.attempt += 1
        elif raw.status == 401 and not tries.refreshed and refusals.is_about_the_token(raw.body):
            tries.refreshed = True
            await self._access_token(rejected=token)
        elif raw.status in _REDIRECTS and tries.redirects < _REDIRECTS_MOST:
            tries.redirects += 1
            request.target = self.wire.redirect(request.target, raw, request.method, endpoint)
        elif raw.status == 429 and tries.attempt < policy.retries and tries.quota_waits < _QUOTA_WAITS:
            quota = "quota" in (raw.headers.get("ratelimit-reason") or "")
            until = self._patience.hold(endpoint, raw.headers, tries.attempt, everything=quota)
            if until is None:
                raise self._error(raw, endpoint, operation)
            if quota and self.ledger is not None:
                # When to come back is the service's to say; only where that was too soon, the hour's end counts.
                told = retry_after(raw.headers, self._clock()) is not None and not tries.quota_waits
                self.ledger.exhausted(until if told else refusals.reset_time(raw.headers) or until)
            tries.quota_waits, tries.attempt = tries.quota_waits + quota, tries.attempt + (not quota)
        elif (
            # Who says when to come back may be taken at the word, even for a change: repeated, it ends the same.
            (raw.status in _COME_BACK or (request.heavy_most and raw.status == 500))
            and tries.attempt < policy.retries
            and (request.idempotent or (raw.status == 503 and "retry-after" in raw.headers))
        ):
            asked = retry_after(raw.headers, self._clock())
            if asked is not None and asked > policy.patience:
                raise self._error(raw, endpoint, operation)
            if request.allowed is not None:
                operation.doubtful = self._error(raw, endpoint, operation)
            await self._patience.rest(
                tries.attempt, asked, operation, f"{self.wire.host[1]} is not available ({raw.status})"
            )
            tries.attempt += 1
        else:
            operation.tally.retries -= 1
            raise self._error(raw, endpoint, operation)

    # -- token and errors -----------------------------------------------------------------------------------------

    async def _access_token(self, rejected: Secret | None = None) -> Secret:
        now = time.monotonic()
        if rejected is None and self._token is not None and now - self._token_since < _TOKEN_KEPT:
            return self._token
        async with self._token_lock:
            fresh = self._token is not None and time.monotonic() - self._token_since < _TOKEN_KEPT
            # Those who waited while another one refreshed must not refresh again.
            if fresh and self._token is not None and (rejected is None or self._token != rejected):
                return self._token
            self._token = await (self._tokens() if rejected is None else self._tokens(rejected=rejected))
            self._token_since = time.monotonic()
            return self._token

    def _site(self) -> str:
        """Return the address of the site; raises `NotConfigured` with what is known of why there is none."""
        ask = getattr(self._tokens, "without_site", None)
        if not self.connection.cloud_id and ask is not None and (error := ask()) is not None:
            raise error
        return self.connection.api_base

    def _granted(self) -> Sequence[str]:
        """Return the scopes that the consent covers; where it does not say, those that the connection asks for."""
        granted = getattr(self._tokens, "granted", None)
        return (granted() if granted is not None else ()) or self.connection.scopes

    def _error(self, raw: Raw, endpoint: str, operation: Operation) -> ServiceError:
        error: ServiceError
        if raw.status < 400:
            error = UnexpectedAnswer(f"{endpoint} answered with {raw.status}.")
        else:
            error = refusals.error_for(
                raw.status,
                raw.body,
                endpoint=endpoint,
                action=operation.action,
                granted=self._granted(),
                listed=self.connection.scopes,
                asked=refusals.wait_asked(raw.headers, self._clock()),
            )
        error.status, error.endpoint = raw.status, endpoint
        return service_account.in_its_words(error) if self.connection.is_service_account else error


def _target(address: str, query: Query) -> str:
    return f"{address}?{urlencode(query, quote_via=quote)}" if query else address


__all__ = ["Answer", "Gateway", "RetryPolicy", "Timeouts"]
