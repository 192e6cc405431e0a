"""Hand over to an instance: the plan, whether it arrived, what drifted, and writing what is missing."""

from __future__ import annotations

import atexit
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit._secret import Secret
from spokekit._words import counted
from spokekit._workspace import workspace as of_this_process
from spokekit.errors import InputError, NotFound, PlanError
from spokekit.handover import Changes, HandOver, SignIn, compare, files, make_plan, write
from spokekit.handover.client import check_address
from spokekit.handover.page import about_of, titled
from spokekit.handover.plan import instance_of
from spokekit.widgets._downloads import Downloads, Taken
from spokekit.widgets._handover_form import HandoverForm, drift_markup, preview_markup, result_markup
from spokekit.widgets.base import Task
from spokekit.widgets.controls import filled, hide, note, row, show

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace
    from spokekit.handover import Outcome, Step
    from spokekit.handover import records as rec
    from spokekit.practice import PracticeInstance
    from spokekit.practice.instance import RemoteInstance

_embedded: list[PracticeInstance] = []


class HandoverPanel(HandoverForm):
    """Carry what is configured here to a ServiceNow instance, and see whether it arrived and is still so.

    The path without a widget: `spokekit.handover`, or ``spokekit handover``.

    Parameters
    ----------
    connections:
        Names of the connections to hand over; without one, all active ones.
    workspace:
        Without it, this process's.
    practice:
        A lesson's practice instance. Nothing is handed over to another one then.

    Attributes
    ----------
    value:
        The frame of `spokekit.handover.compare` after a comparison, else None.
    preview:
        The previewed `spokekit.handover.Changes`, or None.
    accepted:
        How many times something was written.
    """

    value = tr.Any(None, allow_none=True)
    accepted = tr.Int(0)

    def __init__(
        self,
        *connections: str,
        workspace: Workspace | None = None,
        practice: RemoteInstance | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._workspace = workspace or of_this_process()
        self._names = connections
        self._secret: Secret | None = None
        # The instance that it was typed for; empty as long as none was named.
        self._secret_for = ""
        self._practice: PracticeInstance | RemoteInstance | None = practice
        self._only_here = practice is not None
        self._downloads = Downloads(self, self._taken)
        about = {"instance": self.instance, "app": self.app_id, "token": self.grant}
        self._drift_of = self.belongs_to(
            "comparison",
            about,
            self.drift,
            again="Press Compare.",
            changed=lambda: self._downloads.show(self._drift_of.known, current=self._drift_of.current),
        )
        again = "Press Preview what would be written."
        self._tie_preview({**about, "groups": self.groups}, again=again, allow=self._allow)
        self.body = [
            note(
                "Aliases, connections, scopes and groups arrive as records. The client secret and Get OAuth Token come "
                "last, on the instance, by hand."
            ),
            self.instance,
            self.app_id,
            self.grant,
            self.plan_fold,
            self.way,
            self.client_id,
            self.secret,
            row(self.practise, css="sk-actions"),
            self.practice_row,
            self.groups,
            row(self.compare_button, self.ask, self.undo_button, css="sk-actions"),
            self.outcome,
            self.sure,
            self._drift_of.note,
            self.drift,
            self._downloads.row,
            self.preview_card,
            self.result,
        ]
        self._listen()
        names = {"instance": self.instance, "app_id": self.app_id, "grant": self.grant, "way": self.way}
        names |= {"client_id": self.client_id, "folder": self.folder, "groups": self.groups}
        self.remember("lesson" if self._only_here else "", **names)
        self.arrange_way()
        hide(self.practice_row)
        self._allow()
        if self._only_here:
            hide(self.way, self.client_id, self.secret, self.practise)
            self.instance.disabled = True
            # What was typed in an attempt before belongs to that one.
            self.app_id.value = ""
            self.guarded(self._sign_in_here)()
        elif _embedded and self.instance.value == _embedded[0].url:
            self.guarded(self.start_practice)()

    def _listen(self) -> None:
        self.on_change(self.way, lambda _: self._other_way())
        self.on_change(self.instance, lambda _: self._other_instance())
        self.on_change(self.differences, self.make_preview)
        self.secret.on_entered(self.guarded(self._hold))
        self.on_click(self.practise, self.start_practice)
        self.on_click(self.write_button, self.write_folder)
        self.on_click(self.import_button, self.import_there)
        self.on_click(self.clone_button, self.make_a_clone)
        self.on_click(self.compare_button, self.compare)
        self.on_click(self.ask, self.make_preview)
        self.on_click(self.undo_button, self.make_undo)
        self.on_click(self.apply_button, self.apply)
        self.disable_while_busy(self.practise, self.write_button, self.import_button, self.clone_button)
        self.disable_while_busy(self.compare_button, self.ask, self.undo_button, self.differences)

    # --- who, and where ------------------------------------------------------------------------------------------
    def _hold(self) -> None:
        self._secret, self._secret_for = self.secret.take(keeps=True), self.instance.value.strip()

    def _other_way(self) -> None:
        self._secret = None
        self.secret.put(None)
        self.arrange_way()

    def _other_instance(self) -> None:
        show(self.practice_row, when=self._here is not None)
        if self._secret is not None and self._secret_for not in ("", self.instance.value.strip()):
            # What opens one instance is sent to no other.
            words = f"The field “{self.secret.description}” was filled for {self._secret_for} and is empty again."
            self._other_way()
            self.say(f"{words} Type that of this instance.", "warning")

    def _sign_in(self) -> SignIn:
        if self._secret is None:
            raise InputError(
                f"The field “{self.secret.description}” is empty.",
                hint="Type it, or start a practice instance. It is kept in this cell only.",
            )
        hint = "Type that of the registry on the instance."
        client_id = filled(self.client_id, hint) if self.way.value == "oauth" else ""
        self._secret_for = self._secret_for or self.instance.value.strip()
        return SignIn(self.way.value, self._secret, client_id)

    def _hand_over(self) -> HandOver:
        address = check_address(filled(self.instance, "Type its name, or start a practice instance."))
        if self._only_here and self._here is None:
            raise InputError("A lesson hands over to its own practice instance only.", hint="Start the lesson over.")
        options: dict[str, Any] = {"pace": 100.0} if self._here is not None else {}
        return HandOver(self._workspace.store, address, self._sign_in(), **options)

    def plan(self) -> rec.Plan:
        """Return the plan as the fields say, without asking the instance."""
        address = check_address(self.instance.value) if self.instance.value.strip() else ""
        return make_plan(
            self._workspace.store,
            self._names,
            instance=instance_of(address),
            parent_sys_id=self._here.parent_sys_id if self._here is not None else "",
            client_id=self.app_id.value.strip(),
            grant=self.grant.value,
        )

    # --- a practice instance -------------------------------------------------------------------------------------
    def start_practice(self) -> None:
        """Sign in at the practice instance of `spokekit lab --instance`, or at one that is started in this process."""
        from spokekit.practice.instance import PracticeInstance, RemoteInstance

        self._practice = RemoteInstance.of(os.environ) or (_embedded[0] if _embedded else None)
        if self._practice is None:
            started = PracticeInstance().start()
            atexit.register(started.stop)
            _embedded.append(started)
            self._practice = started
        self._sign_in_here()
        if not self.app_id.value and len(self.plan().parts) == 1:
            self.app_id.value = "practice-app"
        self.say(f"A practice instance answers at {self._practice.url}.", "ok")

    @property
    def _here(self) -> PracticeInstance | RemoteInstance | None:
        """The practice instance, while it is the one that the field names."""
        named = self._practice is not None and self.instance.value.strip() == self._practice.url
        return self._practice if named else None

    def _sign_in_here(self) -> None:
        assert self._practice is not None  # noqa: S101 - called where there is one
        self.way.value = "api-key"
        self.instance.value = self._practice.url
        self.secret.put(Secret(self._practice.api_key))
        show(self.practice_row)

    def _of_practice(self) -> PracticeInstance | RemoteInstance:
        if self._here is None:
            raise InputError("This goes on a practice instance only.", hint="Press Start a practice instance.")
        return self._here

    def import_there(self) -> None:
        """Import the plan's XML into the practice instance, as an administrator would."""
        instance = self._of_practice()
        count = sum(
            len(instance.import_xml(data)) for name, data in files(self.plan()).items() if name.startswith("unload/")
        )
        self.say(f"{counted(count, 'record')} imported. No rule of the platform has run. Compare now.", "ok")

    def make_a_clone(self) -> None:
        """Make the practice instance what a test instance is after a clone of production."""
        self._of_practice().become_a_clone()
        self.say("It is a clone now: its registries and connections are those of production. Compare now.", "ok")

    # --- the folder ----------------------------------------------------------------------------------------------
    def write_folder(self) -> None:
        """Write the plan as a folder."""
        folder, plan = filled(self.folder, "Name a folder that is not there yet."), self.plan()
        written = write(plan, folder)
        notes = " ".join(plan.notes)
        self.say(f"The plan is in {written}; begin with checklist.md. {notes}".strip(), "ok")

    # --- comparing -----------------------------------------------------------------------------------------------
    def compare(self) -> None:
        """Read the instance and show what has drifted; nothing is written there."""
        inputs, hand_over, plan = self._drift_of.inputs(), self._hand_over(), self.plan()
        sign_in = self._sign_in()

        def work(_task: Task) -> pd.DataFrame:
            return compare(plan, hand_over.address, sign_in, whole=not self._names)

        def done(found: pd.DataFrame) -> None:
            self.drift.value = drift_markup(found)
            self.result.value = ""
            self.value = found
            report = found.attrs["completeness"]
            if not report["complete"]:
                self._drift_of.made((found, plan), inputs, f"Not all could be read. {report['words']}", "warning")
            elif len(found):
                words = f"{counted(len(found), 'difference')}; what it means and what to do stands beside each."
                self._drift_of.made((found, plan), inputs, words, "warning")
            else:
                self._drift_of.made((found, plan), inputs, "The instance is as planned.", "good")

        self.run(work, words="Reading the instance", done=done)

    def _taken(self) -> Taken:
        found, plan = self._drift_of.require()
        return "drift", titled(found), about_of(found, plan, self.instance.value)

    # --- writing -------------------------------------------------------------------------------------------------
    def make_preview(self, update: tuple[str, ...] = ()) -> None:
        """Show what would be written; of an apply that was stopped, its rest. Nothing is written."""
        inputs, hand_over, groups = self._preview_of.inputs(), self._hand_over(), bool(self.groups.value)
        plan = self.plan()
        names, app, grant = self._names, self.app_id.value.strip(), self.grant.value

        def work(_task: Task) -> Changes | PlanError:
            told = hand_over.take_in()
            if hand_over.unfinished():
                found = hand_over.preview_resume()
            else:
                there = plan if plan.parent_sys_id else hand_over.plan(names, app, grant)
                try:
                    found = hand_over.preview(there, update=update, groups=groups)
                except PlanError as error:
                    if not error.candidates:
                        raise
                    return error
            return replace(found, notes=(*told, *found.notes))

        def done(found: Changes | PlanError) -> None:
            if isinstance(found, Changes):
                self._show(found, inputs)
            else:
                self._ask_about(found, update)

        self.sure.children = ()
        self.run(work, words="Comparing the plan with the instance", done=done)

    def _ask_about(self, error: PlanError, update: tuple[str, ...]) -> None:
        """Let the person say whether a registry of another app is theirs all the same; nothing is written by that."""
        words = f"{error.message} {error.likely} Is it yours, and is it to have the app of this plan?"
        yes = (*update, *error.candidates)
        self.ask_first(self.sure, words, "Yes, preview that", lambda: self.make_preview(yes), no="No, leave it alone")

    def make_undo(self) -> None:
        """Show the opposite of what was written last; nothing is written."""
        inputs, hand_over = self._preview_of.inputs(), self._hand_over()

        def work(_task: Task) -> Changes:
            return hand_over.preview_undo()

        self.run(work, words="Looking for what was written", done=lambda found: self._show(found, inputs))

    def _show(self, found: Changes, inputs: dict[str, Any]) -> None:
        self.result.value = ""
        chosen = found.asked.update if found.asked is not None else frozenset()
        named = [one for one in found.rows if one.confirm and (one.reason == "not_confirmed" or one.confirm in chosen)]
        options = [(_change(step), step.confirm) for step in named]
        self.fill(self.differences, options, tuple(step.confirm for step in named if step.confirm in chosen))
        show(self.differences, when=named)
        hint = f"Type “{found.confirmation}” to confirm." if found.planned else ""
        verb = "Resume" if found.resumes else "Undo" if found.mode == "undo" else "Write"
        self._lay_out_preview(preview_markup(found), hint, f"{verb}: {counted(len(found.planned), 'step')}")
        words = (
            "Nothing is written yet. Read the preview, then type the words." if found.planned else "Nothing to write."
        )
        if named:
            words += " What spokekit did not make is only changed where you choose it in Confirm."
        self._preview_of.made(found, inputs, words)

    def _allow(self) -> None:
        super()._allow()
        if self.preview is not None and not self.preview.planned:
            self.apply_button.disabled = True

    def apply(self) -> None:
        """Carry the preview out; Cancel stops it before the next record, and a new preview goes on with the rest."""
        changes, typed, hand_over = self._preview_of.require(), self.confirm.value, self._hand_over()

        def work(task: Task) -> Outcome:
            return hand_over.apply(changes, confirm=typed, progress=task.progress, cancel=task.cancelled)

        def done(result: Outcome) -> None:
            self._preview_of.forget()
            self._drift_of.forget()
            self.drift.value = ""
            self.result.value = result_markup(result)
            self.accepted += 1
            good = result.finished and not result.stopped
            self.say(f"{result.words} Compare shows whether it is as planned.", "ok" if good else "warning")

        self.run(work, words="Writing", done=done)

    # --- unattended ----------------------------------------------------------------------------------------------
    def rehearse(self) -> None:
        """Do what a person does on a practice instance: import and compare; after a clone compare, write, compare."""
        self.start_practice()
        self.import_there()
        self.finish(self.compare)
        self.make_a_clone()
        self.finish(self.compare)
        self.groups.value = True
        self.finish(self.make_preview)
        self.differences.value = tuple(value for _, value in self.differences.options)
        self.settled()
        if (preview := self.preview) is None or not preview.planned:
            raise NotFound("The practice instance has no drift to write.")
        self.confirm.value = preview.confirmation
        self.finish(self.apply)
        self.finish(self.compare)


def _change(step: Step) -> str:
    return f"{step.what}: {step.cells()['column']}"
