"""The tables of access reviews: what happened is only ever added to, and the database itself refuses anything else.

Names and addresses of people stand apart, in a table that can be emptied: they may have to be forgotten, while the
record of a review is never rewritten.
"""

from __future__ import annotations

import sqlalchemy as sa

from spokekit.connections._tables import append_only
from spokekit.connections.store import UtcDateTime, metadata, texts

campaigns_table = sa.Table(
    "review_campaigns",
    metadata,
    sa.Column("campaign_id", sa.String(36), primary_key=True),
    *texts("name", "name_key", "cloud_id", "site"),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.UniqueConstraint("cloud_id", "name_key"),
)

rows_table = sa.Table(
    "review_rows",
    metadata,
    # One key, so that the same guard against replaced rows serves every table.
    sa.Column("key", sa.String(60), primary_key=True),
    sa.Column("campaign_id", sa.ForeignKey("review_campaigns.campaign_id"), nullable=False, index=True),
    sa.Column("row_id", sa.Integer, nullable=False),
    *texts("group_id", "group_name", "account_id", "access", "managed_by", "account_type", "account_status"),
    sa.Column("is_guest", sa.Boolean, nullable=False),
    sa.Column("licensed", sa.Boolean, nullable=False),
    sa.Column("member_since", sa.Text, nullable=False),
    sa.Column("registered", sa.Boolean, nullable=False),
    sa.Column("routed_out", sa.Boolean, nullable=False),
    sa.Column("advice", sa.String(16), nullable=False),
    sa.Column("recommendation", sa.Text, nullable=False),
)

events_table = sa.Table(
    "review_events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("campaign_id", sa.ForeignKey("review_campaigns.campaign_id"), nullable=False, index=True),
    sa.Column("event", sa.String(16), nullable=False),
    sa.Column("row_id", sa.Integer),
    sa.Column("decision", sa.String(16), nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("until", sa.String(10), nullable=False, server_default=""),
    *texts("by", "through"),
    *texts("stated_by", "detail", server_default=""),
    sqlite_autoincrement=True,
)

people_table = sa.Table(
    "review_people",
    metadata,
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("campaign_id", sa.String(36), nullable=False, index=True),
    *texts("account_id", "name", "email"),
)
"""Names as they were at the opening; not append-only, on purpose."""

append_only(campaigns_table, "campaign_id")
append_only(rows_table, "key")
append_only(events_table, "seq")
