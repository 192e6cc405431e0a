"""What an answer with an error status means: one error of ours for each documented case.

Bodies are only read for the few texts that tell cases of one status apart (sources: Atlassian's OpenAPI documents,
its public issues, and measurements that third-party clients published); everything else goes by status alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from spokekit._http import clean, json_of, retry_after
from spokekit._words import later
from spokekit.errors import (
    AppNotInstalled,
    LicenceFull,
    NotPermitted,
    NotThere,
    RateLimited,
    ScopeMissing,
    ServiceError,
    TokenRejected,
)

_SHORT = 200
_SCOPE_WORDS = "scope does not match"
_LICENCE_WORDS = ("AddUserToGroupsIdentityPlatformCommand", "License Limit Exceeded", "licence limit", "license limit")


def message_of(body: bytes) -> str:
    """Return the service's own message, short, in one line and without anything that looks like a secret."""
    data = json_of(body)
    if not isinstance(data, dict):
        return ""
    text = data.get("message") or data.get("error_description") or data.get("error")
    errors = data.get("errors")
    if not text and isinstance(errors, list) and errors and isinstance(errors[0], dict):
        text = " ".join(str(errors[0][key]) for key in ("title", "detail") if errors[0].get(key))
    return clean(text, _SHORT) if isinstance(text, str) else ""


def scope_is_missing(status: int, body: bytes) -> bool:
    """Tell the 401 of a missing scope, which no refresh cures, from the 401 of a stale token."""
    return status == 401 and _SCOPE_WORDS in message_of(body).lower()


def wait_asked(headers: Any, now: datetime) -> float | None:
    """Return for how many seconds the answer asks us to stay away, or None when it does not say.

    ``Retry-After`` counts before ``X-RateLimit-Reset``, which the gateway was seen to send alone.
    """
    asked = retry_after(headers, now)
    reset = reset_time(headers)
    if asked is not None or reset is None:
        return asked
    return max(0.0, (reset - now).total_seconds())


def reset_time(headers: Any) -> datetime | None:
    """Return when the server's hour ends (``X-RateLimit-Reset``, ISO 8601, seen with and without seconds)."""
    for name in ("x-ratelimit-reset", "x-beta-ratelimit-reset", "beta-x-ratelimit-reset"):
        text = (headers.get(name) or "").strip()
        if text:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                return None
            return moment if moment.tzinfo is not None else None
    return None


def error_for(
    status: int,
    body: bytes,
    *,
    endpoint: str,
    action: str,
    granted: Sequence[str],
    listed: Sequence[str] = (),
    asked: float | None = None,
) -> ServiceError:
    """Return the error that stands for this answer."""
    said = message_of(body)
    quoted = f' It said: "{said}".' if said else ""
    more: dict[str, Any] = {"status": status, "endpoint": endpoint}
    if scope_is_missing(status, body):
        return scope_error(action, granted, listed, **more)
    if status == 401:
        return TokenRejected(
            f"Confluence does not accept the access token ({endpoint}), and a fresh one did not help.",
            likely="The consent was withdrawn, or the app lost access to the site.",
            hint="Press Get OAuth Token on the connection to consent again.",
            **more,
        )
    if status == 403 and ("not installed" in said.lower() or "app is not" in said.lower()):
        lacks = scope_error(action, granted, listed, **more)
        # Reported: a write without its scope is refused in these words too (facts: one report).
        if lacks.scopes:
            return lacks
        return AppNotInstalled(
            f"The OAuth app is not installed on this site ({endpoint}).{quoted}",
            likely="The consent was given for another site, or a scope was taken away from the app.",
            hint="Press Get OAuth Token and choose the site on the consent page.",
            **more,
        )
    if status == 403:
        return NotPermitted(
            f"The signed-in person may not do this ({endpoint}).{quoted}",
            likely="It needs a site administrator, or access to Confluence itself.",
            hint="Sign in as a site administrator and press Get OAuth Token, or ask one.",
            **more,
        )
    if status in (404, 410):
        gone = "is no longer offered" if status == 410 else "found nothing"
        return NotThere(
            f"{endpoint} {gone}.{quoted}",
            likely="The id is wrong, the thing was deleted, or the signed-in person may not see it.",
            hint="Look the list up again and take the id from there.",
            next_step="fix_input",
            **more,
        )
    if status == 429:
        return RateLimited(
            f"Confluence asks to slow down ({endpoint}) and went on asking.{quoted}",
            hint="Wait and try again, with fewer requests in flight."
            if asked is None
            else f"Try again {later(asked)}.",
            retry_after=asked,
            **more,
        )
    if (status == 500 or status == 409) and any(
        word.lower() in body[:4000].decode("utf-8", "replace").lower() for word in _LICENCE_WORDS
    ):
        return LicenceFull(
            f"The user was not added ({endpoint}): Confluence has no free seat.",
            likely="The group gives access to the product, and the number of licensed users is used up.",
            hint="Free a seat or ask for a bigger plan at admin.atlassian.com, then try again.",
            **more,
        )
    if status >= 500:
        return ServiceError(
            f"Confluence failed with {status} ({endpoint}).{quoted}",
            likely="It is trouble on Atlassian's side.",
            hint="Look at status.atlassian.com and try again later.",
            next_step="retry",
            **more,
        )
    return ServiceError(
        f"Confluence refused the request with {status} ({endpoint}).{quoted}",
        likely="A value in it is not one that Confluence takes.",
        next_step="fix_input",
        **more,
    )


def scope_error(action: str, granted: Sequence[str], listed: Sequence[str] = (), **more: Any) -> ScopeMissing:
    """Return the error for a missing scope: which, for which action, and the press that mends it.

    ``granted`` are the scopes that the token holds, as far as it is known, ``listed`` those of the connection: one that
    is listed and not granted needs a new consent and no change of the connection.
    """
    from spokekit.connections.scopes import missing_for

    try:
        missing = tuple(missing_for(action, granted))
    except (LookupError, ValueError):
        missing = ()
    if missing:
        names = " and ".join(missing)
        noun = "scope" if len(missing) == 1 else "scopes"
        message = f"The token lacks the {noun} {names}, which {action} needs."
        if set(missing) <= set(listed):
            likely = "The connection lists it, and the consent does not cover it."
            hint = f"Enable {names} on the app, then press Get OAuth Token to consent again."
        else:
            likely = None
            hint = f"Add {names} to the app and to the connection's scopes, then press Save and Get OAuth Token."
    else:
        message = f"The token lacks a scope that {action} needs."
        likely = (
            "The connection lists the scope, but the consent was given before it did, or the app does not allow it."
        )
        hint = "Enable the scope on the app, then press Get OAuth Token to consent again."
    return ScopeMissing(message, likely=likely, hint=hint, scopes=missing, action=action, **more)
