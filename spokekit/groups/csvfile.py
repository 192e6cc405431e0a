"""Read who should go where from a CSV, a frame or a pasted list; write CSV that no spreadsheet runs.

Files come from many hands: Excel in a German office writes semicolons and Windows-1252, another tool a byte-order
mark, a third a formula. What can be read without guessing is read, and every liberty taken is said in a note; a
line that cannot be used is kept with the reason, so that it shows up in the plan instead of vanishing.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._csv import guard_formula
from spokekit._home import write_private
from spokekit.connections.store import storable
from spokekit.errors import InputError, StoreError

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 100_000
MAX_BYTES = 64_000_000

_GROUP_COLUMNS = ("group_id", "groupid", "group", "group_name", "groupname")
_ACCOUNT_COLUMNS = ("account_id", "accountid", "account", "email", "e_mail", "email_address", "user", "user_id")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_DELIMITERS = (",", ";", "\t", "|")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_HEADER = 10_000
_LONGEST = 320
# What web pages leave at the ends of what is copied from them, and is no part of an id or a name.
_BLANK = " \u00a0\u200b\u2060\ufeff"
_UNKEPT = frozenset(("Cc", "Cs"))
_UNSEEN = _UNKEPT | {"Cf"}
_MAIL = re.compile(r"[^\s<>,;|\"']+@[^\s<>,;|\"']+")


@dataclass(frozen=True, slots=True)
class Wish:
    """One line of a list: put this account into that group, or take it out.

    ``group`` is a group's id or name, ``account`` an account id or an e-mail address, both as written. ``line``
    counts from 1 as an editor does, 0 when there is none. ``action`` is the line's own word, if it has one.
    ``problem`` says why the line cannot be used; empty when it can.
    """

    group: str
    account: str
    line: int = 0
    action: str = ""
    problem: str = ""


@dataclass(frozen=True)
class WishList:
    """What was read: the wishes in their order, and a sentence for each liberty that was taken in reading."""

    wishes: tuple[Wish, ...]
    notes: tuple[str, ...] = ()
    source: str = ""


def read_csv(source: str | Path | bytes, *, group: str = "", name: str = "") -> WishList:
    """Read a CSV file, or the bytes of one.

    Parameters
    ----------
    source:
        A path, or the content as bytes (an upload).
    group:
        The group for a file without a group column.
    name:
        How messages call the file; by default its own name.

    Raises
    ------
    InputError
        When the file as a whole cannot be used: missing, not text, no header with the columns needed, an unclosed
        quote, more than `MAX_ROWS` lines. A single bad line is no error: it becomes a `Wish` with a problem.
    """
    if isinstance(source, bytes):
        data, called = source, name or "The file"
    else:
        path = Path(source)
        called = name or path.name
        data = _content(path, called)
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{called} has more than {MAX_BYTES / 1e6:,.0f} MB.",
            field="file",
            likely="Probably it holds more than a list of groups and accounts.",
            hint="Keep the columns group_id and account_id alone, or split the file.",
        )
    notes: list[str] = []
    text = _decode(data, called, notes)
    delimiter, text, skipped = _delimiter(text, notes)
    rows = _parse(text, delimiter, skipped, called)
    return _wishes(rows, called, group, notes)


def from_frame(frame: pd.DataFrame, *, group: str = "", name: str = "The frame") -> WishList:
    """Take the wishes from a frame with the columns that a CSV has; missing values count as empty."""
    header = [str(column) for column in frame.columns]
    body = frame.astype(object).where(frame.notna(), "").itertuples(index=False, name=None)
    rows = [(0, header), *((number, [str(cell) for cell in row]) for number, row in enumerate(body, start=1))]
    return _wishes(rows, name, group, [], unit="Row")


def from_pasted(text: str, group: str) -> WishList:
    """Take accounts from a pasted list: ids or e-mails, by line, comma, semicolon, tab or space.

    ``Ada Lovelace <ada@example.com>`` counts as the address in it.
    """
    wishes: list[Wish] = []
    for number, line in enumerate(text.replace("\ufeff", "").splitlines(), start=1):
        mails = _MAIL.findall(line)
        words = mails if mails and "<" in line else re.split(r"[\s,;|]+", line)
        for word in words:
            account = word.strip(f"{_BLANK}\"'<>")
            if account and account.casefold() not in _ACCOUNT_COLUMNS:
                wishes.append(_wish(group, account, number, ""))
    if not wishes:
        raise InputError(
            "The pasted list names nobody.", field="paste", hint="Paste account ids or e-mail addresses, one a line."
        )
    if len(wishes) > MAX_ROWS:
        raise _too_many("The pasted list", len(wishes), "paste")
    return WishList(tuple(wishes), (), "a pasted list")


def wishes_from(source: Any, group: str = "") -> WishList:
    """Read a list in any form that `Membership.plan` takes; raises `InputError` when it cannot be used as a whole."""
    if isinstance(source, WishList):
        return source
    if isinstance(source, str | Path | bytes):
        return read_csv(source, group=group)
    if hasattr(source, "columns"):
        return from_frame(source, group=group)
    accounts = list(source)
    if not group:
        raise InputError("These accounts need a group.", field="group", hint="Give group= with its id or name.")
    if not accounts:
        raise InputError("The list names nobody.", field="accounts", hint="Give account ids or addresses.")
    return for_accounts(group, accounts)


def for_accounts(group: str, accounts: Iterable[str]) -> WishList:
    """Make a list from accounts chosen by hand, for one group; raises `InputError` when one of them is no text."""
    chosen = list(accounts)
    strange = next((account for account in chosen if not isinstance(account, str)), None)
    if any(not isinstance(account, str) for account in chosen):
        raise InputError(
            f"{strange!r} is neither an account id nor an address.", field="accounts", hint="Give each of them as text."
        )
    wishes = tuple(_wish(group, account, number, "", "Entry") for number, account in enumerate(chosen, start=1))
    return WishList(wishes, (), "a selection")


def to_csv(frame: pd.DataFrame, path: str | Path | None = None) -> str:
    """Write `frame` as CSV with guarded cells; returns the text, and writes it to `path` if given (UTF-8)."""
    text_file = io.StringIO()
    writer = csv.writer(text_file, lineterminator="\n")
    writer.writerow([str(column) for column in frame.columns])
    cells = frame.astype(object).where(frame.notna(), "")
    for row in cells.itertuples(index=False, name=None):
        writer.writerow([guard_formula(_cell(value)) for value in row])
    text = text_file.getvalue()
    if path is not None:
        write_text(path, text)
    return text


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` for its owner only, since it names people, or say why that did not work."""
    try:
        write_private(Path(path).absolute(), text.encode())
    except StoreError as error:
        raise InputError(error.message, field="file", hint="Choose another folder or name.") from None


def _cell(value: Any) -> Any:
    return value.isoformat(timespec="seconds") if hasattr(value, "isoformat") else value


def _content(path: Path, called: str) -> bytes:
    try:
        with path.open("rb") as file:
            # One more than is allowed: what is longer, or never ends, is not read to its end to find that out.
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.", field="file", hint="Check the name and the folder.") from None
    except OSError as error:
        raise InputError(f"{called} cannot be read: {error.strerror or error}.", field="file") from None


def _decode(data: bytes, called: str, notes: list[str]) -> str:
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(
            f"{called} is an Excel workbook, not a CSV.",
            field="file",
            hint='In Excel choose "Save as", "CSV UTF-8", and take that file.',
        )
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                data = data.removeprefix(_BOMS[0][0])
                break
            if "\0" not in text:
                return text
    if b"\0" in data:
        raise InputError(f"{called} is not a text file.", field="file", hint="A CSV is needed.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise InputError(
            f"{called} is neither UTF-8 nor Windows-1252.", field="file", hint='Save it as "CSV UTF-8".'
        ) from None
    notes.append(f"{called} is not UTF-8 and was read as Windows-1252; check names with accents.")
    return text


def _delimiter(text: str, notes: list[str]) -> tuple[str, str, int]:
    """Choose the separator that makes the header known; returns it, the text to parse, and the lines cut off."""
    skipped = 0
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=(.)\r?", first, re.IGNORECASE)
    if told:
        return told.group(1), rest, 1
    lines = text.splitlines()
    header = next((line for line in lines if line.strip(' \t\r,;|"')), "")
    best, most = ",", (-1, -1)
    for delimiter in _DELIMITERS:
        cells = [_column(cell) for cell in next(csv.reader([header[:_HEADER]], delimiter=delimiter), [])]
        known = sum(cell in _GROUP_COLUMNS or cell in _ACCOUNT_COLUMNS for cell in cells)
        if (known, len(cells)) > most and (len(cells) > 1 or known):
            best, most = delimiter, (known, len(cells))
    if best != ",":
        word = {";": "semicolons", "\t": "tabs", "|": "bars"}[best]
        notes.append(f"The cells are separated by {word}.")
    return best, text, skipped


def _parse(text: str, delimiter: str, skipped: int, called: str) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = 0
    try:
        for cells in reader:
            line, before = before + 1 + skipped, reader.line_num
            rows.append((line, cells))
            if len(rows) > MAX_ROWS * 2 + 1:
                break
    except csv.Error as error:
        raise InputError(
            f"{called} breaks off in the record that starts at line {before + 1 + skipped}: {error}.",
            field="file",
            likely="Probably a quotation mark is opened there and never closed.",
            hint='Close it, or double a quotation mark that belongs to a name ("").',
        ) from None
    return rows


def _wishes(
    rows: Sequence[tuple[int, list[str]]], called: str, group: str, notes: list[str], *, unit: str = "Line"
) -> WishList:
    filled = [(line, cells) for line, cells in rows if any(cell.strip() for cell in cells)]
    if not filled:
        raise InputError(f"{called} is empty.", field="file", hint="It needs a header line and a line per membership.")
    header, body = filled[0][1], filled[1:]
    names = [_column(cell) for cell in header]
    groups = [names.index(name) for name in _GROUP_COLUMNS if name in names]
    accounts = [names.index(name) for name in _ACCOUNT_COLUMNS if name in names]
    missing = [word for word, found in (("group_id", groups or group), ("account_id", accounts)) if not found]
    if missing:
        raise InputError(
            f"{called} has no column {' and no column '.join(missing)}; "
            f"its first line says: {', '.join(cell.strip()[:40] for cell in header[:12]) or 'nothing'}.",
            field="file",
            hint="The first line needs group_id (or group) and account_id (or email), separated by commas. A list for "
            "one group can do without the first: name the group beside it (--group, group=).",
        )
    doubled = {
        name for name in names if name and names.count(name) > 1 and name in (*_GROUP_COLUMNS, *_ACCOUNT_COLUMNS)
    }
    if doubled:
        raise InputError(
            f"{called} has the column {', '.join(sorted(doubled))} twice.", field="file", hint="Remove one of them."
        )
    if len(body) > MAX_ROWS:
        raise _too_many(called, len(body), "file")
    if not body:
        raise InputError(f"{called} has a header and no line below it.", field="file", hint="Add the memberships.")
    empty = len(rows) - len(filled)
    if empty:
        notes.append(f"{empty:,} empty line{'s were' if empty > 1 else ' was'} skipped.")
    action = names.index("action") if "action" in names else None
    wishes = tuple(_line(line, cells, len(names), groups, accounts, action, group, unit) for line, cells in body)
    return WishList(wishes, tuple(notes), called)


def _line(
    line: int,
    cells: Sequence[str],
    width: int,
    groups: Sequence[int],
    accounts: Sequence[int],
    action: int | None,
    group: str,
    unit: str,
) -> Wish:
    def first(columns: Sequence[int]) -> str:
        for column in columns:
            if column < len(cells) and (text := _unguard(cells[column])):
                return text
        return ""

    wanted, account = (first(groups) if groups else "") or group, first(accounts)
    said = cells[action].strip().casefold() if action is not None and action < len(cells) else ""
    problem = ""
    if len(cells) > width and any(cell.strip() for cell in cells[width:]):
        problem = (
            f"{unit} {line} has {len(cells)} cells, the header {width}: probably a separator stands in a name "
            "without quotation marks."
        )
    elif not wanted:
        problem = f"{unit} {line} names no group."
    return _wish(wanted, account, line, said, unit, problem)


def _wish(group: str, account: str, line: int, action: str, unit: str = "Line", problem: str = "") -> Wish:
    """Make the wish of a line; one that can never be fulfilled gets its problem, cut to what can be shown and kept."""
    if problem:
        pass
    elif not account:
        problem = f"{unit} {line} names no account."
    elif account.startswith(_FORMULA):
        problem = f"{unit} {line} has a formula where an account belongs; it was not run."
    elif len(account) > _LONGEST or _odd(account, _UNSEEN):
        problem = f"{unit} {line} has an account that cannot be one: too long, or with characters that nobody sees."
    elif len(group) > _LONGEST or _odd(group, _UNKEPT):
        problem = f"{unit} {line} has a group that cannot be one: too long, or with control characters."
    if problem:
        group, account = storable(group[:_LONGEST]), storable(account[:_LONGEST])
    return Wish(group, account, line, action, problem)


def _odd(text: str, kinds: frozenset[str]) -> bool:
    # Nearly every text is printable, and that is told a hundred times as fast as each sign's kind.
    return not text.isprintable() and any(unicodedata.category(sign) in kinds for sign in text)


def _unguard(cell: str) -> str:
    text = cell.strip(_BLANK)
    # Our own CSV puts an apostrophe before such names; reading it back must give the name.
    if text.startswith("'") and text[1:].lstrip(_BLANK).startswith(_FORMULA):
        return text[1:]
    return text


def _column(cell: str) -> str:
    return re.sub(r"[\s_-]+", "_", cell.strip(f"{_BLANK}\t\r\"'").casefold())


def _too_many(called: str, rows: int, field: str) -> InputError:
    return InputError(
        f"{called} has more than {MAX_ROWS:,} lines ({rows:,}).",
        field=field,
        likely="One app may spend 65,000 points an hour, and each change costs one.",
        hint="Split the file and apply the parts one after the other.",
    )
