"""Walk the site: what it will cost, and the walk with its report."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit._frames import UNKNOWN
from spokekit._words import moment
from spokekit.errors import InputError, NotConfigured, NotFound, StoreError
from spokekit.widgets._cells import not_yet
from spokekit.widgets.base import Component, Task
from spokekit.widgets.controls import (
    bullets,
    check,
    dropdown,
    hide,
    html,
    html_table,
    lead_to,
    note,
    paragraph,
    row,
    show,
    status_line,
)

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.audit.audit import Audit
    from spokekit.audit.walk.estimate import WalkPlan
    from spokekit.audit.walk.walk import Walk
    from spokekit.confluence.quota import Estimate
    from spokekit.confluence.report import Progress
    from spokekit.connections.store import Store


WHAT_CHANGED = "Only what changed since the last walk"


class WalkPanel(Component):
    """Say what a walk costs, walk, and show how complete it is.

    The path without a widget: `spokekit.audit.Walk`, or ``spokekit audit walk``.

    Parameters
    ----------
    connection:
        Name of the connection; without it, the default alias's.
    workspace:
        Without it, this process's.

    Attributes
    ----------
    value:
        The `spokekit.audit.Audit` of the newest snapshot, or None. Observable.
    plan:
        The `WalkPlan` of the last estimate, or None.
    accepted:
        How many walks were finished here.
    """

    commands = ("spokekit audit walk",)
    value = tr.Any(None, allow_none=True)
    plan = tr.Any(None, allow_none=True)
    accepted = tr.Int(0)

    def __init__(self, connection: str | None = None, *, workspace: Workspace | None = None, **options: Any) -> None:
        super().__init__("Walk the site", **options)
        self.work_with(workspace, connection)
        self.scope = dropdown(
            "Groups", [("Registered groups only", "registered"), ("All groups of the site", "all")], value="registered"
        )
        self.spaces = check("Spaces and their grants too")
        self.changed = check(WHAT_CHANGED)
        self.remember(scope=self.scope, spaces=self.spaces, changed=self.changed)
        self.estimate = self.button("What will it cost?", self.look, kind="primary")
        self.start = self.button("Start the walk", self.walk)
        self.start.disabled = True
        words = "Forget the unfinished walk and pay for it again"
        self.afresh = self.button("Start over", lambda: self._look(fresh=True), kind="quiet", tooltip=words)
        self.long = check("I know that this takes several hours")
        hide(self.afresh, self.long)
        self._cost = html("")
        self._report = html("")
        self._cost_of = self.belongs_to(
            "cost",
            {
                "groups": self.scope,
                "spaces": self.spaces,
                "only what changed": self.changed,
                "registered groups": self._registered,
            },
            self._cost,
            again="Press What will it cost?",
            changed=self._cost_seen,
        )
        self.body = [
            note("Reads groups and their members once, completely, and keeps a snapshot. Confluence is not changed."),
            self.scope,
            self.spaces,
            self.changed,
            row(self.estimate, self.start, self.afresh, css="sk-actions"),
            self.long,
            self.outcome,
            self._cost_of.note,
            self._cost,
            self._report,
        ]
        self.on_change(self.long, lambda _: self._allow())
        self.disable_while_busy(self.scope, self.spaces, self.changed, self.estimate, self.afresh, self.long)
        self.on_change(self, lambda _: self._allow(), "busy")
        self.guarded(self._open_latest)()

    @property
    def store(self) -> Store:
        """Where what is decided about the site's findings is kept."""
        return self._workspace.store

    def _registered(self) -> tuple[str, ...]:
        """Return which groups a walk of the registered ones would read; () where all are read."""
        if self.scope.value != "registered":
            return ()
        try:
            return tuple(sorted(self._workspace.registry(self._name).ids()))
        except (NotConfigured, NotFound):
            return ()

    def newest(self) -> Audit:
        """Return the audit of the newest snapshot. Raises NotFound, shown in one line, as long as there is none."""
        if self.value is None:
            # A person may press Run All before anything was walked.
            raise not_yet(NotFound("There is no snapshot yet: walk first, in the panel above, then run this cell."))
        audit: Audit = self.value
        return audit

    # --- what it costs -------------------------------------------------------------------------------------------
    def look(self) -> None:
        """List the groups and say what the walk will cost, in the background."""
        self._look(fresh=False)

    def prepare(self, *, spaces: bool = False) -> None:
        """Say what a walk will cost, with the spaces if wanted; of all groups as long as none is registered."""
        if spaces:
            self.spaces.value = True
        if self.scope.value == "registered" and not self._workspace.registry(self._name).ids():
            self.scope.value = "all"
        self.look()

    def _look(self, *, fresh: bool) -> None:
        inputs = self._cost_of.inputs()
        groups, spaces, changed = inputs["groups"], inputs["spaces"], inputs["only what changed"]

        def work(task: Task) -> WalkPlan:
            with self._workspace.spoke(self._name) as spoke:
                this = self._walk(spoke, groups, spaces, changed, fresh)
                return this.prepare(progress=task.progress, cancel=task.cancelled)

        self.run(work, words="Looking at the groups", done=lambda plan: self._planned(plan, inputs))

    def _walk(self, spoke: Any, groups: str, spaces: bool, changed: bool, fresh: bool = False) -> Walk:
        from spokekit.audit.walk.walk import Walk

        registry = self._workspace.registry(self._name)
        return Walk(spoke, groups=groups, registry=registry, with_spaces=spaces, changed=changed, fresh=fresh)

    def _planned(self, plan: WalkPlan, inputs: dict[str, Any]) -> None:
        from spokekit.audit.walk.estimate import figures

        rows = [("This walk", plan.chosen_groups, plan.chosen)]
        if plan.changed is not None and plan.whole is not None:
            # The price of the other choice.
            other = plan.whole if self.changed.value else plan.changed
            rows.append(("Every group read whole" if self.changed.value else WHAT_CHANGED, plan.chosen_groups, other))
        if plan.registered is not None:
            rows.append(("Registered groups only", plan.registered_groups, plan.registered))
        rows.append(("All groups of the site", plan.listed, plan.everything))
        table = html_table(
            ("walk", "groups", "requests", "points", "time"),
            [(what, f"{n:,}", *figures(estimate)) for what, n, estimate in rows],
            label="What the walk will cost",
            numbers=(1, 2, 3),
        )
        warned = "".join(status_line(one, "warning") for one in plan.warnings)
        unfinished = [plan.unfinished.words] if plan.unfinished and self._continues(plan) else []
        self._cost.value = warned + table + "".join(map(paragraph, (plan.chosen.words, *plan.notes, *unfinished)))
        self.start.description = "Continue the walk" if self._continues(plan) else "Start the walk"
        self.long.value = False
        words = "This is what the walk will cost. Nothing has been read but the list of groups."
        self._cost_of.made(plan, inputs, words)

    @staticmethod
    def _continues(plan: WalkPlan) -> bool:
        return plan.unfinished is not None and plan.unfinished.ended > 0

    def _cost_seen(self) -> None:
        self.plan = self._cost_of.require() if self._cost_of.current else None
        show(self.afresh, when=self.plan is not None and self._continues(self.plan))
        show(self.long, when=self.plan is not None and _hours(self.plan.chosen))
        self._allow()

    def _no_cost(self) -> None:
        self._cost.value = ""
        # What was known of this walk is not known of the next.
        self.long.value = False
        self._cost_of.forget()

    def _allow(self) -> None:
        self.start.disabled = self.busy or self.plan is None or (_hours(self.plan.chosen) and not self.long.value)
        lead_to(*((self.estimate, self.start) if self.plan is None else (self.start, self.estimate)))

    # --- the walk ------------------------------------------------------------------------------------------------
    def walk(self) -> None:
        """Walk in the background; Cancel keeps what was read, and the next walk goes on from there."""
        if not self._cost_of.known:
            raise InputError("Look at what it will cost first.", hint="Press What will it cost?")
        groups, spaces, changed = self.scope.value, self.spaces.value, self.changed.value
        plan = self._cost_of.require()
        if _hours(plan.chosen) and not self.long.value:
            raise InputError("This walk takes several hours.", hint="Tick that you know, then press Start the walk.")

        def work(task: Task) -> Audit:
            from spokekit.audit.audit import Audit

            def progress(now: Progress) -> None:
                left = f" · {now.points_left:,} points left this hour" if now.points_left is not None else ""
                task.progress(replace(now, words=f"{now.words}{left}"))

            with self._workspace.spoke(self._name) as spoke:
                snapshot = self._walk(spoke, groups, spaces, changed).run(progress=progress, cancel=task.cancelled)
            return Audit.of_snapshot(snapshot)

        # From here on the status line tells how long it takes; two times at once would contradict each other.
        self._cost.value = ""
        self.run(work, words="Walking", done=self._walked, failed=self._stopped)

    def _walked(self, audit: Audit) -> None:
        self._no_cost()
        self._show(audit)
        self.value = audit
        self.accepted += 1
        report = audit.completeness
        self.say(report["words"], "ok" if report["complete"] else "warning")

    def _stopped(self, error: BaseException) -> bool:
        self._no_cost()
        return False

    def _open_latest(self) -> None:
        try:
            connection = self._workspace.connection(self._name)
        except (NotConfigured, NotFound):
            self.say("There is no connection yet: configure it and get a token first.", "warning")
            return
        if not connection.cloud_id:
            self.say("The connection has no token yet: press Get OAuth Token first.", "warning")
            return
        from spokekit.audit.history.snapshots import Snapshot, Snapshots

        kept = Snapshots(connection.cloud_id)
        if not kept.numbers() and not kept.noted():
            return
        from spokekit.audit.audit import Audit

        try:
            audit = Audit.of_site(connection.cloud_id)
        except StoreError as error:
            # A new walk is the way out, and it needs none of the earlier ones.
            self.show_error(error)
            return
        self._show(audit)
        self.value = audit
        older = audit.source.older_words if isinstance(audit.source, Snapshot) else ""
        words, complete = audit.completeness["words"], audit.completeness["complete"]
        whence = older or f"The newest snapshot is from {moment(audit.taken_at)}."
        self.say(f"{whence} {'' if complete else words}".strip(), "plain" if complete and not older else "warning")

    def _show(self, audit: Audit) -> None:
        report = audit.completeness

        def told(*names: str) -> str:
            # What an earlier version did not note is not nought.
            found = [report.get(name) for name in names]
            return " · ".join(UNKNOWN if n is None else f"{n if isinstance(n, int) else len(n):,}" for n in found)

        counts = [
            ("snapshot", f"{audit.moments()[-1].number:,}, taken {moment(audit.taken_at)}"),
            ("groups listed, chosen, walked", told("listed", "chosen", "walked")),
            *([("only their size confirmed", told("confirmed"))] if report.get("confirmed") else []),
            ("failed, partly read", told("failed", "partial")),
            ("memberships", told("rows")),
            ("pages, retries, duplicates", told("pages", "retries", "duplicates")),
            ("points spent", told("points")),
        ]
        self._report.value = (
            "<p><strong>Completeness</strong></p>"
            + html_table(("what", "how many"), counts, label="Completeness report")
            + bullets(report.get("notes", ()))
        )

    def rehearse(self, *, groups: str = "all", spaces: bool = False, changed: bool = False) -> None:
        """Do what a person does: look at the cost, then walk."""
        self.scope.value, self.spaces.value, self.changed.value = groups, spaces, changed
        self.finish(self.look)
        self.long.value = True
        self.finish(self.walk, 600)


def audit_of(source: Audit | WalkPanel) -> Audit | None:
    """Return the audit that a component asks, or None as long as its panel has walked nothing."""
    return source.value if isinstance(source, WalkPanel) else source


def newest_of(source: Audit | WalkPanel) -> Audit:
    """Return the audit that a component asks. Raises NotFound when there is no snapshot yet."""
    return source.newest() if isinstance(source, WalkPanel) else source


def _hours(estimate: Estimate) -> bool:
    return bool(estimate.seconds > 2 * 3600)
