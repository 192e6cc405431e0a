"""An apply that was broken off is gone on with only after its rest was shown, or dropped for good."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.cli import main
from spokekit.errors import InputError, NotFound, PlanError

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership, Result
    from spokekit.practice import PracticeSite

Open = Callable[..., "Membership"]


def outsiders(site: PracticeSite, group: str, count: int) -> list[str]:
    inside = set(site.world.member_ids(group))
    users = site.world.frames(tables=["users"])["users"]
    fit = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active")]["account_id"]
    return [account for account in fit if account not in inside and account != site.account_id][:count]


def broken_off(members: Membership, site: PracticeSite, group: str, count: int, done: int) -> Result:
    """Begin to add so many people, and be cancelled after some."""
    cancel = threading.Event()

    def listen(progress: Any) -> None:
        if progress.done == done:
            cancel.set()

    preview = members.preview(members.plan(outsiders(site, group, count), "add", group=group))
    result = members.apply(preview, confirm=preview.confirmation, progress=listen, cancel=cancel)
    assert result.counts() == {"done": done, "not done": count - done}
    return result


def test_the_rest_is_shown_with_everything_and_wants_the_words_of_an_apply(
    members: Membership, site: PracticeSite, open_members: Open
) -> None:
    result = broken_off(members, site, "project-phoenix", 30, 3)
    (state,) = members.unfinished()
    assert state.apply_id == result.apply_id
    writes = dict(site.writes)
    again = open_members()
    rest = again.preview_resume()
    me = site.world.frames(tables=["users"])["users"].set_index("account_id").loc[site.account_id, "display_name"]
    for words in (
        f"begun by {me}",
        "add 30 members in project-phoenix",
        "3 of 30 planned are done.",
        "27 people to add, 0 people to remove",
    ):
        assert words in rest.words
    assert len(rest.preview.plan.planned) == 27
    assert all(row.display_name for row in rest.preview.plan.planned)
    assert "not finished" not in rest.words, "it does not stand in its own way"
    assert rest.confirmation == "change 27 memberships"
    for what in (rest, None, result.apply_id[:8]):
        for typed in ("", "change 30 memberships"):
            with pytest.raises(InputError, match="Type: change 27 memberships"):
                again.resume(what, confirm=typed)
    assert site.writes == writes
    assert again.resume(rest, confirm=rest.confirmation).counts() == {"done": 30}
    assert members.unfinished() == ()


def test_a_grave_rest_wants_its_words_though_it_is_short(
    members: Membership, site: PracticeSite, open_members: Open
) -> None:
    broken_off(members, site, "site-admins", 3, 2)
    again = open_members()
    with pytest.raises(InputError, match="will become site admin by site-admins"):
        again.resume()
    rest = again.preview_resume()
    assert rest.confirmation == "change 1 membership"
    assert again.resume(rest, confirm=rest.confirmation).counts() == {"done": 3}


def test_what_has_changed_since_it_was_shown_refuses_it(
    members: Membership, site: PracticeSite, open_members: Open
) -> None:
    result = broken_off(members, site, "marketing", 4, 1)
    again = open_members()
    rest = again.preview_resume()
    (other,) = outsiders(site, "marketing", 10)[-1:]
    site.world.add_member("marketing", other)
    with pytest.raises(PlanError, match="has joined marketing since the preview"):
        again.resume(rest)
    site.world.remove_member("marketing", other)
    broken = threading.Event()
    broken.set()
    second = open_members()
    cancel = threading.Event()

    def listen(progress: Any) -> None:
        if progress.done == 1:
            cancel.set()

    second.resume(result.apply_id, progress=listen, cancel=cancel)
    with pytest.raises(PlanError):
        again.resume(rest)
    assert again.resume(again.preview_resume()).counts() == {"done": 4}
    with pytest.raises(NotFound):
        again.resume(rest)


@pytest.mark.parametrize("arrived", [True, False])
def test_a_dropped_apply_is_settled_by_the_site_and_undone(
    members: Membership, site: PracticeSite, open_members: Open, arrived: bool
) -> None:
    before = set(site.world.member_ids("marketing"))
    new = outsiders(site, "marketing", 4)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    add, count = members.site.add, iter(range(10))

    class Killed(BaseException):
        pass

    def adding(group_id: str, account_id: str, **options: Any) -> None:
        last = next(count) == 1
        if arrived or not last:
            add(group_id, account_id, **options)
        if last:
            raise Killed

    members.site.add = adding  # type: ignore[method-assign]
    with pytest.raises(Killed):
        members.apply(preview)
    again = open_members()
    writes = dict(site.writes)
    with pytest.raises(PlanError, match="Resume it or drop it first"):
        again.plan_undo()
    state = again.drop()
    assert site.writes == writes
    assert state.dropped
    assert [row.status for row in state.rows] == ["done", "done" if arrived else "not done", "not done", "not done"]
    assert again.unfinished() == ()
    assert list(again.journal.applies()["state"]) == ["dropped"]
    assert list(again.journal.entries()["event"])[-1] == "apply_dropped"
    for refused in (again.resume, again.preview_resume, again.drop):
        with pytest.raises(NotFound, match="was dropped"):
            refused(state.apply_id)
        with pytest.raises(NotFound, match="nothing to resume"):
            refused()
    assert not any("not finished" in d for d in again.preview(again.plan(new[:1], "remove", group="marketing")).dangers)
    undo = again.preview(again.plan_undo())
    assert len(undo.plan.planned) == 1 + arrived
    again.apply(undo, confirm=undo.confirmation)
    assert set(site.world.member_ids("marketing")) == before


def test_on_the_command_line(
    members: Membership, site: PracticeSite, registered: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as left:
            main(["members", *arguments])
        return left.value.code or 0, capsys.readouterr().err

    first = broken_off(members, site, "project-phoenix", 30, 2)
    broken_off(members, site, "marketing", 3, 1)
    writes = dict(site.writes)
    code, said = run("resume", "--dry-run")
    assert code == 0
    assert "1 of 3 planned are done." in said
    assert "Not finished either: The apply " + first.apply_id[:8] in said
    code, said = run("drop")
    assert (code, "Dropped" in said, "3 members in marketing" in said) == (0, True, True)
    code, said = run("resume")
    assert code == 1, "28 rows, and nobody is there to type"
    assert "change 28 memberships" in said
    assert "--yes" in said
    assert " to project-phoenix" in said
    assert site.writes == writes
    code, said = run("resume", first.apply_id[:8], "--yes")
    assert code == 0, said
    assert "30 done" in said
    code, said = run("drop")
    assert (code, "nothing to resume" in said) == (1, True)
