"""People by name: who is known from a walk and from the group on the screen, and whom a pasted name can mean."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spokekit._foreign import NAME, shown
from spokekit._ids import account_id, is_account_id
from spokekit._lists.columns import ACCOUNT, ACCOUNT_ID, MAIL, PERSON
from spokekit._words import LookAlikes, comparable
from spokekit.errors import InputError
from spokekit.groups.columns import column_key
from spokekit.groups.wishes import Wish, WishList, for_accounts, from_pasted, is_table

if TYPE_CHECKING:
    import pandas as pd

SUGGESTED = 20
_COLUMNS = ("account_id", "display_name", "email", "account_type")
# One name a line, or several with one of these between them. A comma may stand inside a name.
_BETWEEN = re.compile(r"[;|\t]")


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody who is known: id, display name, e-mail address ("" for a hidden one), and whether it is an app."""

    account_id: str
    name: str
    email: str = ""
    app: bool = False

    @property
    def label(self) -> str:
        """Name, address and kind, for a list."""
        return " · ".join((self.name or self.account_id, *([self.email] if self.email else []), *(["app"] * self.app)))

    @property
    def line(self) -> str:
        """How it stands on a list: the name for a person, the id for the plan."""
        return f"{_NOT_IN_A_NAME.sub(' ', shown(self.name, NAME)).strip()} <{self.account_id}>".strip()


_NOT_IN_A_NAME = re.compile(r"[<>;|@\t\r\n]+")


@dataclass(frozen=True)
class Unclear:
    """A name of a list that does not say who is meant: by `several`, or by nobody (then `candidates` come near)."""

    line: int
    name: str
    candidates: tuple[Known, ...]
    several: bool

    @property
    def words(self) -> str:
        """The same as a sentence."""
        if self.several:
            return f"Line {self.line}: {len(self.candidates):,} people are called “{self.name}”."
        near = ", but some come near" if self.candidates else ""
        return f"Line {self.line}: nobody who is known here is called “{self.name}”{near}."


@dataclass(frozen=True)
class Reading:
    """What a pasted list says: the wishes, whom a name was taken for, and the names that say too little.

    ``notes`` and ``unused`` are those of `WishList`: a table that is pasted has columns as one in a file.
    """

    wishes: tuple[Wish, ...]
    taken: tuple[tuple[str, Known], ...]
    unclear: tuple[Unclear, ...]
    notes: tuple[str, ...] = ()
    unused: Mapping[str, frozenset[str]] = field(default_factory=dict)


class People:
    """Those who are known; the same account is known once, with what was told of it last."""

    def __init__(self) -> None:
        self.by_id: dict[str, Known] = {}
        self._by_name: dict[str, list[str]] = {}
        self._folded: list[tuple[str, str]] = []
        self._alike: LookAlikes | None = None
        # Whence the names are, for sentences.
        self.source = ""

    def take(self, frame: pd.DataFrame) -> None:
        """Add the people of a frame with account_id, display_name, email and account_type."""
        rows = zip(*(frame[name].astype(str).tolist() for name in _COLUMNS), strict=True)
        for account, name, email, kind in rows:
            self.by_id[account] = Known(account, name, email, kind == "app")
        self._by_name = {}

    def _index(self) -> None:
        if self._by_name or not self.by_id:
            return
        for one in self.by_id.values():
            # Whose name is hidden is called by no name: a comma alone is none.
            if name := comparable(one.name):
                self._by_name.setdefault(name, []).append(one.account_id)
        self._folded = [(comparable(f"{one.name} {one.email}"), one.account_id) for one in self.by_id.values()]
        self._folded.sort()
        self._alike = None

    def called(self, name: str) -> list[Known]:
        """Return who has exactly this name, as names are compared, also when it is written “Last, First”."""
        self._index()
        found = self._by_name.get(comparable(name), [])
        if not found and name.count(",") == 1:
            last, _, first = name.partition(",")
            found = self._by_name.get(comparable(f"{first} {last}"), [])
        return [self.by_id[one] for one in found] if name.strip() else []

    def exactly(self, text: str) -> list[Known]:
        """Return whose id, address or name `text` is."""
        if (whole := account_id(text)) in self.by_id:
            return [self.by_id[whole]]
        if "@" in whole:
            return [one for one in self.by_id.values() if one.email and comparable(one.email) == comparable(whole)]
        return self.called(text)

    def suggest(self, text: str, most: int = SUGGESTED) -> list[Known]:
        """Return whose name or address has every word of `text`; those that begin with it come first."""
        self._index()
        wanted = comparable(text)
        words = wanted.split()
        if not words:
            return []
        if (whole := account_id(text)) in self.by_id:
            return [self.by_id[whole]]
        early: list[str] = []
        late: list[str] = []
        for folded, account in self._folded:
            if all(word in folded for word in words):
                (early if folded.startswith(wanted) else late).append(account)
                if len(early) == most:
                    break
        return [self.by_id[one] for one in (early + late)[:most]]

    def near(self, name: str, most: int = 6) -> tuple[Known, ...]:
        """Return who could have been meant by a name that nobody has: a sign differs, or words are left out."""
        self._index()
        if self._alike is None:
            self._alike = LookAlikes(one.name for one in self.by_id.values())
        alike = self._alike.find(name)
        found = {one.account_id: one for one in self.called(alike[0])} if alike else {}
        found |= {one.account_id: one for one in self.suggest(name, most)}
        return tuple(found.values())[:most]

    def labels(self, people: Iterable[Known]) -> dict[str, str]:
        """Return labels for a list, each with its account id; those of two people alike have the id in them."""
        chosen = list(people)
        words = [one.label for one in chosen]
        return {
            shown(f"{label} · {one.account_id}", NAME) if words.count(label) > 1 else shown(label, NAME): one.account_id
            for label, one in zip(words, chosen, strict=True)
        }


def read_list(text: str, group: str, people: People, *, near: int = 0) -> Reading:
    """Read a pasted list in which people may stand by id, by address or by display name, one a line.

    A name counts only when exactly one person has it; it is never guessed. A table with a header is read as a file is.

    Parameters
    ----------
    near:
        For how many names that nobody has candidates are looked for.

    Raises
    ------
    InputError
        The list names nobody, or too many.
    """
    lines = text.replace("\ufeff", "").splitlines()
    if is_table(text):
        table = from_pasted(text, group)
        return Reading(table.wishes, (), (), table.notes, table.unused)
    rest = list(lines)
    wishes: dict[int, list[Wish]] = {}
    taken: list[tuple[str, Known]] = []
    unclear: list[Unclear] = []
    for at, line in enumerate(lines):
        names = _names(line, people)
        if names is None:
            continue
        rest[at] = ""
        for name, account in names:
            found = [Known(account, name)] if account else people.called(name)
            if len(found) == 1:
                (wish,) = for_accounts(group, [found[0].account_id]).wishes
                wishes.setdefault(at, []).append(replace(wish, line=at + 1, person=name if account else found[0].name))
                if not account:
                    taken.append((name, found[0]))
                continue
            close = () if found or near <= 0 else people.near(name)
            near -= not found
            unclear.append(Unclear(at + 1, name, tuple(found) or close, bool(found)))
    if "".join(rest).strip() or not (wishes or unclear):
        for wish in from_pasted("\n".join(rest), group).wishes:
            wishes.setdefault(wish.line - 1, []).append(wish)
    return Reading(tuple(one for at in sorted(wishes) for one in wishes[at]), tuple(taken), tuple(unclear))


def wishes_of(text: str, group: str, people: People) -> WishList:
    """Return the wishes of a pasted list. Raises `InputError` as long as a name in it does not say who is meant."""
    read = read_list(text, group, people)
    if read.unclear:
        first = read.unclear[0]
        more = f" So it is with {len(read.unclear) - 1:,} more." if len(read.unclear) > 1 else ""
        raise InputError(
            f"{first.words}{more}",
            field="paste",
            hint="Choose who is meant, below the list, or write an account id or an address instead of the name.",
        )
    return WishList(read.wishes, read.notes, "a pasted list", read.unused)


def _names(line: str, people: People) -> list[tuple[str, str]] | None:
    """Return the names in a line, each with the id beside it if there is one; None for a line of ids or addresses.

    Of a line that is the head of a column there are none.
    """
    if (head := column_key(line)) in (*PERSON, "name", "names"):
        return []
    if head in (*ACCOUNT_ID, *MAIL, *ACCOUNT) or not any(sign.isalpha() for sign in line):
        return None
    # A mention is copied with its sign.
    line = line.strip().removeprefix("@")
    if "@" in line:
        return None
    found: list[tuple[str, str]] = []
    for part in _BETWEEN.split(line):
        # A comma is a part of “Last, First”, and otherwise stands between two people.
        whole = people.called(part) or part.count(",") == 0 or _id_at_the_end(part)
        for one in [part] if whole else part.split(","):
            name = one.strip(" \u00a0\u200b\"'")
            if not name:
                continue
            beside = _id_at_the_end(name)
            if beside is not None:
                found.append(beside)
            elif any(is_account_id(account_id(word)) for word in name.split()):
                return None
            elif len(name.split()) == 1 and re.search(r"[\d:/]", name) and not people.called(name):
                # An id in a form that is not known here, or an address of a page.
                return None
            else:
                found.append((name, ""))
    return found or None


def _id_at_the_end(text: str) -> tuple[str, str] | None:
    """Return name and id of “Kim Example <ID>”."""
    found = re.fullmatch(r"\s*([^<>]*[^\s<>])\s*<([^<>\s]+)>\s*", text)
    return (found[1], account_id(found[2])) if found and is_account_id(account_id(found[2])) else None
