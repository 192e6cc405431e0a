"""Check a connection before it is relied on: the site, the person, every scope, what follows."""

from __future__ import annotations

from spokekit.check.connection import COLUMNS, STATES, check_connection, trouble

__all__ = ["COLUMNS", "STATES", "check_connection", "trouble"]
