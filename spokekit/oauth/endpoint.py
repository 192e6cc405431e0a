"""The few requests that getting and renewing a token needs: token endpoint, accessible resources, who am I.

Plain, synchronous requests with short time-outs, since they run in worker threads while a lock is held. No frame here
has a local variable that holds a secret while an error leaves it: a traceback may show the locals.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from spokekit._http import clean, client, is_web_page, json_of, page_words, retry_after
from spokekit._secret import Secret, guard_logs
from spokekit._unreachable import failures, never_sent, unreachable
from spokekit.connections.connection import Connection
from spokekit.errors import InputError, ServiceError, SpokekitError, TokenRejected, TransportError, UnexpectedAnswer
from spokekit.oauth.answers import TOKEN_ENDPOINT, Purpose, Refusal, TokenAnswer, explain

T = TypeVar("T")

# Together well below the 60 s that another writer waits for the store. The last one is for the whole answer, since a
# server that sends a byte now and then never runs into the one between two bytes.
TIMEOUTS = httpx2.Timeout(15.0, connect=5.0)
DEADLINE = 20.0
_MOST_BYTES = 1_000_000


class AnswerLost(TransportError):
    """The request may have been carried out, but its answer did not arrive."""


class AnswerLate(AnswerLost):
    """The time was up before the answer came."""

    def __init__(self, message: str, **more: Any) -> None:
        super().__init__(message, **({"next_step": "wait"} | more))


def answer_is_lost(outcome: object) -> bool:
    """Tell whether the server may have rotated the token although no token came back."""
    return isinstance(outcome, AnswerLost) or (isinstance(outcome, ServiceError) and outcome.status >= 500)


@dataclass(frozen=True)
class Site:
    """A site that the grant reaches."""

    cloud_id: str
    name: str
    url: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Account:
    """Who consented."""

    account_id: str
    name: str


@dataclass(frozen=True)
class _Reply:
    """An answer, read to its end; nothing shows its body."""

    status: int
    headers: httpx2.Headers = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the decoded body, or None when it is not JSON."""
        return json_of(self.body)


class Endpoint:
    """The authorisation server and the gateway's two token-level addresses, for one connection."""

    def __init__(self, connection: Connection, *, transport: httpx2.BaseTransport | None = None) -> None:
        guard_logs()
        self._auth = connection.auth_url.rstrip("/")
        self._api = connection.url.rstrip("/")
        self._client_id = connection.client_id
        self._transport = transport

    def _client(self) -> httpx2.Client:
        return client(
            self._auth,
            self._api,
            transport=self._transport,
            timeout=TIMEOUTS,
            follow_redirects=False,
            headers={"Accept": "application/json"},
        )

    # -------------------------------------------------------------- tokens

    def redeem(self, code: Secret, redirect_uri: str, secret: Secret, verifier: Secret | None = None) -> TokenAnswer:
        """Exchange a code for a token; each refusal is an error of its own (see `answers.explain`)."""
        more: dict[str, str | Secret] = {"code": code, "redirect_uri": redirect_uri}
        if verifier is not None:
            more["code_verifier"] = verifier
        return self._token("code", {"grant_type": "authorization_code", **more}, secret)

    def refresh(self, refresh_token: Secret, secret: Secret) -> TokenAnswer:
        """Exchange the refresh token for a new pair; an answer that was cut off is asked for once more."""
        fields: dict[str, str | Secret] = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        try:
            return self._token("refresh", fields, secret)
        except AnswerLate:
            raise
        except AnswerLost:
            pass
        # Atlassian accepts the same refresh token again for ten minutes.
        return self._token("refresh", fields, secret)

    def service_token(self, secret: Secret) -> TokenAnswer:
        """Ask for a token as a service account. No ``scope`` is sent: any value of it is refused."""
        return self._token("service", {"grant_type": "client_credentials"}, secret)

    def _token(self, purpose: Purpose, fields: Mapping[str, str | Secret], secret: Secret) -> TokenAnswer:
        fields = {**fields, "client_id": self._client_id, "client_secret": secret}
        with self._client() as http:
            reply = self._post(http, "json", fields)
            if isinstance(reply, _Reply) and _wants_a_form(reply):
                reply = self._post(http, "data", fields)
        if not isinstance(reply, _Reply):
            raise reply
        found = _read_token(reply)
        if isinstance(found, Refusal):
            raise explain(found, purpose)
        return found

    def _post(self, http: httpx2.Client, encoding: str, fields: Mapping[str, str | Secret]) -> _Reply | SpokekitError:
        try:
            return _fetch(
                http,
                "POST",
                f"{self._auth}/oauth/token",
                **{encoding: {k: v.reveal() if isinstance(v, Secret) else v for k, v in fields.items()}},
            )
        except UnicodeError:
            # Its own text would be the whole body.
            return InputError(
                "The client id, the secret or the code holds characters that cannot be sent.",
                field="client_secret",
                hint="Copy it again from the app's Settings page.",
            )
        except _failures() as error:
            # The library's error holds the request, and that the secret: only its kind goes on.
            return _transport_error(error, self._auth, TOKEN_ENDPOINT)

    # -------------------------------------------------------------- identity

    def sites(self, token: Secret) -> tuple[Site, ...]:
        """Return the sites with Confluence that the token reaches, each once, A to Z."""
        sites = _read_sites(self._get("/oauth/token/accessible-resources", token))
        if sites is None:
            raise _unexpected("accessible resources")
        return sites

    def account(self, token: Secret) -> Account | None:
        """Return who consented, or None when the app may not ask (scope ``read:me``)."""
        return self._account("/me", token, "account_id", "name", "nickname")

    def person(self, token: Secret, cloud_id: str) -> Account | None:
        """Return who consented as Confluence says it, for an app that may not ask ``/me``; None when it does not."""
        path = f"/ex/confluence/{cloud_id}/wiki/rest/api/user/current"
        return self._account(path, token, "accountId", "displayName", "publicName")

    def _account(self, path: str, token: Secret, its_id: str, name: str, other_name: str) -> Account | None:
        try:
            data = self._get(path, token)
        except SpokekitError:
            # Knowing the name is a comfort; the token works without it.
            return None
        if not isinstance(data, dict) or not isinstance(data.get(its_id), str):
            return None
        return Account(data[its_id], clean(data.get(name) or data.get(other_name) or "", 120))

    def _get(self, path: str, token: Secret) -> Any:
        failure: SpokekitError
        try:
            with self._client() as http:
                reply = _fetch(http, "GET", self._api + path, headers={"Authorization": f"Bearer {token.reveal()}"})
            if reply.status == 200:
                return reply.json()
            failure = _get_failure(reply, path)
        except (UnicodeError, httpx2.LocalProtocolError):
            # Their own texts quote the header that cannot be sent, and that is the token.
            failure = _unexpected("the token endpoint")
        except _failures() as error:
            failure = _transport_error(error, self._api, f"GET {path}")
        raise failure

    # -------------------------------------------------------------- metadata

    def advertises_pkce(self) -> bool:
        """Tell whether the authorisation server's metadata offers PKCE with S256.

        Atlassian's metadata offers it for other kinds of clients, while its 3LO page documents none of it, so
        Atlassian is not asked.
        """
        host = urlsplit(self._auth).hostname or ""
        if host == "atlassian.com" or host.endswith(".atlassian.com"):
            return False
        for name in ("oauth-authorization-server", "openid-configuration"):
            try:
                with self._client() as http:
                    reply = _fetch(http, "GET", f"{self._auth}/.well-known/{name}", timeout=3.0)
            except _failures():
                continue
            about = reply.json() if reply.status == 200 else None
            methods = about.get("code_challenge_methods_supported") if isinstance(about, dict) else None
            if isinstance(methods, list):
                return "S256" in methods
        return False


def _fetch(http: httpx2.Client, method: str, address: str, **more: Any) -> _Reply:
    """Send a request and read the answer, no longer and no further than is sensible; raises httpx2's errors.

    The deadline is for all of it, headers included. The library only knows one between two bytes, so the exchange has
    a thread of its own, which is left behind with its connection where a server sends and never ends.
    """
    reply = in_a_thread("spokekit-sign-in", partial(_exchange, http, method, address, **more), daemon=True)
    try:
        return reply.result(DEADLINE)
    except FutureTimeout:
        raise httpx2.ReadTimeout("The answer takes too long.") from None


def in_a_thread(name: str, work: Callable[[], T], *, daemon: bool) -> Future[T]:
    """Run `work` in a thread of its own, which goes on when nobody waits for it any more."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits must hear of it
            outcome.set_exception(error.with_traceback(None))

    threading.Thread(target=run, name=name, daemon=daemon).start()
    return outcome


def _exchange(http: httpx2.Client, method: str, address: str, **more: Any) -> _Reply:
    ends = time.monotonic() + DEADLINE
    body = bytearray()
    with http.stream(method, address, **more) as response:
        for part in response.iter_bytes():
            body += part
            if time.monotonic() > ends:
                raise httpx2.ReadTimeout("The answer takes too long.", request=response.request)
            if len(body) > _MOST_BYTES:
                # No answer that is meant for us is so long.
                body.clear()
                break
    return _Reply(response.status_code, response.headers, bytes(body))


def _wants_a_form(reply: _Reply) -> bool:
    # Atlassian documents JSON; RFC 6749 a form. A strict server refuses the other before it reads the fields.
    return reply.status == 415 or (reply.status == 400 and b"form-urlencoded" in reply.body[:2000])


def _read_token(reply: _Reply) -> TokenAnswer | Refusal:
    """Return the token, or what is left of the answer; never raises, since its locals hold tokens."""
    wait = retry_after(reply.headers, datetime.now(UTC))
    data = reply.json()
    if not isinstance(data, dict):
        # What such a page says is not quoted: it may hold what was sent, and that was the secret.
        return Refusal(reply.status, is_json=False, retry_after=wait)
    if reply.status == 200:
        token = TokenAnswer.of(data)
        if token is not None:
            return token
    return Refusal(
        reply.status,
        clean(data.get("error") or "", 80),
        clean(data.get("error_description") or data.get("message") or ""),
        retry_after=wait,
    )


def _read_sites(data: Any) -> tuple[Site, ...] | None:
    """Return the sites with Confluence in an answer, or None when it is not a list of sites."""
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        return None
    found: dict[str, Site] = {}
    for item in data:
        scopes = item.get("scopes")
        scopes = tuple(str(s) for s in scopes) if isinstance(scopes, list) else ()
        cloud_id, url = item.get("id"), str(item.get("url") or "")
        # One site may be listed once for Jira and once for Confluence; its scopes tell which is which.
        if not isinstance(cloud_id, str) or not cloud_id or (scopes and not any("confluence" in s for s in scopes)):
            continue
        found.setdefault(cloud_id, Site(cloud_id, clean(item.get("name") or url or cloud_id), clean(url), scopes))
    return tuple(sorted(found.values(), key=lambda site: (site.name.casefold(), site.cloud_id)))


def _get_failure(reply: _Reply, path: str) -> SpokekitError:
    status, endpoint = reply.status, f"GET {path}"
    if is_web_page(reply.body) and status < 500:
        title = page_words(reply.body)
        return UnexpectedAnswer(
            f"{endpoint} answered with a web page{f' (“{title}”)' if title else ''} and status {status}.",
            likely="A proxy or a sign-in page of the network stands between, or the connection URL does not lead to "
            "Atlassian's gateway.",
            hint="Check the network, a VPN, HTTPS_PROXY and the connection URL, then try again; the token is kept.",
            next_step="fix_computer",
            status=status,
            endpoint=endpoint,
        )
    if status in (401, 403):
        data = reply.json()
        said = clean(str(data.get("message") or ""), 120) if isinstance(data, dict) else ""
        quoted = f' It said: "{said}".' if said else ""
        return TokenRejected(
            f"Atlassian does not accept the new token (status {status}).{quoted}",
            hint="Get the token again; if it stays so, check the connection URL.",
            status=status,
            endpoint=endpoint,
        )
    refusal = Refusal(status, is_json=True, retry_after=retry_after(reply.headers, datetime.now(UTC)))
    if status == 429 or status >= 500:
        return explain(refusal, "code")
    return _unexpected(path.rsplit("/", 1)[-1], status)


def _unexpected(what: str, status: int = 200) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"The answer to “{what}” is not what Atlassian documents (status {status}).",
        likely="A proxy may have answered, or the connection URL does not lead to Atlassian's gateway.",
        hint="Check the connection URL and the network, then try again; the token is kept.",
        status=status,
        endpoint=what,
    )


def _failures() -> tuple[type[Exception], ...]:
    return (*failures(), httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError)


def _transport_error(error: Exception, address: str, endpoint: str) -> TransportError:
    host = urlsplit(address).netloc
    told = unreachable(error, address, endpoint)
    if told is not None:
        told.hint = f"{(told.hint or 'Try again').rstrip('.')}; the saved token is kept."
        if never_sent(error) or told.lasting:
            return told
        return AnswerLost(told.message, likely=told.likely, hint=told.hint, endpoint=endpoint)
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol):
        return TransportError(
            f"{host} cannot be reached.",
            likely="The address is wrong.",
            hint="Check the connection's URLs, then try again; the saved token is kept.",
            endpoint=endpoint,
        )
    if isinstance(error, httpx2.TimeoutException):
        return AnswerLate(
            f"{host} did not answer in time.",
            hint="Try again in a moment; the saved token is kept.",
            endpoint=endpoint,
        )
    return AnswerLost(
        f"The connection to {host} was cut off before the answer came.",
        hint="Try again; the saved token is kept.",
        endpoint=endpoint,
    )
