"""A lesson: a story, a goal on the state of a practice site and the learner's own store, and named wrong turns.

A lesson's file is Python, so that what begins it, what judges it and what solves it stand side by side and can be
tested (`spokekit.training.testing`, ``spokekit lessons test``).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from spokekit._http import clean
from spokekit.errors import SpokekitError

if TYPE_CHECKING:
    from spokekit.training.doer import Doer
    from spokekit.training.seen import Seen

Outcome = Literal["not attempted", "not yet", "right", "right with a remark", "cannot check"]
RIGHT: tuple[Outcome, ...] = ("right", "right with a remark")
Named = str | int | Iterable[str]
"""What a sentence may name: a word, a number, or several words. It comes from the state."""

Tool = Literal["connection", "groups", "members", "walk", "findings", "question", "handover"]


@dataclass(frozen=True)
class Start:
    """The state in which a lesson begins, as data.

    Attributes
    ----------
    step:
        How many steps of the set-up are done: 0 nothing, 2 a connection with its secret, 3 its token, 4 the groups
        that give access are registered.
    sites, signed_in, switches, faults:
        What the practice site is reset to, as `spokekit.practice.PracticeSite` takes it.
    orders:
        What the practice site does then, one after the other: see `spokekit.training.desk`.
    instance:
        Whether there is a practice instance beside the site, as it is delivered, for the hand-over.
    """

    step: Literal[0, 2, 3, 4] = 0
    sites: int = 1
    signed_in: Literal["admin", "member", "guest", "outsider"] = "admin"
    switches: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    orders: tuple[Mapping[str, Any], ...] = ()
    instance: bool = False


@dataclass(frozen=True)
class Turn:
    """A wrong turn that people take, or a way that is right and worth a remark.

    Attributes
    ----------
    name:
        In small letters with hyphens, for progress and the trainer.
    seen:
        Tells whether the learner has taken it.
    says:
        The sentence. Its ``{fields}`` are the names of `names`, all of them and no others; no other turn of the lesson
        has the same fields, so that a sentence cannot stand at another turn unnoticed.
    names:
        What this learner did, from the state: groups, scopes, people, addresses, counts.
    make:
        Takes the turn, for `spokekit.training.testing`.
    remark:
        The goal is reached all the same.
    """

    name: str
    seen: Callable[[Seen], bool]
    says: str
    names: Callable[[Seen], Mapping[str, Named]]
    make: Callable[[Doer], object]
    remark: bool = False

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields in the sentence."""
        return fields_of(self.says)

    def words(self, seen: Seen) -> str:
        """Return the sentence about what this learner did."""
        return filled(self.says, self.names(seen))


@dataclass(frozen=True)
class Verdict:
    """What a check found: the outcome, the turn by name ("" for none), and the sentence for the learner."""

    outcome: Outcome
    turn: str
    words: str

    @property
    def right(self) -> bool:
        """True when the goal is reached."""
        return self.outcome in RIGHT


class Lesson:
    """What a learner does alone, and how it is judged. Subclass it; one class is one lesson.

    The first line of the docstring is the title, the rest the story. `goal`, `shown` and `at_work` may hold fields that
    `facts` fills.

    Attributes
    ----------
    name, minutes:
        In small letters with hyphens; how long it takes.
    goal:
        One sentence.
    first:
        What to do first, for somebody who has done nothing yet.
    start, tools:
        Where it begins, and the components that are used.
    hints:
        Two or three, from where to look to what to press.
    turns:
        At least two; the first that fits is told.
    steps:
        The solution in words, a step each.
    shown, at_work:
        What was shown, and what it means at work.
    choices:
        What may be answered, where the goal is an answer; `several` says that more than one may be chosen.
    """

    name: ClassVar[str] = ""
    minutes: ClassVar[int] = 5
    goal: ClassVar[str] = ""
    first: ClassVar[str] = ""
    start: ClassVar[Start] = Start()
    tools: ClassVar[tuple[Tool, ...]] = ()
    hints: ClassVar[tuple[str, ...]] = ()
    turns: ClassVar[tuple[Turn, ...]] = ()
    steps: ClassVar[tuple[str, ...]] = ()
    shown: ClassVar[str] = ""
    at_work: ClassVar[str] = ""
    several: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The first line of the docstring."""
        return (type(self).__doc__ or self.name).strip().splitlines()[0].rstrip(".")

    @property
    def story(self) -> str:
        """The docstring after its first line, with its paragraphs."""
        import inspect

        text = inspect.cleandoc(type(self).__doc__ or "").partition("\n")[2].strip()
        return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip())

    def orders(self, seen: Seen) -> Sequence[Mapping[str, Any]]:
        """Return further orders for the practice site that depend on its world."""
        return ()

    def prepare(self, do: Doer) -> None:
        """Do what the learner, or a colleague, has done before the lesson begins."""

    def facts(self, seen: Seen) -> Mapping[str, Named]:
        """Return what the texts name of this learner's world; the same before and after."""
        return {}

    def choices(self, seen: Seen) -> Sequence[str]:
        """Return what may be answered; empty where no answer is asked for."""
        return ()

    def attempted(self, seen: Seen) -> bool:
        """Tell whether the learner has done anything towards the goal."""
        raise NotImplementedError

    def right(self, seen: Seen) -> bool:
        """Tell whether the goal is reached, whichever way."""
        raise NotImplementedError

    def missing(self, seen: Seen) -> str:
        """Say what is still missing when no turn fits."""
        return "Something is still missing."

    def solve(self, do: Doer) -> None:
        """Reach the goal."""
        raise NotImplementedError

    def text(self, which: str, seen: Seen) -> str:
        """Return `goal`, `first`, `story`, `shown`, `at_work`, a hint or a step with this learner's facts in it."""
        with own_code(self):
            return filled(which, self.facts(seen))

    def check(self, seen: Seen) -> Verdict:
        """Judge the state. Raises what reading the state raises; `Attempt.check` turns that into a verdict."""
        if not self.attempted(seen):
            return Verdict("not attempted", "", self.text(f"Nothing to judge yet. {self.first}", seen))
        if self.right(seen):
            done = self.text(f"{self.shown} {self.at_work}", seen)
            remark = next((turn for turn in self.turns if turn.remark and turn.seen(seen)), None)
            if remark is None:
                return Verdict("right", "", done)
            return Verdict("right with a remark", remark.name, f"{remark.words(seen)} {done}")
        for turn in self.turns:
            if not turn.remark and turn.seen(seen):
                return Verdict("not yet", turn.name, turn.words(seen))
        return Verdict("not yet", "", self.missing(seen))


@contextmanager
def own_code(lesson: Lesson) -> Iterator[None]:
    """Tell what goes wrong in a lesson's own code as a fault of the lesson; raises `SpokekitError`."""
    try:
        yield
    except SpokekitError:
        raise
    except Exception as fault:  # noqa: BLE001 - whatever a lesson raises
        raise SpokekitError(
            f"The lesson {lesson.name} has a fault: {type(fault).__name__}: {clean(fault)}.",
            hint="Whoever wrote it finds it with: spokekit lessons test FOLDER.",
        ) from None


def fields_of(text: str) -> frozenset[str]:
    """Return the names of the ``{fields}`` of a text."""
    try:
        return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)
    except ValueError as fault:
        raise SpokekitError(
            f"The lesson's text “{clean(text, 60)}” cannot be read: {fault}.", hint="Write {{ and }} for braces."
        ) from None


def filled(text: str, names: Mapping[str, Named]) -> str:
    """Return a text with its fields filled; raises `SpokekitError` where they are not those of `names`."""
    if lacking := fields_of(text) - set(names):
        raise SpokekitError(f"The lesson's text has a field that nothing fills: {sorted(lacking)[0]}.")
    return text.format(**{name: listed(value) for name, value in names.items()})


def parts(value: Named) -> tuple[str, ...]:
    """Return what a field names, one by one."""
    return (str(value),) if isinstance(value, str | int) else tuple(map(str, value))


def listed(value: Named) -> str:
    """Return names as they stand in a sentence: "a, b and c"."""
    *most, last = parts(value) or ("nothing",)
    return f"{', '.join(most)} and {last}" if most else last
