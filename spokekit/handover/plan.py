"""Making the plan: from the connections and registered groups of a store to the records of an instance."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from spokekit._ids import BLANK
from spokekit._surroundings import is_loopback
from spokekit.connections.aliases import Alias
from spokekit.connections.connection import Connection, Connections
from spokekit.connections.fields import check_client_id
from spokekit.connections.records import DEFAULT_AUTH_URL, DEFAULT_URL
from spokekit.connections.scopes import DEFAULT_SCOPES
from spokekit.connections.store import Store
from spokekit.errors import InputError, NotConfigured
from spokekit.groups.registry import Registry
from spokekit.handover import records as rec

_INSTANCE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# ServiceNow's own default for http, which the SDK fills in as well.
_RETRY_POLICY = "ef751ff07301330025d71afe2ff6a7f9"


def make_plan(
    store: Store,
    names: Iterable[str] = (),
    *,
    instance: str = "",
    parent_sys_id: str = "",
    client_id: str = "",
    grant: rec.Grant = "consent",
) -> rec.Plan:
    """Return the plan for connections of a store. It needs no credential, and reads none.

    Parameters
    ----------
    names:
        Names or ids of connections or aliases; without one, all active connections.
    instance:
        The instance's name (``acme`` of acme.service-now.com), or its address. It makes the redirect URL.
    parent_sys_id:
        The sys_id that the spoke's own alias has on the instance.
    client_id:
        Of the app that was made at Atlassian for the instance; for one connection only.
    grant:
        ``consent`` of a person, or ``service-account`` (client credentials).

    Raises
    ------
    InputError
        One of these cannot be used, or a connection is not active.
    NotFound, NotConfigured
        There is no such connection, or none at all.
    """
    connections = Connections(store)
    chosen = _chosen(connections, list(names))
    instance, parent_sys_id = check_instance(instance), check_parent(parent_sys_id)
    if grant not in rec.GRANT_TYPES:
        raise InputError(
            f"“{grant}” is no way to get a token.", field="grant", hint=f"Choose from {', '.join(rec.GRANT_TYPES)}."
        )
    if client_id:
        client_id = check_client_id(client_id)
        if len(chosen) > 1:
            raise InputError(
                f"One client ID was given for {len(chosen)} connections.",
                field="client_id",
                likely="Each connection of an instance has a registry of its own, and each its own app.",
                hint="Name the connection with --connection, and make a plan for each.",
            )
    parts = tuple(_part(store, alias, one, instance, parent_sys_id, client_id, grant) for alias, one in chosen)
    newest = max(connection.updated_at for _, connection in chosen)
    return rec.Plan(parts, instance, parent_sys_id, f"{newest:%Y-%m-%d %H:%M:%S}")


def check_instance(text: str) -> str:
    """Return the instance's name out of a name or an address; raises `InputError` for what is none."""
    if not text:
        return ""
    plain = text.strip(BLANK).lower()
    host = urlsplit(plain if "://" in plain else f"https://{plain}").hostname or ""
    name = host.removesuffix(".service-now.com")
    if not _INSTANCE.fullmatch(name):
        raise InputError(
            f"“{text}” is not the name of an instance.",
            field="instance",
            hint="Give what stands before .service-now.com in its address, such as acme or dev12345.",
        )
    return name


def instance_of(address: str) -> str:
    """Return the instance's name out of an address; "" where it has a name of its own.

    Without encryption it is on this computer, so a practice instance: ``practice``.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    name = host.removesuffix(".service-now.com")
    if name != host:
        return name
    return "practice" if parts.scheme == "http" and is_loopback(host) else ""


def check_parent(text: str) -> str:
    """Return a sys_id in ServiceNow's spelling, or "" for none; raises `InputError` for anything else."""
    plain = text.strip(BLANK).lower()
    if plain and not rec.SYS_ID.fullmatch(plain):
        raise InputError(
            f"“{text}” is not a sys_id.",
            field="parent_sys_id",
            hint="Open the alias Confluence Cloud on the instance, and choose Copy sys_id in the menu of its heading: "
            "32 hexadecimal digits.",
        )
    return plain


def _chosen(connections: Connections, names: list[str]) -> list[tuple[Alias, Connection]]:
    aliases = {alias.alias_id: alias for alias in connections.aliases.list()}
    if names:
        found = list({one.connection_id: one for one in map(connections.get, names)}.values())
        for one in found:
            if not one.active:
                raise InputError(
                    f"The connection “{one.name}” is not active.",
                    field="connection",
                    likely="Its alias uses another one, or none.",
                    hint="Hand over the active one, or activate this one first.",
                )
    else:
        found = [one for one in connections.list() if one.active]
    if not found:
        raise NotConfigured(
            "There is no connection to hand over.",
            hint="Configure one in notebook 02, or run: spokekit connections add.",
        )
    return [(aliases[one.alias_id], one) for one in found]


def _part(
    store: Store,
    alias: Alias,
    connection: Connection,
    instance: str,
    parent_sys_id: str,
    client_id: str,
    grant: rec.Grant,
) -> rec.Part:
    rows = Registry(store, connection).frame().to_dict("records")
    groups = tuple(rec.Group(row["group_id"], row["current_name"] or row["name"] or row["group_id"]) for row in rows)
    notes = []
    if not groups:
        notes.append(
            f"No group is registered for “{connection.name}”: groups.csv has none for it. Register them first "
            "(spokekit groups add), so that user management on the instance is limited to them."
        )
    if gone := [row["name"] or row["group_id"] for row in rows if row["missing"]]:
        notes.append(f"Not on the site any more, and in the plan all the same: {', '.join(gone)}.")
    if connection.is_practice:
        notes.append(
            f"“{connection.name}” leads to a practice site, which no instance can reach: the plan has Atlassian's "
            "addresses instead."
        )
    if "ace:confluence" in connection.scopes and grant == "consent":
        notes.append(
            "ace:confluence is in ServiceNow's default list and in no list of Atlassian: leave it out where the "
            "consent page refuses it."
        )
    made, by_hand = _records(alias, connection, instance, parent_sys_id, client_id, grant)
    return rec.Part(
        connection=connection.name,
        alias_id=alias.alias_id,
        label=alias.label,
        child=not alias.is_default,
        grant=grant,
        site=connection.site_url or "",
        scopes=connection.scopes or DEFAULT_SCOPES,
        records=tuple(made),
        groups=groups,
        by_hand=by_hand,
        notes=tuple(notes),
        cloud_id="" if connection.is_practice else connection.cloud_id or "",
    )


def _records(
    alias: Alias, connection: Connection, instance: str, parent_sys_id: str, client_id: str, grant: rec.Grant
) -> tuple[list[rec.Record], tuple[tuple[str, str], ...]]:
    def own(table: str, key: str = "") -> str:
        return rec.sys_id(table, alias.alias_id, key)

    practice = connection.is_practice
    url = DEFAULT_URL if practice else connection.url
    auth = (DEFAULT_AUTH_URL if practice else connection.auth_url).rstrip("/")
    consent = grant == "consent"
    grant_type = rec.GRANT_TYPES[grant]
    registry_name = f"{connection.name} OAuth"
    registry, by_hand = _registry(registry_name, auth, instance, client_id, grant)
    profile = {
        "default": "true",
        "grant_type": grant_type,
        "name": f"{registry_name} default_profile",
        "oauth_entity": own(rec.REGISTRY),
    }
    made = [
        rec.Record(rec.REGISTRY, own(rec.REGISTRY), registry),
        rec.Record(rec.PROFILE, own(rec.PROFILE), profile),
    ]
    # Atlassian is reported to refuse any scope with client credentials.
    for scope in connection.scopes if consent else ():
        values = {"name": scope, "oauth_entity": own(rec.REGISTRY), "oauth_entity_scope": scope}
        made.append(rec.Record(rec.SCOPE, own(rec.SCOPE, scope), values))
        values = {"oauth_entity_profile": own(rec.PROFILE), "oauth_entity_scope": own(rec.SCOPE, scope)}
        made.append(rec.Record(rec.PROFILE_SCOPE, own(rec.PROFILE_SCOPE, scope), values))
    alias_sys_id = parent_sys_id
    if not alias.is_default:
        alias_sys_id = own(rec.ALIAS) if parent_sys_id else ""
        if parent_sys_id:
            made.append(rec.Record(rec.ALIAS, own(rec.ALIAS), _child(alias, parent_sys_id)))
        else:
            # A parent cannot be given later, so a child without one would be of no use.
            by_hand.append((rec.ALIAS, "parent"))
    credential = {
        "active": "true",
        "applies_to": "all",
        "name": f"{connection.name} credential",
        "oauth_entity_profile": own(rec.PROFILE),
        "type": "oauth_2_0",
    }
    values = {
        "active": "true",
        "connection_url": url,
        "credential": own(rec.CREDENTIAL),
        "name": connection.name,
        "use_mid": "false",
    }
    if alias_sys_id:
        values["connection_alias"] = alias_sys_id
    else:
        by_hand.append((rec.CONNECTION, "connection_alias"))
    made += [
        rec.Record(rec.CREDENTIAL, own(rec.CREDENTIAL), credential),
        rec.Record(rec.CONNECTION, own(rec.CONNECTION), values),
    ]
    return made, tuple(by_hand)


def _registry(
    name: str, auth: str, instance: str, client_id: str, grant: rec.Grant
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    values = {
        "active": "true",
        "name": name,
        "type": "consumer",
        "default_grant_type": rec.GRANT_TYPES[grant],
        "token_url": f"{auth}/oauth/token",
        "public_client": "false",
        "use_mutual_auth": "false",
    }
    by_hand = []
    if grant == "consent":
        values |= {
            "auth_url": f"{auth}/authorize",
            "refresh_token_url": f"{auth}/oauth/token",
            "code_challenge_method": "S256",
        }
        if instance:
            values["redirect_url"] = rec.redirect_url(instance)
        else:
            by_hand.append((rec.REGISTRY, "redirect_url"))
    if client_id:
        values["client_id"] = client_id
    else:
        by_hand.append((rec.REGISTRY, "client_id"))
    return values, by_hand


def _child(alias: Alias, parent_sys_id: str) -> dict[str, str]:
    values = {
        "connection_type": alias.connection_type,
        "description": alias.label,
        "id": alias.alias_id,
        "multiple_connections": "true" if alias.multiple_connections else "false",
        "name": alias.alias_id.partition(".")[2],
        "parent": parent_sys_id,
        "retry_policy": _RETRY_POLICY,
        "type": alias.type,
    }
    # Copied from the parent by a rule that an import does not run; known here only where it is a record of ServiceNow.
    for column in ("configuration_template", "retry_policy"):
        if rec.SYS_ID.fullmatch(said := getattr(alias, column)):
            values[column] = said
    return values
