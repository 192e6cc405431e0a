"""Writing a plan to an instance, record by record, and taking it back: previewed, confirmed, journaled, resumable.

::

    from spokekit import Secret, Workspace
    from spokekit.handover import HandOver, SignIn, make_plan

    hand_over = HandOver(Workspace().store, "https://acme.service-now.com/", SignIn("api-key", Secret(key)))
    preview = hand_over.preview(make_plan(hand_over.store, instance="acme"))
    result = hand_over.apply(preview, confirm=preview.confirmation)
    undo = hand_over.preview_undo(result.apply_id)
    hand_over.apply(undo, confirm=undo.confirmation)
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spokekit._words import counted
from spokekit.confluence.report import UNWATCHED, Cancel, ProgressCallback, Watching
from spokekit.connections._tables import PARENT_ALIAS_ID
from spokekit.errors import NotFound, PlanError
from spokekit.groups import applies
from spokekit.groups._lease import Lease
from spokekit.groups.journal import APPLY_DROPPED, ROW_ENDED, ApplyState, Journal
from spokekit.groups.journal_copy import take_in_all
from spokekit.groups.plan import DONE, UNKNOWN
from spokekit.groups.preview import check_age
from spokekit.groups.site_state import Place
from spokekit.handover import records as rec
from spokekit.handover.changes import make_changes, no_spoke
from spokekit.handover.client import InstanceClient, SignIn, check_address
from spokekit.handover.plan import instance_of, make_plan
from spokekit.handover.steps import CREATE, DELETE, RECORDS, UPDATE, Asked, Changes, Outcome, Step, check_words
from spokekit.handover.writer import InstanceWriter
from spokekit.handover.writing import Writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spokekit.connections.store import Store

PACE = 5.0
"""Writes a second, at most."""


class HandOver:
    """Writes plans to one instance, and keeps a journal of it in the store.

    Parameters
    ----------
    address:
        ``https://acme.service-now.com/``, or a practice instance's.
    sign_in:
        Who writes; it is not kept.
    pace:
        Writes a second, at most.
    """

    def __init__(self, store: Store, address: str, sign_in: SignIn, *, pace: float = PACE) -> None:
        self.store = store
        self.address = check_address(address)
        self.journal = Journal(store, RECORDS)
        self._sign_in = sign_in
        self._pace = pace
        self._by = f"client {sign_in.client_id}" if sign_in.client_id else sign_in.kind

    def _place(self, names: Iterable[str]) -> Place:
        return Place("hand-over", "", ", ".join(names), self.address, self.address)

    def plan(self, names: Iterable[str] = (), client_id: str = "", grant: rec.Grant = "consent") -> rec.Plan:
        """Return the plan for this instance: its name and the sys_id of the spoke's own alias are known here.

        Parameters, and what it raises, as for `make_plan`; and `PlanError` where the spoke is not there.
        """
        with InstanceClient(self.address, self._sign_in) as source:
            rows = source.rows(
                rec.ALIAS, ["sys_id", "id"], f"id={PARENT_ALIAS_ID}", lambda row: row["id"] == PARENT_ALIAS_ID
            )
        if not rows:
            raise no_spoke()
        return make_plan(
            self.store,
            names,
            instance=instance_of(self.address),
            parent_sys_id=rows[0]["sys_id"],
            client_id=client_id,
            grant=grant,
        )

    # -- looking -------------------------------------------------------------------------------------------------------

    def preview(
        self, plan: rec.Plan, *, update: Iterable[str] = (), groups: bool = False, groups_table: str = ""
    ) -> Changes:
        """Read the instance and return what applying `plan` would do; nothing is written.

        Parameters
        ----------
        update:
            Differences that are confirmed, by their names in the column ``confirm``: a record that spokekit did not
            make is only changed where each was.
        groups, groups_table:
            Whether registered groups are written as well, into the spoke's table of this name; it is looked for by its
            labels when left out.

        Raises
        ------
        PlanError
            The plan is for another instance or company, or the instance could not be read wholly.
        InputError
            The plan is for another address, or there is no such difference.
        TransportError, TokenRejected, RateLimited, UnexpectedAnswer, NotPermitted, ServiceError
            The instance cannot be read at all.
        """
        with InstanceClient(self.address, self._sign_in) as source:
            return self._make(source, Asked(plan, frozenset(update), groups, groups_table))

    def _make(self, source: InstanceClient, asked: Asked) -> Changes:
        place = self._place(part.connection for part in asked.plan.parts)
        open_ = self.unfinished()
        notes = [f"The apply {open_[0].apply_id[:8]} is not finished: resume or drop it first."] if open_ else []
        return make_changes(source, asked, place, self._by, self.made(), notes)

    def made(self) -> dict[str, str]:
        """Return the instance's sys_id of each record that was made here, by the plan's; without those taken back."""
        found: dict[str, str] = {}
        for apply_id in self.journal.apply_ids(self.address):
            for step in self._steps(self.journal.state(apply_id)):
                if step.status == DONE and step.action == CREATE:
                    found[step.account_id] = step.made
                elif step.status == DONE and step.action == DELETE:
                    found = {planned: there for planned, there in found.items() if there != step.account_id}
        return found

    def unfinished(self) -> tuple[ApplyState, ...]:
        """Return the applies on this instance that have open steps and were not dropped, newest first."""
        return self.journal.unfinished(self.address, "hand-over")

    def preview_resume(self, apply_id: str | None = None) -> Changes:
        """Show the rest of an apply that was killed or stopped, the latest without an id; raises `NotFound`."""
        state = applies.unfinished(self.journal, apply_id, self._place(()))
        steps = self._steps(state)
        rest = tuple(steps[position] for position in state.open_positions)
        unknown = sum(step.status == UNKNOWN for step in rest)
        notes = [
            f"The apply {state.apply_id[:8]}: {len(steps) - len(rest):,} of {counted(len(steps), 'step')} settled."
        ]
        if unknown:
            notes.append(f"Of {counted(unknown, 'step')} it is not known whether it was done: that is read first.")
        rest = tuple(replace(step, status="planned") for step in rest)
        mode: Any = state.mode
        return Changes(state.place, self._by, mode, rest, "", tuple(notes), state.undo_of, state.apply_id)

    def preview_undo(self, apply_id: str | None = None) -> Changes:
        """Return the opposite of an apply, the last one without an id; what others have changed since is left alone.

        Raises
        ------
        NotFound
            Nothing was written, or there is no such apply.
        PlanError
            It is not finished: whether a step was done is not known yet.
        """
        state = applies.done(self.journal, apply_id, self._place(()))
        if not (state.finished or state.dropped):
            raise PlanError(
                f"The apply {state.apply_id[:8]} is not finished.",
                hint="Resume or drop it first; then what it did is known.",
            )
        done = [step for step in self._steps(state) if step.status == DONE]
        if not done:
            raise NotFound(f"The apply {state.apply_id[:8]} has written nothing.")
        registry = any(step.table == rec.REGISTRY and step.action == CREATE for step in done)
        return Changes(
            state.place,
            self._by,
            "undo",
            tuple(opposite(step) for step in reversed(done)),
            "",
            ("A record is only deleted as it was left, and while nothing else names it.",)
            + (("A secret that was typed into its registry, and the token, go with it.",) if registry else ()),
            state.apply_id,
        )

    @staticmethod
    def _steps(state: ApplyState) -> list[Step]:
        return [row for row in state.rows if isinstance(row, Step)]

    def take_in(self) -> tuple[str, ...]:
        """Write into the journal what files beside the store have of applies whose journal was lost meanwhile.

        Returns a sentence for each file of this instance, also for one that cannot be used. Raises `Conflict` when an
        apply is running on it.
        """
        return take_in_all(
            self.journal, lambda place: place.cloud_id == self.address, lambda: Lease(self.store, self.address)
        )

    # -- doing ---------------------------------------------------------------------------------------------------------

    def apply(
        self,
        changes: Changes,
        *,
        confirm: str = "",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Outcome:
        """Carry a preview out: of a plan, of the rest of an apply, or of an undo.

        Each record is looked for before it is made, and read again after it was written, since the instance's own
        rules may have changed it. The first step that fails ends the apply, since the next ones stand on it.

        Parameters
        ----------
        confirm:
            The words of ``changes.confirmation``, typed.
        progress, cancel:
            Told of each step, and something with ``is_set()`` that ends the apply before the next one.

        Raises
        ------
        PlanError
            It was not previewed here, is too old, or the instance is not as the preview says.
        InputError
            The typed words are not those asked for.
        Conflict
            An apply is running on this instance in another kernel.
        """
        if not isinstance(changes, Changes) or changes.place.cloud_id != self.address:
            raise PlanError(
                "Only a preview of this instance can be applied.", hint="Call preview(plan) and look at it first."
            )
        check_age((datetime.now(UTC) - changes.made_at).total_seconds())
        if not changes.planned:
            return Outcome("", changes.rows)
        check_words(changes, confirm)
        watching = Watching(progress, cancel)
        with self._writer(watching) as (lease, writer):
            if changes.asked is not None and changes.fingerprint != self._make(writer, changes.asked).fingerprint:
                raise PlanError(
                    "The instance is not as the preview says.",
                    likely="Somebody has changed it meanwhile.",
                    hint="Look at a new preview. Nothing was written.",
                    next_step="preview_again",
                )
            if changes.resumes:
                state = applies.unfinished(self.journal, changes.resumes, changes.place)
                if [step.account_id for step in changes.rows] != [row.account_id for row in state.open_rows.values()]:
                    raise PlanError(
                        "The apply is not where it was when its rest was shown.",
                        hint="Look at the rest again.",
                        next_step="preview_again",
                    )
                self._refuse_another_instance(writer, self._steps(state))
            else:
                state = self.journal.state(self.journal.start(changes, by=self._by))
            writing = Writing(writer, self._steps(state), self.journal, by=self._by, pace=self._pace)
            result = writing.run(state, lease, lambda _: {}, resumed=bool(changes.resumes), watching=watching)
        done = iter(result.rows)
        rows = result.rows if changes.resumes else [next(done) if r.status == "planned" else r for r in changes.rows]
        return Outcome(result.apply_id, tuple(rows), result.stopped, result.kept)

    @staticmethod
    def _refuse_another_instance(writer: InstanceWriter, steps: list[Step]) -> None:
        """Raise `PlanError` where the alias that an apply hangs its records on is not there any more."""
        own = {step.account_id for step in steps}
        named = {
            value
            for step in steps
            for column, value in step.after.items()
            if rec.REFERENCES.get((step.table, column)) == rec.ALIAS and value not in own
        }
        for sys_id in sorted(named):
            if writer.one(rec.ALIAS, sys_id, ()) is None:
                raise PlanError(
                    f"The alias {sys_id}, which the apply was begun with, is not on this instance.",
                    likely="The instance was cloned over or made anew since.",
                    hint="Drop the apply, and look at a new preview. Nothing was written.",
                )

    def drop(self, apply_id: str | None = None) -> ApplyState:
        """Decide not to go on with an apply; what it did stays, and can be undone.

        Steps of which it is not known whether they were done are read from the instance first. Raises `NotFound`.
        """
        with self._writer(UNWATCHED) as (lease, writer):
            state = applies.unfinished(self.journal, apply_id, self._place(()))
            writing = Writing(writer, self._steps(state), self.journal, by=self._by, pace=self._pace)
            for position in state.open_positions:
                if position in state.sent:
                    row = writing.as_it_is(position)
                    self.journal.write(state, ROW_ENDED, by=self._by, position=position, row=row, lease=lease)
            left = counted(len(state.open_positions), "step")
            words = f"Dropped with {left} open."
            self.journal.write(state, APPLY_DROPPED, by=self._by, message=words, lease=lease)
            return self.journal.state(state.apply_id)

    @contextmanager
    def _writer(self, watching: Watching) -> Iterator[tuple[Lease, InstanceWriter]]:
        with (
            Lease(self.store, self.address, watching) as lease,
            InstanceWriter(self.address, self._sign_in, lease) as writer,
        ):
            yield lease, writer


def opposite(step: Step) -> Step:
    """Return the step that takes a done one back: a deletion, a value as it was, or a record made again."""
    if step.action == CREATE:
        return Step(step.table, step.group, step.made, "", DELETE, before=step.left)
    return Step(step.table, step.group, step.account_id, "", UPDATE, before=step.left, after=step.before)
