"""From what is kept of a class to what its trainer sees: who needs help, where everybody is, which turns are taken.

Pure functions: the records and a moment go in. Minutes are by the learner's own clock, so that one that is set wrongly
does no harm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from spokekit.board.records import Given, Learner
from spokekit.board.wire import RIGHT, Noted

SILENT_SECONDS = 60.0
SAME_TURN = 3
"""So many checks one after the other with the same wrong turn: somebody is stuck."""
ENOUGH = 3
"""Of so many who were right the median says how long a lesson takes in this class."""

State = Literal["hand up", "same turn", "long at it", "silent", "not begun", "working", "done"]
STATES: tuple[State, ...] = ("hand up", "same turn", "long at it", "silent", "not begun", "working", "done")
"""In the order in which help is needed."""


@dataclass(frozen=True)
class LessonWords:
    """What a board says about a lesson: its title, its minutes, and a sentence for each wrong turn by name."""

    name: str
    title: str
    minutes: int
    turns: Mapping[str, str] = field(default_factory=dict)


Course = Mapping[str, LessonWords]
"""Lessons by name, in their order."""


def readable(name: str) -> str:
    """Return the name of a turn or a lesson as words."""
    return name.replace("-", " ")


def title_of(course: Course, lesson: str) -> str:
    """Return what a lesson is called; its name as words where the board knows no title."""
    return course[lesson].title if lesson in course else readable(lesson).capitalize()


@dataclass(frozen=True)
class Row:
    """A learner as the trainer sees them.

    Attributes
    ----------
    outcome, turn:
        Of the last check in the lesson; "" before the first, and "" when no turn has a name.
    checks, hints, attempts:
        In the lesson.
    minutes, median:
        At the lesson so far, or until it was right; and the median of the class. None when not begun.
    silent:
        Seconds since the learner's computer was heard.
    same:
        How often the same turn was taken, one check after the other.
    """

    number: int
    state: State
    lesson: str
    outcome: str
    turn: str
    checks: int
    hints: int
    attempts: int
    minutes: float | None
    median: float | None
    silent: float
    same: int
    hits: int


def lesson_of(learner: Learner) -> str:
    """Return the lesson that a learner is in, or was in last; "" before the first."""
    last = learner.events[max(learner.events)].lesson if learner.events else ""
    return learner.now.lesson or last


def minutes_in(learner: Learner, lesson: str, now: float) -> tuple[float | None, bool]:
    """Return the minutes from a lesson's beginning until it was right, or until now; and whether it was right."""
    noted = learner.noted()
    own = [one for one in noted if one.lesson == lesson]
    if not own:
        return None, False
    right = next((one.at for one in own if one.event == "checked" and one.outcome in RIGHT), None)
    if right is not None:
        return max(0.0, right - own[0].at) / 60, True
    last = noted[-1]
    # What the board's clock says has gone by since the last word is added to the learner's own time of it.
    here = last.at + max(0.0, now - learner.came.get(last.seq, now))
    return max(0.0, here - own[0].at) / 60, False


def medians(learners: Iterable[Learner], now: float) -> dict[str, tuple[float, bool]]:
    """Return by lesson the median of the minutes, and whether enough were right for it to be a measure."""
    so_far: dict[str, list[tuple[float, bool]]] = {}
    for learner in learners:
        for lesson in {one.lesson for one in learner.events.values()}:
            minutes, right = minutes_in(learner, lesson, now)
            if minutes is not None:
                so_far.setdefault(lesson, []).append((minutes, right))
    found = {}
    for lesson, all_of_them in so_far.items():
        done = [minutes for minutes, right in all_of_them if right]
        enough = len(done) >= ENOUGH
        found[lesson] = (median(done if enough else [minutes for minutes, _ in all_of_them]), enough)
    return found


def rows(learners: Sequence[Learner], course: Course, now: float) -> list[Row]:
    """Return a row for each learner, those who need help first."""
    usual = medians(learners, now)
    made = [_row(learner, course, usual, now) for learner in learners]
    return sorted(made, key=lambda row: (STATES.index(row.state), -(row.minutes or 0), row.number))


def _row(learner: Learner, course: Course, usual: Mapping[str, tuple[float, bool]], now: float) -> Row:
    lesson = lesson_of(learner)
    own = [one for one in learner.noted() if one.lesson == lesson]
    checks = [one for one in own if one.event == "checked"]
    minutes, right = minutes_in(learner, lesson, now) if lesson else (None, False)
    same = _same(checks)
    silent = max(0.0, now - learner.seen)
    half, enough = usual.get(lesson, (0.0, False))
    said = course[lesson].minutes if lesson in course else 0
    limit = 2 * (half if enough else said)
    state: State = "working"
    if learner.now.hand:
        state = "hand up"
    elif right:
        state = "done"
    elif same >= SAME_TURN:
        state = "same turn"
    elif minutes is not None and limit and minutes > limit:
        state = "long at it"
    elif silent > SILENT_SECONDS and lesson:
        state = "silent"
    elif not own:
        state = "not begun"
    return Row(
        number=learner.number,
        state=state,
        lesson=lesson,
        outcome=checks[-1].outcome if checks else "",
        turn=checks[-1].turn if checks else "",
        checks=len(checks),
        hints=sum(one.event == "hint" for one in own),
        attempts=len({one.attempt for one in own}),
        minutes=minutes,
        median=half if lesson in usual else None,
        silent=silent,
        same=same,
        hits=learner.now.hits,
    )


def _same(checks: Sequence[Noted]) -> int:
    count = 0
    for one in reversed(checks):
        if one.outcome != "not yet" or not one.turn or one.turn != checks[-1].turn:
            break
        count += 1
    return count


# -- the whole class -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Where:
    """How many have begun a lesson, are in it now, and were right in it."""

    lesson: str
    begun: int
    here: int
    right: int


def where(learners: Sequence[Learner], lessons: Iterable[str]) -> list[Where]:
    """Return how many are where: for `lessons`, and for each further one that somebody has begun."""
    begun: Counter[str] = Counter()
    right: Counter[str] = Counter()
    here = Counter(lesson_of(one) for one in learners)
    for learner in learners:
        events = learner.events.values()
        begun.update({one.lesson for one in events})
        right.update({one.lesson for one in events if one.event == "checked" and one.outcome in RIGHT})
    names = dict.fromkeys([*lessons, *sorted(begun)])
    return [Where(name, begun[name], here[name], right[name]) for name in names]


@dataclass(frozen=True)
class Common:
    """A wrong turn in which `count` of the `of` learners of the lesson are now."""

    lesson: str
    turn: str
    count: int
    of: int


def commonest(learners: Sequence[Learner], most: int = 3) -> list[Common]:
    """Return the wrong turns that most learners are in now, by their last check."""
    found: Counter[tuple[str, str]] = Counter()
    here = Counter(lesson_of(one) for one in learners)
    for learner in learners:
        lesson = lesson_of(learner)
        checks = [one for one in learner.noted() if one.event == "checked" and one.lesson == lesson]
        if checks and checks[-1].outcome == "not yet" and checks[-1].turn:
            found[lesson, checks[-1].turn] += 1
    first = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [Common(lesson, turn, count, here[lesson]) for (lesson, turn), count in first]


# -- answers and pairs -----------------------------------------------------------------------------------------

NO_ANSWER = ""


def _answer(learner: Learner, lesson: str) -> str:
    """Return what stands for a learner's last answer: the turn that it is, else the outcome."""
    own = [one for one in learner.noted() if one.lesson == lesson]
    answers = [one for one in own if one.event == "answered"] or [one for one in own if one.event == "checked"]
    if not answers or answers[-1].attempt != own[-1].attempt:
        return NO_ANSWER
    last = answers[-1]
    return last.outcome if last.outcome in RIGHT else last.turn or last.outcome or "answered"


def answers(learners: Sequence[Learner], lesson: str) -> dict[str, list[Learner]]:
    """Return who in a lesson gave which answer, the commonest first; where none is asked for, who is how far.

    An answer stands as the name of the wrong turn that it is, or as an outcome; `NO_ANSWER` are those without one.
    """
    found: dict[str, list[Learner]] = {}
    for learner in learners:
        if any(one.lesson == lesson for one in learner.events.values()):
            found.setdefault(_answer(learner, lesson), []).append(learner)
    return dict(sorted(found.items(), key=lambda item: (item[0] == NO_ANSWER, -len(item[1]), item[0])))


def pairs(given: Mapping[str, Sequence[Learner]]) -> list[tuple[Learner, ...]]:
    """Return who may talk to whom: people with different answers together as far as that goes, three at the end.

    Those without an answer are left out.
    """
    left = {answer: list(who) for answer, who in given.items() if answer != NO_ANSWER}
    made: list[tuple[Learner, ...]] = []
    while sum(map(len, left.values())) > 1:
        first, *more = sorted((a for a in left if left[a]), key=lambda answer: (-len(left[answer]), answer))
        other = more[0] if more else first
        made.append((left[first].pop(0), left[other].pop(0)))
    for alone in (who for group in left.values() for who in group):
        made[-1:] = [(*made[-1], alone)] if made else []
    return made


# -- orders ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Became:
    """What became of an order: how many it is for, and how many did what; refusals by why."""

    given: Given
    of: int
    outcomes: Mapping[str, int]

    @property
    def open(self) -> int:
        """How many have not told yet."""
        return self.of - sum(self.outcomes.values())


def became(given: Given, learners: Iterable[Learner]) -> Became:
    """Return what became of an order."""
    mine = [one for one in learners if given.is_for(one)]
    done = [one.done[given.ordered.n] for one in mine if given.ordered.n in one.done]
    words = Counter(f"refused: {one.why}" if one.outcome == "refused" and one.why else one.outcome for one in done)
    return Became(given, len(mine), dict(words.most_common()))
