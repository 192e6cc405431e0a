"""Change who is in a group, safely: plan, preview, apply, resume, undo, and the journal of it all.

The front door of this room. ::

    members = Membership(workspace.spoke(), workspace.registry(), workspace.store)
    plan = members.plan("joiners.csv", "add")          # or a frame, or ids with group=...
    preview = members.preview(plan)                     # counts, seats, cost, dangers
    result = members.apply(preview, confirm=preview.confirmation)
    members.apply(members.preview(members.plan_undo(result.apply_id)))

Nothing is changed outside the registered groups: the gateway asks the registry before every change, whatever a plan
says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spokekit._ids import group_id as group_id_in
from spokekit.confluence.models import Cancel, ProgressCallback
from spokekit.errors import Cancelled, InputError, NotFound, NotThere, PlanError
from spokekit.groups import applies, planfile
from spokekit.groups._lease import Lease
from spokekit.groups.apply import MAX_FAILURES, PACE, Applier, Look, Result
from spokekit.groups.csvfile import Wish, WishList, from_pasted, wishes_from
from spokekit.groups.journal import ApplyState, Journal
from spokekit.groups.listgroups import settle_groups
from spokekit.groups.plan import ALREADY, COLUMNS, DONE, PLANNED, REFUSED, UNKNOWN, Mode, Only, Plan, Row, build
from spokekit.groups.present import Difference, Present
from spokekit.groups.preview import (
    CLOCKS_DIFFER,
    MAX_AGE,
    Cost,
    Preview,
    Seats,
    cost,
    dangers,
    duration,
    licensing_accounts,
    seats,
)
from spokekit.groups.reading import Site
from spokekit.groups.registry import is_name
from spokekit.groups.rejudging import changes, judged_again
from spokekit.groups.rules import REASONS, Verdict
from spokekit.groups.waiting import Either, only_pauses

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.spoke import Spoke
    from spokekit.connections.store import Store
    from spokekit.groups.registry import Registry

__all__ = [
    "COLUMNS",
    "REASONS",
    "Cost",
    "Journal",
    "Membership",
    "Plan",
    "Preview",
    "Result",
    "Row",
    "Seats",
    "from_pasted",
]

_SHOWN = 3


class Opens(Protocol):
    """What gives spoke, registry and store of a connection: a `Workspace`."""

    @property
    def store(self) -> Store: ...

    def spoke(self, name: str | None = None) -> Spoke: ...

    def registry(self, name: str | None = None) -> Registry: ...


class Membership:
    """Plans and applies changes of membership through one connection.

    Parameters
    ----------
    spoke:
        The connection's spoke, with `registry` as its guard.
    registry:
        The registered groups of the same connection.
    store:
        Where the journal is kept.
    pace:
        Changes a second, at most.
    max_failures:
        An apply stops after so many failed rows in a row.
    """

    def __init__(
        self,
        spoke: Spoke,
        registry: Registry,
        store: Store,
        *,
        pace: float = PACE,
        max_failures: int = MAX_FAILURES,
    ) -> None:
        if pace <= 0 or max_failures < 1:
            raise InputError("Pace and number of failures are positive numbers.", field="pace")
        self.site = Site(spoke, registry)
        self.registry = registry
        self.journal = Journal(store)
        self.pace = pace
        self.max_failures = max_failures

    @classmethod
    def of(cls, workspace: Opens, name: str | None = None, **options: Any) -> Membership:
        """Open it for a connection of a workspace; without a name, the default alias's."""
        return cls(workspace.spoke(name), workspace.registry(name), workspace.store, **options)

    def __repr__(self) -> str:
        return f"Membership({self.site.place.connection!r})"

    def close(self) -> None:
        """Close the spoke."""
        self.site.spoke.close()

    # -- looking -------------------------------------------------------------------------------------------------------

    def members(self, group_id: str, **options: Any) -> pd.DataFrame:
        """Return the members of a group, by name; columns as `Spoke.look_up_members_by_group_id`.

        `options` are those of the spoke's action (progress, cancel). The completeness report stays in ``attrs``.
        """
        wanted = group_id_in(group_id)
        try:
            frame = self.site.spoke.look_up_members_by_group_id(wanted, **options)
        except NotThere:
            self._explain_name(wanted)
            raise
        order = frame["display_name"].astype(object).str.casefold().argsort(kind="stable")
        return frame.iloc[order.to_numpy()].reset_index(drop=True)

    def _explain_name(self, text: str) -> None:
        """Raise `NotFound` with the id where the text is the name of a group, or looks like one."""
        frame = self.registry.frame()
        known = dict(zip(frame["group_id"], frame["current_name"], strict=True))
        if not is_name(text, known):
            frame = self.site.spoke.look_up_groups(with_access=False, partial="keep")
            known = dict(zip(frame["group_id"], frame["name"], strict=True))
        if words := is_name(text, known):
            raise NotFound(f"The site has no group with the id {text}.", likely=words, hint="Use that id.")

    # -- planning ------------------------------------------------------------------------------------------------------

    def plan(
        self,
        source: pd.DataFrame | str | Path | bytes | WishList | Iterable[str],
        mode: Mode,
        *,
        group: str = "",
        only: Only = "",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Plan:
        """Compare a list with the site, and say for each line what would happen.

        Parameters
        ----------
        source:
            A frame or a CSV (path or bytes) with ``group_id`` (or ``group``: id or name) and ``account_id`` (or
            ``email``); or account ids and addresses, together with `group`.
        mode:
            ``add``, ``remove``, or ``sync``: make each group of the list equal to it.
        group:
            The group for a list that names none.
        only:
            For sync: ``add-only`` removes nobody, ``remove-only`` adds nobody.

        Raises
        ------
        InputError
            The list cannot be used as a whole. A bad line is no error: its row is refused, with the reason.
        """
        if mode not in ("add", "remove", "sync"):
            raise InputError(f"There is no mode {mode}.", field="mode", hint="Use add, remove or sync.")
        wishes = settle_groups(wishes_from(source, group), self.site, progress, cancel)
        present = self.site.present(
            dict.fromkeys(wish.group for wish in wishes.wishes if wish.group),
            {
                one
                for wish in wishes.wishes
                if wish.account and not wish.problem
                for one in (wish.account, *(wish.mails if "@" in wish.account else ()))
            },
            removes=mode == "remove" or (mode == "sync" and only != "add-only"),
            progress=progress,
            cancel=cancel,
        )
        return build(wishes, mode, only, present)

    def plan_undo(
        self, apply_id: str | None = None, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> Plan:
        """Plan the opposite of an apply; without an id, of the last one that is not an undo and changed something.

        What somebody else, or a later apply, has changed since is left alone.

        Raises
        ------
        NotFound
            There is no such apply.
        PlanError
            It belongs to another site, or an outcome is still unknown: resume first.
        """
        state = self._find(apply_id) if apply_id else applies.last_done(self.journal, self.site.place)
        if any(row.status == UNKNOWN for row in state.rows):
            raise PlanError(
                "The outcome of a row of this apply is not known yet, so it cannot be undone.",
                hint="Resume it first: that reads the outcome from the site.",
                next_step="retry",
            )
        done = [row for row in state.rows if row.status == DONE]
        later = self.journal.later_changes(state.apply_id)
        fixed: dict[tuple[str, str], tuple[str, Verdict | None]] = {}
        for row in done:
            verdict = None
            if row.pair in later:
                message = f"The later apply {later[row.pair][:8]} has changed it again; it is left alone."
                verdict = Verdict(REFUSED, "later_apply", message)
            fixed[row.pair] = ("remove" if row.action == "add" else "add", verdict)
        wishes = WishList(tuple(Wish(row.group_id, row.account_id) for row in done), (), "an undo")
        present = self.site.present(
            dict.fromkeys(row.group_id for row in done),
            {row.account_id for row in done},
            removes=any(row.action == "add" for row in done),
            progress=progress,
            cancel=cancel,
        )
        plan = build(wishes, "undo", "", present, undo_of=state.apply_id, fixed=fixed)
        return replace(plan, rows=tuple(_left_alone(row) for row in plan.rows))

    # -- previewing ----------------------------------------------------------------------------------------------------

    def preview(self, plan: Plan, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> Preview:
        """Look at a plan: what it costs, whose seats it takes and frees, and what is dangerous about it."""
        present = plan.present
        if present is None:
            raise PlanError("This plan was not made here.", hint="Make it again, or load a plan file.")
        concerned = licensing_accounts(plan, present)
        known = {
            account: groups & present.licensing
            for account, groups in (
                self.site.memberships(concerned, progress=progress, cancel=cancel) if concerned else {}
            ).items()
        }
        seats_ = seats(plan.planned, present, known)
        cost_ = cost(plan, pace=self.pace, left=self._points_left())
        unfinished = len(self.journal.unfinished(plan.place.cloud_id, plan.place.alias_id))
        return Preview(plan, seats_, cost_, dangers(plan, present, seats_, cost_, unfinished))

    def save(self, preview: Preview, path: str | Path) -> Path:
        """Write a previewed plan to a file that `load` reads; see `spokekit.groups.planfile`."""
        return planfile.save(preview, path)

    def load(self, path: str | Path) -> Preview:
        """Read a plan file; raises `PlanError` when it was changed, or made on another site."""
        preview = planfile.load(path)
        self._check_place(preview.plan)
        return preview

    def check(
        self, preview: Preview, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> tuple[Difference, ...]:
        """Compare the ground of a plan with the site as it is now; empty when it can be applied."""
        self._check_place(preview.plan)
        return changes(preview.plan, self._now(preview.plan.planned, progress, cancel))

    # -- doing ---------------------------------------------------------------------------------------------------------

    def apply(
        self,
        preview: Preview,
        *,
        confirm: str = "",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Carry a previewed plan out.

        Parameters
        ----------
        confirm:
            The words of ``preview.confirmation``, typed; needed when it is not empty.
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
            It was not previewed, belongs to another site, is too old, or the groups have changed since the preview;
            ``differences`` lists how.
        InputError
            The typed words are not those asked for.
        """
        if not isinstance(preview, Preview):
            raise PlanError(
                "Only a previewed plan can be applied.",
                hint="Call preview(plan) and look at it first.",
                next_step="preview_again",
            )
        plan = preview.plan
        self._check_place(plan)
        if not -CLOCKS_DIFFER <= plan.age <= MAX_AGE:
            old = f"{duration(plan.age)} old" if plan.age > 0 else f"from a time that is {duration(-plan.age)} ahead"
            raise PlanError(f"The plan is {old}.", hint="Make it again and look at the preview.")
        if preview.confirmation and " ".join(confirm.split()).casefold() != preview.confirmation:
            raise InputError(
                f"This plan makes {len(plan.planned):,} changes and wants them confirmed in words.",
                field="confirm",
                hint=f"Type: {preview.confirmation}",
            )
        if not plan.planned:
            return Result("", plan.rows)
        with Lease(self.journal.store, self.site.place.cloud_id) as lease:
            found = changes(plan, self._reading(lease, plan.planned, progress, cancel))
            if found:
                more = f" And {len(found) - _SHOWN:,} more changes." if len(found) > _SHOWN else ""
                raise PlanError(
                    "The groups are not as they were at the preview: "
                    + " ".join(difference.message for difference in found[:_SHOWN])
                    + more,
                    hint="Make the plan again and look at the new preview.",
                    differences=found,
                )
            state = self.journal.state(self.journal.start(plan, place=self.site.place, by=self.site.me))
            look = self._looking(state, lease, progress, cancel)
            result = self._applier().run(state, lease, look, progress=progress, cancel=cancel)
        done = iter(result.rows)
        rows = [
            replace(next(done), display_name=row.display_name) if row.status == PLANNED else row for row in plan.rows
        ]
        return replace(result, rows=tuple(rows))

    def resume(
        self,
        apply_id: str | None = None,
        *,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Go on with an apply that was killed, cancelled or stopped; without an id, with the latest such one.

        The site is read first: a row whose outcome is not known is settled by what is there, and every open row is
        judged again by all rules. An apply that is older than a plan may be is only brought to its end: what it may
        have changed is read, and what is not done is refused.

        Raises
        ------
        Cancelled
            Before the first change; nothing was changed. Later on the result says what was.
        NotFound
            Nothing is unfinished.
        Conflict
            An apply is running on this site in another kernel.
        """
        self.site.check_connection()
        with Lease(self.journal.store, self.site.place.cloud_id) as lease:
            state = self._find(apply_id) if apply_id else applies.last_unfinished(self.journal, self.site.place)
            if state.finished:
                raise NotFound(f"The apply {state.apply_id[:8]} is finished; there is nothing to resume.")
            rows = {position: state.rows[position] for position in state.open_positions}
            present = self._reading(lease, list(rows.values()), progress, cancel)
            verdicts = judged_again(state, rows, present)
            names = {account: person.display_name for account, person in present.people.items()}
            look = self._looking(state, lease, progress, cancel)
            return self._applier().run(
                state, lease, look, resumed=True, verdicts=verdicts, names=names, progress=progress, cancel=cancel
            )

    # -- inside --------------------------------------------------------------------------------------------------------

    def _reading(
        self, lease: Lease, rows: Sequence[Row], progress: ProgressCallback | None, cancel: Cancel | None
    ) -> Present:
        """Read the site before the first change of an apply; cancelled here means that nothing was changed."""
        try:
            return self._now(rows, only_pauses(progress), Either(cancel, lease))
        except Cancelled:
            lease.check()
            raise Cancelled("Cancelled while the site was read; nothing was changed.", nothing_done=True) from None

    def _looking(
        self, state: ApplyState, lease: Lease, progress: ProgressCallback | None, cancel: Cancel | None
    ) -> Look:
        """Return what reads the site again while an apply runs, and judges the rows that are left."""

        def look(rows: Mapping[int, Row]) -> Mapping[int, Verdict | None]:
            present = self._now(list(rows.values()), only_pauses(progress), Either(cancel, lease))
            return judged_again(state, rows, present)

        return look

    def _applier(self) -> Applier:
        return Applier(self.site, self.journal, by=self.site.me, pace=self.pace, max_failures=self.max_failures)

    def _now(self, rows: Sequence[Row], progress: ProgressCallback | None, cancel: Cancel | None) -> Present:
        return self.site.present(
            dict.fromkeys(row.group_id for row in rows),
            {row.account_id for row in rows},
            removes=any(row.action == "remove" for row in rows),
            progress=progress,
            cancel=cancel,
        )

    def _check_place(self, plan: Plan) -> None:
        self.site.check_connection()
        here, there = self.site.place, plan.place
        if (there.cloud_id, there.alias_id) != (here.cloud_id, here.alias_id):
            raise PlanError(
                f"The plan was made for {there.site or there.cloud_id} through {there.connection}; "
                f"this connection leads to {here.site or here.cloud_id}.",
                hint="Choose the connection that it was made with, or make a plan for this one.",
                next_step="fix_input",
            )

    def _find(self, apply_id: str) -> ApplyState:
        return applies.by_id(self.journal, apply_id, self.site.place)

    def _points_left(self) -> int | None:
        ledger = self.site.spoke.aio.gateway.ledger
        return None if ledger is None else ledger.left_now()


def _left_alone(row: Row) -> Row:
    if row.status != ALREADY:
        return row
    return replace(row, reason="changed_since", message="Somebody else has changed it back already; it is left alone.")
