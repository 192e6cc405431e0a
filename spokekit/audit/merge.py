"""From the last state and a new pull to the new state and what it ends: the history of a site grows by this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spokekit.audit.files import known_ids, load
from spokekit.audit.frames import TABLES, WALKED, Frames, Numbered, arrow_schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from spokekit.audit.snapshots import Snapshot

HISTORY = ("groups", "users", "memberships", "spaces", "grants")


def merge(
    fresh: Numbered, previous: Snapshot | None, frames: Frames, ordinal: int
) -> dict[str, tuple[pa.Table, pa.Table]]:
    """Return for each table what is true now (with `since`) and what this snapshot ends (with `since`, `until`)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if previous is None:
        return {kind: (_since(fresh.tables[kind], ordinal), _none(kind)) for kind in HISTORY}
    walked = _walked_groups(fresh)
    listed = fresh.tables["groups"].column("group_no").to_numpy()
    looked = np.union1d(walked, _gone(listed, load(previous.paths("groups")).column("group_no").to_numpy()))
    made = {
        "memberships": _merge_pairs(fresh.tables["memberships"], load(previous.paths("memberships")), looked, ordinal)
    }
    failed_spaces = frames.completeness.get("failed_spaces") or []
    places = pc.index_in(pa.array(failed_spaces, pa.string()), known_ids(previous, "spaces"))
    unseen = places.drop_null().to_numpy(zero_copy_only=False).astype(np.int32)
    kept = {"users": made["memberships"][0].column("user_no").to_numpy()}
    for kind in ("groups", "users", "spaces", "grants"):
        before = load(previous.paths(kind))
        if kind in ("spaces", "grants") and not frames.scope.get("spaces", True):
            made[kind] = (before, _none(kind))
        elif kind == "grants":
            made[kind] = _merge_grants(fresh.tables[kind], before, ordinal, unseen)
        else:
            made[kind] = _merge_rows(kind, fresh.tables[kind], before, f"{kind[:-1]}_no", ordinal, kept.get(kind))
    return {kind: (made[kind][0].cast(arrow_schema(kind, ("since",))), made[kind][1]) for kind in HISTORY}


def _since(table: pa.Table, ordinal: int) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    return table.append_column("since", pa.array(np.full(table.num_rows, ordinal, dtype=np.int32)))


def _none(kind: str) -> pa.Table:
    return arrow_schema(kind, ("since", "until")).empty_table()


def _walked_groups(fresh: Numbered) -> np.ndarray:
    coverage = fresh.tables["coverage"]
    numbers: np.ndarray = coverage.column("group_no").to_numpy()[coverage.column("state").to_numpy() == WALKED]
    return numbers


def _gone(listed: np.ndarray, before: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.setdiff1d(before, listed)


def _merge_pairs(new: pa.Table, old: pa.Table, looked: np.ndarray, ordinal: int) -> tuple[pa.Table, pa.Table]:
    import numpy as np
    import pyarrow as pa

    def keys(table: pa.Table) -> np.ndarray:
        high = table.column("group_no").to_numpy().astype(np.int64) << 32
        key: np.ndarray = high | table.column("user_no").to_numpy()
        return key

    def rows(key: np.ndarray, **more: np.ndarray) -> pa.Table:
        columns = {"group_no": (key >> 32).astype(np.int32), "user_no": (key & 0xFFFFFFFF).astype(np.int32), **more}
        return pa.table(columns, schema=arrow_schema("memberships", tuple(more)))

    new_key, old_key, old_since = keys(new), keys(old), old.column("since").to_numpy()
    place = np.searchsorted(old_key, new_key)
    at = np.minimum(place, max(len(old_key) - 1, 0))
    same = old_key[at] == new_key if len(old_key) else np.zeros(len(new_key), dtype=bool)
    since = np.full(len(new_key), ordinal, dtype=np.int32)
    since[same] = old_since[at[same]]
    still = np.zeros(len(old_key), dtype=bool)
    still[at[same]] = True
    was_looked_at = np.zeros(int(max([0, *[k.max() >> 32 for k in (new_key, old_key) if len(k)]])) + 1, dtype=bool)
    was_looked_at[looked[looked < len(was_looked_at)]] = True
    ended = ~still & was_looked_at[old_key >> 32] if len(old_key) else ~still
    carried = ~still & ~ended
    if carried.any():
        new_key, since = np.concatenate([new_key, old_key[carried]]), np.concatenate([since, old_since[carried]])
        order = np.argsort(new_key, kind="stable")
        new_key, since = new_key[order], since[order]
    until = np.full(int(ended.sum()), ordinal, dtype=np.int32)
    return rows(new_key, since=since), rows(old_key[ended], since=old_since[ended], until=until)


def _merge_rows(
    kind: str, new: pa.Table, old: pa.Table, key: str, ordinal: int, keep: np.ndarray | None
) -> tuple[pa.Table, pa.Table]:
    """The same for tables with a number: a changed row ends and begins anew; `keep` are numbers whose row stays
    although nobody looked at them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    new, old = _by_number(new, key), _by_number(old, key)
    new_key, old_key, old_since = (t.column(c).to_numpy() for t, c in ((new, key), (old, key), (old, "since")))
    at = np.minimum(np.searchsorted(old_key, new_key), max(len(old_key) - 1, 0))
    same = old_key[at] == new_key if len(old_key) else np.zeros(len(new_key), dtype=bool)
    rows, places = np.flatnonzero(same), at[same]
    # On most days nothing came or went, and the columns can be compared as they lie.
    aligned = len(rows) == len(new_key) == len(old_key)
    left, right = (new, old) if aligned else (new.take(pa.array(rows)), old.take(pa.array(places)))
    equal = np.ones(len(rows), dtype=bool)
    for column in TABLES[kind]:
        if column != key:
            equal &= pc.equal(left.column(column), right.column(column)).to_numpy()
    since = np.full(len(new_key), ordinal, dtype=np.int32)
    since[rows[equal]] = old_since[places[equal]]
    still = np.zeros(len(old_key), dtype=bool)
    still[places[equal]] = True
    carried = np.zeros(len(old_key), dtype=bool)
    if keep is not None:
        carried = ~np.isin(old_key, new_key) & np.isin(old_key, keep)
    state = new.append_column("since", pa.array(since))
    if carried.any():
        state = pa.concat_tables([state, old.filter(pa.array(carried)).cast(state.schema)]).sort_by(key)
    ended = old.filter(pa.array(~still & ~carried))
    until = pa.array(np.full(ended.num_rows, ordinal, dtype=np.int32))
    return state, ended.append_column("until", until).cast(arrow_schema(kind, ("since", "until")))


def _by_number(table: pa.Table, key: str) -> pa.Table:
    numbers = table.column(key).to_numpy()
    return table if (numbers[1:] > numbers[:-1]).all() else table.sort_by(key)


def _merge_grants(new: pa.Table, old: pa.Table, ordinal: int, unseen: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """The same for grants, which have no number; those of spaces that could not be read (`unseen`) stay."""
    import duckdb
    import pyarrow as pa

    columns = list(TABLES["grants"])
    by = " AND ".join(f"o.{c} = n.{c}" for c in columns)
    row, old_row = ", ".join(f"n.{c}" for c in columns), ", ".join(f"o.{c}" for c in columns)
    with duckdb.connect() as session:
        session.register("n", new)
        session.register("o", old)
        session.register("unseen", pa.table({"space_no": pa.array(unseen, pa.int32())}))
        gone = f"FROM o ANTI JOIN n ON {by} WHERE o.space_no"
        state = session.sql(
            f"SELECT {row}, CAST(COALESCE(o.since, {ordinal}) AS INTEGER) AS since FROM n LEFT JOIN o ON {by} "
            f"UNION ALL SELECT {old_row}, o.since {gone} IN (SELECT space_no FROM unseen) "
            "ORDER BY space_no"
        ).to_arrow_table()
        ended = session.sql(
            f"SELECT {old_row}, o.since, CAST({ordinal} AS INTEGER) AS until {gone} "
            "NOT IN (SELECT space_no FROM unseen) ORDER BY ALL"
        ).to_arrow_table()
    return state, ended.cast(arrow_schema("grants", ("since", "until")))


def coverage_of(fresh: Numbered, previous: Snapshot | None, ordinal: int) -> pa.Table:
    """Return the coverage of the new state; a group that was not walked now keeps the time of its last walk.

    Its column `first_walk` has the number of the snapshot that saw the group's members for the first time, so that an
    earlier moment does not take a group that nobody had looked at for an empty one.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    now = fresh.tables["coverage"].sort_by("group_no")
    walked = pc.fill_null(pc.is_in(now.column("state"), pa.array([WALKED])), False)
    first = pc.if_else(walked, pa.scalar(ordinal, pa.int32()), pa.scalar(None, pa.int32()))
    if previous is not None:
        before = load(previous.paths("coverage"))
        place = pc.index_in(now.column("group_no"), before.column("group_no").combine_chunks())
        last = before.column("walked_at").take(place)
        if "first_walk" in before.column_names:
            number = before.column("first_walk").take(place)
        else:
            number = pc.if_else(pc.is_valid(place), pa.scalar(1, pa.int32()), pa.scalar(None, pa.int32()))
        first = pc.if_else(pc.and_(pc.is_valid(last), pc.is_valid(number)), number, first)
        if not pc.all(walked, min_count=0).as_py():
            times = pc.if_else(walked, now.column("walked_at"), last)
            now = now.set_column(2, "walked_at", times)
    return now.append_column("first_walk", first)
