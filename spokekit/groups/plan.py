"""A plan: what will happen to each membership, what is so already, and what is refused and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self

from spokekit._frames import frame_of
from spokekit.errors import InputError
from spokekit.groups.rules import Judge, Verdict
from spokekit.groups.site_state import Footing, GroupNow, Place, Present
from spokekit.groups.wishes import Wish, WishList

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["add", "remove", "sync", "undo"]
Only = Literal["", "add-only", "remove-only"]

COLUMNS = ("group_id", "group", "account_id", "display_name", "action", "reason", "status", "message")

PLANNED = "planned"
ALREADY = "already so"
REFUSED = "refused"
DONE = "done"
FAILED = "failed"
UNKNOWN = "unknown"
NOT_DONE = "not done"
STATUSES = (PLANNED, ALREADY, REFUSED, DONE, FAILED, UNKNOWN, NOT_DONE)


@dataclass(frozen=True, slots=True)
class Row:
    """One membership in a plan or a result; the fields are the columns, in their order.

    ``action`` is add or remove. ``status`` is planned, already so or refused in a plan; in a result also done,
    failed, unknown (nobody knows yet whether the call arrived) and not done (stopped before). ``reason`` is one word
    for programs, ``message`` the sentence for people.
    """

    group_id: str
    group: str
    account_id: str
    display_name: str
    action: str
    reason: str = ""
    status: str = PLANNED
    message: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        """Group id and account id."""
        return self.group_id, self.account_id

    def ended(self, status: str, reason: str, message: str) -> Self:
        """Return the row with what became of it."""
        return replace(self, status=status, reason=reason, message=message)


@dataclass(frozen=True)
class Plan:
    """Rows, and the ground they stand on. Made by `spokekit.groups.membership.Membership`, never changed.

    ``made_at`` is when the ground was read. ``fingerprint`` covers place, mode, rows and ground: two plans with the
    same fingerprint do the same to the same state.
    """

    mode: Mode
    only: Only
    rows: tuple[Row, ...]
    ground: Mapping[str, Footing]
    place: Place
    by: str
    made_at: datetime
    notes: tuple[str, ...] = ()
    undo_of: str = ""
    present: Present | None = field(default=None, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all that the plan says and relies on."""
        facts = [
            "spokekit plan 2",
            [self.place.alias_id, self.place.cloud_id],
            [self.mode, self.only, self.undo_of],
            [[row.group_id, row.account_id, row.action, row.status, row.reason] for row in self.rows],
            [self.ground[group_id].facts() for group_id in sorted(self.ground)],
        ]
        return hashlib.sha256(json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()

    @property
    def planned(self) -> tuple[Row, ...]:
        """The rows that an apply will carry out."""
        return tuple(row for row in self.rows if row.status == PLANNED)

    @property
    def age(self) -> float:
        """Seconds since the ground was read; below zero when the clock was put back, or another one was ahead."""
        return (datetime.now(UTC) - self.made_at).total_seconds()

    def counts(self) -> dict[str, int]:
        """How many rows are planned, already so and refused."""
        found = Counter(row.status for row in self.rows)
        return {status: found.get(status, 0) for status in (PLANNED, ALREADY, REFUSED)}

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame with `COLUMNS`, all text, in the order in which an apply goes through them."""
        return rows_frame(self.rows)

    def __repr__(self) -> str:
        counts = self.counts()
        return (
            f"Plan({self.mode}: {counts[PLANNED]:,} planned, {counts[ALREADY]:,} already so, "
            f"{counts[REFUSED]:,} refused; {self.fingerprint[:12]})"
        )


def rows_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """Make the frame of `COLUMNS` (str each) from rows."""
    return frame_of(rows, dict.fromkeys(COLUMNS, "text"))


def _notes(wishes: WishList, doubled: int, kept_out: int, kept_in: int, unchecked: int) -> list[str]:
    notes = list(wishes.notes)
    if doubled:
        notes.append(
            f"{doubled:,} line{'s name' if doubled > 1 else ' names'} a membership a second time; once counts."
        )
    if kept_out:
        notes.append(f"{kept_out:,} on the list are not in their group; remove-only leaves them out.")
    if kept_in:
        notes.append(f"{kept_in:,} line{'s say' if kept_in > 1 else ' says'} remove; add-only leaves them in.")
    if unchecked:
        notes.append(
            f"{unchecked:,} address{'es' if unchecked > 1 else ''} beside an account id could not be checked: nobody "
            "in the groups that were read shows such an address. The id counts."
        )
    return notes


def check_mode(mode: Mode, only: Only, *more: Mode) -> None:
    """Raise `InputError` for a mode that a person cannot choose, and that is not one of `more` either."""
    if mode not in ("add", "remove", "sync", *more):
        raise InputError(f"There is no mode {mode}.", field="mode", hint="Use add, remove or sync.")
    if only and (mode != "sync" or only not in ("add-only", "remove-only")):
        raise InputError(
            "Add-only and remove-only go with the mode sync alone.", field="only", hint="Leave it out, or use sync."
        )


def build(
    wishes: WishList,
    mode: Mode,
    only: Only,
    present: Present,
    *,
    now: datetime | None = None,
    undo_of: str = "",
    fixed: Mapping[tuple[str, str], tuple[str, Verdict | None]] | None = None,
) -> Plan:
    """Turn `wishes` into a plan against `present`; pure, reads nothing.

    Parameters
    ----------
    fixed:
        For an undo: the action of each pair and, where it is decided already, the verdict on it.
    """
    check_mode(mode, only, "undo")
    judge = Judge(present)
    torn = _torn(wishes, judge, mode)
    rows: list[Row] = []
    seen: set[tuple[str, str]] = set()
    listed: dict[str, set[str]] = {}
    broken: Counter[str] = Counter()
    doubled = 0
    kept_out = kept_in = unchecked = 0
    for wish in wishes.wishes:
        group, trouble = judge.group(wish)
        account, puzzled = judge.account(wish)
        group_id = group.group_id if group else wish.group
        if group is not None and (wish.action != "remove" or mode != "sync" or wish.problem):
            listed.setdefault(group_id, set()).add(account)
        pair = (group_id, account or wish.account)
        if pair in seen and not wish.problem:
            doubled += 1
            continue
        seen.add(pair)
        unchecked += judge.unchecked(wish)
        action, decided = _action(wish, mode, pair, fixed)
        if pair in torn and not wish.problem:
            decided = Verdict(REFUSED, "contradiction", f"The list says {torn[pair]} of this membership: which one?")
        if mode == "sync" and wish.action == "keep" and group is not None and account not in group.members:
            decided = decided or Verdict(
                REFUSED,
                "kept",
                f"Line {wish.line} says keep, of somebody who is not in the group: nothing is done here.",
            )
        if not trouble and not puzzled and not decided and group is not None:
            if only == "remove-only" and action == "add" and account not in group.members:
                kept_out += 1
                continue
            if only == "add-only" and action == "remove":
                kept_in += 1
                continue
            decided = judge.row(group, account, action)
        # A mistyped id may mean a member, who must not be removed for the slip of somebody's pen.
        if puzzled or wish.problem or (decided is not None and decided.reason == "unknown_account"):
            broken[group_id] += 1
        rows.append(_row(wish, group, account, action, trouble or puzzled or decided, present))
    if mode == "sync" and only != "add-only":
        for group_id in sorted(g for g in listed if judge.group_verdict(present.groups[g]) is None):
            named = listed[group_id] | {account for place, account in seen if place == group_id}
            rows.extend(_leavers(present.groups[group_id], named, broken[group_id], judge, present))
    notes = _notes(wishes, doubled, kept_out, kept_in, unchecked)
    ground = {group_id: Footing.of(group) for group_id, group in present.groups.items() if group.registered}
    touched = {row.group_id for row in rows}
    return Plan(
        mode=mode,
        only=only,
        rows=tuple(rows),
        ground={group_id: footing for group_id, footing in ground.items() if group_id in touched},
        place=present.place,
        by=present.me,
        made_at=now or datetime.now(UTC),
        notes=tuple(notes),
        undo_of=undo_of,
        present=present,
    )


def _action(
    wish: Wish,
    mode: Mode,
    pair: tuple[str, str],
    fixed: Mapping[tuple[str, str], tuple[str, Verdict | None]] | None,
) -> tuple[str, Verdict | None]:
    if fixed is not None:
        return fixed[pair]
    action = "remove" if mode == "remove" else "add"
    if mode == "sync":
        # The list says who is to be in the group; a line of it that says remove means somebody who is not to be.
        return ("remove" if wish.action == "remove" else "add"), None
    # A plan or result that was exported and is used again as a list may say the opposite of the mode.
    if wish.action == "keep":
        return action, Verdict(REFUSED, "kept", f"Line {wish.line} says keep, so nothing is done here.")
    if wish.action in ("add", "remove") and wish.action != action:
        return action, Verdict(
            REFUSED, "contradiction", f"Line {wish.line} says {wish.action}, but the plan is to {action}."
        )
    return action, None


def _torn(wishes: WishList, judge: Judge, mode: Mode) -> dict[tuple[str, str], str]:
    """Return the memberships of which the list says two things, and what it says."""
    if not any(wish.action for wish in wishes.wishes):
        return {}
    said: dict[tuple[str, str], set[str]] = {}
    for wish in wishes.wishes:
        group, _ = judge.group(wish)
        account, _ = judge.account(wish)
        usual = "remove" if mode == "remove" else "keep" if mode == "sync" else "add"
        word = wish.action or usual
        if mode == "sync" and word in ("add", "keep"):
            word = "keep or add"
        said.setdefault((group.group_id if group else wish.group, account or wish.account), set()).add(word)
    return {pair: " and ".join(sorted(words)) for pair, words in said.items() if len(words) > 1}


def _row(
    wish: Wish, group: GroupNow | None, account: str, action: str, verdict: Verdict | None, present: Present
) -> Row:
    person = present.person(account)
    row = Row(
        group_id=group.group_id if group else wish.group,
        group=group.name if group else "",
        account_id=account or wish.account,
        display_name=person.display_name if person else "",
        action=action,
    )
    return row if verdict is None else row.ended(verdict.status, verdict.reason, verdict.message)


def _leavers(group: GroupNow, listed: set[str], broken: int, judge: Judge, present: Present) -> Iterable[Row]:
    for account in sorted(group.members - listed):
        verdict = None
        if broken:
            verdict = Verdict(
                REFUSED,
                "list_unclear",
                f"{broken:,} line{'s' if broken > 1 else ''} for this group could not be understood and may mean this "
                "person; nobody is removed on such a list.",
            )
        verdict = verdict or judge.row(group, account, "remove")
        yield _row(Wish(group.group_id, account), group, account, "remove", verdict, present)
