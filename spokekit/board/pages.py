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


def wide(label: str, table: str) -> str:
    """Return a table that scrolls by itself where it is wider than the screen, by the keyboard too."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="Table: {escape(label)}">{table}</div>'


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
    table = wide(
        "Where they are",
        '<table><thead><tr><th scope="col">Lesson</th><th scope="col" class="number">Now</th>'
        '<th scope="col" class="number">Begun</th><th scope="col" class="number">Right</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>",
    )
    body = table if rows else "<p class=soft>Nobody has begun a lesson yet.</p>"
    return (
        f'<section aria-labelledby="where-title"><h2 id="where-title">Where they are</h2>'
        f'<div id="where" data-live>{body}</div></section>'
    )


def common(view: View) -> str:
    """Return the three commonest wrong turns now."""
    items = "".join(
        f"<li><b>{one.count} of {one.of}</b> in “{view.title(one.lesson)}”: {escape(ranking.readable(one.turn))}"
        f"{_sentence(view, one.lesson, one.turn)}</li>"
        for one in ranking.commonest(view.learners)
    )
    body = f"<ol>{items}</ol>" if items else "<p class=soft>No wrong turn that has a name.</p>"
    return (
        '<section aria-labelledby="common-title"><h2 id="common-title">Commonest wrong turns now</h2>'
        f'<div id="common" data-live>{body}</div></section>'
    )


def _sentence(view: View, lesson: str, turn: str) -> str:
    said = view.menus.course[lesson].turns.get(turn, "") if lesson in view.menus.course else ""
    return f'<br><span class="soft">{markup(said)}</span>' if said else ""


_HEADS = ("Who", "How it is", "Lesson", "Last check", "Wrong turn", "Checks", "Hints", "Minutes (class)", "Last seen")


def people(view: View) -> str:
    """Return the table of all learners, those who need help first."""
    numbers = ("Checks", "Hints", "Minutes (class)")
    heads = "".join(f'<th scope="col"{" class=number" if name in numbers else ""}>{name}</th>' for name in _HEADS)
    rows = "".join(_row(view, row) for row in ranking.rows(view.learners, view.menus.course, view.now))
    none = "" if rows else "<p class=soft id=nobody>Nobody has joined yet.</p>"
    table = f'<table class="people"><thead><tr>{heads}</tr></thead><tbody id="rows" data-live>{rows}</tbody></table>'
    return (
        '<section class="people" aria-labelledby="people-title"><h2 id="people-title">Who needs help first</h2>'
        f'<div id="none" data-live>{none}</div>{wide("Learners", table)}</section>'
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
    if row.state == "same turn":
        return f"same turn {counted(row.same, 'time')}"
    if row.state == "silent":
        return "silent"
    return row.state


def _turn(view: View, row: ranking.Row) -> str:
    if not row.turn:
        return ""
    name = escape(ranking.readable(row.turn))
    said = view.menus.course[row.lesson].turns.get(row.turn, "") if row.lesson in view.menus.course else ""
    if not said:
        return name
    return f'<details id="t{row.number}"><summary>{name}</summary><span class="soft">{markup(said)}</span></details>'


def _seen(silent: float) -> str:
    # Who waits for orders is heard every half minute.
    return "now" if silent < 35 else f"{span(max(60, silent))} ago"


# -- orders ----------------------------------------------------------------------------------------------------


def given(view: View, only: Learner | None = None) -> str:
    """Return what became of the orders, the newest first; those for one learner with `only`."""
    all_of_them = [one for one in view.kept.orders if only is None or one.is_for(only)]
    items = "".join(_given(view, one, only) for one in reversed(all_of_them[-_MOST_ORDERS:]))
    more = len(all_of_them) - _MOST_ORDERS
    rest = f"<p class=soft>and {counted(more, 'earlier order')}</p>" if more > 0 else ""
    body = f"<ul>{items}</ul>{rest}" if items else "<p class=soft>None yet.</p>"
    return (
        '<section aria-labelledby="given-title"><h2 id="given-title">What became of the orders</h2>'
        f'<div id="given" data-live>{body}</div></section>'
    )


def _given(view: View, one: Given, only: Learner | None) -> str:
    told = ranking.became(one, [only] if only else view.learners)
    to = "all" if one.to is None else view.who(view.kept.learners[one.to])
    parts = [f"{escape(word)} {count}" if not only else escape(word) for word, count in told.outcomes.items()]
    if told.open:
        parts.append(f"not yet {told.open}" if not only else "not yet")
    return (
        f"<li><b>{one.ordered.n}.</b> {at(one.ordered.at, view.now)}, for {to}: "
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
        f"<p>Wrong turn: {escape(ranking.readable(row.turn))}{_sentence(view, row.lesson, row.turn)}</p>"
        if row.turn
        else ""
    )
    noted = who.noted()
    rows = "".join(_event(view, one) for one in reversed(noted[-_MOST_EVENTS:]))
    more = len(noted) - _MOST_EVENTS
    rest = f"<p class=soft>and {counted(more, 'earlier line')}</p>" if more > 0 else ""
    table = wide(
        "What was done",
        '<table><thead><tr><th scope="col">At</th><th scope="col">What</th><th scope="col">Lesson</th>'
        '<th scope="col" class="number">Attempt</th><th scope="col">Outcome</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>",
    )
    return (
        f'<section aria-labelledby="who-title"><h2 id="who-title">{view.who(who)}</h2><div id="who" data-live>'
        f'<p><span class="state {_STATES[row.state]}">{_state(row)}</span> {shown}</p>{turn}{hits}'
        f"<p class=soft>Joined {at(who.joined, view.now)}, last seen {_seen(row.silent)}.</p></div></section>"
        f'<section aria-labelledby="events-title"><h2 id="events-title">What was done, by the learner\'s own clock</h2>'
        f'<div id="events" data-live>{table + rest if rows else "<p class=soft>Nothing yet.</p>"}</div></section>'
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
        f'<tr><th scope="row">{_answer(answer)}{_sentence(view, lesson, answer) if answer else ""}</th>'
        f'<td class="number">{len(who)}</td><td><svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect width="{100 * len(who) / most:.0f}" height="8"/></svg></td></tr>'
        for answer, who in found.items()
    )
    table = wide(
        "Answers",
        '<table><thead><tr><th scope="col">Answer</th><th scope="col" class="number">Learners</th>'
        f'<th scope="col"><span class="unseen">Share</span></th></tr></thead><tbody>{rows}</tbody></table>',
    )
    items = "".join(f"<li>{' and '.join(view.who(one) for one in who)}</li>" for who in ranking.pairs(found))
    return (
        f'<section aria-labelledby="answers-title"><h2 id="answers-title">{view.title(lesson)}: answers</h2>'
        f'<div id="answers" data-live>{table if rows else "<p class=soft>Nobody has begun it.</p>"}</div></section>'
        '<section aria-labelledby="pairs-title"><h2 id="pairs-title">Pairs, of different answers where there are</h2>'
        f'<div id="pairs" data-live>{f"<ul>{items}</ul>" if items else "<p class=soft>Two answers are needed.</p>"}'
        "</div></section>"
    )


def _answer(answer: str) -> str:
    if answer == ranking.NO_ANSWER:
        return "no answer yet"
    sign = _OUTCOMES[answer][0] if answer in _OUTCOMES else "△"
    return _signed(sign, ranking.readable(answer))
