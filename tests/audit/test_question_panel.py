"""Names are chosen, not remembered; a question that cannot be answered yet says why and leads on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import pytest

from spokekit.errors import NotFound
from spokekit.widgets import QuestionPanel, WalkPanel

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


def press_enter(panel: QuestionPanel, field: Any, value: str | None = None) -> None:
    """Press Enter; `value` is what stands in the field when its last letters are still on their way."""
    value = field.value if value is None else value
    panel._guard._handle_custom_msg({"kind": "enter", "label": field.description, "value": value}, [])


def test_suggestions_did_you_mean_and_enter(connected: Workspace, site: PracticeSite) -> None:
    walk = WalkPanel(workspace=connected)
    panel = QuestionPanel(walk)
    assert "Nothing has been walked yet" in panel._words.value
    assert not panel.start.disabled, "a Tab that comes before Python has seen a choice must find it"
    panel.start.click()
    assert panel.status == "Nothing has been walked yet. Press What will a walk cost?" and panel.status_kind == "error"
    assert panel.value is None and not panel.busy
    assert all("(not yet)" in words for words, _ in panel.question.options)
    assert panel.mend.description == "What will a walk cost?"
    panel.mend.click()
    walk.settled()
    assert walk.plan is not None and walk.value is None, "a press looks at the cost and walks nothing"
    walk.rehearse(groups="all")
    assert panel.status == "" and panel.mend.layout.display == "none"

    panel.question.value = "members-of-groups"
    field = panel.params["group"]
    assert isinstance(field, ipw.Combobox) and len(field.options) == 20
    field.value = "ADMIN"
    assert "confluence-admins" in field.options and "marketing" not in field.options
    field.value = "%"
    assert len(field.options) == 20, "a sign of SQL is nothing that matches or fails"
    # The last letters are still on their way when Enter arrives.
    field.value = "m"
    press_enter(panel, field, "marketng")
    assert not panel.busy and panel.value is None, "nobody asks about half a name"
    field.value = "marketng"
    with pytest.raises(NotFound):
        panel.settled()
    names = [one.description for one in panel._near.children if isinstance(one, ipw.Button)]
    assert names[0] == "marketing" and panel._near.layout.display == ""
    panel._near.children[1].click()
    panel.settled()
    assert field.value == "marketing" and panel._near.layout.display == "none"
    assert set(panel.value["group_name"]) == {"marketing"} and panel.status_kind == "good"
    field.value = "marketng"
    assert panel._near.layout.display == "none", "what was near belongs to what was typed"


def test_a_question_that_needs_the_spaces_waits_for_them(connected: Workspace) -> None:
    walk = WalkPanel(workspace=connected)
    walk.rehearse(groups="all")
    panel = QuestionPanel(walk)
    waiting = {name for words, name in panel.question.options if "(not yet)" in words}
    assert "open-spaces" in waiting and "group-sizes" not in waiting
    panel.question.value = "open-spaces"
    assert "sk-warning" in panel._words.value and "read the spaces" in panel._words.value
    panel.start.click()
    assert panel.status_kind == "error" and panel.status.endswith("Press What will a walk with spaces cost?")
    assert "sk-primary" in panel.mend._dom_classes and "sk-primary" not in panel.start._dom_classes
    panel.mend.click()
    walk.settled()
    assert walk.spaces.value and walk.plan is not None
    panel.question.value = "group-sizes"
    assert "sk-primary" in panel.start._dom_classes and panel.mend.layout.display == "none"
    panel.ask()
    panel.settled()
    assert not panel.start.disabled
