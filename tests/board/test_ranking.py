"""From records to what a trainer sees, worked out by hand."""

from __future__ import annotations

import pytest

from spokekit.board import ranking
from spokekit.board.ranking import LessonWords
from spokekit.board.records import Learner
from spokekit.board.wire import Noted, Now

NOW = 100_000.0
COURSE = {"one": LessonWords("one", "One", 5)}


def learner(number: int, *events: tuple[float, str, str, str], seen: float = 0, hand: bool = False, wrong: float = 0):  # type: ignore[no-untyped-def]
    """A learner whose events are (minutes ago, event, outcome, turn) in the lesson "one", by a clock that is wrong."""
    made = Learner(
        number, f"P{number}", "", "", number, NOW - 3_600, 0, NOW - seen, Now("one" if events else "", 1, hand)
    )
    for seq, (ago, event, outcome, turn) in enumerate(events, 1):
        at = NOW - 60 * ago
        made.events[seq] = Noted(seq, at + wrong, "one", 1, event, outcome, turn)  # type: ignore[arg-type]
        made.came[seq] = at
    return made


def _states(*learners: Learner) -> list[tuple[int, str]]:
    return [(row.number, row.state) for row in ranking.rows(learners, COURSE, NOW)]


@pytest.mark.parametrize("wrong", [0.0, 86_400.0, -1e4])
def test_minutes_are_the_learners_own_however_wrong_the_clock(wrong: float) -> None:
    one = learner(1, (12, "begun", "", ""), (3, "checked", "not yet", ""), wrong=wrong)
    assert ranking.minutes_in(one, "one", NOW) == (pytest.approx(12), False)
    done = learner(1, (12, "begun", "", ""), (3, "checked", "right", ""), (1, "checked", "not yet", "x"), wrong=wrong)
    assert ranking.minutes_in(done, "one", NOW) == (pytest.approx(9), True)
    assert ranking.minutes_in(learner(1), "one", NOW) == (None, False)


def test_long_at_it_is_twice_the_lessons_minutes_until_enough_were_right() -> None:
    slow = learner(1, (9, "begun", "", ""))
    slower = learner(2, (11, "begun", "", ""))
    assert _states(slow, slower) == [(2, "long at it"), (1, "working")]
    quick = [learner(n, (9, "begun", "", ""), (8, "checked", "right", "")) for n in (3, 4, 5)]
    assert _states(slow, *quick)[0] == (1, "long at it")


def test_the_same_turn_is_counted_only_without_another_between() -> None:
    def checks(*turns: str) -> Learner:
        return learner(1, (4, "begun", "", ""), *((3, "checked", "not yet", turn) for turn in turns))

    assert [_states(checks(*turns))[0][1] for turns in (("x", "x", "x"), ("x", "y", "x", "x"), ("", "", ""))] == [
        "same turn",
        "working",
        "working",
    ]


def test_silent_is_who_is_in_a_lesson_and_not_heard() -> None:
    begun = (2, "begun", "", "")
    assert _states(learner(1, begun, seen=59), learner(2, begun, seen=61), learner(3, seen=600)) == [
        (2, "silent"),
        (3, "not begun"),
        (1, "working"),
    ]
    done = learner(4, begun, (1, "checked", "right", ""), seen=600)
    assert _states(done) == [(4, "done")]
    assert _states(learner(5, begun, (1, "checked", "right", ""), hand=True)) == [(5, "hand up")]


def test_where_and_commonest() -> None:
    right = learner(1, (4, "begun", "", ""), (3, "checked", "not yet", "x"), (2, "checked", "right", ""))
    wrong = [learner(n, (4, "begun", "", ""), (3, "checked", "not yet", turn)) for n, turn in enumerate("xxyzw", 2)]
    class_ = [right, *wrong, learner(9)]
    assert ranking.where(class_, ["one", "two"]) == [ranking.Where("one", 6, 6, 1), ranking.Where("two", 0, 0, 0)]
    found = [(one.turn, one.count, one.of) for one in ranking.commonest(class_)]
    assert found == [("x", 2, 6), ("w", 1, 6), ("y", 1, 6)]


def test_pairs_are_of_different_answers_as_far_as_that_goes() -> None:
    people = [learner(n) for n in range(7)]
    assert ranking.pairs({}) == [] and ranking.pairs({"x": people[:1]}) == []
    made = ranking.pairs({"x": people[:4], "right": people[4:6], "": people[6:]})
    assert [[one.number for one in pair] for pair in made] == [[0, 4], [1, 5], [2, 3]]
    odd = ranking.pairs({"x": people[:2], "right": people[4:5]})
    assert [[one.number for one in pair] for pair in odd] == [[0, 4, 1]]
