"""A lesson in a notebook: its goal, a check, hints and the solution, and below them the components that it needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit import widgets
from spokekit._foreign import markup
from spokekit._home import on_binder
from spokekit.errors import NotFound, SpokekitError
from spokekit.training.attempts import Attempt, Attempts, practice_home
from spokekit.training.course import lesson as lesson_called
from spokekit.training.desk import START, Desk
from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Verdict
from spokekit.widgets import rehearsal
from spokekit.widgets._class_news import ClassNews
from spokekit.widgets._from_trainer import FromTrainer
from spokekit.widgets.base import Component, Task
from spokekit.widgets.chapter_guide import ChapterGuide
from spokekit.widgets.controls import (
    Fold,
    Kind,
    bullets,
    card,
    dropdown,
    hide,
    html,
    note,
    row,
    select_many,
    sentence,
    show,
    write,
)

if TYPE_CHECKING:
    import ipywidgets as ipw

    from spokekit._workspace import Workspace
    from spokekit.training.seen import Seen

_KINDS: dict[str, Kind] = {
    "not attempted": "plain",
    "not yet": "warning",
    "right": "ok",
    "right with a remark": "ok",
    "cannot check": "error",
}
_SAID = {
    "not attempted": "Not attempted.",
    "not yet": "Not yet.",
    "right": "Right.",
    "right with a remark": "Right, with a remark.",
    "cannot check": "Cannot be checked.",
}


class LessonPanel(Component):
    """Begin a lesson, do it in the components below, and have it checked.

    Nothing is set before **Begin** is pressed. The attempt then has a home of its own, and the components below work in
    it. An unattended run begins the lesson, does it and checks it, and fails where it is not right then. The path
    without a widget: ``spokekit lessons begin NAME``, ``check``, ``hint``, ``reset``.

    Parameters
    ----------
    name:
        The lesson's name.

    Attributes
    ----------
    outcome_word:
        The outcome of the last check: ``not attempted``, ``not yet``, ``right``, ``right with a remark``, ``cannot
        check``; "" before one.
    begun:
        How often an attempt was begun here.
    attempt:
        The `Attempt`, or None before one is begun.
    """

    commands = ("spokekit lessons begin", "spokekit lessons check")
    outcome_word = tr.Unicode("")
    begun = tr.Int(0)

    def __init__(self, name: str, **options: Any) -> None:
        self.lesson: Lesson = lesson_called(name)
        super().__init__(self.lesson.title, **options)
        self.attempt: Attempt | None = None
        self._goal = html("", "sk-note")
        words = "Set the practice site to the start of this lesson"
        self.begin = self.button("Begin", self.start, kind="primary", tooltip=words)
        self.check = self.button("Check", self.look, kind="primary")
        self.hint = self.button(f"Hint 1 of {len(self.lesson.hints)}", self.help)
        self.solution = self.button("Solution", self.show_solution)
        words = "A new attempt from the start; nothing is deleted"
        self.over = self.button("Start over", self._ask_over, kind="quiet", tooltip=words)
        self.answer: ipw.Widget | None = None
        self.say_answer = self.button("Answer", self.send_answer)
        self._answer_place = row()
        self._sure = row()
        self._told = html("", "sk-note")
        self._onward = html("", "sk-note")
        self._same = note("The same once more: the next hint may help.")
        hide(self._onward, self._same)
        # What was done in the components below, counted, since the attempt began.
        self._steps = 0
        self._site = html("", "sk-note")
        self.happened = Fold("What happened on the site", self._site)
        self._tools = card()
        # A trainer's class is heard of from the first, since it may ask for this lesson.
        self.class_ = FromTrainer(self, practice_home())
        self._actions = row(
            self.begin, self.check, self.hint, self.solution, self.over, self.class_.hand, css="sk-actions"
        )
        self.body = [
            self._goal,
            self.class_.lines,
            self.class_.offer,
            self._answer_place,
            self._actions,
            self._sure,
            self.outcome,
            self.class_.acts,
            self._onward,
            self._same,
            self._told,
            self.happened,
            self._tools,
        ]
        self.on_change(self.happened, lambda _: self._tell_site(), "shown")
        self._verdict_of = self.belongs_to(
            "check",
            {"your answer": lambda: self.answer.value if self.answer else None, "what was done below": self._counted},
            again="Press Check once more; another answer is noted with Answer first.",
        )
        self.disable_while_busy(self.begin, self.check, self.hint, self.solution, self.over, self.say_answer)
        self._show()
        self.guarded(self._go_on)()
        # On Binder cells play the person for visitors; a lesson is there for them to do.
        if rehearsal.unattended() and not on_binder(os.environ):
            self.rehearse()

    # --- which attempt ----------------------------------------------------------------------------------------------
    def _attempts(self) -> Attempts:
        site = rehearsal.practice()
        if site is None:
            raise SpokekitError("There is no practice site here, and lessons begin on one only.", hint=START)
        return Attempts(Desk(site))

    @property
    def workspace(self) -> Workspace:
        """The attempt's workspace, for cells of one's own; raises `NotFound` before an attempt is begun."""
        if self.attempt is None:
            raise NotFound("This lesson is not begun.", hint="Press Begin in its panel.")
        return self.attempt.workspace

    def _go_on(self) -> None:
        """Go on with the attempt that the practice site is set for: the kernel may have been restarted meanwhile."""
        site = rehearsal.practice()
        if site is None:
            self.say(f"There is no practice site here, and lessons begin on one only. {START}", "warning")
            self.begin.disabled = True
            return
        attempts = Attempts(Desk(site))
        if (now := attempts.current_name()) is not None and now[0] == self.lesson.name:
            attempt = attempts.newest(self.lesson)
            self._open(attempt)
            if attempt.fits(attempt.desk.state()):
                self.say(f"You are in attempt {now[1]} of this lesson. Go on, or start over.")
            else:
                self.say("The practice site was begun anew since this attempt began. Start over.", "warning")

    def _follow(self) -> None:
        """Take over what another tab or the command line has begun meanwhile."""
        if self.attempt is None:
            raise NotFound("This lesson is not begun.", hint="Press Begin.")
        if not self.attempt.current:
            now = self._attempts().current_name()
            if now is not None and now[0] == self.lesson.name:
                self._open(self._attempts().newest(self.lesson))

    # --- beginning ----------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin an attempt, in the background."""
        self._start(again=False)

    def _start(self, *, again: bool) -> None:
        attempts = self._attempts()

        def begun(attempt: Attempt) -> None:
            self._open(attempt)
            self.begun += 1
            self.say(self.lesson.text(self.lesson.first, attempt.seen()))

        self.run(
            lambda _task: attempts.begin(self.lesson, again=again), words="Setting the practice site up", done=begun
        )

    def start_over(self) -> None:
        """Begin a new attempt, as the trainer has offered."""
        self._start(again=True)

    def see_class(self, news: ClassNews) -> None:
        """Show what is new of the class; called when anything changed."""
        self.class_.see_class(news)

    def _ask_over(self) -> None:
        words = (
            "The practice site goes back to the start of this lesson, with no point spent. Your attempt until now is "
            "kept."
        )
        self.ask_first(self._sure, words, "Yes, start over", lambda: self._start(again=True), no="No, go on")

    def _open(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.set_trait("outcome_word", "")
        self._told.value = ""
        hide(self._same)
        self.class_.forget_acts()
        write(self._onward, "")
        self._verdict_of.forget()
        seen = attempt.seen()
        self._show(seen)
        self._offer_answers(seen)
        self._tools.children = tools = _components(self.lesson, attempt)
        self._steps = 0
        for tool in tools:
            acts = [name for name in ("accepted", "applied", "saved", "rows") if tool.has_trait(name)]
            tool.observe(self.guarded(lambda _: self._step()), acts)

    def _counted(self) -> int:
        return self._steps

    def _step(self) -> None:
        self._steps += 1
        self._verdict_of.see()
        self._tell_site()

    # --- showing ------------------------------------------------------------------------------------------------------
    def _show(self, seen: Seen | None = None) -> None:
        lesson = self.lesson
        story, goal = (lesson.text(text, seen) if seen else "" for text in (lesson.story, lesson.goal))
        head = f"<p>{markup(story)}</p>" if story else ""
        goal = goal or "It is told when you begin, since it names people and groups of your own practice site."
        self._goal.value = f"{head}<p><strong>Goal:</strong> {markup(goal)} <em>{lesson.minutes} minutes.</em></p>"
        if self.attempt is not None and {"connection", "handover"} & set(lesson.tools):
            title = "Practice developer console: the apps with their client IDs and secrets"
            self._goal.value += self._page("console", "Open the practice site's console", title)
        if self.attempt is not None and "handover" in lesson.tools:
            title = "Its records, its client secrets, and Get OAuth Token: what is done by hand there"
            self._goal.value += self._page("instance", "Open the practice instance", title)
        there = self.attempt is not None
        show(self.check, self.hint, self.solution, self.over, self.happened, self._tools, when=there)
        show(self.begin, when=not there)
        if self.attempt is not None:
            number = min(self.attempt.hints_seen + 1, len(lesson.hints))
            self.hint.description = f"Hint {number} of {len(lesson.hints)}"

    def _offer_answers(self, seen: Seen) -> None:
        choices = list(self.attempt.choices(seen)) if self.attempt is not None else []
        if not choices:
            self._answer_place.children = ()
            return
        if self.lesson.several:
            self.answer = select_many("Your answer", choices, rows=len(choices))
        else:
            self.answer = dropdown("Your answer", [("Choose an answer", ""), *((one, one) for one in choices)])
        self.on_change(self.answer, lambda _: self._verdict_of.see())
        self._answer_place.children = (self.answer, self.say_answer)

    def _tell_site(self) -> None:
        if self.attempt is None or not self.happened.shown:
            return
        state = self.attempt.desk.state()
        before = self.attempt.seen(now=state).before
        # A site that was started again since counts anew.
        went_on = all(state.counts.get(name, 0) >= count for name, count in before.counts.items())
        counts, since = (before.counts, "this attempt began") if went_on else ({}, "it was started")
        asked = [
            f"{name}: {count - counts.get(name, 0)}"
            for name, count in sorted(state.counts.items())
            if count > counts.get(name, 0)
        ]
        refused = sum(state.refused.values()) - (sum(before.refused.values()) if went_on else 0)
        title = "Who asked what, what was refused, and what it cost, in a page of the practice site"
        self._site.value = (
            f"<p>Requests that the site has answered since {since}, {refused} of them with a refusal:</p>"
            f"{bullets(asked or ['nothing yet'])}{self._page('happened', 'Open the whole list in words', title)}"
        )

    def _page(self, page: str, words: str, title: str) -> str:
        """Return a line that leads to a page of the practice site."""
        assert self.attempt is not None  # noqa: S101 - before one nothing is shown that leads there
        link, reached = rehearsal.page_link(self.attempt.desk.about, page, words, title)
        elsewhere = "" if reached else " It opens only in a browser on the machine where this runs."
        return f"<p>{link}.{elsewhere}</p>"

    def way_on(self) -> str:
        """Name this lesson's own commands."""
        return f"The same by command: {', '.join(f'{command} {self.lesson.name}' for command in self.commands)}"

    # --- what a learner presses ---------------------------------------------------------------------------------------
    def look(self) -> None:
        """Check, in the background; the outcome stands in the status line."""
        self._follow()
        attempt, inputs = self.attempt, self._verdict_of.inputs()

        def work(_task: Task) -> Verdict:
            assert attempt is not None  # noqa: S101 - `_follow` raised otherwise
            return attempt.check()

        self.run(work, words="Checking", done=lambda verdict: self._judged(verdict, inputs))

    def _judged(self, verdict: Verdict, inputs: dict[str, Any]) -> None:
        self.set_trait("outcome_word", verdict.outcome)
        self._verdict_of.made(verdict, inputs, f"{_SAID[verdict.outcome]} {verdict.words}", _KINDS[verdict.outcome])
        self._tell_site()
        self.class_.tell_acts()
        self._tell_guide(verdict)
        twice = verdict.turn and not verdict.right and self._twice(verdict.turn)
        show(self._same, when=twice)

    def _tell_guide(self, verdict: Verdict) -> None:
        """Let the line at the chapter's head see what is right now, and lead on from here once it does."""
        guide = ChapterGuide.above(self.lesson.name)
        if guide is not None:
            guide.refresh()
        write(self._onward, guide.onward() if guide is not None and verdict.right else "")

    def _twice(self, turn: str) -> bool:
        checks = [noted.turn for noted in self.attempt.events if noted.event == "checked"] if self.attempt else []
        return checks[-2:] == [turn, turn]

    def help(self) -> None:
        """Show the next hint."""
        self._follow()
        if self.attempt is None:
            return
        number, words = self.attempt.hint()
        hide(self._same)
        self.class_.tell_acts()
        self.say(f"Hint {number} of {len(self.lesson.hints)}: {words}")
        self._show(self.attempt.seen())

    def show_solution(self) -> None:
        """Show the steps, once all hints were seen or twice the minutes are over."""
        self._follow()
        if self.attempt is None:
            return
        found = self.attempt.solution()
        if not found.steps:
            self.say(found.words)
            return
        items = "".join(f"<li>{sentence(step)}</li>" for step in found.steps)
        self._told.value = f"<p>The solution:</p><ol class='sk-list'>{items}</ol>"
        self.say("The solution stands below. Do it here, or start over first.")

    def send_answer(self) -> None:
        """Keep the answer that is chosen."""
        self._follow()
        if self.attempt is None or self.answer is None:
            return
        value = self.answer.value
        self.attempt.answer(*((value,) if isinstance(value, str) else value))
        self.say("Your answer is noted. Press Check.")

    def rehearse(self, *, solve: bool = True) -> None:
        """Do what a person does: begin, reach the goal, check. Raises `SpokekitError` when it is not right then."""
        self.finish(self.start)
        if self.attempt is None or not solve:
            return
        self.lesson.solve(Doer(self.attempt))
        self.finish(self.look)
        if self.outcome_word not in ("right", "right with a remark"):
            raise SpokekitError(self.status)


def _components(lesson: Lesson, attempt: Attempt) -> list[Component]:
    """Return the components that a lesson needs, in the attempt's workspace."""
    work = attempt.workspace
    made: list[Component] = []
    walk: Any = None
    for tool in lesson.tools:
        if tool == "connection":
            made.append(widgets.ConnectionsPanel(draft=Doer(attempt).draft(), workspace=work))
        elif tool == "groups":
            made.append(widgets.GroupPicker(workspace=work))
        elif tool == "members":
            made.append(widgets.MembershipEditor(workspace=work))
        elif tool == "handover":
            seen = attempt.seen()
            if seen.site.instance is None:
                # The site was begun anew since; the panel says so.
                continue
            from spokekit.practice.instance import RemoteInstance

            panel = widgets.HandoverPanel(workspace=work, practice=RemoteInstance(attempt.desk.instance()))
            panel.app_id.value = str(seen.marks.extra.get("instance_app", ""))
            made.append(panel)
        else:
            if walk is None:
                walk = widgets.WalkPanel(workspace=work)
            asks = widgets.FindingsPanel if tool == "findings" else widgets.QuestionPanel
            made.append(walk if tool == "walk" else asks(walk))
    return made
