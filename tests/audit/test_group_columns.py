"""What look_up_groups returns stands in one place: everything that shows or keeps it follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from spokekit.audit import Audit, Snapshots
from spokekit.audit import frames as of_audit
from spokekit.audit.history import tables as of_tables
from spokekit.audit.history.snapshots import MERGE_AT
from spokekit.confluence.shapes import GROUP_COLUMNS
from spokekit.confluence.spoke import Spoke
from spokekit.groups import registry
from spokekit.practice.world import World
from tests.audit.worlds import SITE, frames_of


@pytest.mark.parametrize("action", [Spoke.look_up_groups, Spoke.look_up_group_memberships_for_user])
def test_the_words_about_an_action_name_every_column(action: object) -> None:
    told = str(action.__doc__).partition("Returns")[2]
    missing = {column for column in GROUP_COLUMNS if f"``{column}``" not in told}
    assert missing <= ({"access"} if action is Spoke.look_up_group_memberships_for_user else set())


def test_every_frame_of_groups_has_these_columns() -> None:
    assert list(of_audit.COLUMNS["groups"]) == list(GROUP_COLUMNS)
    assert set(GROUP_COLUMNS) - {"group_id"} <= set(of_audit.TABLES["groups"])
    truth = World().frames(tables=["groups"])["groups"]
    assert list(truth.columns) == [*GROUP_COLUMNS, "members"]
    kept = {name: kind for name, kind in registry.KINDS.items() if name in GROUP_COLUMNS}
    assert kept == {name: kind for name, kind in GROUP_COLUMNS.items() if name in kept}


@pytest.fixture
def new_column(monkeypatch: pytest.MonkeyPatch) -> str:
    for columns in (of_audit.COLUMNS["groups"], of_audit.TABLES["groups"]):
        monkeypatch.setitem(columns, "purpose", "text")
    for module in (of_audit, of_tables):
        monkeypatch.setattr(module, "ADDED", ("purpose",))
    return "purpose"


def test_a_new_column_leaves_old_snapshots_readable(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store = Snapshots(SITE, tmp_path)
    before = frames_of()
    gone = before.groups["name"] == "marketing"
    store.write(before)
    store.write(frames_of(day=1, groups=before.groups[~gone].reset_index(drop=True)))
    column = request.getfixturevalue("new_column")

    old = Audit.of_site(SITE, folder=tmp_path)
    assert set(old.frame("groups")[column]) == {""}
    assert list(old.sql("SELECT DISTINCT purpose FROM group_history")[column]) == [""]

    again = store.write(frames_of(day=2, groups=before.groups.assign(purpose="pays")))
    history = Audit.of_snapshot(again).sql(
        "SELECT name, purpose, since, until FROM group_history WHERE name IN ('marketing', 'procurement') "
        "ORDER BY name, since"
    )
    # What nobody wrote down then has not changed by being written down now.
    rows = [tuple(row)[:3] for row in history.itertuples(index=False)]
    assert rows == [("marketing", "", 1), ("marketing", "pays", 3), ("procurement", "pays", 1)]
    assert set(Audit.of_snapshot(again, at=1).frame("groups")[column]) == {"", "pays"}

    # Old and new files become one when there are many.
    for day in range(3, 2 * MERGE_AT + 6):
        again = store.write(frames_of(day=day, groups=before.groups.iloc[day % 2 :].assign(purpose=str(day))))
    assert len(again.paths("groups-ended")) < MERGE_AT
    assert "" in set(Audit.of_snapshot(again).sql("SELECT purpose FROM group_history")[column])
