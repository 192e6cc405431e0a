"""The records that a ServiceNow instance needs for a connection, as a plan that names no secret.

A sys_id is worked out from the kind of a record and the alias that it is for, so a plan that is made again names the
same records. The alias that the spoke ships is never made: its sys_id is asked for, and where it is not known, what
would name it is left to a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

Grant = Literal["consent", "service-account"]
GRANT_TYPES: Mapping[Grant, str] = {"consent": "authorization_code", "service-account": "client_credentials"}

REGISTRY = "oauth_entity"
PROFILE = "oauth_entity_profile"
SCOPE = "oauth_entity_scope"
PROFILE_SCOPE = "oauth_entity_profile_scope"
ALIAS = "sys_alias"
CREDENTIAL = "oauth_2_0_credentials"
CONNECTION = "http_connection"
LOAD_ORDER = (REGISTRY, PROFILE, SCOPE, PROFILE_SCOPE, ALIAS, CREDENTIAL, CONNECTION)
"""Tables in the order in which their records are made: each names only what stands before it."""

WORDS: Mapping[str, str] = {
    REGISTRY: "application registry",
    PROFILE: "profile",
    SCOPE: "scope",
    PROFILE_SCOPE: "scope of the profile",
    ALIAS: "child alias",
    CREDENTIAL: "credential",
    CONNECTION: "connection",
}
"""What a person calls a record of each table."""

REFERENCES: Mapping[tuple[str, str], str] = {
    (PROFILE, "oauth_entity"): REGISTRY,
    (SCOPE, "oauth_entity"): REGISTRY,
    (PROFILE_SCOPE, "oauth_entity_profile"): PROFILE,
    (PROFILE_SCOPE, "oauth_entity_scope"): SCOPE,
    (ALIAS, "parent"): ALIAS,
    (CREDENTIAL, "oauth_entity_profile"): PROFILE,
    (CONNECTION, "credential"): CREDENTIAL,
    (CONNECTION, "connection_alias"): ALIAS,
}
"""(table, column) -> the table whose record the column names."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    REGISTRY: (
        *("active", "name", "type", "client_id", "default_grant_type", "public_client", "use_mutual_auth"),
        *("auth_url", "token_url", "refresh_token_url", "redirect_url", "code_challenge_method"),
    ),
    PROFILE: ("default", "grant_type", "name", "oauth_entity"),
    SCOPE: ("name", "oauth_entity", "oauth_entity_scope"),
    PROFILE_SCOPE: ("oauth_entity_profile", "oauth_entity_scope"),
    ALIAS: (
        *("name", "id", "type", "connection_type", "parent", "configuration_template", "retry_policy"),
        *("multiple_connections", "description"),
    ),
    CREDENTIAL: ("active", "applies_to", "name", "oauth_entity_profile", "type"),
    CONNECTION: ("active", "connection_alias", "connection_url", "credential", "name", "use_mid"),
}
"""Every column that a plan writes, by table; no other one is taken from a file."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    REGISTRY: ("name",),
    PROFILE: ("name", "oauth_entity", "grant_type"),
    SCOPE: ("name", "oauth_entity", "oauth_entity_scope"),
    PROFILE_SCOPE: ("oauth_entity_profile", "oauth_entity_scope"),
    ALIAS: ("name", "id", "parent"),
    CREDENTIAL: ("name", "oauth_entity_profile"),
    CONNECTION: ("name", "connection_url", "credential"),
}
"""Columns without which a record is none, by table; those of `COLUMNS` that are not here may be left to the person."""

BOOLEANS = frozenset(("active", "default", "multiple_connections", "public_client", "use_mid", "use_mutual_auth"))
"""Columns that are true or false."""

SYS_ID = re.compile(r"[0-9a-f]{32}")


def sys_id(table: str, alias_id: str, key: str = "") -> str:
    """Return the id of a record: always the same for the same table, alias and `key` (a scope)."""
    return sha256("\n".join(("spokekit", table, alias_id, key)).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Record:
    """One record: its table, its id, and its columns as ServiceNow writes them (``"true"`` and ``"false"`` as text)."""

    table: str
    sys_id: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """A registered group; ``name`` is what it is called now."""

    group_id: str
    name: str


@dataclass(frozen=True)
class Part:
    """What one connection needs.

    ``connection``, ``alias_id`` and ``label`` are the names here; ``child`` tells whether the alias is one that was
    added to the spoke's own. ``site`` is the address of the Confluence site, or "" when none was chosen yet;
    ``scopes`` are those of the connection, in its order. ``by_hand`` has (table, column) of what cannot be known here
    and is left out of the files, ``notes`` what is worth knowing, in sentences, and ``cloud_id`` the site's id.
    """

    connection: str
    alias_id: str
    label: str
    child: bool
    grant: Grant
    site: str
    scopes: tuple[str, ...]
    records: tuple[Record, ...]
    groups: tuple[Group, ...] = ()
    by_hand: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    cloud_id: str = ""

    def record(self, table: str) -> Record | None:
        """Return the first record of a table, or None."""
        return next((record for record in self.records if record.table == table), None)


@dataclass(frozen=True)
class Plan:
    """What is handed over: a `Part` for each connection.

    ``instance`` is the instance's name, and ``parent_sys_id`` the id of the alias that the spoke ships there; both are
    "" when they are not known. ``made_from`` is when the newest of the connections was changed, in ServiceNow's form.
    """

    parts: tuple[Part, ...]
    instance: str = ""
    parent_sys_id: str = ""
    made_from: str = "2026-01-01 00:00:00"

    def records(self) -> Iterator[Record]:
        """Give all records in load order."""
        for table in LOAD_ORDER:
            for part in self.parts:
                yield from (record for record in part.records if record.table == table)

    @property
    def redirect_url(self) -> str:
        """Where the instance takes the redirect; with a mark in it when the instance's name is not known."""
        return redirect_url(self.instance or "<instance>")

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of all parts, each sentence once."""
        return tuple(dict.fromkeys(note for part in self.parts for note in part.notes))


def redirect_url(instance: str) -> str:
    """Return the redirect URL of an instance of this name."""
    return f"https://{instance}.service-now.com/oauth_redirect.do"
