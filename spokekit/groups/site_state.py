"""The present state that a plan stands on: groups, their members, people, and who is signed in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spokekit._frames import human

EXTERNAL = "EXTERNAL"
SITE_ADMIN = "site-admin"
LICENSING = frozenset({"user", "admin"})
"""Access types whose members are counted for the licence: all licensed users are those of both (atlassian.md 3)."""


def accesses(text: str) -> frozenset[str]:
    """Split the column ``access`` ("user, admin") into its words."""
    return frozenset(word for word in (part.strip() for part in text.split(",")) if word)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plan belongs: the connection and the site, never anything secret."""

    alias_id: str
    connection_id: str
    connection: str
    cloud_id: str
    site: str


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of an account; ``status`` is active, inactive, closed or unknown, ``email`` empty when hidden."""

    account_id: str
    display_name: str = ""
    account_type: str = "atlassian"
    status: str = "active"
    is_guest: bool = False
    email: str = ""


@dataclass(frozen=True)
class GroupNow:
    """A group as it is at this moment.

    ``registered_name`` is its name when it was registered, ``there`` says that the site knows the id.
    """

    group_id: str
    name: str
    members: frozenset[str] = frozenset()
    access: str = ""
    managed_by: str = ""
    usage_type: str = ""
    registered: bool = True
    registered_name: str = ""
    there: bool = True

    @property
    def gives(self) -> frozenset[str]:
        """The access types that membership gives."""
        return accesses(self.access)

    @property
    def renamed(self) -> bool:
        """Say whether the group has another name than when it was registered."""
        return bool(self.registered_name) and self.there and self.name != self.registered_name


@dataclass(frozen=True)
class Present:
    """One reading of the site.

    ``names`` maps the name of each registered group, as names are compared, to the ids that have it, and ``called`` has
    these names as they are written; ``mails`` maps an address, as compared, to the accounts that show it; ``admins``
    each group of site admins to its active members (read only when a plan takes people out of such a group);
    ``site_admin`` whether who is signed in is in one, None when that is not known. ``licensing`` are the ids of all
    groups of the site whose members have a seat.
    """

    place: Place
    me: str
    groups: Mapping[str, GroupNow]
    people: Mapping[str, Person] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mails: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    admins: Mapping[str, frozenset[str]] = field(default_factory=dict)
    licensing: frozenset[str] = frozenset()
    site_admin: bool | None = None
    called: tuple[str, ...] = ()

    def person(self, account_id: str) -> Person | None:
        """Return what is known of the account, or None."""
        return self.people.get(account_id)

    def who(self, account_id: str) -> str:
        """Return the account's name, as far as it is known, with its id."""
        person = self.people.get(account_id)
        return named(account_id, person.display_name if person else "")


def named(account_id: str, name: str) -> str:
    """Return an account in words: its name and its id, or the id alone."""
    return f"{name} ({account_id})" if name else account_id


@dataclass(frozen=True)
class Footing:
    """What a plan relied on for one group; the plan is void when it no longer holds."""

    group_id: str
    name: str
    managed_by: str
    registered: bool
    members: frozenset[str]
    access: str = ""

    @classmethod
    def of(cls, group: GroupNow) -> Footing:
        """Take the footing of a group as it is now."""
        there = group.registered and group.there
        return cls(group.group_id, group.name, group.managed_by, there, group.members, group.access)

    @property
    def digest(self) -> str:
        """A short form of the member list for the fingerprint."""
        return members_digest(self.members)

    def facts(self) -> list[Any]:
        """What the fingerprint covers."""
        return [self.group_id, self.name, self.managed_by, self.registered, self.digest, sorted(accesses(self.access))]


def members_digest(members: Iterable[str]) -> str:
    """Hash a member list, whatever its order."""
    running = hashlib.sha256()
    for account_id in sorted(members):
        running.update(account_id.encode())
        running.update(b"\n")
    return running.hexdigest()


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was at the preview."""

    group_id: str
    group: str
    account_id: str
    change: str
    message: str


def differences(ground: Mapping[str, Footing], now: Present) -> tuple[Difference, ...]:
    """Compare what a plan relied on with `now`; empty when nothing has changed."""
    found: list[Difference] = []
    for group_id, footing in ground.items():
        group = now.groups.get(group_id)

        def add(change: str, message: str, account: str = "", footing: Footing = footing) -> None:
            found.append(Difference(footing.group_id, footing.name, account, change, message))

        if group is None or not group.there:
            add("gone", f"The group {footing.name} is no longer on the site.")
            continue
        if footing.registered and not group.registered:
            add("unregistered", f"The group {footing.name} is no longer registered.")
        if group.name != footing.name:
            add("renamed", f"The group {footing.name} is now called {group.name}.")
        if group.managed_by != footing.managed_by:
            manager = human("managed_by", group.managed_by) or "nobody known"
            add("managed", f"The group {footing.name} is now managed by {manager}.")
        if group.gives != accesses(footing.access):
            now_, then = (", ".join(sorted(kinds)) or "nothing" for kinds in (group.gives, accesses(footing.access)))
            add("access", f"Membership of {footing.name} gives {now_}; by the plan it gives {then}.")
        for account in sorted(group.members - footing.members):
            add("joined", f"{now.who(account)} has joined {footing.name} since the preview.", account)
        for account in sorted(footing.members - group.members):
            add("left", f"{now.who(account)} has left {footing.name} since the preview.", account)
    return tuple(found)
