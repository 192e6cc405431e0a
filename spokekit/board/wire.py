"""What a learner's computer and the board of a class say to each other: JSON over HTTP, each message one type.

A report holds words of closed lists, numbers and times: no free text but a name that the learner chose to give, no
account id, no address. An order is data of a closed list; it is carried out on a practice site only, or shown.

=========================  ===============================================  ====================================
``POST /api/join``         `Join` → `Joined`                                403 wrong code; 429 too many tries
                                                                            (``Retry-After``); 409 the class is full
``POST /api/report``       `Report` → `Kept`                                409 events contradict those kept
``GET  /api/orders``       ``?after=N&wait=SECONDS`` → `Orders`             held until there is one, 25 s at most
``GET  /api/sent``         → `Sent`: all that is kept of this learner
``POST /api/certificate``  → `Verified`, with a code of its own             404 nothing was right yet
``GET  /api/verify``       ``?code=CODE`` → `Verified`, without a key       404 no such code
=========================  ===============================================  ====================================

All but ``join`` and ``verify`` want ``Authorization: Bearer KEY``; 401 otherwise. A `Join` with the key that a class
gave before goes on as the same learner. A refusal is ``{"message": "a sentence"}``. A body has at most `MOST_BYTES`.

Events are numbered by the learner's own progress (`seq`); a report that comes twice is kept once. Orders are numbered
by the board over the whole class, so the numbers that one learner sees have gaps; `Report.done` may come twice as well.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from spokekit.errors import InputError

MOST_BYTES = 64_000
MOST_EVENTS = 200
"""Events in one report."""
MOST_LEARNERS = 200
LONGEST_WAIT = 25.0
"""Seconds that a request for orders is held."""
CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""What a join code is made of: nothing that is read for something else."""

Slug = Annotated[str, Meta(pattern=r"\A[a-z0-9]+(-[a-z0-9]+)*\Z", max_length=80)]
"""The name of a lesson or of a turn."""
SlugOrNone = Annotated[str, Meta(pattern=r"\A([a-z0-9]+(-[a-z0-9]+)*)?\Z", max_length=80)]
Count = Annotated[int, Meta(ge=0, le=10**9)]
Moment = Annotated[float, Meta(ge=0, le=1e11)]
"""POSIX seconds."""
PersonName = Annotated[str, Meta(max_length=80)]
"""A name that a learner chose to give, or "". It is foreign text wherever it is shown."""

Event = Literal["begun", "checked", "hint", "solution", "answered", "reset", "shown"]
Outcome = Literal["", "not attempted", "not yet", "right", "right with a remark", "cannot check"]
RIGHT: tuple[Outcome, ...] = ("right", "right with a remark")


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    """What all messages have in common: fields that are not known are refused."""


# -- up ------------------------------------------------------------------------------------------------------


class Join(Message, frozen=True):
    """Ask to be in the class. With `key`, as the learner who had it; the code is not asked for then."""

    code: Annotated[str, Meta(max_length=20)] = ""
    name: PersonName = ""
    key: Annotated[str, Meta(max_length=100)] = ""

    def __repr__(self) -> str:
        return "Join(...)"


class Joined(Message, frozen=True):
    """The class, and who the learner is in it. `key` is a secret; `seed` decides the learner's world."""

    class_name: Annotated[str, Meta(max_length=80)]
    learner: Count
    pseudonym: Annotated[str, Meta(max_length=40)]
    key: Annotated[str, Meta(min_length=32, max_length=100)]
    seed: Count
    lessons: tuple[Slug, ...] = ()

    def __repr__(self) -> str:
        return f"Joined({self.class_name!r}, {self.learner})"


class Noted(Message, frozen=True):
    """One line of a learner's progress; see `spokekit.training.events`."""

    seq: Annotated[int, Meta(ge=1, le=10**9)]
    at: Moment
    lesson: Slug
    attempt: Count
    event: Event
    outcome: Outcome = ""
    turn: SlugOrNone = ""


DoneWord = Literal["done", "shown", "accepted", "declined", "refused"]
Why = Literal["", "not quiet", "other lesson", "not possible here", "no practice site", "out of date"]


class Done(Message, frozen=True):
    """What became of an order, at which moment by the learner's clock, and of a refused one why."""

    n: Annotated[int, Meta(ge=1, le=10**9)]
    outcome: DoneWord
    at: Moment
    why: Why = ""


class Now(Message, frozen=True):
    """How it is with a learner at this moment.

    `hits` counts the answers of the practice site that a fault of the trainer's has struck in this attempt.
    """

    lesson: SlugOrNone = ""
    attempt: Count = 0
    hand: bool = False
    hits: Count = 0


class Report(Message, frozen=True):
    """What was noted since the last report, what became of orders, and how it is now."""

    now: Now
    events: Annotated[tuple[Noted, ...], Meta(max_length=MOST_EVENTS)] = ()
    done: Annotated[tuple[Done, ...], Meta(max_length=MOST_EVENTS)] = ()


class Kept(Message, frozen=True):
    """The last event that the board keeps of this learner without a gap."""

    seq: Count


# -- down ----------------------------------------------------------------------------------------------------


class Say(Message, frozen=True, tag_field="do", tag="say"):
    """A message of the trainer's."""

    text: Annotated[str, Meta(min_length=1, max_length=280)]


class Fault(Message, frozen=True, tag_field="do", tag="fault"):
    """A fault of the practice site that ends by itself, as its menu names it: ``429:3 x5 @members``."""

    fault: Annotated[str, Meta(pattern=r"\A[a-z0-9-]+(:[A-Za-z0-9.,-]+)? x([1-9]|1\d|20)( @[a-z-]+)?\Z", max_length=60)]


class Clear(Message, frozen=True, tag_field="do", tag="clear"):
    """All faults end."""


class Advance(Message, frozen=True, tag_field="do", tag="advance"):
    """Time passes on the site of those who are in a lesson, once nobody is in the middle of a request or consent."""

    lesson: Slug
    seconds: Annotated[int, Meta(ge=1, le=10_000_000)]


Who = Literal["an active member", "a deactivated member", "a guest", "somebody who is not in it"]


class Colleague(Message, frozen=True, tag_field="do", tag="colleague"):
    """A colleague puts somebody into a group, or takes somebody out, past spokekit.

    Each learner's world has other people, so `who` says what they have in common.
    """

    change: Literal["add", "remove"]
    group: Annotated[str, Meta(min_length=1, max_length=255)]
    who: Who


class Begin(Message, frozen=True, tag_field="do", tag="begin"):
    """The class goes on to this lesson: the learner is asked to begin it."""

    lesson: Slug


class Release(Message, frozen=True, tag_field="do", tag="release"):
    """The solution of a lesson is free now, whatever hints were seen."""

    lesson: Slug


class OfferReset(Message, frozen=True, tag_field="do", tag="offer-reset"):
    """A new attempt is offered; it begins when the learner accepts."""

    lesson: Slug


class AnswerAgain(Message, frozen=True, tag_field="do", tag="answer-again"):
    """Discuss with a neighbour, then answer once more."""

    lesson: Slug


Order = Say | Fault | Clear | Advance | Colleague | Begin | Release | OfferReset | AnswerAgain


class Ordered(Message, frozen=True):
    """An order with its number and when it was given, by the board's clock."""

    n: Annotated[int, Meta(ge=1, le=10**9)]
    at: Moment
    order: Order


class Orders(Message, frozen=True):
    """Orders for this learner, oldest first."""

    orders: Annotated[tuple[Ordered, ...], Meta(max_length=MOST_EVENTS)] = ()


# -- what is kept --------------------------------------------------------------------------------------------


class Sent(Message, frozen=True):
    """All that the board keeps of a learner."""

    class_name: str
    learner: Count
    pseudonym: str
    name: PersonName
    joined_at: Moment
    last_seen: Moment
    now: Now
    events: tuple[Noted, ...] = ()
    done: tuple[Done, ...] = ()


class LessonRight(Message, frozen=True):
    """A lesson that was right, for the first time at `at`."""

    lesson: Slug
    at: Moment
    attempts: Count
    hints: Count


class Verified(Message, frozen=True):
    """What the board of a class has of a certificate. The learner's own computer reports; nobody has watched."""

    code: Annotated[str, Meta(max_length=20)]
    class_name: str
    pseudonym: str
    name: PersonName
    made_at: Moment
    lessons: tuple[LessonRight, ...]


M = TypeVar("M")


def encode(message: Message) -> bytes:
    """Return a message as it travels."""
    return msgspec.json.encode(message)


def decode(body: bytes, kind: type[M], most: int = MOST_BYTES) -> M:
    """Read a message; raises `InputError` for what is none, naming the place and never quoting what it holds."""
    if len(body) > most:
        raise InputError(f"A message has at most {most} bytes.", field="body")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        _, at, where = str(fault).rpartition(" - at `$")
        place = f" at {where.rstrip('`')}" if at and where.rstrip("`") else ""
        raise InputError(f"This is no {kind.__name__} message of a class{place}.", field="body") from None


def order_of(told: Any) -> Order:
    """Read an order from plain data, such as a form; raises `InputError` for what is none."""
    try:
        found: Order = msgspec.convert(told, type=Order)
    except msgspec.ValidationError as fault:
        raise InputError(f"There is no such order: {fault}.", field="do") from None
    return found
