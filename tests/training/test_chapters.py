"""The chapters: every lesson has its cell, the cells run, and a panel leads to the goal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spokekit.training.course import Chapter, chapters

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite

FOLDER = Path(__file__).parents[2] / "notebooks" / "training"


@pytest.fixture(autouse=True)
def _on_a_practice_site(site: PracticeSite, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    monkeypatch.setenv("SPOKEKIT_VAULT", "file")
    yield
    os.environ.pop("SPOKEKIT_VAULT", None)


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.letter)
def test_every_lesson_of_a_chapter_has_its_panel(chapter: Chapter) -> None:
    book = json.loads((FOLDER / chapter.notebook).read_text(encoding="utf-8"))
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in cells] == [[]] * len(chapter.lessons)
    for cell, lesson in zip(cells, chapter.lessons, strict=True):
        *before, last = "".join(cell["source"]).splitlines()
        names: dict[str, object] = {}
        exec("\n".join(before), names)
        panel = eval(last, names)
        assert panel.lesson.name == lesson.name and panel.attempt is None and panel.status_kind != "error"


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
    assert panel._same.layout.display is None
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
