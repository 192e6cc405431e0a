"""A preview or a result is for the inputs that it was made for: nothing is written from it under others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit._workspace import Workspace
from spokekit.errors import InputError, SpokekitError
from spokekit.practice import PracticeSite
from spokekit.widgets import MembershipEditor
from spokekit.widgets.base import forget_typed

Change = Callable[[MembershipEditor], None]


@pytest.fixture(autouse=True)
def _nothing_typed() -> Iterator[None]:
    forget_typed()
    yield
    forget_typed()


@pytest.fixture
def editor(registered: Workspace) -> MembershipEditor:
    made = MembershipEditor(workspace=registered, pace=1000)
    made.settled()
    made.choose("marketing")
    made.settled()
    return made


def upload(editor: MembershipEditor, content: bytes, name: str = "list.csv") -> None:
    now = datetime.now(UTC)
    item = {"name": name, "content": content, "type": "text/csv", "size": len(content), "last_modified": now}
    editor.upload.value = (item,)


def newcomers(site: PracticeSite, group: str = "marketing") -> list[str]:
    return sorted(set(site.world.member_ids("legal-counsel")) - set(site.world.member_ids(group)))


def writes(site: PracticeSite) -> list[Any]:
    return [r for r in site.requests if r.method in ("POST", "DELETE") and "/group/" in r.path]


def planned(editor: MembershipEditor, site: PracticeSite) -> None:
    """Preview a list in a file, with the addition of one person."""
    new = newcomers(site)
    editor.action.value = "sync"
    editor.only.value = "add-only"
    editor.pasted.value = new[1]
    upload(editor, f"account_id\n{new[0]}\n".encode())
    editor.ask.click()
    editor.settled()
    assert editor.apply_button.description == "Apply 1 change" and not editor.apply_button.disabled
    assert not greyed(editor.shown_preview)


def greyed(widget: Any) -> bool:
    return "sk-stale" in widget._dom_classes


def _group(editor: MembershipEditor) -> None:
    editor.choose("legal-counsel")
    editor.settled()


CHANGES: dict[str, Change] = {
    "another action": lambda editor: editor.action.set_trait("value", "remove"),
    "the marked members": lambda editor: editor.action.set_trait("value", "remove-marked"),
    "another list": lambda editor: editor.pasted.set_trait("value", "712020:somebody-else"),
    "no list": lambda editor: editor.pasted.set_trait("value", ""),
    "another file": lambda editor: upload(editor, b"account_id\n712020:x\n"),
    "a file of the same name": lambda editor: upload(editor, b"account_id;x\n712020:x;1\n", "list.csv"),
    "a wrong file": lambda editor: upload(editor, b"PK\x03\x04"),
    "an empty file": lambda editor: upload(editor, b""),
    "no file": lambda editor: editor.forget_file.click(),
    "other marks": lambda editor: editor.list.set_trait("value", (editor.list.options[0][1],)),
    "all marks": lambda editor: editor.mark_all.click(),
    "how far": lambda editor: editor.only.set_trait("value", ""),
    "another group": _group,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_preview_is_not_applied_under_other_inputs(editor: MembershipEditor, site: PracticeSite, change: str) -> None:
    planned(editor, site)
    CHANGES[change](editor)
    assert editor.apply_button.disabled
    editor.confirm.value = "anything"
    assert editor.apply_button.disabled, "typing the words does not revive it"
    if change != "another group":
        assert greyed(editor.shown_preview)
        assert "made for other inputs" in editor._preview_of.note.value
        assert editor._preview_of.note.layout.display == ""
    assert "Nothing is changed yet" not in editor.status, "the status line belonged to the preview"
    editor.apply_button.click()
    editor.settled()
    with pytest.raises(InputError, match=r"made for other inputs|no preview") as refused:
        editor.apply()
    assert "Press Preview" in (refused.value.hint or "")
    assert editor.applied == 0 and not site.writes and not writes(site)


def test_the_example(editor: MembershipEditor, site: PracticeSite) -> None:
    first, second = newcomers(site)[:2]
    editor.action.value = "add"
    editor.pasted.value = first
    editor.ask.click()
    editor.settled()
    editor.action.value = "remove"
    editor.pasted.value = second
    editor.apply_button.click()
    editor.settled()
    assert not site.writes and first not in site.world.member_ids("marketing")
    assert "made for other inputs (changed since: action, list)" in editor.status
    editor.ask.click()
    editor.settled()
    assert not greyed(editor.shown_preview) and "other inputs" not in editor.status, "the new preview is current"


def test_the_same_inputs_again_are_the_same_preview(editor: MembershipEditor, site: PracticeSite) -> None:
    planned(editor, site)
    editor.action.value = "remove"
    editor.action.value = "sync"
    assert not editor.apply_button.disabled and not greyed(editor.shown_preview)
    assert "Nothing is changed yet" in editor.status
    new = newcomers(site)[0]
    editor.apply()
    editor.settled()
    assert new in site.world.member_ids("marketing") and len(writes(site)) == 1


@pytest.mark.parametrize("change", ["another action", "another list", "other marks", "a wrong file"])
def test_what_changes_while_the_preview_is_made(editor: MembershipEditor, site: PracticeSite, change: str) -> None:
    editor.action.value = "add"
    editor.pasted.value = newcomers(site)[0]
    editor.ask.click()
    CHANGES[change](editor)
    editor.settled()
    assert editor.preview is not None and greyed(editor.shown_preview) and editor.apply_button.disabled
    with pytest.raises(InputError, match="made for other inputs"):
        editor.apply()
    assert not writes(site)


def test_another_preview_put_in_from_outside_is_not_what_is_applied(
    editor: MembershipEditor, site: PracticeSite
) -> None:
    planned(editor, site)
    shown = editor.preview
    editor.drop()
    editor.preview = shown
    with pytest.raises(InputError, match="no preview"):
        editor.apply()
    assert not writes(site)


@pytest.mark.parametrize("change", ["another action", "another list", "no file", "other marks", "another group"])
def test_a_result_belongs_to_its_inputs_too(editor: MembershipEditor, site: PracticeSite, change: str) -> None:
    planned(editor, site)
    editor.apply()
    editor.settled()
    assert not editor.undo.disabled and not greyed(editor.shown_result)
    before = len(writes(site))
    assert before == 1
    CHANGES[change](editor)
    assert greyed(editor.shown_result) and editor.undo.disabled and editor.resume.disabled
    assert "1 done" not in editor.status
    for press in (editor.plan_undo, editor.go_on):
        with pytest.raises(InputError, match="made for other inputs"):
            press()
    assert len(writes(site)) == before


def test_a_result_comes_back_with_its_inputs(editor: MembershipEditor, site: PracticeSite) -> None:
    editor.mark([account for _, account in editor.list.options[:2]])
    editor.ask.click()
    editor.settled()
    editor.apply()
    editor.settled()
    assert not editor.undo.disabled, "that those removed are not marked any more is nobody's change"
    editor.choose("legal-counsel")
    editor.settled()
    assert editor.undo.disabled
    editor.choose("marketing")
    editor.settled()
    editor.undo.click()
    editor.settled()
    assert {row.action for row in editor.preview.plan.planned} == {"add"}


def test_members_of_one_group_are_never_listed_under_another(editor: MembershipEditor, site: PracticeSite) -> None:
    editor.choose("legal-counsel")
    editor.choose("support-tier-1")
    editor.settled()
    assert editor.group_id == editor.group.value
    if editor.members is None:
        assert "press Read again" in editor.count.value
        editor.again.click()
        editor.settled()
    assert set(editor.members["account_id"]) == set(site.world.member_ids("support-tier-1"))


GROUPS = ("marketing", "legal-counsel", "support-tier-2")
MAKES = ("ask", "undo", "make_preview", "plan_undo")
CHANGE = st.one_of(
    st.tuples(st.just("action"), st.sampled_from(("remove-marked", "add", "remove", "sync"))),
    st.tuples(st.just("only"), st.sampled_from(("", "add-only", "remove-only"))),
    st.tuples(st.just("group"), st.sampled_from(GROUPS)),
    st.tuples(st.just("paste"), st.integers(0, 5)),
    st.tuples(st.just("file"), st.integers(0, 5)),
    st.tuples(st.just("mark"), st.integers(0, 5)),
    st.tuples(st.just("press"), st.sampled_from(("discard", "forget_file", "mark_all", "clear", "again"))),
)
MAKE = st.tuples(st.sampled_from(("press", "wait")), st.sampled_from(("ask", "ask", "ask", "undo")))
APPLY = st.tuples(st.sampled_from(("press", "call")), st.sampled_from(("apply_button", "apply")))
# Mostly in the order of a person, who changes something after the preview or does not.
ROUND = st.tuples(st.lists(CHANGE, max_size=3), MAKE, st.lists(CHANGE, max_size=2), APPLY)


def test_random_presses_write_only_what_is_on_the_screen(registered: Workspace, site: PracticeSite) -> None:
    made = MembershipEditor(workspace=registered, pace=1000)
    made.settled()
    people = [*newcomers(site)[:3], *sorted(site.world.member_ids("marketing"))[:2]]
    names = dict(registered.registry().frame()[["group_id", "name"]].itertuples(index=False, name=None))
    applied: list[Any] = []
    refused: list[Any] = []

    def inputs() -> tuple[Any, ...]:
        marked = tuple(sorted(made.value))
        return made.group.value, made.action.value, made.only.value, made.pasted.value, made.file_line.value, marked

    def there() -> set[tuple[str, str]]:
        return {(group, account) for group, name in names.items() for account in site.world.member_ids(name)}

    @settings(max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(ROUND, min_size=1, max_size=3))
    def presses(rounds: list[Any]) -> None:
        asked: tuple[Any, ...] = ()
        for step, value in [one for first, make, then, last in rounds for one in (*first, make, *then, last)]:
            if value not in ("apply_button", "apply"):
                if value in MAKES and not made.busy:
                    asked = inputs()
                before, sent = there(), len(writes(site))
                act(made, step, value, people)
                # Without the wait the next input changes while the preview is still being made.
                if step != "press" or value not in MAKES:
                    settle(made)
                assert there() == before and len(writes(site)) == sent, f"{step} {value} wrote"
                continue
            settle(made)
            preview, screen, before, sent = made.preview, inputs(), there(), len(writes(site))
            act(made, step, value, people)
            settle(made)
            changed = there() ^ before
            if len(writes(site)) > sent:
                assert preview is not None and asked == screen
                assert changed <= {(row.group_id, row.account_id) for row in preview.plan.planned}
                applied.append(value)
            elif preview is not None and asked != screen:
                refused.append(value)
        settle(made)
        made.drop(quiet=True)

    presses()
    assert applied and refused, "some were applied, and some would have been for other inputs"


def settle(editor: MembershipEditor) -> None:
    try:
        editor.settled()
    except SpokekitError:
        assert editor.status, "what went wrong is said"


def act(editor: MembershipEditor, step: str, value: Any, people: list[str]) -> None:
    if step in ("press", "wait") and value != "apply":
        pressed = getattr(editor, value)
        if not pressed.disabled:
            pressed.click()
    elif value in ("apply_button", "apply"):
        with suppress(SpokekitError):
            editor.apply()
    elif step in ("action", "only"):
        getattr(editor, step).value = value
    elif step == "group":
        editor.choose(value)
    elif step == "paste":
        editor.pasted.value = "\n".join(people[value : value + 1])
    elif step == "file":
        upload(editor, f"account_id\n{people[value]}\n".encode() if value < len(people) else b"PK\x03\x04")
    else:
        editor.mark([account for _, account in editor.list.options[value : value + 1]])
