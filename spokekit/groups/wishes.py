"""Read who should go where from a CSV, a frame or a pasted list; write CSV that no spreadsheet runs.

Files come from many hands: Excel in a German office writes semicolons and Windows-1252, another tool a byte-order
mark, a third a formula. What can be read without guessing is read, and every liberty taken is said in a note; a
line that cannot be used is kept with the reason, so that it shows up in the plan instead of vanishing. An id is the
key of a line; an address, a name of a group or of a person beside it is a check, which the plan makes against the site.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._foreign import encodable
from spokekit._frames import guard_formula, write_rows
from spokekit._home import write_private
from spokekit._ids import account_id, group_id, is_account_id, is_group_id
from spokekit._lists.bounds import MAX_ROWS, too_many
from spokekit._lists.columns import ACCOUNT, ACCOUNT_ID, BLANK, FORMULA, MAIL, unguarded
from spokekit._lists.file import DELIMITERS, rows_of
from spokekit._words import comparable, look_alike, plain, sign
from spokekit.connections.store import storable
from spokekit.errors import InputError, StoreError
from spokekit.groups.columns import MEMBERSHIPS, Columns, column_key, find, known

if TYPE_CHECKING:
    import pandas as pd

_LONGEST = 320
_UNKEPT = frozenset(("Cc", "Cs"))
_UNSEEN = _UNKEPT | {"Cf"}
_MAIL = re.compile(r"[^\s<>,;|\"']+@[^\s<>,;|\"']+")


@dataclass(frozen=True, slots=True)
class Wish:
    """One line of a list: put this account into that group, or take it out.

    ``group`` is a group's id or name, ``account`` an account id or an e-mail address. ``line`` counts from 1 as an
    editor does, 0 when there is none. ``action`` is what the line itself says: add, remove, keep, or nothing.
    ``problem`` says why the line cannot be used; empty when it can. ``group_name`` and ``person`` stand beside an id in
    the same line, and ``mails`` beside an id or another address of the same person; they are checks.
    """

    group: str
    account: str
    line: int = 0
    action: str = ""
    problem: str = ""
    group_name: str = ""
    mails: tuple[str, ...] = ()
    person: str = ""


@dataclass(frozen=True)
class WishList:
    """What was read: the wishes in their order, and a sentence for each liberty that was taken in reading.

    ``unused`` are the different cells of each column that was not used: where they name groups, the list is refused.
    """

    wishes: tuple[Wish, ...]
    notes: tuple[str, ...] = ()
    source: str = ""
    unused: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_csv(
    source: str | Path | bytes, *, group: str = "", name: str = "", account_column: str = "", group_column: str = ""
) -> WishList:
    """Read a CSV file or an Excel workbook, or the bytes of one.

    Parameters
    ----------
    source:
        A path, or the content as bytes (an upload).
    group:
        The group for a file without a group column.
    name:
        How messages call the file; by default its own name.
    account_column, group_column:
        The columns of a file whose names are not known here, as its header writes them.

    Raises
    ------
    InputError
        When the file as a whole cannot be used: missing, not text, no header with the columns needed, an unclosed
        quote, more than `MAX_ROWS` lines. A single bad line is no error: it becomes a `Wish` with a problem.
    """
    called = name or ("The file" if isinstance(source, bytes) else Path(source).name)
    notes: list[str] = []
    rows = rows_of(source, called, MEMBERSHIPS, notes)
    return _wishes(rows, called, group, notes, account_column=account_column, group_column=group_column)


def from_frame(frame: pd.DataFrame, *, group: str = "", name: str = "The frame") -> WishList:
    """Take the wishes from a frame with the columns that a CSV has; missing values count as empty."""
    header = [str(column) for column in frame.columns]
    body = frame.astype(object).where(frame.notna(), "").itertuples(index=False, name=None)
    rows = [(0, header), *((number, [str(cell) for cell in row]) for number, row in enumerate(body, start=1))]
    return _wishes(rows, name, group, [], unit="Row", titles=False)


def from_pasted(text: str, group: str) -> WishList:
    """Take accounts from a pasted list: ids or e-mails, by line, comma, semicolon, tab or space.

    ``Ada Lovelace <ada@example.com>`` counts as the address in it. A table with a header is read as a file is.
    """
    text = text.replace("\ufeff", "")
    if is_table(text):
        return read_csv(text.encode(errors="replace"), group=group, name="The pasted list")
    wishes: list[Wish] = []
    for number, line in enumerate(text.splitlines(), start=1):
        mails = _MAIL.findall(line)
        words = mails if mails and "<" in line else re.split(r"[\s,;|]+", line)
        for word in words:
            account = word.strip(f"{BLANK}\"'<>")
            if account and column_key(account) not in (*ACCOUNT_ID, *MAIL, *ACCOUNT):
                wishes.append(_wish(group, account, number, ""))
    if not wishes:
        raise InputError(
            "The pasted list names nobody.", field="paste", hint="Paste account ids or e-mail addresses, one a line."
        )
    if len(wishes) > MAX_ROWS:
        raise too_many("The pasted list", len(wishes), "paste", MEMBERSHIPS)
    return WishList(tuple(wishes), (), "a pasted list")


def is_table(text: str) -> bool:
    """Say whether a pasted text is cells out of a spreadsheet, with their header."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return not _MAIL.search(first) and any(known(cells := first.split(one)) and len(cells) > 1 for one in DELIMITERS)


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
    for one in chosen:
        if not isinstance(one, str):
            what = f"{one!r} is neither an account id nor an address."
            raise InputError(what, field="accounts", hint="Give each of them as text.")
    wishes = tuple(_wish(group, account, number, "", "Entry") for number, account in enumerate(chosen, start=1))
    return WishList(wishes, (), "a selection")


def to_csv(frame: pd.DataFrame, path: str | Path | None = None) -> str:
    """Write `frame` as CSV with guarded cells; returns the text, and writes it to `path` if given (UTF-8)."""
    text_file = io.StringIO()
    cells = frame.astype(object).where(frame.notna(), "")
    rows = ([guard_formula(_cell(value)) for value in row] for row in cells.itertuples(index=False, name=None))
    write_rows(text_file, chain([[str(column) for column in frame.columns]], rows))
    text = encodable(text_file.getvalue())
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


_SAID = {
    "add": "add added adding create created grant granted invite insert join + hinzufugen hinzugefugt aufnehmen "
    "ajouter ajoute anadir agregar aggiungere adicionar incluir toevoegen",
    "remove": "remove removed removing delete deleted revoke revoked drop leave - entfernen entfernt loschen "
    "geloscht supprimer retirer supprime eliminar quitar rimuovere remover excluir verwijderen",
    "keep": "keep kept noop no_op none nothing unchanged stay leave_alone already_so behalten bleibt garder "
    "conserver mantener mantenere manter behouden",
}
ACTIONS = {word: action for action, words in _SAID.items() for word in words.split()}
"""Words that a column of actions may hold, without accents, and what they mean."""


def _action(cell: str) -> str | None:
    """Return add, remove, keep, or nothing for an empty cell; None for a word that is not known."""
    plain = "".join(c for c in unicodedata.normalize("NFD", cell.casefold()) if not unicodedata.combining(c)).strip()
    if not plain or plain in "+-":
        return ACTIONS.get(plain, "")
    return ACTIONS.get(re.sub(r"[^a-z]+", "_", plain.replace("ß", "ss")).strip("_"))


def _wishes(
    rows: Sequence[tuple[int, list[str]]],
    called: str,
    group: str,
    notes: list[str],
    *,
    unit: str = "Line",
    titles: bool = True,
    account_column: str = "",
    group_column: str = "",
) -> WishList:
    filled = [(line, cells) for line, cells in rows if any(cell.strip() for cell in cells)]
    if not filled:
        raise InputError(f"{called} is empty.", field="file", hint="It needs a header line and a line per membership.")
    columns = find(
        filled, called, group, notes, account_column=account_column, group_column=group_column, titles=titles
    )
    body = filled[columns.header + 1 :]
    if len(body) > MAX_ROWS:
        raise too_many(called, body[-1][0], "file", MEMBERSHIPS)
    if not body:
        raise InputError(f"{called} has a header and no line below it.", field="file", hint="Add the memberships.")
    empty = len(rows) - len(filled)
    if empty:
        notes.append(f"{empty:,} empty line{'s were' if empty > 1 else ' was'} skipped.")
    wishes = tuple(_line(line, cells, columns, group, unit) for line, cells in body)
    unused = {
        f"{columns.names[at]}": frozenset(cells[at].strip() for _, cells in body if at < len(cells)) - {""}
        for at in columns.unused
    }
    _refuse_unused_actions(unused)
    return WishList(wishes, tuple(notes), called, unused)


def _line(line: int, cells: Sequence[str], columns: Columns, group: str, unit: str) -> Wish:
    def cell(at: int | None) -> str:
        return unguarded(cells[at]) if at is not None and at < len(cells) else ""

    problem = ""
    width = len(columns.names)
    if len(cells) > width and any(one.strip() for one in cells[width:]):
        problem = (
            f"{unit} {line} has {len(cells)} cells, the header {width}: probably a separator stands in a name "
            "without quotation marks."
        )
    action = _action(cell(columns.action))
    if action is None:
        problem = problem or (
            f"{unit} {line} says “{cell(columns.action)[:40]}” where an action belongs; add, remove and keep are known."
        )
    where, group_name, two_groups = _group([cell(at) for at in columns.where], len(columns.group_ids))
    account, mails, two_people = _account(
        [cell(at) for at in columns.account_ids],
        [cell(at) for at in columns.mails],
        [cell(at) for at in columns.accounts],
    )
    where = where or group
    problem = (
        problem
        or ("" if where else f"{unit} {line} names no group.")
        or (f"{unit} {line} names {two}: which one is meant?" if (two := two_groups or two_people) else "")
    )
    wish = _wish(where, account, line, action or "", unit, problem)
    person = next((one for at in columns.people if (one := cell(at))), "")
    return replace(wish, group_name=group_name, mails=mails, person=person)


def _group(cells: list[str], ids: int) -> tuple[str, str, str]:
    """Return the group, a name beside its id, and what two groups are named; the first `ids` cells are of ids."""
    if len(cells) == 1:
        return cells[0], "", ""
    keys: dict[str, str] = {}
    names: dict[str, str] = {}
    for number, one in enumerate(cells):
        if one:
            keyed = number < ids or is_group_id(group_id(one))
            (keys if keyed else names).setdefault(comparable(group_id(one)), one)
    for found, what in ((list(keys.values()), "group ids"), (list(names.values()), "groups")):
        if len(found) > 1:
            return found[0], "", f"two {what}, {found[0][:60]} and {found[1][:60]}"
    by_id, by_name = next(iter(keys.values()), ""), next(iter(names.values()), "")
    return by_id or by_name, by_name if by_id else "", ""


def _account(ids: list[str], mails: list[str], either: list[str]) -> tuple[str, tuple[str, ...], str]:
    """Return the account, the addresses beside it, and what two accounts are named.

    An id is the key wherever it stands. A word that is neither an id nor an address (a name for signing in, a word for
    a hidden address) counts only where nothing better is there.
    """
    if len(said := [one for one in (*ids, *mails, *either) if one]) < 2:
        return (said[0] if said else ""), (), ""
    keys: dict[str, str] = {}
    addresses: dict[str, str] = {}
    words: list[str] = []
    for one, sure in (*((i, True) for i in ids), *((m, False) for m in (*mails, *either))):
        account = account_id(one)
        if "@" in account:
            addresses.setdefault(comparable(account), one)
        elif one and (sure or is_account_id(account)):
            keys.setdefault(account, one)
        elif one:
            words.append(one)
    if len(keys) > 1:
        first, second = list(keys)[:2]
        return first, (), f"two accounts, {first[:60]} and {second[:60]}"
    # A guest's name for signing in is made from the address, and is none itself.
    shown = {one: written for one, written in addresses.items() if "#ext#" not in one} or addresses
    if len({one.partition("@")[0] for one in shown}) > 1:
        first, second = list(shown.values())[:2]
        return first, (), f"two addresses, {first[:60]} and {second[:60]}"
    written = [*keys.values(), *shown.values(), *words]
    others = tuple(account_id(one) for one in shown.values())
    return (written[0] if written else ""), (others if keys else others[1:]), ""


def _wish(group: str, account: str, line: int, action: str, unit: str = "Line", problem: str = "") -> Wish:
    """Make the wish of a line; one that can never be fulfilled gets its problem, cut to what can be shown and kept."""
    written, account = account, account_id(account)
    group = group_id(group)
    if problem:
        pass
    elif not account:
        problem = f"{unit} {line} names no account."
    elif written.startswith(FORMULA) and not is_account_id(account):
        problem = f"{unit} {line} has a formula where an account belongs; it was not run."
    elif len(account) > _LONGEST or _odd(account, _UNSEEN):
        problem = f"{unit} {line} has an account that cannot be one: too long, or with characters that nobody sees"
        problem += f"{_unseen(account)}."
    elif not account.isascii() and is_account_id(plain(account)):
        _, why = look_alike(account, [plain(account)]) or ("", "it is written in another way")
        problem = f"{unit} {line} has an account that looks like the id {plain(account)}, but {why}."
    elif len(group) > _LONGEST or _odd(group, _UNKEPT):
        problem = f"{unit} {line} has a group that cannot be one: too long, or with control characters."
    if problem:
        group, account = storable(group[:_LONGEST]), storable(account[:_LONGEST])
    return Wish(group, account, line, action, problem)


def _unseen(text: str) -> str:
    odd = next((c for c in text[:_LONGEST] if unicodedata.category(c) in _UNSEEN), "")
    return f" ({sign(odd)})" if odd and unicodedata.category(odd) == "Cf" else ""


def _odd(text: str, kinds: frozenset[str]) -> bool:
    # Nearly every text is printable, and that is told a hundred times as fast as each sign's kind.
    return not text.isprintable() and any(unicodedata.category(sign) in kinds for sign in text)


def _refuse_unused_actions(unused: Mapping[str, frozenset[str]]) -> None:
    for column, cells in unused.items():
        if cells and "remove" in (said := {_action(cell) for cell in cells if cell != "-"}) and said <= {*_SAID}:
            removal = min(cell for cell in cells if _action(cell) == "remove")
            raise InputError(
                f"The column “{column[:60]}” is not used, and it says {removal[:40]}.",
                field="file",
                likely="It says what to do with each line, under a name that is not known here.",
                hint="Call it action in the file, or take the column out.",
            )
