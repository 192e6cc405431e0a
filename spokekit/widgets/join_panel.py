"""Join a class from a notebook: address and code, then who you are in it, your hand, what was sent, and leaving."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

import traitlets as tr

from spokekit._foreign import NAME, markup
from spokekit._words import clock, counted
from spokekit.errors import SpokekitError
from spokekit.training.attempts import practice_home
from spokekit.training.course import chapters
from spokekit.training.joining import join_class, leave_class, what_was_sent
from spokekit.training.my_class import MyClass, my_class, raise_hand
from spokekit.training.sent import Sent, rows_of
from spokekit.training.trainer_orders import Begin, Say, Taken
from spokekit.widgets import rehearsal
from spokekit.widgets._class_news import ClassNews, hear, news_of, note, report_here, stop_reporting
from spokekit.widgets.base import Component
from spokekit.widgets.controls import Fold, Kind, html, html_table, notebook_link, row, status_line, text, write
from spokekit.widgets.controls import note as sentence

_MESSAGES = 3
NEED_HELP, NO_MORE = "I need help", "I need no more help"


class JoinPanel(Component):
    """Join a class with this practice home, or see how it is with the class that it is in.

    What the trainer says, and invitations to a lesson, appear by themselves. Nothing is sent before **Join** is
    pressed. The path without a widget: ``spokekit lessons join``, ``hand``, ``sent``, ``leave``.

    Parameters
    ----------
    folder:
        The folder of ``notebooks/`` that the notebook lies in, so that links lead from there.
    heading:
        False inside another component.

    Attributes
    ----------
    joined:
        True while this practice home is in a class.
    """

    joined = tr.Bool(False)
    commands = ("spokekit lessons join", "spokekit lessons hand", "spokekit lessons sent", "spokekit lessons leave")

    def __init__(self, folder: str = "", *, heading: bool = True, **options: Any) -> None:
        super().__init__("A class" if heading else "", **options)
        self._folder = folder
        self._root: Path = practice_home()
        self.news = html("", "sk-note")
        self.address = text("Address", placeholder="http://192.168.1.5:8760")
        self.code = text("Code", placeholder="six signs, from the trainer's board")
        self.name = text("Your name", placeholder="only if you like")
        self.join = self.button("Join", self.come_in, kind="primary")
        self._joining = [
            sentence(
                "The trainer's board shows an address and a code. How far your lessons are is sent to it, under a "
                "pseudonym: lesson, outcome, wrong turn, hints, times; nothing that you type, and no account. The "
                "trainer may send you messages and change your practice site. It is deleted there after 30 days."
            ),
            self.address,
            self.code,
            self.name,
            row(self.join, css="sk-actions"),
        ]
        self._who = html("", "sk-note")
        self.hand = self.button(NEED_HELP, self.ask_for_help)
        self.leave = self.button("Leave the class", self._ask_to_leave, kind="quiet")
        self._sent = html("", "sk-note")
        self.sent = Fold("What was sent", self._sent)
        self._sure = row()
        self._inside = [self._who, row(self.hand, self.leave, css="sk-actions"), self._sure, self.sent]
        self.fold = Fold("Join a class")
        self.body = [self.news, self.fold]
        self.on_enter(self.code, self.come_in)
        self.on_change(self.sent, lambda shown: self._show_sent() if shown else None, "shown")
        self.disable_while_busy(self.join, self.leave)
        self.guarded(self._go_on)()
        hear(self, self._root)

    def _go_on(self) -> None:
        """Show how it is; the kernel may have been started again meanwhile."""
        site = rehearsal.practice()
        if site is not None and my_class(self._root) is not None:
            report_here(self._root, site)
        self.see_class(news_of(self._root))

    # --- what is pressed ----------------------------------------------------------------------------------------------
    def come_in(self) -> None:
        """Join, in the background."""
        site = rehearsal.practice()
        if site is None:
            raise SpokekitError("There is no practice site here, and a class is for one.", hint="Start `spokekit lab`.")
        address, code, name = self.address.value, self.code.value, self.name.value

        def work(_task: Any) -> MyClass:
            joined = join_class(self._root, address, code, name)
            report_here(self._root, site)
            return joined

        def done(joined: MyClass) -> None:
            self.code.value = ""
            self.see_class(news_of(self._root))
            self.say(f"You are {joined.pseudonym} in the class {joined.class_name}.", "ok")

        self.run(work, words="Joining the class", done=done)

    def ask_for_help(self) -> None:
        """Put the hand up, or down again."""
        self.say(hand_up_or_down(self._root))
        self.see_class(news_of(self._root))

    def _ask_to_leave(self) -> None:
        words = "Nothing more is sent then. What was sent stays on the board until it is deleted there."
        self.ask_first(self._sure, words, "Yes, leave the class", self._leave, no="No, stay")

    def _leave(self) -> None:
        stop_reporting(self._root)
        leave_class(self._root)
        self.see_class(news_of(self._root))
        self.say("You have left the class. Your lessons go on as before.", "ok")

    def _show_sent(self) -> None:
        def done(found: Sent) -> None:
            named = f"the name {found.name}" if found.name else "no name"
            rows = [
                (clock(r["at"], seconds=True), r["what"], r["lesson"], r["outcome"], r["turn"])
                for r in reversed(rows_of(found))
            ]
            table = html_table(("When", "What", "Lesson", "Outcome", "Turn"), rows, label="What was sent")
            self._sent.value = (
                f"<p>The board keeps {markup(counted(len(rows), 'line'))}, the pseudonym "
                f"{markup(found.pseudonym, NAME)}, {markup(named)}, and when you were seen last.</p>"
                f"{table if rows else ''}"
            )

        self.run(lambda _task: what_was_sent(self._root), words="Asking the class", done=done)

    # --- what is shown ------------------------------------------------------------------------------------------------
    def see_class(self, news: ClassNews) -> None:
        """Show how it is with the class; called when anything changed."""
        joined = news.joined
        self.fold.call(f"Class: {joined.class_name}" if joined is not None else "Join a class")
        self.fold.hold(*(self._inside if joined is not None else self._joining))
        self.set_trait("joined", joined is not None)
        if joined is not None:
            state = news.state.words if news.state is not None else "The class is being told that you are here."
            kind: Kind = "plain" if news.state is None or news.state.reached else "warning"
            self._who.value = (
                f"<p>You are <strong>{markup(joined.pseudonym, NAME)}</strong>"
                f"{f', {markup(joined.name, NAME)},' if joined.name else ''} in the class "
                f"{markup(joined.class_name, NAME)}.</p>{status_line(state, kind)}"
            )
            self.hand.description = NO_MORE if news.hand else NEED_HELP
        write(self.news, self._news(news) if joined is not None else "")

    def _news(self, news: ClassNews) -> str:
        """Return the newest messages, and the newest invitation that is open, as markup; note them as shown."""
        said = [one for one in news.orders if isinstance(one.order, Say)][-_MESSAGES:]
        asked = [one for one in news.orders if isinstance(one.order, Begin)][-1:]
        lines = [message(one) for one in said] + [self._invitation(one) for one in asked if one.is_open]
        shown_now(self._root, [one for one in (*said, *asked) if not one.words])
        return "".join(lines)

    def _invitation(self, one: Taken) -> str:
        assert isinstance(one.order, Begin)  # noqa: S101 - those alone are given
        for chapter in chapters():
            for lesson in chapter.lessons:
                if lesson.name == one.order.lesson:
                    way = posixpath.relpath(f"training/{chapter.notebook}", self._folder or ".")
                    where = notebook_link(way, markup(f"Lessons {chapter.letter} · {chapter.title}"))
                    return f"<p>Your trainer asks you to begin “{markup(lesson.title)}”, in {where}.</p>"
        return f"<p>Your trainer asks you to begin the lesson {markup(one.order.lesson)}.</p>"


def message(one: Taken) -> str:
    """Return what the trainer said, with who said it and when, as markup."""
    assert isinstance(one.order, Say)  # noqa: S101 - those alone are given
    return f"<p><strong>Your trainer, {clock(one.at)}:</strong> {markup(one.order.text)}</p>"


def hand_up_or_down(root: Path) -> str:
    """Put the learner's hand up, or down again; returns how it is now in words."""
    up = not news_of(root).hand
    raise_hand(root, up)
    return "Your hand is up; the trainer sees it." if up else "Your hand is down."


def shown_now(root: Path, orders: list[Taken]) -> None:
    """Note that the learner sees these now."""
    for one in orders:
        note(root, one.n, "shown")


__all__ = ["JoinPanel"]
