"""The class in a notebook: joining, the trainer's words and offers, the hand, what was sent, leaving."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spokekit.board import wire
from spokekit.board.server import BoardSite
from spokekit.training.my_class import my_class
from spokekit.widgets import ChapterGuide, JoinPanel, LessonPanel
from spokekit.widgets._class_news import stop_reporting
from tests.training.conftest import site  # noqa: F401 - a fixture
from tests.training.test_reporter import board, me, wait_until  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from spokekit.board.records import Learner
    from spokekit.practice import PracticeSite

LESSON = "synced-group"


def became(learner: Learner, n: int) -> str:
    return learner.done[n].outcome if n in learner.done else ""


@pytest.fixture
def here(site: PracticeSite, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:  # noqa: F811
    """Give a practice home in a kernel that reports by itself, as on Binder."""
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    yield home
    stop_reporting(home)
    os.environ.pop("SPOKEKIT_VAULT", None)


@pytest.fixture
def joined(here: Path, board: BoardSite) -> JoinPanel:  # noqa: F811
    """Join through the panel."""
    panel = JoinPanel()
    panel.address.value, panel.code.value, panel.name.value = board.url, board.code, "Kim <b>"
    panel.join.click()
    panel.settled()
    return panel


def test_a_class_is_joined_its_words_appear_and_it_is_left(joined: JoinPanel, here: Path, board: BoardSite) -> None:  # noqa: F811
    learner = me(board)
    assert joined.joined and f"You are {learner.pseudonym}" in joined.status
    assert joined.code.value == "" and learner.name == "Kim <b>" and "<b>" not in joined._who.value
    n = board.order(wire.Say("<script>alert(1)</script> five more \u202eminutes"))
    wait_until(lambda: "five more" in joined.news.value)
    assert "<script>" not in joined.news.value and "\u202e" not in joined.news.value
    wait_until(lambda: became(learner, n) == "shown")
    board.order(wire.Begin("licence-is-full"))
    wait_until(lambda: "Lessons D" in joined.news.value)
    assert "href='training/D-change.ipynb'" in joined.news.value
    joined.hand.click()
    wait_until(lambda: learner.now.hand)
    joined.hand.click()
    wait_until(lambda: not learner.now.hand)
    joined.sent.shown = True
    joined.settled()
    assert "no name" not in joined._sent.value and "order 1" in joined._sent.value
    joined.leave.click()
    joined._sure.children[1].click()
    assert not joined.joined and my_class(here) is None and joined.join in joined.fold._inside.children[-1].children
    assert "left the class" in joined.status


def test_the_guide_has_it_and_wrong_input_is_told(here: Path, board: BoardSite) -> None:  # noqa: F811
    guide = ChapterGuide("C")
    panel = guide.body[-1]
    assert isinstance(panel, JoinPanel) and not panel.fold.shown
    for address, code, words in (
        ("", "", "address of the class is missing"),
        ("http://127.0.0.1:9", "ABCDEF", "Nobody listens"),
        (board.url, "WRONG1", "not the code"),
    ):
        panel.address.value, panel.code.value = address, code
        panel.join.click()
        with pytest.raises(Exception, match=words):
            panel.settled()
        assert words in panel.status and panel.code.value == code


def test_a_lesson_hears_the_trainer(joined: JoinPanel, board: BoardSite) -> None:  # noqa: F811
    learner = me(board)
    panel = LessonPanel(LESSON)
    invited = board.order(wire.Begin(LESSON))
    wait_until(lambda: "asks you to begin" in panel.class_.lines.value)
    panel.begin.click()
    panel.settled()
    wait_until(lambda: became(learner, invited) == "accepted" and learner.now.lesson == LESSON)
    wait_until(lambda: "asks you to begin" not in panel.class_.lines.value)
    assert panel.attempt is not None
    state = panel.attempt.desk.state()
    n = board.order(wire.Fault("429:3 x5 @members"))
    wait_until(lambda: became(learner, n) == "done")
    assert panel.attempt.desk.struck() == [(("429", 5, "members"), 0)]
    assert panel.class_.acts.layout.display == "none", "not before the learner checks"
    panel.check.click()
    panel.settled()
    assert "Your trainer changed something" in panel.class_.acts.value and "429:3" in panel.class_.acts.value
    assert panel.class_.acts.layout.display == "" and state.begun == panel.attempt.desk.state().begun
    panel.solution.click()
    assert "comes after" in panel.status
    board.order(wire.Release(LESSON))
    board.order(wire.AnswerAgain(LESSON))
    wait_until(lambda: "set the solution free" in panel.class_.lines.value and "neighbour" in panel.class_.lines.value)
    panel.solution.click()
    assert "<ol" in panel._told.value
    panel.class_.hand.click()
    wait_until(lambda: learner.now.hand)


def test_an_offered_start_is_accepted_declined_or_overtaken(joined: JoinPanel, board: BoardSite) -> None:  # noqa: F811
    learner = me(board)
    panel, other = LessonPanel(LESSON), LessonPanel(LESSON)
    panel.begin.click()
    panel.settled()
    first = board.order(wire.OfferReset(LESSON))
    wait_until(lambda: len(panel.class_.offer.children) == 3)
    panel.class_.offer.children[2].click()
    wait_until(lambda: became(learner, first) == "declined" and not panel.class_.offer.children)
    assert panel.attempt is not None and panel.attempt.number == 1
    second = board.order(wire.OfferReset(LESSON))
    wait_until(lambda: len(panel.class_.offer.children) == 3 and len(other.class_.offer.children) == 3)
    panel.class_.offer.children[1].click()
    panel.settled()
    assert panel.attempt.number == 2
    wait_until(lambda: became(learner, second) == "accepted" and not other.class_.offer.children)
    # The learner starts over alone while an offer stands.
    third = board.order(wire.OfferReset(LESSON))
    wait_until(lambda: len(panel.class_.offer.children) == 3)
    panel.start_over()
    panel.settled()
    wait_until(lambda: became(learner, third) == "accepted" and not panel.class_.offer.children)
    assert panel.attempt.number == 3 and [e.event for e in learner.noted()] == ["begun", "reset", "reset"]
