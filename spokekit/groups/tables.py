"""The tables of the journal, and the triggers that make the database itself refuse to rewrite them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from spokekit.connections._tables import append_only
from spokekit.connections.store import UtcDateTime, metadata, texts


def journal_tables(name: str, *more: sa.Column[Any]) -> tuple[sa.Table, sa.Table]:
    """Return the tables of a journal: its entries, and the planned rows of each apply; both append-only."""
    entries = sa.Table(
        f"{name}_journal",
        metadata,
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("apply_id", sa.String(36), nullable=False, index=True),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("alias_id", sa.Text, nullable=False),
        sa.Column("connection_id", sa.String(36), nullable=False),
        *texts("connection", "cloud_id", "site", "by"),
        sa.Column("mode", sa.String(8), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("undo_of", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer),
        *texts("group_id", "group_name", "account_id", server_default=""),
        sa.Column("action", sa.String(8), nullable=False, server_default=""),
        sa.Column("status", sa.String(16), nullable=False, server_default=""),
        sa.Column("reason", sa.String(32), nullable=False, server_default=""),
        sa.Column("message", sa.Text, nullable=False, server_default=""),
        *more,
        sqlite_autoincrement=True,
    )
    plans = sa.Table(
        f"{name}_plans",
        metadata,
        sa.Column("apply_id", sa.String(36), primary_key=True),
        sa.Column("plan", sa.Text, nullable=False),
    )
    append_only(entries, "seq")
    append_only(plans, "apply_id")
    return entries, plans


entries_table, plans_table = journal_tables("membership")

purposes_table = sa.Table(
    "membership_purposes",
    metadata,
    sa.Column("apply_id", sa.String(36), primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False, index=True),
)
"""What an apply is for, where somebody said so: in words, and the id of what it belongs to."""

leases_table = sa.Table(
    "membership_leases",
    metadata,
    sa.Column("site_key", sa.String(36), primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)

fences_table = sa.Table(
    "membership_fences",
    metadata,
    sa.Column("site", sa.String(36), primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("beats", sa.Integer, nullable=False),
    sa.Column("boot", sa.Text, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)
"""How often each site was taken, how often its holder gave a sign, and when the last one came by its boot's clock."""


append_only(purposes_table, "apply_id")
