"""Read-only connections: whoever marked one wants nothing changed through it, whatever token and registry permit."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from spokekit.errors import GuardRefused

if TYPE_CHECKING:
    from spokekit.connections.connection import Connection


def refuse_change(connection: Connection, source: Any) -> None:
    """Raise `GuardRefused` when a connection is marked read-only, or was when it was opened.

    ``source`` is its token source: one of a store knows whether it was marked since.
    """
    marked = getattr(source, "read_only", None)
    if connection.read_only or (marked is not None and marked()):
        raise read_only(connection)


def read_only(connection: Connection) -> GuardRefused:
    """Return the error for a change through a read-only connection."""
    return GuardRefused(
        f"The connection “{connection.name}” is read-only, so nothing is changed through it; nothing was sent.",
        hint="Use a connection that may write. If the mark is wrong, take it off in the connection form, or run: "
        f"spokekit connections edit {quote(connection.name)} --may-write, and open the connection anew.",
        next_step="none",
    )
