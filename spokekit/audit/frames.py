"""The five frames of an audit, and the numbered tables that snapshots and questions work on.

A person sees `Frames`: plain pandas, ids as text. Inside, every group, user and space has a number (int32), so that
2.5 million memberships are 20 MB and a join compares integers; `Numbered` holds those tables as Arrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spokekit.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

# Column -> kind, in the order of the frame. "text" is never null: what is not known is "".
COLUMNS: dict[str, dict[str, str]] = {
    "groups": {"group_id": "text", "name": "text", "access": "text", "managed_by": "text", "usage_type": "text"},
    "users": {
        "account_id": "text",
        "display_name": "text",
        "public_name": "text",
        "email": "text",
        "account_type": "text",
        "account_status": "text",
        "is_guest": "bool",
        "licensed": "bool",
    },
    "memberships": {"group_id": "category", "account_id": "category"},
    "spaces": {"space_id": "text", "space_key": "text", "name": "text", "type": "text", "status": "text"},
    "grants": {
        "space_id": "text",
        "principal_type": "text",
        "principal_id": "text",
        "operation": "text",
        "target": "text",
        "role": "text",
    },
    "coverage": {"group_id": "text", "state": "text", "walked_at": "time", "disturbed": "bool"},
}
_KEYS = {"groups": "group_id", "users": "account_id", "spaces": "space_id"}
_ALSO_CALLED = {"key": "space_key", "space_name": "name", "space_type": "type"}

# The same tables as stored and as SQL sees them.
TABLES: dict[str, dict[str, str]] = {
    "groups": {
        "group_no": "int",
        "name": "text",
        "access": "text",
        "managed_by": "text",
        "usage_type": "text",
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
    "coverage": {"group_no": "int", "state": "text", "walked_at": "time", "disturbed": "bool"},
}
# Which id a number stands for: table of ids, number column, id column.
IDS = {
    "groups": ("group_no", "group_id"),
    "users": ("user_no", "account_id"),
    "spaces": ("space_no", "space_id"),
}

WALKED, PARTIAL, FAILED, NOT_WALKED = "walked", "partial", "failed", "not walked"


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
        One row a group: `state` (``walked``, ``partial``, ``failed``, ``not walked``), `walked_at` (UTC) and
        `disturbed` (its members moved while its pages were read). Without it, every group counts as walked now.
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

    def as_dict(self) -> dict[str, pd.DataFrame]:
        """Return the frames by name, as `of` takes them."""
        named = {name: getattr(self, name) for name in COLUMNS}
        return {name: frame for name, frame in named.items() if frame is not None}


def shape(name: str, frame: pd.DataFrame | None) -> pd.DataFrame:
    """Return `frame` with exactly the columns of `COLUMNS[name]`, in order and of their kinds, without duplicates."""
    import pandas as pd

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


def as_kind(series: pd.Series | None, kind: str, length: int) -> pd.Series:
    """Return `series` as ``text`` (never null), ``category``, ``bool``, ``int``, ``float`` or ``time`` (UTC)."""
    import pandas as pd

    if series is None:
        filler: Any = {"bool": False, "int": 0, "float": 0.0, "time": pd.NaT}.get(kind, "")
        series = pd.Series([filler] * length, dtype=object)
    series = series.reset_index(drop=True)
    if kind == "category":
        if isinstance(series.dtype, pd.CategoricalDtype):
            return series
        return _text(series).astype("category")
    if kind == "text":
        return _text(series)
    if kind == "bool":
        if series.dtype == bool:
            return series
        return series.map(lambda value: value is not None and value == value and bool(value)).astype(bool)
    if kind == "time":
        return pd.to_datetime(series, utc=True).astype("datetime64[us, UTC]")
    if kind == "float":
        return series.astype("float64")
    return series.astype("int64")


def _text(series: pd.Series) -> pd.Series:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        # Category by category: a frame of two million rows may have three values.
        words = pd.Series(series.cat.categories, dtype=object).map(str)
        taken = pd.Series(words.to_numpy(dtype=object), dtype=object).reindex(series.cat.codes).fillna("")
        return taken.reset_index(drop=True).astype("str")
    if series.isna().any():
        series = series.astype(object).where(series.notna(), "")
    return series.astype("str")


def empty_frames(site: str = "practice") -> Frames:
    """Return frames with nothing in them."""
    return Frames.of({}, site=site)


@dataclass
class Numbered:
    """The tables of `TABLES` as Arrow, and the ids that the numbers stand for (number, id), also as Arrow.

    `new_ids` holds only the ids that `known` did not have.
    """

    tables: dict[str, pa.Table]
    new_ids: dict[str, pa.Table]


def number(frames: Frames, known: Mapping[str, pd.Index] | None = None) -> Numbered:
    """Give every group, user and space its number.

    Parameters
    ----------
    known:
        For ``groups``, ``users`` and ``spaces`` the ids that have numbers already: an id's number is its position.
        Numbers never change and are never given twice.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    known = known or {}
    members = frames.memberships
    mentioned: dict[str, list[Any]] = {
        "groups": [frames.groups["group_id"], members["group_id"].cat.categories],
        "users": [
            frames.users["account_id"],
            members["account_id"].cat.categories,
            frames.grants.loc[frames.grants["principal_type"] == "user", "principal_id"],
        ],
        "spaces": [frames.spaces["space_id"], frames.grants["space_id"]],
    }
    ids: dict[str, Any] = {}
    new: dict[str, pa.Table] = {}
    for name, sources in mentioned.items():
        before: Any = known.get(name, pd.Index([], dtype="object"))
        listed = pd.unique(np.concatenate([np.asarray(source, dtype=object) for source in sources]))
        everything: Any = pd.Index(listed, dtype="object")
        fresh = everything[before.get_indexer(everything) < 0]
        ids[name] = before.append(fresh)
        column, id_column = IDS[name]
        numbers = np.arange(len(before), len(before) + len(fresh), dtype=np.int32)
        new[name] = pa.table({column: numbers, id_column: pa.array(fresh.to_list(), pa.string())})

    def numbers_of(name: str, values: Any) -> np.ndarray:
        found: np.ndarray = ids[name].get_indexer(np.asarray(values, dtype=object)).astype(np.int32)
        return found

    def numbers_of_codes(name: str, series: pd.Series) -> np.ndarray:
        taken: np.ndarray = numbers_of(name, series.cat.categories)[series.cat.codes.to_numpy()]
        return taken

    access = [{part.strip() for part in text.split(",")} for text in frames.groups["access"]]
    groups = frames.groups.assign(
        group_no=numbers_of("groups", frames.groups["group_id"]),
        for_users=[("user" in parts) for parts in access],
        for_admins=[("admin" in parts) for parts in access],
        for_site_admins=[("site-admin" in parts) for parts in access],
    )
    pairs = np.unique(
        _key(numbers_of_codes("groups", members["group_id"]), numbers_of_codes("users", members["account_id"]))
    )
    grants = frames.grants.assign(
        space_no=numbers_of("spaces", frames.grants["space_id"]),
        group_no=np.where(
            frames.grants["principal_type"] == "group", numbers_of("groups", frames.grants["principal_id"]), -1
        ),
        user_no=np.where(
            frames.grants["principal_type"] == "user", numbers_of("users", frames.grants["principal_id"]), -1
        ),
        sees=_sees(frames.grants),
        manages=_manages(frames.grants),
    )
    coverage = frames.coverage
    if coverage is None:
        coverage = pd.DataFrame(
            {
                "group_id": frames.groups["group_id"],
                "state": WALKED,
                "walked_at": pd.Timestamp(frames.taken_at),
                "disturbed": False,
            }
        )
    # Whoever is named has a row, or joins would drop what names them: an id of which nothing is known is its own name.
    # A group that only a grant names is not among the groups of the site any more.
    groups = _with_strangers(groups, "groups", [pairs >> 32], ids["groups"], "name")
    users = frames.users.assign(user_no=numbers_of("users", frames.users["account_id"]))
    users = _with_strangers(users, "users", [pairs & 0xFFFFFFFF, grants["user_no"]], ids["users"], "display_name")
    spaces = frames.spaces.assign(space_no=numbers_of("spaces", frames.spaces["space_id"]))
    spaces = _with_strangers(spaces, "spaces", [grants["space_no"]], ids["spaces"], "name")
    numbered = {
        "groups": groups,
        "users": users,
        "memberships": {"group_no": (pairs >> 32).astype(np.int32), "user_no": (pairs & 0xFFFFFFFF).astype(np.int32)},
        "spaces": spaces,
        "grants": grants,
        "coverage": coverage.assign(group_no=numbers_of("groups", coverage["group_id"])),
    }
    return Numbered({name: table(name, frame) for name, frame in numbered.items()}, new)


def _with_strangers(frame: pd.DataFrame, kind: str, named: list[Any], ids: pd.Index[Any], name: str) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    column = IDS[kind][0]
    wanted = np.unique(np.concatenate([np.unique(np.asarray(numbers, dtype=np.int64)) for numbers in named]))
    missing = np.setdiff1d(wanted[wanted >= 0], frame[column].to_numpy(dtype=np.int64))
    if not len(missing):
        return frame
    empty = {c: False if k == "bool" else "" for c, k in TABLES[kind].items() if k != "int"}
    strangers = pd.DataFrame({**empty, column: missing, name: ids[missing]}, index=range(len(missing)))
    return pd.concat([frame, strangers], ignore_index=True)


def _sees(grants: pd.DataFrame) -> pd.Series:
    # Every role of Confluence includes seeing the space; a classic permission does only when it is "read space".
    read = (grants["operation"] == "read") & (grants["target"] == "space")
    return read | (grants["role"] != "")


def _manages(grants: pd.DataFrame) -> pd.Series:
    classic = (grants["operation"] == "administer") & (grants["target"] == "space")
    return classic | grants["role"].str.lower().isin(["admin", "administrator", "space admin", "space administrator"])


def _key(groups: np.ndarray, users: np.ndarray) -> np.ndarray:
    import numpy as np

    key: np.ndarray = (groups.astype(np.int64) << 32) | users.astype(np.int64)
    return key


ARROW_KINDS = {"int": "int32", "text": "string", "bool": "bool", "time": "timestamp"}


def arrow_schema(name: str, extra: tuple[str, ...] = ()) -> pa.Schema:
    """Return the Arrow schema of the table `name`, with int32 columns `extra` behind it."""
    import pyarrow as pa

    kinds = {"int": pa.int32(), "text": pa.string(), "bool": pa.bool_(), "time": pa.timestamp("us", "UTC")}
    fields = [pa.field(column, kinds[kind]) for column, kind in TABLES[name].items()]
    return pa.schema([*fields, *(pa.field(column, pa.int32()) for column in extra)])


def table(name: str, columns: Any) -> pa.Table:
    """Return `columns` (a frame or a mapping) as the Arrow table `name`."""
    import pyarrow as pa

    schema = arrow_schema(name)
    arrays = []
    for entry in schema:
        values = columns[entry.name]
        raw = values.to_numpy() if hasattr(values, "to_numpy") and entry.type != pa.timestamp("us", "UTC") else values
        arrays.append(pa.array(raw, type=entry.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=schema)
