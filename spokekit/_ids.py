"""Ids as people paste them: out of an address, a mention or an ARI, in braces, in capitals, percent-encoded."""

from __future__ import annotations

import re
from urllib.parse import unquote

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# The forms of account ids that Atlassian gave out: 24 hex digits, and a number or a word, a colon and a UUID.
_ACCOUNT = re.compile(rf"(?:[0-9a-f]{{24}}|(?:\d{{1,12}}|qm):{_UUID}(?::{_UUID})?)", re.IGNORECASE)
_GROUP = re.compile(_UUID, re.IGNORECASE)
_MAIL = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+")
# What typing and copying leave at the ends of an id, an address or a secret, and is no part of it.
BLANK = " \t\r\n\u00a0\u200b\u2060\ufeff"
_WRAPPING = f"{BLANK}\"'<>{{}}[]()"


def _bare(text: str) -> str:
    """Return a text without what stands around an id: quotes, brackets, percent-encoding."""
    found = text.strip(_WRAPPING)
    for _ in range(2):
        if "%" not in found:
            break
        found = unquote(found).strip(_WRAPPING)
    return found


def account_id(text: str) -> str:
    """Return the account id in a text, in the spelling that Atlassian uses; the text without its wrapping if none is.

    ``ari:cloud:identity::user/ID``, ``[~accountid:ID]``, ``@ID``, ``https://acme.atlassian.net/wiki/people/ID?x=1``.
    An e-mail address, and any id of a form that is not known here, comes back as it is.
    """
    bare = _bare(text)
    if _ACCOUNT.fullmatch(bare):
        return bare.lower()
    if bare.lower().startswith("mailto:"):
        return bare[7:].partition("?")[0]
    plain = text.strip(BLANK)
    # Only a whole pair is a wrapping, as mail programs and spreadsheets write it.
    if plain[:1] + plain[-1:] in ("<>", '""', "''", "()", "[]", "{}") and _MAIL.fullmatch(bare):
        plain = bare
    if not re.search(r"ari:|accountid:|^[~@]|/(people|users?|user-profile)/|/~|https?://.*[?&=]", bare, re.I):
        return plain
    found = list(_ACCOUNT.finditer(bare))
    if not found:
        rest = re.sub(r"^([~@]?accountid:|ari:cloud:identity:[^:]*:user/)", "", bare, flags=re.IGNORECASE)
        rest = rest.strip(_WRAPPING)
        return rest if rest and rest != bare and "@" not in rest and "/" not in rest else plain
    # An address may hold the id of its organization before that of the person.
    return found[-1][0].lower()


def group_id(text: str) -> str:
    """Return the group id in a text, in the spelling that Atlassian uses; the text without its wrapping if none is.

    ``{ID}``, ``ari:cloud:identity::group/ID``, ``urn:uuid:ID``, ``https://admin.atlassian.com/o/ORG/groups/ID``.
    """
    bare = _bare(text)
    if _GROUP.fullmatch(bare):
        return bare.lower()
    if re.match(r"(ari:|urn:uuid:|https?://|groupid[:=])", bare, re.IGNORECASE):
        found = list(_GROUP.finditer(bare))
        if found:
            return found[-1][0].lower()
    return text.strip()


def is_account_id(text: str) -> bool:
    """Tell whether a text is an account id of a known form."""
    return _ACCOUNT.fullmatch(text) is not None


def is_group_id(text: str) -> bool:
    """Tell whether a text is a group id."""
    return _GROUP.fullmatch(text) is not None
