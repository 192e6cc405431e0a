"""What is shown belongs to its inputs: in the base, the walk, the questions, the check and the picker."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from spokekit._secret import Secret
from spokekit.errors import InputError
from spokekit.widgets import CheckPanel, ConnectionForm, GroupPicker, QuestionPanel, WalkPanel
from spokekit.widgets.base import Component
from spokekit.widgets.controls import html, text

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


def greyed(widget: Any) -> bool:
    return "sk-stale" in widget._dom_classes


def test_the_rule() -> None:
    component = Component("Rule")
    name, other, shown = text("Name", "a"), text("Other", "x"), html("")
    looks: list[bool] = []
    tied = component.belongs_to(
        "answer",
        {"name": name, "other": other},
        shown,
        again="Press Ask.",
        changed=lambda: looks.append(tied.current),
    )
    with pytest.raises(InputError, match="There is no answer"):
        tied.require()
    tied.made("first", tied.inputs(), "1 row.", "ok")
    assert tied.current and tied.require() == "first" and component.status == "1 row."
    name.value = "b"
    assert not tied.current and greyed(shown) and tied.note.layout.display == ""
    assert component.status == "This answer was made for other inputs (changed since: name). Press Ask."
    other.value = "y"
    assert "(changed since: name, other)" in component.status
    with pytest.raises(InputError, match="made for other inputs"):
        tied.require()
    name.value, other.value = "a", "x"
    assert tied.current and not greyed(shown) and component.status == "1 row."
    component.say("Something newer.")
    name.value = "b"
    assert component.status == "Something newer.", "a status line of something else stays"
    tied.forget()
    assert not greyed(shown) and tied.note.layout.display == "none"
    assert True in looks and False in looks


@pytest.fixture
def walked(connected: Workspace, site: PracticeSite) -> WalkPanel:
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["access"] != "", "group_id"]), groups=groups)
    return WalkPanel(workspace=connected)


@pytest.mark.parametrize(("field", "value"), [("scope", "all"), ("spaces", True)])
@pytest.mark.parametrize("when", ["after", "meanwhile"])
def test_a_cost_of_another_scope_starts_no_walk(
    walked: WalkPanel, site: PracticeSite, field: str, value: Any, when: str
) -> None:
    walked.look()
    if when == "after":
        walked.settled()
        assert not walked.start.disabled
    getattr(walked, field).value = value
    walked.settled()
    assert walked.start.disabled and walked.plan is None
    assert greyed(walked._cost) and "made for other inputs" in walked._cost_of.note.value
    assert "This is what the walk will cost" not in walked.status
    walked.start.click()
    with pytest.raises(InputError, match="made for other inputs"):
        walked.walk()
    assert not [r for r in site.requests if "membersByGroupId" in r.path]
    walked.look()
    walked.settled()
    assert not walked.start.disabled and not greyed(walked._cost)


def test_a_cost_of_other_registered_groups_starts_no_walk(
    walked: WalkPanel, connected: Workspace, site: PracticeSite
) -> None:
    walked.look()
    walked.settled()
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["name"] == "okta-engineering", "group_id"]), groups=groups)
    walked.start.click()
    assert "changed since: registered groups" in walked.status
    assert walked.start.disabled and not [r for r in site.requests if "membersByGroupId" in r.path]


def test_what_a_form_said_belongs_to_its_fields(workspace: Workspace, site: PracticeSite) -> None:
    form = ConnectionForm(workspace=workspace)
    form.fields["client_id"].value = site.client_id
    form.only_save.click()
    assert "1 field needs another look" in form.status
    form.secret.put(Secret("a-secret-of-the-app"))
    assert "changed since: OAuth client secret" in form.status
    form.only_save.click()
    form.settled()
    saved = form.status
    assert "is saved" in saved
    form.fields["name"].value = "Another name"
    assert "is saved" not in form.status and "(changed since: Name). Press Save." in form.status
    form.fields["name"].value = form.connection.name
    assert form.status == saved


@pytest.fixture
def asking(walked: WalkPanel) -> QuestionPanel:
    walked.rehearse(groups="all")
    return QuestionPanel(walked)


def test_an_answer_belongs_to_question_parameters_and_snapshot(walked: WalkPanel, asking: QuestionPanel) -> None:
    asking.rehearse(question="members-of-groups", group="marketing")
    assert "rows" in asking.status and not greyed(asking._place)
    asking.params["group"].value = "legal-counsel"
    assert greyed(asking._place) and "made for other inputs" in asking.status
    asking.params["group"].value = "marketing"
    assert not greyed(asking._place) and "rows" in asking.status
    asking.question.value = "groups-without-members"
    assert greyed(asking._place) and "changed since: question" in asking.status
    asking.ask()
    asking.settled()
    assert not greyed(asking._place) and asking.status == "1 row."
    walked.rehearse(groups="all")
    assert greyed(asking._place) and "changed since: snapshot" in asking.status


def test_an_answer_that_comes_too_late_is_grey_at_once(asking: QuestionPanel) -> None:
    asking.question.value = "members-of-groups"
    audit, go = asking.audit, threading.Event()
    ask = audit.ask

    def slow(*args: Any, **given: Any) -> Any:
        go.wait(10)
        return ask(*args, **given)

    audit.ask = slow  # type: ignore[method-assign]
    asking.params["group"].value = "marketing"
    asking.ask()
    asking.params["group"].value = "legal-counsel"
    go.set()
    asking.settled()
    assert greyed(asking._place) and "changed since: parameters" in asking.status


def test_a_check_belongs_to_the_connection_as_it_was(connected: Workspace, site: PracticeSite) -> None:
    form = ConnectionForm(workspace=connected)
    panel = CheckPanel(workspace=connected).follow(form)
    panel.check()
    panel.settled()
    assert not greyed(panel._place)
    said = panel.status
    form.fields["name"].value = "Another name"
    form.save()
    form.settled()
    assert greyed(panel._place) and said != panel.status
    assert "changed since: connection" in panel.status
    panel.check()
    panel.settled()
    assert not greyed(panel._place)


def test_what_is_moved_while_ok_is_carried_out_waits_for_the_next_ok(
    connected: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    picker = GroupPicker(workspace=connected)
    picker.settled()
    first, second, third = picker.model.shown("available")[:3]
    picker.choose([first, second])
    registry, go = connected.registry(), threading.Event()
    add = type(registry).add

    def slow(self: Any, *args: Any, **options: Any) -> Any:
        go.wait(10)
        return add(self, *args, **options)

    monkeypatch.setattr(type(registry), "add", slow)
    picker.ok.click()
    picker.choose([first, third])
    go.set()
    picker.settled()
    assert set(registry.ids()) == {first, second}, "what was on the screen at the press"
    assert picker.model.to_add == [third] and picker.model.to_remove == [second]
    picker.accept()
    picker.settled()
    assert set(registry.ids()) == {first, third}
