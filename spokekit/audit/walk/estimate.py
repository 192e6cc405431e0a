"""What a walk will cost, said before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spokekit.audit.history.snapshots import Snapshots
    from spokekit.audit.walk.checkpoint import Checkpoint, Unfinished
    from spokekit.confluence.gateway import Gateway
    from spokekit.confluence.quota import Estimate
    from spokekit.groups.registry import Registry


@dataclass(frozen=True)
class WalkPlan:
    """What a walk will cost, before it starts.

    ``chosen`` is the walk asked for; ``registered`` (None without registered groups) and ``everything`` stand beside
    it, so that nobody starts the large one by accident. ``listed`` counts the groups of the site.
    ``warnings`` say why the walk would end incomplete, ``notes`` what the figures rest on.
    """

    listed: int
    chosen_groups: int
    registered_groups: int
    chosen: Estimate
    registered: Estimate | None
    everything: Estimate
    unfinished: Unfinished | None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The same for people, a line each."""
        lines = [f"{self.listed:,} groups on this site; this walk reads {self.chosen_groups:,}. {self.chosen.words}"]
        if self.registered is not None:
            lines.append(f"Registered groups only ({self.registered_groups:,}): {_short(self.registered)}.")
        lines.append(f"All groups ({self.listed:,}): {_short(self.everything)}.")
        lines += [
            *(f"Note: {one}" for one in self.warnings),
            *self.notes,
            *([self.unfinished.words] if self.unfinished else []),
        ]
        return "\n".join(lines)


def _short(estimate: Estimate) -> str:
    return f"{estimate.requests:,} requests, {estimate.points:,} points, about {estimate.span}"


def plan(
    gateway: Gateway,
    record: Checkpoint,
    snapshots: Snapshots,
    registry: Registry | None,
    *,
    before: Unfinished | None,
    with_spaces: bool,
    recheck: bool,
) -> WalkPlan:
    """Return what the walk in `record` will cost, with what the last snapshot knew about sizes."""
    from spokekit.connections.store import Store

    groups, chosen = record.get("groups"), record.get("chosen")
    registered = registry.ids() & {row["group_id"] for row in groups} if registry is not None else frozenset()
    sizes, users, spaces, permissions = _earlier(snapshots)
    known_before, read = bool(sizes), record.sizes()
    # What this walk has read already tells more of the rest than a guess.
    sizes |= read
    average = sum(sizes.values()) / len(sizes) if sizes else 75
    ledger: Any = gateway.ledger
    if not hasattr(ledger, "estimate"):
        from spokekit.confluence.quota import Ledger

        ledger = Ledger(Store("sqlite://"), "estimate")
    done = record.ended()

    def estimate(ids: Iterable[str]) -> Estimate:
        left = [i for i in ids if i not in done]
        memberships = round(sum(sizes.get(i, average) for i in left))
        accounts = min(memberships, users) if users else memberships // 2
        made: Estimate = ledger.estimate(
            groups=len(left),
            memberships=memberships,
            # The second look at the list costs what as many accounts cost.
            users=accounts + (len(groups) if recheck else 0),
            spaces=spaces if with_spaces else 0,
            permissions=permissions if with_spaces else 0,
            in_flight=gateway.in_flight,
        )
        return made

    notes = []
    if not known_before:
        like = f"{average:.0f} members each are assumed"
        like += ", as in those read so far" if read else ""
        notes.append(f"The sizes of the {'other ' if read else ''}groups are not known yet: {like}.")
    notes += [older] if (older := snapshots.older_words()) else []
    if with_spaces and not spaces:
        notes.append("How many spaces there are is not known yet: they come on top.")
    lacks = _lacks_for_spaces(gateway.connection.scopes) if with_spaces else ()
    warnings = []
    if lacks:
        warnings.append(
            f"Spaces cannot be read: the connection lacks {' and '.join(lacks)}. The walk would end incomplete; add "
            "the scopes to the app and the connection and get a new token first, or walk without spaces."
        )
    return WalkPlan(
        len(groups),
        len(chosen),
        len(registered),
        estimate(chosen),
        estimate(registered) if registered else None,
        estimate([row["group_id"] for row in groups]),
        before,
        tuple(notes),
        tuple(warnings),
    )


def _lacks_for_spaces(scopes: Iterable[str]) -> tuple[str, ...]:
    from spokekit.connections.scopes import STEPS, missing_for

    have = tuple(scopes)
    return tuple(dict.fromkeys(name for action in STEPS["Audit spaces"] for name in missing_for(action, have)))


def _earlier(snapshots: Snapshots) -> tuple[dict[str, int], int, int, int]:
    """Sizes by group, accounts, spaces and grants of the last snapshot."""
    from spokekit.audit.history.tables import Session

    if not snapshots.exists():
        return {}, 0, 0, 0
    snapshot = snapshots.latest()
    session = Session(snapshot)
    try:
        sizes = session.rows(
            "SELECT g.group_id, COUNT(m.user_no) FROM groups g JOIN coverage c ON c.group_no = g.group_no "
            "LEFT JOIN memberships m ON m.group_no = g.group_no WHERE c.walked_at IS NOT NULL GROUP BY g.group_id"
        )
    finally:
        session.close()
    rows = snapshot.manifest["rows"]
    return {i: int(n) for i, n in sizes}, rows["users"], rows["spaces"], rows["grants"]
