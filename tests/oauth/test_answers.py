"""Each answer of the token endpoint, on the way through the client, leads to one next step and never costs a token.

The cases are those that Atlassian documents, that third parties measured on the live service, and RFC 6749's.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from spokekit import errors
from spokekit._secret import Secret
from spokekit.connections.store import Store
from spokekit.oauth.answers import explain_callback
from spokekit.oauth.callbacks import Callback, PasteReceiver
from spokekit.oauth.grant import Attempt
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, granted

HTML = ("text/html", "<!doctype html><title>Sign in to the network</title>")
PAIR = {"access_token": "fresh-access", "refresh_token": "fresh-refresh", "expires_in": 3600, "scope": "read:me"}


def answer(status: int, body: Any = None, **headers: str) -> Any:
    def send(request: httpx2.Request) -> httpx2.Response:
        if isinstance(body, BaseException):
            raise body
        if isinstance(body, tuple):
            return httpx2.Response(status, text=body[1], headers={"content-type": body[0], **headers})
        return httpx2.Response(status, json=body, headers=headers)

    return send


def refusal(error: str, description: str = "") -> dict[str, str]:
    return {"error": error, "error_description": description}


# (name, answer, error on refresh, next step, state of the token afterwards, what the person is told)
REFRESH = [
    ("refresh token expired, replaced or password changed",
     answer(403, refusal("invalid_grant", "Unknown or invalid refresh token.")),
     errors.ConsentNeeded, "consent", "consent_needed", "consent again"),
    ("refresh token unknown or rotated out",
     answer(403, refusal("unauthorized_client", "refresh_token is invalid")),
     errors.ConsentNeeded, "consent", "consent_needed", "consent again"),
    ("the same in RFC 6749's words", answer(400, refusal("invalid_grant")),
     errors.ConsentNeeded, "consent", "consent_needed", "consent again"),
    ("wrong client secret", answer(401, refusal("access_denied", "Unauthorized")),
     errors.ClientSecretRefused, "fix_secret", "expired", "Copy the secret again"),
    ("wrong client in RFC 6749's words", answer(401, refusal("invalid_client")),
     errors.ClientSecretRefused, "fix_secret", "expired", "no new consent is needed"),
    ("a 403 that names nothing we know", answer(403, {"message": "Forbidden"}),
     errors.UnexpectedAnswer, "retry", "expired", "saved token is kept"),
    ("too many requests", answer(429, {"message": "slow"}, **{"Retry-After": "37"}),
     errors.RateLimited, "wait", "expired", "in 37 seconds"),
    ("too many requests without a time", answer(429, HTML),
     errors.RateLimited, "wait", "expired", "Wait a minute"),
    ("trouble at the gateway, as a web page", answer(502, HTML),
     errors.ServiceError, "wait", "expired", "Wait a minute"),
    ("trouble, as JSON", answer(503, {"error": "temporarily_unavailable"}),
     errors.ServiceError, "wait", "expired", "Wait a minute"),
    ("a proxy's page with status 200", answer(200, HTML), errors.UnexpectedAnswer, "retry", "expired", "proxy"),
    ("a proxy that wants a sign-in", answer(407, HTML), errors.UnexpectedAnswer, "retry", "expired", "proxy"),
    ("a redirect to a sign-in page", answer(302, HTML, location="https://portal.example/"),
     errors.UnexpectedAnswer, "retry", "expired", "proxy"),
    ("200 with nothing in it", answer(200, {}), errors.UnexpectedAnswer, "retry", "expired", "no reason given"),
    ("200 with an error in it", answer(200, {**PAIR, "error": "server_error"}),
     errors.UnexpectedAnswer, "retry", "expired", "server_error"),
    ("200 with a token that is no text", answer(200, {"access_token": 5}),
     errors.UnexpectedAnswer, "retry", "expired", "status 200"),
    ("200 with a list", answer(200, []), errors.UnexpectedAnswer, "retry", "expired", "not JSON"),
    ("JSON without an error key", answer(401, {"code": 401, "message": "Unauthorized"}),
     errors.UnexpectedAnswer, "retry", "expired", "Unauthorized"),
    ("a time-out", answer(0, httpx2.ReadTimeout("late")), errors.TransportError, "wait", "expired", "in time"),
    ("a connection reset, twice", answer(0, httpx2.ReadError("reset")),
     errors.TransportError, "retry", "expired", "cut off"),
    ("half an answer, twice", answer(0, httpx2.RemoteProtocolError("peer closed connection")),
     errors.TransportError, "retry", "expired", "cut off"),
    ("no network", answer(0, httpx2.ConnectError("refused")),
     errors.TransportError, "retry", "expired", "does not answer"),
    ("a proxy that refuses", answer(0, httpx2.ProxyError("403")),
     errors.TransportError, "retry", "expired", "does not let anything through"),
]  # fmt: skip


@pytest.fixture
def memory(site: PracticeSite) -> Place:
    return Place(Store("sqlite://"), site)


@pytest.mark.parametrize(
    ("send", "kind", "step", "state", "words"), [case[1:] for case in REFRESH], ids=[case[0] for case in REFRESH]
)
def test_what_a_failed_renewal_means(
    memory: Place, site: PracticeSite, send: Any, kind: type, step: str, state: str, words: str
) -> None:
    connection = granted(memory, site)
    site.advance(4000)
    memory.tokens._transport = httpx2.MockTransport(send)
    with pytest.raises(errors.SpokekitError) as problem:
        memory.tokens.access_token(connection)
    assert type(problem.value) is kind or (kind is errors.TransportError and isinstance(problem.value, kind))
    assert problem.value.next_step == step
    assert words in str(problem.value)
    status = memory.tokens.status(connection)
    assert status.state == state and status.reason
    # None of them costs the stored grant: where the network was at fault, the next try works.
    memory.tokens._transport = None
    if state == "expired":
        memory.tokens.access_token(connection)
        assert memory.tokens.status(connection).state == "valid"


EXCHANGE = [
    ("bad, late or reused code", answer(400, refusal("invalid_request", "authorization_code is invalid")),
     errors.CodeRefused, "consent", "too late"),
    ("the same in RFC 6749's words", answer(400, refusal("invalid_grant")), errors.CodeRefused, "consent", "too late"),
    ("wrong client secret", answer(401, refusal("access_denied", "Unauthorized")),
     errors.ClientSecretRefused, "fix_secret", "then press Get OAuth Token once more"),
    ("redirect URI differs", answer(400, refusal("invalid_request", "redirect_uri does not match")),
     errors.RedirectMismatch, "fix_redirect", "every character"),
    ("a scope that the app lacks", answer(400, refusal("invalid_scope", "read:x")),
     errors.ScopeNotEnabled, "enable_scope", "Add the scope"),
    ("too many requests", answer(429, None), errors.RateLimited, "wait", "slow down"),
    ("gateway trouble", answer(502, HTML), errors.ServiceError, "wait", "Wait a minute"),
    ("a proxy's page", answer(200, HTML), errors.UnexpectedAnswer, "retry", "proxy"),
    ("200 without a token", answer(200, {}), errors.UnexpectedAnswer, "retry", "status 200"),
    ("a time-out", answer(0, httpx2.ReadTimeout("late")), errors.TransportError, "wait", "in time"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("send", "kind", "step", "words"), [case[1:] for case in EXCHANGE], ids=[case[0] for case in EXCHANGE]
)
def test_what_a_failed_exchange_means(
    memory: Place, site: PracticeSite, send: Any, kind: type, step: str, words: str
) -> None:
    connection = granted(memory, site)
    before = memory.tokens.access_token(connection)
    memory.tokens._transport = httpx2.MockTransport(send)
    attempt = Attempt.start(connection, memory.tokens, PasteReceiver(connection.redirect_uri), pkce=False)
    with pytest.raises(errors.SpokekitError) as problem:
        attempt.complete(Callback(Secret("a-code"), attempt.state))
    assert isinstance(problem.value, kind) and problem.value.next_step == step and words in str(problem.value)
    assert memory.tokens.access_token(connection) == before, "an attempt that failed leaves the earlier grant alone"


CALLBACKS = [
    ("access_denied", "User did not authorize the request", errors.ConsentDeclined, "consent"),
    ("access_denied", "", errors.ConsentDeclined, "consent"),
    ("access_denied",
     "Your site admin must authorize this app for the site x.atlassian.net before the app can access your account.",
     errors.SiteAdminMustAuthorize, "ask_site_admin"),
    ("access_denied", "Access denied. This app requires access to a Confluence site which you don't have",
     errors.SiteAdminMustAuthorize, "ask_site_admin"),
    ("invalid_scope", "Scopes not enabled on the app: read:x", errors.ScopeNotEnabled, "enable_scope"),
    ("unauthorized_client", "redirect_uri is not registered for client: http://127.0.0.1:1", errors.RedirectMismatch,
     "fix_redirect"),
    ("server_error", "", errors.ConsentError, "wait"),
    ("temporarily_unavailable", "", errors.ConsentError, "wait"),
    ("something_new", "Never <b>seen</b>", errors.ConsentError, "fix_input"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "description", "kind", "step"), CALLBACKS)
def test_what_an_error_on_the_callback_means(error: str, description: str, kind: type, step: str) -> None:
    problem = explain_callback(error, description, "http://localhost:8751/callback")
    assert type(problem) is kind and problem.next_step == step
    assert problem.hint


def test_declining_and_a_wrong_secret_share_a_word_at_atlassian_and_nothing_here() -> None:
    declined = explain_callback("access_denied", "")
    assert isinstance(declined, errors.ConsentDeclined) and "secret" not in str(declined)


def test_an_answer_without_a_lifetime_or_a_new_refresh_token_is_used_sensibly(
    memory: Place, site: PracticeSite
) -> None:
    connection = granted(memory, site)
    site.advance(4000)
    real = httpx2.HTTPTransport()

    def without(request: httpx2.Request) -> httpx2.Response:
        data = real.handle_request(request).read()
        body = httpx2.Response(200, content=data).json()
        return httpx2.Response(200, json={"access_token": body["access_token"]})

    memory.tokens._transport = httpx2.MockTransport(without)
    first = memory.tokens.access_token(connection)
    assert memory.tokens.access_token(connection) == first
    status = memory.tokens.status(connection)
    assert status.state == "valid" and status.scopes == connection.scopes
    real.close()
    # The earlier refresh token was kept, and inside the leeway it still renews.
    memory.tokens._transport = None
    assert memory.tokens.access_token(connection, rejected=first) != first
