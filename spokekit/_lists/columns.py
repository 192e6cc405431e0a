"""How the columns of a list say who somebody is, and what stands in a cell; names are compared as people mean them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from spokekit._ids import account_id, is_account_id
from spokekit._words import comparable, counted
from spokekit.errors import InputError

ACCOUNT_ID = (
    *("account_id", "accountid", "atlassian_id", "atlassian_account_id", "atlassian_accountid", "aaid"),
    *("user_id", "userid", "user_account_id", "member_id", "memberid", "atlassian_user_id", "konto_id", "kontoid"),
    *("benutzer_id", "benutzerid"),
)
MAIL = (
    *("email", "e_mail", "email_address", "e_mail_address", "emailaddress", "mail", "mail_address", "emails"),
    *("member_email", "user_email", "user_mail", "useremail", "contact_email", "mail_adresse", "e_mailadresse"),
    *("userprincipalname", "user_principal_name", "upn", "primary_email", "work_email", "business_email"),
    *("mailadresse", "e_mail_adresse", "emailadresse", "courriel", "adresse_e_mail", "correo", "correo_electronico"),
    *("indirizzo_email", "posta_elettronica", "endereco_de_email"),
)
ACCOUNT = (
    *("account", "user", "member", "members", "accounts", "users", "konto", "benutzer", "mitglied", "mitglieder"),
    *("memberobjectidorupn", "utilisateur", "usuario", "utente", "login", "username", "benutzername"),
)
PERSON = ("display_name", "displayname", "user_name", "full_name", "fullname", "anzeigename")

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
# What web pages leave at the ends of what is copied from them, and is no part of an id or a name.
BLANK = " \u00a0\u200b\u2060\ufeff"

_LONGEST_NAME = 200
_NAMED = 12
_MAIL = re.compile(r"[^\s<>,;|\"'@]+@[^\s<>,;|\"'@]+\.[^\s<>,;|\"'@]+")


def key_of(text: str) -> str:
    """Return the name of a column with one kind of letters, and underscores for everything between words."""
    return re.sub(r"[\W_]+", "_", comparable(text.replace("\ufeff", ""))).strip("_")


def key_among(cell: str, names: Collection[str]) -> str:
    """Return the name of a column as names are compared: ``E-Mail Address`` is ``e_mail_address``.

    A name that a template gives in brackets counts where it is one of `names`, as ``[memberObjectIdOrUpn]``; other
    words in brackets (``[Required]``) do not.
    """
    cell = cell[:_LONGEST_NAME]
    inside = re.search(r"\[(\w+)\]", cell)
    if inside and key_of(inside[1]) in names:
        return key_of(inside[1])
    without = key_of(re.sub(r"\[[^\]]*\]|\([^)]*\)", " ", cell))
    return without if without in names else key_of(cell)


def looks_like_account(text: str) -> bool:
    """Tell whether a cell holds an e-mail address or an account id."""
    return is_mail(text.strip(" <>")) or is_account_id(account_id(text))


def is_mail(text: str) -> bool:
    """Tell whether a text is one e-mail address."""
    return _MAIL.fullmatch(text) is not None


def unguarded(cell: str) -> str:
    """Return what a cell says: without blanks around it, and without the apostrophe that our own CSV puts in front."""
    text = cell.strip(BLANK)
    # Our own CSV puts an apostrophe before such names; reading it back must give the name.
    if text.startswith("'") and text[1:].lstrip(BLANK).startswith(FORMULA):
        return text[1:]
    return text


def bare_column(rows: Sequence[tuple[int, Sequence[str]]], notes: list[str]) -> tuple[int, int, tuple[str, ...]] | None:
    """Return the one column that holds addresses or account ids where no header says which, or None.

    Returns its place, the index of the header (-1 for none), and names of all columns.
    """
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
        return at, -1, tuple(f"column {i + 1}" for i in range(width))
    notes.append(f"Taken: “{first[:60]}” as the account, since it holds addresses or account ids.")
    return at, 0, tuple(cell.strip() for cell in some[0])


def tell_titles(rows: Sequence[tuple[int, Sequence[str]]], header: int, notes: list[str]) -> None:
    """Say which lines above the header were skipped."""
    if header:
        above = ", ".join(cell.strip() for cell in rows[0][1] if cell.strip())[:60]
        notes.append(f"{counted(header, 'line')} above the header skipped (“{above}”).")


def no_column(called: str, one: str, rows: Sequence[tuple[int, Sequence[str]]]) -> InputError:
    """Return the error for a list without the column that a person named."""
    return InputError(
        f"{called} has no column “{one[:60]}”; {first_line(rows)}.",
        field="columns",
        hint="Write the name as it stands in the file's header.",
    )


def first_line(rows: Sequence[tuple[int, Sequence[str]]]) -> str:
    """Say what the first line of a list holds."""
    cells = [cell.strip()[:40] for cell in rows[0][1][:_NAMED] if cell.strip()]
    return f"its first line says: {', '.join(cells) or 'nothing'}"
