"""What a walk will cost, said before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spokekit._words import counted
from spokekit.audit.walk.changed import AT_MOST, Base
from spokekit.connections.scopes import STEPS, missing_for

if TYPE_CHECKING:
    from spokekit.audit.history.snapshots import Snapshots
    from spokekit.audit.walk.checkpoint import Checkpoint, Unfinished
    from spokekit.confluence.gateway import Gateway
    from spokekit.confluence.quota import Estimate
    from spokekit.groups.registry import Registry

# Members of a group of which nothing is known. Real groups hold a sixth of it or five times as much.
_GUESS = 75
# So many groups read by the walk itself tell how large the rest is; the groups of an earlier walk may be special ones.
_ENOUGH = 30

_DIFFER = "{} read whole, the others asked for their size. If one size in twenty differs"


@dataclass(frozen=True)
class WalkPlan:
    """What a walk will cost, before it starts.

    ``chosen`` is the walk asked for; ``registered`` (None without registered groups) and ``everything`` stand beside
    it, so that nobody starts the large one by accident. ``listed`` counts the groups of the site.
    ``warnings`` say why the walk would end incomplete, ``notes`` what the figures rest on. As long as sizes are not
    known, an estimate has a ``least``: the figures are a range then. ``whole`` and ``changed`` are what the walk asked
    for costs when it reads every group, and when it reads only what changed since the last snapshot (None: there is
    nothing to go on from).
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
    whole: Estimate | None = None
    changed: Estimate | None = None

    @property
    def words(self) -> str:
        """The same for people, a line each."""
        lines = [f"{self.listed:,} groups on this site; this walk reads {self.chosen_groups:,}. {self.chosen.words}"]
        if self.registered is not None:
            lines.append(f"Registered groups only ({self.registered_groups:,}): {_short(self.registered)}.")
        lines.append(f"All groups ({self.listed:,}): {_short(self.everything)}.")
        if self.changed is not None and self.whole is not None:
            lines.append(f"Every group read whole: {_short(self.whole)}; only what changed: {_short(self.changed)}.")
        lines += [
            *(f"Note: {one}" for one in self.warnings),
            *self.notes,
            *([self.unfinished.words] if self.unfinished else []),
        ]
        return "\n".join(lines)


def figures(estimate: Estimate) -> tuple[str, str, str]:
    """Return requests, points and time as text, each a range where the estimate is one."""
    least = estimate.least or estimate
    pairs = (
        (f"{least.requests:,}", f"{estimate.requests:,}"),
        (f"{least.points:,}", f"{estimate.points:,}"),
        (least.span, estimate.span),
    )
    requests, points, time = (most if few == most else f"{few} to {most}" for few, most in pairs)
    return requests, points, time


def _short(estimate: Estimate) -> str:
    requests, points, time = figures(estimate)
    return f"{requests} requests, {points} points, about {time}"


def _between(least: Estimate, guess: Estimate, why: str) -> Estimate:
    asked, cost = counted(least.requests, "request"), counted(least.points, "point")
    words = f"At least {asked} and {cost}: {why}: {guess.words[0].lower()}{guess.words[1:]}"
    return replace(guess, words=words, least=least)


def plan(
    gateway: Gateway,
    record: Checkpoint,
    snapshots: Snapshots,
    registry: Registry | None,
    *,
    before: Unfinished | None,
    with_spaces: bool,
    recheck: bool,
    base: Base | None = None,
    at_most: float = AT_MOST,
    scope: str = "",
) -> WalkPlan:
    """Return what the walk in `record` will cost, with what the last snapshot knew about sizes."""
    groups, chosen = record.get("groups"), record.get("chosen")
    registered = registry.ids() & {row["group_id"] for row in groups} if registry is not None else frozenset()
    known = base or Base.of(snapshots)
    earlier = known.snapshot.manifest["rows"] if known is not None else {}
    users, spaces, permissions = (earlier.get(kind, 0) for kind in ("users", "spaces", "grants"))
    read = record.sizes()
    # What this walk has read already tells more of the rest than a guess.
    sizes = (known.last_sizes if known is not None else {}) | read
    average = sum(sizes.values()) / len(sizes) if sizes else _GUESS
    ledger = _ledger(gateway)
    done = record.ended()

    def price(groups_read: int, memberships: float, accounts: float) -> Estimate:
        made: Estimate = ledger.estimate(
            groups=groups_read,
            memberships=round(memberships),
            users=round(accounts),
            spaces=spaces if with_spaces else 0,
            permissions=permissions if with_spaces else 0,
            in_flight=gateway.in_flight,
        )
        return made

    def cost(left: list[str], guess: float) -> Estimate:
        memberships = round(sum(sizes.get(i, guess) for i in left))
        accounts = min(memberships, users) if users else memberships // 2
        # The second look at the list costs what as many accounts cost.
        return price(len(left), memberships, accounts + (len(groups) if recheck else 0))

    def estimate(ids: Iterable[str]) -> Estimate:
        left = [i for i in ids if i not in done]
        made, least = cost(left, average), cost(left, 0)
        vague = len(read) < _ENOUGH and least.points < 0.8 * made.points
        never = f"each group is read once. If the groups that were never read have {average:.0f} members each"
        return _between(least, made, never) if vague else made

    whole, changed = estimate(chosen), None
    if known is not None:
        now = datetime.now(UTC)
        due = (record.get("base") or {}).get("whole") if base is not None else None
        turn = set(known.due(chosen, at_most, now) if due is None else due)
        read_whole = [i for i in chosen if i in turn or i not in known.sizes]
        asked = len(chosen) - len(read_whole)
        left = [i for i in read_whole if i not in done]
        sized = asked - sum(i in done for i in chosen if i not in turn and i in known.sizes)
        members = sum(sizes.get(i, average) for i in left)
        accounts = users * (known.elapsed(now, at_most) if known.snapshot.scope.get("groups") == scope else 1)
        # A size is asked for with one row; of how many groups it will be another one nobody knows.
        few, differ = (len(left) + sized, members + sized), asked // 20
        guess = price(few[0] + differ, few[1] + differ * average, accounts)
        changed = _between(price(*few, accounts), guess, _DIFFER.format(counted(len(read_whole), "group")))
    return WalkPlan(
        len(groups),
        len(chosen),
        len(registered),
        changed if base is not None and changed is not None else whole,
        estimate(registered) if registered else None,
        estimate([row["group_id"] for row in groups]),
        before,
        _notes(
            [i for i in chosen if i not in sizes], len(chosen), sizes, average, snapshots, with_spaces and not spaces
        ),
        _warnings(gateway) if with_spaces else (),
        whole,
        changed,
    )


def _ledger(gateway: Gateway) -> Any:
    """Return what prices are asked of: the ledger of the points, or one of the usual limits."""
    if hasattr(gateway.ledger, "estimate"):
        return gateway.ledger
    from spokekit.confluence.quota import Ledger
    from spokekit.connections.store import Store

    return Ledger(Store("sqlite://"), "estimate")


def _notes(
    unknown: list[str], chosen: int, sizes: dict[str, int], average: float, snapshots: Snapshots, no_spaces: bool
) -> tuple[str, ...]:
    """Say what the figures rest on."""
    notes = []
    if unknown:
        which = "the groups" if len(unknown) == chosen else counted(len(unknown), "group")
        like = "as in those read so far" if sizes else "as a guess; larger ones cost more"
        notes.append(f"The sizes of {which} are not known yet: {average:.0f} members each are assumed, {like}.")
    notes += [older] if (older := snapshots.older_words()) else []
    if no_spaces:
        notes.append("How many spaces there are is not known yet: they come on top.")
    return tuple(notes)


def _warnings(gateway: Gateway) -> tuple[str, ...]:
    """Say why a walk with spaces would end incomplete."""
    have = tuple(gateway.connection.scopes)
    lacks = dict.fromkeys(name for action in STEPS["Audit spaces"] for name in missing_for(action, have))
    if not lacks:
        return ()
    return (
        f"Spaces cannot be read: the connection lacks {' and '.join(lacks)}. The walk would end incomplete; add "
        "the scopes to the app and the connection and get a new token first, or walk without spaces.",
    )
