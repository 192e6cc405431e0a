"""Lists of people from elsewhere: an HR roster, an identity provider's export, Atlassian's own *Export users*.

Which column says what is found by the names that those programs give; every column that decides something is told in a
note, and so is every word that was not understood. A line that names nobody is kept, with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from spokekit._ids import account_id, is_account_id
from spokekit._lists.bounds import LOOKED_AT, MAX_ROWS, Kind, too_many
from spokekit._lists.columns import (
    ACCOUNT,
    ACCOUNT_ID,
    FORMULA,
    MAIL,
    PERSON,
    bare_column,
    first_line,
    is_mail,
    key_among,
    key_of,
    no_column,
    tell_titles,
    unguarded,
)
from spokekit._lists.file import rows_of
from spokekit._words import comparable, counted
from spokekit.errors import InputError

HERE, LEFT = "here", "left"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Last seen of somebody who never was."""

_MORE_MAILS = ("alias", "aliases", "secondary_email", "personal_email", "other_mails", "proxyaddresses", "login_email")
_NAME = (*PERSON, "name", "employee_name", "person", "mitarbeiter", "nom", "nombre", "nome")
_FIRST = ("first_name", "firstname", "given_name", "givenname", "vorname", "prénom")
_LAST = ("last_name", "lastname", "surname", "family_name", "nachname", "nom_de_famille")
_NUMBER = (
    *("employee_id", "employee_number", "employeeid", "employeenumber", "personnel_number", "staff_id", "worker_id"),
    *("personalnummer", "matricule", "person_id", "person_number"),
)
_STATUS = (
    *("status", "user_status", "account_status", "employment_status", "employee_status", "state", "active"),
    *("is_active", "aktiv", "enabled", "account_enabled", "accountenabled", "beschäftigungsstatus", "statut", "estado"),
)
_NEGATED = ("inactive", "disabled", "suspended", "deleted", "terminated", "is_suspended", "is_deleted")
_END = (
    *("end_date", "termination_date", "leaving_date", "exit_date", "last_day", "last_working_day", "left_on"),
    *("austrittsdatum", "austritt", "date_de_départ", "date_de_fin", "fecha_de_baja", "contract_end_date"),
)
_SEEN = re.compile(r"last_seen_in_confluence(_.*)?|last_active(_date)?|last_seen")
_KNOWN = frozenset((*ACCOUNT_ID, *MAIL, *ACCOUNT, *_MORE_MAILS, *_NAME, *_FIRST, *_LAST, *_NUMBER, *_STATUS, *_END))
_WHO = frozenset((*ACCOUNT_ID, *MAIL, *ACCOUNT))

_SAID = {
    LEFT: "inactive deactivated disabled terminated left leaver former offboarded deprovisioned deleted suspended "
    "closed no false 0 resigned retired inaktiv deaktiviert ausgeschieden gekündigt nein inactif parti inactivo baja "
    "inattivo n f not_active separated",
    HERE: "active activated enabled current employed yes true 1 here present on_leave leave aktiv ja actif activo "
    "attivo y t staged pending provisioned invited password_expired locked_out recovery hired working leave_of_absence",
    "never": "never never_accessed never_logged_in never_active nie",
    "month": "jan feb mar apr may jun jul aug sep oct nov dec",
}
_LEFT, _HERE, _NEVER = (frozenset(_SAID[what].split()) for what in (LEFT, HERE, "never"))
_MONTHS = {month: number for number, month in enumerate(_SAID["month"].split(), start=1)}


def _known(cells: Sequence[str]) -> int:
    return sum(key_among(cell, _KNOWN) in _KNOWN for cell in cells)


PEOPLE = Kind(
    _known,
    "people",
    "the columns that name people, their address and their status",
    None,
    "Split the file and give all of its parts at once: they are compared as one.",
)
"""What a list of people is."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a list of people.

    ``status`` is `HERE`, `LEFT` or "" (the list does not say, or not in words that are known); ``says`` is how the
    list puts it. ``last_seen`` is None where the list does not say, and `NEVER`. ``problem`` says why the line names
    nobody.
    """

    source: str
    line: int
    name: str = ""
    ids: tuple[str, ...] = ()
    mails: tuple[str, ...] = ()
    number: str = ""
    status: str = ""
    says: str = ""
    last_seen: datetime | None = None
    problem: str = ""


@dataclass(frozen=True)
class Roster:
    """A list of people: its lines, a sentence for each liberty taken in reading, and the day that it is of."""

    source: str
    people: tuple[Listed, ...]
    as_of: datetime
    notes: tuple[str, ...] = ()
    seen_column: str = ""


@dataclass
class _Columns:
    ids: tuple[int, ...] = ()
    mails: tuple[int, ...] = ()
    accounts: tuple[int, ...] = ()
    names: tuple[int, ...] = ()
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    number: tuple[int, ...] = ()
    status: tuple[int, ...] = ()
    negated: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    seen: int | None = None
    names_of: tuple[str, ...] = ()
    used: set[int] = field(default_factory=set)


def read_roster(
    source: str | Path | bytes,
    *,
    name: str = "",
    as_of: datetime | None = None,
    site_url: str = "",
    account_column: str = "",
    status_column: str = "",
    seen_column: str = "",
) -> Roster:
    """Read a list of people: CSV with any separator and encoding, or an Excel workbook.

    Parameters
    ----------
    source:
        A path, or the content as bytes (an upload).
    name:
        How the list is called; by default the file's own name.
    as_of:
        The moment that the list is of. Without it, when the file was last changed, or now for bytes; the notes say so.
    site_url:
        Of several columns *Last seen in Confluence - SITE* the one of this site counts.
    account_column, status_column, seen_column:
        Columns whose names are not known here, as the header writes them: who (id or address), whether somebody is
        still there, and when they were last seen.

    Raises
    ------
    InputError
        The list as a whole cannot be used: missing, no text, no column that says who. A single bad line is no error.
    """
    called = name or ("The list" if isinstance(source, bytes) else Path(source).name)
    notes: list[str] = []
    rows = rows_of(source, called, PEOPLE, notes)
    filled = [(line, cells) for line, cells in rows if any(cell.strip() for cell in cells)]
    if not filled:
        raise InputError(f"{called} is empty.", field="file", hint="It needs a header line and a line per person.")
    told = (account_column, status_column, seen_column)
    header, columns = _find(filled, called, told, notes)
    body = filled[header + 1 :]
    if len(body) > MAX_ROWS:
        raise too_many(called, body[-1][0], "file", PEOPLE)
    if not body:
        raise InputError(f"{called} has a header and no line below it.", field="file", hint="Add the people.")
    moment = _moment(source, as_of, called, notes)
    _choose_seen(columns, site_url, seen_column, notes, called)
    people = _read_lines(body, columns, called, moment, notes)
    return Roster(called, people, moment, tuple(notes), "" if columns.seen is None else columns.names_of[columns.seen])


def _moment(source: str | Path | bytes, as_of: datetime | None, called: str, notes: list[str]) -> datetime:
    if as_of is not None:
        return as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)
    if isinstance(source, bytes):
        return datetime.now(UTC)
    changed = datetime.fromtimestamp(Path(source).stat().st_mtime, UTC)
    notes.append(f"{called} is taken to be of {changed:%Y-%m-%d}, when the file was last changed.")
    return changed


# -- columns -----------------------------------------------------------------------------------------------------------


def _find(
    rows: Sequence[tuple[int, Sequence[str]]], called: str, told: tuple[str, str, str], notes: list[str]
) -> tuple[int, _Columns]:
    keys = [key_of(one) for one in told]
    for number, (_, cells) in enumerate(rows[:LOOKED_AT]):
        plain = [key_of(cell) for cell in cells]
        if keys[0] and keys[0] not in plain:
            continue
        if keys[0] or any(key_among(cell, _KNOWN) in _WHO for cell in cells):
            for one, key in zip(told, keys, strict=True):
                if key and key not in plain:
                    raise no_column(called, one, rows[number:])
            tell_titles(rows, number, notes)
            columns = _of_header(cells, keys)
            _tell(columns, notes)
            return number, columns
    for one, key in zip(told, keys, strict=True):
        if key:
            raise no_column(called, one, rows)
    if (bare := bare_column(rows, notes)) is not None:
        at, header, names = bare
        return header, _Columns(accounts=(at,), names_of=names, used={at})
    raise InputError(
        f"{called} has no column that says who somebody is; {first_line(rows)}.",
        field="columns",
        hint="Call one of them email or account_id in the first line.",
    )


def _of_header(cells: Sequence[str], told: Sequence[str]) -> _Columns:
    plain = [key_of(cell) for cell in cells]
    keys = ["" if key in told else key_among(cell, _KNOWN) for cell, key in zip(cells, plain, strict=True)]

    def places(names: Sequence[str], instead: str = "") -> tuple[int, ...]:
        if instead:
            return (plain.index(instead),)
        return tuple(i for i, key in enumerate(keys) if key in names)

    account, status, seen = told
    roles = {
        "ids": () if account else places(ACCOUNT_ID),
        "mails": () if account else places((*MAIL, *_MORE_MAILS)),
        "accounts": places(ACCOUNT, account),
        "names": places(_NAME),
        "first": places(_FIRST),
        "last": places(_LAST),
        "number": places(_NUMBER),
        "status": places(_STATUS, status)[:1],
        "negated": () if status else places(_NEGATED),
        "end": places(_END),
    }
    return _Columns(
        **roles,
        seen=plain.index(seen) if seen else None,
        names_of=tuple(cell.strip() for cell in cells),
        used={at for part in roles.values() for at in part},
    )


def _tell(columns: _Columns, notes: list[str]) -> None:
    deciding = [*columns.status, *columns.negated, *columns.end]
    named = ", ".join(f"“{columns.names_of[at][:60]}”" for at in deciding)
    notes.append(
        f"Whether somebody is still there says {named}."
        if named
        else "The list does not say whether somebody has left: everybody on it counts as still there."
    )


def _choose_seen(columns: _Columns, site_url: str, told: str, notes: list[str], called: str) -> None:
    """Find the column of last seen; of several sites that of this one."""
    if not told:
        found = [
            i for i, name in enumerate(columns.names_of) if i not in columns.used and _SEEN.fullmatch(key_of(name))
        ]
        of_confluence = [i for i in found if "confluence" in key_of(columns.names_of[i])]
        host = re.sub(r"^https?://", "", site_url).partition("/")[0].removesuffix(".atlassian.net")
        for_site = [
            i for i in of_confluence if key_of(columns.names_of[i]) == f"last_seen_in_confluence_{key_of(host)}"
        ]
        plain = [i for i in of_confluence if key_of(columns.names_of[i]) == "last_seen_in_confluence"]
        others = [i for i in of_confluence if i not in plain]
        if for_site or plain:
            columns.seen = (for_site or plain)[0]
        elif others and host:
            names = ", ".join(f"“{columns.names_of[i][:60]}”" for i in others[:6])
            notes.append(f"{called} says when people were seen on another site only ({names}); that is not used.")
        elif len(others) == 1:
            columns.seen = others[0]
        elif not others and found:
            columns.seen = found[0]
    if columns.seen is not None:
        notes.append(f"Last seen is taken from “{columns.names_of[columns.seen][:60]}”.")


# -- lines -------------------------------------------------------------------------------------------------------------


def _read_lines(
    body: Sequence[tuple[int, Sequence[str]]], columns: _Columns, called: str, as_of: datetime, notes: list[str]
) -> tuple[Listed, ...]:
    strange: Counter[str] = Counter()
    undated: Counter[str] = Counter()
    dated = {at: _day_first(body, at) for at in (*columns.end, *([] if columns.seen is None else [columns.seen]))}
    people: list[Listed] = []
    for line, cells in body:

        def said(places: Sequence[int], cells: Sequence[str] = cells) -> list[str]:
            return [one for at in places if at < len(cells) and (one := unguarded(cells[at]))]

        ids, mails, problem = _who(said(columns.ids), said(columns.mails), said(columns.accounts))
        if len(cells) > len(columns.names_of) and any(one.strip() for one in cells[len(columns.names_of) :]):
            problem = f"has {len(cells)} cells, the header {len(columns.names_of)}"
        status, says = _status(said(columns.status), columns, cells, strange)
        for at in columns.end:
            text = next(iter(said([at])), "")
            ended = _date(text, dated[at])
            if text and ended is None:
                undated[text[:40]] += 1
            elif ended is not None and ended < as_of.date():
                status, says = LEFT, f"{columns.names_of[at][:60]} {ended}"
        seen = None
        if columns.seen is not None and (text := next(iter(said([columns.seen])), "")):
            if key_of(text) in _NEVER:
                seen = NEVER
            elif (day := _date(text, dated[columns.seen])) is not None:
                seen = datetime(day.year, day.month, day.day, tzinfo=UTC)
            else:
                undated[text[:40]] += 1
        name = next(iter(said(columns.names)), "") or " ".join((*said(columns.first), *said(columns.last)))
        number = next(iter(said(columns.number)), "")
        people.append(Listed(called, line, name[:400], ids, mails, number, status, says, seen, problem))
    if strange:
        notes.append(f"Not understood as a status, so these count as still there: {_listing(strange)}.")
    if undated:
        notes.append(f"Not understood as a day, so it counts as not said: {_listing(undated)}.")
    return tuple(people)


def _listing(found: Counter[str]) -> str:
    some = [f"“{word}” ({counted(count, 'line')})" for word, count in found.most_common(6)]
    return ", ".join(some) + (f" and {len(found) - 6:,} more" if len(found) > 6 else "")


def _who(
    ids: Sequence[str], mails: Sequence[str], accounts: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Return account ids and addresses of a line, and why it names nobody."""
    keys: dict[str, None] = {}
    addresses: dict[str, None] = {}
    formula = False
    for one in (*ids, *accounts):
        account = account_id(one)
        if is_account_id(account) or (one in ids and "@" not in one and not one.startswith(FORMULA)):
            keys[account[:400]] = None
    for one in (*mails, *accounts, *(i for i in ids if "@" in i)):
        if is_account_id(account_id(one)):
            continue
        # Entra's proxyAddresses: SMTP:ada@example.com;smtp:ada.b@example.com
        for part in re.split(r"[\s;,|]+", one):
            address = account_id(re.sub(r"^smtp:", "", part, flags=re.IGNORECASE))
            if address.startswith(FORMULA):
                formula = True
            elif is_mail(address) and "#ext#" not in address.lower():
                addresses[comparable(address)] = None
    if keys or addresses:
        return tuple(keys), tuple(addresses), ""
    if formula:
        return (), (), "has a formula where an account belongs; it was not run"
    return (), (), "names no account: neither an account id nor an address"


def _status(words: Sequence[str], columns: _Columns, cells: Sequence[str], strange: Counter[str]) -> tuple[str, str]:
    for at in columns.negated:
        if at < len(cells) and key_of(cells[at]) in ("true", "yes", "1", "y", "ja"):
            return LEFT, f"{columns.names_of[at][:60]} {cells[at].strip()[:40]}"
    if not words:
        return "", ""
    word = key_of(words[0])
    if word in _LEFT:
        return LEFT, words[0][:80]
    if word not in _HERE:
        strange[words[0][:40]] += 1
        return "", words[0][:80]
    return HERE, words[0][:80]


def _day_first(body: Sequence[tuple[int, Sequence[str]]], at: int) -> bool | None:
    """Tell from a whole column whether days like 03/04/2026 begin with the day; None when nothing shows it."""
    found: set[bool] = set()
    for _, cells in body:
        parts = re.match(r"(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}", cells[at].strip()) if at < len(cells) else None
        if parts and int(parts[1]) > 12:
            found.add(True)
        elif parts and int(parts[2]) > 12:
            found.add(False)
    return found.pop() if len(found) == 1 else None


def _date(text: str, day_first: bool | None) -> date | None:
    text = text.strip()
    try:
        if parts := re.match(r"(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)", text):
            return date(int(parts[1]), int(parts[2]), int(parts[3]))
        if parts := re.match(r"(\d{1,2})[ -]([A-Za-z]{3})[a-z]*[ ,-]+(\d{4})", text):
            return date(int(parts[3]), _MONTHS[parts[2].lower()], int(parts[1]))
        if parts := re.match(r"([A-Za-z]{3})[a-z]* (\d{1,2}),? (\d{4})", text):
            return date(int(parts[3]), _MONTHS[parts[1].lower()], int(parts[2]))
        if parts := re.match(r"(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4})", text):
            first, second = int(parts[1]), int(parts[3])
            # Nobody writes the month first with full stops.
            if parts[2] == "." or day_first or first == second:
                return date(int(parts[4]), second, first)
            if day_first is False:
                return date(int(parts[4]), first, second)
    except (ValueError, KeyError):
        return None
    return None


__all__ = ["HERE", "LEFT", "NEVER", "PEOPLE", "Listed", "Roster", "read_roster"]
