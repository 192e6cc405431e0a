"""From frames with ids as text to tables with numbers: every group, user and space gets one, and keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spokekit.audit.frames import IDS, WALKED, Frames, table
from spokekit.errors import StoreError


@dataclass
class Numbered:
    """The tables of `TABLES` as Arrow, and the ids that the numbers stand for (number, id), also as Arrow.

    `new_ids` holds only the ids that `known` did not have.
    """

    tables: dict[str, pa.Table]
    new_ids: dict[str, pa.Table]


def number(frames: Frames, known: Mapping[str, pa.Array] | None = None) -> Numbered:
    """Give every group, user and space its number.

    Parameters
    ----------
    known:
        For ``groups``, ``users`` and ``spaces`` the ids that have numbers already: an id's number is its position.
        Numbers never change and are never given twice.
    """
    members, grants, coverage = frames.memberships, frames.grants, frames.coverage
    group_ids, group_codes = _categories(members["group_id"])
    user_ids, user_codes = _categories(members["account_id"])
    is_group, is_user = ((grants["principal_type"] == kind).to_numpy() for kind in ("group", "user"))
    # A group that only a grant or the coverage names is not among the groups of the site.
    groups = _Ids(
        known,
        "groups",
        {"frame": frames.groups["group_id"], "members": group_ids},
        {
            "grants": grants["principal_id"][is_group],
            "coverage": frames.groups["group_id"][:0] if coverage is None else coverage["group_id"],
        },
    )
    users = _Ids(
        known,
        "users",
        {"frame": frames.users["account_id"], "members": user_ids, "grants": grants["principal_id"][is_user]},
    )
    spaces = _Ids(known, "spaces", {"frame": frames.spaces["space_id"], "grants": grants["space_id"]})
    group_no, user_no = _pairs(groups.numbers["members"], group_codes, users.numbers["members"], user_codes)
    to_groups, to_users = (np.full(len(grants), -1, dtype=np.int32) for _ in range(2))
    to_groups[is_group], to_users[is_user] = groups.numbers["grants"], users.numbers["grants"]

    if coverage is None:
        coverage = frames.groups[["group_id"]].assign(
            state=WALKED, walked_at=pd.Timestamp(frames.taken_at), disturbed=False, confirmed_at=None
        )
    made = {
        "groups": {
            **frames.groups,
            "group_no": groups.numbers["frame"],
            "for_users": _gives(frames.groups["access"], "user"),
            "for_admins": _gives(frames.groups["access"], "admin"),
            "for_site_admins": _gives(frames.groups["access"], "site-admin"),
        },
        "users": {**frames.users, "user_no": users.numbers["frame"]},
        "memberships": {"group_no": group_no, "user_no": user_no},
        "spaces": {**frames.spaces, "space_no": spaces.numbers["frame"]},
        "grants": {
            **grants,
            "space_no": spaces.numbers["grants"],
            "group_no": to_groups,
            "user_no": to_users,
            "sees": _sees(grants),
            "manages": _manages(grants),
        },
        "coverage": {
            **coverage,
            "group_no": groups.numbers["frame" if frames.coverage is None else "coverage"],
        },
    }
    tables = {name: table(name, columns) for name, columns in made.items()}
    # Whoever is named has a row, or joins would drop what names them: an id of which nothing is known is its own name.
    tables["groups"] = groups.with_strangers(tables["groups"], "name", group_no)
    tables["users"] = users.with_strangers(tables["users"], "display_name", user_no, to_users)
    tables["spaces"] = spaces.with_strangers(tables["spaces"], "name", spaces.numbers["grants"])
    return Numbered(tables, {one.kind: one.new() for one in (groups, users, spaces)})


def _pairs(
    groups: np.ndarray, group_codes: np.ndarray, users: np.ndarray, user_codes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return group and person of each membership once, in order."""
    key: np.ndarray = groups.astype(np.int64)[group_codes]
    key <<= 32
    key |= users[user_codes]
    key.sort()
    again = key[1:] == key[:-1]
    if again.any():
        key = key[np.concatenate([[True], ~again])]
    return (key >> 32).astype(np.int32), (key & 0xFFFFFFFF).astype(np.int32)


def places_in(numbers: np.ndarray, those: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of `those` a place in the sorted `numbers`, and whether it is there."""
    at = np.minimum(np.searchsorted(numbers, those), max(len(numbers) - 1, 0))
    found: np.ndarray = numbers[at] == those if len(numbers) else np.zeros(len(those), dtype=bool)
    return at, found


def _categories(series: pd.Series) -> tuple[pa.Array, np.ndarray]:
    """Return the categories as text, and the codes."""
    return pa.array(series.cat.categories, pa.string(), from_pandas=True), series.cat.codes.to_numpy()


class _Ids:
    """The ids of groups, users or spaces; an id's number is its place.

    `numbers` has the numbers of each column of ids by its name: of those that bring ids in, and of those that are only
    looked up, where -1 stands for an id that nothing brought in.
    """

    def __init__(
        self,
        known: Mapping[str, pa.Array] | None,
        kind: str,
        brings: Mapping[str, Any],
        looks_up: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind = kind
        looks_up = looks_up or {}
        columns = {name: _strings(column) for name, column in {**brings, **looks_up}.items()}
        before = (known or {}).get(kind, pa.array([], pa.string()))
        # One hash table for all columns: to look them up one by one would build it anew from all ids each time. Places
        # are given in the order of first sight, so what is known keeps its numbers, and new ids come behind.
        encoded = pa.chunked_array([before, *columns.values()], pa.string()).dictionary_encode("encode").chunks
        found = encoded[0].dictionary if encoded else before
        parts = np.concatenate([np.empty(0, np.int32), *(chunk.indices.to_numpy() for chunk in encoded)])
        ends = np.cumsum([len(before), *(len(column) for column in columns.values())])
        known_places, *rest = np.split(parts, ends[:-1])
        if len(before) and known_places[-1] != len(before) - 1:
            # A place would mean another id than it did, in every membership that was ever written.
            raise StoreError(
                f"Two numbers stand for the same id among the {kind} of the last snapshot.",
                likely="Its files were changed by something else.",
                hint="See what is damaged with: spokekit audit check. Then put the folder of the snapshots back from a "
                "copy of it (spokekit store backup does not hold the snapshots), or move it away and walk again.",
            )
        places = dict(zip(columns, rest, strict=True))
        self._known = len(before)
        count = max([self._known, *(int(places[name].max(initial=-1)) + 1 for name in brings)])
        self._all = found[:count]
        self.numbers = {name: np.where(p < count, p, -1) if name in looks_up else p for name, p in places.items()}

    def new(self) -> pa.Table:
        """Return number and id of the ids that are new."""
        column, id_column = IDS[self.kind]
        numbers = np.arange(self._known, len(self._all), dtype=np.int32)
        return pa.table({column: numbers, id_column: self._all[self._known :]})

    def with_strangers(self, made: pa.Table, name: str, *named: np.ndarray) -> pa.Table:
        """Return the table with a row for each number in `named` that has none."""
        column = IDS[self.kind][0]
        wanted = np.zeros(len(self._all) + 1, dtype=bool)
        for numbers in named:
            # Number -1 (nobody) lands on the one place too many.
            wanted[numbers] = True
        wanted[made.column(column).to_numpy()] = False
        missing = np.flatnonzero(wanted[:-1]).astype(np.int32)
        if not len(missing):
            return made
        strangers = [
            pa.array(missing)
            if field.name == column
            else self._all.take(pa.array(missing))
            if field.name == name
            else pa.repeat(pa.scalar("" if field.type == pa.string() else False, field.type), len(missing))
            for field in made.schema
        ]
        rows = pa.Table.from_arrays(strangers, schema=made.schema)
        return pa.concat_tables([made, rows]).combine_chunks() if made.num_rows else rows


def _strings(values: Any) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    made = pa.array(values, pa.string(), from_pandas=True)
    return made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made


def _gives(access: pd.Series, wanted: str) -> pa.Array:
    fitting = [text for text in access.unique() if wanted in {part.strip() for part in text.split(",")}]
    return pc.is_in(_strings(access), pa.array(fitting, pa.string()))


def _sees(grants: pd.DataFrame) -> pd.Series:
    # Every role of Confluence includes seeing the space; a classic permission does only when it is "read space".
    read = (grants["operation"] == "read") & (grants["target"] == "space")
    return read | (grants["role"] != "")


def _manages(grants: pd.DataFrame) -> pd.Series:
    classic = (grants["operation"] == "administer") & (grants["target"] == "space")
    return classic | grants["role"].str.lower().isin(["admin", "administrator", "space admin", "space administrator"])
