"""What may be done and what is refused: the rules of a plan, one sentence each. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from spokekit._words import LookAlikes, comparable
from spokekit.groups.site_state import EXTERNAL, SITE_ADMIN, GroupNow, Present
from spokekit.groups.wishes import Wish

_ALREADY = "already so"
_REFUSED = "refused"
_WORD = re.compile(r"\w+")

REASONS = {
    "": "nothing to say",
    "bad_line": "the line of the list cannot be used",
    "contradiction": "the line contradicts itself, another line, or the plan",
    "kept": "the line says that it stays as it is",
    "not_registered": "the group is not among the registered groups",
    "other_site": "the group id belongs to another site",
    "ambiguous_group": "several registered groups have this name",
    "stale_registration": "the registered group is no longer on the site",
    "renamed": "the group was renamed since it was registered",
    "external": "the group is synced from outside",
    "unknown_account": "the site does not know this account",
    "hidden_mail": "nobody shows this e-mail address",
    "ambiguous_account": "several accounts show this e-mail address",
    "app_account": "the account belongs to an app",
    "inactive": "the account is not active",
    "oneself": "it would remove the person who is signed in",
    "last_site_admin": "it would remove the last site admin",
    "list_unclear": "a line of the list could not be understood, so nobody is removed by it",
    "member": "is a member already",
    "no_member": "is not a member",
    "changed_since": "somebody else has changed it since",
    "later_apply": "a later apply has changed it again",
    "read_back": "the answer was lost; the outcome was read from the site",
    "no_answer": "no usable answer came",
    "not_noted": "it could not be noted in the journal; resume reads the outcome from the site",
    "not_sent": "no connection came about, so nothing was sent",
    "too_old": "the apply is too old to be gone on with; make a new plan",
    "not_permitted": "the signed-in person may not do this",
    "not_there": "the site does not know the group or the account",
    "licence_full": "no seat is left",
    "rate_limited": "the site asks to slow down",
    "guard": "the guard refused the group at the last moment",
    "waited": "it had to wait for long, and the site is read again before it is done",
    "stopped": "the apply stopped before this row",
    "cancelled": "the apply was cancelled before this row",
    "late": "it was sent by a process from which the apply had been taken over, and is not so on the site",
    "dropped": "the apply was dropped before this row was made",
}
"""Each word of the column ``reason``, in words."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a row: its status, the reason as a word, and the sentence."""

    status: str
    reason: str
    message: str


def _no(reason: str, message: str) -> Verdict:
    return Verdict(_REFUSED, reason, message)


class Judge:
    """Judges row after row against one reading of the site; remembers what the rows before will have changed."""

    def __init__(self, present: Present) -> None:
        self._now = present
        self._admins = {group_id: set(members) for group_id, members in present.admins.items()}

    def group(self, wish: Wish) -> tuple[GroupNow | None, Verdict | None]:
        """Find the group that a line means; a verdict when it cannot be used at all."""
        now = self._now
        group = now.groups.get(wish.group)
        if group is None and wish.group:
            found = now.names.get(comparable(wish.group), ())
            if len(found) > 1:
                exact = [group_id for group_id in found if now.groups[group_id].name == wish.group]
                if len(exact) != 1:
                    return None, _no(
                        "ambiguous_group",
                        f"{len(found)} registered groups are called {wish.group}; name it by its id.",
                    )
                found = (exact[0],)
            group = now.groups[found[0]] if found else None
        if wish.problem:
            return group, _no("bad_line", wish.problem)
        if group is None:
            formula = " The cell would be a formula in a spreadsheet." if wish.group.startswith(tuple("=+-@")) else ""
            alike = self._groups.find(wish.group)
            near = f" It looks like {alike[0]}, but {alike[1]}." if alike else ""
            return None, _no(
                "not_registered",
                f"{wish.group} is not the name or id of a registered group, so it is not changed.{near}{formula}",
            )
        if wish.group_name:
            names = {group.name, group.registered_name}
            # A cell beside the id may repeat the id.
            if comparable(wish.group_name) not in {comparable(name) for name in (*names, group.group_id)}:
                return group, _no(
                    "contradiction",
                    f"Line {wish.line} names the group {group.group_id}, which is called {group.name}, and beside it "
                    f"{wish.group_name}: which one is meant?",
                )
        return group, self.group_verdict(group)

    def group_verdict(self, group: GroupNow) -> Verdict | None:
        """Say why nothing may be changed in this group, or None."""
        if not group.registered:
            if not group.there:
                return _no("other_site", "The site knows no group with this id; it may belong to another site.")
            return _no(
                "not_registered", f"The group {group.name} is not registered, so it is not changed. Register it first."
            )
        if not group.there:
            return _no(
                "stale_registration",
                f"The group {group.registered_name or group.group_id} is registered but no longer on the site.",
            )
        if group.renamed:
            return _no(
                "renamed",
                f"The group was called {group.registered_name} when it was registered and is now {group.name}; "
                "if it is still the right one, take it off the registered groups and register it again.",
            )
        if group.managed_by == EXTERNAL:
            return _no("external", f"The group {group.name} is synced from outside; change it where it comes from.")
        return None

    def account(self, wish: Wish) -> tuple[str, Verdict | None]:
        """Find the account that a line means: its id, or an empty one with the verdict."""
        now, text = self._now, wish.account
        if wish.problem or not text:
            return "", None
        if "@" not in text:
            return text, self._checked(wish)
        found = now.mails.get(comparable(text), ())
        for other in wish.mails:
            theirs = now.mails.get(comparable(other), ())
            if found and theirs and not set(found) & set(theirs):
                both = " and ".join(f"{mail} ({now.who(who[0])})" for mail, who in ((text, found), (other, theirs)))
                return "", _no("contradiction", f"Line {wish.line} names two people, {both}: who is meant?")
            found = found or theirs
        if len(found) == 1:
            return found[0], self._checked(wish, found[0])
        if found:
            return "", _no(
                "ambiguous_account",
                f"{len(found)} accounts show the address {text}; name the right one by its account id.",
            )
        alike = self._addresses.find(text)
        near = f" It looks like {alike[0]}, but {alike[1]}." if alike else ""
        return "", _no(
            "hidden_mail",
            f"Nobody in sight of this connection shows the address {text}; it may be hidden. Use the account id.{near}",
        )

    def _checked(self, wish: Wish, account: str = "") -> Verdict | None:
        """Say where the address or the name beside an account is another person's, as far as that can be seen."""
        account = account or wish.account
        person = self._now.person(account)
        line = f"Line {wish.line} names the account {wish.account}"
        for mail in wish.mails:
            owners = self._now.mails.get(comparable(mail), ())
            if owners and account not in owners:
                others = ", ".join(self._now.who(owner) for owner in owners)
                return _no("contradiction", f"{line} and the address {mail}, which is that of {others}: who is meant?")
        shown = {comparable(mail) for mail in (*wish.mails, *([wish.account] if "@" in wish.account else []))}
        if shown and person is not None and person.email and comparable(person.email) not in shown:
            return _no(
                "contradiction",
                f"{line} ({person.display_name}, {person.email}) and another address, {wish.mails[0]}: who is meant?",
            )
        if wish.person and person is not None and person.display_name:
            ours, theirs = (set(_WORD.findall(comparable(one))) for one in (wish.person, person.display_name))
            # People are called by more than one name: only a name without a single word in common is another's.
            if ours and theirs and not ours & theirs and comparable(wish.person) not in shown:
                words = f"{line}, who is called {person.display_name}, and beside it {wish.person}: who is meant?"
                return _no("contradiction", words)
        return None

    def unchecked(self, wish: Wish) -> bool:
        """Whether an address stands beside an account id and nothing in sight says whose it is."""
        if wish.problem or "@" in wish.account:
            return False
        person = self._now.person(wish.account)
        return (person is not None and not person.email) and any(
            comparable(mail) not in self._now.mails for mail in wish.mails
        )

    @cached_property
    def _addresses(self) -> LookAlikes:
        return LookAlikes(self._now.mails)

    @cached_property
    def _groups(self) -> LookAlikes:
        ids = (group_id for found in self._now.names.values() for group_id in found)
        return LookAlikes((*self._now.called, *ids))

    def row(self, group: GroupNow, account_id: str, action: str) -> Verdict | None:
        """Judge one change; None means that it is planned."""
        refused = self.group_verdict(group)
        if refused:
            return refused
        person = self._now.person(account_id)
        is_member = account_id in group.members
        if action == "add" and is_member:
            return Verdict(_ALREADY, "member", "Is a member already.")
        if person is None and not is_member:
            return _no("unknown_account", f"The site does not know the account {account_id}.")
        if action == "remove" and not is_member:
            return Verdict(_ALREADY, "no_member", "Is not a member.")
        if person is not None and person.account_type == "app":
            return _no("app_account", "The account belongs to an app; apps manage their own memberships.")
        if action == "remove":
            return self._remove(group, account_id)
        if person is not None and person.status in ("inactive", "closed"):
            return _no("inactive", f"The account is {person.status}; only active accounts are added.")
        return None

    def _remove(self, group: GroupNow, account_id: str) -> Verdict | None:
        if account_id == self._now.me:
            return _no("oneself", "That is you: nobody removes themselves here. Ask another administrator.")
        if SITE_ADMIN in group.gives and group.group_id in self._admins:
            left = set().union(*(m for g, m in self._admins.items() if g != group.group_id))
            left |= self._admins[group.group_id] - {account_id}
            if not left:
                return _no("last_site_admin", "Nobody would be left as site admin.")
            self._admins[group.group_id].discard(account_id)
        return None
