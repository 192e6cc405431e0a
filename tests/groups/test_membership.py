"""Plan, preview, apply, resume and undo against a practice site."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.errors import Conflict, GuardRefused, InputError, NotFound, PlanError, TransportError
from spokekit.groups._lease import Lease

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership, Result
    from spokekit.practice import PracticeSite


def gid(site: PracticeSite, name: str) -> str:
    return site.world.find_group(name).group_id


def people(site: PracticeSite, group: str) -> list[str]:
    return site.world.member_ids(group)


def outsiders(site: PracticeSite, group: str, count: int) -> list[str]:
    """Return active people with an ordinary account who are not in the group."""
    inside = set(people(site, group))
    users = site.world.frames(tables=["users"])["users"]
    fit = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active")]["account_id"]
    return [account for account in fit if account not in inside and account != site.account_id][:count]


def do(members: Membership, *args: Any, **options: Any) -> Result:
    preview = members.preview(members.plan(*args, **options))
    return members.apply(preview, confirm=preview.confirmation)


def test_add_remove_and_sync_do_what_the_plan_says(members: Membership, site: PracticeSite) -> None:
    marketing = gid(site, "marketing")
    before = people(site, "marketing")
    new = outsiders(site, "marketing", 2)

    added = do(members, [*new, before[0]], "add", group="marketing")
    assert added.counts() == {"done": 2, "already so": 1}
    assert added.finished
    assert not added.stopped
    assert set(people(site, "marketing")) == {*before, *new}

    removed = do(members, new, "remove", group=marketing)
    assert removed.counts() == {"done": 2}
    assert set(people(site, "marketing")) == set(before)

    wanted = [*before[2:], *new]
    synced = do(members, wanted, "sync", group=marketing)
    assert set(people(site, "marketing")) == set(wanted)
    assert list(synced.frame["action"]) == ["add"] * len(wanted) + ["remove"] * 2
    assert synced.frame["display_name"].ne("").all()
    assert site.writes == {marketing: 2 + 2 + 4}


def test_a_csv_with_names_and_addresses(members: Membership, site: PracticeSite, tmp_path: Path) -> None:
    users = site.world.frames(tables=["users"])["users"].set_index("account_id")
    staff = [
        account for account in people(site, "confluence-users") if users.loc[account, "account_status"] == "active"
    ]
    inside = set(people(site, "legal-counsel"))
    shown = next(a for a in staff if users.loc[a, "email"] and a not in inside)
    hidden = next(a for a in staff if not users.loc[a, "email"] and a not in inside)
    file = tmp_path / "joiners.csv"
    file.write_bytes(
        "\ufeffGroup;E-Mail\r\nlegal-counsel;{}\r\nLegal-Counsel;somebody@example.invalid\r\n"
        "'=Sales(Berlin);{}\r\nokta-engineering;{}\r\nTeam Falcon;{}\r\n".format(
            users.loc[shown, "email"].upper(), hidden, hidden, hidden
        ).encode()
    )
    plan = members.plan(file, "add")
    assert [(row.reason, row.status) for row in plan.rows] == [
        ("", "planned"),
        ("hidden_mail", "refused"),
        ("", "planned"),
        ("external", "refused"),
        ("not_registered", "refused"),
    ]
    assert plan.rows[0].account_id == shown
    assert plan.rows[0].display_name == users.loc[shown, "display_name"]
    preview = members.preview(plan)
    members.apply(preview, confirm=preview.confirmation)
    assert shown in people(site, "legal-counsel")
    assert hidden in people(site, "=Sales(Berlin)")


def test_states_that_only_the_site_knows(members: Membership, site: PracticeSite, registered: Workspace) -> None:
    world = site.world
    users = world.frames(tables=["users"])["users"]
    inactive = users[users["account_status"] == "inactive"]["account_id"].iloc[0]
    app = users[users["account_type"] == "app"]["account_id"].iloc[0]
    reasons = {
        row.account_id: row.reason
        for row in members.plan([inactive, app, "712020:nobody", site.account_id], "add", group="legal-counsel").rows
    }
    assert reasons == {
        inactive: "inactive",
        app: "app_account",
        "712020:nobody": "unknown_account",
        site.account_id: "",
    }

    leaver = next(a for a in people(site, "procurement") if world.find_person(a).account_status == "inactive")
    (row,) = members.plan([leaver], "remove", group="procurement").rows
    assert row.status == "planned", "who left the company is taken out like anybody"

    (row,) = members.plan([site.account_id], "remove", group="administrators").rows
    assert row.reason == "oneself"
    other = next(a for a in people(site, "administrators") if a != site.account_id)
    world.remove_member("site-admins", site.account_id)
    world.remove_member("administrators", site.account_id)
    (row,) = members.plan([other], "remove", group="administrators").rows
    assert row.reason == "last_site_admin"

    marketing = world.rename_group("marketing", "brand")
    (row,) = members.plan([other], "add", group=marketing).rows
    assert row.reason == "renamed"
    phoenix = gid(site, "project-phoenix")
    world.delete_group("project-phoenix")
    (row,) = members.plan([other], "add", group=phoenix).rows
    assert row.reason == "stale_registration"
    (row,) = members.plan([other], "add", group="00000000-1111-4222-8333-444444444444").rows
    assert row.reason == "other_site"
    assert not site.writes


def test_preview_counts_seats_and_points(members: Membership, site: PracticeSite) -> None:
    users = site.world.frames(tables=["users"])["users"]
    fit = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active") & ~users["licensed"]]
    unlicensed = list(fit["account_id"])[:2]
    preview = members.preview(members.plan(unlicensed, "add", group="confluence-users"))
    assert (preview.seats.taken, preview.seats.freed, preview.seats.unclear) == (2, 0, 0)
    assert "takes 2 seats" in preview.words
    only_there = [
        a for a in people(site, "confluence-users") if len(_access_groups(site, a)) == 1 and a != site.account_id
    ]
    active = [a for a in only_there if site.world.find_person(a).account_type != "app"][:3]
    preview = members.preview(members.plan(active, "remove", group="confluence-users"))
    assert preview.seats.freed == 3
    assert "3 people may lose it" in preview.words
    spent = sum(record.points for record in site.requests)
    members.apply(preview, confirm=preview.confirmation)
    assert sum(record.points for record in site.requests) - spent <= preview.cost.points * 1.5


def _access_groups(site: PracticeSite, account: str) -> list[str]:
    world = site.world
    row = world.user_row(account)
    assert row is not None
    return [world.group(g).name for g in world.groups_of(row) if world.group(g).access & 3]


def test_only_a_previewed_plan_on_unchanged_ground_is_applied(
    members: Membership, site: PracticeSite, registered: Workspace
) -> None:
    new, other = outsiders(site, "marketing", 2)
    plan = members.plan([new], "add", group="marketing")
    with pytest.raises(PlanError, match="Only a previewed plan"):
        members.apply(plan)  # type: ignore[arg-type]
    preview = members.preview(plan)

    site.world.add_member("marketing", other)
    with pytest.raises(PlanError, match="has joined marketing since the preview") as caught:
        members.apply(preview)
    assert [(d.account_id, d.change) for d in caught.value.differences] == [(other, "joined")]
    site.world.remove_member("marketing", other)

    site.world.set_status(new, "inactive")
    with pytest.raises(PlanError, match="The account is inactive"):
        members.apply(preview)
    site.world.set_status(new, "active")

    old = replace(preview, plan=replace(plan, made_at=plan.made_at - timedelta(days=2)))
    with pytest.raises(PlanError, match=r"48\.0 hours old"):
        members.apply(old)

    registered.registry().remove(gid(site, "marketing"))
    with pytest.raises(PlanError, match="no longer registered"):
        members.apply(preview)
    assert not site.writes


def test_a_large_plan_wants_its_words_typed(members: Membership, site: PracticeSite) -> None:
    preview = members.preview(members.plan(outsiders(site, "project-phoenix", 21), "add", group="project-phoenix"))
    for typed in ("", "yes", "change 20 memberships"):
        with pytest.raises(InputError, match="Type: change 21 memberships"):
            members.apply(preview, confirm=typed)
    assert not site.writes
    assert members.apply(preview, confirm=" Change 21  memberships ").counts() == {"done": 21}


def test_plan_files_belong_to_one_site(
    members: Membership, site: PracticeSite, registered: Workspace, tmp_path: Path
) -> None:
    from spokekit.practice import PracticeSite as AnotherSite
    from tests.conftest import connect

    preview = members.preview(members.plan(outsiders(site, "marketing", 1), "add", group="marketing"))
    path = members.save(preview, tmp_path / "plan.json")
    assert members.load(path).fingerprint == preview.fingerprint
    assert members.check(members.load(path)) == ()
    with AnotherSite(size="class", seed=2) as second:
        child = registered.aliases.add("Second site")
        connect(registered, second, name="Second", alias_id=child.alias_id)
        there = type(members).of(registered, "Second")
        with pytest.raises(PlanError, match="The plan was made for"):
            there.load(path)
        with pytest.raises(PlanError, match="The plan was made for"):
            there.apply(preview)
        members.apply(preview)
        with pytest.raises(PlanError, match="That apply changed"):
            there.plan_undo(members.journal.apply_ids()[0])
        with pytest.raises(NotFound):
            there.plan_undo()
        there.close()
        assert not second.writes


def test_licence_full_stops_and_resume_goes_on(
    members: Membership, site: PracticeSite, open_members: Callable[..., Membership]
) -> None:
    users = site.world.frames(tables=["users"])["users"]
    free = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active") & ~users["licensed"]]
    new = list(free["account_id"])[:4]
    site.switches.seats = int(site.world.licensed.sum()) + 2
    result = do(members, new, "add", group="confluence-users")
    assert result.counts() == {"done": 2, "failed": 1, "not done": 1}
    assert "no seat of the licence is left" in result.stopped
    assert result.frame["reason"].tolist()[2:] == ["licence_full", "stopped"]
    site.switches.seats = None
    rest = open_members().resume()
    assert rest.counts() == {"done": 4}
    assert set(new) <= set(people(site, "confluence-users"))
    with pytest.raises(NotFound, match="nothing to resume"):
        members.resume()


def test_who_may_not_write_is_told_before_and_stopped_early(
    members: Membership, site: PracticeSite, registered: Workspace, open_members: Callable[..., Membership]
) -> None:
    connection = registered.connection()
    assert (
        "site admin"
        not in members.preview(members.plan(outsiders(site, "marketing", 1), "add", group="marketing")).words
    )
    grant = site.issue_token(scopes=connection.scopes, account="member")
    registered.tokens.save_grant(connection, grant)
    registered.connections.set_account(connection.connection_id, site.world.account("member"), "A member")
    theirs = open_members()
    preview = theirs.preview(theirs.plan(outsiders(site, "marketing", 5), "add", group="marketing"))
    assert "You are in no group that makes site admins" in preview.words
    result = theirs.apply(preview, confirm=preview.confirmation)
    assert result.counts() == {"failed": 3, "not done": 2}
    assert set(result.frame["reason"]) == {"not_permitted", "stopped"}


def test_the_third_failure_in_a_row_stops(members: Membership, site: PracticeSite, registered: Workspace) -> None:
    new = outsiders(site, "marketing", 6)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    members.site.add = _failing(members.site.add, {0, 2, 3, 4})  # type: ignore[method-assign]
    result = members.apply(preview)
    assert [row.status for row in result.rows] == ["failed", "done", "failed", "failed", "failed", "not done"]
    assert "3 rows in a row failed" in result.stopped
    assert "Read back: not a member" in result.rows[0].message
    assert members.resume().counts() == {"done": 6}


def _failing(call: Callable[..., None], numbers: set[int], *, after: bool = False) -> Callable[..., None]:
    count = iter(range(1000))

    def sometimes(group_id: str, account_id: str, **options: Any) -> None:
        fails = next(count) in numbers
        if not fails or after:
            call(group_id, account_id, **options)
        if fails:
            raise TransportError("The answer was cut off.")

    return sometimes


def test_a_lost_answer_is_read_back_not_guessed(members: Membership, site: PracticeSite) -> None:
    new = outsiders(site, "marketing", 2)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    members.site.add = _failing(members.site.add, {0}, after=True)  # type: ignore[method-assign]
    result = members.apply(preview)
    assert [(row.status, row.reason) for row in result.rows] == [("done", "read_back"), ("done", "")]


def test_an_outcome_that_cannot_be_read_back_stays_unknown_until_resume(
    members: Membership, site: PracticeSite, open_members: Callable[..., Membership], monkeypatch: pytest.MonkeyPatch
) -> None:
    new = outsiders(site, "marketing", 3)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    members.site.add = _failing(members.site.add, {1}, after=True)  # type: ignore[method-assign]

    def no_network(*_: str, **__: Any) -> bool:
        raise TransportError("No network.")

    members.site.is_member = no_network  # type: ignore[method-assign]
    result = members.apply(preview)
    assert [row.status for row in result.rows] == ["done", "unknown", "not done"]
    assert "could not be read back" in result.stopped
    with pytest.raises(PlanError, match="not known yet"):
        open_members().plan_undo(result.apply_id)
    rest = open_members().resume()
    assert [(row.status, row.reason) for row in rest.rows] == [("done", ""), ("done", "read_back"), ("done", "")]
    assert rest.frame["display_name"].ne("").all()


def test_somebody_faster_counts_as_already_so(members: Membership, site: PracticeSite) -> None:
    (new,) = outsiders(site, "marketing", 1)
    site.switches.add_existing_status = 400
    preview = members.preview(members.plan([new], "add", group="marketing"))
    add = members.site.add

    def beaten(group_id: str, account_id: str, **options: Any) -> None:
        site.world.add_member(group_id, account_id)
        add(group_id, account_id, **options)

    members.site.add = beaten  # type: ignore[method-assign]
    (row,) = members.apply(preview).rows
    assert (row.status, row.reason) == ("already so", "member")
    with pytest.raises(NotFound, match="nothing to undo"):
        members.plan_undo()


def test_cancel_stops_between_rows(members: Membership, site: PracticeSite) -> None:
    import threading

    cancel = threading.Event()
    seen: list[str] = []

    def listen(progress: Any) -> None:
        seen.append(progress.words)
        if progress.done == 2:
            cancel.set()

    preview = members.preview(members.plan(outsiders(site, "marketing", 5), "add", group="marketing"))
    result = members.apply(preview, progress=listen, cancel=cancel)
    assert result.counts() == {"done": 2, "not done": 3}
    assert result.stopped == "Cancelled after 2 of 5 changes."
    assert seen[1].startswith("2 of 5 changes")
    assert members.resume().counts() == {"done": 5}


def test_undo_is_previewed_and_leaves_alone_what_others_changed(members: Membership, site: PracticeSite) -> None:
    before = set(people(site, "marketing"))
    new = outsiders(site, "marketing", 3)
    gone = sorted(before)[:2]
    result = do(members, [*new, *sorted(before)[2:]], "sync", group="marketing")
    do(members, [new[2]], "remove", group="marketing")
    do(members, [new[2]], "add", group="marketing")
    site.world.remove_member("marketing", new[0])
    site.world.add_member("marketing", gone[0])

    plan = members.plan_undo(result.apply_id[:8])
    assert {row.account_id: (row.action, row.status, row.reason) for row in plan.rows} == {
        new[0]: ("remove", "already so", "changed_since"),
        new[1]: ("remove", "planned", ""),
        new[2]: ("remove", "refused", "later_apply"),
        gone[0]: ("add", "already so", "changed_since"),
        gone[1]: ("add", "planned", ""),
    }
    undone = members.apply(members.preview(plan))
    assert set(people(site, "marketing")) == before | {new[2]}
    redo = members.plan_undo(undone.apply_id)
    assert {(row.account_id, row.action) for row in redo.planned} == {(new[1], "add"), (gone[1], "remove")}


def test_two_kernels_do_not_work_on_one_apply(
    members: Membership, site: PracticeSite, open_members: Callable[..., Membership]
) -> None:
    new = outsiders(site, "marketing", 2)
    second = open_members()
    preview = members.preview(members.plan(new, "add", group="marketing"))
    add = members.site.add
    told: list[str] = []

    def meanwhile(group_id: str, account_id: str, **options: Any) -> None:
        try:
            second.resume()
        except Conflict as error:
            told.append(error.message)
        add(group_id, account_id, **options)

    members.site.add = meanwhile  # type: ignore[method-assign]
    members.apply(preview)
    assert told == ["An apply is running on this site in another kernel or terminal."] * 2
    with Lease(members.journal.store, "a"), Lease(members.journal.store, "b"):
        pass


def test_there_is_no_public_path_past_the_guard(members: Membership, site: PracticeSite, registered: Workspace) -> None:
    from spokekit.confluence.spoke import Spoke

    (new,) = outsiders(site, "legal-counsel", 1)
    falcon = gid(site, "Team Falcon")
    spoke = registered.spoke()
    unguarded = Spoke(registered.connection(), registered.tokens.source(registered.connection()))
    for one in (spoke, unguarded, members.site.spoke):
        for action in (one.add_member_to_group_by_group_id, one.remove_member_from_group_by_group_id):
            with pytest.raises(GuardRefused):
                action(falcon, new)
            with pytest.raises((GuardRefused, InputError)):
                action(falcon + " ", new)
    with pytest.raises(GuardRefused):
        unguarded.add_member_to_group_by_group_id(gid(site, "legal-counsel"), new)
    with pytest.raises(GuardRefused):
        members.site.add(falcon, new)
    # A forged preview of a forged plan: the ground is not there, and were it there, the guard would refuse.
    preview = members.preview(members.plan([new], "add", group="legal-counsel"))
    row = replace(preview.plan.rows[0], group_id=falcon)
    for ground in (preview.plan.ground, {falcon: replace(next(iter(preview.plan.ground.values())), group_id=falcon)}):
        with pytest.raises(PlanError):
            members.apply(replace(preview, plan=replace(preview.plan, rows=(row,), ground=ground)))
    assert not site.writes
    spoke.close()
    unguarded.close()


def test_who_applies_a_plan_of_somebody_else_is_in_the_journal(
    members: Membership,
    site: PracticeSite,
    registered: Workspace,
    open_members: Callable[..., Membership],
    tmp_path: Path,
) -> None:
    colleague = site.world.account("member")
    (new,) = outsiders(site, "marketing", 1)
    path = members.save(members.preview(members.plan([new], "add", group="marketing")), tmp_path / "plan.json")
    registered.connections.set_account(registered.connection().connection_id, colleague, "A colleague")
    theirs = open_members()
    theirs.apply(theirs.load(path))
    assert set(theirs.journal.entries()["by"]) == {colleague}
    # The rule about oneself is about who applies, not about who planned.
    site.world.add_member("marketing", colleague)
    registered.connections.set_account(registered.connection().connection_id, site.account_id, "The administrator")
    preview = members.preview(open_members().plan([colleague], "remove", group="marketing"))
    assert len(preview.plan.planned) == 1
    with pytest.raises(PlanError, match="now speaks for The administrator"):
        theirs.apply(preview)
    registered.connections.set_account(registered.connection().connection_id, colleague, "A colleague")
    with pytest.raises(PlanError, match="That is you"):
        theirs.apply(preview)


def test_the_journal_tells_who_when_where_and_what(members: Membership, site: PracticeSite) -> None:
    new = outsiders(site, "marketing", 2)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    result = members.apply(preview)
    frame = members.journal.entries(result.apply_id[:10])
    assert list(frame["event"]) == [
        "apply_started",
        "row_started",
        "row_ended",
        "row_started",
        "row_ended",
        "apply_ended",
    ]
    assert set(frame["by"]) == {site.account_id}
    assert set(frame["fingerprint"]) == {preview.fingerprint}
    assert set(frame["cloud_id"]) == {site.world.cloud_id}
    assert frame["at"].is_monotonic_increasing
    assert str(frame["at"].dtype) == "datetime64[us, UTC]"
    assert list(frame["row"].dropna()) == [1, 1, 2, 2]
    applies = members.journal.applies()
    assert applies.loc[0, ["planned", "done", "state"]].to_list() == [2, 2, "finished"]
    exported = json.loads(members.journal.to_json())
    assert len(exported) == 6
    assert exported[1]["row"] == 1
    text = members.journal.to_csv() + members.journal.to_json()
    grant = site.issue_token()
    for name in ("eyJ", "Bearer", grant["access_token"][:12], site.client_secret):
        assert name not in text
