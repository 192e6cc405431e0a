"""The whole way on one page, for a visitor of Voilà: each part appears when the one before it is done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from spokekit import widgets
from spokekit._home import nothing_kept
from spokekit.widgets.base import Component
from spokekit.widgets.connection_form import ConnectionForm
from spokekit.widgets.controls import card
from spokekit.widgets.group_picker import GroupPicker
from spokekit.widgets.guide import Guide

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.widgets.membership_editor import MembershipEditor
    from spokekit.widgets.question_panel import QuestionPanel
    from spokekit.widgets.walk_panel import WalkPanel


class OnePage(Component):
    """The connection, the groups, the audit and the members, one below the other.

    Under Voilà a page has a kernel of its own and runs from top to bottom before anybody can click; a later cell
    cannot wait for a person. So the parts make each other.

    Parameters
    ----------
    workspace:
        Without it, this process's.

    Attributes
    ----------
    guide, form, picker, walk, questions, editor:
        The parts; those that are still to come are None.

    Example
    -------
    >>> OnePage()
    """

    def __init__(self, *, workspace: Workspace | None = None, **options: Any) -> None:
        lead = "Each part appears when the one before it is done."
        if nothing_kept(os.environ):
            lead += " Nothing is kept: leave or reload this page, and you begin anew."
        super().__init__("All on one page", lead=lead, **options)
        self.guide = Guide(workspace=workspace)
        # All steps are on this page.
        self.guide.leads_on = False
        self.guide.body = self.guide.body[:1]
        self.guide.refresh()
        self._workspace = self.guide.workspace
        self.form = ConnectionForm(draft=self.guide.draft(), workspace=self._workspace)
        self.picker: GroupPicker | None = None
        self.walk: WalkPanel | None = None
        self.questions: QuestionPanel | None = None
        self.editor: MembershipEditor | None = None
        self.form.observe(self.guarded(lambda _: self._go_on()), ["saved", "token_status"])
        self.body = [card(self.guide), card(self.form)]
        self.guarded(self._go_on)()
        self.guide.play(self)

    def state_in_words(self) -> list[str]:
        """Say what the line at its head says."""
        return self.guide.state_in_words()

    def way_on(self) -> str:
        """Lead on as the line at its head does."""
        return self.guide.way_on()

    def _go_on(self) -> None:
        self.guide.refresh()
        if 3 in self.guide.done and self.picker is None:
            self._add_picker()
        if 4 in self.guide.done:
            if self.editor is None:
                self._add_the_rest()
            else:
                self.editor.look()

    def _add_picker(self) -> None:
        self.picker = GroupPicker(workspace=self._workspace)
        self.picker.observe(self.guarded(lambda _: self._go_on()), "accepted")
        self.body = [*self.body, card(self.picker)]

    def _add_the_rest(self) -> None:
        self.walk = widgets.WalkPanel(workspace=self._workspace)
        self.questions = widgets.QuestionPanel(self.walk)
        self.editor = widgets.MembershipEditor(workspace=self._workspace)
        for part, trait in ((self.walk, "accepted"), (self.editor, "applied")):
            part.observe(self.guarded(lambda _: self.guide.refresh()), trait)
        self.body = [*self.body, *map(card, (self.walk, self.questions, self.editor))]

    def rehearse(self) -> None:
        """Do what a person does, on a practice site: consent, register groups by name, walk, ask a question."""
        self.form.rehearse()
        assert self.picker is not None  # noqa: S101 - the consent made it
        self.picker.rehearse()
        assert self.walk is not None and self.questions is not None and self.editor is not None  # noqa: S101
        self.walk.rehearse(groups="registered")
        self.questions.rehearse(question="groups-with-access")
        self.editor.settled()
