"""Numbers for ids: they hold for ever, since every membership that was ever written is made of them."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from spokekit.audit import Audit, Frames, Snapshots
from spokekit.audit.frames import IDS, empty_frames
from spokekit.audit.history.merge import _row_keys
from spokekit.audit.history.numbering import number
from spokekit.errors import StoreError
from tests.audit.worlds import DAY_ONE, SITE, frames_of


def test_an_id_keeps_its_number_and_no_number_is_given_twice(tmp_path: Path) -> None:
    """Everybody comes, goes and comes back, in another order each day; some are named by a grant or a member only."""
    store, chance = Snapshots(SITE, tmp_path), random.Random(5)
    seen: dict[str, dict[str, int]] = {kind: {} for kind in IDS}
    for day in range(12):
        groups, users = ([f"{x}{n}" for n in chance.sample(range(40), chance.randint(1, 25))] for x in "gu")
        spaces = [f"s{n}" for n in chance.sample(range(9), 4)]
        pairs = {(chance.choice(groups), chance.choice([*users, f"u{50 + day}"])) for _ in range(60)}
        named = [("user", chance.choice([*users, "u70"])) for _ in range(5)] + [("group", "g90"), ("app", "u71")]
        given = {
            "groups": pd.DataFrame({"group_id": groups, "name": "same"}),
            "users": pd.DataFrame({"account_id": users, "display_name": "same"}),
            "memberships": pd.DataFrame(sorted(pairs), columns=["group_id", "account_id"]),
            "spaces": pd.DataFrame({"space_id": spaces}),
            "grants": pd.DataFrame(
                [(chance.choice([*spaces, "s20"]), *one) for one in named],
                columns=["space_id", "principal_type", "principal_id"],
            ),
        }
        newest = store.write(Frames.of(given, site=SITE, taken_at=DAY_ONE + timedelta(days=day)))
        audit = Audit.of_snapshot(newest)
        assert set(audit.frame("memberships").astype(str).itertuples(index=False, name=None)) == pairs
        unlisted = audit.session.rows(
            "SELECT DISTINCT group_no, user_no FROM grants WHERE principal_id IN ('g90', 'u71')"
        )
        assert unlisted == [(-1, -1)]
        for kind, (place, key) in IDS.items():
            rows = dict(audit.session.rows(f"SELECT {key}, {place} FROM {kind}_ids"))
            assert seen[kind].items() <= rows.items(), "an id has another number than it had"
            assert sorted(rows.values()) == list(range(len(rows))), "a number is missing or given twice"
            seen[kind] = rows
    assert set(seen["users"]) >= {"u70", *(f"u{50 + day}" for day in range(12))} and "u71" not in seen["users"]
    assert "g90" not in seen["groups"]


def test_ids_that_lost_their_place_are_refused() -> None:
    frames = frames_of()
    users = number(frames).new_ids["users"].column("account_id").combine_chunks()
    assert not number(frames, {"users": users}).new_ids["users"].num_rows
    for damaged in (pa.concat_arrays([users[:1], users]), pa.concat_arrays([users, users[:1]])):
        with pytest.raises(StoreError, match="Two numbers stand for the same id among the users"):
            number(frames, {"users": damaged})
    nothing = number(empty_frames())
    assert all(not table.num_rows for table in (*nothing.tables.values(), *nothing.new_ids.values()))


def test_a_group_that_only_the_coverage_names_has_no_number_and_ends_nothing(tmp_path: Path) -> None:
    store, whole = Snapshots(SITE, tmp_path), frames_of()
    store.write(whole)
    coverage = pd.DataFrame(
        {"group_id": ["gone-before"], "state": ["walked"], "walked_at": [whole.taken_at], "disturbed": [False]}
    )
    given = {**whole.as_dict(), "memberships": whole.memberships[:0], "coverage": coverage}
    audit = Audit.of_snapshot(store.write(Frames.of(given, site=SITE, taken_at=DAY_ONE + timedelta(days=1))))
    assert len(audit.frame("memberships")) == len(whole.memberships)
    assert audit.session.rows("SELECT COUNT(*) FROM groups_ids WHERE group_id = 'gone-before'") == [(0,)]


def test_an_id_that_is_missing_is_nobody_and_not_somebody_else() -> None:
    people = pd.Categorical.from_codes([0, -1, 1], categories=["a", "b"])
    audit = Audit.of_frames({"memberships": pd.DataFrame({"group_id": ["g", "g", "g"], "account_id": people})})
    assert sorted(audit.frame("memberships")["account_id"].astype(str)) == ["", "a", "b"]


def test_rows_of_many_columns_are_compared_beyond_64_bits() -> None:
    """Nine columns of 1,024 values are 2^90 possible rows; those that differ in one value only must stay apart."""
    chance = np.random.default_rng(1)
    rows = np.stack([chance.permutation(1024) for _ in range(9)], axis=1)
    changed = rows.copy()
    changed[:, 0] = np.roll(changed[:, 0], 1)
    names = [f"c{n}" for n in range(9)]
    one, other = (pa.table(dict(zip(names, (c.astype(str) for c in t.T), strict=True))) for t in (rows, changed))
    keys, others = _row_keys(one, pa.concat_tables([other, one]), names)
    assert len(set(keys.to_pylist()) | set(others.to_pylist())) == 2048
    assert others[1024:].equals(keys)
