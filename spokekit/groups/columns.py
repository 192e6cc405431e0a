"""Which column of a list is what: by the names that Atlassian, Entra, Excel and people give them, or as told.

Every column that is used is told, and every one that is not: a column that nobody understands is never skipped in
silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spokekit._lists.bounds import LOOKED_AT, Kind
from spokekit._lists.columns import (
    ACCOUNT,
    ACCOUNT_ID,
    MAIL,
    PERSON,
    bare_column,
    key_among,
    key_of,
    no_column,
    tell_titles,
)
from spokekit._words import some
from spokekit.errors import InputError

# The first of each is what spokekit's own files say. A plain "group" may hold an id as well as a name.
GROUP_ID = ("group_id", "groupid", "confluence_group_id", "gruppen_id", "gruppenid", "id_groupe", "id_grupo")
GROUP = (
    *("group", "groups", "group_name", "groupname", "confluence_group", "gruppe", "gruppen", "gruppenname"),
    *("groupe", "groupes", "grupo", "grupos", "gruppo", "gruppi", "groep", "groepen"),
)
ACTION = ("action", "aktion", "operation", "vorgang", "accion", "azione", "acao")

_KNOWN = frozenset((*GROUP_ID, *GROUP, *ACCOUNT_ID, *MAIL, *ACCOUNT, *PERSON, *ACTION))
_WHO_OR_WHERE = _KNOWN - {*PERSON, *ACTION}
_WHO = frozenset((*ACCOUNT_ID, *MAIL, *ACCOUNT))

_NAMED = 12
COLUMNS = "columns"
"""The field of errors that naming the columns would cure."""


@dataclass(frozen=True)
class Columns:
    """Where the header stands (an index of the filled lines, -1 for none) and which columns hold what.

    Several columns may say the same thing; each of them is an opinion.
    """

    header: int
    names: tuple[str, ...]
    group_ids: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    account_ids: tuple[int, ...] = ()
    mails: tuple[int, ...] = ()
    accounts: tuple[int, ...] = ()
    people: tuple[int, ...] = ()
    action: int | None = None
    unused: tuple[int, ...] = ()

    @property
    def who(self) -> tuple[int, ...]:
        """The columns that say which account, the surest first."""
        return (*self.account_ids, *self.mails, *self.accounts)

    @property
    def where(self) -> tuple[int, ...]:
        """The columns that say which group, the surest first."""
        return (*self.group_ids, *self.groups)


def column_key(cell: str) -> str:
    """Return the name of a column as names are compared, see `spokekit._lists.columns.key_among`."""
    return key_among(cell, _KNOWN)


def known(cells: Sequence[str]) -> int:
    """Count the cells that are names of columns which say who or where."""
    return sum(column_key(cell) in _WHO_OR_WHERE for cell in cells)


MEMBERSHIPS = Kind(
    known,
    "groups and accounts",
    "the columns group_id and account_id",
    "One app may spend 65,000 points an hour, and each change costs one.",
    "Split the file and apply the parts one after the other.",
)
"""What a list of memberships is."""


def find(
    rows: Sequence[tuple[int, Sequence[str]]],
    called: str,
    group: str,
    notes: list[str],
    *,
    account_column: str = "",
    group_column: str = "",
    titles: bool = True,
) -> Columns:
    """Find the header among the first filled lines, and say what each column is taken for.

    Parameters
    ----------
    group:
        The group for a list that names none.
    account_column, group_column:
        Names of columns as the person told them; they win.
    titles:
        Whether lines may stand above the header (a title, a template's version).

    Raises
    ------
    InputError
        No column says who, or none says where and no group was given; or two columns say the same.
    """
    told = (key_of(account_column), key_of(group_column))
    for number, (_, cells) in enumerate(rows[: LOOKED_AT if titles else 1]):
        keys = [column_key(cell) for cell in cells]
        if any(told):
            if not all(not one or one in map(key_of, cells) for one in told):
                continue
        elif not any(key in _WHO for key in keys):
            continue
        found = _of_header(number, cells, keys, called, told)
        if not found.who:
            continue
        tell_titles(rows, number, notes)
        return _checked(found, called, group, notes)
    for one, key in ((account_column, told[0]), (group_column, told[1])):
        if one and not any(key in map(key_of, cells) for _, cells in rows[:LOOKED_AT]):
            raise no_column(called, one, rows)
    bare = _bare(rows, notes) if group else None
    if bare is not None:
        return bare
    return _checked(_of_header(0, rows[0][1], [column_key(c) for c in rows[0][1]], called, told), called, group, notes)


def _of_header(number: int, cells: Sequence[str], keys: list[str], called: str, told: tuple[str, str]) -> Columns:
    account, group = told
    plain_keys = [key_of(cell) for cell in cells]

    def places(names: Sequence[str], instead: str = "") -> tuple[int, ...]:
        """Return the columns of these names; what the person called by name stands alone."""
        if instead:
            return (plain_keys.index(instead),) if instead in plain_keys else ()
        found = [i for i, key in enumerate(keys) if key in names and plain_keys[i] not in told]
        twice = next((i for i in found if keys.index(keys[i]) != i), None)
        if twice is not None:
            raise InputError(f"{called} has the column {keys[twice]} twice.", field="file", hint="Remove one of them.")
        return tuple(sorted(found, key=lambda i: names.index(keys[i])))

    roles = {
        "group_ids": () if group else places(GROUP_ID),
        "groups": places(GROUP, group),
        "account_ids": () if account else places(ACCOUNT_ID),
        "mails": () if account else places(MAIL),
        "accounts": places(ACCOUNT, account),
        "people": places(PERSON),
    }
    actions = places(ACTION)
    if len(actions) > 1:
        both = " and ".join(f"“{cells[i].strip()[:60]}”" for i in actions[:2])
        raise InputError(f"{called} has two columns of actions, {both}.", field="file", hint="Remove one of them.")
    used = {at for places_ in roles.values() for at in places_} | set(actions)
    unused = tuple(i for i, cell in enumerate(cells) if i not in used and cell.strip())
    return Columns(
        number,
        tuple(cell.strip() for cell in cells),
        action=actions[0] if actions else None,
        unused=unused,
        **roles,
    )


def _checked(found: Columns, called: str, group: str, notes: list[str]) -> Columns:
    missing = [word for word, there in (("group_id", group or found.where), ("account_id", found.who)) if not there]
    if missing:
        listed = ", ".join(name[:40] for name in found.names[:_NAMED]) or "nothing"
        raise InputError(
            f"{called} has no column {' and no column '.join(missing)}; its first line says: {listed}.",
            field=COLUMNS,
            hint="Call the columns group_id (or group) and account_id (or email) in the first line. A list for one "
            "group can do without the first: name the group beside it.",
        )
    words = (
        ("the group's id", found.group_ids, "group_id"),
        ("the group", found.groups, "group"),
        ("the account id", found.account_ids, "account_id"),
        ("the address", found.mails, "email"),
        ("the account", found.accounts, "account"),
        ("the person's name (a check)", found.people, "display_name"),
        ("the action", () if found.action is None else (found.action,), "action"),
    )
    taken = [
        f"“{found.names[at][:60]}” as {what}"
        for what, places, usual in words
        for at in places
        if found.names[at] != usual
    ]
    if taken:
        notes.append(f"Taken: {', '.join(taken)}.")
    if group and found.where:
        notes.append("The group in each line counts, the one beside the list only where a line names none.")
    if found.unused:
        named = some([f"“{found.names[i][:40]}”" for i in found.unused], _NAMED)
        notes.append(f"Not used: the column{'s' if len(found.unused) > 1 else ''} {named}.")
    return found


def _bare(rows: Sequence[tuple[int, Sequence[str]]], notes: list[str]) -> Columns | None:
    """Take the one column that holds addresses or account ids, where no header says which."""
    found = bare_column(rows, notes)
    if found is None:
        return None
    at, header, names = found
    unused = tuple(i for i, name in enumerate(names) if i != at and name)
    if unused and header == 0:
        notes.append(f"Not used: {', '.join(f'“{names[i][:40]}”' for i in unused[:_NAMED])}.")
    return Columns(header, names, accounts=(at,), unused=unused)
