"""The tables of this room, with the rules that a database can keep by itself.

SQLite and PostgreSQL both know partial unique indexes and triggers, so "one active connection per alias", "the parent
of an alias never changes" and "the default alias stays" hold even for a program that writes past the services.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from spokekit._words import comparable
from spokekit.connections.store import UtcDateTime, metadata

PARENT_ALIAS_ID = "sn_conflunce_spoke.Confluence_Cloud"
PARENT_LABEL = "Confluence Cloud"

aliases_table = sa.Table(
    "aliases",
    metadata,
    sa.Column("alias_id", sa.String(200), primary_key=True),
    sa.Column("label", sa.String(200), nullable=False),
    sa.Column("label_key", sa.String(400), nullable=False, unique=True),
    sa.Column("parent_id", sa.ForeignKey("aliases.alias_id", ondelete="RESTRICT"), nullable=True),
    sa.Column("type", sa.String(40), nullable=False),
    sa.Column("connection_type", sa.String(80), nullable=False),
    sa.Column("multiple_connections", sa.Boolean, nullable=False),
    sa.Column("configuration_template", sa.String(200), nullable=False),
    sa.Column("retry_policy", sa.String(200), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.CheckConstraint(
        f"(parent_id IS NULL AND alias_id = '{PARENT_ALIAS_ID}') OR "
        f"(parent_id = '{PARENT_ALIAS_ID}' AND alias_id <> '{PARENT_ALIAS_ID}')",
        name="one_parent",
    ),
)

connections_table = sa.Table(
    "connections",
    metadata,
    sa.Column("connection_id", sa.String(36), primary_key=True),
    sa.Column("alias_id", sa.ForeignKey("aliases.alias_id", ondelete="CASCADE"), nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("name_key", sa.String(400), nullable=False, unique=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("auth_url", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("client_id", sa.Text, nullable=False),
    sa.Column("redirect_uri", sa.Text, nullable=False),
    sa.Column("cloud_id", sa.String(100), nullable=True),
    sa.Column("site_name", sa.Text, nullable=True),
    sa.Column("site_url", sa.Text, nullable=True),
    sa.Column("account_id", sa.Text, nullable=True),
    sa.Column("account_name", sa.Text, nullable=True),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("pkce", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)
sa.Index(
    "uq_connections_one_active_per_alias",
    connections_table.c.alias_id,
    unique=True,
    sqlite_where=connections_table.c.active.is_(True),
    postgresql_where=connections_table.c.active.is_(True),
)

credentials = sa.Table(
    "credentials",
    metadata,
    sa.Column("credential_id", sa.String(36), primary_key=True),
    sa.Column(
        "connection_id", sa.ForeignKey("connections.connection_id", ondelete="CASCADE"), nullable=False, unique=True
    ),
    sa.Column("client_secret", sa.LargeBinary, nullable=True),
    sa.Column("sealed_grant", sa.LargeBinary, nullable=True),
    sa.Column("generation", sa.Integer, nullable=False, default=0, server_default="0"),
    sa.Column("scopes", sa.Text, nullable=False, default="", server_default=""),
    sa.Column("state", sa.Text, nullable=False, default="none", server_default="none"),
    sa.Column("reason", sa.Text, nullable=False, default="", server_default=""),
    sa.Column("granted_at", UtcDateTime, nullable=True),
    sa.Column("refreshed_at", UtcDateTime, nullable=True),
    sa.Column("expires_at", UtcDateTime, nullable=True),
    sa.Column("refresh_started_at", UtcDateTime, nullable=True),
    sa.CheckConstraint("state IN ('none', 'valid', 'consent_needed')", name="known_state"),
)

# What differs from a connection that a person consents to and that may write: a connection without a row is that. A
# table of its own, so that a store that was made before there was a choice needs no change.
connection_kinds = sa.Table(
    "connection_kinds",
    metadata,
    sa.Column("connection_id", sa.ForeignKey("connections.connection_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("grant", sa.String(40), nullable=False),
    sa.Column("read_only", sa.Boolean, nullable=False),
)

# Who spoke through a connection before the present account, until the same account consents again.
account_changes = sa.Table(
    "account_changes",
    metadata,
    sa.Column("connection_id", sa.ForeignKey("connections.connection_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("account_id", sa.Text, nullable=False),
    sa.Column("account_name", sa.Text, nullable=True),
)

_RULES = (
    (aliases_table, "alias_fixed", "UPDATE OF alias_id, parent_id", "The id and the parent of an alias never change."),
    (connections_table, "alias_fixed", "UPDATE OF alias_id", "A connection stays with its alias."),
)


def _changed(columns: str) -> str:
    names = [name.strip() for name in columns.removeprefix("UPDATE OF ").split(",")]
    return " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in names)


def _when_made(table: sa.Table, dialect: str, *statements: str) -> None:
    """Let the database carry out `statements` when `table` has been made."""
    make: Any = sa.DDL  # SQLAlchemy leaves this one without types
    for statement in statements:
        event.listen(table, "after_create", make(statement).execute_if(dialect=dialect))


def _refuse(table: sa.Table, name: str, moment: str, when: str, sentence: str) -> None:
    """Let the database refuse `moment` on `table` when the condition `when` holds."""
    trigger = f"{table.name}_{name}"
    _when_made(
        table,
        "sqlite",
        # SQLite learned IS DISTINCT FROM in 3.39; its older spelling means the same everywhere.
        f"CREATE TRIGGER {trigger} BEFORE {moment} ON {table.name} "
        f"WHEN {when.replace('IS DISTINCT FROM', 'IS NOT')} BEGIN SELECT RAISE(ABORT, '{sentence}'); END",
    )
    _when_made(
        table,
        "postgresql",
        f"CREATE OR REPLACE FUNCTION {trigger}() RETURNS trigger AS $$ BEGIN "
        f"RAISE EXCEPTION '{sentence}' USING ERRCODE = 'integrity_constraint_violation'; END $$ LANGUAGE plpgsql",
        f"CREATE TRIGGER {trigger} BEFORE {moment} ON {table.name} FOR EACH ROW WHEN ({when}) "
        f"EXECUTE FUNCTION {trigger}()",
    )


for _table, _name, _moment, _sentence in _RULES:
    _refuse(_table, _name, _moment, _changed(_moment), _sentence)
_refuse(aliases_table, "default_stays", "DELETE", "OLD.parent_id IS NULL", "The default alias cannot be removed.")


def key(name: str) -> str:
    """Return what makes a name the same as another; see `spokekit._words.comparable`."""
    return comparable(name)


@event.listens_for(aliases_table, "after_create")
def _default_alias(_table: sa.Table, connection: sa.Connection, **_: Any) -> None:
    connection.execute(
        aliases_table.insert().values(
            alias_id=PARENT_ALIAS_ID,
            label=PARENT_LABEL,
            label_key=key(PARENT_LABEL),
            parent_id=None,
            type="connection",
            connection_type="http_connection",
            multiple_connections=False,
            configuration_template="confluence_cloud_oauth_authorization_code",
            retry_policy="confluence_cloud_default",
            created_at=datetime.now(UTC),
        )
    )


def append_only(table: sa.Table, key: str) -> None:
    """Let the database itself refuse to change or remove rows of `table`, whose primary key is `key`."""
    name = table.name
    # The names are ours, not anybody's input.
    _when_made(
        table,
        "sqlite",
        *(
            f"CREATE TRIGGER IF NOT EXISTS {name}_no_{what} BEFORE {what} ON {name} "
            f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
            for what in ("update", "delete")
        ),
        # INSERT OR REPLACE deletes the old row without firing the trigger above.
        f"CREATE TRIGGER IF NOT EXISTS {name}_no_replace BEFORE INSERT ON {name} "  # noqa: S608 - no input in it
        f"WHEN EXISTS (SELECT 1 FROM {name} WHERE {key} = NEW.{key}) "
        f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END",
    )
    _when_made(
        table,
        "postgresql",
        f"CREATE OR REPLACE FUNCTION {name}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{name} is append-only' USING ERRCODE = 'restrict_violation'; END $$",
        f"CREATE OR REPLACE TRIGGER {name}_no_change BEFORE UPDATE OR DELETE ON {name} "
        f"FOR EACH ROW EXECUTE FUNCTION {name}_refuse()",
        f"CREATE OR REPLACE TRIGGER {name}_no_truncate BEFORE TRUNCATE ON {name} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}_refuse()",
    )
