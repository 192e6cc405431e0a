"""One request and its answer: sent to the connection's own host, read within bounds, decoded or explained."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import httpx2
import msgspec

from spokekit._http import async_client, is_web_page, page_words, without_mark
from spokekit._secret import Secret, guard_logs, scrub
from spokekit._surroundings import is_loopback
from spokekit._unreachable import failures, never_sent, unreachable
from spokekit.errors import InputError, NotConfigured, ServiceError, TransportError, UnexpectedAnswer

T = TypeVar("T")

LONGEST_URL = 60_000


HEAVY = frozenset({500, 504})
"""Statuses of a service that could not bring so much in one answer; see `too_heavy`."""


class NotInTime(TransportError):
    """The request was sent, and its answer did not come in time."""


class NeverSent(TransportError):
    """No connection came about, so nothing was sent: every call may be repeated."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds to connect, between two bytes, and for one request with its whole answer."""

    connect: float = 10.0
    read: float = 30.0
    request: float = 60.0


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came: status, headers, the body in memory."""

    status: int
    headers: httpx2.Headers
    body: bytes


class Wire:
    """Sends requests to one host and refuses every other one, redirects included.

    HTTP/1.1, the system's trust store, and the system's proxies, but never a proxy for a loopback address.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        timeouts: Timeouts,
        max_bytes: int,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        guard_logs()
        place = httpx2.URL(url)
        if place.scheme != "https" and not is_loopback(place.host):
            raise NotConfigured(
                "A token is only sent over https.", hint="Edit the connection and give its URL with https://."
            )
        self.host = (place.scheme, place.host, place.port)
        self.origin = f"{place.scheme}://{place.netloc.decode('ascii')}"
        self._process = os.getpid()
        self.timeouts = timeouts
        self.max_bytes = max_bytes
        self._client = async_client(
            self.origin,
            transport=transport,
            timeout=httpx2.Timeout(timeouts.read, connect=timeouts.connect, pool=None),
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=30.0
            ),
            headers={"Accept": "application/json", "User-Agent": "spokekit"},
        )

    @property
    def inherited(self) -> bool:
        """Whether this is a forked child: the connections are its parent's, and so are the answers that come there."""
        return os.getpid() != self._process

    def check_open(self) -> None:
        """Raise `InputError` when nothing can be sent any more, or not from this process."""
        if self._client.is_closed or self.inherited:
            why = "belongs to the process that this one was forked from" if self.inherited else "was closed"
            raise InputError(f"This spoke {why}; nothing was sent.", hint="Open another one: spokekit.connect().")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _address(self, target: str, endpoint: str) -> httpx2.URL:
        if len(target) > LONGEST_URL:
            raise InputError(
                f"{endpoint} was not sent: with so much in one query, its address is {len(target):,} characters long.",
                hint="Ask for fewer things at a time.",
            )
        sent = httpx2.URL(target)
        if not self._is_own(sent):
            raise UnexpectedAnswer(
                f"{endpoint} was to be sent to another host than the connection's.", endpoint=endpoint
            )
        return sent

    async def exchange(
        self,
        method: str,
        target: str,
        endpoint: str,
        token: Secret,
        body: Any,
        headers: Mapping[str, str] | None,
        last_look: Callable[[], Awaitable[None]] | None = None,
    ) -> Raw:
        """Send one request with the token and return its answer, whatever its status.

        ``last_look`` is awaited when the connection stands and nothing was written to it yet; what it raises ends the
        exchange, and nothing was sent.
        """

        async def before_writing(event: str, _about: Any) -> None:
            if last_look is not None and event.endswith("send_request_headers.started"):
                await last_look()

        sent = self._address(target, endpoint)
        try:
            with anyio.fail_after(self.timeouts.request):
                answer = await self._client.send(
                    self._client.build_request(
                        method,
                        sent,
                        json=body,
                        headers={"Authorization": f"Bearer {token.reveal()}", **(headers or {})},
                        extensions={} if last_look is None else {"trace": before_writing},
                    ),
                    stream=True,
                )
                try:
                    return Raw(answer.status_code, answer.headers, await self._body(answer, endpoint))
                finally:
                    await answer.aclose()
        except TimeoutError:
            failure: TransportError | UnexpectedAnswer = NotInTime(
                f"{endpoint} was not answered within {self.timeouts.request:g} seconds.",
                likely="The connection is slow, or Confluence is busy.",
                hint="Try again.",
                endpoint=endpoint,
            )
        except (UnicodeError, httpx2.LocalProtocolError):
            # Their own texts quote the header that cannot be sent, and that is the token.
            failure = UnexpectedAnswer(
                f"{endpoint} could not be sent: the access token holds characters that no request can carry.",
                likely="The authorisation server gave a damaged token.",
                hint="Press Get OAuth Token to consent again.",
                next_step="consent",
                endpoint=endpoint,
            )
        except failures() as error:
            nothing_sent = never_sent(error)
            late = isinstance(error, httpx2.ReadTimeout)
            why = unreachable(error, self.origin, endpoint)
            if why is None:
                why = TransportError(
                    f"{endpoint} brought no usable answer: {_plain(error)}.",
                    likely="The network, a proxy or Confluence dropped the connection.",
                    hint="Check the connection to the network and try again.",
                )
            failure = (NeverSent if nothing_sent else NotInTime if late else TransportError)(
                why.message, likely=why.likely, hint=why.hint, endpoint=endpoint, lasting=why.lasting
            )
        except httpx2.DecodingError:
            failure = UnexpectedAnswer(
                f"The answer of {endpoint} is damaged: it cannot be decompressed.", endpoint=endpoint
            )
        # Raised out here, since the frames of the HTTP library hold the request with its token as a local: a chained
        # exception would carry them into a verbose traceback.
        raise failure

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

    def _is_own(self, url: httpx2.URL) -> bool:
        # A user name in an address would take the place of the token.
        return not url.userinfo and (url.scheme, url.host, url.port) == self.host

    def redirect(self, target: str, raw: Raw, method: str, endpoint: str) -> str:
        """Return where a redirect leads, if that is the own host and the request only reads."""
        try:
            where = httpx2.URL(target).join(raw.headers.get("location", ""))
        except httpx2.InvalidURL:
            where = httpx2.URL("")
        if method != "GET" or not self._is_own(where):
            raise UnexpectedAnswer(
                f"{endpoint} was redirected to another address, which was not followed.",
                likely="A proxy or a sign-in page stands between this computer and Confluence.",
                hint="Check the connection URL and the proxy settings.",
                next_step="fix_input",
                status=raw.status,
                endpoint=endpoint,
            )
        return str(where)


def too_heavy(error: Exception) -> bool:
    """Tell whether less in one answer might have come through: 500, 504, or no answer in time."""
    return isinstance(error, NotInTime) or (isinstance(error, ServiceError) and error.status in HEAVY)


# Each escape sequence of JSON, so that a backslash that is escaped itself begins none.
_HALVES = re.compile(rb"\\(?:u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|u[dD][89a-fA-F]\w\w|.)", re.DOTALL)


def _mend(found: re.Match[bytes]) -> bytes:
    # Half of a surrogate pair is legal in JSON and no character: one odd name shall not cost a page of people.
    return rb"\ufffd" if len(found[0]) == len(rb"\ud800") else found[0]


def decode(raw: Raw, decoder: msgspec.json.Decoder[T], endpoint: str) -> T:
    """Return the body as the shape that the endpoint documents, or raise `UnexpectedAnswer` saying what is wrong."""
    more: dict[str, Any] = {"status": raw.status, "endpoint": endpoint}
    try:
        try:
            return decoder.decode(raw.body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            mended = _HALVES.sub(_mend, without_mark(raw.body))
            if mended == raw.body:
                raise
            return decoder.decode(mended)
    except RecursionError:
        raise UnexpectedAnswer(f"The answer of {endpoint} is nested too deeply.", **more) from None
    except msgspec.ValidationError as error:
        raise UnexpectedAnswer(
            f"The answer of {endpoint} is not as documented: {error}.",
            likely="Atlassian changed the answer, or something between changed it.",
            **more,
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        if is_web_page(raw.body):
            title = page_words(raw.body)
            raise UnexpectedAnswer(
                f"{endpoint} answered with a web page{f' (“{title}”)' if title else ''} instead of data.",
                likely="A proxy, a sign-in page or a maintenance page stands between this computer and Confluence.",
                hint="Check the connection URL and the proxy settings, and try again.",
                **more,
            ) from None
        what = "empty" if not raw.body.strip() else "cut off or damaged"
        raise UnexpectedAnswer(f"The answer of {endpoint} is {what}.", hint="Try again.", **more) from None


def sendable(text: str) -> bool:
    """Tell whether a request can carry the text: half of a surrogate pair is no character of any encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def changed(raw: Raw, endpoint: str) -> tuple[None, int]:
    """Take an answer without content, or with data, for a change; a web page with 200 comes from somebody between."""
    if is_web_page(raw.body):
        decode(raw, msgspec.json.Decoder(dict), endpoint)
    return None, 1


def nobody_there(error: TransportError, tries: int) -> NeverSent:
    """Return the error for a host that no connection could be made to, not even once."""
    return NeverSent(
        f"{error.message.rstrip('.')}: no connection in {tries} tries.",
        likely=error.likely,
        hint=error.hint,
        endpoint=error.endpoint,
    )


def _plain(error: Exception) -> str:
    said = scrub(str(error))[:120]
    return f"{type(error).__name__} ({said})" if said else type(error).__name__
