"""What the connection form and the token button say of a connection's kind and scopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spokekit._foreign import markup
from spokekit.connections.scopes import Scope, published_first, scope

if TYPE_CHECKING:
    from spokekit.connections.connection import Connection

SERVICE_ACCOUNT_NOTE = (
    "<p>Client ID and secret are those of a service account's OAuth 2.0 credential, which an organization admin makes: "
    "admin.atlassian.com, Directory, Service accounts. Nobody consents, and no page opens.</p>"
)


def what_scopes_permit(known: Sequence[Scope]) -> str:
    """Return the fold that says of each scope what it permits."""
    lines = "".join(
        f"<li><code>{markup(s.id)}</code> {markup(s.permits)}{'' if s.published else ' (not published)'}</li>"
        for s in map(scope, published_first(s.id for s in known))
    )
    permits = f"<details><summary>What these {len(known)} scopes permit</summary>"
    return f"{permits}<ul class='sk-list'>{lines}</ul></details>"


def how_scopes_differ(saved: Sequence[str], known: Sequence[Scope], *, usual: bool = True) -> str:
    """Return how the scopes in the form differ from the saved ones; `usual`: a person consents, and it may write."""
    here = {s.id for s in known}
    lost = [name for name in saved if name not in here]
    extra = [s.id for s in known if s.id not in saved]
    words = "<p>The scopes above are the defaults again, as in ServiceNow's form. "
    if not usual:
        words = "<p>The scopes above are those that are proposed for such a connection, or what was written there. "
    words += f"The saved connection has {len(saved)} scopes"
    if lost:
        words += f"; missing above: {', '.join(f'<code>{markup(name)}</code>' for name in lost)}"
    if extra:
        words += f"; only above: {', '.join(f'<code>{markup(name)}</code>' for name in extra)}"
    return f"{words}.</p>"


def before_forgetting(connection: Connection) -> str:
    """Return what a person is asked before the token is forgotten."""
    if connection.is_service_account:
        return (
            f"Forget the token of “{connection.name}”? A new one is asked for at the next use: to end that, remove the "
            "connection, or revoke the credential in admin.atlassian.com."
        )
    return (
        f"Forget the token of “{connection.name}”? Its actions stop until somebody consents again. The client "
        "secret is kept. The consent itself ends in your Atlassian account, under Connected apps."
    )
