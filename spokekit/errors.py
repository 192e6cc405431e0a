"""Every error that spokekit raises, in one tree, split by what the reader can do about it.

Each error carries up to three sentences: what happened (``str(error)``'s first part), why it probably
happened (``likely``) and what to do next (``hint``). ``next_step`` says the last one as a word that a program
can act on. No error ever holds a token, a code or a secret.

::

    SpokekitError
    ├── InputError (ValueError)        something typed or passed in cannot be used
    ├── NotFound (LookupError)         no such alias, connection, group, plan, snapshot ...
    ├── Conflict                       a rule of the store would be broken (names, one active connection)
    ├── SetupError                     a setting of this computer cannot be used: proxy, certificates, home
    ├── NotConfigured                  the connection lacks something: client id, secret, token, site
    ├── StoreError                     the store on disk cannot be read or written
    │   └── VaultError                 a sealed secret cannot be opened
    ├── ConsentError                   getting a token did not work
    │   ├── ConsentNeeded              a person has to consent (again)
    │   ├── ConsentDeclined            the person pressed Cancel
    │   ├── ConsentCancelled           the attempt was cancelled on this side
    │   ├── ConsentTimedOut            nobody came back within the attempt's time
    │   ├── CallbackRefused            wrong state, second delivery, not a callback address
    │   ├── CodeRefused                the code came too late or was used before
    │   ├── ClientSecretRefused        Atlassian does not accept the client secret
    │   ├── RedirectMismatch           the redirect URI is not the one the app knows
    │   ├── ScopeNotEnabled            a scope was asked for that the app does not have
    │   ├── SiteAdminMustAuthorize     a site admin has to let the app in
    │   ├── NoSite                     the grant reaches no Confluence site
    │   ├── SiteChoiceNeeded           the grant reaches several sites: ask, never guess
    │   └── OtherAccount               another account consented than the one before: ask, never replace
    ├── TransportError                 no usable answer came: network, time-out, cut off
    ├── ServiceError                   Confluence answered with an error; has status and endpoint
    │   ├── ScopeMissing               the token lacks a scope (401 that no refresh cures)
    │   ├── TokenRejected              the access token is not accepted and a refresh did not help
    │   ├── AppNotInstalled            403: the app is not installed on this site
    │   ├── NotPermitted               403: the person may not do this
    │   ├── SiteRefuses                the site lets nobody in: suspended, unpaid, an IP allow list
    │   ├── NotThere                   404/410
    │   ├── RateLimited                429 that outlasted the patience allowed
    │   ├── LicenceFull                no seat left for the user
    │   └── UnexpectedAnswer           HTML, cut JSON, wrong types, missing keys
    ├── IncompleteResult               rows are missing, and the report says which
    ├── GuardRefused                   the group is not registered, so it is not changed
    ├── PlanError                      the plan cannot be applied (changed ground, edited, other site)
    └── Cancelled                      the person cancelled the operation
"""

from __future__ import annotations

from typing import Any, Literal

from spokekit._foreign import SENTENCE, shown

NextStep = Literal[
    "none",
    "wait",
    "retry",
    "refresh",
    "consent",
    "fix_input",
    "fix_secret",
    "fix_redirect",
    "fix_scopes",
    "enable_scope",
    "ask_site_admin",
    "choose_site",
    "confirm_account",
    "register_group",
    "preview_again",
    "fix_computer",
]


class SpokekitError(Exception):
    """Base of all errors of spokekit.

    Parameters
    ----------
    message:
        What happened, as a sentence.
    likely:
        Why it probably happened.
    hint:
        What to do next.
    next_step:
        The same as one word, for programs.

    Attributes
    ----------
    candidates:
        Names or ids that could have been meant, the likeliest first.
    """

    next_step: NextStep = "none"
    candidates: tuple[str, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        likely: str | None = None,
        hint: str | None = None,
        next_step: NextStep | None = None,
    ) -> None:
        # What a server or a file brought is quoted in many sentences, and a traceback shows them as they are.
        message = shown(message, SENTENCE, keep="\n")
        self.message = message
        self.likely = None if likely is None else shown(likely, SENTENCE, keep="\n")
        self.hint = None if hint is None else shown(hint, SENTENCE, keep="\n")
        if next_step is not None:
            self.next_step = next_step
        super().__init__(message)

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.likely, self.hint) if part)


class InputError(SpokekitError, ValueError):
    """A value that was typed or passed in cannot be used; ``field`` names it."""

    next_step: NextStep = "fix_input"

    def __init__(self, message: str, *, field: str | None = None, **more: Any) -> None:
        self.field = field
        super().__init__(message, **more)


class NotFound(SpokekitError, LookupError):
    """There is no such alias, connection, group, plan or snapshot here."""

    next_step: NextStep = "fix_input"


class Conflict(SpokekitError):
    """The change would break a rule of the store, for example two connections of one name."""

    next_step: NextStep = "fix_input"


class SetupError(SpokekitError):
    """A setting of this computer cannot be used; ``setting`` names the variable, where it is one."""

    next_step: NextStep = "fix_computer"

    def __init__(self, message: str, *, setting: str = "", **more: Any) -> None:
        self.setting = setting
        super().__init__(message, **more)


class NotConfigured(SpokekitError):
    """The connection lacks something that the operation needs."""

    next_step: NextStep = "fix_input"


class StoreError(SpokekitError):
    """The store cannot be read or written."""


class VaultError(StoreError):
    """A sealed secret cannot be opened with the key at hand."""


class ConsentError(SpokekitError):
    """Getting a token did not work."""

    next_step: NextStep = "consent"


class ConsentNeeded(ConsentError):
    """A person has to consent (again) before the connection works."""


class ConsentDeclined(ConsentError):
    """The person pressed Cancel on the consent page."""


class ConsentCancelled(ConsentError):
    """The attempt was cancelled on this side."""


class ConsentTimedOut(ConsentError):
    """No callback arrived within the attempt's time."""


class CallbackRefused(ConsentError):
    """What came back is not the callback of this attempt: wrong state, second delivery, other address."""


class CodeRefused(ConsentError):
    """The authorisation code came too late or was used before."""


class ClientSecretRefused(ConsentError):
    """The token endpoint does not accept the client id and secret; consent would not help."""

    next_step: NextStep = "fix_secret"


class RedirectMismatch(ConsentError):
    """The redirect URI is not, character for character, the callback URL of the app."""

    next_step: NextStep = "fix_redirect"


class ScopeNotEnabled(ConsentError):
    """A scope was asked for that is not enabled on the app."""

    next_step: NextStep = "enable_scope"


class SiteAdminMustAuthorize(ConsentError):
    """The site blocks user-installed apps until an administrator authorises this one."""

    next_step: NextStep = "ask_site_admin"


class NoSite(ConsentError):
    """The grant reaches no site with Confluence."""

    next_step: NextStep = "ask_site_admin"


class OtherAccount(ConsentError):
    """Another account consented than the one for which the connection has spoken so far, whose token stays."""

    next_step: NextStep = "confirm_account"


class SiteChoiceNeeded(ConsentError):
    """The grant reaches several sites; ``sites`` lists them as (cloud id, name, url)."""

    next_step: NextStep = "choose_site"

    def __init__(self, message: str, *, sites: tuple[tuple[str, str, str], ...] = (), **more: Any) -> None:
        self.sites = sites
        super().__init__(message, **more)


class TransportError(SpokekitError):
    """No usable answer came; ``endpoint`` names the request (method and path, never the query).

    ``lasting`` is True where the same try would end the same: a certificate, a proxy that refuses.
    """

    next_step: NextStep = "retry"

    def __init__(self, message: str, *, endpoint: str = "", lasting: bool = False, **more: Any) -> None:
        self.endpoint = endpoint
        self.lasting = lasting
        super().__init__(message, **more)


class ServiceError(SpokekitError):
    """The service answered with an error; ``status`` and ``endpoint`` say which."""

    def __init__(self, message: str, *, status: int = 0, endpoint: str = "", **more: Any) -> None:
        self.status = status
        self.endpoint = endpoint
        super().__init__(message, **more)


class ScopeMissing(ServiceError):
    """The token lacks ``scopes``, which ``action`` needs; a refresh cannot add them, a new consent can."""

    next_step: NextStep = "consent"

    def __init__(self, message: str, *, scopes: tuple[str, ...] = (), action: str = "", **more: Any) -> None:
        self.scopes = scopes
        self.action = action
        super().__init__(message, **more)


class TokenRejected(ServiceError):
    """The access token is not accepted and a refresh did not help."""

    next_step: NextStep = "consent"


class AppNotInstalled(ServiceError):
    """403: the app, or the scope, is not installed on this site."""

    next_step: NextStep = "consent"


class NotPermitted(ServiceError):
    """403: the signed-in person may not do this."""

    next_step: NextStep = "ask_site_admin"


class SiteRefuses(ServiceError):
    """The site lets nobody in from here, whoever asks: suspended, unpaid, closed, or an IP allow list."""

    next_step: NextStep = "ask_site_admin"


class NotThere(ServiceError):
    """404 or 410: no such thing, or not visible to the signed-in person."""


class RateLimited(ServiceError):
    """The service asks to slow down; ``retry_after`` is in seconds, or None when it did not say."""

    next_step: NextStep = "wait"

    def __init__(self, message: str, *, retry_after: float | None = None, **more: Any) -> None:
        self.retry_after = retry_after
        super().__init__(message, **more)


class LicenceFull(ServiceError):
    """No seat is left for one more user of the product."""

    next_step: NextStep = "ask_site_admin"


class UnexpectedAnswer(ServiceError):
    """The answer is not what the endpoint documents: HTML, cut JSON, wrong types, missing keys."""

    next_step: NextStep = "retry"


class IncompleteResult(SpokekitError):
    """Rows are missing; ``report`` (a completeness report) says which, ``frame`` holds what did come."""

    next_step: NextStep = "retry"

    def __init__(self, message: str, *, report: Any = None, frame: Any = None, **more: Any) -> None:
        self.report = report
        self.frame = frame
        super().__init__(message, **more)


class GuardRefused(SpokekitError):
    """The group is not among the registered groups of the connection, so it is not changed."""

    next_step: NextStep = "register_group"


class PlanError(SpokekitError):
    """The plan cannot be applied; ``differences`` lists what changed since its preview."""

    next_step: NextStep = "preview_again"

    def __init__(self, message: str, *, differences: Any = None, **more: Any) -> None:
        self.differences = differences
        super().__init__(message, **more)


class Cancelled(SpokekitError):
    """The person cancelled the operation.

    ``nothing_done`` is True where it is known that the change in question was not made; otherwise it may have been.
    """

    def __init__(self, message: str, *, nothing_done: bool = False, **more: Any) -> None:
        self.nothing_done = nothing_done
        super().__init__(message, **more)
