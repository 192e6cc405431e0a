"""The five frames of an audit, and what the numbered tables look like that snapshots and questions work on.

A person sees `Frames`: plain pandas, ids as text. Inside, every group, user and space has a number (int32), so that
2.5 million memberships are 20 MB and a join compares integers; `spokekit.audit.history.numbering` gives the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spokekit._frames import as_kind
from spokekit.confluence.shapes import GROUP_COLUMNS
from spokekit.errors import InputError

OF_ACCOUNT = ("display_name", "public_name", "email", "account_type", "account_status")
"""What is told of an account, beside its id and what it may do."""
# Columns and kinds of `spokekit._frames`.
COLUMNS: dict[str, dict[str, str]] = {
    "groups": dict.fromkeys(GROUP_COLUMNS, "text"),
    "users": {
        **dict.fromkeys(("account_id", *OF_ACCOUNT), "text"),
        "is_guest": "bool",
        "licensed": "bool",
    },
    "memberships": {"group_id": "category", "account_id": "category"},
    "spaces": {"space_id": "text", "space_key": "text", "name": "text", "type": "text", "status": "text"},
    "grants": dict.fromkeys(("space_id", "principal_type", "principal_id", "operation", "target", "role"), "text"),
    "coverage": {
        "group_id": "text",
        "state": "text",
        "walked_at": "time",
        "disturbed": "bool",
        "confirmed_at": "time",
    },
}
_KEYS = {"groups": "group_id", "users": "account_id", "spaces": "space_id"}
_ALSO_CALLED = {"key": "space_key", "space_name": "name", "space_type": "type"}

# The same tables as stored and as SQL sees them.
TABLES: dict[str, dict[str, str]] = {
    "groups": {
        "group_no": "int",
        **{c: k for c, k in COLUMNS["groups"].items() if c != "group_id"},
        "for_users": "bool",
        "for_admins": "bool",
        "for_site_admins": "bool",
    },
    "users": {"user_no": "int", **{c: k for c, k in COLUMNS["users"].items() if c != "account_id"}},
    "memberships": {"group_no": "int", "user_no": "int"},
    "spaces": {"space_no": "int", **{c: k for c, k in COLUMNS["spaces"].items() if c != "space_id"}},
    "grants": {
        "space_no": "int",
        "principal_type": "text",
        "principal_id": "text",
        "group_no": "int",
        "user_no": "int",
        "operation": "text",
        "target": "text",
        "role": "text",
        "sees": "bool",
        "manages": "bool",
    },
    "coverage": {"group_no": "int", **{c: k for c, k in COLUMNS["coverage"].items() if c != "group_id"}},
}
# Texts about a group that came after the first snapshots: a file without one is old, without another it is damaged.
ADDED = tuple(c for c in GROUP_COLUMNS if c not in ("group_id", "name", "access", "managed_by", "usage_type"))
# Which id a number stands for: table of ids, number column, id column.
IDS = {
    "groups": ("group_no", "group_id"),
    "users": ("user_no", "account_id"),
    "spaces": ("space_no", "space_id"),
}

WALKED, PARTIAL, FAILED, NOT_WALKED = "walked", "partial", "failed", "not walked"
# A group that still has as many members as when it was last read whole: one who came while one left would not show.
CONFIRMED = "size confirmed"


@dataclass(frozen=True)
class Site:
    """Which site the frames are of."""

    cloud_id: str
    name: str = ""
    url: str = ""


@dataclass
class Frames:
    """What one pull of a site gave.

    Parameters
    ----------
    groups, users, memberships, spaces, grants:
        Frames with the columns of `COLUMNS`; the ids in them are text.
    coverage:
        One row a group: `state` (``walked``: read whole, ``size confirmed``, ``partial``, ``failed``,
        ``not walked``), `walked_at` (UTC; when it was last read whole), `disturbed` (its members moved while its pages
        were read) and `confirmed_at` (UTC; when, since then, only its size was seen to be the same). Without it, every
        group counts as walked now.
    site, taken_at:
        Where and when.
    completeness:
        The completeness report of the pull as a dict, or empty.
    scope:
        What was asked for: ``groups`` (``all``, ``registered`` or a filter in words) and ``spaces`` (bool). When
        spaces is False, the frames say nothing about spaces, and what an earlier snapshot knew stays.
    """

    groups: pd.DataFrame
    users: pd.DataFrame
    memberships: pd.DataFrame
    spaces: pd.DataFrame
    grants: pd.DataFrame
    site: Site
    taken_at: datetime
    coverage: pd.DataFrame | None = None
    completeness: dict[str, Any] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=lambda: {"groups": "all", "spaces": True})

    @classmethod
    def of(
        cls,
        frames: Mapping[str, pd.DataFrame],
        *,
        site: Site | str = "practice",
        taken_at: datetime | None = None,
        completeness: Mapping[str, Any] | None = None,
        scope: Mapping[str, Any] | None = None,
    ) -> Frames:
        """Bring `frames` (by name) into shape: missing frames are empty, missing columns hold "" or False.

        Raises InputError when an id column is missing or when `taken_at` has no time zone.
        """
        moment = taken_at or datetime.now(UTC)
        if moment.tzinfo is None:
            raise InputError("The time of a pull needs a time zone.", field="taken_at")
        unknown = set(frames) - set(COLUMNS)
        if unknown:
            raise InputError(f"No such frame: {', '.join(sorted(unknown))}.", field="frames")
        shaped = {name: shape(name, frames.get(name)) for name in COLUMNS if name != "coverage"}
        coverage = frames.get("coverage")
        return cls(
            **shaped,
            site=site if isinstance(site, Site) else Site(site),
            taken_at=moment.astimezone(UTC),
            coverage=None if coverage is None else shape("coverage", coverage),
            completeness=dict(completeness or {}),
            scope=dict(scope or {"groups": "all", "spaces": True}),
        )

    @property
    def spaces_at(self) -> datetime | None:
        """When the spaces were read, or None when these frames say nothing about them."""
        return self.taken_at if self.scope.get("spaces", True) else None

    def as_dict(self) -> dict[str, pd.DataFrame]:
        """Return the frames by name, as `of` takes them."""
        named = {name: getattr(self, name) for name in COLUMNS}
        return {name: frame for name, frame in named.items() if frame is not None}


def shape(name: str, frame: pd.DataFrame | None) -> pd.DataFrame:
    """Return `frame` with exactly the columns of `COLUMNS[name]`, in order and of their kinds, without duplicates."""
    columns = COLUMNS[name]
    if frame is None:
        frame = pd.DataFrame({column: [] for column in columns})
    frame = frame.rename(columns={a: b for a, b in _ALSO_CALLED.items() if a in frame and b not in frame})
    required = [_KEYS[name]] if name in _KEYS else [c for c in columns if c.endswith("_id") and c != "principal_id"]
    missing = [column for column in required if column not in frame]
    if missing:
        raise InputError(f"The frame {name} lacks the column {', '.join(missing)}.", field=name)
    made = pd.DataFrame({column: as_kind(frame.get(column), kind, len(frame)) for column, kind in columns.items()})
    if name in _KEYS:
        return made.drop_duplicates(_KEYS[name], ignore_index=True)
    return made if name == "memberships" else made.drop_duplicates(ignore_index=True)


def empty_frames(site: str = "practice") -> Frames:
    """Return frames with nothing in them."""
    return Frames.of({}, site=site)


def arrow_schema(name: str, extra: tuple[str, ...] = ()) -> pa.Schema:
    """Return the Arrow schema of the table `name`, with int32 columns `extra` behind it."""
    kinds = {"int": pa.int32(), "text": pa.string(), "bool": pa.bool_(), "time": pa.timestamp("us", "UTC")}
    fields = [pa.field(column, kinds[kind]) for column, kind in TABLES[name].items()]
    return pa.schema([*fields, *(pa.field(column, pa.int32()) for column in extra)])


def by_name(name: str, rows: pa.Table) -> pa.Table:
    """Return the rows of a file of the table `name` with the columns of today; null stands where the file lacks one."""
    later = (*ADDED, "confirmed_at")
    lacking = [entry for entry in arrow_schema(name) if entry.name not in rows.column_names and entry.name in later]
    for entry in lacking:
        rows = rows.append_column(entry, pa.nulls(rows.num_rows, entry.type))
    more = [column for column in ("first_walk", "since", "until") if column in rows.column_names]
    wanted = [*TABLES[name], *(column for column in more if column not in TABLES[name])]
    return rows if rows.column_names == wanted else rows.select(wanted)


def without_nulls(name: str, rows: pa.Table) -> pa.Table:
    """Return `rows` with what stands for "not known" where a column of an older file was missing."""
    for column in ADDED if name == "groups" else ():
        place = rows.column_names.index(column)
        rows = rows.set_column(place, rows.schema.field(column), pc.fill_null(rows.column(column), ""))
    return rows


def table(name: str, columns: Any) -> pa.Table:
    """Return `columns` (a frame or a mapping) as the Arrow table `name`."""
    schema = arrow_schema(name)
    arrays = []
    for entry in schema:
        made = pa.array(columns[entry.name], type=entry.type, from_pandas=True)
        arrays.append(made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made)
    return pa.Table.from_arrays(arrays, schema=schema)
