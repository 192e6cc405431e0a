"""The trainer's pages as HTML: the frame, and the parts of the board. What came from elsewhere is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from spokekit._foreign import NAME, markup
from spokekit._words import clock, counted, span
from spokekit.board import ranking
from spokekit.board.orders import Menus, words
from spokekit.board.records import Given, Kept, Learner
from spokekit.board.wire import Noted

STYLE = (Path(__file__).parent / "board.css").read_text(encoding="utf-8")
_SCRIPT = (Path(__file__).parent / "board.js").read_text(encoding="utf-8")
SCRIPT_SUM = f"'sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}'"
POLICY = (
    f"default-src 'none'; style-src 'self'; script-src {SCRIPT_SUM}; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_MOST_ORDERS = 30
_MOST_EVENTS = 200

_OUTCOMES: Mapping[str, tuple[str, str]] = {
    "": ("○", "not checked yet"),
    "not attempted": ("□", "not attempted"),
    "not yet": ("△", "not yet"),
    "right": ("✓", "right"),
    "right with a remark": ("✓", "right, with a remark"),
    "cannot check": ("?", "cannot check"),
}
_STATES: Mapping[str, str] = {
    "hand up": "help",
    "same turn": "stuck",
    "long at it": "stuck",
    "silent": "quiet",
    "not begun": "quiet",
    "working": "rest",
    "done": "rest",
}
_EVENTS = {
    "begun": "began",
    "checked": "checked",
    "hint": "took a hint",
    "solution": "saw the solution",
    "answered": "answered",
    "reset": "started over",
    "shown": "was shown the steps",
}


@dataclass(frozen=True)
class View:
    """What a page shows of a class: the class, the menus, the moment, and whether names are shown."""

    kept: Kept
    menus: Menus
    now: float
    url: str
    names: bool = False

    @property
    def learners(self) -> list[Learner]:
        """Those who are in the class."""
        return list(self.kept.learners.values())

    @property
    def lessons(self) -> list[str]:
        """The lessons of the class, or all that there are."""
        return list(self.kept.lessons or self.menus.course)

    def title(self, lesson: str) -> str:
        """Return the title of a lesson, escaped."""
        return markup(ranking.title_of(self.menus.course, lesson), NAME)

    def who(self, learner: Learner) -> str:
        """Return how a learner is called on this page, escaped."""
        name = f" ({markup(learner.name, NAME)})" if self.names and learner.name else ""
        return f"{escape(learner.pseudonym)}{name}"

    def whom(self, given: Given) -> str:
        """Return whom an order is for, escaped."""
        return "all" if given.to is None else self.who(self.kept.learners[given.to])

    def sentence(self, lesson: str, turn: str) -> str:
        """Return what is said about a wrong turn, escaped; "" where nothing is."""
        course = self.menus.course
        return markup(course[lesson].turns.get(turn, "")) if lesson in course else ""

    def link(self, path: str, **query: object) -> str:
        """Return an address on the board that keeps whether names are shown."""
        told = {name: value for name, value in query.items() if value} | ({"names": "1"} if self.names else {})
        return escape(f"{path}?{urlencode(told)}" if told else path)


def page(title: str, body: str, *, live: bool = False, narrow: bool = False, onward: str = "") -> str:
    """Return a whole page; `body` is markup. With `live` its parts change by themselves, with `onward` it goes on."""
    script = f"<script>{_SCRIPT}</script>" if live else ""
    refresh = f'<meta http-equiv="refresh" content="0;url={escape(onward)}">' if onward else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}'
        f'<title>{markup(title)}</title><link rel="stylesheet" href="board.css"></head>'
        f"<body><main{' class=narrow' if narrow else ''}>{body}</main>{script}</body></html>"
    )


LATE = '<p class="note" id="late" role="alert" hidden>The board does not answer. What is shown may be old.</p>'


def at(seconds: float, now: float) -> str:
    """Return a moment in words."""
    try:
        return clock(datetime.fromtimestamp(seconds, UTC), datetime.fromtimestamp(now, UTC))
    except (OverflowError, OSError, ValueError):
        # A learner's clock may say anything.
        return "at no time there is"


def head(view: View, here: str) -> str:
    """Return the line of a page's title, and the links between the pages."""
    gave = sum(bool(one.name) for one in view.learners)
    names = "Hide names" if view.names else f"Show names ({gave} gave one)"
    switch = View(view.kept, view.menus, view.now, view.url, not view.names)
    shown = f'<a href="{switch.link("board")}" id="names">{names}</a>' if gave or view.names else ""
    links = "".join(
        f'<a href="{view.link(path)}"{" aria-current=page" if path == here else ""}>{text}</a>'
        for path, text in (("board", "Board"), ("answers", "Answers and pairs"), ("end", "Export and end"))
    )
    return (
        f'<header class="top"><h1>{markup(view.kept.name, NAME)}</h1>'
        f'<nav aria-label="Class">{links}{shown}</nav></header>{LATE}'
    )


def how_to_join(view: View) -> str:
    """Return how a learner joins."""
    command = f"spokekit lab --join {view.url} --code {view.kept.code}"
    return (
        f'<p class="join">Join at <code>{escape(view.url)}</code> with the code '
        f'<span class="code">{escape(view.kept.code)}</span><br><span class="soft">in the guide under “Join a class”, '
        f"or in a terminal: <code>{escape(command)}</code></span></p>"
    )


def _table(label: str, heads: Mapping[str, str], rows: str, *, css: str = "", body: str = "") -> str:
    """Return a table that scrolls by itself where it is wider than the screen, by the keyboard too.

    `heads` are markup, each with the attributes of its cell; `css` and `body` are those of the table and of its body.
    """
    top = "".join(f'<th scope="col"{more}>{head}</th>' for head, more in heads.items())
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="Table: {escape(label)}">'
        f"<table{css}><thead><tr>{top}</tr></thead><tbody{body}>{rows}</tbody></table></div>"
    )


def _section(name: str, title: str, live: str) -> str:
    """Return a part of a page, of which `live` changes by itself."""
    return (
        f'<section aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>'
        f'<div id="{name}" data-live>{live}</div></section>'
    )


def _earlier(more: int, what: str) -> str:
    return f"<p class=soft>and {counted(more, f'earlier {what}')}</p>" if more > 0 else ""


def hands(view: View) -> str:
    """Return who has a hand up, in a line that is spoken when it changes."""
    up = [one for one in view.learners if one.now.hand]
    said = f"Hand up: {', '.join(view.who(one) for one in up)}." if up else "No hand is up."
    return f'<p id="hands" data-live role="status">{counted(len(view.learners), "learner")}. {said}</p>'


def where(view: View) -> str:
    """Return how many are where."""
    rows = "".join(
        f'<tr><th scope="row">{view.title(one.lesson)}</th><td class="number">{one.here}</td>'
        f'<td class="number">{one.begun}</td><td class="number">{one.right}</td></tr>'
        for one in ranking.where(view.learners, view.kept.lessons)
    )
    table = _table("Where they are", {"Lesson": "", "Now": _NUMBER, "Begun": _NUMBER, "Right": _NUMBER}, rows)
    return _section("where", "Where they are", table if rows else "<p class=soft>Nobody has begun a lesson yet.</p>")


def common(view: View) -> str:
    """Return the three commonest wrong turns now."""
    items = "".join(
        f"<li><b>{one.count} of {one.of}</b> in “{view.title(one.lesson)}”: {escape(ranking.readable(one.turn))}"
        f"{_said(view, one.lesson, one.turn)}</li>"
        for one in ranking.commonest(view.learners)
    )
    body = f"<ol>{items}</ol>" if items else "<p class=soft>No wrong turn that has a name.</p>"
    return _section("common", "Commonest wrong turns now", body)


def _said(view: View, lesson: str, turn: str) -> str:
    said = view.sentence(lesson, turn)
    return f'<br><span class="soft">{said}</span>' if said else ""


_NUMBER = ' class="number"'
_HEADS: Mapping[str, str] = {
    **dict.fromkeys(("Who", "How it is", "Lesson", "Last check", "Wrong turn"), ""),
    **dict.fromkeys(("Checks", "Hints", "Minutes (class)"), _NUMBER),
    "Last seen": "",
}


def people(view: View) -> str:
    """Return the table of all learners, those who need help first."""
    rows = "".join(_row(view, row) for row in ranking.rows(view.learners, view.menus.course, view.now))
    none = "" if rows else "<p class=soft id=nobody>Nobody has joined yet.</p>"
    table = _table("Learners", _HEADS, rows, css=' class="people"', body=' id="rows" data-live')
    return (
        '<section class="people" aria-labelledby="people-title"><h2 id="people-title">Who needs help first</h2>'
        f'<div id="none" data-live>{none}</div>{table}</section>'
    )


def _row(view: View, row: ranking.Row) -> str:
    learner = view.kept.learners[row.number]
    sign, outcome = _OUTCOMES[row.outcome] if row.lesson else ("-", "")
    minutes = "" if row.minutes is None else f"{row.minutes:,.0f} ({row.median or 0:,.0f})"
    attempts = f" <span class=soft>attempt {row.attempts}</span>" if row.attempts > 1 else ""
    return (
        f'<tr id="p{row.number}"><th scope="row" class="first"><a id="a{row.number}" '
        f'href="{view.link("learner", id=row.number)}">{view.who(learner)}</a></th>'
        f'<td><span class="state {_STATES[row.state]}">{_state(row)}</span></td>'
        f'<td class="long">{view.title(row.lesson) if row.lesson else ""}{attempts}</td>'
        f'<td>{_signed(sign, outcome)}</td><td class="long">{_turn(view, row)}</td>'
        f'<td class="number" data-what="Checks">{row.checks}</td><td class="number" data-what="Hints">{row.hints}</td>'
        f'<td class="number" data-what="Minutes (class)">{minutes}</td>'
        f'<td data-what="Last seen">{_seen(row.silent)}</td></tr>'
    )


def _signed(sign: str, outcome: str) -> str:
    return f'<span class="sign" aria-hidden="true">{sign}</span>{escape(outcome)}'


def _state(row: ranking.Row) -> str:
    return f"same turn {counted(row.same, 'time')}" if row.state == "same turn" else row.state


def _turn(view: View, row: ranking.Row) -> str:
    if not row.turn:
        return ""
    name = escape(ranking.readable(row.turn))
    said = view.sentence(row.lesson, row.turn)
    if not said:
        return name
    return f'<details id="t{row.number}"><summary>{name}</summary><span class="soft">{said}</span></details>'


def _seen(silent: float) -> str:
    # Who waits for orders is heard every half minute.
    return "now" if silent < 35 else f"{span(max(60, silent))} ago"


# -- orders ----------------------------------------------------------------------------------------------------


def given(view: View, only: Learner | None = None) -> str:
    """Return what became of the orders, the newest first; those for one learner with `only`."""
    all_of_them = [one for one in view.kept.orders if only is None or one.is_for(only)]
    items = "".join(_given(view, one, only) for one in reversed(all_of_them[-_MOST_ORDERS:]))
    rest = _earlier(len(all_of_them) - _MOST_ORDERS, "order")
    body = f"<ul>{items}</ul>{rest}" if items else "<p class=soft>None yet.</p>"
    return _section("given", "What became of the orders", body)


def _given(view: View, one: Given, only: Learner | None) -> str:
    told = ranking.became(one, [only] if only else view.learners)
    parts = [f"{escape(word)} {count}" if not only else escape(word) for word, count in told.outcomes.items()]
    if told.open:
        parts.append(f"not yet {told.open}" if not only else "not yet")
    return (
        f"<li><b>{one.ordered.n}.</b> {at(one.ordered.at, view.now)}, for {view.whom(one)}: "
        f"{markup(words(one.ordered.order, view.menus.course))}: {', '.join(parts) or 'nobody was there'}</li>"
    )


# -- one learner -----------------------------------------------------------------------------------------------


def learner(view: View, who: Learner) -> str:
    """Return what is kept of one learner."""
    (row,) = (one for one in ranking.rows(view.learners, view.menus.course, view.now) if one.number == who.number)
    sign, outcome = _OUTCOMES[row.outcome] if row.lesson else ("-", "no lesson yet")
    hits = f"<p>Trouble that you made has struck {counted(row.hits, 'answer')} in this attempt.</p>" if row.hits else ""
    shown = f"{view.title(row.lesson)}: {_signed(sign, outcome)}" if row.lesson else "No lesson yet"
    turn = (
        f"<p>Wrong turn: {escape(ranking.readable(row.turn))}{_said(view, row.lesson, row.turn)}</p>"
        if row.turn
        else ""
    )
    noted = who.noted()
    rows = "".join(_event(view, one) for one in reversed(noted[-_MOST_EVENTS:]))
    rest = _earlier(len(noted) - _MOST_EVENTS, "line")
    table = _table("What was done", {"At": "", "What": "", "Lesson": "", "Attempt": _NUMBER, "Outcome": ""}, rows)
    about = (
        f'<p><span class="state {_STATES[row.state]}">{_state(row)}</span> {shown}</p>{turn}{hits}'
        f"<p class=soft>Joined {at(who.joined, view.now)}, last seen {_seen(row.silent)}.</p>"
    )
    events = table + rest if rows else "<p class=soft>Nothing yet.</p>"
    return _section("who", view.who(who), about) + _section(
        "events", "What was done, by the learner's own clock", events
    )


def _event(view: View, one: Noted) -> str:
    sign, outcome = _OUTCOMES[one.outcome] if one.event in ("checked", "answered") and one.outcome else ("", "")
    turn = f": {escape(ranking.readable(one.turn))}" if one.turn else ""
    return (
        f"<tr><td>{at(one.at, view.now)}</td><td>{_EVENTS[one.event]}</td><td>{view.title(one.lesson)}</td>"
        f'<td class="number">{one.attempt}</td><td>{_signed(sign, outcome) if outcome else ""}{turn}</td></tr>'
    )


# -- answers ---------------------------------------------------------------------------------------------------


def answers(view: View, lesson: str) -> str:
    """Return how the answers of a lesson are distributed, and who may talk to whom."""
    found = ranking.answers(view.learners, lesson)
    most = max(map(len, found.values()), default=1)
    rows = "".join(
        f'<tr><th scope="row">{_answer(answer)}{_said(view, lesson, answer) if answer else ""}</th>'
        f'<td class="number">{len(who)}</td><td><svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect width="{100 * len(who) / most:.0f}" height="8"/></svg></td></tr>'
        for answer, who in found.items()
    )
    table = _table("Answers", {"Answer": "", "Learners": _NUMBER, '<span class="unseen">Share</span>': ""}, rows)
    items = "".join(f"<li>{' and '.join(view.who(one) for one in who)}</li>" for who in ranking.pairs(found))
    spread = table if rows else "<p class=soft>Nobody has begun it.</p>"
    talk = f"<ul>{items}</ul>" if items else "<p class=soft>Two answers are needed.</p>"
    return _section("answers", f"{view.title(lesson)}: answers", spread) + _section(
        "pairs", "Pairs, of different answers where there are", talk
    )


def _answer(answer: str) -> str:
    if answer == ranking.NO_ANSWER:
        return "no answer yet"
    sign = _OUTCOMES[answer][0] if answer in _OUTCOMES else "△"
    return _signed(sign, ranking.readable(answer))
