"""From the last state and a new pull to the new state and what it ends: the history of a site grows by this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spokekit.audit.frames import TABLES, WALKED, Frames, arrow_schema, without_nulls
from spokekit.audit.history.files import in_order, known_ids, load
from spokekit.audit.history.numbering import Numbered, places_in

if TYPE_CHECKING:
    from spokekit.audit.history.snapshot import Snapshot

HISTORY = ("groups", "users", "memberships", "spaces", "grants")


def merge(
    fresh: Numbered, previous: Snapshot | None, frames: Frames, ordinal: int
) -> Iterator[tuple[str, pa.Table, pa.Table]]:
    """Yield each table's name, what is true now (with `since`) and what this snapshot ends (with `since`, `until`).

    One after another, so that the caller can write a table while the next one is made."""
    if previous is None:
        for kind in HISTORY:
            yield kind, _since(fresh.tables[kind], ordinal), _none(kind)
        return
    old_groups = load(previous.paths("groups"), "groups")
    listed, known = (groups.column("group_no").to_numpy() for groups in (fresh.tables["groups"], old_groups))
    # Whoever is gone with all its members was looked at as well.
    looked = np.concatenate([_walked_groups(fresh), known[~_within(known, listed)]])
    state, ended = _merge_pairs(
        fresh.tables["memberships"], load(previous.paths("memberships"), "memberships"), looked, ordinal
    )
    kept = {"users": state.column("user_no").to_numpy()}
    yield "memberships", state, ended
    failed_spaces = frames.completeness.get("failed_spaces") or []
    places = pc.index_in(pa.array(failed_spaces, pa.string()), known_ids(previous, "spaces"))
    unseen = places.drop_null().to_numpy(zero_copy_only=False).astype(np.int32)
    for kind in ("users", "groups", "spaces", "grants"):
        before = old_groups if kind == "groups" else load(previous.paths(kind), kind)
        if kind in ("spaces", "grants") and not frames.scope.get("spaces", True):
            state, ended = before, _none(kind)
        elif kind == "grants":
            state, ended = _merge_grants(fresh.tables[kind], before, ordinal, unseen)
        else:
            state, ended = _merge_rows(kind, fresh.tables[kind], before, f"{kind[:-1]}_no", ordinal, kept.get(kind))
        state, ended = without_nulls(kind, state), without_nulls(kind, ended)
        yield kind, state.cast(arrow_schema(kind, ("since",))), ended


def _since(table: pa.Table, ordinal: int) -> pa.Table:
    return table.append_column("since", pa.array(np.full(table.num_rows, ordinal, dtype=np.int32)))


def _none(kind: str) -> pa.Table:
    return _of_ended(kind).empty_table()


def _of_ended(kind: str) -> pa.Schema:
    return arrow_schema(kind, ("first_walk", "since", "until") if kind == "coverage" else ("since", "until"))


def _ended(kind: str, rows: pa.Table, ordinal: int) -> pa.Table:
    """Return rows of the last state as what this snapshot ends."""
    schema = _of_ended(kind)
    until = pa.array(np.full(rows.num_rows, ordinal, dtype=np.int32))
    return rows.append_column("until", until).select(schema.names).cast(schema)


def _walked_groups(fresh: Numbered) -> np.ndarray:
    coverage = fresh.tables["coverage"]
    numbers: np.ndarray = coverage.column("group_no").to_numpy()[coverage.column("state").to_numpy() == WALKED]
    # A group that only the coverage names has no number.
    return numbers[numbers >= 0]


def _within(numbers: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Tell of each of `numbers` whether it is among `those`; numbers are places, so a table of all is small."""
    among = np.zeros(int(max(numbers.max(initial=-1), those.max(initial=-1))) + 1, dtype=bool)
    among[those] = True
    found: np.ndarray = among[numbers]
    return found


def _merge_pairs(new: pa.Table, old: pa.Table, looked: np.ndarray, ordinal: int) -> tuple[pa.Table, pa.Table]:
    def keys(table: pa.Table) -> np.ndarray:
        high = table.column("group_no").to_numpy().astype(np.int64) << 32
        key: np.ndarray = high | table.column("user_no").to_numpy()
        return key

    def rows(key: np.ndarray, **more: np.ndarray) -> pa.Table:
        columns = {"group_no": (key >> 32).astype(np.int32), "user_no": (key & 0xFFFFFFFF).astype(np.int32), **more}
        return pa.table(columns, schema=arrow_schema("memberships", tuple(more)))

    new_key, old_key, old_since = keys(new), keys(old), old.column("since").to_numpy()
    at, same = places_in(old_key, new_key)
    since = np.full(len(new_key), ordinal, dtype=np.int32)
    since[same] = old_since[at[same]]
    still = np.zeros(len(old_key), dtype=bool)
    still[at[same]] = True
    ended = ~still & _within(old_key >> 32, looked)
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
    new, old = in_order(new, key), in_order(old, key)
    new_key, old_key, old_since = (t.column(c).to_numpy() for t, c in ((new, key), (old, key), (old, "since")))
    at, same = places_in(old_key, new_key)
    rows, places = np.flatnonzero(same), at[same]
    # On most days nothing came or went, and the columns can be compared as they lie.
    aligned = len(rows) == len(new_key) == len(old_key)
    left, right = (new, old) if aligned else (new.take(pa.array(rows)), old.take(pa.array(places)))
    equal = np.ones(len(rows), dtype=bool)
    for column in TABLES[kind]:
        if column != key:
            # What an older file does not say has not changed.
            equal &= pc.fill_null(pc.equal(left.column(column), right.column(column)), True).to_numpy()
    since = np.full(len(new_key), ordinal, dtype=np.int32)
    since[rows[equal]] = old_since[places[equal]]
    still = np.zeros(len(old_key), dtype=bool)
    still[places[equal]] = True
    carried = np.zeros(len(old_key), dtype=bool)
    if keep is not None:
        carried = ~_within(old_key, new_key) & _within(old_key, keep)
    state = new.append_column("since", pa.array(since))
    if carried.any():
        state = pa.concat_tables([state, old.filter(pa.array(carried)).cast(state.schema)]).sort_by(key)
    return state, _ended(kind, old.filter(pa.array(~still & ~carried)), ordinal)


def _merge_grants(new: pa.Table, old: pa.Table, ordinal: int, unseen: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """The same for grants, which have no number; those of spaces that could not be read (`unseen`) stay."""
    new_key, old_key = _row_keys(new, old, TABLES["grants"])
    place = pc.index_in(new_key, old_key)
    since = pc.coalesce(old.column("since").take(place), pa.scalar(ordinal, pa.int32()))
    state = new.append_column("since", since)
    gone = ~pc.is_in(old_key, new_key).to_numpy(zero_copy_only=False)
    stays = np.isin(old.column("space_no").to_numpy(), unseen)
    carried = old.filter(pa.array(gone & stays))
    if carried.num_rows:
        state = pa.concat_tables([state, carried.cast(state.schema)])
    ended = _ended("grants", old.filter(pa.array(gone & ~stays)), ordinal)
    return in_order(state, "space_no"), ended.sort_by([(column, "ascending") for column in ended.column_names])


def _row_keys(one: pa.Table, other: pa.Table, columns: Iterable[str]) -> tuple[pa.Array, pa.Array]:
    """Return a number for each row of two tables: rows of the same values, and only they, have the same number."""
    rows = one.num_rows + other.num_rows
    key, bound = np.zeros(rows, dtype=np.int64), 1
    for column in columns:
        both = pa.chunked_array(
            [*one.column(column).chunks, *other.column(column).chunks], one.schema.field(column).type
        )
        encoded = both.dictionary_encode().chunks
        count = len(encoded[0].dictionary) if encoded else 1
        if bound * count >= 2**62:
            # Numbers are given anew, or they would leave the 64 bits; there are never more than there are rows.
            key, bound = np.unique(key, return_inverse=True)[1].astype(np.int64), rows
        key *= count
        key += np.concatenate([np.empty(0, np.int32), *(chunk.indices.to_numpy() for chunk in encoded)])
        bound *= count
    return pa.array(key[: one.num_rows]), pa.array(key[one.num_rows :])


def coverage_of(fresh: Numbered, previous: Snapshot | None, ordinal: int) -> tuple[pa.Table, pa.Table]:
    """Return the coverage of the new state, and the rows of the old one that this ends, as for the other tables; only
    times of a walk change without ending a row. A group that was not walked now keeps the time of its last walk, also
    where its size was confirmed: that is no reading.

    Its column `first_walk` has the number of the snapshot that saw the group's members for the first time, so that an
    earlier moment does not take a group that nobody had looked at for an empty one.
    """
    now = fresh.tables["coverage"].sort_by("group_no")
    walked = pc.fill_null(pc.is_in(now.column("state"), pa.array([WALKED])), False)
    first = pc.if_else(walked, pa.scalar(ordinal, pa.int32()), pa.scalar(None, pa.int32()))
    since: pa.Array = pa.array(np.full(now.num_rows, ordinal, dtype=np.int32))
    if previous is None:
        return _covered(now, first, since), _none("coverage")
    before = with_first_walk(load(previous.paths("coverage")))
    place = pc.index_in(now.column("group_no"), before.column("group_no").combine_chunks())
    last, number = before.column("walked_at").take(place), before.column("first_walk").take(place)
    first = pc.if_else(pc.and_(pc.is_valid(last), pc.is_valid(number)), number, first)
    if not pc.all(walked, min_count=0).as_py():
        now = now.set_column(2, "walked_at", pc.if_else(walked, now.column("walked_at"), last))
        confirmed = pc.coalesce(now.column("confirmed_at"), before.column("confirmed_at").take(place))
        nothing = pa.scalar(None, confirmed.type)
        place_of = now.schema.get_field_index("confirmed_at")
        now = now.set_column(place_of, "confirmed_at", pc.if_else(walked, nothing, confirmed))
    same = pc.and_(
        pc.equal(now.column("state"), before.column("state").take(place)),
        pc.equal(now.column("disturbed"), before.column("disturbed").take(place)),
    )
    same = pc.fill_null(same, False)
    since = pc.if_else(same, before.column("since").take(place), since)
    goes_on = np.zeros(before.num_rows, dtype=bool)
    goes_on[pc.filter(place, same).to_numpy()] = True
    return _covered(now, first, since), _ended("coverage", before.filter(pa.array(~goes_on)), ordinal)


def _covered(now: pa.Table, first: pa.Array, since: pa.Array) -> pa.Table:
    return now.append_column("first_walk", first).append_column("since", since)


def with_first_walk(coverage: pa.Table) -> pa.Table:
    """Return coverage with the columns that older snapshots lack: there, what was ever walked counts as walked from the
    beginning, every state as old as the history, and no size as confirmed."""
    rows = coverage.num_rows
    ones = pa.array(np.ones(rows, dtype=np.int32))
    walked = pc.if_else(pc.is_valid(coverage.column("walked_at")), ones, pa.scalar(None, pa.int32()))
    never = pa.nulls(rows, arrow_schema("coverage").field("confirmed_at").type)
    for name, values in {"first_walk": walked, "since": ones, "confirmed_at": never}.items():
        if name not in coverage.column_names:
            coverage = coverage.append_column(name, values)
    return coverage
