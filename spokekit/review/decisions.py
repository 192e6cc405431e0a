"""Decisions about single rows: what may be decided, and what is refused with which sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from spokekit._words import comparable, counted
from spokekit.errors import InputError
from spokekit.review.records import DECISIONS, EXCEPTION, KEEP, Row

if TYPE_CHECKING:
    from spokekit.review.campaign import Campaign

AS_STATED = "as stated in the worksheet"


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody wants decided about a row; ``stated_by`` is the reviewer that a worksheet names."""

    row_id: int
    decision: str
    reason: str = ""
    until: str = ""
    stated_by: str = ""


@dataclass(frozen=True)
class Decided:
    """What came of it: how many decisions were taken and how many were so already; ``refused`` has row and sentence.

    ``changed`` are the rows that had another decision before: row, before, after.
    """

    taken: int
    unchanged: int
    refused: tuple[tuple[int, str], ...]
    changed: tuple[tuple[int, str, str], ...] = ()

    @property
    def words(self) -> str:
        """The same as a sentence or two."""
        text = f"{counted(self.taken, 'decision')} recorded"
        if self.changed:
            text += f", {len(self.changed):,} of them in place of an earlier one"
        if self.unchanged:
            text += f"; {self.unchanged:,} {'was' if self.unchanged == 1 else 'were'} so already"
        if self.refused:
            text += f"; {counted(len(self.refused), 'row')} not taken"
        return f"{text}."


def refusal(campaign: Campaign, row: Row, choice: Choice) -> str:
    """Say why a decision cannot be taken; "" where it can."""
    if row.routed_out:
        return f"The group {row.group_name} is synced from outside: the row is routed out, see the hand-out."
    if choice.decision not in DECISIONS:
        return f"There is no decision “{choice.decision[:40]}”; {listed(DECISIONS)} are known."
    if choice.stated_by:
        name, email = campaign.people.get(row.account_id, ("", ""))
        own = {comparable(word) for word in (row.account_id, name, email) if word}
        if comparable(choice.stated_by) in own:
            return "The worksheet's reviewer is the person of the row; somebody else decides about it."
    elif row.account_id == campaign.actor.account_id:
        return "That is your own membership; somebody else decides about it."
    if choice.decision == EXCEPTION and not choice.until:
        return "An exception needs its last day."
    if choice.decision == EXCEPTION and choice.until < today_here().isoformat():
        return f"The last day of the exception, {choice.until}, is over."
    if choice.decision == EXCEPTION and not choice.reason:
        return "An exception needs a reason."
    if choice.decision == KEEP and row.advice and not choice.reason:
        return f"To keep against the recommendation ({row.recommendation}) needs a reason."
    return ""


def day(value: date | str | None) -> str:
    """Return a day as it is kept, ``2027-03-31``, or "" for none; raises `InputError` for what is no day."""
    if value is None or value == "":
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat()
    try:
        return value.isoformat() if isinstance(value, date) else date.fromisoformat(value.strip()[:10]).isoformat()
    except ValueError:
        raise InputError(f"{value!r} is no day.", field="until", hint="Write it like 2027-03-31.") from None


def say(decision: str, until: str) -> str:
    """Return a decision in words, with the last day of an exception."""
    return f"{decision} until {until}" if until else decision


def today_here() -> date:
    """Return the day where this computer is."""
    return datetime.now(UTC).astimezone().date()


def listed(words: Sequence[str]) -> str:
    """Return words as ``a, b and c``."""
    return f"{', '.join(words[:-1])} and {words[-1]}"
