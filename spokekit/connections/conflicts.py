"""Names that are taken, and what the database refuses when two change connections at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from spokekit.connections._tables import aliases_table, connections_table, key
from spokekit.errors import Conflict


@contextmanager
def conflicts(name: str) -> Iterator[None]:
    """Translate what the database refuses, for the moment between our own check and somebody else's commit."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        text = str(error.orig)
        if "name_key" in text:
            raise _name_taken(name) from None
        if "alias_id" in text or "one_active" in text:
            raise Conflict("This alias got an active connection a moment ago.", hint="Look again.") from None
        raise Conflict("The store refused this change.", likely=text, hint="Look again and retry.") from None


def _name_taken(name: str) -> Conflict:
    return Conflict(
        f"There is already a connection or an alias called “{name}”.",
        likely="Names are unique, upper and lower case alike, so that one name never means two things.",
        hint="Choose another name.",
    )


def check_free_name(connection: sa.Connection, name: str, alias_id: str, besides: str | None = None) -> None:
    """Raise `Conflict` when a connection other than `besides`, or an alias other than `alias_id`, has this name."""
    same = connection.execute(
        sa.select(connections_table.c.connection_id).where(connections_table.c.name_key == key(name))
    ).scalar()
    alias = connection.execute(
        sa.select(aliases_table.c.alias_id).where(
            sa.or_(aliases_table.c.label_key == key(name), sa.func.lower(aliases_table.c.alias_id) == name.lower())
        )
    ).scalar()
    if (same is not None and same != besides) or (alias is not None and alias != alias_id):
        raise _name_taken(name)
