"""What a lesson's panel shows of the class: the trainer's words, invitations, offers, and what the trainer changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spokekit._foreign import markup
from spokekit.training.my_class import raise_hand
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
from spokekit.widgets.controls import button, html, row
from spokekit.widgets.controls import note as sentence
from spokekit.widgets.join_panel import NEED_HELP, NO_MORE, message, shown_now

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
        self.hand = button(NEED_HELP)
        self._offered = 0
        for part in (self.lines, self.offer, self.acts, self.hand):
            part.layout.display = "none"
        panel.on_click(self.hand, self._ask_for_help)
        self.see_class(news_of(root))
        hear(panel, root)

    def _ask_for_help(self) -> None:
        up = not news_of(self._root).hand
        raise_hand(self._root, up)
        self.see_class(news_of(self._root))
        self._panel.say("Your hand is up; the trainer sees it." if up else "Your hand is down.")

    def forget_acts(self) -> None:
        """Say nothing of what the trainer has changed, until the learner checks or asks for a hint."""
        self.acts.layout.display = "none"

    def tell_acts(self) -> None:
        """Say what the trainer has changed on the practice site since the attempt began."""
        attempt = self._panel.attempt
        told = changes_since(news_of(self._root).orders, attempt.began) if attempt is not None else ""
        self.acts.value = f"<p>{markup(told)}</p>" if told else ""
        self.acts.layout.display = None if told else "none"

    # --- what came ----------------------------------------------------------------------------------------------------
    def see_class(self, news: ClassNews) -> None:
        """Show what is new of the class."""
        here = news.lesson == self._panel.lesson.name
        self.hand.layout.display = None if news.joined is not None and here else "none"
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
        self.lines.value = "".join(lines)
        self.lines.layout.display = None if lines else "none"
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
        self.offer.layout.display = "none" if one is None else ""
        if one is None:
            self.offer.children = ()
            return
        accept, decline = button("Start over", kind="danger"), button("No, go on")
        self._panel.on_click(accept, self._panel.start_over)
        self._panel.on_click(decline, lambda: self._decline(number))
        words = (
            "Your trainer offers you a fresh start: the practice site goes back to the start of this lesson, and your "
            "attempt until now is kept."
        )
        self.offer.children = (sentence(words), accept, decline)

    def _decline(self, number: int) -> None:
        note(self._root, number, "declined")
        self.see_class(news_of(self._root))
        self._panel.say("You go on with this attempt.")
