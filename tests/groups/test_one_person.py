"""All groups of one person at once: out of all of them, or into a colleague's; what cannot be changed is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spokekit.cli import main
from spokekit.errors import InputError, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership
    from spokekit.practice import PracticeSite


def groups_of(site: PracticeSite, account: str) -> set[str]:
    row = site.world.user_row(account)
    assert row is not None
    return {site.world.group_name(group) for group in site.world.groups_of(row)}


def somebody(site: PracticeSite) -> str:
    """Return an account in registered, synced and unregistered groups, that is no administrator."""
    sales, users = site.world.member_ids("=Sales(Berlin)"), site.world.member_ids("confluence-users")
    both = set(sales) & set(users)
    account = next(one for one in site.world.member_ids("okta-engineering") if one in both)
    site.world.add_member("jira-software-users", account)
    return account


def test_out_of_all_registered_groups_in_one_apply_and_back(members: Membership, site: PracticeSite) -> None:
    account = somebody(site)
    before = groups_of(site, account)
    plan = members.plan_everywhere(account)
    rows = {row.group: row for row in plan.rows}
    assert set(rows) == before
    assert rows["okta-engineering"].reason == "external"
    assert rows["jira-software-users"].reason == "not_registered"
    assert "jira-software-users" in rows["jira-software-users"].message
    assert plan.planned and all(row.account_id == account and row.action == "remove" for row in plan.rows)
    preview = members.preview(plan)
    result = members.apply(preview, confirm=preview.confirmation)
    assert groups_of(site, account) == before - {row.group for row in plan.planned}
    assert len(members.journal.applies()) == 1
    undo = members.preview(members.plan_undo(result.apply_id))
    members.apply(undo, confirm=undo.confirmation)
    assert groups_of(site, account) == before


def test_into_the_groups_of_a_colleague(members: Membership, site: PracticeSite) -> None:
    colleague = somebody(site)
    new = next(
        account
        for account in site.world.member_ids("jira-software-users")
        if not groups_of(site, account) & {"confluence-users", "okta-engineering"}
    )
    before = groups_of(site, new)
    mail = site.world.find_person(colleague).email
    plan = members.plan_like(new, mail or colleague)
    assert {row.group for row in plan.rows} == groups_of(site, colleague)
    preview = members.preview(plan)
    members.apply(preview, confirm=preview.confirmation)
    assert groups_of(site, new) == before | {row.group for row in plan.planned}
    assert "confluence-users" in groups_of(site, new)


def test_people_by_address_and_by_name(members: Membership, site: PracticeSite) -> None:
    account = next(a for a in site.world.member_ids("marketing")[3:] if site.world.find_person(a).email)
    person = site.world.find_person(account)
    for text in (person.email.upper(), f" {person.display_name.upper()} ", f"https://x/people/{account}"):
        assert {row.account_id for row in members.plan_everywhere(text).rows} == {account}
    twin = site.world.find_person(site.world.member_ids("marketing")[0]).display_name
    with pytest.raises(InputError, match="Several people are called") as several:
        members.plan_everywhere(twin)
    assert len(several.value.candidates) == 2
    for nobody in ("Nobody Such", "nobody@example.com"):
        with pytest.raises(NotFound, match="Nobody in the registered groups"):
            members.plan_everywhere(nobody)
    with pytest.raises(NotFound, match="is in no group"):
        members.plan_everywhere("712020:00000000-0000-4000-8000-000000000000")
    with pytest.raises(InputError, match="Nobody was named"):
        members.plan_everywhere("  ")
    with pytest.raises(InputError, match="same account"):
        members.plan_like(account, person.email)


def test_the_command(
    registered: Workspace, site: PracticeSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            main(["members", *map(str, arguments)])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    account, out_ = somebody(site), tmp_path / "plan.json"
    to = ("--out", out_)
    code, out, err = run("plan", "--mode", "remove", "--person", account, "--everywhere", *to, "--format", "json")
    assert code == 0, err
    assert {row["group"] for row in json.loads(out)} == groups_of(site, account)
    assert "of them registered" in err and out_.exists()
    other = site.world.member_ids("legal-counsel")[0]
    code, out, err = run("plan", "--mode", "add", "--person", other, "--like", account, *to, "--format", "json")
    assert code == 0 and {row["action"] for row in json.loads(out)} == {"add"}, err
    for wrong in (
        ("--mode", "remove"),
        ("--mode", "remove", "--person", account),
        ("--mode", "add", "--person", account),
        ("--mode", "add", "--person", account, "--everywhere"),
        ("--mode", "sync", "--person", account, "--everywhere"),
        ("--mode", "remove", "--person", account, "--everywhere", "--file", out_),
        ("--mode", "remove", "--person", account, "--everywhere", "--only", "add-only"),
    ):
        code, _, err = run("plan", *wrong, *to)
        assert (code, "--file LIST, or --mode remove" in err) == (1, True), wrong
    assert site.writes == {}
