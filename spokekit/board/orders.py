"""The trainer's orders: what the menus offer, from a form to an order, and an order in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from spokekit._words import span
from spokekit.board import wire
from spokekit.board.ranking import Course, title_of
from spokekit.errors import InputError

Form = Mapping[str, str]

PEOPLE: tuple[str, ...] = get_args(wire.Who)
TIMES = (1, 2, 3, 5, 10, 20)
EVERY = (1, 2, 3, 5, 10)
SPANS: Mapping[str, int] = {
    "1 hour: the hour's points are there again, access tokens end": 3_700,
    "1 day": 86_400,
    "31 days": 31 * 86_400,
    "91 days: a consent that was not used ends": 91 * 86_400,
}
"""How far a clock may be moved, in seconds."""
OF_A_LESSON: Mapping[str, str] = {
    "begin": "Go on to this lesson",
    "release": "Show its solution to whoever wants it",
    "offer-reset": "Offer to start it over",
    "answer-again": "Discuss, then answer again",
}


@dataclass(frozen=True)
class FaultChoice:
    """A fault on the menu.

    Attributes
    ----------
    counts:
        Whether it takes every so many-th call.
    more:
        Shown among those that need care: it may end a browser, or strikes where tokens are given.
    """

    name: str
    words: str
    counts: bool = False
    more: bool = False


@dataclass(frozen=True)
class Menus:
    """What a board knows of the lessons and the practice site: words and names, which whoever starts it brings."""

    course: Course = field(default_factory=dict)
    faults: tuple[FaultChoice, ...] = ()
    operations: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def order_of(form: Form, menus: Menus) -> wire.Order:
    """Return the order that a form asks for; raises `InputError` for what is on no menu."""
    verb = form.get("do", "")
    if verb == "say":
        return _say(form)
    if verb in OF_A_LESSON:
        return wire.order_of({"do": verb, "lesson": _chosen(form, "lesson", menus.course, "a lesson")})
    if verb == "fault":
        return _fault(form, menus)
    if verb == "clear":
        return wire.Clear()
    if verb == "advance":
        lesson = _chosen(form, "lesson", menus.course, "a lesson")
        return wire.Advance(lesson, SPANS[_chosen(form, "span", SPANS, "how much time passes")])
    if verb == "colleague":
        told = {
            "do": verb,
            "change": _chosen(form, "change", ("add", "remove"), "what the colleague does"),
            "group": _chosen(form, "group", menus.groups, "a group"),
            "who": _chosen(form, "who", PEOPLE, "who it is"),
        }
        return wire.order_of(told)
    raise InputError("Choose what is to happen.", field="do")


def _say(form: Form) -> wire.Say:
    text = " ".join(form.get("text", "").split())
    if not text:
        raise InputError("Write what is to be said.", field="text")
    if len(text) > 280:
        raise InputError(f"A message has up to 280 signs; this one has {len(text):,}.", field="text")
    return wire.Say(text)


def _fault(form: Form, menus: Menus) -> wire.Fault:
    kinds = {one.name: one for one in menus.faults}
    kind = kinds[_chosen(form, "fault", kinds, "a trouble")]
    times = _chosen(form, "times", tuple(map(str, TIMES)), "how often it strikes")
    every = _chosen(form, "every", ("", *map(str, EVERY)), "which calls it strikes", "")
    on = _chosen(form, "on", ("", *menus.operations), "which calls it strikes", "")
    counted = f":{every}" if every and kind.counts else ""
    return wire.Fault(f"{kind.name}{counted} x{times}{f' @{on}' if on else ''}")


def _chosen(form: Form, name: str, choices: Mapping[str, object] | tuple[str, ...], what: str, usual: str = "-") -> str:
    value = form.get(name, usual)
    if value not in choices:
        raise InputError(f"Choose {what}.", field=name)
    return value


def words(order: wire.Order, course: Course) -> str:
    """Return an order in words; what was typed in it stands as it is."""
    match order:
        case wire.Say(text):
            return f"Say: {text}"
        case wire.Fault(fault):
            return f"Trouble: {fault}"
        case wire.Clear():
            return "End all trouble"
        case wire.Advance(lesson, seconds):
            return f"{span(seconds)} pass in “{title_of(course, lesson)}”"
        case wire.Colleague(change, group, who):
            verb = "adds" if change == "add" else "removes"
            return f"A colleague {verb} {who} {'to' if change == 'add' else 'from'} {group}"
        case wire.Begin(lesson):
            return f"Go on to “{title_of(course, lesson)}”"
        case wire.Release(lesson):
            return f"Show the solution of “{title_of(course, lesson)}”"
        case wire.OfferReset(lesson):
            return f"Offer to start “{title_of(course, lesson)}” over"
        case wire.AnswerAgain(lesson):
            return f"Discuss “{title_of(course, lesson)}”, then answer again"
