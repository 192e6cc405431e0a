"""Read the present state of the site for a plan, and make its changes: the one place here that uses the spoke."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial as bind
from typing import TYPE_CHECKING

from spokekit import _portal
from spokekit._ids import group_id as group_id_in
from spokekit._ids import is_group_id
from spokekit._words import comparable
from spokekit.confluence import pull
from spokekit.confluence.groups import ACCESS, confirm, named
from spokekit.confluence.operation import Operation
from spokekit.confluence.read_only import read_only
from spokekit.confluence.report import UNWATCHED, Fence, Watching
from spokekit.connections.connection import Connections
from spokekit.errors import IncompleteResult, NotThere, PlanError, ScopeMissing, ServiceError, TransportError
from spokekit.groups.pauses import only_pauses
from spokekit.groups.site_state import LICENSING, SITE_ADMIN, GroupNow, Person, Place, Present

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.shapes import Group
    from spokekit.confluence.spoke import Spoke
    from spokekit.groups.registry import Registry

SEATS_ASKED = 100
"""For so many people the groups of each are looked up to count seats; for more it would cost more than the plan."""


LOOK_FOR = 2.0
"""Seconds that a look right before a change may take; what takes longer does not hold the change up."""

STRANGERS_ASKED = 50
"""So many groups that are not registered are looked up, only to say better why they are refused."""


class LiveSite:
    """The site of one connection, as plans see it."""

    def __init__(self, spoke: Spoke, registry: Registry) -> None:
        self.spoke = spoke
        self.registry = registry

    @property
    def place(self) -> Place:
        """Where this is."""
        connection = self.spoke.connection
        return Place(
            alias_id=connection.alias_id,
            connection_id=connection.connection_id,
            connection=connection.name,
            cloud_id=connection.cloud_id or "",
            site=connection.site_url or connection.site_name or "",
        )

    @property
    def me(self) -> str:
        """The account that is signed in; empty when it is not known."""
        return self.spoke.connection.account_id or ""

    def check_connection(self) -> None:
        """Raise `PlanError` when the connection leads elsewhere, or speaks for somebody else, since it was opened."""
        ours = self.spoke.connection
        now = Connections(self.registry.store).get(ours.connection_id)
        if (now.cloud_id, now.account_id) == (ours.cloud_id, ours.account_id):
            return
        what = (
            f"now leads to {now.site_url or now.site_name or 'no site'}"
            if now.cloud_id != ours.cloud_id
            else f"now speaks for {now.account_name or now.account_id or 'nobody known'}"
        )
        raise PlanError(
            f"The connection {ours.name} was changed meanwhile: it {what}.",
            hint="Open it again (in a notebook, run the cell that opens it), and make the plan again.",
        )

    def check_writable(self) -> None:
        """Raise `GuardRefused` when the connection is read-only: before anything is read or written down."""
        ours = self.spoke.connection
        if ours.read_only or Connections(self.registry.store).get(ours.connection_id).read_only:
            raise read_only(ours)

    def present(
        self, groups: Iterable[str], accounts: Collection[str], *, removes: bool, watching: Watching = UNWATCHED
    ) -> Present:
        """Read what a plan needs to know.

        Parameters
        ----------
        groups:
            Group ids or names, as written in a list.
        accounts:
            Account ids and e-mail addresses, as written. An address makes all registered groups and all groups with
            Confluence access be read, since Confluence finds nobody by address for an app of this kind.
        removes:
            Whether the plan may take people out, so that the site admins have to be known.

        Raises
        ------
        IncompleteResult
            A member list could not be read to its end: no plan is made on half of one.
        """
        registered = self._registered()
        names: dict[str, list[str]] = {}
        for group_id, both in registered.items():
            for name in {comparable(name) for name in both} - {""}:
                names.setdefault(name, []).append(group_id)
        wanted: dict[str, None] = {}
        for text in groups:
            ids = [text] if text in registered else names.get(comparable(text), [text])
            wanted.update(dict.fromkeys(ids))
        aside = only_pauses(watching)
        access = self._access(aside)
        found = self._by_id(wanted, registered, aside)
        mails = [account for account in accounts if "@" in account]
        reading = [group_id for group_id in wanted if group_id in registered and found.get(group_id) is not None]
        wider = set(reading)
        if mails:
            wider |= set(registered) | {group_id for group_id, kinds in access.items() if "user" in kinds}
        admin_groups = [group_id for group_id, kinds in access.items() if SITE_ADMIN in kinds]
        with_admins = removes and bool(set(reading) & set(admin_groups))
        if with_admins:
            wider |= set(admin_groups)
        members = self._members(sorted(wider), watching)
        people = members.people
        by_mail = members.mails
        known = {account for account in accounts if "@" not in account}
        known |= {found_id for mail in mails for found_id in by_mail.get(comparable(mail), ())}
        in_all = frozenset.intersection(*(members.of(group_id) for group_id in reading)) if reading else frozenset()
        ask = known - in_all
        if with_admins:
            ask |= {account for group_id in admin_groups for account in members.of(group_id)}
        people |= self._people(sorted(ask), watching)
        return Present(
            place=self.place,
            me=self.me,
            groups={
                group_id: _group(group_id, found.get(group_id), registered.get(group_id), access, members.of(group_id))
                for group_id in wanted
                if group_id in found
            },
            people=people,
            names={name: tuple(ids) for name, ids in names.items()},
            called=tuple(dict.fromkeys(name for both in registered.values() for name in both if name)),
            mails=by_mail,
            admins={
                group_id: frozenset(a for a in members.of(group_id) if _is_active_person(people.get(a)))
                for group_id in (admin_groups if with_admins else ())
            },
            licensing=frozenset(group_id for group_id, kinds in access.items() if kinds & LICENSING),
            site_admin=self._is_admin(admin_groups, aside),
        )

    def group_among(self, texts: Collection[str], *, watching: Watching = UNWATCHED) -> str:
        """Return the first of `texts` that is the name or the id of a group of the site, registered or not; else ""."""
        gateway = self.spoke.aio.gateway
        operation = Operation("look_up_groups", unit="groups", **only_pauses(watching).options)
        there: set[str] = set()

        async def ask(text: str) -> None:
            if is_group_id(group_id_in(text)):
                try:
                    await confirm(gateway, operation, group_id_in(text))
                    there.add(text)
                except NotThere:
                    pass
            elif comparable(text) in {comparable(group.name) for group in await named(gateway, operation, text)}:
                there.add(text)

        self._all(ask, texts, operation)
        return next((text for text in texts if text in there), "")

    def memberships(self, accounts: Collection[str], *, watching: Watching = UNWATCHED) -> dict[str, frozenset[str]]:
        """Return the groups of each account, for at most `SEATS_ASKED` accounts; empty when that is not to be known."""
        if len(accounts) > SEATS_ASKED:
            return {}
        spoke, found, aside = self.spoke.aio, dict[str, frozenset[str]](), only_pauses(watching)

        async def ask(account: str) -> None:
            try:
                groups = await spoke.look_up_group_memberships_for_user(account, **aside.options)
                found[account] = frozenset(groups["group_id"])
            except NotThere:
                found[account] = frozenset()

        try:
            self._all(ask, accounts)
        except ScopeMissing:
            return {}
        return found

    @contextmanager
    def fenced(self, fence: Fence) -> Iterator[None]:
        """Let `fence` be asked last before every change that this spoke sends."""
        gateway = self.spoke.aio.gateway
        gateway.fence = fence
        try:
            yield
        finally:
            gateway.fence = None

    # -- what an apply does (`spokekit.groups.apply.Hands`) ------------------------------------------------------------

    def add(self, group_id: str, account_id: str, *, watching: Watching = UNWATCHED) -> None:
        """Add one member; the guard of the gateway has the last word."""
        self.spoke.add_member_to_group_by_group_id(group_id, account_id, **watching.options)

    def remove(self, group_id: str, account_id: str, *, watching: Watching = UNWATCHED) -> None:
        """Remove one member; the guard of the gateway has the last word."""
        self.spoke.remove_member_from_group_by_group_id(group_id, account_id, **watching.options)

    def was_so(self, group_id: str, account_id: str, *, watching: Watching = UNWATCHED) -> bool | None:
        """Ask quickly whether the account is a member, by the person's groups; None when that cannot be told soon."""
        try:
            return group_id in self._groups_of(account_id, watching, deadline=LOOK_FOR)
        except (ServiceError, TransportError, IncompleteResult):
            return None

    def is_member(self, group_id: str, account_id: str, *, watching: Watching = UNWATCHED) -> bool:
        """Ask the site, by the person's groups, or by the group's members where the scope for that is missing."""
        try:
            return group_id in self._groups_of(account_id, watching)
        except ScopeMissing:
            frame = self.spoke.look_up_members_by_group_id(group_id, **watching.options)
            return account_id in set(frame["account_id"])

    # -- inside --------------------------------------------------------------------------------------------------------

    def _groups_of(self, account_id: str, watching: Watching, deadline: float | None = None) -> frozenset[str]:
        try:
            frame = self.spoke.look_up_group_memberships_for_user(account_id, **watching.options, deadline=deadline)
        except NotThere:
            return frozenset()
        return frozenset(frame["group_id"])

    def _is_admin(self, admin_groups: Collection[str], watching: Watching) -> bool | None:
        if not self.me or not admin_groups:
            return None
        try:
            return bool(self._groups_of(self.me, watching) & set(admin_groups))
        except ScopeMissing:
            return None

    def _registered(self) -> dict[str, tuple[str, str]]:
        frame = self.registry.frame()
        return {
            str(group_id): (str(name), str(current))
            for group_id, name, current in zip(frame["group_id"], frame["name"], frame["current_name"], strict=True)
        }

    def _access(self, watching: Watching) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for kind in ACCESS:
            groups = self.spoke.look_up_groups(kind, with_access=False, **watching.options)
            for group_id in groups["group_id"]:
                found.setdefault(group_id, set()).add(kind)
        return {group_id: frozenset(kinds) for group_id, kinds in found.items()}

    def _by_id(
        self, wanted: Iterable[str], registered: Mapping[str, object], watching: Watching
    ) -> dict[str, Group | None]:
        """Ask for each group that is registered or whose id looks like one; None for those that are not there."""
        gateway = self.spoke.aio.gateway
        operation = Operation("look_up_groups", unit="groups", **watching.options)
        found: dict[str, Group | None] = {}
        strange = [text for text in wanted if text not in registered and is_group_id(text)]
        wanted = [group_id for group_id in wanted if group_id in registered] + strange[:STRANGERS_ASKED]

        async def ask(group_id: str) -> None:
            try:
                found[group_id] = await confirm(gateway, operation, group_id)
            except NotThere:
                found[group_id] = None

        self._all(ask, wanted, operation)
        return found

    def _all(
        self, ask: Callable[[str], Awaitable[None]], what: Collection[str], operation: Operation | None = None
    ) -> None:
        """Ask about each of `what`, as many at a time as the gateway allows; raises the first error plainly.

        An `operation` that all questions share is what stops them when they are cancelled.
        """
        run = bind(pull.run, ask, what, most=self.spoke.aio.gateway.in_flight)
        _portal.call(run) if operation is None else _portal.call(operation.run, run)

    def _members(self, group_ids: list[str], watching: Watching) -> _Members:
        if not group_ids:
            return _Members(None)
        frame = self.spoke.look_up_members_by_group_id(group_ids, confirm_empty=False, **watching.options)
        return _Members(frame)

    def _people(self, account_ids: list[str], watching: Watching) -> dict[str, Person]:
        if not account_ids:
            return {}
        frame = self.spoke.look_up_users(account_ids, **watching.options)
        columns = ("account_id", "display_name", "account_type", "account_status", "is_guest", "email")
        rows = zip(*(frame[name].tolist() for name in columns), strict=True)
        return {row[0]: Person(row[0], row[1], row[2], row[3] or "unknown", bool(row[4]), row[5]) for row in rows}


class _Members:
    """A frame of memberships as sets by group, people by account and accounts by address."""

    def __init__(self, frame: pd.DataFrame | None) -> None:
        self._sets: dict[str, frozenset[str]] = {}
        self.people: dict[str, Person] = {}
        self.mails: dict[str, tuple[str, ...]] = {}
        if frame is None:
            return
        for group_id, rows in frame.groupby("group_id", observed=False, sort=False)["account_id"]:
            self._sets[str(group_id)] = frozenset(rows)
        once = frame.drop_duplicates("account_id")
        columns = ("account_id", "display_name", "account_type", "is_guest", "email")
        by_mail: dict[str, set[str]] = {}
        for account, name, kind, guest, mail in zip(*(once[c].tolist() for c in columns), strict=True):
            self.people[account] = Person(account, name, kind or "atlassian", "unknown", bool(guest), mail)
            if mail:
                by_mail.setdefault(comparable(mail), set()).add(account)
        self.mails = {mail: tuple(sorted(accounts)) for mail, accounts in by_mail.items()}

    def of(self, group_id: str) -> frozenset[str]:
        return self._sets.get(group_id, frozenset())


def _group(
    group_id: str,
    found: Group | None,
    registered: tuple[str, str] | None,
    access: Mapping[str, frozenset[str]],
    members: frozenset[str],
) -> GroupNow:
    return GroupNow(
        group_id=group_id,
        name=found.name if found else (registered[1] or registered[0] if registered else ""),
        members=members,
        access=", ".join(kind for kind in ACCESS if kind in access.get(group_id, ())),
        managed_by=(found.managed_by or "") if found else "",
        usage_type=(found.usage_type or "") if found else "",
        registered=registered is not None,
        registered_name=registered[0] if registered else "",
        there=found is not None,
    )


def _is_active_person(person: Person | None) -> bool:
    return person is not None and person.status not in ("inactive", "closed") and person.account_type != "app"
