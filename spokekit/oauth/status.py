"""How a token stands, read from its row alone: a state, the limits ahead, and a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from shlex import quote
from typing import Literal

import sqlalchemy as sa

from spokekit._words import moment
from spokekit.connections.connection import Connection, account_changes, connections_table, credentials
from spokekit.connections.scopes import APP_ONLY, without_unpublished
from spokekit.errors import NotConfigured, VaultError
from spokekit.oauth.grants import open_grant, opened_grant
from spokekit.oauth.vault import Vault

State = Literal["not_configured", "no_token", "valid", "expired", "consent_needed"]

# In which Atlassian accepts the same refresh token again (documented).
LEEWAY = timedelta(minutes=10)
# After this long without a refresh the grant ends (documented); each refresh begins it anew.
IDLE_LIMIT = timedelta(days=90)
# The whole family of tokens that one consent began (documented in older text, and still seen).
FAMILY_LIMIT = timedelta(days=365)
_SOON = timedelta(days=14)
_NAMED = 3
_CLOCK_TURNED_BACK = timedelta(minutes=5)


@dataclass(frozen=True)
class Record:
    """The row of `credentials` for one connection, as stored."""

    client_secret: bytes | None = None
    sealed_grant: bytes | None = None
    generation: int = 0
    scopes: str = ""
    state: str = "none"
    reason: str = ""
    granted_at: datetime | None = None
    refreshed_at: datetime | None = None
    expires_at: datetime | None = None
    refresh_started_at: datetime | None = None

    @classmethod
    def read(cls, db: sa.Connection, connection: Connection, *, lock: bool = False) -> Record:
        """Return the row; with `lock` nobody else changes it before this transaction ends."""
        query = sa.select(*(credentials.c[field.name] for field in fields(cls))).where(
            credentials.c.connection_id == connection.connection_id
        )
        row = db.execute(query.with_for_update() if lock else query).mappings().first()
        return cls() if row is None else cls(**row)


@dataclass(frozen=True)
class Reach:
    """Where a token leads and for whom it speaks, as noted at the consent; ``before`` is who it spoke for earlier."""

    site: str = ""
    account: str = ""
    before: str = ""

    @classmethod
    def read(cls, db: sa.Connection, connection: Connection) -> Reach:
        """Return what stands in the store now, which may be newer than `connection`."""
        own, earlier = connections_table.c, account_changes.c
        row = db.execute(
            sa.select(
                own.cloud_id, own.site_name, own.account_id, own.account_name, earlier.account_id, earlier.account_name
            )
            .join_from(connections_table, account_changes, earlier.connection_id == own.connection_id, isouter=True)
            .where(own.connection_id == connection.connection_id)
        ).first()
        if row is None:
            return cls()
        cloud_id, site, account_id, account, before_id, before = row
        return cls(site or cloud_id or "", account or account_id or "", before or before_id or "")

    @property
    def words(self) -> str:
        """To which site the connection leads, as whom, and as whom before; without a site, that it is to be chosen."""
        who = f" as {self.account}" if self.account else ""
        before = f" (before: {self.before})" if self.before else ""
        if self.site:
            return f"Connected to {self.site}{who}{before}."
        return f"Consent given{who}{before}." if who or before else ""


@dataclass(frozen=True)
class TokenStatus:
    """How the token of a connection stands.

    Attributes
    ----------
    state:
        ``not_configured`` (client id or secret missing), ``no_token``, ``valid``, ``expired`` (renewed by itself at
        the next use, or for a service account asked for then), ``consent_needed`` (never for a service account).
    words:
        The same as a sentence or two.
    expires_at:
        Until when the access token works.
    consent_by:
        When a person has to consent again at the latest, if nothing uses the connection before.
    scopes:
        What was granted.
    reason:
        Why the last renewal failed, or why consent is needed; empty when all is well.
    site, account, account_before:
        The site's name, who consented, and who did before if that was another one; each empty when not known.
    needs_site:
        A token is there, but none of the sites that it reaches was chosen.
    attention:
        ``words`` hold something that a person should look at.
    kept:
        Why the newest token is not in the store yet and where it is meanwhile; empty where it is in the store.
    waits:
        That another account than before consented, and that its token waits for an answer; empty where none does.
    """

    state: State
    words: str
    expires_at: datetime | None = None
    consent_by: datetime | None = None
    scopes: tuple[str, ...] = ()
    reason: str = ""
    site: str = ""
    account: str = ""
    account_before: str = ""
    needs_site: bool = False
    attention: bool = False
    kept: str = ""
    waits: str = ""


NO_SITE = "The token is there, but no site is chosen yet."


def to_choose_a_site(connection: Connection) -> str:
    """Return how a site is chosen for a connection that has a token."""
    more = "" if connection.is_service_account else " (no new consent is needed)"
    return (
        "Choose it under Get OAuth Token, or run: "
        f"spokekit token get --connection {quote(connection.name)} --site SITE{more}."
    )


def who(account_id: str | None, name: str | None) -> str:
    """Return an account for people: two may have the same name, so the id stands with it."""
    if not account_id:
        return "an account that is not known"
    return f"{name} (account {account_id})" if name else f"the account {account_id}"


def to_answer(connection: Connection) -> str:
    """Return how a person says whether the token of another account is meant."""
    return (
        "Answer under Get OAuth Token, or run: "
        f"spokekit token get --connection {quote(connection.name)} (with --yes to take it)."
    )


def without_site(connection: Connection) -> NotConfigured:
    """Return the error for a connection that has a token and no site."""
    return NotConfigured(
        NO_SITE,
        hint=to_choose_a_site(connection),
        next_step="choose_site",
    )


def describe(connection: Connection, record: Record, vault: Vault, now: datetime, reach: Reach) -> TokenStatus:
    """Return how the token stands at `now`, and where it leads."""
    status = _describe(connection, record, vault, now, reach)
    usable = status.state in ("valid", "expired")
    return replace(
        status,
        words=f"Read-only. {status.words}" if connection.read_only else status.words,
        site=reach.site,
        account=reach.account,
        account_before=reach.before if usable else "",
        needs_site=usable and not reach.site,
        attention=status.attention or status.state == "consent_needed" or (usable and not reach.site),
    )


def _describe(connection: Connection, record: Record, vault: Vault, now: datetime, reach: Reach) -> TokenStatus:
    scopes = tuple(record.scopes.split())
    # Without its secret a service account has no next token, whatever lies there.
    lacks_secret = record.client_secret is None and (record.sealed_grant is None or connection.is_service_account)
    if not connection.client_id or lacks_secret:
        missing = "client secret" if connection.client_id else "OAuth client id"
        return TokenStatus("not_configured", f"Not configured: the connection has no {missing} yet.")
    if connection.is_service_account:
        return _describe_service_account(connection, record, vault, now, reach)
    if record.sealed_grant is None:
        return TokenStatus("no_token", "Configured, without a token. Get the OAuth token to go on.")
    try:
        grant = open_grant(record.sealed_grant, vault, connection)
    except VaultError as error:
        return TokenStatus("consent_needed", f"Consent needed: {error}", scopes=scopes, reason=str(error))
    if not grant.fits(connection):
        reason = "The client id or the authorisation URL was changed since the consent."
        return TokenStatus("consent_needed", f"Consent needed: {reason}", scopes=scopes, reason=reason)
    expires_at, consent_by = record.expires_at, _consent_by(record, renewable=grant.refresh_token is not None)
    if record.state == "consent_needed":
        words = f"Consent needed: {record.reason} Press Get OAuth Token."
        return TokenStatus("consent_needed", words, expires_at, None, scopes, record.reason)
    if consent_by is not None and now >= consent_by:
        reason = _ran_out(record, renewable=grant.refresh_token is not None)
        words = f"Consent needed: {reason} Press Get OAuth Token."
        return TokenStatus("consent_needed", words, expires_at, consent_by, scopes, reason)
    state: State = "valid" if expires_at is not None and now < expires_at else "expired"
    parts = [
        f"Token valid until {moment(expires_at)}."
        if state == "valid" and expires_at is not None
        else "The token has expired and is renewed by itself at the next use."
    ]
    parts += [reach.words] if reach.words else []
    well = len(parts)
    if not reach.site:
        parts.append(f"{NO_SITE} {to_choose_a_site(connection)}")
    if record.refreshed_at is not None and record.refreshed_at - now > _CLOCK_TURNED_BACK:
        parts.append(
            f"This computer's clock stands before {moment(record.refreshed_at)}, when the token was given. "
            "Set it right."
        )
    if record.reason:
        parts.append(f"The last renewal failed: {record.reason}")
    if record.refresh_started_at is not None:
        parts.append(
            f"A renewal that began at {moment(record.refresh_started_at)} was not confirmed; it is tried again at the "
            f"next use, best before {moment(record.refresh_started_at + LEEWAY)}."
        )
    if lacks := _not_covered(connection, scopes):
        parts.append(f"The consent does not cover {lacks}: press Get OAuth Token to consent again.")
    if consent_by is not None and grant.refresh_token is None:
        parts.append("It cannot be renewed: the scope offline_access was not granted.")
    attention = len(parts) > well
    if consent_by is not None and grant.refresh_token is not None:
        soon = consent_by - now <= _SOON
        near = f", in {(consent_by - now).days} days" if soon else ""
        parts.append(f"Consent again by {consent_by.astimezone():%Y-%m-%d}{near}.")
        attention |= soon
    return TokenStatus(state, " ".join(parts), expires_at, consent_by, scopes, record.reason, attention=attention)


def _describe_service_account(
    connection: Connection, record: Record, vault: Vault, now: datetime, reach: Reach
) -> TokenStatus:
    """Return how the token of a service account stands: one that is missing or old is no trouble, a refusal is."""
    scopes, expires_at = tuple(record.scopes.split()), record.expires_at
    grant = opened_grant(record.sealed_grant, vault, connection)
    there = grant is not None and grant.fits(connection)
    failed = [f"The last token could not be got: {record.reason}"] if record.reason else []
    if not there and not reach.site:
        words = ["Configured as a service account, without a token. Get the OAuth token: that chooses the site too."]
        return TokenStatus("no_token", " ".join([*words, *failed]), reason=record.reason, attention=bool(failed))
    valid = there and expires_at is not None and now < expires_at
    parts = [
        f"Service account. Token valid until {moment(expires_at)}; then a new one is asked for when needed."
        if valid and expires_at is not None
        else "Service account. A new token is asked for when needed."
    ]
    parts += [reach.words] if reach.site else []
    well = len(parts)
    if not reach.site:
        parts.append(f"{NO_SITE} {to_choose_a_site(connection)}")
    parts += failed
    if lacks := _not_covered(connection, scopes):
        parts.append(
            f"The credential does not cover {lacks}: its scopes were fixed when it was made. Make a new one in "
            "admin.atlassian.com, or take the scopes out of the connection."
        )
    return TokenStatus(
        "valid" if valid else "expired",
        " ".join(parts),
        expires_at if there else None,
        None,
        scopes,
        record.reason,
        attention=len(parts) > well,
    )


def _not_covered(connection: Connection, granted: tuple[str, ...]) -> str:
    """Name scopes that the connection lists and the token lacks: added since, or taken away by a later consent.

    Those that a token of this kind never shows, and the one for renewals, which has words of its own, do not count.
    """
    known = {*granted, *APP_ONLY, "offline_access"}
    if connection.is_service_account:
        known |= {"read:me", "read:account"}
    lacks = [name for name in without_unpublished(connection.scopes) if name not in known] if granted else []
    more = f" and {len(lacks) - _NAMED:,} more of its scopes" if len(lacks) > _NAMED else ""
    return ", ".join(lacks[:_NAMED]) + more


def _consent_by(record: Record, *, renewable: bool) -> datetime | None:
    if not renewable:
        return record.expires_at
    limits = []
    if record.refreshed_at is not None:
        limits.append(record.refreshed_at + IDLE_LIMIT)
    if record.granted_at is not None:
        limits.append(record.granted_at + FAMILY_LIMIT)
    return min(limits, default=None)


def _ran_out(record: Record, *, renewable: bool) -> str:
    if not renewable:
        return "The token has expired, and without the scope offline_access it cannot be renewed."
    if record.refreshed_at is not None and record.granted_at is not None:
        if record.granted_at + FAMILY_LIMIT < record.refreshed_at + IDLE_LIMIT:
            return "The consent is more than a year old."
        return "The connection was not used for 90 days."
    return "The consent is too old."
