"""The reporter between a practice home and the board of a class: what is sent, what is done, and nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spokekit.board import wire
from spokekit.board.server import BoardSite
from spokekit.training.attempts import Attempts, events_here
from spokekit.training.course import lesson
from spokekit.training.desk import Desk
from spokekit.training.joining import join_class
from spokekit.training.my_class import raise_hand, reporter_state
from spokekit.training.reporter import Reporter
from spokekit.training.trainer_orders import TrainerOrders
from tests.training.test_attempts import _home_is_put_back  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from spokekit.board.records import Learner
    from spokekit.practice import PracticeSite

LESSON = "synced-group"


def wait_until(there: Callable[[], object], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[BoardSite]:
    """Serve the board of a class."""
    with BoardSite(tmp_path / "class.sqlite", class_name="Tuesday") as made:
        yield made


@pytest.fixture
def attempts(site: PracticeSite, home: Path) -> Iterator[Attempts]:
    """Give the lessons of a home."""
    made = Attempts(Desk(site.describe()), home)
    yield made
    made.desk.close()
    made.events.store.close()


@pytest.fixture
def reporting(board: BoardSite, site: PracticeSite, home: Path) -> Iterator[Reporter]:
    """Report from a home that has joined."""
    join_class(home, board.url, board.code)
    made = Reporter(home, site.describe())
    assert made.start()
    yield made
    made.stop()


def me(board: BoardSite, number: int = 1) -> Learner:
    return board.classroom.kept.learners[number]


def test_what_happens_in_a_lesson_stands_on_the_board(
    board: BoardSite, reporting: Reporter, attempts: Attempts, home: Path
) -> None:
    attempt = attempts.begin(lesson(LESSON))
    attempt.check()
    attempt.hint()
    raise_hand(home, True)
    wait_until(lambda: [one.event for one in me(board).noted()] == ["begun", "checked", "hint"] and me(board).now.hand)
    assert (me(board).now.lesson, me(board).now.attempt) == (LESSON, 1)
    kept = [(one.seq, one.event, one.outcome) for one in attempts.events.all()]
    assert [(one.seq, one.event, one.outcome) for one in me(board).noted()] == kept
    joined = join_class(home, board.url)
    state = reporter_state(home, joined)
    assert state is not None and state.reached
    assert not Reporter(home, None).start(), "one reports for a home"


def test_an_order_comes_and_is_noted_once(board: BoardSite, reporting: Reporter, home: Path) -> None:
    n = board.order(wire.Say("Five more minutes"))
    joined = join_class(home, board.url)
    with closing(events_here(home).store) as store:
        orders = TrainerOrders(store, joined.place)
        wait_until(lambda: orders.last() == n)
        (one,) = orders.all()
        assert one.order == wire.Say("Five more minutes") and one.words == ()
        assert orders.became(n, "shown") and not orders.became(n, "shown")
    wait_until(lambda: n in me(board).done)
    assert me(board).done[n].outcome == "shown"
