"""What the token endpoint's answers mean: a token, or one error of ours that tells the next step.

Sources of the cases: Atlassian's OAuth 2.0 (3LO) page, measurements published by third-party clients, RFC 6749 5.2.
Atlassian says ``access_denied`` for two things: on the callback the person pressed Cancel; on the token endpoint the
client secret is wrong. A consent does not cure the second, so the two never share a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spokekit._http import clean
from spokekit._secret import Secret
from spokekit._words import later
from spokekit.errors import (
    ClientSecretRefused,
    CodeRefused,
    ConsentDeclined,
    ConsentError,
    ConsentNeeded,
    RateLimited,
    RedirectMismatch,
    ScopeNotEnabled,
    ServiceError,
    SiteAdminMustAuthorize,
    SpokekitError,
    UnexpectedAnswer,
)

Purpose = Literal["code", "refresh", "service"]

TOKEN_ENDPOINT = "POST /oauth/token"  # noqa: S105 - the name of an endpoint
# The lifetime that Atlassian's live service uses; taken when an answer does not say.
USUAL_LIFETIME = 3600


@dataclass(frozen=True)
class TokenAnswer:
    """A token as the endpoint gave it. ``refresh_token`` is None without the scope ``offline_access``."""

    access_token: Secret
    refresh_token: Secret | None
    lifetime: int
    scopes: tuple[str, ...] | None

    @classmethod
    def of(cls, answer: Mapping[str, Any] | TokenAnswer) -> TokenAnswer | None:
        """Return the token in `answer`, or None when there is none in it."""
        if isinstance(answer, TokenAnswer):
            return answer
        access, refresh = answer.get("access_token"), answer.get("refresh_token")
        if not (isinstance(access, str) and access.strip()) or "error" in answer:
            return None
        lifetime = answer.get("expires_in")
        if isinstance(lifetime, str) and lifetime.strip().isdigit():
            lifetime = int(lifetime)
        usable = isinstance(lifetime, int | float) and not isinstance(lifetime, bool) and 0 < lifetime < 10**9
        scope = answer.get("scope")
        return cls(
            Secret(access),
            Secret(refresh) if isinstance(refresh, str) and refresh.strip() else None,
            max(1, int(lifetime)) if usable and lifetime is not None else USUAL_LIFETIME,
            tuple(scope.split()) if isinstance(scope, str) else None,
        )


@dataclass(frozen=True)
class Refusal:
    """What is left of an answer that is no token: status, the two error fields, shortened and without secrets."""

    status: int
    error: str = field(default="", repr=False)
    # Never shown by a traceback: a page or a server may send back what it was sent.
    description: str = field(default="", repr=False)
    is_json: bool = True
    retry_after: float | None = None


def explain(refusal: Refusal, purpose: Purpose) -> SpokekitError:
    """Return the error for an answer of the token endpoint that is no token; its ``next_step`` says what helps."""
    found = _explain(refusal, purpose)
    if isinstance(found, ServiceError):
        found.status, found.endpoint = refusal.status, TOKEN_ENDPOINT
    return found


def _explain(refusal: Refusal, purpose: Purpose) -> SpokekitError:
    error, description = refusal.error.lower(), refusal.description.lower()
    if refusal.status == 429:
        return _rate_limited(refusal)
    if refusal.status >= 500:
        return ServiceError(
            f"Atlassian's sign-in service has trouble (status {refusal.status}).",
            hint="Wait a minute and try again; the saved token is kept.",
            next_step="wait",
        )
    if not refusal.is_json:
        return UnexpectedAnswer(
            f"The token endpoint answered with something that is not JSON (status {refusal.status}).",
            likely="A proxy or a sign-in page of your network stands between this computer and Atlassian.",
            hint="Check the network, a VPN and HTTPS_PROXY, then try again; the saved token is kept.",
        )
    if purpose == "service" and (mine := _service_account(refusal, error)) is not None:
        return mine
    if error == "invalid_client" or (error == "access_denied" and refusal.status in (400, 401, 403)):
        return ClientSecretRefused(
            "Atlassian does not accept the client id and client secret.",
            likely="The secret was mistyped, belongs to another app, or was replaced in the developer console.",
            hint="Copy the secret again from the app's Settings page and save it; "
            # The code of this consent was used up by the try; a refresh token was not.
            + ("then press Get OAuth Token once more." if purpose == "code" else "no new consent is needed."),
        )
    if "redirect_uri" in description or error == "redirect_uri_mismatch":
        return redirect_mismatch()
    if error == "invalid_scope":
        return scope_not_enabled(refusal.description)
    if purpose == "refresh" and _grant_is_gone(refusal, error, description):
        return ConsentNeeded(
            "The saved consent is no longer valid, so the token cannot be renewed.",
            likely=(
                "It was not used for 90 days, is more than a year old, the account's password was changed, somebody "
                "removed the app, or another program renewed the same token."
            ),
            hint="Press Get OAuth Token and consent again.",
        )
    if purpose == "code" and ("authorization_code" in description or error == "invalid_grant"):
        return CodeRefused(
            "The code from the consent page is no longer valid.",
            likely="It came too late, or it was used before; a code works once and for a few minutes.",
            hint="Press Get OAuth Token and consent again.",
        )
    told = clean(f"{refusal.error}: {refusal.description}".strip(": ")) or "no reason given"
    return UnexpectedAnswer(
        f"The token endpoint answered with status {refusal.status} ({told}).",
        hint="Try again later; the saved token is kept. If it stays so, check the connection's URLs.",
    )


def _service_account(refusal: Refusal, error: str) -> SpokekitError | None:
    """Return the error for a service account that gets no token; None where the answer says nothing of that."""
    if error == "invalid_scope":
        return UnexpectedAnswer(
            "Atlassian refuses the request of the service account because of a scope.",
            likely="Something between this computer and Atlassian added one: spokekit sends none, since the scopes of "
            "a service account are fixed when its credential is made.",
            hint="Look at the connection's Authorization URL and at proxies on the way, then try again.",
        )
    if error in ("unauthorized_client", "unsupported_grant_type", "invalid_grant"):
        return ClientSecretRefused(
            "Atlassian gives this client id no token as a service account.",
            likely="It is the client id of an app that people consent to, and not of a service account's OAuth 2.0 "
            "credential; or the organization has no centralized user management.",
            hint="Make the credential in admin.atlassian.com (Directory, Service accounts, the account, Create "
            "credentials, OAuth 2.0), then enter its client id and secret. For an app of people, choose “a person's "
            "consent”.",
        )
    if error in ("invalid_client", "access_denied") and refusal.status in (400, 401, 403):
        return ClientSecretRefused(
            "Atlassian does not accept the client id and client secret of the service account.",
            likely="The secret was mistyped, or the credential was revoked or replaced in admin.atlassian.com.",
            hint="In admin.atlassian.com (Directory, Service accounts) see whether the credential is there; make a new "
            "one if not, and save its client id and secret in the connection.",
        )
    return None


def _grant_is_gone(refusal: Refusal, error: str, description: str) -> bool:
    if error == "invalid_grant":
        return True
    return error in ("unauthorized_client", "invalid_request") and "refresh_token is invalid" in description


def _rate_limited(refusal: Refusal) -> RateLimited:
    wait = refusal.retry_after
    return RateLimited(
        "Atlassian's sign-in service asks to slow down.",
        hint=f"{f'Try again {later(wait)}' if wait else 'Wait a minute and try again'}; the saved token is kept.",
        retry_after=wait,
    )


def redirect_mismatch(redirect_uri: str | None = None) -> RedirectMismatch:
    """Return the error for a redirect URI that the app does not know."""
    which = f" ({redirect_uri})" if redirect_uri else ""
    return RedirectMismatch(
        f"The redirect URI of the connection{which} is not the callback URL of the app.",
        likely="They have to agree in every character: scheme, host, port and path.",
        hint="Copy the redirect URI into Authorization > Callback URL in the developer console, or correct it here.",
    )


def scope_not_enabled(description: str = "") -> ScopeNotEnabled:
    """Return the error for a scope that is asked for but not enabled on the app."""
    told = f" Atlassian says: {clean(description)}." if description else ""
    return ScopeNotEnabled(
        f"The connection asks for a scope that is not enabled on the app.{told}",
        likely="Under Permissions in the developer console fewer scopes are added than the connection lists.",
        hint="Add the scope to the app, or take it out of the connection, then get the token again.",
    )


def explain_callback(error: str, description: str, redirect_uri: str | None = None) -> ConsentError:
    """Return the error for a callback (or an error page of Atlassian) that carries ``error``."""
    kind, words = error.lower(), description.lower()
    if "site admin" in words or "admin must authorize" in words or "requires access to a" in words:
        return SiteAdminMustAuthorize(
            "A site admin has to let the app in before your account can use it on this site.",
            likely="The site blocks apps that users install themselves.",
            hint=(
                "In admin.atlassian.com: Apps, Sites, the site, Connected apps, Settings: allow user installed apps. "
                "Or an organization admin consents first."
            ),
        )
    if "redirect_uri" in words or "callback" in words:
        return redirect_mismatch(redirect_uri)
    if kind == "invalid_scope" or "scope" in words:
        return scope_not_enabled(description)
    if kind == "access_denied":
        return ConsentDeclined(
            "The consent was declined, so no token was given.",
            likely="Somebody pressed Cancel on the consent page.",
            hint="Press Get OAuth Token again when you want to go on. What was saved before is kept.",
        )
    if kind == "unauthorized_client":
        return redirect_mismatch(redirect_uri)
    if kind in ("server_error", "temporarily_unavailable"):
        return ConsentError(
            "Atlassian's sign-in service has trouble.", hint="Wait a minute and try again.", next_step="wait"
        )
    told = clean(f"{error}: {description}".strip(": "))
    return ConsentError(
        f"Atlassian did not give a code ({told}).",
        hint="Check client id, scopes and redirect URI of the connection against the app, then try again.",
        next_step="fix_input",
    )
