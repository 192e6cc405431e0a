"""Every component's work, long enough to report how far it is: the report reaches the screen, and breaks nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spokekit._workspace import Workspace
from spokekit.confluence.report import Progress
from spokekit.practice import PracticeSite
from spokekit.widgets import CheckPanel, GroupPicker, MembershipEditor, QuestionPanel, TokenButton, WalkPanel
from spokekit.widgets.base import Component
from tests.conftest import connect


@pytest.fixture
def slow(workspace: Workspace) -> Iterator[tuple[Workspace, PracticeSite]]:
    """A connection to a site whose answers take a while, with registered groups."""
    with PracticeSite(size="class", seed=1, latency_ms=40) as site:
        connect(workspace, site)
        with workspace.spoke() as spoke:
            groups = spoke.look_up_groups()
        workspace.registry().add(list(groups.loc[groups["access"] != "", "group_id"]), groups=groups)
        yield workspace, site


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[Progress | str]:
    """Let each work seem to have run for ten seconds already, so that the time left is told; keep what was told."""
    reports: list[Progress | str] = []
    time_left, shown = Component._time_left, Component.show_progress

    def earlier(self: Component, done: int, total: int) -> str:
        known = self._began
        words = time_left(self, done, total)
        if self._began is not known:
            self._began = (*self._began[:2], self._began[2] - 10)
        return words

    def noted(self: Component, progress: Progress | str) -> None:
        reports.append(progress)
        shown(self, progress)

    monkeypatch.setattr(Component, "_time_left", earlier)
    monkeypatch.setattr(Component, "show_progress", noted)
    return reports


def _walk(workspace: Workspace, _: PracticeSite) -> Component:
    panel = WalkPanel(workspace=workspace)
    panel.rehearse(groups="all", spaces=True)
    return panel


def _questions(workspace: Workspace, site: PracticeSite) -> Component:
    panel = QuestionPanel(_walk(workspace, site))
    panel.rehearse(question="groups-with-access")
    return panel


def _picker(workspace: Workspace, _: PracticeSite) -> Component:
    picker = GroupPicker(workspace=workspace)
    picker.settled()
    picker.load(again=True)
    picker.settled()
    return picker


def _check(workspace: Workspace, _: PracticeSite) -> Component:
    panel = CheckPanel(workspace=workspace)
    panel.check()
    panel.settled()
    return panel


def _editor(workspace: Workspace, _: PracticeSite) -> Component:
    editor = MembershipEditor(workspace=workspace, pace=1000)
    editor.settled()
    editor.rehearse()
    return editor


def _applying(workspace: Workspace, site: PracticeSite) -> Component:
    editor = MembershipEditor(workspace=workspace, pace=1000)
    editor.settled()
    present = site.world.member_ids(editor.group_id)
    people = site.world.frames()["users"]
    wanted = people[(people["account_type"] == "atlassian") & (people["account_status"] == "active")]
    editor.pasted.value = "\n".join([a for a in wanted["account_id"].astype(str) if a not in present][:12])
    editor.action.value = "add"
    editor.make_preview()
    editor.settled()
    editor.confirm.value = editor.preview.confirmation or ""
    editor.apply()
    editor.settled()
    assert editor.result is not None
    editor.plan_undo()
    editor.settled()
    return editor


def _token(workspace: Workspace, site: PracticeSite) -> Component:
    component = TokenButton(workspace=workspace)
    component.rehearse()
    return component


WORK: dict[str, Callable[[Workspace, PracticeSite], Component]] = {
    "walk": _walk,
    "questions": _questions,
    "picker": _picker,
    "check": _check,
    "editor": _editor,
    "applying": _applying,
    "token": _token,
}


@pytest.mark.parametrize("work", WORK)
def test_progress_reaches_the_screen(work: str, slow: tuple[Workspace, PracticeSite], told: list[Any]) -> None:
    said: list[str] = []
    original = Component.say

    def say(self: Component, words: str, *more: Any) -> None:
        said.append(words)
        original(self, words, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Component, "say", say)
        component = WORK[work](*slow)
    assert told, "nothing was reported, so nothing was tested"
    assert component.status_kind != "error", component.status
    assert not [words for words in (*said, component.status) if "fault of its own" in words]
    if work in ("walk", "questions", "applying"):
        assert any(" left" in words for words in said), said


def test_what_is_told_is_progress_or_a_sentence(slow: tuple[Workspace, PracticeSite], told: list[Any]) -> None:
    _walk(*slow)
    assert all(isinstance(one, Progress | str) for one in told)
    assert any("points left this hour" in one.words for one in told if isinstance(one, Progress))
