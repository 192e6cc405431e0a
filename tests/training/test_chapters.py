"""The chapters: every lesson has its cell, the cells run, and a panel leads to the goal."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from spokekit.errors import SpokekitError
from spokekit.training.attempts import events_here
from spokekit.training.course import Chapter, chapters, lessons
from spokekit.training.progress import by_lesson

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite

FOLDER = Path(__file__).parents[2] / "notebooks" / "training"


@pytest.fixture(autouse=True)
def _on_a_practice_site(site: PracticeSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    monkeypatch.setenv("SPOKEKIT_VAULT", "file")
    yield
    os.environ.pop("SPOKEKIT_VAULT", None)


def cells_of(chapter: Chapter) -> list[dict[str, Any]]:
    book = json.loads((FOLDER / chapter.notebook).read_text(encoding="utf-8"))
    return [cell for cell in book["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.letter)
def test_every_lesson_of_a_chapter_has_its_cell(chapter: Chapter) -> None:
    cells = cells_of(chapter)
    first, *last = ["".join(cell["source"]).splitlines()[-1] for cell in cells]
    assert first == f'ChapterGuide("{chapter.letter}")'
    assert last == [f'LessonPanel("{lesson.name}")' for lesson in chapter.lessons]


def test_the_chapters_pass_under_nbval_and_every_lesson_is_right(home: Path, tmp_path: Path) -> None:
    folder, report = tmp_path / "training", tmp_path / "report.xml"
    shutil.copytree(FOLDER, folder)
    (folder / "pytest.ini").write_text("[pytest]\n")
    jupyter = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    env = {**os.environ, **jupyter, "SPOKEKIT_UNATTENDED": "1", "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    names = [chapter.notebook for chapter in chapters()]
    run = subprocess.run(
        [*command, "--nbval-cell-timeout", "180", f"--junitxml={report}", *names],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert len(list(ElementTree.parse(report).iter("testcase"))) == sum(len(cells_of(c)) for c in chapters())
    # In an unattended run each cell begins its lesson, does it and checks it.
    rows = by_lesson(events_here(home), lessons().values())
    assert {row["lesson"]: row["outcome"] for row in rows} == dict.fromkeys(lessons(), "right")


def test_the_line_at_the_head_tells_what_is_right_and_leads_on(home: Path) -> None:
    from spokekit.widgets import ChapterGuide, LessonPanel

    guide = ChapterGuide("B")
    shown = guide._line.value
    assert not (home / "spokekit.sqlite").exists(), "to look leaves no trace"
    assert "<li aria-current='step' title='Lessons B · Groups'>B " in shown and "0 of 3 right" in shown
    targets = (
        "../00-start-here.ipynb",
        "A-connect.ipynb",
        "C-audit.ipynb",
        "D-change.ipynb",
        "E-hand-over.ipynb",
        "F-together.ipynb",
    )
    assert re.findall(r"href='([^']+)' data-notebook='([^']+)'", shown) == [(one, one) for one in targets]
    panel = LessonPanel("the-right-groups")
    panel.rehearse(solve=False)
    panel.look()
    panel.settled()
    assert panel.outcome_word == "not attempted" and guide.right == () and panel._onward.layout.display == "none"
    panel.rehearse()
    # In an hour this one is enough of the chapter, and the chapter is not done by it.
    assert guide.right == ("the-right-groups",) and guide.done == () and "1 of 3 right" in guide._line.value
    assert "Next: C Audit →" in guide._line.value and "Next: C Audit →" in panel._onward.value
    assert "The right groups: right, " in guide._details.value
    assert "Not yet: Nearly the same name, A synced group." in guide._details.value
    panel.start()
    panel.settled()
    assert panel._onward.value == ""
    # Another Python reads the same progress.
    again = ChapterGuide("B")
    assert again.right == ("the-right-groups",) and ChapterGuide.above("synced-group") is again
    for name in ("near-duplicate-names", "synced-group"):
        LessonPanel(name).rehearse()
    assert again.done == ("B",) and "<span class='sk-unseen'>done: </span>B " in again._line.value
    assert "Next" not in ChapterGuide("F")._line.value


def test_the_line_at_the_head_without_a_practice_site(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    from spokekit.widgets import ChapterGuide

    monkeypatch.delenv("SPOKEKIT_PRACTICE")
    guide = ChapterGuide("A")
    assert "Your own site" in guide._line.value and "of 8 right" not in guide._line.value
    assert not list(home.rglob("*.sqlite"))
    with pytest.raises(SpokekitError, match="no chapter 'X'"):
        ChapterGuide("X")


def test_a_cell_whose_lesson_is_not_done_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from spokekit.training.lessons.b_groups import SyncedGroup
    from spokekit.widgets import LessonPanel

    monkeypatch.setenv("SPOKEKIT_UNATTENDED", "1")
    monkeypatch.setattr(SyncedGroup, "solve", lambda *_: None)
    with pytest.raises(SpokekitError, match="Not attempted"):
        LessonPanel("synced-group")


def test_a_panel_goes_from_the_beginning_to_right() -> None:
    from spokekit.widgets import LessonPanel

    panel = LessonPanel("synced-group")
    panel.rehearse(solve=False)
    assert panel.begun == 1
    panel.look()
    panel.settled()
    assert panel.outcome_word == "not attempted" and panel.status.startswith("Not attempted.")
    # An outcome belongs to the answer on the screen, and to what was done until then.
    first = panel.answer.value
    panel.answer.value = panel.answer.options[1][1]
    assert panel.status_kind == "warning" and "changed since: your answer" in panel.status
    panel.answer.value = first
    assert panel.status.startswith("Not attempted.")
    (tool, *_) = panel._tools.children
    tool.accepted += 1
    assert "changed since: what was done below" in panel.status
    for _ in range(2):
        panel.answer.value = panel.answer.options[1][1]
        panel.send_answer()
        panel.look()
        panel.settled()
    assert panel._same.layout.display == ""
    panel.help()
    assert panel.status.startswith("Hint 1 of 2") and panel.hint.description == "Hint 2 of 2"
    panel.show_solution()
    assert "1 more hint" in panel.status
    panel.help()
    panel.show_solution()
    assert "stands below" in panel.status
    panel.rehearse()
    assert panel._same.layout.display == "none", "what is right is not the same mistake once more"
    assert panel.outcome_word == "right" and panel.begun == 2


def test_a_hand_over_lesson_in_its_panel_reaches_its_practice_instance_and_no_other(site: PracticeSite) -> None:
    from spokekit.widgets import LessonPanel

    panel = LessonPanel("instance-after-a-clone")
    panel.rehearse(solve=False)
    (tool,) = panel._tools.children
    there = site.instance_beside.there()
    assert (tool.instance.value, tool.instance.disabled) == (there.url, True)
    assert f"{site.url}instance" in panel._goal.value and "console" in panel._goal.value
    tool.instance.value = "https://acme.service-now.com/"
    with pytest.raises(SpokekitError, match="its own practice instance only"):
        tool.compare()
    panel._open(panel.attempt)
    (tool,) = panel._tools.children
    tool.compare()
    tool.settled()
    assert len(tool.value) == 3
    tool.groups.value = True
    tool.make_preview()
    tool.settled()
    tool.differences.value = tuple(value for _, value in tool.differences.options)
    tool.settled()
    tool.confirm.value = tool.preview.confirmation
    tool.apply()
    tool.settled()
    panel.look()
    panel.settled()
    assert panel.outcome_word == "right", panel.status
    from ipywidgets import Widget

    shown = json.dumps(Widget.get_manager_state(drop_defaults=True), default=str)
    secrets = [app.client_secret for app in site.apps]
    assert [one for one in (there.api_key, *secrets) if one in shown] == [], "no secret is in the notebook"
    # Another attempt has another app, and nothing of the last one stands in its fields.
    panel._start(again=True)
    panel.settled()
    (again,) = panel._tools.children
    assert again.app_id.value == panel.attempt.seen().marks.extra["instance_app"] and again.value is None
