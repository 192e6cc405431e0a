"""What kind a connection is: what gets its token, and whether it may change anything; in a table beside the others.

A connection without a row there is the usual one: a person consents, and it may write.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from spokekit.connections._tables import connection_kinds, connections_table
from spokekit.connections.scopes import CONSENT

__all__ = ["KIND", "WITH_KIND", "connection_kinds", "is_read_only", "kind_in", "put_kind"]

KIND = ("grant", "read_only")
WITH_KIND = sa.select(connections_table, *(connection_kinds.c[name] for name in KIND)).join_from(
    connections_table, connection_kinds, isouter=True
)


def kind_in(row: Any) -> dict[str, Any]:
    """Return what a row of `WITH_KIND` says of the kind."""
    grant, read_only = (row[connection_kinds.c[name]] for name in KIND)
    return {"grant": grant or CONSENT, "read_only": bool(read_only)}


def put_kind(db: sa.Connection, connection_id: str, values: dict[str, Any]) -> None:
    """Write the kind down that `values` hold, if they do."""
    if KIND[0] not in values:
        return
    kind = {name: values[name] for name in KIND}
    db.execute(connection_kinds.delete().where(connection_kinds.c.connection_id == connection_id))
    if kind != {"grant": CONSENT, "read_only": False}:
        db.execute(connection_kinds.insert().values(connection_id=connection_id, **kind))


def is_read_only(db: sa.Connection, connection_id: str) -> bool:
    """Tell whether a connection is marked read-only now, whatever was known of it when it was opened."""
    own = connection_kinds.c.connection_id == connection_id
    return bool(db.execute(sa.select(connection_kinds.c.read_only).where(own)).scalar())
