"""Lists of people beside a practice world, with errors that are known: what an audit of the lists has to find."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

from spokekit.errors import InputError
from spokekit.practice.world.seed_class import plain_ascii

if TYPE_CHECKING:
    from spokekit.practice.world.world import Person, World

Form = Literal["hr", "atlassian"]


@dataclass(frozen=True)
class PracticeRoster:
    """A list of people as ``data`` (bytes of a CSV), and what there is to find in it.

    ``findings`` are pairs of a finding and what it is about: an account id, or the address of a line. ``day`` is the
    day that the list is of.
    """

    data: bytes
    findings: frozenset[tuple[str, str]]
    day: date


def roster(world: World, form: Form = "hr", *, day: date = date(2026, 11, 20)) -> PracticeRoster:
    """Write the list that HR, or Atlassian's own *Export users*, would give for a world, with errors planted in it.

    Parameters
    ----------
    form:
        ``hr`` has numbers, names, addresses and status of employees, in semicolons, and no account ids: two leavers
        who kept their seat, two accounts that it does not know, two people without an account, one person with two
        accounts, and a formula where an address belongs. ``atlassian`` has account ids and *Last seen*: three seats
        that nobody uses, and an account that came later.
    """
    if form not in ("hr", "atlassian"):
        raise InputError(f"There is no form {form!r} of a roster.", hint="Use hr or atlassian.", field="form")
    people = [world.person(row) for row in range(world.user_count)]
    people = [one for one in people if one.account_type != "app"]
    return (_hr if form == "hr" else _atlassian)(world, people, day)


def _address(one: Person) -> str:
    return one.email or f"{plain_ascii(one.display_name)}.{one.row}@example.com"


def _plain_people(world: World, people: list[Person]) -> list[Person]:
    """Return people with a seat, a shown address and a name of their own, from the end of the list on."""
    names = Counter(one.display_name for one in people)
    return [
        one
        for one in reversed(people)
        if _seated(world, one) and one.email and names[one.display_name] == 1 and one.display_name[:1].isalpha()
    ]


def _seated(world: World, one: Person) -> bool:
    return bool(world.licensed[one.row]) and not one.is_guest


def _hr(world: World, people: list[Person], day: date) -> PracticeRoster:
    chosen = _plain_people(world, people)
    left, unknown, (first, second) = chosen[0:2], chosen[2:4], chosen[4:6]
    found: set[tuple[str, str]] = set()
    rows: list[list[str]] = []
    for one in people:
        if one.account_status != "active":
            continue
        if one.is_guest or one in unknown:
            found.add(("account in no list" if one.email else "address hidden", one.account_id))
            continue
        number, name, status, ended = f"E{one.row:05}", one.display_name, "Active", ""
        if one in left:
            status, ended = "Terminated", (day - timedelta(days=20)).strftime("%d.%m.%Y")
            found.add(("leaver with a seat", one.account_id))
        elif one == second:
            number, name = f"E{first.row:05}", first.display_name
        if one in (first, second):
            found.add(("two accounts of one person", one.account_id))
        if not one.email:
            found |= {("address hidden", one.account_id), ("no account found", _address(one))}
        elif not _seated(world, one):
            found.add(("person without a seat", one.account_id))
        rows.append([number, name, _address(one), status, ended])
    for number, name in (("E90001", "Ottilie Neu"), ("E90002", "Bao Nguyễn")):
        address = f"{plain_ascii(name)}@example.com"
        rows.append([number, name, address, "Active", ""])
        found.add(("no account found", address))
    rows.append(["E90003", "Somebody", '=HYPERLINK("http://example.org")', "Active", ""])
    found.add(("line not usable", ""))
    heads = ["Employee ID", "Name", "Work email", "Employment status", "End date"]
    return PracticeRoster(_written(heads, rows, ";").encode("utf-8-sig"), frozenset(found), day)


def _atlassian(world: World, people: list[Person], day: date) -> PracticeRoster:
    chosen = _plain_people(world, people)
    unused, late = chosen[0:3], chosen[3]
    found = {("seat not used", one.account_id) for one in unused} | {("account in no list", late.account_id)}
    label = world.site_host.removesuffix(".atlassian.net")
    rows = []
    for one in people:
        if one == late or one.account_status == "closed":
            continue
        active = one.account_status == "active"
        seated = _seated(world, one)
        if active and not seated:
            found.add(("person without a seat", one.account_id))
        seen = _day(day - timedelta(days=one.row % 60)) if seated else "Never accessed"
        if one in unused:
            seen = "Never accessed" if one == unused[0] else _day(day - timedelta(days=200 + one.row))
        status = "Active" if active else "Deactivated"
        of_account = [one.account_id, one.display_name, _address(one), status, "15 Jan 2024", "User"]
        rows.append([*of_account, "User" if seated else "None", seen, _day(day)])
    heads = ["User id", "User name", "email", "User status", "Added to org", "Org role"]
    heads += [f"Confluence - {label}", f"Last seen in Confluence - {label}", "Last seen in Confluence - elsewhere"]
    return PracticeRoster(_written(heads, rows, ",").encode(), frozenset(found), day)


def _day(day: date) -> str:
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day.day:02} {months[day.month - 1]} {day.year}"


def _written(heads: list[str], rows: list[list[str]], delimiter: str) -> str:
    sink = io.StringIO()
    csv.writer(sink, delimiter=delimiter).writerows([heads, *rows])
    return sink.getvalue()
