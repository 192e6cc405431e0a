"""What a plan will do, before it does it: counts, seats, cost, and one sentence for each danger. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spokekit._foreign import markup
from spokekit._frames import frame_of
from spokekit._words import counted, span
from spokekit.errors import InputError, PlanError
from spokekit.groups.plan import ALREADY, PLANNED, REFUSED, Plan, Row
from spokekit.groups.site_state import LICENSING, SITE_ADMIN, Present

if TYPE_CHECKING:
    import pandas as pd

CONFIRM_ABOVE = 20
"""Up to so many changes, none of them grave, pressing the button is enough; else the words have to be typed."""

MAX_AGE = 24 * 3600.0
"""Seconds after which a plan is too old, whatever its ground."""

CLOCKS_DIFFER = 600.0
"""Seconds by which a plan may come from the future: the clocks of two computers are seldom further apart."""

LOOKS_UP_TO = 200
"""Up to so many changes the site is looked at right before each: for more it would cost more than all the changes."""

_LOOK = 11
"""Points of such a look, at a guess: one, and two for each of the person's groups."""

_BY_GROUP = {
    **dict.fromkeys(("group_id", "group"), "text"),
    "members_now": "count",
    **dict.fromkeys(("add", "remove"), "int"),
    "members_after": "count",
    **dict.fromkeys(("already_so", "refused"), "int"),
}
_PAGE = 200
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Seats:
    """Seats of the licence that the plan takes and frees; ``unclear`` people may or may not change the count."""

    taken: int = 0
    freed: int = 0
    unclear: int = 0

    @property
    def words(self) -> str:
        """The same as a sentence."""
        if not (self.taken or self.freed or self.unclear):
            return "The licence is not touched, as far as the site shows."
        parts = []
        if self.taken:
            parts.append(f"takes {counted(self.taken, 'seat')}")
        if self.freed:
            parts.append(f"frees {counted(self.freed, 'seat')}")
        text = f"The plan {' and '.join(parts)} of the licence" if parts else "No change of seats is certain"
        if self.unclear:
            text += f"; for {counted(self.unclear, 'more person', 'more people') if parts else _people(self.unclear)} "
            text += "it is not known whether another group gives them access"
        return f"{text}."


@dataclass(frozen=True, slots=True)
class Cost:
    """What an apply will cost: ``points`` of the hour's quota, at least ``seconds`` at the allowed pace."""

    points: int
    seconds: float
    left: int | None = None

    @property
    def words(self) -> str:
        """The same as a sentence."""
        left = "" if self.left is None else f" of {self.left:,} left this hour"
        return f"Applying costs about {counted(self.points, 'point')}{left} and takes {duration(self.seconds)} or more."


@dataclass(frozen=True)
class Preview:
    """A plan that was looked at; only this can be applied. Made by `Membership.preview`, or read from a plan file.

    ``dangers`` holds a sentence for each thing that somebody should think about before applying, and ``grave`` those
    of them that want the typed words at any number of rows. ``foreign`` says that it was read from a file which this
    store's key has not signed: what such a file says is only shown, and `Membership.preview_anew` makes one to apply.
    """

    plan: Plan
    seats: Seats
    cost: Cost
    dangers: tuple[str, ...]
    grave: tuple[str, ...] = ()
    foreign: bool = False

    @property
    def fingerprint(self) -> str:
        """The plan's fingerprint."""
        return self.plan.fingerprint

    @property
    def frame(self) -> pd.DataFrame:
        """The plan's rows; see `Plan.frame`."""
        return self.plan.frame

    @property
    def confirmation(self) -> str:
        """The words to be typed before this is applied; empty when pressing the button is enough."""
        changes = len(self.plan.planned)
        return self.words_of_consent if changes > CONFIRM_ABOVE or (changes and self.grave) else ""

    @property
    def words_of_consent(self) -> str:
        """What somebody types who has looked at it, also where it need not be typed."""
        changes = len(self.plan.planned)
        return f"change {changes} {'membership' if changes == 1 else 'memberships'}"

    @property
    def groups(self) -> pd.DataFrame:
        """Numbers by group: group_id, group (str), members_now, add, remove, members_after, already_so, refused.

        Of a group that was not read, which is refused, ``members_now`` and ``members_after`` are missing (Int64).
        """
        counted: Counter[tuple[str, str]] = Counter()
        names: dict[str, str] = {}
        for row in self.plan.rows:
            names.setdefault(row.group_id, row.group)
            counted[row.group_id, row.action if row.status == PLANNED else row.status] += 1
        rows = []
        for group_id, name in names.items():
            footing = self.plan.ground.get(group_id)
            now = None if footing is None else len(footing.members)
            add, remove = counted[group_id, "add"], counted[group_id, "remove"]
            after = None if now is None else now + add - remove
            rows.append(
                (group_id, name, now, add, remove, after, counted[group_id, ALREADY], counted[group_id, REFUSED])
            )
        return frame_of(rows, _BY_GROUP)

    @property
    def age_words(self) -> str:
        """How long ago the groups were read."""
        return f"The groups were read {duration(max(0.0, self.plan.age))} ago."

    @property
    def lines(self) -> tuple[str, ...]:
        """The preview in sentences: counts, seats, cost, notes, fingerprint; the dangers stand apart."""
        counts = self.plan.counts()
        rows = self.plan.planned
        adds = sum(row.action == "add" for row in rows)
        first = (
            f"{_people(adds)} to add, {_people(len(rows) - adds)} to remove; {counts[ALREADY]:,} already so, "
            f"{counts[REFUSED]:,} refused."
        )
        where = f"On {self.plan.place.site}, through the connection {self.plan.place.connection}."
        foreign = "This plan is foreign: its file was not signed by this store's key." if self.foreign else ""
        return (
            *([foreign] if foreign else []),
            first,
            where,
            self.seats.words,
            self.cost.words,
            *self.plan.notes,
            f"Fingerprint {self.fingerprint[:12]}. {self.age_words}",
        )

    @property
    def words(self) -> str:
        """All of it as plain text."""
        return "\n".join((*self.lines, *(f"Danger: {danger}" for danger in self.dangers)))

    def __repr__(self) -> str:
        return f"Preview of {self.plan!r}\n{self.words}"

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{markup(line)}</li>" for line in self.lines)
        dangers = "".join(f"<li><b>Danger:</b> {markup(danger)}</li>" for danger in self.dangers)
        return f"<ul>{lines}{dangers}</ul>{self.groups.to_html(index=False, escape=True)}"


def cost(plan: Plan, *, pace: float, left: int | None) -> Cost:
    """Reckon what applying costs: the groups are read once more, then one point a change, and a look before each."""
    changes = len(plan.planned)
    groups = {row.group_id for row in plan.planned}
    reading = sum(3 + _reading(len(plan.ground[group_id].members)) for group_id in groups)
    people = len({row.account_id for row in plan.planned})
    looks = changes * _LOOK if changes <= LOOKS_UP_TO else 0
    return Cost(changes + looks + reading + 2 * people + math.ceil(people / 250), changes / pace, left)


def _reading(members: int) -> int:
    return max(1, math.ceil(members / _PAGE)) + 2 * members


def seats(rows: tuple[Row, ...], present: Present, known: Mapping[str, frozenset[str]]) -> Seats:
    """Count seats taken and freed.

    Parameters
    ----------
    known:
        For accounts of which it is known: the ids of all licensing groups they are in. For others the groups of the
        plan alone are looked at, and whoever could be in a further one is unclear.
    """
    licensing = {group_id for group_id, group in present.groups.items() if group.gives & LICENSING}
    joins: dict[str, set[str]] = {}
    leaves: dict[str, set[str]] = {}
    for row in rows:
        if row.group_id in licensing:
            (joins if row.action == "add" else leaves).setdefault(row.account_id, set()).add(row.group_id)
    taken = freed = unclear = 0
    for account in sorted({*joins, *leaves}):
        here = {group_id for group_id in licensing if account in present.groups[group_id].members}
        before = set(known.get(account, frozenset())) | here
        after = (before | joins.get(account, set())) - leaves.get(account, set())
        if account in known:
            taken += not before and bool(after)
            freed += bool(before) and not after
        elif bool(before) != bool(after):
            unclear += 1
    return Seats(taken, freed, unclear)


def licensing_accounts(plan: Plan, present: Present) -> tuple[str, ...]:
    """Return the accounts whose seat the plan may change."""
    licensing = {group_id for group_id, group in present.groups.items() if group.gives & LICENSING}
    return tuple(sorted({row.account_id for row in plan.planned if row.group_id in licensing}))


def grave(plan: Plan, present: Present) -> tuple[str, ...]:
    """Return one sentence for each thing that wants the typed words: who gets power, who may lose access, oneself."""
    found: list[str] = []
    for group_id, rows in _by_group(plan.planned).items():
        group = present.groups.get(group_id)
        if group is None:
            continue
        adds = [row for row in rows if row.action == "add"]
        removes = [row for row in rows if row.action == "remove"]
        before = len(group.members)
        if removes and not adds and len(removes) == before:
            found.append(f"{group.name} will be empty.")
        elif before >= 4 and len(removes) > before * _HALF:
            found.append(f"{len(removes):,} of the {before:,} members of {group.name} will be removed.")
        if removes and group.gives & LICENSING:
            found.append(
                f"{group.name} gives access to Confluence: {_people(len(removes))} may lose it, "
                "unless another group gives it to them."
            )
        power = "site admin" if SITE_ADMIN in group.gives else ""
        if adds and power:
            found.append(f"{_people(len(adds))} will become {power} by {group.name}.")
        elif adds and "admin" in group.gives:
            found.append(f"{_people(len(adds))} will administer Confluence by {group.name}.")
        if removes and (power or "admin" in group.gives):
            found.append(f"{_people(len(removes))} will no longer be {power or 'an administrator'} by {group.name}.")
        if present.me and any(row.account_id == present.me for row in rows):
            found.append(f"One of the people is you: {group.name} is changed for the account that is signed in.")
        if removes and not present.me:
            found.append(
                f"Nobody knows which account is signed in, so it may be among those removed from {group.name}."
            )
    return tuple(found)


def _by_group(rows: tuple[Row, ...]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.group_id, []).append(row)
    return found


def dangers(plan: Plan, present: Present, seats_: Seats, cost_: Cost, unfinished: int) -> tuple[str, ...]:
    """Return one sentence for each thing that somebody should think about first, the grave ones before the others."""
    found = list(grave(plan, present))
    for group_id, rows in _by_group(plan.planned).items():
        group = present.groups[group_id]
        adds = [row for row in rows if row.action == "add"]
        if adds and "user" in group.gives and not group.gives & {SITE_ADMIN, "admin"}:
            found.append(f"{_people(len(adds))} will be able to use Confluence by {group.name}.")
        guests = sum(bool((person := present.person(row.account_id)) and person.is_guest) for row in adds)
        if guests:
            found.append(
                f"{_people(guests)} to be added to {group.name} {'is a guest' if guests == 1 else 'are guests'}."
            )
        if group.usage_type == "TEAM_COLLABORATION":
            found.append(f"{group.name} is a team; its members manage it themselves and may be surprised.")
    names = Counter((row.group_id, row.display_name) for row in plan.planned if row.display_name)
    same = sum(1 for count in names.values() if count > 1)
    if same:
        found.append(f"{counted(same, 'name belongs', 'names belong')} to several people: compare the account ids.")
    if seats_.taken:
        found.append(f"{counted(seats_.taken, 'seat')} of the licence will be taken; a full licence stops the apply.")
    if cost_.left is not None and cost_.points > cost_.left:
        found.append(f"It costs {cost_.points:,} points and {cost_.left:,} are left this hour: the apply will pause.")
    if present.site_admin is False and plan.planned:
        found.append("You are in no group that makes site admins; Confluence will probably refuse the changes.")
    if unfinished:
        found.append(
            f"{counted(unfinished, 'earlier apply is', 'earlier applies are')} not finished: resume or drop first."
        )
    adds_ = [row for row in plan.planned if row.action == "add"]
    unseen = sum((person := present.person(row.account_id)) is None or person.status == "unknown" for row in adds_)
    if unseen:
        found.append(
            f"The site does not show whether the accounts of {_people(unseen)} to add are active; "
            "the scope read:user:confluence would let it."
        )
    refused = plan.counts()[REFUSED]
    if refused:
        found.append(f"{counted(refused, 'row is', 'rows are')} refused and will not happen; the messages say why.")
    return tuple(found)


def duration(seconds: float) -> str:
    """Say a time span in words, as `span` does, but days as hours: a plan is one of hours."""
    return span(seconds) if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _people(count: int) -> str:
    return counted(count, "person", "people")


def check_age(age: float) -> None:
    """Raise `PlanError` when a plan's ground was read too many seconds ago, or at a time that no clock near shows."""
    if not -CLOCKS_DIFFER <= age <= MAX_AGE:
        old = f"{duration(age)} old" if age > 0 else f"from a time that is {duration(-age)} ahead"
        raise PlanError(f"The plan is {old}.", hint="Make it again and look at the preview.")


def check_words(preview: Preview, typed: str) -> None:
    """Raise `InputError` unless `typed` is what the preview asks for."""
    if preview.confirmation and " ".join(typed.split()).casefold() != preview.confirmation:
        changes = len(preview.plan.planned)
        raise InputError(
            f"This plan makes {counted(changes, 'change')} and wants {'it' if changes == 1 else 'them'} "
            "confirmed in words.",
            field="confirm",
            likely=f"Danger: {preview.grave[0]}" if preview.grave else None,
            hint=f"Type: {preview.confirmation}",
        )
