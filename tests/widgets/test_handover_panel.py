"""The component of the hand-over: what each press shows, what it refuses, and that no secret stays in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import SpokekitError
from spokekit.practice import PracticeInstance
from spokekit.widgets import HandoverPanel
from spokekit.widgets import handover_panel as module
from spokekit.widgets.steps import steps_done


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> Iterator[PracticeInstance]:
    """Give the panel a practice instance of this test's own."""
    with PracticeInstance() as running:
        monkeypatch.setattr(module, "_embedded", [running])
        yield running


@pytest.fixture
def panel(workspace: Workspace, instance: PracticeInstance) -> HandoverPanel:
    workspace.connections.add(ConnectionDraft(client_id="here"))
    return HandoverPanel(workspace=workspace)


def press(panel: HandoverPanel, name: str) -> None:
    getattr(panel, name).click()
    # What the work raised stands in the status line.
    with suppress(SpokekitError):
        panel.settled()


def test_the_whole_way_on_a_practice_instance(
    panel: HandoverPanel, workspace: Workspace, instance: PracticeInstance
) -> None:
    press(panel, "practise")
    press(panel, "compare_button")
    assert panel.status_kind == "warning"
    assert {"missing"} == set(panel.value["kind"])
    assert "what it means, and what to do" in panel.drift.value
    press(panel, "import_button")
    press(panel, "compare_button")
    assert (panel.status, panel.status_kind) == ("The instance is as planned.", "good")
    press(panel, "clone_button")
    press(panel, "compare_button")
    assert set(panel.value["column"]) == {"active", "redirect_url"}
    press(panel, "ask")
    assert panel.preview is not None and not panel.preview.planned
    assert panel.apply_button.disabled
    assert len(panel.differences.options) == 2
    panel.differences.value = tuple(value for _, value in panel.differences.options)
    panel.settled()
    assert panel.apply_button.description == "Write: 2 steps"
    assert panel.apply_button.disabled
    panel.confirm.value = "change 2 values on 127.0.0.1"
    assert not panel.apply_button.disabled
    press(panel, "apply_button")
    assert panel.accepted == 1
    assert panel.preview_card.layout.display == "none"
    assert "Result: 20 already so, 2 done." in panel.result.value
    press(panel, "compare_button")
    assert panel.status == "The instance is as planned."
    press(panel, "undo_button")
    assert panel.apply_button.description == "Undo: 2 steps"
    panel.confirm.value = panel.preview.confirmation
    press(panel, "apply_button")
    assert next(iter(instance.data.rows["http_connection"].values()))["active"] == "false"


def test_a_clone_that_names_the_app_of_production_is_mended_after_a_question(
    panel: HandoverPanel, instance: PracticeInstance
) -> None:
    press(panel, "practise")
    press(panel, "import_button")
    (registry,) = instance.data.rows["oauth_entity"].values()
    registry["client_id"] = "app-of-<production>"
    press(panel, "compare_button")
    assert list(panel.value["column"]) == ["client_id"]
    press(panel, "ask")
    assert panel.preview is None
    words, *buttons = panel.sure.children
    assert "app-of-&lt;production&gt;" in words.value and "Is it yours" in words.value
    yes, no = (button for button in buttons if hasattr(button, "click"))
    no.click()
    assert panel.sure.children == () and panel.preview is None
    press(panel, "ask")
    yes, no = (button for button in panel.sure.children if hasattr(button, "click"))
    yes.click()
    panel.settled()
    assert panel.sure.children == () and panel.apply_button.description == "Write: 1 step"
    panel.confirm.value = panel.preview.confirmation
    press(panel, "apply_button")
    assert registry["client_id"] == "practice-app"


def test_what_lacks_is_said_and_what_was_made_for_other_fields_is_no_answer(
    panel: HandoverPanel, instance: PracticeInstance
) -> None:
    press(panel, "compare_button")
    assert "The field “Instance” is empty" in panel.status
    panel.instance.value = "https://acme.service-now.com/x"
    press(panel, "compare_button")
    assert "not the address of an instance" in panel.status
    panel.instance.value = "acme"
    press(panel, "ask")
    assert "The field “API key” is empty" in panel.status
    panel.way.value = "oauth"
    panel.secret.put(Secret("planted-1"))
    press(panel, "compare_button")
    assert "The field “Client ID” is empty" in panel.status
    press(panel, "import_button")
    assert "practice instance only" in panel.status
    press(panel, "practise")
    press(panel, "ask")
    assert panel.preview is not None
    panel.app_id.value = "another"
    assert panel.preview is None
    assert panel.apply_button.disabled
    panel.instance.value = "acme"
    press(panel, "ask")
    assert "The field “API key” is empty" in panel.status, "the practice instance's key goes nowhere else"


def test_a_key_that_was_typed_for_one_instance_is_sent_to_no_other(
    panel: HandoverPanel, instance: PracticeInstance
) -> None:
    # Typed before any instance was named, it is for the first one that is asked.
    panel.secret.put(Secret(instance.api_key))
    panel.instance.value = instance.url
    press(panel, "compare_button")
    assert panel.value is not None
    for other in ("acme", instance.url):
        panel.instance.value = other
        assert "is empty again" in panel.status
        panel.value = None
        press(panel, "compare_button")
        assert "The field “API key” is empty" in panel.status and panel.value is None
        panel.secret.put(Secret("the key of acme"))


def test_a_wrong_key_a_sleeping_instance_and_a_stopped_apply_are_sentences(
    panel: HandoverPanel, instance: PracticeInstance
) -> None:
    press(panel, "practise")
    panel.secret.put(Secret("planted-88"))
    press(panel, "compare_button")
    assert "does not accept this API key" in panel.status
    assert "planted-88" not in panel.status
    press(panel, "practise")
    instance.faults = {"asleep"}
    press(panel, "ask")
    assert "goes to sleep" in panel.status
    instance.faults = set()
    instance.switches.rewrites = {"oauth_entity_scope.oauth_entity_scope": "other"}
    press(panel, "ask")
    panel.confirm.value = panel.preview.confirmation
    press(panel, "apply_button")
    assert panel.status_kind == "warning"
    assert "has changed oauth_entity_scope" in panel.status
    instance.switches.rewrites = {}
    press(panel, "ask")
    assert panel.apply_button.description.startswith("Resume: ")


def test_the_folder_and_the_step_of_the_guide(connected: Workspace, tmp_path: Path, instance: PracticeInstance) -> None:
    panel = HandoverPanel(workspace=connected)
    panel.folder.value = str(tmp_path / "out")
    press(panel, "write_button")
    assert (tmp_path / "out" / "checklist.md").exists()
    press(panel, "write_button")
    assert "not an empty folder" in panel.status
    assert 8 not in steps_done(connected)
    other = HandoverPanel(workspace=connected)
    other.rehearse()
    assert other.status == "The instance is as planned."
    assert steps_done(connected)[8] == "an instance was written to once"


def test_with_the_instance_of_the_lab_none_is_started(
    panel: HandoverPanel, instance: PracticeInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_embedded", [])
    monkeypatch.setenv("SPOKEKIT_INSTANCE", json.dumps(instance.describe()))
    panel.rehearse()
    assert module._embedded == []
    assert panel.status == "The instance is as planned."
    assert instance.data.rows["http_connection"]


def test_nothing_secret_is_in_its_state(panel: HandoverPanel, instance: PracticeInstance) -> None:
    from ipywidgets import Widget

    press(panel, "practise")
    press(panel, "compare_button")
    state = json.dumps(Widget.get_manager_state(drop_defaults=False), default=str)
    assert instance.url in state
    assert instance.api_key not in state + repr(panel) + repr(vars(panel))


def test_names_from_an_instance_are_text(panel: HandoverPanel, instance: PracticeInstance) -> None:
    press(panel, "practise")
    press(panel, "import_button")
    row = next(iter(instance.data.rows["http_connection"].values()))
    row["connection_url"] = "https://x.example/<img src=x onerror=alert(1)>"
    press(panel, "compare_button")
    press(panel, "ask")
    assert "&lt;img src=x" in panel.drift.value
    assert "<img" not in panel.drift.value + panel.shown_preview.value
