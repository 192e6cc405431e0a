"""Service accounts of the practice site: a credential that gets a token by itself, and no person consents.

Atlassian documents the credential *OAuth 2.0* of a service account and the grant ``client_credentials``; what is only
reported or unknown about it is a switch (`Switches`): what a ``scope`` does, whether the answer names the scopes, and
whether such an account may change membership.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from spokekit.errors import InputError, NotFound
from spokekit.practice.apps import App, Grant
from spokekit.practice.exchange import Answer, json_answer, oauth_error
from spokekit.practice.issued import Family

if TYPE_CHECKING:
    from spokekit.practice.oauth import AuthServer
    from spokekit.practice.server import PracticeSite
    from spokekit.practice.world.world import World

READING_SCOPES = ("read:confluence-user", "read:confluence-groups", "read:content-details:confluence")
"""Reported to be in production use for reading groups."""


def make_service_account(
    site: PracticeSite,
    name: str = "Night audit",
    *,
    scopes: Iterable[str] = READING_SCOPES,
    account: str | None = None,
    sites: Iterable[str] | None = None,
) -> App:
    """Make a service account's credential, as an organisation admin does, and return it.

    Parameters
    ----------
    scopes:
        Fixed from now on: the credential cannot be given others.
    account:
        Account id that it speaks for; without it, the first app account that may use Confluence.
    sites:
        Cloud ids of the sites that it reaches; all when left out.

    Raises
    ------
    InputError
        The name is taken, or a scope or site is none.
    NotFound
        Nobody has this account id, or the world has no account that could be it.
    """
    reached = list(site.worlds) if sites is None else list(sites)
    if strange := [one for one in reached if one not in site.worlds]:
        raise InputError(f"There is no site {strange[0]!r}.", field="sites")
    account = account or _first_app_account(site.world)
    if site.world.user_row(account) is None:
        raise NotFound("Nobody has this account id.")
    app = site.console.create(name, scopes)
    app.service_account, app.service_sites = account, reached
    return app


def _first_app_account(world: World) -> str:
    rows = np.flatnonzero(world.is_app & world.licensed)
    if not len(rows):
        raise NotFound("This world has no app account that may use Confluence.", hint="Name an account.")
    return world.person(int(rows[0])).account_id


def token_for(auth: AuthServer, app: App, fields: dict[str, Any]) -> Answer:
    """Answer a ``client_credentials`` request of an app whose id and secret were right."""
    switches = auth.switches
    if not app.service_account or switches.client_credentials == "refused":
        return oauth_error(403, "unauthorized_client", "Grant type 'client_credentials' not allowed for the client.")
    if fields.get("scope", "").strip() and switches.service_account_scope == "refused":
        return oauth_error(400, "invalid_scope", "Scopes cannot be requested for this credential.")
    grant = Grant(app, app.service_account, app.scopes, set(app.service_sites))
    answer = auth.tokens_of(Family(grant, tuple(s for s in app.scopes if s != "offline_access"), auth.clock.now()))
    if not switches.service_account_told_scopes:
        answer.pop("scope", None)
    return json_answer(200, answer)


def revoke(auth: AuthServer, app: App) -> None:
    """Take a service account's credential back: no new token, and those there are end."""
    app.revoked = True
    auth.end_families(client_id=app.client_id, access_too=True)
