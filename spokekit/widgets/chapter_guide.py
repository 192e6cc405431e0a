"""The head of each chapter of the lessons, in one line: the chapters, where you are, and which lessons are right."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import traitlets as tr

from spokekit._foreign import markup
from spokekit._words import clock
from spokekit.errors import SpokekitError
from spokekit.training.attempts import events_here, practice_home
from spokekit.training.course import ONE_HOUR, Chapter, chapter_of, chapters
from spokekit.training.progress import by_lesson
from spokekit.widgets import rehearsal
from spokekit.widgets.controls import hide
from spokekit.widgets.join_panel import JoinPanel
from spokekit.widgets.steps import STEPS
from spokekit.widgets.strip import Stop, Strip

_newest: dict[str, ChapterGuide] = {}


class ChapterGuide(Strip):
    """Show where the person is among the chapters, and which lessons are right; a check in a panel below is seen.

    The path without a widget: ``spokekit lessons progress``.

    Parameters
    ----------
    letter:
        The chapter: A to F.

    Attributes
    ----------
    done:
        Letters of the chapters whose lessons are all right.
    right:
        Names of the lessons that are right, in the order of the chapters.

    Example
    -------
    >>> ChapterGuide("A")
    """

    commands = ("spokekit lessons progress",)
    right = tr.Tuple(())

    def __init__(self, letter: str, **options: Any) -> None:
        self._chapters = chapters()
        stops = [_stop(one) for one in self._chapters]
        here = next((stop for stop in stops if stop.sign == letter), None)
        if here is None:
            signs = ", ".join(stop.sign for stop in stops)
            raise SpokekitError(f"There is no chapter {letter!r}.", hint=f"The chapters are {signs}.")
        super().__init__("Where you are in the lessons", here, [STEPS[0], *stops], **options)
        self.chapter = next(one for one in self._chapters if one.letter == letter)
        if rehearsal.practice() is not None:
            self.body = [*self.body, JoinPanel("training", heading=False)]
        self.guarded(self.refresh)()
        _newest[letter] = self

    @classmethod
    def above(cls, lesson: str) -> ChapterGuide | None:
        """Return the newest one of the chapter that a lesson is in, or None where there is none in this process."""
        chapter = chapter_of(lesson)
        return _newest.get(chapter.letter) if chapter is not None else None

    def state_in_words(self) -> list[str]:
        """Say which lessons of the chapter are right."""
        right = [lesson.name for lesson in self.chapter.lessons if lesson.name in self.right]
        return [f"{self.chapter.title}: right are {', '.join(right) or 'none yet'}."]

    def refresh(self) -> None:
        """Read the progress again and show it."""
        site = rehearsal.practice()
        when = _right_since() if site is not None else {}
        done = [one.letter for one in self._chapters if all(lesson.name in when for lesson in one.lessons)]
        here = [lesson for lesson in self.chapter.lessons if lesson.name in when]
        place = f"<span class='sk-place'>{'Practice site' if site is not None else 'Your own site'}</span>"
        count = f"<span>{len(here)} of {len(self.chapter.lessons)} right</span>" if site is not None else ""
        told = "".join(f"<li>{markup(f'{one.title}: right, {clock(when[one.name])}')}</li>" for one in here)
        left = ", ".join(one.title for one in self.chapter.lessons if one.name not in when)
        details = (
            (f"<p>Right:</p><ul class='sk-list'>{told}</ul>" if told else "")
            + (f"<p>Not yet: {markup(left)}.</p>" if left else "")
            + f"<p>Records: {markup(str(practice_home()))}.</p>"
        )
        self._show(place, done, self._next(when, done), details=details, more=count)
        hide(self.pointer)
        self.set_trait("right", tuple(when))
        self.set_trait("done", tuple(done))

    def onward(self) -> str:
        """Return the button that leads to the next chapter, as markup, once this one leads on; else nothing."""
        after = self._next(self.right, self.done)
        return self.next_link(after) if after is not None else ""

    def _next(self, right: Any, done: Any) -> Stop | None:
        # In a session of one hour nobody does all of them.
        enough = [one.name for one in self.chapter.lessons if one.name in ONE_HOUR]
        if not self.leads_on or not all(name in right for name in enough):
            return None
        later = self.stops[self.stops.index(self.here) + 1 :]
        return next((stop for stop in later if stop.sign not in done), None)


def _stop(chapter: Chapter) -> Stop:
    title = f"Lessons {chapter.letter} · {chapter.title}"
    return Stop(chapter.letter, title, chapter.title, f"training/{chapter.notebook}")


def _right_since() -> dict[str, Any]:
    """Return when each lesson that is right was so for the first time."""
    root = practice_home()
    if not (root / "spokekit.sqlite").is_file():
        # Nothing was begun here, and to look leaves no trace.
        return {}
    events = events_here(root)
    with closing(events.store):
        rows = by_lesson(events, (lesson for chapter in chapters() for lesson in chapter.lessons))
    return {row["lesson"]: row["right_at"] for row in rows if row["right_at"] is not None}
