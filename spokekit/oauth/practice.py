"""Ask a practice site whether it gave the token that is here: one that was started anew knows none of yesterday's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spokekit._http import client
from spokekit._secret import Secret

if TYPE_CHECKING:
    from spokekit.connections.connection import Connection, Connections
    from spokekit.oauth.tokens import Tokens

_SECONDS = 2.0


def put_right(connections: Connections, tokens: Tokens, site: Mapping[str, Any], before: str | None) -> tuple[str, ...]:
    """Make the connections of an earlier day fit today's practice site, and return whose token it does not know.

    Parameters
    ----------
    site:
        What the practice site says of itself. With a ``client_secret``, the connections of its first app get it anew.
    before:
        Where the site was on the day before; a connection to anywhere else is left alone.
    """
    for connection in connections.list():
        if not connection.is_practice or connection.url not in (before, site["url"]):
            continue
        if connection.url != site["url"]:
            connection = connections.edit(connection.connection_id, url=site["url"], auth_url=site["auth_url"])
        if connection.client_id == site["client_id"] and site.get("client_secret"):
            tokens.set_client_secret(connection, Secret(str(site["client_secret"])))
    return forget_unknown(connections, tokens, site)


def forget_unknown(
    connections: Connections, tokens: Tokens, site: Mapping[str, Any] | None = None, *, only: Connection | None = None
) -> tuple[str, ...]:
    """Forget the tokens that the practice site on this computer never gave, and return the connections' names.

    A token that the site gave and ended (a changed password, 90 days) stays: that is for the person to see. A site that
    does not answer says nothing either way. Only practice connections are asked about.

    Parameters
    ----------
    site:
        What the practice site says of itself: only its connections are looked at, and those of its first app get its
        client secret anew. Without it, every practice connection.
    only:
        The one connection to look at.
    """
    found = []
    for connection in connections.list() if only is None else [only]:
        # A service account asks for a new one by itself.
        if (
            not connection.is_practice
            or connection.is_service_account
            or (site is not None and connection.url != site["url"])
        ):
            continue
        token = tokens.stored(connection)
        if token is None or _gave(str(connection.url), token) is not False:
            continue
        tokens.forget(connection)
        if site is not None and connection.client_id == site.get("client_id") and site.get("client_secret"):
            tokens.set_client_secret(connection, Secret(str(site["client_secret"])))
        found.append(connection.name)
    return tuple(found)


def _gave(url: str, token: Secret) -> bool | None:
    """Return whether the site gave the token; None when nobody answers, or no practice site does."""
    import httpx2

    try:
        with client(url, timeout=_SECONDS, follow_redirects=False) as asking:
            headers = {"Authorization": f"Bearer {token.reveal()}"}
            answer = asking.get(f"{url.rstrip('/')}/practice/known", headers=headers)
            told = answer.json().get("given") if answer.status_code == 200 else None
    except (httpx2.HTTPError, ValueError, AttributeError):
        return None
    return told if isinstance(told, bool) else None
