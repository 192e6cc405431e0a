"""The editor without a browser: what a person does, by `.value` and `.click()`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from spokekit.errors import NotFound, SpokekitError
from spokekit.widgets import MembershipEditor
from spokekit.widgets.base import forget_typed

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


@pytest.fixture
def editor(registered: Workspace) -> MembershipEditor:
    forget_typed()
    made = MembershipEditor(workspace=registered, pace=1000)
    made.settled()
    made.choose("marketing")
    made.settled()
    return made


def upload(editor: MembershipEditor, content: bytes, name: str = "list.csv") -> None:
    editor.upload.value = (
        {
            "name": name,
            "content": content,
            "type": "text/csv",
            "size": len(content),
            "last_modified": datetime.now(UTC),
        },
    )


def test_mark_two_preview_apply_undo(editor: MembershipEditor, site: PracticeSite) -> None:
    before = set(site.world.member_ids("marketing"))
    assert len(editor.list.options) == len(before)
    editor.list.value = tuple(account for _, account in editor.list.options[:2])
    assert "2 marked" in editor.count.value
    editor.ask.click()
    editor.settled()
    assert not site.writes
    assert editor.preview_card.layout.display == ""
    assert "2 people to remove" in editor.shown_preview.value
    assert editor.apply_button.description == "Apply 2 changes"
    editor.apply_button.click()
    editor.settled()
    assert editor.applied == 1
    assert editor.result.counts() == {"done": 2}
    assert len(editor.list.options) == len(before) - 2
    assert editor.preview is None
    editor.undo.click()
    editor.settled()
    assert {row.action for row in editor.preview.plan.planned} == {"add"}
    editor.apply_button.click()
    editor.settled()
    assert set(site.world.member_ids("marketing")) == before
    assert len(editor.members) == len(before)


def test_marks_outlive_the_filter_and_names_are_escaped(editor: MembershipEditor, site: PracticeSite) -> None:
    editor.choose("support-tier-1")
    editor.settled()
    editor.filter.value = "script"
    assert len(editor.list.options) == 1
    editor.mark_all.click()
    editor.filter.value = ""
    assert len(editor.value) == 1
    assert editor.list.value == editor.value
    editor.as_table.value = True
    assert "&lt;script&gt;" in editor.table.value
    editor.ask.click()
    editor.settled()
    for shown in (editor.table.value, editor.shown_preview.value):
        assert "<script" not in shown
    with pytest.raises(NotFound):
        editor.choose("Team Falcon")


def test_paste_and_upload(editor: MembershipEditor, site: PracticeSite) -> None:
    inside = set(site.world.member_ids("marketing"))
    new = [a for a in site.world.member_ids("legal-counsel") if a not in inside]
    editor.action.value = "add"
    assert editor.list_box.layout.display == ""
    editor.ask.click()
    assert "There is no list yet" in editor.status
    editor.pasted.value = f"{new[0]}\nnobody@example.invalid"
    editor.ask.click()
    editor.settled()
    assert [row.status for row in editor.preview.plan.rows] == ["planned", "refused"]
    assert "it may be hidden" in editor.shown_preview.value

    upload(editor, f"account_id;name\n{new[1]};x\n".encode())
    assert editor.upload.value == (), "what was uploaded does not stay in the saved state"
    assert "1 line. The cells are separated by semicolons." in editor.file_line.value
    editor.ask.click()
    editor.settled()
    assert [row.account_id for row in editor.preview.plan.rows] == [new[1]]
    upload(editor, b"PK\x03\x04")
    assert "Excel workbook" in editor.status
    editor.forget_file.click()
    editor.discard.click()
    assert editor.preview is None
    assert not site.writes


def test_a_large_plan_is_applied_only_after_typing(editor: MembershipEditor, site: PracticeSite) -> None:
    editor.choose("project-phoenix")
    editor.settled()
    editor.action.value = "sync"
    editor.pasted.value = "\n".join(a for a in site.world.member_ids("confluence-users")[15:40])
    editor.ask.click()
    editor.settled()
    changes = len(editor.preview.plan.planned)
    assert changes > 20
    assert editor.apply_button.disabled
    editor.confirm.value = f"change {changes} memberships"
    assert not editor.apply_button.disabled
    editor.apply_button.click()
    editor.settled()
    assert editor.result.counts() == {"done": changes}
    assert len(site.world.member_ids("project-phoenix")) == changes


def test_cancel_and_resume(editor: MembershipEditor, site: PracticeSite, registered: Workspace) -> None:
    editor._options["pace"] = 5
    editor.mark([account for _, account in editor.list.options[:3]])
    editor.ask.click()
    editor.settled()
    editor.apply_button.click()
    deadline = time.monotonic() + 10
    while not site.writes and time.monotonic() < deadline:
        time.sleep(0.01)
    editor.runner.cancel()
    editor.settled()
    assert editor.result.stopped.startswith("Cancelled after")
    assert editor.resume.layout.display == ""

    again = MembershipEditor(workspace=registered, pace=1000)
    again.settled()
    assert "not finished" in again.shown_result.value
    assert "remove 3 members in marketing" in again.shown_result.value
    assert "begun by" in again.shown_result.value
    assert f"begun by {site.account_id}" not in re.sub("<[^>]*>", "", again.shown_result.value), "a known name is said"
    sent = len(site.requests)
    writes = dict(site.writes)
    again.resume.click()
    again.settled()
    assert len(site.requests) > sent
    assert site.writes == writes, "Resume shows the rest first"
    assert again.preview is not None
    assert "3 planned are done" in again.shown_preview.value.replace("of 3", "3")
    left = len(again.preview.plan.planned)
    assert again.apply_button.description == f"Resume: {left} change{'' if left == 1 else 's'}"
    again.discard.click()
    assert again.resume.layout.display == ""
    again.resume.click()
    again.settled()
    again.apply_button.click()
    again.settled()
    assert again.result.finished
    assert again.status_kind == "ok"


def test_an_unfinished_apply_is_dropped(editor: MembershipEditor, site: PracticeSite, registered: Workspace) -> None:
    editor._options["pace"] = 5
    before = set(site.world.member_ids("marketing"))
    editor.mark([account for _, account in editor.list.options[:3]])
    editor.ask.click()
    editor.settled()
    editor.apply_button.click()
    deadline = time.monotonic() + 10
    while not site.writes and time.monotonic() < deadline:
        time.sleep(0.01)
    editor.runner.cancel()
    editor.settled()
    writes = dict(site.writes)
    again = MembershipEditor(workspace=registered, pace=1000)
    again.settled()
    again.drop_button.click()
    again.settled()
    assert "was dropped" in again.status
    assert again.result_card.layout.display == "none"
    assert site.writes == writes
    third = MembershipEditor(workspace=registered, pace=1000)
    third.settled()
    assert third.result_card.layout.display == "none"
    third.plan_undo()
    third.settled()
    third.apply()
    third.settled()
    assert set(site.world.member_ids("marketing")) == before


def test_nothing_registered_yet(connected: Workspace) -> None:
    editor = MembershipEditor(workspace=connected)
    editor.settled()
    assert "No group is registered yet" in editor.status
    assert repr(editor).startswith("Manage members\nNo group is registered yet")


def test_a_file_without_groups_means_the_group_that_is_shown_when_it_is_previewed(
    editor: MembershipEditor, site: PracticeSite
) -> None:
    inside = set(site.world.member_ids("marketing")) | set(site.world.member_ids("procurement"))
    new = [a for a in site.world.member_ids("legal-counsel") if a not in inside]
    editor.action.value = "add"
    upload(editor, f"account_id\n{new[0]}\n".encode())
    editor.choose("procurement")
    editor.settled()
    editor.ask.click()
    editor.settled()
    assert [row.group for row in editor.preview.plan.rows] == ["procurement"]
    assert "account_id" not in str(editor.upload.get_state()), "nothing of the file is in what a notebook saves"


def test_marks_belong_to_the_group_in_which_they_were_made(editor: MembershipEditor, site: PracticeSite) -> None:
    editor.mark(site.world.member_ids("marketing"))
    shared = set(site.world.member_ids("marketing")) & set(site.world.member_ids("confluence-users"))
    assert shared
    editor.again.click()
    editor.settled()
    assert len(editor.value) == len(site.world.member_ids("marketing")), "reading again keeps them"
    editor.choose("confluence-users")
    editor.settled()
    assert editor.value == ()
    editor.ask.click()
    assert "Nobody is marked" in editor.status
    editor.mark([site.world.member_ids("confluence-users")[0]])
    site.faults.add("html-200:1@members")
    editor.choose("marketing")
    with pytest.raises(SpokekitError):
        editor.settled()
    assert (editor.value, tuple(editor.list.options), editor.members) == ((), (), None)


def test_a_large_file_is_refused_in_a_sentence_and_the_editor_goes_on(
    editor: MembershipEditor, site: PracticeSite
) -> None:
    editor.action.value = "add"
    for content, sentence in (
        (b"x" * 10_000_000, "has a line of 10,000,000 characters"),
        (b"<html>" + b"<br>\n" * 100, "no column account_id"),
        (b"account_id\n" + b"712020:a\n" * 100_001, "more than 100,000 lines"),
    ):
        upload(editor, content)
        assert sentence in editor.status
        assert editor.status_kind == "error"
    editor.pasted.value = "712020:\ud800"
    editor.ask.click()
    editor.settled()
    (row,) = editor.preview.plan.rows
    assert row.reason == "bad_line"
