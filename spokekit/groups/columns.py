"""Which column of a list is what: by the names that Atlassian, Entra, Excel and people give them, or as told.

Every column that is used is told, and every one that is not: a column that nobody understands is never skipped in
silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from spokekit._ids import account_id, is_account_id
from spokekit._words import comparable
from spokekit.errors import InputError

# The first of each is what spokekit's own files say. A plain "group" may hold an id as well as a name.
GROUP_ID = ("group_id", "groupid", "confluence_group_id", "gruppen_id", "gruppenid", "id_groupe", "id_grupo")
GROUP = (
    *("group", "groups", "group_name", "groupname", "confluence_group", "gruppe", "gruppen", "gruppenname"),
    *("groupe", "groupes", "grupo", "grupos", "gruppo", "gruppi", "groep", "groepen"),
)
ACCOUNT_ID = (
    *("account_id", "accountid", "atlassian_id", "atlassian_account_id", "atlassian_accountid", "aaid"),
    *("user_id", "userid", "konto_id", "kontoid", "benutzer_id", "benutzerid"),
)
MAIL = (
    *("email", "e_mail", "email_address", "e_mail_address", "emailaddress", "mail", "mail_address", "emails"),
    *("userprincipalname", "user_principal_name", "upn", "primary_email", "work_email", "business_email"),
    *("mailadresse", "e_mail_adresse", "emailadresse", "courriel", "adresse_e_mail", "correo", "correo_electronico"),
    *("indirizzo_email", "posta_elettronica", "endereco_de_email"),
)
ACCOUNT = (
    *("account", "user", "member", "members", "accounts", "users", "konto", "benutzer", "mitglied", "mitglieder"),
    *("memberobjectidorupn", "utilisateur", "usuario", "utente", "login", "username", "benutzername"),
)
PERSON = ("display_name", "displayname", "user_name", "full_name", "fullname", "anzeigename")
ACTION = ("action", "aktion", "operation", "vorgang", "accion", "azione", "acao")

_LOOKED_AT = 20
_MAIL = re.compile(r"[^\s<>,;|\"'@]+@[^\s<>,;|\"'@]+\.[^\s<>,;|\"'@]+")
_NAMED = 12


@dataclass(frozen=True)
class Columns:
    """Where the header stands (an index of the filled lines, -1 for none) and which column holds what."""

    header: int
    names: tuple[str, ...]
    group_id: int | None = None
    group: int | None = None
    account_id: int | None = None
    mail: int | None = None
    account: int | None = None
    person: int | None = None
    action: int | None = None
    unused: tuple[int, ...] = field(default=())


def column_key(cell: str) -> str:
    """Return the name of a column as names are compared: ``E-Mail Address`` is ``e_mail_address``."""
    inside = re.search(r"\[(\w+)\]", cell)
    text = comparable((inside[1] if inside else cell).replace("\ufeff", ""))
    return re.sub(r"[^0-9a-z\u00df-\u024f]+", "_", text).strip("_")


def known(cells: Sequence[str]) -> int:
    """Count the cells that are names of columns which say who or where."""
    ours = frozenset((*GROUP_ID, *GROUP, *ACCOUNT_ID, *MAIL, *ACCOUNT))
    return sum(column_key(cell) in ours for cell in cells)


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
    told = (column_key(account_column), column_key(group_column))
    for number, (_, cells) in enumerate(rows[: _LOOKED_AT if titles else 1]):
        keys = [column_key(cell) for cell in cells]
        if all(not one or one in keys for one in told) and (any(told) or known(cells)):
            if not any(told) and not any(key in (*ACCOUNT_ID, *MAIL, *ACCOUNT) for key in keys):
                continue
            found = _of_header(number, cells, keys, called, told)
            if found.account_id is None and found.mail is None and found.account is None:
                continue
            if number:
                above = ", ".join(cell.strip() for cell in rows[0][1] if cell.strip())[:60]
                notes.append(f"{number} line{'s' if number > 1 else ''} above the header skipped (“{above}”).")
            return _checked(found, called, group, notes)
    for one, what in ((account_column, "account"), (group_column, "group")):
        if one:
            raise InputError(
                f"{called} has no column “{one[:60]}”; {_first_line(rows)}.",
                field=f"--{what}-column",
                hint="Write the name as it stands in the file's header.",
            )
    bare = _bare(rows, notes) if group else None
    if bare is not None:
        return bare
    return _checked(_of_header(0, rows[0][1], [column_key(c) for c in rows[0][1]], called, told), called, group, notes)


def _of_header(number: int, cells: Sequence[str], keys: list[str], called: str, told: tuple[str, str]) -> Columns:
    def place(names: Sequence[str]) -> int | None:
        found = [i for i, key in enumerate(keys) if key in names]
        same = [i for i in found if keys[i] == keys[found[0]]] if found else []
        if len(same) > 1:
            raise InputError(
                f"{called} has the column {cells[same[0]].strip()} twice.", field="file", hint="Remove one of them."
            )
        return min(found, key=lambda i: names.index(keys[i])) if found else None

    roles: dict[str, int | None] = {
        "group_id": place(GROUP_ID),
        "group": place(GROUP),
        "account_id": place(ACCOUNT_ID),
        "mail": place(MAIL),
        "account": place(ACCOUNT),
        "person": place(PERSON),
        "action": place(ACTION),
    }
    account, group = told
    if account:
        roles |= {"account": keys.index(account), "account_id": None, "mail": None}
    if group:
        roles |= {"group": keys.index(group), "group_id": None}
    taken = {name: roles[name] for name in ("account", "group") if told[name == "group"]}
    for name, at in list(roles.items()):
        if name not in taken and at is not None and at in taken.values():
            roles[name] = None
    if roles["account"] is not None and not account and (roles["account_id"] is not None or roles["mail"] is not None):
        # A name for signing in beside an id or an address says nothing more.
        roles["account"] = None
    used = {at for at in roles.values() if at is not None}
    unused = tuple(i for i, cell in enumerate(cells) if i not in used and cell.strip())
    return Columns(number, tuple(cell.strip() for cell in cells), unused=unused, **roles)


def _checked(found: Columns, called: str, group: str, notes: list[str]) -> Columns:
    who = (found.account_id, found.mail, found.account)
    where = (found.group_id, found.group)
    missing = [
        word
        for word, there in (
            ("group_id", group or any(at is not None for at in where)),
            ("account_id", any(at is not None for at in who)),
        )
        if not there
    ]
    if missing:
        listed = ", ".join(name[:40] for name in found.names[:_NAMED]) or "nothing"
        raise InputError(
            f"{called} has no column {' and no column '.join(missing)}; its first line says: {listed}.",
            field="file",
            hint="The first line needs group_id (or group) and account_id (or email). Name columns that are called "
            "otherwise with --account-column and --group-column. A list for one group can do without the first: name "
            "the group beside it (--group, group=).",
        )
    usual = {"mail": "email", "person": "display_name"}
    words = {
        "group_id": "the group's id",
        "group": "the group",
        "account_id": "the account id",
        "mail": "the address",
        "account": "the account",
        "person": "the person's name (a check)",
        "action": "the action",
    }
    taken = [
        f"“{found.names[at][:60]}” as {what}"
        for role, what in words.items()
        if (at := getattr(found, role)) is not None and found.names[at] != usual.get(role, role)
    ]
    if taken:
        notes.append(f"Taken: {', '.join(taken)}.")
    if found.unused:
        some = ", ".join(f"“{found.names[i][:40]}”" for i in found.unused[:_NAMED])
        more = f" and {len(found.unused) - _NAMED:,} more" if len(found.unused) > _NAMED else ""
        notes.append(f"Not used: the column{'s' if len(found.unused) > 1 else ''} {some}{more}.")
    return found


def _bare(rows: Sequence[tuple[int, Sequence[str]]], notes: list[str]) -> Columns | None:
    """Take the one column that holds addresses or account ids, where no header says which."""
    some = [cells for _, cells in rows[:200]]
    width = max(map(len, some))
    full: list[int] = []
    for at in range(width):
        values = [cells[at].strip() if at < len(cells) else "" for cells in some]
        body = [value for value in values[1:] if value]
        if looks_like_account(values[0]) if not body else sum(map(looks_like_account, body)) >= 0.8 * len(body):
            full.append(at)
    if len(full) != 1:
        return None
    at = full[0]
    first = some[0][at].strip() if at < len(some[0]) else ""
    if looks_like_account(first):
        notes.append(
            "There is no header line; "
            + (f"column {at + 1} was taken as the accounts." if width > 1 else "every line was taken as an account.")
        )
        names = tuple(f"column {i + 1}" for i in range(width))
        return Columns(-1, names, account=at, unused=tuple(i for i in range(width) if i != at))
    names = tuple(cell.strip() for cell in some[0])
    notes.append(f"Taken: “{first[:60]}” as the account, since it holds addresses or account ids.")
    unused = tuple(i for i, name in enumerate(names) if i != at and name)
    if unused:
        notes.append(f"Not used: {', '.join(f'“{names[i][:40]}”' for i in unused[:_NAMED])}.")
    return Columns(0, names, account=at, unused=unused)


def looks_like_account(text: str) -> bool:
    """Tell whether a cell holds an e-mail address or an account id."""
    return bool(_MAIL.fullmatch(text.strip(" <>"))) or is_account_id(account_id(text))


def _first_line(rows: Sequence[tuple[int, Sequence[str]]]) -> str:
    cells = [cell.strip()[:40] for cell in rows[0][1][:_NAMED] if cell.strip()]
    return f"its first line says: {', '.join(cells) or 'nothing'}"
