"""Manage the members of registered groups: mark or paste, preview, apply, undo."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit._words import counted
from spokekit.errors import NotFound, SpokekitError
from spokekit.widgets._membership_form import REMOVE_MARKED
from spokekit.widgets._membership_views import preview_markup, result_markup, unfinished_markup
from spokekit.widgets._membership_wishes import MembershipWishes
from spokekit.widgets.base import Task
from spokekit.widgets.controls import hide, paragraph, show

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace
    from spokekit.groups.journal import ApplyState
    from spokekit.groups.membership import Membership, Plan, Preview, Result, Resumption
    from spokekit.groups.plan import Mode, Only
    from spokekit.widgets._people import People

_AFTER_CANCEL = 2.0


class MembershipEditor(MembershipWishes):
    """See who is in a registered group, and change it: preview first, then apply, then undo if need be.

    The path without a widget: `spokekit.groups.membership.Membership`.

    Parameters
    ----------
    connection:
        Name of the connection; without it, the default alias's.
    workspace:
        Without it, this process's.
    pace:
        Changes a second, at most.

    Attributes
    ----------
    group_id:
        The chosen group.
    value:
        Account ids of the marked members.
    members:
        The group's members as a frame; None until they were read.
    preview:
        The plan on the screen, or None.
    result:
        What became of the last apply, or None.
    applied:
        How often Apply was carried out.
    """

    result = tr.Any(None, allow_none=True)
    applied = tr.Int(0)

    def __init__(
        self,
        connection: str | None = None,
        *,
        workspace: Workspace | None = None,
        pace: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(connection, workspace, **options)
        self._options = {} if pace is None else {"pace": pace}
        self._unfinished: ApplyState | None = None
        self._resuming: Resumption | None = None
        self._tie(self._check_words)
        self._listen()
        self.remember(connection or "", action=self.action, only=self.only, pasted=self.pasted)
        self.guarded(self._choose_action)(self.action.value)
        self.guarded(self.look)()

    # --- building ------------------------------------------------------------------------------------------------
    def _listen(self) -> None:
        self.on_change(self.group, self._choose_group)
        self.on_change(self.filter, self._filter)
        self.on_change(self.list, self._mark)
        self.on_change(self.as_table, lambda _: self._show_list())
        self.on_change(self.action, self._choose_action)
        self.on_click(self.again, self.look)
        self.on_click(self.mark_all, self._mark_all)
        self.on_click(self.clear, lambda: self.mark(()))
        self.on_click(self.ask, self.make_preview)
        self.on_click(self.apply_button, self.apply)
        self.on_click(self.discard, self.drop)
        self.on_click(self.undo, self.plan_undo)
        self.on_click(self.resume, self.go_on)
        self.on_click(self.drop_button, self.drop_apply)
        self.disable_while_busy(self.group, self.again, self.mark_all, self.clear)
        self.disable_while_busy(self.action, self.upload, self.add_button, self.ask, self.discard)
        self.disable_while_busy(self.apply_button, self.undo, self.resume, self.drop_button)

    def _open(self) -> closing[Membership]:
        from spokekit.groups.membership import Membership

        return closing(Membership.of(self._workspace, self._name, **self._options))

    # --- reading -------------------------------------------------------------------------------------------------
    def look(self) -> None:
        """Read the registered groups, and the members of the chosen one in the background."""
        frame = self._workspace.registry(self._name).frame()
        ids, names = frame["group_id"].tolist(), frame["name"].tolist()
        same = {name for name in names if names.count(name) > 1}
        options = [(f"{name or i} ({i})" if name in same else name or i, i) for i, name in zip(ids, names, strict=True)]
        chosen = self.group_id if self.group_id in ids else ids[0] if ids else None
        self.fill(self.group, options, chosen)
        if chosen is None:
            self.group_id = ""
            self.say("No group is registered yet: choose some in notebook 4, then press Read again.", "warning")
            return
        self._choose_group(chosen)

    def choose(self, group: str) -> None:
        """Choose a registered group by id or name, as in the list."""
        for label, group_id in self.group.options:
            if group in (group_id, label):
                if self.group.value == group_id:
                    self._choose_group(group_id)
                else:
                    self.group.value = group_id
                return
        raise NotFound(f"{group} is not in the list of registered groups.", hint="Register it in notebook 4.")

    def _choose_group(self, group_id: str | None) -> None:
        if not group_id:
            return
        if group_id != self.group_id:
            self._forget_members()
        self.group_id = group_id
        self.drop(quiet=True)

        def work(task: Task) -> tuple[pd.DataFrame, People, tuple[str, ...], tuple[ApplyState, ...]]:
            with self._open() as members:
                frame = members.members(group_id, progress=task.progress, cancel=task.cancelled)
                return frame, self._who_is_known(frame), members.take_in(), members.unfinished()

        def done(found: tuple[pd.DataFrame, People, tuple[str, ...], tuple[ApplyState, ...]]) -> None:
            if self.group_id != group_id:
                return
            frame, people, told, open_ones = found
            self._take_members(frame)
            self._take_people(people)
            if told:
                self.say(" ".join(told), "warning")
            self._tell_unfinished(open_ones)

        if self.run(work, words="Reading the members", done=done) is None and self.members is None:
            self.count.value = paragraph("The members are not read yet, since other work ran: press Read again.")

    def _tell_unfinished(self, open_ones: tuple[ApplyState, ...]) -> None:
        """Say which earlier apply was not finished, with what can be done about it; a result of now goes first."""
        self._unfinished = open_ones[0] if open_ones else None
        if self.result is not None:
            return
        if self._unfinished is None:
            hide(self.result_card)
            return
        connection = self._workspace.connection(self._name)
        names = {connection.account_id: connection.account_name or ""} if connection.account_id else {}
        names |= {one.account_id: one.name for one in self._people.by_id.values()}
        self.shown_result.value = unfinished_markup(open_ones, names)
        self._offer(undo=False, resume=True)

    # --- what to do ----------------------------------------------------------------------------------------------
    def _choose_action(self, action: str) -> None:
        show(self.list_box, when=action != REMOVE_MARKED)
        show(self.only, when=action == "sync")

    # --- preview, apply, undo ------------------------------------------------------------------------------------
    def make_preview(self) -> None:
        """Plan what the form says and show the preview; nothing is changed."""
        inputs = self._preview_of.inputs()
        wishes = self.wishes()
        action = self.action.value
        mode: Mode = "remove" if action == REMOVE_MARKED else action
        only: Only = self.only.value if mode == "sync" else ""
        self._preview(
            "Comparing the list with the site",
            inputs,
            lambda members, task: members.plan(wishes, mode, only=only, progress=task.progress, cancel=task.cancelled),
        )

    def plan_undo(self) -> None:
        """Plan the opposite of the last apply and show its preview."""
        inputs = self._preview_of.inputs()
        apply_id = self._result_of.require().apply_id if self.result is not None else None
        self._preview(
            "Comparing the apply with the site",
            inputs,
            lambda members, task: members.plan_undo(apply_id, progress=task.progress, cancel=task.cancelled),
        )

    def go_on(self) -> None:
        """Show the rest of the apply on the screen, or of the latest that is not finished, as a preview."""
        inputs, apply_id = self._preview_of.inputs(), self._unfinished_id()

        def work(task: Task) -> Resumption:
            with self._open() as members:
                return members.preview_resume(apply_id, progress=task.progress, cancel=task.cancelled)

        def done(rest: Resumption) -> None:
            self._show_preview(rest.preview, inputs, rest)

        self.run(work, words="Comparing the rest of the apply with the site", done=done)

    def drop_apply(self) -> None:
        """Decide not to go on with the apply that is not finished; what it did stays, and Undo takes it back."""
        apply_id = self._unfinished_id()

        def work(task: Task) -> tuple[ApplyState, tuple[ApplyState, ...]]:
            with self._open() as members:
                state = members.drop(apply_id, progress=task.progress, cancel=task.cancelled)
                return state, members.unfinished()

        def done(found: tuple[ApplyState, tuple[ApplyState, ...]]) -> None:
            state, open_ones = found
            self.result = None
            self._result_of.forget()
            self.drop(quiet=True)
            self._tell_unfinished(open_ones)
            made = sum(row.status == "done" for row in state.rows)
            words = f"The apply {state.apply_id[:8]} was dropped: it is not gone on with."
            undo = f" To undo what it did: spokekit members undo {state.apply_id[:8]}" if made else ""
            self.say(words + undo, "ok")

        self.run(work, words="Dropping the apply", done=done)

    def _unfinished_id(self) -> str | None:
        if self.result is not None:
            return str(self._result_of.require().apply_id)
        return self._unfinished.apply_id if self._unfinished is not None else None

    def _preview(self, words: str, inputs: dict[str, Any], make: Callable[[Membership, Task], Plan]) -> None:
        def work(task: Task) -> Preview:
            with self._open() as members:
                return members.preview(make(members, task), progress=task.progress, cancel=task.cancelled)

        self.run(work, words=words, done=lambda preview: self._show_preview(preview, inputs))

    def _show_preview(self, preview: Preview, inputs: dict[str, Any], rest: Resumption | None = None) -> None:
        self._resuming = rest
        self.preview = preview
        changes = len(preview.plan.planned)
        hint = f"{changes:,} changes: type “{preview.confirmation}” to confirm." if preview.confirmation else ""
        verb = "Resume: " if rest is not None else "Apply "
        press = f"{verb}{counted(changes, 'change')}" if changes else "Finish it" if rest else "Nothing to apply"
        self._lay_out_preview(preview_markup(preview, rest), hint, press)
        show(self.preview_card)
        hide(self.result_card)
        words = "Nothing is changed yet. Read the preview, then press "
        self._preview_of.made(preview, inputs, words + ("Resume or Discard." if rest else "Apply or Discard."))

    def _check_words(self) -> None:
        preview = self.preview
        ready = preview is not None and self._confirmed(preview)
        ready = ready and (bool(preview.plan.planned) or self._resuming is not None)
        self._show_downloads()
        self.apply_button.disabled = self.busy or not ready or not self._preview_of.current
        # What an earlier kernel left unfinished was not made for any inputs of this form.
        self.undo.disabled = self.resume.disabled = self.drop_button.disabled = self.busy or (
            self.result is not None and not self._result_of.current
        )

    def drop(self, *, quiet: bool = False) -> None:
        """Discard the preview."""
        self.preview = self._resuming = None
        self._preview_of.forget()
        hide(self.preview_card)
        show(self.result_card, when=self.result is not None or self._unfinished is not None)
        if not quiet:
            self.say("Discarded. Nothing was changed.")

    def apply(self) -> None:
        """Carry the previewed plan out, in the background; Cancel stops it within about a second."""
        preview, rest = self._preview_of.require(), self._resuming
        typed = self.confirm.value

        def act(members: Membership, task: Task) -> Result:
            if rest is not None:
                return members.resume(rest, confirm=typed, progress=task.progress, cancel=task.cancelled)
            return members.apply(preview, confirm=typed, progress=task.progress, cancel=task.cancelled)

        self._change("Applying" if rest is None else "Resuming", act)

    def _change(self, words: str, act: Callable[[Membership, Task], Result]) -> None:
        group_id, inputs = self.group_id, self._result_of.inputs()

        def work(task: Task) -> tuple[Result, pd.DataFrame | None, str, ApplyState | None]:
            with self._open() as members:
                result = act(members, task)
                frame, place = self._read_again(members, group_id, task), members.site.place.site
                return result, frame, place, self._not_finished(members, result)

        def done(found: tuple[Result, pd.DataFrame | None, str, ApplyState | None]) -> None:
            result, frame, place, state = found
            if self.group_id != group_id:
                frame = None
            self.result = result
            self._unfinished = state
            self.drop(quiet=True)
            self._site = place
            self.shown_result.value = result_markup(result, place)
            in_journal = result.kept is None
            self._offer(
                undo=in_journal and bool(result.counts().get("done")), resume=in_journal and not result.finished
            )
            if frame is not None:
                same = self.value == inputs["marks"]
                self._take_members(frame)
                if same:
                    # Those who were removed are not marked any more, and that was nobody's change.
                    inputs["marks"] = self.value
            self.applied += 1
            good = frame is not None and not result.stopped and result.finished and "failed" not in result.counts()
            more = "" if frame is not None else " The list of members above is from before: press Read again."
            self._result_of.made(result, inputs, result.words + more, "ok" if good else "warning")

        self.run(work, words=words, done=done)

    @staticmethod
    def _not_finished(members: Membership, result: Result) -> ApplyState | None:
        if result.finished or result.kept is not None:
            return None
        return members.journal.state(result.apply_id)

    def _read_again(self, members: Membership, group_id: str, task: Task) -> pd.DataFrame | None:
        """Read the members after a change; None when that does not work, since what was changed must be told anyway."""
        # Who pressed Cancel waits no longer for this than a site that is well needs.
        options = {"deadline": _AFTER_CANCEL} if task.cancelled.is_set() else {"cancel": task.cancelled}
        try:
            return members.members(group_id, progress=task.progress, **options)
        except SpokekitError:
            return None

    def rehearse(self) -> None:
        """Do what a person would in an unattended run: remove two members of an ordinary group, and undo it."""
        self.settled()
        groups = self._workspace.registry(self._name).frame()
        plain = groups[(groups["managed_by"] == "ADMINS") & ~groups["access"].str.contains("admin")]
        self.choose(plain["group_id"].iloc[0])
        self.settled()
        me = self._workspace.connection(self._name).account_id
        fit = self.members[(self.members["account_type"] != "app") & (self.members["account_id"] != me)]
        self.action.value = REMOVE_MARKED
        self.mark(fit["account_id"].head(2))
        for press in (self.make_preview, self.apply, self.plan_undo, self.apply):
            if press == self.apply:
                self.confirm.value = self.preview.confirmation
            self.finish(press)

    def _offer(self, *, undo: bool, resume: bool) -> None:
        show(self.result_card)
        show(self.undo, when=undo)
        show(self.resume, self.drop_button, when=resume)
