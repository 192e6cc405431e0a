"""Connections: one per alias, each with a credential of its own, and the service that keeps their rules.

A connection says where the gateway is, which OAuth app is used and, once somebody consented, which site it leads to.
The secrets stand sealed in the table `credentials`; only `spokekit.oauth` opens them.
"""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from spokekit._ids import BLANK
from spokekit._words import look_alike
from spokekit.connections._tables import (
    PARENT_ALIAS_ID,
    account_changes,
    aliases_table,
    connection_kinds,
    connections_table,
    credentials,
    key,
)
from spokekit.connections.aliases import Aliases, add_alias, alias_of
from spokekit.connections.conflicts import check_free_name, conflicts
from spokekit.connections.fields import check_client_secret, refuse, same_server
from spokekit.connections.kinds import KIND, WITH_KIND, kind_in, put_kind
from spokekit.connections.records import (
    DEFAULT_AUTH_URL,
    DEFAULT_NAME,
    DEFAULT_REDIRECT_URI,
    DEFAULT_URL,
    FIELDS,
    Connection,
    ConnectionDraft,
    ConnectionRow,
)
from spokekit.connections.store import Store, storable
from spokekit.connections.token_files import folder_beside, token_files
from spokekit.errors import Conflict, InputError, NotConfigured, NotFound

__all__ = [
    "DEFAULT_AUTH_URL",
    "DEFAULT_NAME",
    "DEFAULT_REDIRECT_URI",
    "DEFAULT_URL",
    "Connection",
    "ConnectionDraft",
    "ConnectionRow",
    "Connections",
    "account_changes",
    "check_client_secret",
    "connections_table",
    "credentials",
    "forget_grant",
    "note_account",
]

_CLOUD_ID = re.compile(r"[A-Za-z0-9-]{1,100}")


class Connections:
    """The connections of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.aliases = Aliases(store)
        store.ensure(aliases_table, connections_table, connection_kinds, credentials, account_changes)

    def __repr__(self) -> str:
        return f"Connections({self.store.describe()})"

    # ------------------------------------------------------------------------------------------- reading

    def rows(self) -> tuple[ConnectionRow, ...]:
        """Return one row for every alias, configured or not; the default first, the others from A to Z.

        An alias with inactive connections has a row for each of them behind its active one.
        """
        with self.store.read() as connection:
            known = connection.execute(sa.select(aliases_table)).mappings().all()
            found = connection.execute(WITH_KIND).mappings().all()
        rows: list[ConnectionRow] = []
        aliases = sorted(map(alias_of, known), key=lambda alias: (not alias.is_default, key(alias.label)))
        for alias in aliases:
            own = [row for row in found if row["alias_id"] == alias.alias_id]
            own.sort(key=lambda row: (not row["active"], row["name_key"]))
            rows.extend(ConnectionRow(alias, _connection_of(row)) for row in own)
            if not any(row["active"] for row in own):
                rows.append(ConnectionRow(alias, None))
        return tuple(rows)

    def list(self) -> tuple[Connection, ...]:
        """Return the saved connections in the order of `rows`."""
        return tuple(row.connection for row in self.rows() if row.connection is not None)

    def get(self, name: str | None = None) -> Connection:
        """Return a connection by its name, id, alias id or alias label; without a name, the default alias's.

        A child alias without a connection is not configured: its parent's connection never stands in for it.

        Raises
        ------
        NotFound
            Nothing has this name.
        NotConfigured
            There is an alias of this name, and it has no active connection.
        """
        wanted = PARENT_ALIAS_ID if name is None else name
        if not isinstance(wanted, str) or not wanted.strip():
            raise InputError("The name of a connection is a text.", field="name", hint="Leave it out for the default.")
        wanted = wanted.strip(BLANK)
        rows = self.rows()
        for row in rows:
            if row.connection and (row.connection.connection_id == wanted or key(row.connection.name) == key(wanted)):
                return row.connection
        for row in rows:
            if row.alias.alias_id == wanted or key(row.alias.label) == key(wanted):
                if row.connection is not None and row.connection.active:
                    return row.connection
                raise NotConfigured(
                    f"The alias “{row.alias.label}” is not configured.",
                    likely="It has no active connection of its own, and another alias's is never used for it.",
                    hint="Configure it in notebook 02, or run: spokekit connections add.",
                )
        known = ", ".join(f"“{c.name}”" for c in (r.connection for r in rows) if c)
        none = "None is configured yet. Do it in notebook 02, or run: spokekit connections add."
        names = (name for r in rows for name in (r.alias.label, r.connection.name if r.connection else "") if name)
        alike = look_alike(wanted, names)
        raise NotFound(
            f"There is no connection “{wanted}”.",
            likely=f"It looks like “{alike[0]}”, but {alike[1]}." if alike else None,
            hint=f"Known connections: {known}." if known else none,
        )

    def propose_name(self) -> str:
        """Return `DEFAULT_NAME`, or the first free one of “… 2”, “… 3”."""
        with self.store.read() as connection:
            taken = set(connection.execute(sa.select(connections_table.c.name_key)).scalars())
            taken |= set(connection.execute(sa.select(aliases_table.c.label_key)).scalars())
        number, candidate = 1, DEFAULT_NAME
        while key(candidate) in taken:
            number += 1
            candidate = f"{DEFAULT_NAME} {number}"
        return candidate

    def edit_draft(self, connection_id: str) -> tuple[ConnectionDraft, tuple[str, ...]]:
        """Return the form for Edit and the scopes that the saved connection has.

        As in ServiceNow's form, the scopes in the draft are the defaults again; the second value restores them.
        """
        saved = self.get(connection_id)
        same = {field.name: getattr(saved, field.name) for field in fields(ConnectionDraft) if field.name != "scopes"}
        return ConnectionDraft(**same), saved.scopes

    # ------------------------------------------------------------------------------------------- writing

    def add(self, draft: ConnectionDraft, *, alias_id: str | None = None) -> Connection:
        """Save a new connection.

        Parameters
        ----------
        alias_id:
            The id or label of an alias that is not configured yet. Without it (here and in the draft): the default
            alias if it is not configured yet, else a new child alias named like the connection.

        Raises
        ------
        InputError
            A field is wrong; the first one, in the order of the form.
        NotFound
            There is no such alias.
        Conflict
            The name is taken, or the alias has an active connection already.
        """
        values = draft.values()
        wanted = alias_id if alias_id is not None else draft.alias_id
        if wanted is not None:
            wanted = self.aliases.get(wanted).alias_id
        with self.store.write() as connection:
            _take_turn(connection)
            if wanted is None:
                wanted = PARENT_ALIAS_ID
                if _active(connection, wanted) is not None:
                    wanted = self._child(connection, values["name"], values["name"])
            return self._insert(connection, values, wanted)

    def add_child(self, draft: ConnectionDraft, *, label: str | None = None) -> Connection:
        """**Add Connection**: make a child alias, named `label` or like the connection, together with its connection.

        Raises the same errors as `add`; nothing is made when one of the two cannot be.
        """
        values = draft.values()
        with self.store.write() as connection:
            _take_turn(connection)
            return self._insert(connection, values, self._child(connection, label or values["name"], values["name"]))

    def save(self, draft: ConnectionDraft) -> Connection:
        """Save a form: change the connection that it was opened for, or make a new one."""
        if draft.connection_id is None:
            return self.add(draft)
        return self._update(draft)

    def edit(self, connection_id: str, **changes: Any) -> Connection:
        """Change fields of a saved connection; those that are not named stay as they are, the scopes too.

        A changed client id or authorisation server drops the stored client secret and the token, a changed
        connection URL drops the token: they were given for the old one and are not sent to another. Only a
        practice site may move to another port of this computer and keep them.

        Parameters
        ----------
        changes:
            ``name``, ``url``, ``auth_url``, ``scopes``, ``client_id``, ``redirect_uri``, ``pkce``, ``grant``,
            ``read_only`` and ``active``.
        """
        active = changes.pop("active", None)
        for name in changes:
            if name in ("alias_id", "connection_id"):
                raise Conflict(
                    "A connection stays with its alias.",
                    hint="Add a connection to the other alias and remove this one.",
                )
            if name not in FIELDS:
                raise InputError(
                    f"A connection has no field “{name}”.", field=name, hint=f"Fields: {', '.join(FIELDS)}, active."
                )
        if active is not None and not isinstance(active, bool):
            refuse("active", "this is either on or off.", hint="Give True or False.")
        saved = self.get(connection_id)
        draft, scopes = self.edit_draft(saved.connection_id)
        return self._update(replace(draft, **({"scopes": scopes} | changes)), active=active)

    def remove(self, connection_id: str, *, keep_alias: bool = False) -> None:
        """Remove a connection with its credential.

        A child alias goes with its last connection, and its registered groups with it, unless `keep_alias`. The
        default alias stays, not configured, and so do its registered groups.
        """
        saved = self.get(connection_id)
        with self.store.write() as connection:
            own = connections_table.c.connection_id == saved.connection_id
            for table in (credentials, account_changes, connection_kinds):
                connection.execute(table.delete().where(table.c.connection_id == saved.connection_id))
            connection.execute(connections_table.delete().where(own))
            others = sa.select(connections_table.c.connection_id).where(connections_table.c.alias_id == saved.alias_id)
            if not keep_alias and saved.alias_id != PARENT_ALIAS_ID and connection.execute(others).first() is None:
                connection.execute(aliases_table.delete().where(aliases_table.c.alias_id == saved.alias_id))
        for path in token_files(folder_beside(self.store), saved.connection_id):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def set_site(self, connection_id: str, cloud_id: str, name: str, url: str) -> Connection:
        """Note the site that the person chose, as Atlassian named it.

        Raises `InputError` when `cloud_id` cannot be one: it becomes a part of every address that is called.
        """
        if not isinstance(cloud_id, str) or not _CLOUD_ID.fullmatch(cloud_id):
            raise InputError(
                "What was given for a cloud id is none.",
                field="cloud_id",
                hint="Take it from look_up_accessible_resources, or from the site choice after the consent.",
            )
        saved = self.get(connection_id)
        values = {"cloud_id": cloud_id, "site_name": storable(name), "site_url": storable(url)}
        with self.store.write() as connection:
            return self._apply(connection, saved.connection_id, values)

    def set_account(self, connection_id: str, account_id: str | None, account_name: str | None) -> Connection:
        """Note who signed in; None for both when it is not known any more.

        Who it was before stays known until the same account signs in again: the change may be told.
        """
        saved = self.get(connection_id)
        with self.store.write() as connection:
            note_account(connection, saved.connection_id, account_id, account_name)
            return _load(connection, saved.connection_id)

    # ------------------------------------------------------------------------------------------- inside

    @staticmethod
    def _child(connection: sa.Connection, label: str, name: str) -> str:
        return add_alias(connection, label, None, connection_name=name).alias_id

    def _insert(self, connection: sa.Connection, values: dict[str, Any], alias_id: str) -> Connection:
        check_free_name(connection, values["name"], alias_id)
        _refuse_second(connection, alias_id, "Edit that one, or use Add Connection, which makes an alias of its own.")
        now = datetime.now(UTC)
        saved = Connection(
            connection_id=str(uuid.uuid4()),
            alias_id=alias_id,
            site_name=None,
            site_url=None,
            account_id=None,
            account_name=None,
            active=True,
            created_at=now,
            updated_at=now,
            **values,
        )
        with conflicts(values["name"]):
            connection.execute(connections_table.insert().values(**_columns(asdict(saved))))
            put_kind(connection, saved.connection_id, values)
            connection.execute(
                credentials.insert().values(credential_id=str(uuid.uuid4()), connection_id=saved.connection_id)
            )
        return saved

    def _update(self, draft: ConnectionDraft, *, active: bool | None = None) -> Connection:
        values = draft.values()
        saved = self.get(draft.connection_id)
        if draft.alias_id is not None and self.aliases.get(draft.alias_id).alias_id != saved.alias_id:
            raise Conflict("A connection stays with its alias.", hint="Add a connection to the other alias instead.")
        with self.store.write() as connection:
            _take_turn(connection)
            current = _load(connection, saved.connection_id)
            check_free_name(connection, values["name"], current.alias_id, besides=current.connection_id)
            other_app = values["client_id"] != current.client_id or not same_server(
                values["auth_url"], current.auth_url
            )
            other_gateway = not same_server(values["url"], current.url)
            named = values.pop("cloud_id")
            if named and named != current.cloud_id:
                values |= {"cloud_id": named, "site_name": None, "site_url": None}
            elif other_gateway:
                values |= {"cloud_id": None, "site_name": None, "site_url": None}
            # A token that a person consented to is not renewed by a service account's credential, nor the reverse.
            other_grant = values["grant"] != current.grant
            if other_app or other_gateway or other_grant:
                values |= {"account_id": None, "account_name": None}
                forget_grant(connection, current.connection_id, secret_too=other_app)
            if active is not None:
                values["active"] = active
                if active and not current.active:
                    _refuse_second(connection, current.alias_id, "Switch it off first.")
            return self._apply(connection, current.connection_id, values)

    @staticmethod
    def _apply(connection: sa.Connection, connection_id: str, values: dict[str, Any]) -> Connection:
        with conflicts(str(values.get("name", ""))):
            put_kind(connection, connection_id, values)
            connection.execute(
                connections_table.update()
                .where(connections_table.c.connection_id == connection_id)
                .values(**_columns(values | {"updated_at": datetime.now(UTC)}))
            )
        return _load(connection, connection_id)


def _take_turn(connection: sa.Connection) -> None:
    # SQLite's write lock is held already; on PostgreSQL, two who change connections queue at the default alias.
    own = aliases_table.c.alias_id == PARENT_ALIAS_ID
    connection.execute(sa.select(aliases_table.c.alias_id).where(own).with_for_update())


def note_account(
    connection: sa.Connection, connection_id: str, account_id: str | None, account_name: str | None
) -> None:
    """Note within a transaction who signed in, and who it was before; see `Connections.set_account`."""
    known = {"account_id": account_id, "account_name": account_name}
    values = {field: text and storable(text) for field, text in known.items()}
    before = _load(connection, connection_id)
    if before.account_id is not None:
        connection.execute(account_changes.delete().where(account_changes.c.connection_id == connection_id))
        if before.account_id != values["account_id"]:
            connection.execute(
                account_changes.insert().values(
                    connection_id=connection_id, account_id=before.account_id, account_name=before.account_name
                )
            )
    Connections._apply(connection, connection_id, values)


def _active(connection: sa.Connection, alias_id: str) -> str | None:
    query = sa.select(connections_table.c.name).where(
        connections_table.c.alias_id == alias_id, connections_table.c.active.is_(True)
    )
    return connection.execute(query).scalar()


def _refuse_second(connection: sa.Connection, alias_id: str, hint: str) -> None:
    taken = _active(connection, alias_id)
    if taken is not None:
        raise Conflict(f"This alias already has the active connection “{taken}”.", hint=hint)


def _load(connection: sa.Connection, connection_id: str) -> Connection:
    query = WITH_KIND.where(connections_table.c.connection_id == connection_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound("The connection is gone.", likely="Somebody removed it a moment ago.", hint="Look again.")
    return _connection_of(row)


def forget_grant(connection: sa.Connection, connection_id: str, *, secret_too: bool = False) -> None:
    """Forget within a transaction the token of a connection, and its client secret too where that is asked."""
    values: dict[str, Any] = {
        "sealed_grant": None,
        # A refresh that is under way compares the generation and then does not write the old grant back.
        "generation": credentials.c.generation + 1,
        "scopes": "",
        "state": "none",
        "reason": "",
        "granted_at": None,
        "refreshed_at": None,
        "expires_at": None,
        "refresh_started_at": None,
    }
    if secret_too:
        values["client_secret"] = None
    connection.execute(credentials.update().where(credentials.c.connection_id == connection_id).values(**values))


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in values.items() if name not in KIND}
    if "scopes" in values:
        values = values | {"scopes": " ".join(values["scopes"])}
    if "name" in values:
        values = values | {"name_key": key(values["name"])}
    return values


def _connection_of(row: Any) -> Connection:
    values = {
        field.name: row[connections_table.c[field.name]] for field in fields(Connection) if field.name not in KIND
    }
    values["scopes"] = tuple(re.split(r"\s+", values["scopes"].strip()))
    return Connection(**values, **kind_in(row))
