"""What the practice instance knows of its tables, and the records that stand in them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

PARENT_ALIAS_ID = "sn_conflunce_spoke.Confluence_Cloud"
GROUPS = "sn_conflunce_spoke_confluence_group"
RETRY_POLICY = "ef751ff07301330025d71afe2ff6a7f9"

Row = dict[str, str]


@dataclass(frozen=True)
class Column:
    """A column: its type, its label, and the table that a reference names."""

    kind: str = "string"
    label: str = ""
    reference: str = ""


def _columns(text: str) -> dict[str, Column]:
    """Read ``name:kind:reference`` by spaces; the label is the name in words."""
    made = {}
    for part in text.split():
        name, _, rest = part.partition(":")
        kind, _, reference = rest.partition(":")
        made[name] = Column(kind or "string", name.replace("_", " ").capitalize(), reference)
    return made


_SYSTEM = "sys_id:GUID sys_created_on:glide_date_time sys_updated_on:glide_date_time"
_METADATA = f"{_SYSTEM} sys_scope"
SUPER: Mapping[str, str] = {"http_connection": "sys_connection", "oauth_2_0_credentials": "discovery_credentials"}
"""A table -> the one that it extends, whose columns it has as well."""
OWN: Mapping[str, dict[str, Column]] = {
    "sys_alias": _columns(
        f"{_METADATA} name id type connection_type parent:reference:sys_alias configuration_template retry_policy "
        "multiple_connections:boolean description is_internal:boolean"
    ),
    "sys_connection": _columns(
        f"{_SYSTEM} name active:boolean connection_alias:reference:sys_alias "
        "credential:reference:oauth_2_0_credentials order:integer"
    ),
    "http_connection": _columns("connection_url host use_mid:boolean mid_selection"),
    "discovery_credentials": _columns(f"{_SYSTEM} name active:boolean applies_to type order:integer"),
    "oauth_2_0_credentials": _columns("oauth_entity_profile:reference:oauth_entity_profile"),
    "oauth_entity": _columns(
        f"{_METADATA} name type active:boolean client_id client_secret:password2 default_grant_type auth_url token_url "
        "refresh_token_url revoke_token_url redirect_url code_challenge_method public_client:boolean "
        "use_mutual_auth:boolean oauth_api_script"
    ),
    "oauth_entity_profile": _columns(f"{_SYSTEM} name oauth_entity:reference:oauth_entity grant_type default:boolean"),
    "oauth_entity_scope": _columns(f"{_SYSTEM} name oauth_entity:reference:oauth_entity oauth_entity_scope"),
    "oauth_entity_profile_scope": _columns(
        f"{_SYSTEM} oauth_entity_profile:reference:oauth_entity_profile oauth_entity_scope:reference:oauth_entity_scope"
    ),
    "oauth_credential": _columns(f"{_SYSTEM} type expires:glide_date_time token_received:glide_date_time"),
    GROUPS: _columns(f"{_SYSTEM} group_name group_id"),
    "sys_db_object": _columns(f"{_SYSTEM} name label super_class:reference:sys_db_object"),
    "sys_dictionary": _columns(f"{_SYSTEM} name element column_label internal_type reference active:boolean"),
}
SHOWN = (
    "sys_alias",
    "http_connection",
    "oauth_2_0_credentials",
    "oauth_entity",
    "oauth_entity_profile",
    "oauth_entity_scope",
    "oauth_entity_profile_scope",
    GROUPS,
)
"""The tables that a hand-over writes, as the page lists them."""


def columns(table: str) -> dict[str, Column]:
    """Return the columns of a table, those that it inherits first."""
    above = SUPER.get(table)
    return {**(columns(above) if above else {}), **OWN[table]}


def new_id() -> str:
    """Return a sys_id as an instance makes one."""
    return secrets.token_hex(16)


def known_id(*parts: str) -> str:
    """Return a sys_id that is the same at each start."""
    return sha256("\n".join(("practice", *parts)).encode()).hexdigest()[:32]


@dataclass
class Database:
    """The records by table and sys_id; those of a table that extends another stand under their own."""

    rows: dict[str, dict[str, Row]] = field(default_factory=lambda: {name: {} for name in OWN})

    def __post_init__(self) -> None:
        for name in OWN:
            above = known_id("table", SUPER[name]) if name in SUPER else ""
            label = name.replace("_", " ").title()
            self.put("sys_db_object", {"name": name, "label": label, "super_class": above}, known_id("table", name))
            for element, column in OWN[name].items():
                values = {
                    "name": name,
                    "element": element,
                    "column_label": column.label,
                    "internal_type": column.kind,
                    "reference": column.reference,
                    "active": "true",
                }
                self.put("sys_dictionary", values, known_id("column", name, element))
        shipped = {
            "name": "Confluence_Cloud",
            "id": PARENT_ALIAS_ID,
            "description": "Confluence Cloud",
            "type": "connection",
            "connection_type": "http_connection",
            "multiple_connections": "false",
            "configuration_template": known_id("template"),
            "retry_policy": RETRY_POLICY,
        }
        self.put("sys_alias", shipped, known_id("alias"))

    def put(self, table: str, values: Mapping[str, str], sys_id: str) -> Row:
        """Write a record as it is given, or over the columns of one that is there."""
        row = self.rows[table].setdefault(sys_id, {"sys_id": sys_id, "sys_created_on": "2026-11-01 08:00:00"})
        row.update(values)
        row["sys_id"] = sys_id
        row["sys_updated_on"] = "2026-11-01 08:00:00"
        return row

    def list(self, table: str) -> list[tuple[str, Row]]:
        """Return (table, record) of a table and of those that extend it."""
        below: Iterable[str] = (name for name, above in SUPER.items() if above == table)
        return [(name, row) for name in (table, *below) for row in self.rows[name].values()]

    def find(self, table: str, sys_id: str) -> Row | None:
        """Return one record, or None."""
        return next((row for _, row in self.list(table) if row["sys_id"] == sys_id), None)

    def display(self, table: str, sys_id: str) -> str:
        """Return what a reference shows: the record's name, or nothing where it names none."""
        row = self.find(table, sys_id)
        return "" if row is None else row.get("name") or row["sys_id"]
