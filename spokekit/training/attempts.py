"""An attempt at a lesson: a home of its own, a practice site set to the lesson's start, and a check.

Under the practice home::

    lessons/<name>/<n>/     a home: store, key, snapshots, and attempt.json with how it began
    lessons/current.json    which attempt the practice site is set for

To begin, and to start over, opens a new home; none is ever removed afterwards. Where the practice site comes back at
another address, their connections follow it (`next_day`). The learner's other records are elsewhere and stay
as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spokekit._home import home, private_folder, write_private
from spokekit._http import clean
from spokekit._words import comparable, counted
from spokekit._workspace import Workspace, workspace
from spokekit.connections.store import Store
from spokekit.errors import Conflict, NotFound, SpokekitError
from spokekit.oauth.receivers import own_callback_taken
from spokekit.training.doer import Doer
from spokekit.training.events import Events, Noted
from spokekit.training.lesson import Lesson, Verdict, own_code
from spokekit.training.my_class import my_class
from spokekit.training.seen import Marks, Seen, SiteState
from spokekit.training.trainer_orders import Taken, TrainerOrders, is_released, lesson_begun, orders_of

if TYPE_CHECKING:
    from spokekit.training.desk import Desk

RECORD = "attempt.json"
INSTANCE_KEY = "instance.key"
CURRENT = "current.json"
FOLDER = "lessons"
NOT_SET = "Begin it again: Start over in the panel, or spokekit lessons reset {name}. Nothing is deleted by that."


def practice_home() -> Path:
    """Return the home in which the lessons are kept, also from inside an attempt's home."""
    here = home()
    return here.parents[2] if (here / RECORD).is_file() and here.parents[1].name == FOLDER else here


def in_an_attempt() -> bool:
    """Tell whether this process works in an attempt's home: nothing of the person's own is reached from there."""
    return home() != practice_home()


def events_here(root: Path | None = None) -> Events:
    """Return the progress of a practice home, this process's by default; it lies in that home's store."""
    path = private_folder(root or practice_home()) / "spokekit.sqlite"
    return Events(Store(sa.URL.create("sqlite", database=str(path))))


def begin_again(name: str) -> str:
    """Return what to do where an attempt at a lesson cannot go on."""
    return NOT_SET.format(name=name)


NOT_OURS = ("SPOKEKIT_STORE_URL", "SPOKEKIT_VAULT_FILE")


@contextmanager
def environment_kept() -> Iterator[None]:
    """Put back afterwards what this process was told of its home; within, it may enter an attempt's."""
    kept = {name: os.environ.get(name) for name in ("SPOKEKIT_HOME", "SPOKEKIT_VAULT", *NOT_OURS)}
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _environment(folder: Path) -> dict[str, str]:
    return {"SPOKEKIT_HOME": str(folder), "SPOKEKIT_VAULT": "file"}


def enter_home(folder: Path) -> None:
    """Let everything in this process that opens a home open the one of an attempt."""
    os.environ.update(_environment(folder))
    for name in NOT_OURS:
        os.environ.pop(name, None)


def current_in(root: Path) -> tuple[str, int] | None:
    """Return the lesson and the number of the attempt that the site of a practice home is set for."""
    try:
        found = json.loads((root / FOLDER / CURRENT).read_text(encoding="utf-8"))
        return str(found["lesson"]), int(found["attempt"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Solution:
    """The steps of a solution, or why they are not shown yet."""

    steps: tuple[str, ...]
    words: str


class Attempt:
    """One attempt at one lesson.

    Attributes
    ----------
    lesson, number, home, began:
        Which, the how many-th, where its records are, and when it began.
    desk:
        The practice site.
    """

    def __init__(self, attempts: Attempts, lesson: Lesson, number: int, began: datetime) -> None:
        self._attempts = attempts
        self.lesson = lesson
        self.number = number
        self.began = began
        self.home = attempts.folder_of(lesson.name, number)
        self.desk = attempts.desk

    def __repr__(self) -> str:
        return f"Attempt({self.lesson.name!r}, {self.number})"

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to work in this attempt: the home, and its key in a file, not in a keyring."""
        return _environment(self.home)

    @property
    def workspace(self) -> Workspace:
        """The workspace of the attempt's home."""
        enter_home(self.home)
        return workspace()

    @property
    def current(self) -> bool:
        """True while the practice site is set for this attempt."""
        return self._attempts.current_name() == (self.lesson.name, self.number)

    def fits(self, now: SiteState) -> bool:
        """Tell whether the practice site is still the one that was set for this attempt, and not begun anew since."""
        begun = str(self._record["before"].get("begun", ""))
        return begun in ("", now.begun)

    # -- looking -------------------------------------------------------------------------------------------------------

    @cached_property
    def _record(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.home / RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise SpokekitError(
                f"The record of this attempt cannot be read: {clean(error)}.",
                hint=begin_again(self.lesson.name),
            ) from None

    def seen(self, *, now: SiteState | None = None) -> Seen:
        """Return the state that a check looks at."""
        record = self._record
        answer = record.get("answer", ())
        answers = self.home / "answer.json"
        if answers.is_file():
            answer = json.loads(answers.read_text(encoding="utf-8"))
        return Seen(
            now or self.desk.state(),
            self.workspace,
            before=SiteState.from_json(record["before"]),
            marks=Marks.of(record["marks"]),
            answer=tuple(answer),
            client_secret=self.desk.secret_of(record["marks"]["client_id"] or self.desk.about["client_id"]),
            at_instance=self.desk.sign_in,
        )

    def goal(self) -> str:
        """Return the goal, with what it names of this learner's world."""
        return self.lesson.text(self.lesson.goal, self.seen())

    # -- what a learner presses ----------------------------------------------------------------------------------------

    def check(self) -> Verdict:
        """Judge the state, note it in the progress, and never raise: what is in the way is the verdict's sentence."""
        verdict = self._judged()
        self._note("checked", outcome=verdict.outcome, turn=verdict.turn)
        return verdict

    def _judged(self) -> Verdict:
        try:
            if not self.current:
                words = f"The practice site is set for another lesson or attempt now. {begin_again(self.lesson.name)}"
            elif not self.fits(now := self.desk.state()):
                words = f"The practice site was begun anew since this attempt began. {begin_again(self.lesson.name)}"
            else:
                return self.lesson.check(self.seen(now=now))
        except SpokekitError as error:
            words = clean(" ".join(filter(None, (error.message, error.likely, error.hint))), 600)
        except Exception as fault:  # noqa: BLE001 - a check never raises into a cell
            what = f"{type(fault).__name__}: {clean(fault)}"
            words = f"This lesson cannot be checked: {what}. It is a fault of the lesson."
        return Verdict("cannot check", "", words)

    def choices(self, seen: Seen) -> tuple[str, ...]:
        """Return what may be answered; empty where no answer is asked for."""
        with own_code(self.lesson):
            return tuple(self.lesson.choices(seen))

    def answer(self, *chosen: str) -> None:
        """Keep the answer to the lesson's question; raises `SpokekitError` for one that is not offered."""
        offered = {comparable(choice): choice for choice in self.choices(self.seen())}
        picked = [offered.get(comparable(one.strip())) for one in chosen if one.strip()]
        if not offered:
            raise SpokekitError("This lesson asks for no answer.", hint="Its goal is a state of the practice site.")
        if not picked or None in picked or (len(picked) > 1 and not self.lesson.several):
            how = "one or several of" if self.lesson.several else "one of"
            raise SpokekitError(f"The answer is {how}: {'; '.join(offered.values())}.")
        write_private(self.home / "answer.json", json.dumps(picked, ensure_ascii=False).encode())
        # The trainer's board shows how the answers of a class are spread; the learner hears nothing before Check.
        found = self._judged()
        self._note("answered", outcome=found.outcome, turn=found.turn)

    def hint(self) -> tuple[int, str]:
        """Return the next hint and its number from 1; after the last one, the last again."""
        number = min(self.hints_seen + 1, len(self.lesson.hints))
        if self.hints_seen < len(self.lesson.hints):
            self._note("hint")
        return number, self.lesson.text(self.lesson.hints[number - 1], self.seen())

    @property
    def hints_seen(self) -> int:
        """How many hints were shown in this attempt."""
        return sum(noted.event == "hint" for noted in self.events)

    def solution(self) -> Solution:
        """Return the steps, once all hints were seen or twice the minutes are over."""
        left = len(self.lesson.hints) - self.hints_seen
        over = (datetime.now(UTC) - self.began).total_seconds() > 120 * self.lesson.minutes
        shown = any(noted.event == "solution" for noted in self.events)
        if left > 0 and not over and not shown and not is_released(self._attempts.from_trainer(), self.lesson.name):
            more, minutes = counted(left, "more hint"), 2 * self.lesson.minutes
            return Solution((), f"The solution comes after {more}, or after {minutes} minutes.")
        self._note("solution")
        seen = self.seen()
        return Solution(tuple(self.lesson.text(step, seen) for step in self.lesson.steps), "")

    @property
    def events(self) -> tuple[Noted, ...]:
        """What was noted of this attempt."""
        return self._attempts.events.all(self.lesson.name, self.number)

    def _note(self, event: Any, **what: str) -> None:
        self._attempts.events.note(self.lesson.name, self.number, event, **what)


class Attempts:
    """All attempts of a practice home, on one practice site.

    Parameters
    ----------
    desk:
        The practice site.
    root:
        The practice home; without it, this process's (`practice_home`).
    """

    def __init__(self, desk: Desk, root: Path | None = None) -> None:
        self.desk = desk
        self.root = root or practice_home()

    def __repr__(self) -> str:
        return f"Attempts({str(self.root)!r})"

    @cached_property
    def events(self) -> Events:
        """The progress."""
        return events_here(self.root)

    def folder_of(self, name: str, number: int) -> Path:
        """Return the home of an attempt."""
        return self.root / FOLDER / name / str(number)

    def begin(self, lesson: Lesson, *, again: bool = False) -> Attempt:
        """Set the practice site to the lesson's start and open a home for a new attempt.

        Raises `SpokekitError` where no practice site answers.
        """
        if not self.desk.is_practice:
            raise Conflict(
                "Lessons begin on a practice site only, and this address leads to another computer.",
                hint="Start `spokekit lab`, or a command beside a site: spokekit practice COMMAND.",
            )
        # A site that does not answer, or refuses, leaves no trace of an attempt.
        self.desk.state()
        number = max(self._numbers(lesson.name), default=0) + 1
        attempt = Attempt(self, lesson, number, datetime.now(UTC))
        private_folder(self.root / FOLDER)
        private_folder(attempt.home.parent)
        private_folder(attempt.home)
        # Named before the site is set: whoever is killed in between finds an attempt that says it is not set.
        self._set_current(None)
        with own_code(lesson):
            self._prepare(attempt, do := Doer(attempt))
        self._write(attempt, self._marks(attempt, do.notes))
        self._set_current(attempt)
        self.events.note(lesson.name, number, "reset" if again else "begun")
        if (orders := self.trainer_orders()) is not None:
            lesson_begun(orders, lesson.name)
        return attempt

    def trainer_orders(self) -> TrainerOrders | None:
        """Return what the trainer of the class has ordered; None in no class."""
        return orders_of(self.root, self.events.store)

    def from_trainer(self) -> tuple[Taken, ...]:
        """Return the trainer's orders that came, oldest first."""
        orders = self.trainer_orders()
        return orders.all() if orders is not None else ()

    def _prepare(self, attempt: Attempt, do: Doer) -> None:
        lesson = attempt.lesson
        joined = my_class(self.root)
        self.desk.reset(lesson.start, seed=joined.seed if joined is not None else None)
        if own := own_callback_taken():
            self.desk.allow_redirect(own)
        write_private(attempt.home / RECORD, b"{}")
        if lesson.start.instance:
            # For commands, which take a key from a file alone.
            write_private(attempt.home / INSTANCE_KEY, self.desk.instance()["api_key"].encode())
        self._catch_up(do, lesson.start.step)
        fresh = Seen(self.desk.state(), attempt.workspace)
        if more := lesson.orders(fresh):
            self.desk.order(*more)
        # What `prepare` does is judged against nothing yet.
        self._write(attempt, Marks())
        lesson.prepare(do)

    def _catch_up(self, do: Doer, step: int) -> None:
        if step >= 2:
            do.save()
        if step >= 3 and not do.consent(site=do.site.sites[0][0] if len(do.site.sites) == 1 else None):
            raise SpokekitError("The lesson's start could not be made: no token came.", hint="Begin the lesson again.")
        if step >= 4:
            do.register(*(group.name for group in do.site.groups.values() if group.access))

    def _marks(self, attempt: Attempt, notes: Mapping[str, Any]) -> Marks:
        seen = attempt.seen()
        connection = seen.connection
        if connection is None:
            return Marks(extra=notes)
        return Marks(
            connection.connection_id,
            connection.name,
            connection.client_id,
            connection.redirect_uri,
            connection.scopes,
            tuple(state.apply_id for state in seen.applies),
            seen.snapshot.at if seen.snapshot else 0,
            notes,
        )

    def _write(self, attempt: Attempt, marks: Marks) -> None:
        record = {
            "lesson": attempt.lesson.name,
            "attempt": attempt.number,
            "began": attempt.began.isoformat(),
            "before": self.desk.state().to_json(),
            "marks": {**marks.__dict__, "extra": dict(marks.extra)},
        }
        write_private(attempt.home / RECORD, json.dumps(record, ensure_ascii=False).encode())
        attempt.__dict__.pop("_record", None)

    def newest(self, lesson: Lesson) -> Attempt:
        """Return the newest attempt at a lesson; raises `NotFound` when it was never begun."""
        for number in sorted(self._numbers(lesson.name), reverse=True):
            try:
                record = json.loads((self.folder_of(lesson.name, number) / RECORD).read_text(encoding="utf-8"))
                return Attempt(self, lesson, number, datetime.fromisoformat(record["began"]))
            except (OSError, ValueError, KeyError):
                # It was killed before it had begun.
                continue
        raise NotFound(
            f"The lesson {lesson.name} was not begun here yet.", hint=f"Begin it: spokekit lessons begin {lesson.name}"
        )

    def _numbers(self, name: str) -> list[int]:
        folder = self.root / FOLDER / name
        return [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []

    # -- which one the site is set for ---------------------------------------------------------------------------------

    def current_name(self) -> tuple[str, int] | None:
        """Return the lesson and the number of the attempt that the practice site is set for."""
        return current_in(self.root)

    def _set_current(self, attempt: Attempt | None) -> None:
        what = {"lesson": attempt.lesson.name, "attempt": attempt.number} if attempt else {}
        write_private(private_folder(self.root / FOLDER) / CURRENT, json.dumps(what).encode())
