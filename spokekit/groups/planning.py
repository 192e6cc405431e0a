"""Plan and preview changes of membership, and keep previewed plans in files; nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._ids import group_id as group_id_in
from spokekit.confluence.report import Cancel, ProgressCallback, Watching
from spokekit.errors import InputError, NotFound, NotThere, PlanError
from spokekit.groups import applies, one_person, planfile
from spokekit.groups.apply import MAX_FAILURES, PACE
from spokekit.groups.journal import Journal
from spokekit.groups.list_groups import settle_groups
from spokekit.groups.plan import ALREADY, DONE, REFUSED, UNKNOWN, Mode, Only, Plan, Row, build, check_mode
from spokekit.groups.preview import Preview, check_age, cost, dangers, grave, licensing_accounts, seats
from spokekit.groups.recheck import planned_again, refuse_unlike, unlike
from spokekit.groups.registry import is_name
from spokekit.groups.rules import Verdict
from spokekit.groups.site import LiveSite
from spokekit.groups.site_state import Difference, Present
from spokekit.groups.wishes import Wish, WishList, wishes_from
from spokekit.oauth.vault import Vault

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.spoke import Spoke
    from spokekit.connections.store import Store
    from spokekit.groups.registry import Registry


class Planner:
    """Plans and previews changes of membership through one connection; `Membership` carries them out.

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
    vault:
        Signs plan files; without it, the vault of the store.
    """

    def __init__(
        self,
        spoke: Spoke,
        registry: Registry,
        store: Store,
        *,
        pace: float = PACE,
        max_failures: int = MAX_FAILURES,
        vault: Vault | None = None,
    ) -> None:
        if pace <= 0 or max_failures < 1:
            raise InputError("Pace and number of failures are positive numbers.", field="pace")
        self.site = LiveSite(spoke, registry)
        self.registry = registry
        self.journal = Journal(store)
        self.pace = pace
        self.max_failures = max_failures
        self._of_workspace = vault

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.site.place.connection!r})"

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
        watching = Watching(progress, cancel)
        check_mode(mode, only)
        wishes = settle_groups(wishes_from(source, group), self.site, watching)
        present = self.site.present(
            dict.fromkeys(wish.group for wish in wishes.wishes if wish.group),
            {
                one
                for wish in wishes.wishes
                if wish.account and not wish.problem
                for one in (wish.account, *(wish.mails if "@" in wish.account else ()))
            },
            removes=mode == "remove" or (mode == "sync" and only != "add-only"),
            watching=watching,
        )
        return build(wishes, mode, only, present)

    def plan_everywhere(
        self, person: str, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> Plan:
        """Plan to take one person (account id, address or display name) out of all registered groups they are in.

        Groups of theirs that are synced or not registered are rows too, refused with the reason. Raises `NotFound`
        when nobody is meant or they are in no group, `InputError` when several are meant.
        """
        watching = Watching(progress, cancel)
        return self.plan(one_person.wishes_for(self.site, person, "", watching), "remove", **watching.options)

    def plan_like(
        self, person: str, like: str, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> Plan:
        """Plan to put one person into the registered groups that a colleague (`like`) is in; as `plan_everywhere`."""
        watching = Watching(progress, cancel)
        return self.plan(one_person.wishes_for(self.site, person, like, watching), "add", **watching.options)

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
        state = applies.done(self.journal, apply_id, self.site.place)
        if any(row.status == UNKNOWN for row in state.rows):
            raise PlanError(
                "The outcome of a row of this apply is not known yet, so it cannot be undone.",
                hint="Resume it or drop it first: both read the outcome from the site.",
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
            watching=Watching(progress, cancel),
        )
        plan = build(wishes, "undo", "", present, undo_of=state.apply_id, fixed=fixed)
        return replace(plan, rows=tuple(_left_alone(row) for row in plan.rows))

    # -- previewing ----------------------------------------------------------------------------------------------------

    def preview(self, plan: Plan, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None) -> Preview:
        """Look at a plan: what it costs, whose seats it takes and frees, and what is dangerous about it."""
        return self._previewed(plan, "", Watching(progress, cancel))

    def _previewed(self, plan: Plan, rest_of: str, watching: Watching) -> Preview:
        """Preview a plan, which may be the rest of an apply: that one does not stand in its own way."""
        present = plan.present
        if present is None:
            raise PlanError("This plan was not made here.", hint="Make it again, or load a plan file.")
        concerned = licensing_accounts(plan, present)
        known = {
            account: groups & present.licensing
            for account, groups in (self.site.memberships(concerned, watching=watching) if concerned else {}).items()
        }
        seats_ = seats(plan.planned, present, known)
        cost_ = cost(plan, pace=self.pace, left=self._points_left())
        open_ones = self.journal.unfinished(plan.place.cloud_id, plan.place.alias_id)
        unfinished = sum(state.apply_id != rest_of for state in open_ones)
        found = dangers(plan, present, seats_, cost_, unfinished)
        return Preview(plan, seats_, cost_, found, grave(plan, present))

    def preview_anew(
        self, preview: Preview, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> Preview:
        """Preview the changes of a plan file again, from its ids and the site alone; that is what can be applied.

        For a file that is foreign: nothing in it but the ids is believed. Rows that it did not plan are left out.

        Raises
        ------
        PlanError
            It is too old, or says something else than the site: a name, what a group gives, a danger, who is in it.
        """
        plan = preview.plan
        self._check_place(plan)
        check_age(plan.age)
        now = self._now(plan.planned, Watching(progress, cancel))
        refuse_unlike(unlike(preview, now))
        return self.preview(planned_again(plan, now), progress=progress, cancel=cancel)

    def save(self, preview: Preview, path: str | Path) -> Path:
        """Write a previewed plan to a file that `load` reads, signed; see `spokekit.groups.planfile`."""
        return planfile.save(preview, path, partial(self._vault().sign, purpose=planfile.PURPOSE))

    def load(self, path: str | Path) -> Preview:
        """Read a plan file; raises `PlanError` when it was changed, or made on another site.

        It is ``foreign`` when this store's key has not signed it: then `preview_anew` comes before `apply`.
        """
        vault = self._vault()
        preview = planfile.load(path, lambda data, signature: vault.signed(data, planfile.PURPOSE, signature))
        self._check_place(preview.plan)
        return preview

    def check(
        self, preview: Preview, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> tuple[Difference, ...]:
        """Compare the ground of a plan with the site as it is now; empty when it can be applied."""
        self._check_place(preview.plan)
        return unlike(preview, self._now(preview.plan.planned, Watching(progress, cancel)))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _now(self, rows: Sequence[Row], watching: Watching, also: Iterable[str] = ()) -> Present:
        return self.site.present(
            dict.fromkeys(row.group_id for row in rows),
            {*(row.account_id for row in rows), *(account for account in also if account)},
            removes=any(row.action == "remove" for row in rows),
            watching=watching,
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

    def _vault(self) -> Vault:
        return self._of_workspace or Vault.open(self.journal.store)

    def _points_left(self) -> int | None:
        ledger = self.site.spoke.aio.gateway.ledger
        return None if ledger is None else ledger.left_now()


def _left_alone(row: Row) -> Row:
    if row.status != ALREADY:
        return row
    return row.ended(ALREADY, "changed_since", "Somebody else has changed it back already; it is left alone.")
