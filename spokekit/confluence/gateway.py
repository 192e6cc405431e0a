"""The one door to Confluence Cloud: every request of the spoke passes here.

It keeps the number of requests in flight, repeats what may be repeated, pays points to the ledger, refreshes a stale
token once, sends the token to the connection's own host only, and lets no group be changed that its guard refuses.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial as bind
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

import anyio
import anyio.to_thread
import httpx2
import msgspec

from spokekit._secret import Secret, guard_logs
from spokekit.confluence import refusals
from spokekit.confluence.models import Guard
from spokekit.confluence.operation import Operation
from spokekit.errors import GuardRefused, InputError, NotConfigured, RateLimited, TransportError, UnexpectedAnswer

if TYPE_CHECKING:
    from spokekit.connections.connection import Connection
    from spokekit.oauth.tokens import TokenSource

T = TypeVar("T")
Query = Sequence[tuple[str, str | int]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
IN_FLIGHT, IN_FLIGHT_MOST = 8, 64
READS_BY_POST = frozenset({"/wiki/api/v2/users-bulk", "/app/report-accounts/"})
_TOKEN_KEPT = 20.0
_REDIRECTS = 3


@dataclass(frozen=True)
class RetryPolicy:
    """When to come back, as Atlassian's page on rate limits advises: four times, 5 s doubling to 30 s, jitter 0.7-1.3.

    ``patience`` is the longest ``Retry-After`` (seconds) that is obeyed; beyond it the action fails and says so.
    """

    retries: int = 4
    first: float = 5.0
    longest: float = 30.0
    jitter: tuple[float, float] = (0.7, 1.3)
    patience: float = 3900.0

    def delay(self, attempt: int) -> float:
        """Return how long to wait before repetition number ``attempt`` (from 0)."""
        return min(self.first * 2.0**attempt, self.longest) * random.uniform(*self.jitter)  # noqa: S311 - no secret


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, between two bytes, and for one request with its whole answer."""

    connect: float = 10.0
    read: float = 30.0
    request: float = 60.0


class Purse(Protocol):
    """What the gateway needs of the ledger of points."""

    async def take(self, points: int, operation: Operation) -> int: ...
    def settle(self, turn: int, taken: int, spent: int) -> None: ...
    def observe(self, headers: Any) -> None: ...
    def exhausted(self, until: datetime | None) -> None: ...
    async def give_back(self) -> None: ...
    def left_now(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came: status, headers, the body in memory."""

    status: int
    headers: httpx2.Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A decoded answer."""

    value: T
    headers: httpx2.Headers
    status: int


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
        ledger: Purse | None = None,
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
        guard_logs()
        self.connection = connection
        self.ledger = ledger
        self.in_flight = in_flight
        self.guard = guard
        self.retry = retry or RetryPolicy()
        self.timeouts = timeouts or Timeouts()
        self.max_bytes = max_bytes
        url = httpx2.URL(connection.url)
        self.host = (url.scheme, url.host, url.port)
        self.origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if url.scheme != "https" and url.host not in LOOPBACK:
            raise NotConfigured(
                "A token is only sent over https.", hint="Edit the connection and give its URL with https://."
            )
        self._tokens = tokens
        self._token_lock = anyio.Lock()
        self._token: Secret | None = None
        self._token_since = 0.0
        self._clock = clock or (lambda: datetime.now(UTC))
        self._sleep = sleep
        self._limiter = anyio.CapacityLimiter(in_flight)
        self._holds: dict[str, datetime] = {}
        self._client = httpx2.AsyncClient(
            transport=transport,
            trust_env=url.host not in LOOPBACK,
            timeout=httpx2.Timeout(self.timeouts.read, connect=self.timeouts.connect, pool=None),
            limits=httpx2.Limits(max_connections=in_flight, max_keepalive_connections=in_flight, keepalive_expiry=30.0),
            headers={"Accept": "application/json", "User-Agent": "spokekit"},
        )

    def __repr__(self) -> str:
        return f"Gateway({self.connection.name!r}, {self.in_flight} in flight)"

    async def aclose(self) -> None:
        """Give unspent points back and close the connections."""
        if self.ledger is not None:
            await self.ledger.give_back()
        await self._client.aclose()

    # -- what callers use ----------------------------------------------------------------------------------------------

    async def read(
        self,
        path: str,
        decoder: msgspec.json.Decoder[T],
        *,
        operation: Operation,
        points: Callable[[T], int],
        worst: int,
        query: Query = (),
        body: Any = None,
        at_root: bool = False,
        empty: T | None = None,
    ) -> Answer[T]:
        """Read from ``path`` (below the site, or below the host with ``at_root``) and decode the answer.

        ``points`` counts what the answer cost, ``worst`` is the most that it can cost; ``empty`` stands for a 204.
        With a ``body`` the request is a POST, allowed for the few endpoints that read by POST.
        """
        if body is not None and path not in READS_BY_POST:
            raise GuardRefused(f"POST {path} is not among the reads that spokekit sends.")
        method = "GET" if body is None else "POST"
        endpoint = f"{method} {path}"
        url = (self.origin if at_root else self.connection.api_base) + path

        def understand(raw: Raw) -> tuple[T, int]:
            if raw.status == HTTPStatus.NO_CONTENT and empty is not None:
                return empty, 1
            value = decode(raw, decoder, endpoint)
            return value, points(value)

        return await self._send(
            method, url, endpoint, understand, operation=operation, worst=worst, query=query, body=body, idempotent=True
        )

    async def change_membership(
        self, method: str, group_id: str, account_id: str, *, operation: Operation
    ) -> Answer[None]:
        """POST adds, DELETE removes one membership, after the guard has agreed; a change costs 1 point."""
        if self.guard is None:
            raise GuardRefused(
                "No group is changed without a registry that says which groups may be.",
                hint="Open the spoke from a workspace, or give it a registry as guard.",
            )
        await anyio.to_thread.run_sync(self.guard.check, group_id)
        path = "/wiki/rest/api/group/userByGroupId"
        query: list[tuple[str, str | int]] = [("groupId", group_id)]
        body: Any = None
        if method == "POST":
            body = {"accountId": account_id}
        elif method == "DELETE":
            query.append(("accountId", account_id))
        else:
            raise InputError(f"A membership is not changed by {method}.", field="method")
        return await self._send(
            method,
            self.connection.api_base + path,
            f"{method} {path}",
            bind(_changed, endpoint=f"{method} {path}"),
            operation=operation,
            worst=1,
            query=query,
            body=body,
            idempotent=method == "DELETE",
            headers={"X-Atlassian-Token": "no-check"},
        )

    # -- one request, repeated while it may be -------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        url: str,
        endpoint: str,
        understand: Callable[[Raw], tuple[T, int]],
        *,
        operation: Operation,
        worst: int,
        query: Query,
        body: Any,
        idempotent: bool,
        headers: Mapping[str, str] | None = None,
    ) -> Answer[T]:
        target = f"{url}?{urlencode(query, quote_via=quote)}" if query else url
        attempt = redirects = quota_waits = 0
        refreshed = False
        tally = operation.tally
        while True:
            operation.check()
            if self._holds:
                await self._wait_for_hold(_kind(endpoint), operation)
            turn = 0 if self.ledger is None else await self.ledger.take(worst, operation)
            spent = 0
            try:
                token = await self._access_token()
                async with self._limiter:
                    spent = 1
                    raw = await self._exchange(method, target, endpoint, token, body, headers)
                if self.ledger is not None:
                    self.ledger.observe(raw.headers)
                if raw.status < 300:
                    value, spent = understand(raw)
                    return Answer(value, raw.headers, raw.status)
                if raw.status == HTTPStatus.TOO_MANY_REQUESTS:
                    spent = 0
            except TransportError as error:
                never_sent = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
                if not (idempotent or never_sent) or attempt >= self.retry.retries:
                    raise
                raw = None
            finally:
                tally.points += spent
                if self.ledger is not None:
                    self.ledger.settle(turn, worst, spent)

            if raw is None:
                tally.retries += 1
                await self._rest(self.retry.delay(attempt), operation)
                attempt += 1
            elif (
                raw.status == HTTPStatus.UNAUTHORIZED and not refreshed and not refusals.scope_is_missing(401, raw.body)
            ):
                refreshed = True
                tally.retries += 1
                await self._access_token(rejected=token)
            elif raw.status in (301, 302, 303, 307, 308) and redirects < _REDIRECTS:
                redirects += 1
                target = self._own_redirect(target, raw, method, endpoint)
            elif raw.status == HTTPStatus.TOO_MANY_REQUESTS:
                tally.retries += 1
                quota = "quota" in (raw.headers.get("ratelimit-reason") or "")
                if attempt >= self.retry.retries or quota_waits >= 3:
                    raise self._error(raw, endpoint, operation)
                self._hold(_kind(endpoint), raw, attempt, quota, endpoint, operation)
                quota_waits, attempt = (quota_waits + 1, attempt) if quota else (quota_waits, attempt + 1)
            elif raw.status in (502, 503, 504) and idempotent and attempt < self.retry.retries:
                tally.retries += 1
                asked = refusals.wait_asked(raw.headers, self._clock()) if "retry-after" in raw.headers else None
                if asked is not None and asked > self.retry.patience:
                    raise self._error(raw, endpoint, operation)
                await self._rest(self.retry.delay(attempt) if asked is None else asked, operation)
                attempt += 1
            else:
                raise self._error(raw, endpoint, operation)

    async def _exchange(
        self, method: str, target: str, endpoint: str, token: Secret, body: Any, headers: Mapping[str, str] | None
    ) -> Raw:
        sent = httpx2.URL(target)
        if (sent.scheme, sent.host, sent.port) != self.host:
            raise UnexpectedAnswer(
                f"{endpoint} was to be sent to another host than the connection's.", endpoint=endpoint
            )
        try:
            with anyio.fail_after(self.timeouts.request):
                answer = await self._client.send(
                    self._client.build_request(
                        method,
                        sent,
                        json=body,
                        headers={"Authorization": f"Bearer {token.reveal()}", **(headers or {})},
                    ),
                    stream=True,
                )
                try:
                    return Raw(answer.status_code, answer.headers, await self._body(answer, endpoint))
                finally:
                    await answer.aclose()
        except TimeoutError as error:
            raise TransportError(
                f"{endpoint} was not answered within {self.timeouts.request:g} seconds.",
                likely="The connection is slow, or Confluence is busy.",
                hint="Try again.",
                endpoint=endpoint,
            ) from error
        except httpx2.TransportError as error:
            raise TransportError(
                f"{endpoint} brought no usable answer: {_plain(error)}.",
                likely="The network, a proxy or Confluence dropped the connection.",
                hint="Check the connection to the network and try again.",
                endpoint=endpoint,
            ) from error
        except httpx2.DecodingError:
            raise UnexpectedAnswer(
                f"The answer of {endpoint} is damaged: it cannot be decompressed.", endpoint=endpoint
            ) from None

    async def _body(self, answer: httpx2.Response, endpoint: str) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in answer.aiter_bytes():
            size += len(part)
            if size > self.max_bytes:
                raise UnexpectedAnswer(
                    f"The answer of {endpoint} is longer than {self.max_bytes:,} bytes and was not read to its end.",
                    status=answer.status_code,
                    endpoint=endpoint,
                )
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    # -- token, pauses, errors -----------------------------------------------------------------------------------------

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

    def _hold(self, kind: str, raw: Raw, attempt: int, quota: bool, endpoint: str, operation: Operation) -> None:
        now = self._clock()
        asked = refusals.wait_asked(raw.headers, now)
        wait = self.retry.delay(attempt) if asked is None else asked
        if wait > self.retry.patience:
            raise self._error(raw, endpoint, operation)
        until = now + timedelta(seconds=wait)
        if quota and self.ledger is not None:
            self.ledger.exhausted(refusals.reset_time(raw.headers) or until)
        key = "" if quota else kind
        self._holds[key] = max(until, self._holds.get(key, until))

    async def _wait_for_hold(self, kind: str, operation: Operation) -> None:
        while self._holds:
            now = self._clock()
            until = max((self._holds[key] for key in ("", kind) if key in self._holds), default=now)
            seconds = (until - now).total_seconds()
            if seconds <= 0:
                self._holds = {key: end for key, end in self._holds.items() if end > now}
                return
            # A little spread, so that those who wait do not come back in one burst.
            await operation.pause(until, min(seconds, 1.0) * random.uniform(1.0, 1.05), self._sleep)  # noqa: S311

    async def _rest(self, seconds: float, operation: Operation) -> None:
        await operation.pause(self._clock() + timedelta(seconds=seconds), seconds, self._sleep)

    def _own_redirect(self, target: str, raw: Raw, method: str, endpoint: str) -> str:
        try:
            where = httpx2.URL(target).join(raw.headers.get("location", ""))
        except httpx2.InvalidURL:
            where = httpx2.URL("")
        same_host = (where.scheme, where.host, where.port) == self.host
        if method != "GET" or not same_host:
            raise UnexpectedAnswer(
                f"{endpoint} was redirected to another address, which was not followed.",
                likely="A proxy or a sign-in page stands between this computer and Confluence.",
                hint="Check the connection URL and the proxy settings.",
                next_step="fix_input",
                status=raw.status,
                endpoint=endpoint,
            )
        return str(where)

    def _error(self, raw: Raw, endpoint: str, operation: Operation) -> Exception:
        asked = refusals.wait_asked(raw.headers, self._clock()) if raw.status == HTTPStatus.TOO_MANY_REQUESTS else None
        if raw.status < 400:
            return UnexpectedAnswer(f"{endpoint} answered with {raw.status}.", status=raw.status, endpoint=endpoint)
        return refusals.error_for(
            raw.status,
            raw.body,
            endpoint=endpoint,
            action=operation.action,
            granted=self.connection.scopes,
            retry_after=asked,
        )


def decode(raw: Raw, decoder: msgspec.json.Decoder[T], endpoint: str) -> T:
    """Return the body as the shape that the endpoint documents, or raise `UnexpectedAnswer` saying what is wrong."""
    more: dict[str, Any] = {"status": raw.status, "endpoint": endpoint}
    try:
        return decoder.decode(raw.body)
    except RecursionError:
        raise UnexpectedAnswer(f"The answer of {endpoint} is nested too deeply.", **more) from None
    except msgspec.ValidationError as error:
        raise UnexpectedAnswer(
            f"The answer of {endpoint} is not as documented: {error}.",
            likely="Atlassian changed the answer, or something between changed it.",
            **more,
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        if raw.body.lstrip()[:1] == b"<":
            raise UnexpectedAnswer(
                f"{endpoint} answered with a web page instead of data.",
                likely="A proxy, a sign-in page or a maintenance page stands between this computer and Confluence.",
                hint="Check the connection URL and the proxy settings, and try again.",
                **more,
            ) from None
        what = "empty" if not raw.body.strip() else "cut off or damaged"
        raise UnexpectedAnswer(f"The answer of {endpoint} is {what}.", hint="Try again.", **more) from None


def _changed(raw: Raw, endpoint: str) -> tuple[None, int]:
    """Take an answer without content, or with data, for a change; a web page with 200 comes from somebody between."""
    if raw.body.lstrip()[:1] == b"<":
        decode(raw, msgspec.json.Decoder(dict), endpoint)
    return None, 1


def _kind(endpoint: str) -> str:
    """Return the endpoint without ids, since burst limits count by the kind of path."""
    return "/".join(part for part in endpoint.split("/") if not any(c.isdigit() for c in part) or len(part) < 4)


def _plain(error: Exception) -> str:
    return type(error).__name__ if not str(error) else f"{type(error).__name__} ({str(error)[:120]})"


__all__ = ["Answer", "Gateway", "Purse", "RateLimited", "Raw", "RetryPolicy", "Timeouts", "decode"]
