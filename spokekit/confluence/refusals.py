"""What an answer with an error status means: one error of ours for each documented case.

Bodies are only read for the few texts that tell cases of one status apart (sources: Atlassian's OpenAPI documents,
its public issues, and measurements that third-party clients published); everything else goes by status alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from spokekit._http import clean, is_web_page, json_of, page_words, retry_after
from spokekit._words import later
from spokekit.errors import (
    AppNotInstalled,
    LicenceFull,
    NotPermitted,
    NotThere,
    RateLimited,
    ScopeMissing,
    ServiceError,
    SiteRefuses,
    TokenRejected,
    UnexpectedAnswer,
)

_SHORT = 200
_SCOPE_WORDS = "scope does not match"
# What the words of an answer are about, whatever its status; a person's account is not the site.
_OF_NETWORK = re.compile(r"\bip\b.{0,40}(allow|block|restrict|permit|white)|(allow|white).?list", re.IGNORECASE)
_SITE = r"(site|tenant|instance|cloud ?id|product|subscription|organi[sz]ation|workspace|confluence)"
_STATE = (
    r"(suspend|deactivat|disabled|closed|deleted|archived|expired|unavailable|not available|unpaid|cancell?ed|past due"
    r"|locked|migrat|read.?only|maintenance)"
)
_OF_SITE = re.compile(
    rf"{_SITE}\b.{{0,60}}\b{_STATE}|{_STATE}\w*\b.{{0,30}}\b{_SITE}\b|payment required", re.IGNORECASE
)
_OF_PERSON = re.compile(r"\b(user|account|person|group|page|space)\b", re.IGNORECASE)
_ACCOUNT_OFF = re.compile(r"\b(user|account)\b.{0,40}\b(deactivat|inactive|suspend|disabled|closed)", re.IGNORECASE)
_LISTS = frozenset(
    {
        "/wiki/rest/api/group",
        "/wiki/rest/api/search",
        "/wiki/rest/api/search/user",
        "/wiki/rest/api/user/current",
        "/wiki/rest/api/user/bulk",
        "/wiki/api/v2/spaces",
        "/wiki/api/v2/pages",
        "/wiki/api/v2/space-roles",
        "/wiki/api/v2/users-bulk",
    }
)
"""Lists and calls without an id: a 404 of one of them is about the whole site."""
_LICENCE_WORDS = ("AddUserToGroupsIdentityPlatformCommand", "License Limit Exceeded", "licence limit", "license limit")


def message_of(body: bytes) -> str:
    """Return the service's own message, short, in one line and without anything that looks like a secret.

    The text is where v1, v2, the gateway or a proxy in between puts it; plain text counts as it is.
    """
    data = json_of(body)
    if data is None:
        plain = body[:2000].decode("utf-8", "replace")
        return "" if is_web_page(body) or "\ufffd" in plain or plain.lstrip()[:1] in "{[" else clean(plain, _SHORT)
    return clean(_text_in(data), _SHORT)


def _text_in(data: Any) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return next((text for one in data[:20] if (text := _text_in(one))), "")
    if not isinstance(data, dict):
        return ""
    for key in ("message", "errorMessage", "error_description", "error", "errors", "reason", "errorMessages"):
        if text := _text_in(data.get(key)):
            return text
    return " ".join(str(data[key]) for key in ("title", "detail") if data.get(key))


def scope_is_missing(status: int, body: bytes) -> bool:
    """Tell the 401 of a missing scope, which no refresh cures, from the 401 of a stale token."""
    return status == 401 and _SCOPE_WORDS in message_of(body).lower()


def is_about_the_token(body: bytes) -> bool:
    """Tell whether a 401 may be of a stale token: not of a scope, of the site, or of somebody in between."""
    said = message_of(body)
    return not (is_web_page(body) or scope_is_missing(401, body) or _OF_NETWORK.search(said) or _of_site(said))


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


def _not_permitted(said: str, endpoint: str, quoted: str) -> NotPermitted:
    if _ACCOUNT_OFF.search(said):
        return NotPermitted(
            f"The account that consented may not be used any more ({endpoint}).{quoted}",
            likely="It was deactivated or suspended.",
            hint="Press Get OAuth Token and sign in as somebody else, or have an admin restore the account.",
        )
    writes = endpoint.startswith(("POST /wiki/rest/api/group", "DELETE /wiki/rest/api/group"))
    return NotPermitted(
        f"The signed-in person may not do this ({endpoint}).{quoted}",
        likely="Only a site administrator may change who is in a group."
        if writes
        else "It needs access to Confluence itself, or the rights of a site administrator.",
        hint="Sign in as a site administrator and press Get OAuth Token, or ask one.",
    )


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
    """Return the error that stands for this answer; the gateway notes in it which answer, and of which endpoint."""
    said = message_of(body)
    quoted = _quoted(said)
    elsewhere = _between(status, body, endpoint, quoted) or _whole_site(status, said, endpoint, quoted)
    if elsewhere is not None:
        return elsewhere
    if scope_is_missing(status, body):
        return scope_error(action, granted, listed)
    if status == 401:
        return TokenRejected(
            f"Confluence does not accept the access token ({endpoint}), and a fresh one did not help.{quoted}",
            likely="The consent was withdrawn, or the app lost access to the site.",
            hint="Press Get OAuth Token on the connection to consent again.",
        )
    if status == 403 and ("not installed" in said.lower() or "app is not" in said.lower()):
        lacks = scope_error(action, granted, listed)
        # Reported: a write without its scope is refused in these words too (facts: one report).
        if lacks.scopes:
            return lacks
        return AppNotInstalled(
            f"The OAuth app is not installed on this site ({endpoint}).{quoted}",
            likely="The consent was given for another site, or a scope was taken away from the app.",
            hint="Press Get OAuth Token and choose the site on the consent page.",
        )
    if status == 403:
        return _not_permitted(said, endpoint, quoted)
    if status in (404, 410):
        return _not_there(status, endpoint, quoted)
    if status == 429:
        return RateLimited(
            f"Confluence asks to slow down ({endpoint}) and went on asking.{quoted}",
            hint="Wait and try again, with fewer requests in flight."
            if asked is None
            else f"Try again {later(asked)}.",
            retry_after=asked,
        )
    if (status == 500 or status == 409) and any(
        word.lower() in body[:4000].decode("utf-8", "replace").lower() for word in _LICENCE_WORDS
    ):
        return LicenceFull(
            f"The user was not added ({endpoint}): Confluence has no free seat.",
            likely="The group gives access to the product, and the number of licensed users is used up.",
            hint="Free a seat or ask for a bigger plan at admin.atlassian.com, then try again.",
        )
    if status >= 500:
        title = page_words(body) if is_web_page(body) else ""
        return ServiceError(
            f"Confluence failed with {status} ({endpoint}).{quoted or _quoted(title)}",
            likely="It is trouble on Atlassian's side.",
            hint="Look at status.atlassian.com and try again later.",
            next_step="retry",
        )
    return ServiceError(
        f"Confluence refused the request with {status} ({endpoint}).{quoted}",
        likely="A value in it is not one that Confluence takes.",
        next_step="fix_input",
    )


def _quoted(said: str) -> str:
    return f' It said: "{said}".' if said else ""


def _between(status: int, body: bytes, endpoint: str, quoted: str) -> ServiceError | None:
    """Return the error for an answer that came from somebody between this computer and Confluence, or None."""
    if status == 407:
        return UnexpectedAnswer(
            f"A proxy between this computer and Confluence wants a name and a password (407, {endpoint}).{quoted}",
            hint="Write HTTPS_PROXY as http://NAME:PASSWORD@HOST:PORT, with signs percent-encoded.",
            next_step="fix_computer",
        )
    if status == 511 or (status < 500 and is_web_page(body)):
        title = page_words(body)
        return UnexpectedAnswer(
            f"{endpoint} answered with a web page{f' (“{title}”)' if title else ''} (status {status}) instead of data.",
            likely="A proxy, a sign-in page of the network or a filter answered in Confluence's place, or the "
            "connection URL is the address of the site and not of Atlassian's gateway.",
            hint="Sign in to the network, check the proxy settings and the connection URL, then try again.",
            next_step="fix_computer",
        )
    if status == 451:
        return SiteRefuses(
            f"{endpoint} is not delivered here for legal reasons (451).{quoted}",
            likely="A filter of the network or the country forbids the address.",
            hint="Ask whoever runs the network.",
        )
    return None


def _of_site(said: str) -> bool:
    return bool(_OF_SITE.search(said)) and not _OF_PERSON.search(said)


def _whole_site(status: int, said: str, endpoint: str, quoted: str) -> ServiceError | None:
    """Return the error for a site that lets nobody in from here, whoever asks, or None."""
    if status in (401, 403, 404) and _OF_NETWORK.search(said):
        return SiteRefuses(
            f"The site takes no requests from this computer's network address ({endpoint}).{quoted}",
            likely="Its organization has an IP allow list, and this address is not on it.",
            hint="Work from the company's network or VPN, or ask an organization admin to add the address "
            "(admin.atlassian.com, Security, IP allowlists). A new consent does not help.",
        )
    if status == 402:
        return SiteRefuses(
            f"The site's subscription does not allow it ({endpoint}, 402).{quoted}",
            likely="It is not paid, or has ended, or the plan does not have this.",
            hint="Ask whoever pays for the site (admin.atlassian.com, Billing). A new consent does not help.",
        )
    if status in (401, 403, 404, 410, 423, 503) and _of_site(said):
        return SiteRefuses(
            f"The site is not in use at the moment ({endpoint}, {status}).{quoted}",
            likely="It was suspended, deactivated or closed.",
            hint="Ask an organization admin about the site's state (admin.atlassian.com). A new consent does not help.",
        )
    return None


def _not_there(status: int, endpoint: str, quoted: str) -> NotThere:
    if status == 404 and endpoint.partition(" ")[2] in _LISTS:
        return NotThere(
            f"The site has no Confluence at the connection's address: {endpoint} found nothing.{quoted}",
            likely="The site was closed, moved or renamed, or the connection belongs to another site (cloud id).",
            hint="Open the site in a browser; if it is there, press Get OAuth Token and choose it again.",
            next_step="choose_site",
        )
    if status == 410:
        return NotThere(
            f"{endpoint} is no longer offered.{quoted}",
            likely="Atlassian took this call away.",
            hint="Update spokekit with pip.",
            next_step="none",
        )
    return NotThere(
        f"{endpoint} found nothing.{quoted}",
        likely="The id is wrong, the thing was deleted, or the signed-in person may not see it.",
        hint="Look the list up again and take the id from there.",
        next_step="fix_input",
    )


def scope_error(action: str, granted: Sequence[str], listed: Sequence[str] = ()) -> ScopeMissing:
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
    return ScopeMissing(message, likely=likely, hint=hint, scopes=missing, action=action)
