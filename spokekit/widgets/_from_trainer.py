"""What a lesson's panel shows of the class: the trainer's words, invitations, offers, and what the trainer changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spokekit._foreign import markup
from spokekit.training.trainer_orders import (
    AnswerAgain,
    Begin,
    OfferReset,
    Release,
    Say,
    Taken,
    about_lesson,
    changes_since,
)
from spokekit.widgets._class_news import ClassNews, hear, news_of, note
from spokekit.widgets.controls import hide, html, row, show, write
from spokekit.widgets.join_panel import NEED_HELP, NO_MORE, hand_up_or_down, message, shown_now

if TYPE_CHECKING:
    from spokekit.widgets.lesson_panel import LessonPanel


class FromTrainer:
    """The parts of a lesson's panel that are there in a class only.

    Parameters
    ----------
    panel:
        The lesson's panel.
    root:
        The practice home.

    Attributes
    ----------
    lines, offer, acts:
        What the trainer says; an offer to start over, with its buttons; what the trainer has changed on the site.
    hand:
        The button that asks for help.
    """

    def __init__(self, panel: LessonPanel, root: Path) -> None:
        self._panel, self._root = panel, root
        self.lines = html("", "sk-note")
        self.offer = row()
        self.acts = html("", "sk-note")
        self.hand = panel.button(NEED_HELP, self._ask_for_help)
        self._offered = 0
        hide(self.lines, self.offer, self.acts, self.hand)
        self.see_class(news_of(root))
        hear(panel, root)

    def _ask_for_help(self) -> None:
        self._panel.say(hand_up_or_down(self._root))
        self.see_class(news_of(self._root))

    def forget_acts(self) -> None:
        """Say nothing of what the trainer has changed, until the learner checks or asks for a hint."""
        hide(self.acts)

    def tell_acts(self) -> None:
        """Say what the trainer has changed on the practice site since the attempt began."""
        attempt = self._panel.attempt
        told = changes_since(news_of(self._root).orders, attempt.began) if attempt is not None else ""
        write(self.acts, f"<p>{markup(told)}</p>" if told else "")

    # --- what came ----------------------------------------------------------------------------------------------------
    def see_class(self, news: ClassNews) -> None:
        """Show what is new of the class."""
        here = news.lesson == self._panel.lesson.name
        show(self.hand, when=news.joined is not None and here)
        self.hand.description = NO_MORE if news.hand else NEED_HELP
        name = self._panel.lesson.name
        seen: list[Taken] = []
        lines: list[str] = []
        for one in [one for one in news.orders if isinstance(one.order, Say)][-1:] if here else []:
            lines.append(message(one))
            seen.append(one)
        for kind, words in (
            (Begin, "Your trainer asks you to begin this lesson."),
            (Release, "Your trainer has set the solution free: press Solution when you like."),
            (AnswerAgain, "Your trainer asks: discuss your answer with a neighbour, then answer once more."),
        ):
            for one in about_lesson(news.orders, kind, name)[-1:]:
                if one.is_open and not (kind is AnswerAgain and self._answered_since(one)):
                    lines.append(f"<p>{markup(words)}</p>")
                    seen.append(one)
        write(self.lines, "".join(lines))
        offers = [one for one in about_lesson(news.orders, OfferReset, name) if one.is_open]
        self._show_offer(offers[-1] if offers and here else None)
        seen += offers if here else []
        shown_now(self._root, [one for one in seen if not one.words])

    def _answered_since(self, one: Taken) -> bool:
        attempt = self._panel.attempt
        return attempt is not None and any(e.event == "answered" and e.at > one.at for e in attempt.events)

    def _show_offer(self, one: Taken | None) -> None:
        number = one.n if one is not None else 0
        if number == self._offered:
            return
        self._offered = number
        if one is None:
            self.offer.children = ()
            hide(self.offer)
            return
        accept = self._panel.button("Start over", self._panel.start_over, kind="danger")
        decline = self._panel.button("No, go on", lambda: self._decline(number))
        words = (
            "Your trainer offers you a fresh start: the practice site goes back to the start of this lesson, and your "
            "attempt until now is kept."
        )
        self._panel.offer(self.offer, words, accept, decline)

    def _decline(self, number: int) -> None:
        note(self._root, number, "declined")
        self.see_class(news_of(self._root))
        self._panel.say("You go on with this attempt.")
