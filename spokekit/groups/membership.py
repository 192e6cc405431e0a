"""Change who is in a group, safely: plan, preview, apply, resume, undo, and the journal of it all.

The front door of this room. ::

    members = Membership(workspace.spoke(), workspace.registry(), workspace.store)
    plan = members.plan("joiners.csv", "add")          # or a frame, or ids with group=...
    preview = members.preview(plan)                     # counts, seats, cost, dangers
    result = members.apply(preview, confirm=preview.confirmation)
    undo = members.preview(members.plan_undo(result.apply_id))
    members.apply(undo, confirm=undo.confirmation)

Nothing is changed outside the registered groups: the gateway asks the registry before every change, whatever a plan
says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from spokekit._words import counted
from spokekit.confluence.report import UNWATCHED, Cancel, ProgressCallback, Watching
from spokekit.errors import Cancelled, PlanError
from spokekit.groups import applies, journal_copy
from spokekit.groups._lease import Lease
from spokekit.groups.apply import Applier, Look, dropped
from spokekit.groups.journal import APPLY_DROPPED, ROW_ENDED, ApplyState, Journal
from spokekit.groups.pauses import only_pauses
from spokekit.groups.plan import COLUMNS, PLANNED, Plan, Row
from spokekit.groups.planning import Planner
from spokekit.groups.preview import Cost, Preview, Seats, check_age, check_words, grave
from spokekit.groups.purpose import Purpose
from spokekit.groups.recheck import judged_again, refuse_unlike, unlike
from spokekit.groups.result import Result
from spokekit.groups.resumption import Resumption, rest_of
from spokekit.groups.rules import REASONS, Verdict
from spokekit.groups.site_state import Present
from spokekit.groups.wishes import from_pasted

if TYPE_CHECKING:
    from spokekit.confluence.spoke import Spoke
    from spokekit.connections.store import Store
    from spokekit.groups.registry import Registry
    from spokekit.oauth.vault import Vault

__all__ = [
    "COLUMNS",
    "REASONS",
    "Cost",
    "Journal",
    "Membership",
    "Plan",
    "Preview",
    "Purpose",
    "Result",
    "Resumption",
    "Row",
    "Seats",
    "from_pasted",
]


class Opens(Protocol):
    """What gives spoke, registry and store of a connection: a `Workspace`."""

    @property
    def store(self) -> Store: ...

    @property
    def vault(self) -> Vault: ...

    def spoke(self, name: str | None = None) -> Spoke: ...

    def registry(self, name: str | None = None) -> Registry: ...


class Membership(Planner):
    """Plans and applies changes of membership through one connection; the options are those of `Planner`."""

    @classmethod
    def of(cls, workspace: Opens, name: str | None = None, **options: Any) -> Membership:
        """Open it for a connection of a workspace; without a name, the default alias's."""
        options = {"vault": workspace.vault, **options}
        return cls(workspace.spoke(name), workspace.registry(name), workspace.store, **options)

    # -- doing ---------------------------------------------------------------------------------------------------------

    def apply(
        self,
        preview: Preview,
        *,
        confirm: str = "",
        purpose: Purpose | None = None,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Carry a previewed plan out.

        Parameters
        ----------
        confirm:
            The words of ``preview.confirmation``, typed; needed when it is not empty.
        purpose:
            What it is for, such as an access review; the journal keeps it.
        progress, cancel:
            A listener, told of each change and of each pause, and something with ``is_set()`` that stops the apply:
            before its next row, or within about a second in the row that it is at. What that row came to is then
            unknown if it may have been sent, and `resume` reads it from the site.

        After a pause of more than a minute, for an hour's points for example, the site is read again: rows that others
        have done meanwhile are theirs, and rows that the rules refuse by now are not done.

        Raises
        ------
        Cancelled
            Before the first change; nothing was changed. Later on the result says what was.
        Conflict
            An apply is running on this site in another kernel.
        PlanError
            It was not previewed here, belongs to another site, is too old, or the site is not as the preview says:
            groups, their names and access, names of people, dangers; ``differences`` lists how.
        InputError
            The typed words are not those asked for.
        GuardRefused
            The connection is read-only.
        """
        if not isinstance(preview, Preview):
            raise PlanError(
                "Only a previewed plan can be applied.",
                hint="Call preview(plan) and look at it first.",
                next_step="preview_again",
            )
        plan = preview.plan
        self.site.check_writable()
        self._check_place(plan)
        if preview.foreign:
            raise PlanError(
                "This plan was read from a file that this store has not signed.",
                likely="Somebody else made it, it was made in another home, or the vault's key was changed since.",
                hint="Preview it anew (preview_anew), look at that, and apply that one.",
                next_step="preview_again",
            )
        check_age(plan.age)
        check_words(preview, confirm)
        if not plan.planned:
            return Result("", plan.rows)
        watching = Watching(progress, cancel)
        with self._lease(watching) as lease:
            refuse_unlike(unlike(preview, self._reading(lease, plan.planned, watching)))
            state = self.journal.state(
                self.journal.start(plan, place=self.site.place, by=self.site.me, purpose=purpose)
            )
            look = self._looking(state, lease, watching)
            result = self._applier().run(state, lease, look, watching=watching)
        done = iter(result.rows)
        rows = [
            replace(next(done), display_name=row.display_name) if row.status == PLANNED else row for row in plan.rows
        ]
        return replace(result, rows=tuple(rows))

    def unfinished(self) -> tuple[ApplyState, ...]:
        """Return the applies through this connection that have open rows and were not dropped, newest first."""
        here = self.site.place
        return self.journal.unfinished(here.cloud_id, here.alias_id)

    def preview_resume(
        self, apply_id: str | None = None, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> Resumption:
        """Show what resuming an apply would do now; without an id, the latest that is not finished.

        Raises
        ------
        NotFound
            Nothing is unfinished, or it was dropped.
        """
        self.site.check_connection()
        state = applies.unfinished(self.journal, apply_id, self.site.place)
        watching = Watching(progress, cancel)
        present = self._now(list(state.open_rows.values()), watching, also=[state.by])
        preview = self._previewed(self._rest(state, present), state.apply_id, watching)
        person = present.person(state.by)
        return Resumption(state, preview, person.display_name if person else "")

    def resume(
        self,
        what: Resumption | str | None = None,
        *,
        confirm: str = "",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Go on with an apply that was killed, cancelled or stopped; without an id, with the latest such one.

        The site is read first: a row whose outcome is not known is settled by what is there, and every open row is
        judged again by all rules. An apply that is older than a plan may be is only brought to its end: what it may
        have changed is read, and what is not done is refused.

        Parameters
        ----------
        what:
            What `preview_resume` showed; it is refused when journal or site say something else by now. Or an id.
        confirm:
            The words that an apply of the rest wants typed; see `Resumption.confirmation`.

        Raises
        ------
        Cancelled
            Before the first change; nothing was changed. Later on the result says what was.
        NotFound
            Nothing is unfinished, or it was dropped.
        PlanError
            The rest is not what was previewed.
        InputError
            The typed words are not those asked for.
        Conflict
            An apply is running on this site in another kernel.
        GuardRefused
            The connection is read-only.
        """
        self.site.check_writable()
        self.site.check_connection()
        shown = what if isinstance(what, Resumption) else None
        watching = Watching(progress, cancel)
        with self._lease(watching) as lease:
            apply_id = shown.state.apply_id if shown else what if isinstance(what, str) else None
            state = applies.unfinished(self.journal, apply_id, self.site.place)
            present = self._reading(lease, list(state.open_rows.values()), watching)
            if shown is None:
                plan = self._rest(state, present)
                check_words(Preview(plan, Seats(), Cost(0, 0), (), grave(plan, present)), confirm)
            else:
                self._check_shown(shown, state, present)
                check_words(shown.preview, confirm)
            verdicts = judged_again(state, state.open_rows, present)
            names = {account: person.display_name for account, person in present.people.items()}
            look = self._looking(state, lease, watching)
            return self._applier().run(
                state, lease, look, resumed=True, verdicts=verdicts, names=names, watching=watching
            )

    def drop(
        self, apply_id: str | None = None, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> ApplyState:
        """Decide not to go on with an apply, and write that down; what it did stays, and can be undone.

        Rows whose outcome is not known are read from the site first; nothing is changed there. Returns the apply as it
        is now; raises as `preview_resume` does, and `Conflict` when an apply is running.
        """
        self.site.check_connection()
        watching = Watching(progress, cancel)
        with self._lease(watching) as lease:
            state = applies.unfinished(self.journal, apply_id, self.site.place)
            doubtful = {position: row for position, row in state.open_rows.items() if position in state.sent}
            if doubtful:
                present = self._reading(lease, list(doubtful.values()), watching)
                verdicts = judged_again(state, doubtful, present)
                for position, row in doubtful.items():
                    ended = dropped(row, verdicts[position])
                    self.journal.write(state, ROW_ENDED, by=self.site.me, position=position, row=ended, lease=lease)
            left = len(state.open_positions)
            words = f"Dropped; {counted(left, 'row')} of it {'was' if left == 1 else 'were'} still open."
            self.journal.write(state, APPLY_DROPPED, by=self.site.me, message=words, lease=lease)
            return self.journal.state(state.apply_id)

    def take_in(self) -> tuple[str, ...]:
        """Write into the journal what files beside the store have of applies whose journal was lost meanwhile.

        Returns a sentence for each file of this connection, also for one that cannot be used. Raises `Conflict` when
        an apply is running on this site.
        """
        here = self.site.place
        return journal_copy.take_in_all(
            self.journal,
            lambda place: (place.cloud_id, place.alias_id) == (here.cloud_id, here.alias_id),
            lambda: self._lease(UNWATCHED),
        )

    # -- inside --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _lease(self, watching: Watching) -> Iterator[Lease]:
        """Hold the site, and let the lease be asked last before every change."""
        with Lease(self.journal.store, self.site.place.cloud_id, watching) as lease, self.site.fenced(lease):
            yield lease

    def _reading(self, lease: Lease, rows: Sequence[Row], watching: Watching) -> Present:
        """Read the site before the first change of an apply; cancelled here means that nothing was changed."""
        try:
            return self._now(rows, only_pauses(watching, lease))
        except Cancelled:
            lease.check()
            raise Cancelled("Cancelled while the site was read; nothing was changed.", nothing_done=True) from None

    def _looking(self, state: ApplyState, lease: Lease, watching: Watching) -> Look:
        """Return what reads the site again while an apply runs, and judges the rows that are left."""

        def look(rows: Mapping[int, Row]) -> Mapping[int, Verdict | None]:
            present = self._now(list(rows.values()), only_pauses(watching, lease))
            return judged_again(state, rows, present)

        return look

    def _rest(self, state: ApplyState, present: Present) -> Plan:
        return rest_of(state, judged_again(state, state.open_rows, present), present, self.site.place)

    def _check_shown(self, shown: Resumption, state: ApplyState, present: Present) -> None:
        """Raise `PlanError` unless the rest of an apply is still what was shown."""
        check_age(shown.preview.plan.age)
        refuse_unlike(unlike(shown.preview, present))
        rest = self._rest(state, present)
        if state.rows != shown.state.rows or [r.pair for r in rest.planned] != [
            r.pair for r in shown.preview.plan.planned
        ]:
            raise PlanError(
                "The apply is not where it was when its rest was shown.",
                likely="Somebody has resumed it, or has made some of its changes.",
                hint="Look at the rest again.",
                next_step="preview_again",
            )

    def _applier(self) -> Applier:
        return Applier(self.site, self.journal, by=self.site.me, pace=self.pace, max_failures=self.max_failures)
