"""The reporter between a practice home and the board of a class: what is sent, what is done, and nothing twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spokekit.board import wire
from spokekit.board.records import Given
from spokekit.board.server import BoardSite
from spokekit.cli import main
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


def became(learner: Learner, n: int) -> tuple[str, str]:
    wait_until(lambda: n in learner.done)
    return learner.done[n].outcome, learner.done[n].why


def test_orders_change_the_practice_site_and_nothing_else(
    board: BoardSite, reporting: Reporter, attempts: Attempts, site: PracticeSite
) -> None:
    attempts.begin(lesson(LESSON))
    learner, group = me(board), "procurement"
    before = set(site.world.member_ids(group))
    assert became(learner, board.order(wire.Fault("429:3 x5 @members"))) == ("done", "")
    assert [(f.name, f.every, f.times, f.on) for f in site.faults.active] == [("429", 3, 5, "members")]
    assert became(learner, board.order(wire.Fault("no-such-fault x1"))) == ("refused", "not possible here")
    assert became(learner, board.order(wire.Clear())) == ("done", "") and not site.faults.active
    assert became(learner, board.order(wire.Colleague("remove", group, "an active member"))) == ("done", "")
    (gone,) = before - set(site.world.member_ids(group))
    assert site.world.find_person(gone).account_status == "active" and gone != site.account_id
    assert became(learner, board.order(wire.Colleague("add", group, "a guest"))) == ("done", "")
    (came,) = set(site.world.member_ids(group)) - before
    assert site.world.find_person(came).is_guest
    for strange in (
        wire.Colleague("add", "no such group", "a guest"),
        wire.Colleague("remove", group, "somebody who is not in it"),
    ):
        assert became(learner, board.order(strange)) == ("refused", "not possible here")
    clock = site.clock.offset
    assert became(learner, board.order(wire.Advance("licence-is-full", 3700))) == ("refused", "other lesson")
    assert became(learner, board.order(wire.Advance(LESSON, 3700))) == ("done", "")
    assert site.clock.offset == clock + 3700
    # While somebody is in the middle of a request, time waits, and other orders do not.
    site.in_flight += 1
    waiting, other = board.order(wire.Advance(LESSON, 60)), board.order(wire.Fault("503 x1"))
    assert became(learner, other) == ("done", "") and waiting not in learner.done
    site.in_flight -= 1
    assert became(learner, waiting) == ("done", "")


def test_without_a_practice_site_and_late_everything_is_refused(
    board: BoardSite, home: Path, site: PracticeSite
) -> None:
    join_class(home, board.url, board.code)
    made = Reporter(home, None)
    assert made.start()
    try:
        assert became(me(board), board.order(wire.Clear())) == ("refused", "no practice site")
    finally:
        made.stop()
    far = Reporter(home, {**site.describe(), "url": "https://api.atlassian.com/"})
    assert far.start()
    try:
        assert became(me(board), board.order(wire.Fault("429 x1"))) == ("refused", "no practice site")
    finally:
        far.stop()
    assert not site.faults.active
    # The computer was asleep, or off: the board's own clock says how old an order is.
    n = board.classroom.order(wire.Fault("429 x1")).ordered.n
    old = board.classroom.kept.orders[-1]
    board.classroom.kept.orders[-1] = Given(wire.Ordered(n, old.ordered.at - 700, old.ordered.order), None)
    awake = Reporter(home, site.describe())
    assert awake.start()
    try:
        assert became(me(board), n) == ("refused", "out of date") and not site.faults.active
    finally:
        awake.stop()


def test_what_was_begun_when_the_process_was_killed_is_not_done_twice(
    board: BoardSite, home: Path, site: PracticeSite
) -> None:
    joined = join_class(home, board.url, board.code)
    fault, clear, advance = (board.order(one) for one in (wire.Fault("429 x3"), wire.Clear(), wire.Advance(LESSON, 60)))
    with closing(events_here(home).store) as store:
        for given in board.classroom.kept.orders:
            assert TrainerOrders(store, joined.place).take(given.ordered)
    made = Reporter(home, site.describe())
    assert made.start()
    try:
        assert became(me(board), fault) == ("refused", "not possible here")
        assert became(me(board), clear) == ("done", "")
        assert became(me(board), advance) == ("refused", "not quiet")
        assert not site.faults.active
    finally:
        made.stop()


def test_a_board_that_is_killed_and_a_network_that_is_cut_lose_nothing(
    board: BoardSite, attempts: Attempts, site: PracticeSite, home: Path, tmp_path: Path
) -> None:
    joined = join_class(home, board.url, board.code)
    made = Reporter(home, site.describe())
    assert made.start()
    try:
        attempt = attempts.begin(lesson(LESSON))
        wait_until(lambda: len(me(board).events) == 1)
        board.stop()
        attempt.check()
        wait_until(lambda: (state := reporter_state(home, joined)) is not None and not state.reached)
        state = reporter_state(home, joined)
        assert state is not None and "has not been reached since" in state.words
        attempt.hint()
        with BoardSite(tmp_path / "class.sqlite", port=board.port) as again:
            wait_until(lambda: [e.event for e in me(again).noted()] == ["begun", "checked", "hint"], 15)
            n = again.order(wire.Fault("429 x3"))
            wait_until(lambda: n in me(again).done and len(site.faults.active) == 1, 15)
            assert reporter_state(home, joined).reached  # type: ignore[union-attr]
            # Another class is there all of a sudden: the reporter ends, and says why.
        with BoardSite(tmp_path / "other.sqlite", port=board.port) as other:
            wait_until(lambda: (s := reporter_state(home, joined)) is not None and s.ended, 40)
            assert "does not know this computer any more" in reporter_state(home, joined).words  # type: ignore[union-attr]
            assert not other.classroom.kept.learners
    finally:
        made.stop()
    assert [e.event for e in attempts.events.all()] == ["begun", "checked", "hint"]


def test_a_terminal_hears_the_trainer_too(
    board: BoardSite,
    reporting: Reporter,
    attempts: Attempts,
    site: PracticeSite,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    attempts.begin(lesson(LESSON))
    orders = [
        board.order(one)
        for one in (
            wire.Say("Five \x1b[2Jminutes"),
            wire.OfferReset(LESSON),
            wire.Release(LESSON),
            wire.Fault("429 x1"),
        )
    ]
    wait_until(lambda: orders[-1] in me(board).done)
    with pytest.raises(SystemExit):
        main(["lessons", "check", LESSON])
    said = capsys.readouterr().err
    for words in (
        "Your trainer says: Five",
        "fresh start",
        "set a solution free",
        "changed something on the practice site",
    ):
        assert words in said
    assert "\x1b" not in said
    wait_until(lambda: all(me(board).done[n].outcome == "shown" for n in orders[:3] if n in me(board).done))
    with pytest.raises(SystemExit):
        main(["lessons", "hint", LESSON])
    assert "says" not in capsys.readouterr().err, "once"
