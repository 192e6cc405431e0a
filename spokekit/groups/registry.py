"""The Confluence Groups table: the groups that may be changed, and no others.

Groups are registered per alias and by id. A name is shown to people and never decides anything: it can be given away
and taken by another group. `Registry` is the guard that the gateway asks before it sends a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spokekit._frames import frame_of
from spokekit._ids import group_id as group_id_in
from spokekit._words import comparable, look_alike, some
from spokekit.connections._tables import aliases_table
from spokekit.connections.connection import Connection
from spokekit.connections.store import Store, UtcDateTime, metadata, storable, texts
from spokekit.errors import GuardRefused, InputError, NotConfigured, NotFound

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Registry", "registered_groups"]

ID_MOST = 200
_SHOWN = 3

registered_groups = sa.Table(
    "registered_groups",
    metadata,
    sa.Column("alias_id", sa.ForeignKey("aliases.alias_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("group_id", sa.String(ID_MOST), primary_key=True),
    sa.Column("cloud_id", sa.String(100), nullable=False),
    *texts("name", "access", "managed_by", "usage_type"),
    sa.Column("registered_at", UtcDateTime, nullable=False),
    *texts("registered_by", "current_name"),
    sa.Column("missing", sa.Boolean, nullable=False),
)

KINDS = {
    "group_id": "text",
    "name": "text",
    "access": "text",
    "managed_by": "category",
    "usage_type": "category",
    "registered_at": "time",
    "registered_by": "text",
    "current_name": "text",
    "renamed": "bool",
    "missing": "bool",
}
COLUMNS = tuple(KINDS)
_DETAILS = ("access", "managed_by", "usage_type")


class Registry:
    """The registered groups of one connection.

    Parameters
    ----------
    store:
        Where they are kept, keyed by (alias, group id); the site's cloud id is kept beside them.
    connection:
        Whose groups these are. Groups of another site that were registered under the same alias do not count.
    """

    def __init__(self, store: Store, connection: Connection) -> None:
        self.store = store
        self.connection = connection
        store.ensure(registered_groups)

    def __repr__(self) -> str:
        return f"Registry({self.connection.name!r}, {len(self.ids())} groups)"

    def __len__(self) -> int:
        return len(self.ids())

    def __contains__(self, group_id: object) -> bool:
        return isinstance(group_id, str) and self.is_registered(group_id)

    # ------------------------------------------------------------------------------------------- changing

    def add(
        self, group_ids: str | Iterable[str], *, groups: pd.DataFrame | None = None, by: str = ""
    ) -> tuple[str, ...]:
        """Register groups; all of them or, on an error, none. One that is registered already stays as it is.

        Parameters
        ----------
        group_ids:
            One id or several.
        groups:
            What `Spoke.look_up_groups` gave, for names and access. Every id has to be in it. Without it the names
            stay empty until `refresh`.
        by:
            Who registers them; without it, the account that consented.

        Returns
        -------
        The ids that are new.

        Raises
        ------
        InputError
            Something is not a group id.
        NotFound
            `groups` holds no such id; the message says so when it is a group's name instead.
        NotConfigured
            The connection has no site yet.
        """
        wanted = _ids(group_ids)
        cloud_id = self._cloud_id()
        details = _details(groups)
        if groups is not None:
            self._check_known(wanted, details)
        now = datetime.now(UTC)
        by = by or self.connection.account_name or ""
        added = []
        with self.store.write() as connection:
            # SQLite's write lock is held already; PostgreSQL makes two kernels take turns by this row.
            own = aliases_table.c.alias_id == self.connection.alias_id
            if connection.execute(sa.select(aliases_table.c.alias_id).where(own).with_for_update()).first() is None:
                raise NotFound(f"The connection “{self.connection.name}” was removed meanwhile.", hint="Look again.")
            there = {row["group_id"]: row["cloud_id"] for row in self._rows(connection, every_site=True)}
            for group_id in wanted:
                if there.get(group_id) == cloud_id:
                    continue
                if group_id in there:
                    connection.execute(registered_groups.delete().where(self._own(group_id)))
                known = details.get(group_id, {})
                name = known.get("name", "")
                connection.execute(
                    registered_groups.insert().values(
                        alias_id=self.connection.alias_id,
                        group_id=group_id,
                        cloud_id=cloud_id,
                        name=name,
                        current_name=name,
                        registered_at=now,
                        registered_by=storable(by),
                        missing=False,
                        **{column: known.get(column, "") for column in _DETAILS},
                    )
                )
                added.append(group_id)
        return tuple(added)

    def remove(self, group_ids: str | Iterable[str]) -> tuple[str, ...]:
        """Take groups off the table, all or none; nobody's membership changes by that.

        Raises `NotFound` when one of them is not registered, `InputError` when something is not a group id.
        """
        wanted = _ids(group_ids)
        with self.store.write() as connection:
            there = {row["group_id"] for row in self._rows(connection)}
            strange = [group_id for group_id in wanted if group_id not in there]
            if strange:
                named = f"{some(strange, _SHOWN)} {'is' if len(strange) == 1 else 'are'}"
                raise NotFound(
                    f"{named} not registered; nothing was removed.",
                    hint="Look at the registered groups and take the ids from there.",
                )
            for group_id in wanted:
                connection.execute(registered_groups.delete().where(self._own(group_id)))
        return wanted

    def refresh(self, groups: pd.DataFrame, *, all_groups: bool = True) -> None:
        """Note what the registered groups are called now, and which are gone.

        Parameters
        ----------
        groups:
            What `Spoke.look_up_groups` gave.
        all_groups:
            False when the frame was narrowed (by access): what it lacks is then not taken for gone. Neither is
            it when the frame's completeness report says that rows are missing.
        """
        cloud_id = self._cloud_id()
        details = _details(groups)
        report = groups.attrs.get("completeness")
        whole = all_groups and not (isinstance(report, dict) and report.get("complete") is False)
        with self.store.write() as connection:
            for row in self._rows(connection):
                known = details.get(row["group_id"])
                values: dict[str, Any] = {}
                if known is not None:
                    values = {column: known[column] for column in _DETAILS if column in known}
                    values |= {"current_name": known["name"], "missing": False}
                    if not row["name"]:
                        values["name"] = known["name"]
                elif whole:
                    values = {"missing": True}
                if values:
                    own = sa.and_(self._own(row["group_id"]), registered_groups.c.cloud_id == cloud_id)
                    connection.execute(registered_groups.update().where(own).values(**values))

    # ------------------------------------------------------------------------------------------- asking

    def ids(self) -> frozenset[str]:
        """Return the ids of the registered groups of this connection's site."""
        with self.store.read() as connection:
            return frozenset(row["group_id"] for row in self._rows(connection))

    def is_registered(self, group_id: str) -> bool:
        """Tell whether a group may be changed."""
        with self.store.read() as connection:
            return bool(self._rows(connection, group_id))

    def check(self, group_id: str) -> None:
        """Return if the group is registered for this alias and site, else raise `GuardRefused`."""
        with self.store.read() as connection:
            if self.connection.cloud_id and self._rows(connection, group_id):
                return
            elsewhere = bool(self._rows(connection, group_id, every_site=True))
        raise GuardRefused(
            f"The group {group_id} is not among the registered groups of “{self.connection.name}”; nothing was sent.",
            likely="It was registered for another site." if elsewhere else None,
            hint="Add it in notebook 04, or run: spokekit groups add.",
        )

    def frame(self) -> pd.DataFrame:
        """Return the Confluence Groups table, from A to Z by name, then by id.

        Columns: ``group_id``, ``name`` (when it was registered), ``access`` (str: "user, admin" …, "" for none),
        ``managed_by``, ``usage_type`` (category), ``registered_at`` (datetime64, UTC), ``registered_by`` (str),
        ``current_name`` (str: at the last refresh), ``renamed``, ``missing`` (bool: gone at the last refresh).
        ``attrs``: title.
        """
        with self.store.read() as connection:
            rows = self._rows(connection)
        rows.sort(key=lambda row: (row["name"].casefold(), row["group_id"]))
        renamed = (bool(row["name"]) and row["current_name"] != row["name"] for row in rows)
        frame = frame_of([{**row, "renamed": new} for row, new in zip(rows, renamed, strict=True)], KINDS)
        frame.attrs["title"] = "Registered groups"
        return frame

    # ------------------------------------------------------------------------------------------- inside

    def _cloud_id(self) -> str:
        if not self.connection.cloud_id:
            raise NotConfigured(
                f"The connection “{self.connection.name}” has no site yet, so it has no groups either.",
                hint="Press Save and Get OAuth Token first, or run: spokekit token get.",
                next_step="consent",
            )
        return self.connection.cloud_id

    def _own(self, group_id: str) -> Any:
        return sa.and_(
            registered_groups.c.alias_id == self.connection.alias_id, registered_groups.c.group_id == group_id
        )

    def _rows(
        self, connection: sa.Connection, group_id: str | None = None, *, every_site: bool = False
    ) -> list[sa.RowMapping]:
        query = sa.select(registered_groups).where(registered_groups.c.alias_id == self.connection.alias_id)
        if not every_site:
            query = query.where(registered_groups.c.cloud_id == (self.connection.cloud_id or ""))
        if group_id is not None:
            query = query.where(registered_groups.c.group_id == group_id)
        return list(connection.execute(query).mappings())

    def _check_known(self, wanted: tuple[str, ...], details: dict[str, dict[str, str]]) -> None:
        strange = [group_id for group_id in wanted if group_id not in details]
        if not strange:
            return
        raise NotFound(
            f"The site has no group with the id {some(strange, _SHOWN)}; nothing was registered.",
            likely=is_name(strange[0], {group_id: known["name"] for group_id, known in details.items()}) or None,
            hint="Look up the groups and take the ids from there; groups are registered by id.",
        )


def is_name(text: str, names: Mapping[str, str]) -> str:
    """Say in a sentence which group's name `text` is, or looks like, by its id; empty where it is none.

    ``names`` maps ids to names.
    """
    named = [group_id for group_id, name in names.items() if comparable(name) == comparable(text)]
    if named:
        return f"“{text}” is the name of the group {some(named, _SHOWN)}."
    alike = look_alike(text, (*names.values(), *names))
    if alike is None:
        return ""
    if alike[0] in names:
        return f"“{text}” looks like {alike[0]}, the id of the group “{names[alike[0]]}”, but {alike[1]}."
    ids = [group_id for group_id, name in names.items() if name == alike[0]]
    return f"“{text}” looks like “{alike[0]}”, the name of the group {some(ids, _SHOWN)}, but {alike[1]}."


def _ids(group_ids: str | Iterable[str]) -> tuple[str, ...]:
    hint = "Take the ids from look_up_groups, or from: spokekit groups list."
    if not isinstance(group_ids, str | Iterable) or isinstance(group_ids, bytes):
        raise InputError("Group ids are a list of texts.", field="group_ids", hint=hint)
    found = (group_ids,) if isinstance(group_ids, str) else tuple(group_ids)
    for group_id in found:
        # A name may well be pasted instead of an id: it has to reach the check against the site's groups, which
        # can say so; what is no text at all cannot.
        if not isinstance(group_id, str) or not group_id.strip():
            raise InputError("A group id is a text, and something else was given.", field="group_ids", hint=hint)
        if len(group_id) > ID_MOST or storable(group_id) != group_id:
            raise InputError("This cannot be a group id: it is too long or damaged.", field="group_ids", hint=hint)
    return tuple(dict.fromkeys(group_id_in(text) for text in found))


def _details(groups: pd.DataFrame | None) -> dict[str, dict[str, str]]:
    if groups is None:
        return {}
    lacking = [column for column in ("group_id", "name") if column not in groups.columns]
    if lacking:
        raise InputError(
            f"The frame of groups lacks the column {lacking[0]}.",
            field="groups",
            hint="Give what look_up_groups returned.",
        )
    columns = [column for column in ("group_id", "name", *_DETAILS) if column in groups.columns]
    rows = zip(*(groups[column].astype(object).tolist() for column in columns), strict=True)
    found = {}
    for row in rows:
        texts = [storable(value) if isinstance(value, str) else "" for value in row]
        known = dict(zip(columns, texts, strict=True))
        found[known.pop("group_id")] = known
    return found
