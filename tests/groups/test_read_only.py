"""A read-only connection: whichever way a change comes, the site is sent none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spokekit
from spokekit._workspace import Workspace
from spokekit.check import check_connection
from spokekit.cli import main
from spokekit.connections.scopes import proposed_scopes
from spokekit.errors import GuardRefused
from spokekit.groups.membership import Membership, Result
from spokekit.practice import PracticeSite
from spokekit.widgets import CheckPanel, ConnectionForm, ConnectionsPanel, MembershipEditor, TokenButton
from spokekit.widgets.base import Component
from tests.groups.test_resume import broken_off, outsiders
from tests.review.conftest import campaign, decide_all, look, reviews  # noqa: F401 - fixtures

Open = Callable[..., Membership]
READ_ONLY = "is read-only, so nothing is changed through it"


def sent(site: PracticeSite) -> int:
    return sum(site.count(name) for name in ("add", "remove", "create-group", "delete-group"))


def mark(work: Workspace, *, on: bool = True) -> None:
    work.connections.edit(work.connection().connection_id, read_only=on)


def marketing(members: Membership, site: PracticeSite, count: int = 2) -> Any:
    return members.preview(members.plan(outsiders(site, "marketing", count), "add", group="marketing"))


def test_every_way_to_a_change_sends_nothing(
    registered: Workspace, site: PracticeSite, open_members: Open, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # Before the mark: an apply to undo, one that is not finished, a preview, a spoke and a plan file that are open.
    opened = open_members()
    done: Result = opened.apply(marketing(opened, site))
    rest = broken_off(opened, site, "project-phoenix", 4, 1)
    shown = opened.preview_resume(rest.apply_id)
    preview = marketing(opened, site, 3)
    group = site.world.find_group("marketing").group_id
    account = outsiders(site, "marketing", 1)[0]
    plan = tmp_path / "plan.json"
    people = tmp_path / "people.csv"
    people.write_text(f"group_id,account_id\n{group},{account}\n")
    with pytest.raises(SystemExit):
        main(["members", "plan", "--mode", "add", "--file", str(people), "--out", str(plan)])
    spoke = registered.spoke()
    mark(registered)
    anew = spokekit.connect()
    before, members = sent(site), open_members()
    undo = members.preview(members.plan_undo(done.apply_id))
    ways: list[Callable[[], Any]] = [
        # What was open before the mark, and what is opened after it.
        lambda: opened.apply(preview, confirm=preview.confirmation),
        lambda: members.apply(marketing(members, site)),
        lambda: members.apply(undo, confirm=undo.confirmation),
        lambda: opened.resume(shown, confirm=shown.confirmation),
        lambda: members.resume(rest.apply_id),
        lambda: spoke.add_member_to_group_by_group_id(group, account),
        lambda: spoke.remove_member_from_group_by_group_id(group, site.account_id),
        lambda: anew.add_member_to_group_by_group_id(group, account),
    ]
    for way in ways:
        with pytest.raises(GuardRefused, match=READ_ONLY):
            way()
    for arguments in (["apply", str(plan), "--yes"], ["undo", done.apply_id, "--yes"], ["resume", "--yes"]):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["members", *arguments])
        said = capsys.readouterr()
        assert left.value.code == 1, (arguments, said)
        assert READ_ONLY in said.err, arguments
    assert sent(site) == before
    # Nothing was journaled of it either: once the mark is off, the rest is where it was.
    mark(registered, on=False)
    again = open_members()
    assert again.resume(rest.apply_id).counts() == {"done": 4}
    spoke.close()
    anew.close()


def test_the_editor_says_so_in_its_heading_and_sends_nothing(registered: Workspace, site: PracticeSite) -> None:
    mark(registered)
    editor = MembershipEditor(workspace=registered, pace=1000)
    editor.settled()
    editor.choose("marketing")
    editor.settled()
    editor.list.value = tuple(account for _, account in editor.list.options[:1])
    editor.ask.click()
    editor.settled()
    editor.apply_button.click()
    with pytest.raises(GuardRefused):
        editor.settled()
    assert editor.status_kind == "error" and READ_ONLY in editor.status
    assert sent(site) == 0
    panel = ConnectionsPanel(workspace=registered)
    components: list[Component] = [
        editor,
        CheckPanel(workspace=registered),
        TokenButton(workspace=registered),
        ConnectionForm(workspace=registered),
    ]
    for component in components:
        assert "read-only connection" in component._head[0].value, component
    assert "· read-only" in str(panel._list.children[0].children[0].value)
    assert registered.status()[0].words.startswith("Read-only. ")


def test_a_review_removes_nobody(
    registered: Workspace,
    site: PracticeSite,
    campaign: Any,  # noqa: F811
    open_members: Open,
) -> None:

    decide_all(campaign)
    campaign.sign("Kim", "Head of IT")
    mark(registered)
    members = open_members()
    preview = campaign.plan(members)
    assert preview is not None and preview.plan.planned
    with pytest.raises(GuardRefused, match=READ_ONLY):
        campaign.apply(members, preview, confirm=preview.confirmation)
    assert sent(site) == 0


def test_the_check_tests_no_write_and_proposes_none(registered: Workspace, site: PracticeSite) -> None:
    mark(registered)
    found = check_connection(registered.connection(), registered.tokens).set_index("check")
    assert found.loc["write:confluence-groups", "state"] == found.loc["Change membership", "state"] == "off"
    assert sent(site) == 0
    for grant in ("consent", "service-account"):
        assert not [name for name in proposed_scopes(grant, read_only=True) if not name.startswith(("read:", "off"))]
