"""A list of people from elsewhere against a snapshot: who left and has a seat, who is in no list, who has two accounts.

Matched by account id, then by address. What could not be matched is counted on both sides, never dropped: an address
may be hidden, so a person of whom no account was found may have one all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._frames import frame_of
from spokekit._words import comparable, counted
from spokekit.audit.roster import HERE, LEFT, NEVER, Listed, Roster, read_roster
from spokekit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.audit import Audit

LEAVER = "leaver with a seat"
NO_SEAT = "person without a seat"
NOT_FOUND = "no account found"
IN_NO_LIST = "account in no list"
HIDDEN = "address hidden"
TWO = "two accounts of one person"
SHARED = "one account of several people"
UNUSED = "seat not used"
UNUSABLE = "line not usable"
FINDINGS = (LEAVER, IN_NO_LIST, TWO, SHARED, UNUSED, NO_SEAT, NOT_FOUND, HIDDEN, UNUSABLE)

_OF_LINE = {
    "list": "text",
    "line": "int",
    "listed": "text",
    "list_status": "text",
    "matched_by": "text",
    "last_seen": "time",
}
COLUMNS = {
    "finding": "text",
    "person": "text",
    "account_id": "text",
    "email": "text",
    "account_status": "text",
    "seat": "bool",
    **_OF_LINE,
    "words": "text",
}
MATCHES = {"account_id": "text", **_OF_LINE, "never_seen": "bool", "as_of": "time"}

INACTIVE_DAYS = 90
_APART = timedelta(days=7)
_GONE = ("inactive", "closed")


@dataclass(frozen=True)
class Comparison:
    """What a list and a snapshot say of each other.

    Parameters
    ----------
    frame:
        One row a finding, in the order of `FINDINGS`; columns `COLUMNS`. ``attrs`` say of which state they are.
    matches:
        One row for each account and line that belong together (`MATCHES`): ``list_status`` is ``here``, ``left`` or
        empty, ``as_of`` the moment that the list is of.
    counts:
        ``lines`` = ``lines_matched`` + ``lines_not_found`` + ``lines_not_usable``; ``accounts`` = ``accounts_matched``
        + ``accounts_in_no_list`` + ``accounts_hidden`` + ``accounts_deactivated`` + ``accounts_apps`` (the last two
        are those in no list).
    """

    frame: pd.DataFrame
    matches: pd.DataFrame
    counts: dict[str, int]
    notes: tuple[str, ...]

    @property
    def words(self) -> str:
        """The counts as sentences."""
        n = self.counts
        lines, accounts = counted(n["lines"], "line"), counted(n["accounts"], "account")
        return (
            f"{lines}: {n['lines_matched']:,} matched, {n['lines_not_found']:,} without an account that could be "
            f"found, {n['lines_not_usable']:,} not usable. {accounts}: {n['accounts_matched']:,} matched, "
            f"{n['accounts_in_no_list']:,} in no list, {n['accounts_hidden']:,} not told since they hide their "
            f"address; in no list either {n['accounts_deactivated']:,} deactivated or closed, and "
            f"{counted(n['accounts_apps'], 'app')}."
        )


@dataclass
class _Account:
    account_id: str
    name: str
    email: str
    status: str
    kind: str
    guest: bool
    seat: bool
    lines: list[tuple[Roster, Listed, str]] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        return self.kind != "app" and self.status not in _GONE


def compare_list(
    audit: Audit,
    *lists: Roster | str | Path | bytes,
    inactive_days: int = INACTIVE_DAYS,
    as_of: datetime | None = None,
    **options: Any,
) -> Comparison:
    """Compare lists of people with the state of a site.

    Parameters
    ----------
    lists:
        One list, or several that count together: an account is in no list only when none of them has it, and somebody
        who has left by one of them has left. Files, bytes, or what `spokekit.audit.roster.read_roster` has read.
    inactive_days:
        A seat counts as not used when its person was last seen so many days before the day of the list, or never.
    as_of, options:
        See `read_roster`: the moment that the lists are of, and columns that are not known by their names.

    Returns
    -------
    A `Comparison`. Its findings: **leaver with a seat** · **account in no list** (active, and no app) · **two accounts
    of one person** (by the list's own number, by several ids or addresses of one line, or, where another account of
    the same name is listed and this one is not, by name) · **one account of several people** · **seat not used** ·
    **person without a seat** · **no account found** · **address hidden** (an active account that no list has by id, and
    that shows no address to look for) · **line not usable**.

    Raises InputError when a list as a whole cannot be used, or none is given.
    """
    if not lists:
        raise InputError("No list was given.", field="file", hint="Name a CSV or .xlsx with people.")
    if inactive_days < 1:
        raise InputError("The number of days is 1 or more.", field="inactive_days")
    rosters = [
        one if isinstance(one, Roster) else read_roster(one, as_of=as_of, site_url=audit.site.url, **options)
        for one in lists
    ]
    accounts = _accounts(audit)
    made = _Made(accounts, rosters)
    made.match()
    made.find(inactive_days)
    notes = [note for roster in rosters for note in roster.notes]
    for roster in rosters:
        apart = roster.as_of - audit.taken_at
        if abs(apart) > _APART:
            notes.append(
                f"{roster.source} is {counted(abs(apart).days, 'day')} {'newer' if apart > _APART else 'older'} than "
                "the snapshot: who came or left between the two is among the rows."
            )
    return made.result(audit, notes)


def _accounts(audit: Audit) -> dict[str, _Account]:
    seats = set(audit.ask("licensed-people")["account_id"])
    rows = audit.run_rows(
        "SELECT account_id, display_name, email, account_status, account_type, is_guest FROM users "
        "ORDER BY display_name, account_id",
        {},
    )
    return {
        key: _Account(key, name, mail, status, kind, bool(guest), key in seats)
        for key, name, mail, status, kind, guest in rows
    }


class _Made:
    """The comparison while it is made."""

    def __init__(self, accounts: dict[str, _Account], rosters: Sequence[Roster]) -> None:
        self.accounts, self.rosters = accounts, rosters
        self.rows: list[dict[str, Any]] = []
        self.unmatched: list[tuple[Roster, Listed]] = []
        self.unusable: list[tuple[Roster, Listed]] = []
        self.lines = 0
        self.persons: dict[tuple[int, str], dict[str, _Account]] = {}
        self.by_mail: dict[str, list[_Account]] = {}
        for account in accounts.values():
            if account.email:
                self.by_mail.setdefault(comparable(account.email), []).append(account)

    def match(self) -> None:
        """Give each account the lines that name it."""
        for number, roster in enumerate(self.rosters):
            for listed in roster.people:
                self.lines += 1
                if listed.problem:
                    self.unusable.append((roster, listed))
                    continue
                found = {key: "account id" for key in listed.ids if key in self.accounts}
                for mail in listed.mails:
                    for account in self.by_mail.get(mail, ()):
                        found.setdefault(account.account_id, "address")
                if not found:
                    self.unmatched.append((roster, listed))
                person = self.persons.setdefault((number, comparable(listed.number) or f"line {listed.line}"), {})
                for key, how in found.items():
                    self.accounts[key].lines.append((roster, listed, how))
                    person[key] = self.accounts[key]

    def find(self, inactive_days: int) -> None:
        """Write the findings."""
        others = self._others()
        for account in self.accounts.values():
            if account.lines:
                self._matched(account, others, inactive_days)
        self._two()
        self._in_no_list()
        for roster, listed in self.unmatched:
            has_left = listed.status == LEFT
            words = (
                "The list says that they left, and no account was found: it may be gone, or hide its address."
                if has_left
                else "No account in the snapshot has this id or shows this address; it may hide it."
            )
            self._row(NOT_FOUND, None, (roster, listed, ""), words)
        for roster, listed in self.unusable:
            self._row(UNUSABLE, None, (roster, listed, ""), f"Line {listed.line} {listed.problem}.")

    def _others(self) -> dict[str, set[str]]:
        """Return for each account those that belong to the same person."""
        found: dict[str, set[str]] = {}
        for accounts in self.persons.values():
            if len(accounts) > 1:
                for key in accounts:
                    found.setdefault(key, set()).update(accounts)
        return found

    def _matched(self, account: _Account, others: dict[str, set[str]], inactive_days: int) -> None:
        left = _left(account)
        if left is not None and account.seat:
            says = f"“{left[1].says}”" if left[1].says else "that they left"
            self._row(LEAVER, account, left, f"{left[1].source} says {says}, and the account takes a seat.")
        theirs = [self.accounts[key] for key in others.get(account.account_id, ())]
        if left is None and not account.seat and not any(one.seat for one in theirs):
            self._row(NO_SEAT, account, account.lines[0], _why_no_seat(account))
        seen = [(line[1].last_seen, line) for line in account.lines if line[1].last_seen is not None]
        if account.seat and seen:
            when, line = max(seen, key=lambda one: one[0] or NEVER)
            days = (line[0].as_of - when).days if when else 0
            if when == NEVER:
                words = f"Never seen, by {line[1].source} of {line[0].as_of:%Y-%m-%d} (“{line[0].seen_column}”)."
                self._row(UNUSED, account, line, words)
            elif when and days >= inactive_days:
                words = (
                    f"Last seen on {when:%Y-%m-%d}, {counted(days, 'day')} before the list's own day, "
                    f"{line[0].as_of:%Y-%m-%d} (“{line[0].seen_column}”)."
                )
                self._row(UNUSED, account, line, words)
        for roster in self.rosters:
            lines = [line for line in account.lines if line[0] is roster]
            different = {comparable(line[1].number or line[1].name) for line in lines} - {""}
            if len(different) > 1:
                named = ", ".join(dict.fromkeys(line[1].name or line[1].number for line in lines))
                self._row(SHARED, account, lines[0], f"{len(different):,} people of the list: {named[:300]}.")

    def _two(self) -> None:
        told: set[str] = set()
        for accounts in self.persons.values():
            usable = [account for account in accounts.values() if account.usable]
            if len(usable) > 1:
                ids = ", ".join(account.account_id for account in usable)
                for account in usable:
                    if account.account_id not in told:
                        line = next(line for line in account.lines)
                        self._row(TWO, account, line, f"By the list they are one person's: {ids}.")
                told.update(account.account_id for account in usable)
        for mail, accounts_ in self.by_mail.items():
            usable = [a for a in accounts_ if a.usable and a.account_id not in told]
            if len(usable) > 1:
                told.update(account.account_id for account in usable)
                for account in usable:
                    self._row(TWO, account, next(iter(account.lines), None), f"Both show the address {mail}.")
        self._by_name(told)

    def _by_name(self, told: set[str]) -> None:
        names: dict[str, list[_Account]] = {}
        for account in self.accounts.values():
            if account.usable and account.name:
                names.setdefault(comparable(account.name), []).append(account)
        listed = Counter(comparable(line.name) for roster in self.rosters for line in roster.people if line.name)
        for name, accounts in names.items():
            known = [account for account in accounts if account.lines]
            strange = [account for account in accounts if not account.lines and account.account_id not in told]
            # As many people of the name in the list as accounts: then each of them has one.
            if known and strange and len(accounts) > listed.get(name, 0):
                for account in strange:
                    words = (
                        f"By its name alone: {known[0].account_id} has the same name and is listed, this one is not."
                    )
                    self._row(TWO, account, None, words)

    def _in_no_list(self) -> None:
        usable = [listed for roster in self.rosters for listed in roster.people if not listed.problem]
        # Where each line has an id, a hidden address leaves nothing open.
        by_id = bool(usable) and all(listed.ids for listed in usable)
        for account in self.accounts.values():
            if account.lines or not account.usable:
                continue
            if account.email or by_id:
                guest = "A guest; no" if account.guest else "No"
                self._row(IN_NO_LIST, account, None, f"{guest} line of any list has this account.")
            else:
                self._row(HIDDEN, account, None, "It shows no address, and no line has its id: it cannot be told.")

    def _row(self, finding: str, account: _Account | None, line: tuple[Roster, Listed, str] | None, words: str) -> None:
        listed = line[1] if line else None
        self.rows.append(
            {
                "finding": finding,
                "person": account.name if account else "",
                "account_id": account.account_id if account else "",
                "email": account.email if account else (listed.mails[0] if listed and listed.mails else ""),
                "account_status": account.status if account else "",
                "seat": bool(account and account.seat),
                **_of_line(listed or Listed("", 0), line[2] if line else ""),
                "words": words,
            }
        )

    def result(self, audit: Audit, notes: Iterable[str]) -> Comparison:
        """Return the comparison."""
        order = {finding: place for place, finding in enumerate(FINDINGS)}
        self.rows.sort(key=lambda row: order[row["finding"]])
        frame = frame_of(self.rows, COLUMNS)
        found = Counter(row["finding"] for row in self.rows)
        loose = [account for account in self.accounts.values() if not account.lines]
        counts = {
            "lines": self.lines,
            "lines_matched": self.lines - len(self.unmatched) - len(self.unusable),
            "lines_not_found": len(self.unmatched),
            "lines_not_usable": len(self.unusable),
            "accounts": len(self.accounts),
            "accounts_matched": len(self.accounts) - len(loose),
            "accounts_in_no_list": found[IN_NO_LIST],
            "accounts_hidden": found[HIDDEN],
            "accounts_apps": sum(account.kind == "app" for account in loose),
            "accounts_deactivated": sum(account.kind != "app" and account.status in _GONE for account in loose),
        }
        matches = [
            {
                "account_id": account.account_id,
                **_of_line(listed, how),
                "list_status": LEFT if _left(account) else listed.status and HERE,
                "never_seen": listed.last_seen == NEVER,
                "as_of": roster.as_of,
            }
            for account in self.accounts.values()
            for roster, listed, how in account.lines
        ]
        audit.told(
            frame,
            "compare-list",
            "A list of people against the accounts of the site.",
            {"lists": ", ".join(roster.source for roster in self.rosters)},
            "Addresses are empty where a profile hides them; accounts outside the walked groups are not looked at.",
        )
        notes = tuple(notes)
        frame.attrs.update(counts=counts, notes=notes)
        return Comparison(frame, frame_of(matches, MATCHES), counts, notes)


def _of_line(listed: Listed, matched_by: str) -> dict[str, Any]:
    """Return what a row says of a line of a list."""
    return {
        "list": listed.source,
        "line": listed.line,
        "listed": listed.name,
        "list_status": listed.says or listed.status,
        "matched_by": matched_by,
        "last_seen": None if listed.last_seen == NEVER else listed.last_seen,
    }


def _left(account: _Account) -> tuple[Roster, Listed, str] | None:
    """Return the line by which somebody has left: of one list where no other line of it has them still there."""
    by_list: dict[int, list[tuple[Roster, Listed, str]]] = {}
    for line in account.lines:
        by_list.setdefault(id(line[0]), []).append(line)
    for lines in by_list.values():
        if all(line[1].status == LEFT for line in lines):
            return lines[0]
    return None


def _why_no_seat(account: _Account) -> str:
    if account.status in _GONE:
        return f"The account is {'deactivated' if account.status == 'inactive' else 'closed'}."
    if account.guest:
        return "The account is a guest's, which takes no seat."
    return "The account is in no walked group that gives access, or Confluence does not let it in."
