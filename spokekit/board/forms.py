"""The forms of the trainer's pages; what was typed and could not be ordered stands in them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from spokekit._foreign import NAME, markup
from spokekit.board.orders import EVERY, OF_A_LESSON, PEOPLE, SPANS, TIMES, Form
from spokekit.board.pages import View
from spokekit.board.records import Learner

Choice = tuple[str, str]


@dataclass(frozen=True)
class Typed:
    """What was sent and refused: the form, and the sentence."""

    form: Form
    problem: str


def orders(view: View, only: Learner | None, typed: Typed | None, said: str) -> str:
    """Return all forms by which something is ordered; `only` is the one learner that they are for."""
    form = typed.form if typed else {}
    words = f'<p class="note" id="said" role="status" tabindex="-1">{said}</p>' if said else ""
    if typed:
        words = f'<p class="note" id="said" role="alert" tabindex="-1">Not ordered: {markup(typed.problem)}</p>'
    lessons = [(name, one.title) for name, one in view.menus.course.items() if name in view.lessons]
    lessons += [(name, one.title) for name, one in view.menus.course.items() if name not in view.lessons]
    made = [
        _form(view, only, form, "say", "Say something", _text(form), "Say it"),
        _form(view, only, form, "lesson", "A lesson", _lesson(form, lessons), "Order it") if lessons else "",
        _form(view, only, form, "fault", "Make trouble on the practice sites", _fault(view, form), "Make this trouble"),
        _form(view, only, form, "clear", "End all trouble", "", "End all trouble"),
        _form(view, only, form, "advance", "Let time pass", _time(form, lessons), "Let it pass") if lessons else "",
        _form(view, only, form, "colleague", "A colleague changes a group", _colleague(view, form), "Let it happen")
        if view.menus.groups
        else "",
    ]
    title = f"Orders for {view.who(only)} alone" if only else "Orders"
    return (
        f'<section class="orders" aria-labelledby="orders-title"><h2 id="orders-title">{title}</h2>{words}'
        "<p class=soft>Orders reach practice sites only. A learner is told by the next check or hint that it was you."
        f"</p>{''.join(made)}</section>"
    )


def _form(view: View, only: Learner | None, form: Form, kind: str, title: str, fields: str, press: str) -> str:
    back = hidden("learner", str(only.number)) if only else ""
    names = hidden("names", "1") if view.names else ""
    verb = "" if kind == "lesson" else hidden("do", kind)
    learners: list[Choice] = [("", "all who are in the class")]
    learners += [(str(one.number), one.pseudonym) for one in view.learners]
    to = "" if only else select(f"{kind}-to", "to", "For", learners, form)
    opened = (
        " open" if form and (form.get("do") == kind or (kind == "lesson" and form.get("do") in OF_A_LESSON)) else ""
    )
    return (
        f'<details class="order" id="order-{kind}"{opened}><summary>{escape(title)}</summary>'
        f'<form method="post" action="order" accept-charset="utf-8">{back}{names}{verb}'
        f'<div class="fields">{fields}{to}</div>'
        f'<div class="row"><button class="main">{escape(press)}</button></div></form></details>'
    )


def hidden(name: str, value: str) -> str:
    """Return a field that nobody sees."""
    return f'<input type="hidden" name="{name}" value="{markup(value)}">'


def select(
    element: str, name: str, label: str, choices: Iterable[Choice] | Mapping[str, Iterable[Choice]], form: Form
) -> str:
    """Return a menu with its label; `choices` are values and words, in groups by heading where it is a mapping."""
    if isinstance(choices, Mapping):
        inside = "".join(
            f'<optgroup label="{markup(heading)}">{_options(some, name, form)}</optgroup>'
            for heading, some in choices.items()
        )
    else:
        inside = _options(choices, name, form)
    labelled = f'<label for="{element}">{escape(label)}</label>'
    return f'<div>{labelled}<select id="{element}" name="{name}">{inside}</select></div>'


def _options(choices: Iterable[Choice], name: str, form: Form) -> str:
    return "".join(
        f'<option value="{markup(value)}"{" selected" if form.get(name) == value else ""}>{markup(text, NAME)}</option>'
        for value, text in choices
    )


def _text(form: Form) -> str:
    return (
        '<div><label for="say-text">Message, up to 280 signs</label>'
        f'<textarea id="say-text" name="text" maxlength="280" rows="2">{escape(form.get("text", ""))}</textarea></div>'
    )


def _lesson(form: Form, lessons: list[Choice]) -> str:
    what = [(verb, text) for verb, text in OF_A_LESSON.items()]
    return select("lesson-do", "do", "What", what, form) + select("lesson-name", "lesson", "Lesson", lessons, form)


def _fault(view: View, form: Form) -> str:
    groups = {
        "On the menu": [(one.name, f"{one.name}: {one.words}") for one in view.menus.faults if not one.more],
        "More, with care": [(one.name, f"{one.name}: {one.words}") for one in view.menus.faults if one.more],
    }
    every = [("", "as the menu says"), *((str(n), "every call" if n == 1 else f"every {n}th call") for n in EVERY)]
    every = [(value, text.replace("2th", "2nd").replace("3th", "3rd")) for value, text in every]
    times = [(str(n), "once" if n == 1 else f"{n} times, then it ends") for n in TIMES]
    calls = [("", "all calls"), *((name, name) for name in view.menus.operations)]
    return (
        select("fault-name", "fault", "Trouble", groups, form)
        + select("fault-times", "times", "Strikes", times, form or {"times": "5"})
        + select("fault-every", "every", "Where it counts calls", every, form)
        + select("fault-on", "on", "Of", calls, form)
    )


def _time(form: Form, lessons: list[Choice]) -> str:
    return select("advance-lesson", "lesson", "For those in", lessons, form) + select(
        "advance-span", "span", "How much", [(text, text) for text in SPANS], form
    )


def _colleague(view: View, form: Form) -> str:
    changes = [("add", "puts in"), ("remove", "takes out")]
    return (
        select("colleague-change", "change", "A colleague", changes, form)
        + select("colleague-who", "who", "Whom", [(one, one) for one in PEOPLE], form)
        + select("colleague-group", "group", "Group", [(one, one) for one in view.menus.groups], form)
    )
