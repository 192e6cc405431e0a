"""The practice world: what is in it, that a seed decides it, and that sizes are what they say."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from spokekit.errors import InputError, NotFound
from spokekit.practice import SIZES, World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def people(world: World, group: str) -> list:
    return [world.person(int(row)) for row in world.members(world.find_group(group).row)]


def test_class_world_has_every_documented_situation(world: World) -> None:
    groups = world.frames(tables=["groups"])["groups"].set_index("name")
    assert 24 <= len(groups) <= 30 and 110 <= world.user_count <= 130
    assert groups.access["confluence-users"] == groups.access["okta-all-staff"] == "user"
    assert groups.access["confluence-admins"] == "admin"
    assert groups.access["site-admins"] == "site-admin"
    assert groups.access["administrators"] == "admin, site-admin"
    assert groups.access["jira-software-users"] == groups.access["confluence-guests"] == ""
    assert groups.members["project-phoenix"] == 0 and (groups.members == 0).sum() == 1
    assert set(groups.index[groups.managed_by == "EXTERNAL"]) == {
        "okta-all-staff",
        "okta-engineering",
        "okta-contractors",
    }
    assert groups.managed_by["Team Falcon"] == "TEAM_MEMBERS" and groups.managed_by["Coffee Club"] == "OPEN"
    assert (groups.usage_type == "TEAM_COLLABORATION").sum() == 2
    assert {
        "finance-reports",
        "finance_reports",
        "<b>Research & Development</b>",
        "=Sales(Berlin)",
        "Zürich Büro",
    } <= set(groups.index)
    assert max(map(len, groups.index)) > 150
    assert world.former_names[world.find_group("people-operations").group_id] == "human-resources"


def test_class_world_has_the_people_an_administrator_must_recognise(world: World) -> None:
    assert {p.account_status for p in people(world, "procurement")} == {"active", "inactive", "closed"}
    assert [p.account_status for p in people(world, "confluence-users")].count("inactive") == 2
    assert {p.is_guest for p in people(world, "agency-partners")} == {True, False}
    assert {p.account_type for p in people(world, "atlassian-addons")} == {"app"}
    names = [p.display_name for p in people(world, "support-tier-1")]
    assert any("<script>" in name for name in names) and any(name.startswith("=") for name in names)
    twins = [
        p
        for p in people(world, "marketing")
        if [q.display_name for q in people(world, "marketing")].count(p.display_name) > 1
    ]
    assert len({p.account_id for p in twins}) == 2
    assert set(world.member_ids("confluence-users")) & set(world.member_ids("okta-all-staff"))
    outsider = world.account("outsider")
    assert outsider in world.member_ids("jira-software-users") and not world.licensed[world.user_row(outsider)]
    hidden = [world.person(row).email == "" for row in range(world.user_count)]
    assert 0.2 < sum(hidden) / len(hidden) < 0.5
    grants = world.frames(tables=["grants"])["grants"]
    spaces = world.frames(tables=["spaces"])["spaces"].set_index("key")
    handbook = grants[grants.space_id == spaces.space_id["HANDBOOK"]]
    assert "anonymous-users" in set(handbook.principal_id)
    owner = grants[grants.space_id == spaces.space_id["~leaver"]].principal_id.unique()
    assert world.person(world.user_row(owner[0])).account_status == "inactive"


def test_a_seed_decides_everything_and_another_seed_something_else() -> None:
    for size in ("class", "S"):
        one, same, other = World(size, 7), World(size, 7), World(size, 8)
        for name, frame in one.frames().items():
            assert frame.equals(same.frames()[name]), (size, name)
        assert not one.frames()["users"].equals(other.frames()["users"])
        assert one.cloud_id != other.cloud_id


def test_sites_share_people_and_have_groups_of_their_own() -> None:
    first, second = World("class", 1, 0), World("class", 1, 1)
    assert first.account("admin") == second.account("admin")
    assert first.cloud_id != second.cloud_id and first.site_host != second.site_host
    assert first.find_group("marketing").group_id != second.find_group("marketing").group_id
    assert second.group_row(first.find_group("marketing").group_id) is None


@pytest.mark.parametrize("size", ["S", "M", "300x40"])
def test_generated_sizes_are_exact_and_no_group_holds_anybody_twice(size: str) -> None:
    world = World(size)
    users, groups, memberships, spaces = SIZES.get(size, (1000, 300, 12_000, 50))
    assert (world.user_count, world.group_count, len(world.spaces)) == (users, groups, spaces)
    members = [world.members(row) for row in range(groups)]
    assert sum(map(len, members)) == memberships
    for rows in members:
        assert len(np.unique(rows)) == len(rows) and (len(rows) == 0 or (rows.min() >= 0 and rows.max() < users))
    if size == "300x40":
        assert {len(rows) for rows in members} == {40}
    else:
        assert max(map(len, members)) > 30 * np.median([len(rows) for rows in members])
        assert any(len(rows) == 0 for rows in members)
    assert {world.group(row).access for row in range(groups)} >= {0, 1, 2, 4}
    assert world.licensed[world.user_row(world.account("admin"))]


def test_a_large_world_stays_small() -> None:
    # In a process of its own, since memory is measured for the whole of it.
    code = (
        "import json\n"
        "from spokekit.practice import PracticeSite\n"
        "with PracticeSite('L') as site:\n"
        "    site.world.group_order()\n"
        "    n = sum(len(site.world.members(r)) for r in range(site.world.group_count))\n"
        # Not getrusage: a child's peak there begins with the peak of its parent.
        "peak = next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(json.dumps([peak / 1024, n]))"
    )
    megabytes, memberships = json.loads(
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    )
    assert memberships == 1_500_000
    assert megabytes < 500


def test_ids_are_found_again_and_made_up_ones_are_not() -> None:
    world = World("M")
    for row in (0, 1, 19_999):
        assert world.user_row(world.account_id(row)) == row
        assert re.fullmatch(
            r"712020:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", world.account_id(row)
        )
    known = world.group_id(3)
    for wrong in (
        known[:-1] + ("0" if known[-1] != "0" else "1"),
        "f" + known[1:] if known[0] != "f" else "e" + known[1:],
        "",
        "x",
    ):
        assert world.group_row(wrong) is None
    assert world.user_row(world.group_id(3)) is None


def test_changes_show_everywhere_and_leave_other_worlds_alone() -> None:
    world = World()
    someone = world.person(40).account_id
    assert world.add_member("project-phoenix", someone) and not world.add_member("project-phoenix", someone)
    assert world.member_ids("project-phoenix") == [someone]
    assert world.find_group("project-phoenix").row in world.groups_of(40)
    assert world.remove_member("project-phoenix", someone) and not world.remove_member("project-phoenix", someone)
    assert world.find_group("project-phoenix").row not in world.groups_of(40)

    before = world.find_group("marketing").group_id
    assert world.rename_group("marketing", "zz-brand") == before
    assert world.find_group("zz-brand").group_id == before
    assert [world.group_name(row) for row in world.group_order()].index("zz-brand") > 20

    seat = world.person(2)
    assert world.licensed[2]
    world.set_status(seat.account_id, "inactive")
    assert not world.licensed[2] and world.person(2).account_status == "inactive"

    made = world.create_group("new group", access=1)
    world.add_member(made, someone)
    world.delete_group("legal-counsel")
    names = set(world.frames(tables=["groups"])["groups"].name)
    assert "new group" in names and "legal-counsel" not in names
    with pytest.raises(NotFound):
        world.find_group("legal-counsel")

    untouched = World()
    assert untouched.frames(tables=["groups"])["groups"].name.tolist().count("marketing") == 1
    assert untouched.person(2).account_status == "active" and untouched.member_ids("project-phoenix") == []


def test_memberships_read_from_both_ends_agree() -> None:
    world = World("S")
    pairs = {(group, int(user)) for group in range(world.group_count) for user in world.members(group)}
    assert pairs == {(group, user) for user in range(world.user_count) for group in world.groups_of(user)}


@pytest.mark.parametrize("size", ["XXL", "0x5", "5x", "class2"])
def test_an_unknown_size_is_refused_with_the_known_ones(size: str) -> None:
    with pytest.raises(InputError, match="class, S, M, L, XL, MAX"):
        World(size)
