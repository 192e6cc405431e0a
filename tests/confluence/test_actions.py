"""Every action on the practice site: its columns, its truth, and what it says when a scope is missing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.confluence.search import make_cql, quoted
from spokekit.confluence.spoke import Spoke
from spokekit.errors import IncompleteResult, InputError, NotThere, ScopeMissing
from spokekit.practice import PracticeSite

from .helpers import EVERY_SCOPE, Anything, away_from_the_hour, rows, spoke_on

if TYPE_CHECKING:
    from spokekit._workspace import Workspace

MS = "datetime64[ms, UTC]"
NOBODY = "712020:00000000-0000-0000-0000-000000000000"
NOWHERE = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def shared() -> Iterator[PracticeSite]:
    with PracticeSite(size="class", seed=2, strict=True, report_scope="app") as running:
        yield running
        assert running.defects == []


@pytest.fixture
def spoke(shared: PracticeSite) -> Iterator[Spoke]:
    shared.requests.clear()
    with spoke_on(shared, guard=Anything()) as opened:
        yield opened


COLUMNS: dict[str, tuple[Callable[[Spoke], Any], dict[str, str]]] = {
    "look_up_accessible_resources": (
        lambda s: s.look_up_accessible_resources(),
        dict.fromkeys(["cloud_id", "name", "url", "product", "scopes"], "str"),
    ),
    "look_up_groups": (
        lambda s: s.look_up_groups(),
        dict.fromkeys(["group_id", "name", "access"], "str") | dict.fromkeys(["managed_by", "usage_type"], "category"),
    ),
    "look_up_group_memberships_for_user": (
        lambda s: s.look_up_group_memberships_for_user(s.look_up_members_by_group_id(_a_group(s))["account_id"][0]),
        dict.fromkeys(["account_id", "group_id", "name"], "str")
        | dict.fromkeys(["managed_by", "usage_type"], "category"),
    ),
    "look_up_members_by_group_id": (
        lambda s: s.look_up_members_by_group_id(_a_group(s)),
        dict.fromkeys(["group_id", "account_id", "display_name", "public_name", "email", "account_type"], "category")
        | dict.fromkeys(["is_guest", "licensed"], "bool"),
    ),
    "look_up_users": (
        lambda s: s.look_up_users([NOBODY]),
        dict.fromkeys(["account_id", "display_name", "public_name", "email", "account_type", "account_status"], "str")
        | {"is_guest": "bool", "time_zone": "str"},
    ),
    "look_up_spaces": (
        lambda s: s.look_up_spaces().all(),
        dict.fromkeys(["space_id", "key", "name", "type", "status", "author_id", "homepage_id"], "str")
        | {"created_at": MS},
    ),
    "look_up_pages": (
        lambda s: s.look_up_pages(query={"body-format": "storage"}).all(),
        dict.fromkeys(
            ["page_id", "title", "status", "space_id", "parent_id", "parent_type", "author_id", "owner_id"], "str"
        )
        | {"created_at": MS, "version": "Int64", "version_at": MS, "body": "str"},
    ),
    "look_up_space_permissions": (
        lambda s: s.look_up_space_permissions(),
        dict.fromkeys(["space_id", "principal_type", "principal_id", "operation", "target", "role"], "category"),
    ),
    "search_content": (
        lambda s: s.search_content("the", most=3),
        dict.fromkeys(
            ["entity_type", "content_id", "content_type", "status", "title", "container", "url", "excerpt"], "str"
        )
        | {"last_modified": MS},
    ),
    "report_personal_data": (
        lambda s: s.report_personal_data({NOBODY: datetime.now(UTC)}),
        {"account_id": "str", "status": "category"},
    ),
}


def _a_group(spoke: Spoke) -> str:
    frame = spoke.look_up_groups("user", with_access=False)
    return str(frame["group_id"].iloc[0])


@pytest.mark.parametrize("action", COLUMNS)
def test_columns_are_as_documented_and_every_frame_has_its_report(spoke: Spoke, action: str) -> None:
    call, columns = COLUMNS[action]
    frame = call(spoke)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == columns
    assert list(frame.columns) == list(columns)
    report = frame.attrs["completeness"]
    assert report["complete"] is True or "most" in action or action == "search_content"
    assert report["rows"] == len(frame)
    assert frame.attrs["site"] == spoke.connection.site_url
    assert datetime.fromisoformat(frame.attrs["pulled_at"]).tzinfo is not None


@pytest.mark.parametrize("action", [name for name in COLUMNS if name != "look_up_accessible_resources"])
def test_a_missing_scope_is_named_with_its_action(shared: PracticeSite, action: str) -> None:
    scopes = ("read:me", "offline_access")
    if action == "look_up_group_memberships_for_user":
        scopes = (*scopes, "read:confluence-groups")
    shared.switches.report_scope = "token"
    try:
        with spoke_on(shared, scopes=scopes) as spoke, pytest.raises(ScopeMissing) as caught:
            if action == "look_up_members_by_group_id":
                spoke.look_up_members_by_group_id(NOWHERE)
            COLUMNS[action][0](spoke)
    finally:
        shared.switches.report_scope = "app"
    assert caught.value.action == action
    assert caught.value.scopes
    for scope in (*caught.value.scopes, action, "Get OAuth Token"):
        assert scope in str(caught.value)


def test_writes_name_their_scope_too_and_reach_the_world(shared: PracticeSite, spoke: Spoke) -> None:
    world = shared.world
    group = world.frames()["groups"].query("managed_by == 'ADMINS' and access == '' and members > 0").iloc[0]
    outsider = sorted(
        set(world.frames()["users"]["account_id"])
        - set(spoke.look_up_members_by_group_id(group["group_id"])["account_id"])
    )[0]
    assert spoke.add_member_to_group_by_group_id(group["group_id"], outsider) == {
        "group_id": group["group_id"],
        "account_id": outsider,
        "action": "add",
        "status": 201,
        "message": f"{outsider} was added to the group.",
    }
    assert outsider in set(spoke.look_up_members_by_group_id(group["group_id"])["account_id"])
    assert spoke.remove_member_from_group_by_group_id(group["group_id"], outsider)["status"] == 204
    assert len(spoke.look_up_members_by_group_id(group["group_id"])) == group["members"]
    with spoke_on(shared, scopes=("read:confluence-groups",), guard=Anything()) as reader:
        for change in (reader.add_member_to_group_by_group_id, reader.remove_member_from_group_by_group_id):
            for words in ("not_installed", "mismatch"):
                shared.switches.write_without_scope = words
                with pytest.raises(ScopeMissing, match="write:confluence-groups"):
                    change(group["group_id"], outsider)


def test_what_does_not_exist_is_told(spoke: Spoke, shared: PracticeSite) -> None:
    with pytest.raises(NotThere, match="no user with the account id"):
        spoke.look_up_group_memberships_for_user(NOBODY)
    with pytest.raises(NotThere, match="no group with the id"):
        spoke.look_up_members_by_group_id(NOWHERE)
    groups = spoke.look_up_groups(with_access=False)["group_id"].tolist()
    with pytest.raises(IncompleteResult, match="1 groups missing") as caught:
        spoke.look_up_members_by_group_id([*groups, NOWHERE])
    report = caught.value.report
    assert (report.failed, report.walked, report.listed) == ((NOWHERE,), 26, 27)
    assert "There is no group with the id" in report.reasons[NOWHERE]
    assert len(caught.value.frame) == len(shared.world.frames()["memberships"])
    frame = spoke.look_up_space_permissions([*spoke.look_up_spaces().all()["space_id"], "999"], partial="keep")
    assert frame.attrs["completeness"]["failed"] == ["999"]


def test_access_is_told_for_each_group_and_can_be_asked_for(spoke: Spoke, shared: PracticeSite) -> None:
    truth = shared.world.frames()["groups"].set_index("group_id")["access"]
    for access in ("user", "admin", "site-admin"):
        wanted = {group for group, words in truth.items() if access in words.split(", ")}
        frame = spoke.look_up_groups(access)
        assert set(frame["group_id"]) == wanted
        assert frame.set_index("group_id")["access"].to_dict() == truth[list(frame["group_id"])].to_dict()
        alone = spoke.look_up_groups(access, with_access=False)
        assert set(alone["group_id"]) == wanted


def test_users_come_with_whichever_scope_there_is(shared: PracticeSite) -> None:
    users = shared.world.frames()["users"]
    ids = users["account_id"].tolist()
    names = users["display_name"].tolist()
    ways = {
        ("read:user:confluence",): "users-bulk",
        ("read:confluence-user",): "bulk",
        ("read:content-details:confluence",): "bulk",
    }
    for scopes, operation in ways.items():
        shared.requests.clear()
        with spoke_on(shared, scopes=scopes) as spoke:
            frame = spoke.look_up_users(ids + ids[:5])
        assert frame["account_id"].tolist() == ids
        assert frame["display_name"].tolist() == names
        assert frame["is_guest"].tolist() == users["is_guest"].tolist()
        assert {one.name for one in shared.requests} == {operation}
        assert len(shared.requests) == (1 if operation == "users-bulk" else 2)


def test_permissions_and_roles_are_read_in_the_model_that_the_site_has(shared: PracticeSite, spoke: Spoke) -> None:
    truth = shared.world.frames()
    who = ("space_id", "principal_type", "principal_id")
    grants = rows(truth["grants"], *who, "operation", "target")
    roles = rows(truth["role_assignments"], *who, "role")
    try:
        for mode, has_grants, has_roles in (
            ("PRE_ROLES", True, False), ("ROLES_TRANSITION", True, True), ("ROLES", False, True)
        ):  # fmt: skip
            shared.switches.space_role_mode = mode
            frame = spoke.look_up_space_permissions()
            assert frame.attrs["role_mode"] == mode
            got = rows(frame[frame["role"] == ""], *who, "operation", "target")
            assert got == (grants if has_grants else set())
            got = rows(frame[frame["role"] != ""], *who, "role")
            assert got == (roles if has_roles else set())
            without = tuple(scope for scope in EVERY_SCOPE if "configuration" not in scope)
            with spoke_on(shared, scopes=without) as blind:
                frame = blind.look_up_space_permissions()
            assert frame.attrs["role_mode"] == "unknown"
            assert "both were read" in frame.attrs["completeness"]["notes"][0]
            assert rows(frame[frame["role"] != ""], *who, "role") == (roles if has_roles else set())
    finally:
        shared.switches.space_role_mode = "PRE_ROLES"


def test_streams_give_a_frame_a_page_and_are_narrowed_by_their_query(shared: PracticeSite, spoke: Spoke) -> None:
    truth = shared.world.frames()["spaces"]
    frames = spoke.look_up_spaces(page_size=5)
    parts = list(frames)
    assert [len(part) for part in parts] == [5] * (len(truth) // 5) + [len(truth) % 5]
    assert [part.attrs["completeness"]["complete"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert frames.report.rows == len(truth)
    archived = spoke.look_up_spaces(query="status=archived").all()
    assert set(archived["key"]) == set(truth["key"][truth["status"] == "archived"]) != set()
    two = truth["key"].tolist()[:2]
    assert spoke.look_up_spaces(query={"keys": two}).all()["key"].tolist() == two
    old = spoke.look_up_pages(query="status=archived", page_size=250).all()
    assert set(old["status"]) == {"archived"}
    assert spoke.look_up_pages(query={"title": "no such title"}).all().empty


def test_a_stream_that_breaks_hands_over_what_came(shared: PracticeSite, spoke: Spoke) -> None:
    shared.faults.add("truncated-json:2x1@spaces")
    try:
        with pytest.raises(IncompleteResult) as caught:
            spoke.look_up_spaces(page_size=5).all()
    finally:
        shared.faults.clear()
    assert len(caught.value.frame) == 5
    assert "damaged" in str(caught.value)


@pytest.mark.parametrize(
    "text", ['say "hi"', 'x" or type = "blogpost', "back\\slash", 'both \\" of them', "ünïcode 猫", "a' or 1=1 --"]
)
def test_a_search_text_is_one_literal_whatever_it_holds(spoke: Spoke, text: str) -> None:
    frame = spoke.search_content(text, kind="page", space=["HANDBOOK", text])
    assert frame.empty
    assert frame.attrs["cql"] == f'text ~ {quoted(text)} and type in ("page") and space in ("HANDBOOK", {quoted(text)})'
    literal = quoted(text)[1:-1]
    assert literal.replace("\\\\", "").replace('\\"', "").count('"') == 0
    assert literal.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\") == text


def test_conditions_of_a_search_hold_together(spoke: Spoke) -> None:
    since = datetime(2026, 1, 31, tzinfo=UTC)
    assert (
        make_cql(title="Plan", label=("a", "b"), creator="712020:x", modified_since=since, cql="type = page or 1")
        == 'title ~ "Plan" and label in ("a", "b") and creator in ("712020:x") and lastmodified >= "2026-01-31" '
        "and (type = page or 1)"
    )
    with pytest.raises(InputError, match="control character"):
        make_cql(text="a\x00b")
    with pytest.raises(InputError, match="No value"):
        make_cql(space=[])
    everything = spoke.search_content(kind="page", page_size=20)
    assert everything["content_id"].is_unique
    assert everything.attrs["completeness"]["complete"]
    some = spoke.search_content(cql="type = page", most=7, page_size=5)
    assert some["content_id"].tolist() == everything["content_id"].tolist()[:7]
    assert not some.attrs["completeness"]["complete"]
    assert "7 were asked for" in some.attrs["completeness"]["notes"][-1]


def test_personal_data_is_reported_ninety_at_a_time_and_closed_accounts_come_back(
    shared: PracticeSite, spoke: Spoke
) -> None:
    users = shared.world.frames()["users"]
    now = datetime.now(UTC)
    shared.requests.clear()
    frame = spoke.report_personal_data(users.assign(updated_at=now).loc[:, ["account_id", "updated_at"]])
    assert [one.status for one in shared.requests] == [200, 204] or len(shared.requests) == 2
    closed = set(users["account_id"][users["account_status"] == "closed"])
    assert set(frame["account_id"][frame["status"] == "closed"]) == closed != set()
    assert frame.attrs["cycle_days"] == 7
    old = dict.fromkeys(users["account_id"][:3], now - timedelta(days=5000))
    assert set(spoke.report_personal_data(old)["status"]) == {"updated"}
    assert spoke.report_personal_data({"unknown": now, users["account_id"][0]: now})["account_id"].tolist() == [
        users["account_id"][0]
    ]


def test_the_hour_is_counted_right_for_a_notebook_and_a_terminal_together(
    connected: Workspace, site: PracticeSite
) -> None:
    from spokekit.confluence.quota import Ledger

    away_from_the_hour()
    with connected.spoke() as spoke:
        terminal = subprocess.Popen(
            [sys.executable, "-c", "from spokekit.cli import main; main()", "groups", "list", "--format", "json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while terminal.poll() is None:
            spoke.look_up_members_by_group_id(spoke.look_up_groups()["group_id"])
            time.sleep(0.2)
        out, err = terminal.communicate()
    assert terminal.returncode == 0, err
    assert '"group_id"' in out
    spent = site.limits.spent(site.client_id)
    assert spent > 600
    assert Ledger(connected.store, site.client_id).left() == 65_000 - spent
    assert all(one.status == 200 for one in site.requests)
