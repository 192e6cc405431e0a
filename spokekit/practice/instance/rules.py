"""What an instance does by itself when a record comes by the Table API or a form, and what it refuses."""

from __future__ import annotations

import re

from spokekit.practice.instance.switches import InstanceSwitches
from spokekit.practice.instance.tables import Database, Row, new_id

_INHERITED = ("type", "connection_type", "multiple_connections", "configuration_template", "retry_policy")


class Refused(Exception):
    """A business rule or a data policy says no; the text is what the instance answers."""


def write(data: Database, switches: InstanceSwitches, table: str, values: Row, sys_id: str = "") -> Row:
    """Insert a record, or change the one with `sys_id`, under the platform's rules; raises `Refused`."""
    known = {name: value for name, value in values.items() if not name.startswith("sys_")}
    old = data.rows[table].get(sys_id, {})
    new = {**old, **known}
    rule = _RULES.get(table)
    if rule is not None:
        rule(data, new, old)
    for name, value in switches.rewrites.items():
        where, _, column = name.partition(".")
        if where == table:
            new[column] = value
    row = data.put(table, new, sys_id or new_id())
    if table == "oauth_entity" and not old and switches.default_profile_made:
        made = {
            "name": f"{row.get('name', '')} default_profile",
            "oauth_entity": row["sys_id"],
            "grant_type": row.get("default_grant_type", ""),
            "default": "true",
        }
        data.put("oauth_entity_profile", made, new_id())
    return row


def _alias(data: Database, new: Row, old: Row) -> None:
    if old:
        if new.get("parent", "") != old.get("parent", ""):
            raise Refused("The parent of an alias cannot be changed")
        new["id"] = old.get("id", "")
        return
    above = data.find("sys_alias", new.get("parent", ""))
    if above is not None:
        new.update({name: above.get(name, "") for name in _INHERITED})
        scope = above.get("id", "").partition(".")[0]
    else:
        scope = ""
    name = re.sub(r"[^A-Za-z0-9_]", "_", new.get("name", ""))
    new["id"] = f"{scope}.{name}" if scope else name


def _profile(data: Database, new: Row, old: Row) -> None:
    if new.get("default") != "true":
        return
    for row in data.rows["oauth_entity_profile"].values():
        same = row.get("oauth_entity") == new.get("oauth_entity") and row.get("default") == "true"
        if same and row["sys_id"] != old.get("sys_id"):
            raise Refused("There is already a default profile for this registry")


def _connection(data: Database, new: Row, old: Row) -> None:
    new.setdefault("active", "true")
    alias = data.find("sys_alias", new.get("connection_alias", "")) or {}
    for row in data.rows["http_connection"].values():
        if row["sys_id"] == old.get("sys_id"):
            continue
        if row.get("name", "").lower() == new.get("name", "").lower():
            raise Refused("Connection name must be unique")
        if new["active"] != "true" or row.get("active") != "true":
            continue
        if new.get("credential") and row.get("credential") == new["credential"]:
            raise Refused("The credential is used by another active connection")
        if alias and row.get("connection_alias") == alias["sys_id"] and alias.get("multiple_connections") != "true":
            raise Refused("There is already an active connection for this alias")


_RULES = {"sys_alias": _alias, "oauth_entity_profile": _profile, "http_connection": _connection}
