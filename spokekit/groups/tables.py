"""The tables of the journal, and the triggers that make the database itself refuse to rewrite them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import event

from spokekit.connections.store import UtcDateTime, metadata

entries_table = sa.Table(
    "membership_journal",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("apply_id", sa.String(36), nullable=False, index=True),
    sa.Column("event", sa.String(16), nullable=False),
    sa.Column("alias_id", sa.Text, nullable=False),
    sa.Column("connection_id", sa.String(36), nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("cloud_id", sa.Text, nullable=False),
    sa.Column("site", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("mode", sa.String(8), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("undo_of", sa.String(36), nullable=False),
    sa.Column("position", sa.Integer),
    sa.Column("group_id", sa.Text, nullable=False, server_default=""),
    sa.Column("group_name", sa.Text, nullable=False, server_default=""),
    sa.Column("account_id", sa.Text, nullable=False, server_default=""),
    sa.Column("action", sa.String(8), nullable=False, server_default=""),
    sa.Column("status", sa.String(16), nullable=False, server_default=""),
    sa.Column("reason", sa.String(32), nullable=False, server_default=""),
    sa.Column("message", sa.Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)

plans_table = sa.Table(
    "membership_plans",
    metadata,
    sa.Column("apply_id", sa.String(36), primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
)

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
    sa.Column("apply_id", sa.String(36), primary_key=True),
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


def append_only(table: sa.Table, key: str) -> None:
    """Let the database itself refuse to change or remove rows of `table`, whose primary key is `key`."""
    name = table.name
    # The names are ours, not anybody's input.
    statements = {
        "sqlite": [
            *(
                f"CREATE TRIGGER IF NOT EXISTS {name}_no_{what} BEFORE {what} ON {name} "
                f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
                for what in ("update", "delete")
            ),
            # INSERT OR REPLACE deletes the old row without firing the trigger above.
            f"CREATE TRIGGER IF NOT EXISTS {name}_no_replace BEFORE INSERT ON {name} "  # noqa: S608 - no input in it
            f"WHEN EXISTS (SELECT 1 FROM {name} WHERE {key} = NEW.{key}) "
            f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END",
        ],
        "postgresql": [
            f"CREATE OR REPLACE FUNCTION {name}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{name} is append-only' USING ERRCODE = 'restrict_violation'; END $$",
            f"CREATE OR REPLACE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE ON {name} "
            f"FOR EACH ROW EXECUTE FUNCTION {name}_refuse()",
            f"CREATE OR REPLACE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}_refuse()",
        ],
    }
    for dialect, texts in statements.items():
        for text in texts:
            event.listen(table, "after_create", sa.DDL(text).execute_if(dialect=dialect))  # type: ignore[no-untyped-call]


append_only(entries_table, "seq")
append_only(plans_table, "apply_id")
append_only(purposes_table, "apply_id")
