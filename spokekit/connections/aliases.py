"""Aliases: the names that flows and notebooks know a connection by.

One alias always exists, `PARENT_ALIAS_ID`, spelled as ServiceNow's spoke spells it. **Add Connection** makes a child
of it. A child copies type, connection type, template and retry policy once, when it is made; afterwards it has a life
of its own: its own connection and credential, and never its parent's instead of a missing one of its own.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from spokekit._words import look_alike
from spokekit.connections._tables import PARENT_ALIAS_ID, PARENT_LABEL, aliases_table, connections_table, key
from spokekit.connections.fields import check_label
from spokekit.connections.store import Store
from spokekit.errors import Conflict, InputError, NotFound

__all__ = ["PARENT_ALIAS_ID", "PARENT_LABEL", "Alias", "Aliases"]

_SCOPE = PARENT_ALIAS_ID.partition(".")[0]
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,80}\.[A-Za-z0-9_]{1,80}")
_INHERITED = ("type", "connection_type", "multiple_connections", "configuration_template", "retry_policy")


@dataclass(frozen=True)
class Alias:
    """One alias; ``parent_id`` is None for the default alias only."""

    alias_id: str
    label: str
    parent_id: str | None
    type: str
    connection_type: str
    multiple_connections: bool
    configuration_template: str
    retry_policy: str
    created_at: datetime

    @property
    def is_default(self) -> bool:
        """True for the alias that always exists."""
        return self.parent_id is None


class Aliases:
    """The aliases of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.ensure(aliases_table, connections_table)

    def __repr__(self) -> str:
        return f"Aliases({self.store.describe()})"

    def list(self) -> tuple[Alias, ...]:
        """Return all aliases: the default first, the others from A to Z by label."""
        with self.store.read() as connection:
            rows = connection.execute(sa.select(aliases_table)).mappings().all()
        found = [alias_of(row) for row in rows]
        return tuple(sorted(found, key=lambda alias: (not alias.is_default, key(alias.label))))

    def get(self, alias_id: str) -> Alias:
        """Return the alias with this id or label; `NotFound` names those that exist."""
        for alias in self.list():
            if alias_id in (alias.alias_id, alias.label) or key(str(alias_id)) == key(alias.label):
                return alias
        alike = look_alike(str(alias_id), (alias.label for alias in self.list()))
        raise NotFound(
            f"There is no alias “{alias_id}”.",
            likely=f"It looks like “{alike[0]}”, but {alike[1]}." if alike else None,
            hint="Known: " + ", ".join(alias.label for alias in self.list()) + ".",
        )

    def add(self, label: str, *, alias_id: str | None = None) -> Alias:
        """Make a child of the default alias.

        Parameters
        ----------
        label:
            What people read. Unique, upper and lower case alike.
        alias_id:
            ``scope.name`` of letters, digits and underscores. Without it, made from the label.

        Raises
        ------
        InputError
            The label or the id cannot be used.
        Conflict
            The label or the id is taken.
        """
        with self.store.write() as connection:
            return add_alias(connection, label, alias_id)

    def remove(self, alias_id: str) -> None:
        """Remove a child alias with its connection, credential and registered groups; the default one stays."""
        alias = self.get(alias_id)
        if alias.is_default:
            raise Conflict(
                f"The default alias “{alias.label}” cannot be removed.",
                hint="Remove its connection instead; the alias then shows as not configured.",
            )
        with self.store.write() as connection:
            connection.execute(aliases_table.delete().where(aliases_table.c.alias_id == alias.alias_id))


def alias_of(row: sa.RowMapping) -> Alias:
    """Make an `Alias` of a row of the table."""
    return Alias(**{name: row[name] for name in Alias.__dataclass_fields__})


def add_alias(connection: sa.Connection, label: str, alias_id: str | None, *, connection_name: str = "") -> Alias:
    """Make a child alias inside a transaction that is already open; `connection_name` is its own future one."""
    label = check_label(label)
    if alias_id is not None and not (isinstance(alias_id, str) and _ID.fullmatch(alias_id)):
        raise InputError(
            f"“{alias_id}” cannot be the id of an alias.",
            field="alias_id",
            hint=f"Write scope.name with letters, digits and underscores, like {PARENT_ALIAS_ID}.",
        )
    rows = connection.execute(sa.select(aliases_table)).mappings().all()
    taken = {row["alias_id"] for row in rows}
    if any(row["label_key"] == key(label) for row in rows):
        raise Conflict(f"There is already an alias “{label}”.", hint="Choose another label.")
    names = connection.execute(sa.select(connections_table.c.name_key)).scalars().all()
    if key(label) in names and key(label) != key(connection_name):
        raise Conflict(
            f"There is already a connection “{label}”.",
            likely="An alias of that name would make it unclear which one is meant.",
            hint="Choose another label.",
        )
    if alias_id in taken:
        raise Conflict(f"There is already an alias with the id {alias_id}.", hint="Choose another id.")
    parent = next(row for row in rows if row["parent_id"] is None)
    values = {name: parent[name] for name in _INHERITED} | {
        "alias_id": alias_id or _free_id(label, taken),
        "label": label,
        "parent_id": PARENT_ALIAS_ID,
        "created_at": datetime.now(UTC),
    }
    try:
        connection.execute(aliases_table.insert().values(label_key=key(label), **values))
    except sa.exc.IntegrityError:
        raise Conflict(
            f"There is already an alias “{label}”.", likely="Somebody made it a moment ago.", hint="Look again."
        ) from None
    return Alias(**values)


def _free_id(label: str, taken: set[str]) -> str:
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    stem = f"{_SCOPE}.{re.sub(r'[^A-Za-z0-9]+', '_', plain).strip('_')[:70] or 'Connection'}"
    number, candidate = 1, stem
    while candidate in taken:
        number += 1
        candidate = f"{stem}_{number}"
    return candidate
