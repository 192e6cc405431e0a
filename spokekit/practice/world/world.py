"""The directory behind a practice site: people, groups, memberships and spaces, made from a seed.

People and groups are rows; memberships are int32 row numbers, one array per group. Nothing is a list of
dictionaries, since a world of 8 million memberships has to fit beside the notebook that reads it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from spokekit.errors import InputError, NotFound
from spokekit.practice.world.identity import IdSpace
from spokekit.practice.world.names import SITES
from spokekit.practice.world.seed_class import class_seed
from spokekit.practice.world.seed_sizes import SIZES, generated_seed
from spokekit.practice.world.seed_spaces import as_permissions, as_roles
from spokekit.practice.world.seeds import ADMIN, SITE_ADMIN, STATUSES, USER, Space, SpaceGrant

if TYPE_CHECKING:
    import pandas as pd

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Person:
    """One account as the directory holds it; ``email`` is empty when the profile hides it."""

    row: int
    account_id: str
    display_name: str
    public_name: str
    email: str
    account_type: str
    account_status: str
    is_guest: bool
    time_zone: str


@dataclass(frozen=True, slots=True)
class Group:
    """One group as the directory holds it; ``access`` is a bit mask of user (1), admin (2), site-admin (4)."""

    row: int
    group_id: str
    name: str
    access: int
    managed_by: str
    usage_type: str


class World:
    """People, groups and spaces of one practice site.

    Parameters
    ----------
    size:
        ``"class"`` (about 25 groups and 120 people, made by hand), ``"S" "M" "L" "XL" "MAX"`` (generated, see
        `spokekit.practice.SIZES`), or ``"2000x100"``: so many groups with so many members each.
    seed:
        Decides names and ids; in the world ``class`` also which deactivated accounts are in ``confluence-users``, which
        of the two finance groups edits, and how many guests ``agency-partners`` has and what it opens. The same size,
        seed and site number give the same world, byte for byte.
    site_number:
        0 for the first site. The same seed has the same accounts on every site, and other group ids on each.

    Notes
    -----
    Situations in the world ``class`` (column *where* names groups or people by their names):

    =======================================  ===============================================================
    situation                                where
    =======================================  ===============================================================
    gives Confluence user access             ``confluence-users``, ``okta-all-staff``
    gives Confluence admin access            ``confluence-admins``
    gives site admin access                  ``site-admins``
    two kinds of access in one group         ``administrators`` (admin and site-admin)
    Jira only, no Confluence                 ``jira-software-users`` (ten members have no Confluence at all)
    guests, no access type has a value       ``confluence-guests``
    app accounts                             ``atlassian-addons``; one app also in ``confluence-users``
    empty group                              ``project-phoenix``
    a leaver still inside                    ``procurement`` (one deactivated, one closed account)
    deactivated, still in an access group    ``confluence-users`` holds two deactivated accounts or three
    a guest among employees                  ``agency-partners``
    synced from outside (EXTERNAL)           ``okta-all-staff``, ``okta-engineering``, ``okta-contractors``
    nearly the same name                     ``finance-reports`` and ``finance_reports``
    HTML in the name                         ``<b>Research & Development</b>``
    leading ``=``                            ``=Sales(Berlin)``
    name outside ASCII                       ``Zürich Büro``
    very long name                           one that starts with ``steering-committee-``
    teams in the group list                  ``Team Falcon`` (TEAM_MEMBERS), ``Coffee Club`` (OPEN)
    renamed, keeps its id                    ``people-operations``, once ``human-resources`` (`former_names`)
    HTML and a formula as display names      members of ``support-tier-1``
    two people of one display name           members of ``marketing``
    one person in two access groups          every tenth member of ``okta-all-staff``
    hidden e-mail address                    about a third of all people
    a space open to anonymous visitors       space ``HANDBOOK``
    a leaver's personal space                the space of the deactivated member of ``procurement``
    =======================================  ===============================================================
    """

    GROUP_COLUMNS: ClassVar = tuple(field.name for field in fields(Group) if field.name != "row")
    PERSON_COLUMNS: ClassVar = tuple(field.name for field in fields(Person) if field.name != "row")

    def __init__(self, size: str = "class", seed: int = 1, site_number: int = 0) -> None:
        self.size = size
        self.seed = seed
        self.site_number = site_number
        self.base = base = class_seed(seed) if size == "class" else generated_seed(size, seed, site_number)
        self._users = IdSpace(f"user:{seed}", "712020:")
        self._groups = IdSpace(f"group:{seed}:{site_number}")
        site = SITES[site_number % len(SITES)]
        again = site_number // len(SITES)
        self.site_name = site[0] + (f" {again + 1}" if again else "")
        self.site_host = site[1] + (f"-{again + 1}" if again else "") + ".atlassian.net"
        self.cloud_id = IdSpace(f"site:{seed}").of(site_number)
        self.status = base.status.copy()
        self.is_app = base.is_app.copy()
        self.is_guest = base.is_guest.copy()
        self.group_access = base.group_access.copy()
        self.group_managed = list(base.group_managed)
        self.group_usage = list(base.group_usage)
        self.former_names: dict[str, str] = {self._groups.of(row): name for row, name in base.former_names.items()}
        # What differs from the seed; `spokekit.practice.changes` keeps it over a restart.
        self.user_names: dict[int, str] = {}
        self.group_names: dict[int, str] = {}
        self.changed_members: dict[int, Rows] = {}
        self.deleted_groups: set[int] = set()
        self.changed_at: dict[int, float] = {}
        # Counted up with each change, of anything, of who has access, and of groups and their names.
        self.version = self._access_version = self._names_version = 0
        nobody = np.zeros(0, dtype=bool)
        self._access_cache = (-1, (nobody, nobody))
        self._orders: tuple[int, dict[int, list[int]]] = (0, {})
        # Answers that are dear to make; the rooms that answer fill them.
        self.user_texts: dict[int, str] = {}
        self.visible: dict[tuple[int, int], list[Space]] = {}
        self.lists: dict[Hashable, list[Any]] = {}

    # -- people ---------------------------------------------------------------------------------------------

    @property
    def user_count(self) -> int:
        """How many accounts the directory holds, deactivated and app accounts included."""
        return len(self.status)

    def account(self, role: str) -> str:
        """Return the account id of a person to sign in as: admin, member, guest or outsider (no Confluence)."""
        row = self.base.roles.get(role)
        if row is None:
            known = ", ".join(self.base.roles)
            raise InputError(f"Nobody in this world has the role {role!r}.", field="signed_in", hint=f"Use {known}.")
        return self._users.of(row)

    def group_id(self, row: int) -> str:
        """Return the id of the group in ``row``."""
        return self._groups.of(row)

    def account_id(self, row: int) -> str:
        """Return the account id of the person in ``row``."""
        return self._users.of(row)

    def user_row(self, account_id: str) -> int | None:
        """Return the row of an account id, or None when nobody has it."""
        row = self._users.row(account_id)
        return row if row is not None and row < self.user_count else None

    def person(self, row: int) -> Person:
        """Return the account in ``row``."""
        name = self.user_names.get(row) or self.base.user_name(row)
        return Person(
            row=row,
            account_id=self._users.of(row),
            display_name=name,
            public_name=self.base.public_name(row) if row not in self.user_names else name,
            email=self.base.email(row),
            account_type="app" if self.is_app[row] else "atlassian",
            account_status=STATUSES[self.status[row]],
            is_guest=bool(self.is_guest[row]),
            time_zone=self.base.time_zone(row),
        )

    def find_person(self, text: str) -> Person:
        """Return the one person with this account id or display name; raises `NotFound`."""
        row = self.user_row(text)
        if row is None:
            row = next((i for i in range(self.user_count) if self.person(i).display_name == text), None)
        if row is None:
            raise NotFound(f"Nobody in the practice world is called {text!r}.")
        return self.person(row)

    def updated_at(self, row: int) -> float:
        """Return when a person's data last changed (POSIX seconds), for the personal-data report."""
        return self.changed_at.get(row, dt.datetime(2024, 1, 15, tzinfo=dt.UTC).timestamp())

    @property
    def licensed(self) -> npt.NDArray[np.bool_]:
        """Who may use Confluence: active, and in a group that gives user or admin access, or a guest."""
        return self._access()[0]

    @property
    def site_admins(self) -> npt.NDArray[np.bool_]:
        """Who is in a group that gives site administration."""
        return self._access()[1]

    def _access(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        version = self._access_version
        if self._access_cache[0] != version:
            seated, admins = np.zeros(self.user_count, dtype=bool), np.zeros(self.user_count, dtype=bool)
            for row in map(int, np.flatnonzero(self.group_access)):
                if row in self.deleted_groups:
                    continue
                if self.group_access[row] & (USER | ADMIN):
                    seated[self.members(row)] = True
                if self.group_access[row] & SITE_ADMIN:
                    admins[self.members(row)] = True
            # The version is the one from before: a change meanwhile makes the next reader count again.
            self._access_cache = (version, ((seated | self.is_guest) & (self.status == 0), admins))
        return self._access_cache[1]

    # -- groups ---------------------------------------------------------------------------------------------

    @property
    def group_count(self) -> int:
        """How many groups there are, teams and synced ones included."""
        return len(self.group_access) - len(self.deleted_groups)

    def group_row(self, group_id: str) -> int | None:
        """Return the row of a group id, or None when no group has it."""
        row = self._groups.row(group_id)
        return row if row is not None and row < len(self.group_access) and row not in self.deleted_groups else None

    def group_name(self, row: int) -> str:
        """Return the present name of the group in ``row``."""
        return self.group_names.get(row) or self.base.group_name(row)

    def group(self, row: int) -> Group:
        """Return the group in ``row``."""
        return Group(
            row=row,
            group_id=self._groups.of(row),
            name=self.group_name(row),
            access=int(self.group_access[row]),
            managed_by=self.group_managed[row],
            usage_type=self.group_usage[row],
        )

    def find_group(self, text: str) -> Group:
        """Return the group with this id or this exact name; raises `NotFound`."""
        row = self.group_row(text)
        if row is None:
            row = next((r for r in self.group_order() if self.group_name(r) == text), None)
        if row is None:
            raise NotFound(f"No group in the practice world is called {text!r}.")
        return self.group(row)

    def group_order(self, access: int = 0) -> list[int]:
        """Return the rows of all groups by name, or only of those with one of the bits of ``access``."""
        version = self._names_version
        if self._orders[0] != version:
            self._orders = (version, {})
        cache = self._orders[1]
        if access not in cache:
            rows = [r for r in range(len(self.group_access)) if r not in self.deleted_groups]
            if access:
                rows = [r for r in rows if self.group_access[r] & access]
            cache[access] = sorted(rows, key=lambda r: (self.group_name(r).casefold(), r))
        return cache[access]

    def members(self, row: int) -> Rows:
        """Return the user rows in a group, in the order in which the site lists them."""
        changed = self.changed_members.get(row)
        if changed is not None:
            return changed
        offsets = self.base.offsets
        if row >= len(offsets) - 1:
            return np.empty(0, dtype=np.int32)
        return self.base.members[offsets[row] : offsets[row + 1]]

    def member_ids(self, group: str) -> list[str]:
        """Return the account ids in a group, given by id or name."""
        return [self._users.of(int(row)) for row in self.members(self.find_group(group).row)]

    @cached_property
    def _reverse(self) -> tuple[Rows, npt.NDArray[np.int64]]:
        # Built on the first question about one person: a walk of groups never needs it.
        base = self.base
        groups = np.repeat(np.arange(len(base.offsets) - 1, dtype=np.int32), np.diff(base.offsets))
        order = np.argsort(base.members, kind="stable")
        counts = np.bincount(base.members, minlength=base.status.size)
        return groups[order], np.concatenate(([0], np.cumsum(counts)))

    def groups_of(self, user_row: int) -> list[int]:
        """Return the rows of the groups that a person is in, by name."""
        groups, offsets = self._reverse
        found: set[int] = set()
        if user_row < len(offsets) - 1:
            found = {int(g) for g in groups[offsets[user_row] : offsets[user_row + 1]]}
        for row, rows in self.changed_members.items():
            (found.add if user_row in rows else found.discard)(row)
        return sorted(found - self.deleted_groups, key=lambda r: (self.group_name(r).casefold(), r))

    # -- changing the world ---------------------------------------------------------------------------------

    def add_member(self, group: str, account_id: str) -> bool:
        """Put a person into a group (id or name); False when they were in it already."""
        row, user = self.find_group(group).row, self._known(account_id)
        rows = self.members(row)
        if user in rows:
            return False
        self.changed_members[row] = np.append(rows, np.int32(user)).astype(np.int32)
        self._changed(access=bool(self.group_access[row]))
        return True

    def remove_member(self, group: str, account_id: str) -> bool:
        """Take a person out of a group (id or name); False when they were not in it."""
        row, user = self.find_group(group).row, self._known(account_id)
        rows = self.members(row)
        if user not in rows:
            return False
        self.changed_members[row] = rows[rows != user]
        self._changed(access=bool(self.group_access[row]))
        return True

    def rename_group(self, group: str, name: str) -> str:
        """Give a group another name; its id, which is returned, stays."""
        found = self.find_group(group)
        self.former_names[found.group_id] = found.name
        self.group_names[found.row] = name
        self._changed(names=True)
        return found.group_id

    def create_group(self, name: str, *, access: int = 0, managed_by: str = "ADMINS") -> str:
        """Add an empty group and return its id."""
        row = len(self.group_access)
        self.group_access = np.append(self.group_access, np.uint8(access)).astype(np.uint8)
        self.group_managed.append(managed_by)
        self.group_usage.append("USERBASE_GROUP")
        self.group_names[row] = name
        self.changed_members[row] = np.empty(0, dtype=np.int32)
        self._changed(access=True, names=True)
        return self._groups.of(row)

    def delete_group(self, group: str) -> None:
        """Remove a group; its id is unknown from then on."""
        self.deleted_groups.add(self.find_group(group).row)
        self._changed(access=True, names=True)

    def set_status(self, account_id: str, status: str, *, at: float | None = None) -> None:
        """Set an account to ``active``, ``inactive`` or ``closed``; ``at`` is when (POSIX seconds)."""
        row = self._known(account_id)
        self.status[row] = STATUSES.index(status)
        self._person_changed(row, at)

    def rename_person(self, account_id: str, display_name: str, *, at: float | None = None) -> None:
        """Give a person another display name; ``at`` is when (POSIX seconds)."""
        row = self._known(account_id)
        self.user_names[row] = display_name
        self._person_changed(row, at)

    def _person_changed(self, row: int, at: float | None) -> None:
        self.changed_at[row] = at if at is not None else dt.datetime.now(dt.UTC).timestamp()
        self.user_texts.clear()
        self._changed(access=True)

    def changed_from_outside(self) -> None:
        """Count everything anew, after changes that came from elsewhere than the methods above."""
        self.user_texts.clear()
        self._changed(access=True, names=True)

    def _changed(self, *, access: bool = False, names: bool = False) -> None:
        self.version += 1
        self._access_version += access
        self._names_version += names

    def _known(self, account_id: str) -> int:
        row = self.user_row(account_id)
        if row is None:
            raise NotFound(f"No account {account_id!r} in the practice world.")
        return row

    # -- spaces ---------------------------------------------------------------------------------------------

    @cached_property
    def spaces(self) -> list[Space]:
        """All spaces by id."""
        return self.base.spaces()

    @cached_property
    def _personal_spaces(self) -> dict[int, str]:
        return {space.owner: space.space_id for space in self.spaces if space.type == "personal"}

    def personal_space(self, user_row: int) -> str:
        """Return the id of a person's personal space, or an empty text."""
        return self._personal_spaces.get(user_row, "")

    def space_grants(self, space: Space) -> list[SpaceGrant]:
        """Who may do what in a space; principals are account ids, group ids or an access class."""
        return [self._with_ids(grant) for grant in as_permissions(self.base.accesses(space))]

    def space_roles_given(self, space: Space) -> list[SpaceGrant]:
        """The same access in the words of space roles, for sites that have them."""
        return [self._with_ids(grant) for grant in as_roles(self.base.accesses(space))]

    def _with_ids(self, grant: SpaceGrant) -> SpaceGrant:
        if grant.principal_type == "user":
            return replace(grant, principal_id=self._users.of(int(grant.principal_id)))
        if grant.principal_type == "group":
            return replace(grant, principal_id=self._groups.of(int(grant.principal_id)))
        return grant

    # -- the truth, for tests -------------------------------------------------------------------------------

    def frames(self, *, tables: Iterable[str] | None = None) -> dict[str, pd.DataFrame]:
        """Return what the world holds, as frames that a test compares with what it pulled.

        Parameters
        ----------
        tables:
            Names of the frames to build; all when left out.

        Returns
        -------
        ``groups``
            group_id, name, access ("user, admin", "" for none), managed_by, usage_type, members (int64); by name.
        ``users``
            account_id, display_name, public_name, email, account_type, account_status, is_guest (bool),
            licensed (bool), time_zone; in directory order.
        ``memberships``
            group_id (category), account_id (category); grouped in the order of ``groups``.
        ``spaces``
            space_id, key, name, type, status; by id.
        ``grants``
            space_id, principal_type (user, group, access-class), principal_id, operation, target; one a row.
        ``role_assignments``
            space_id, principal_type, principal_id, role: the same access as a site with roles tells it.
        """
        from spokekit.practice.world.frames import frames

        return frames(self, tables)


__all__ = ["ADMIN", "SITE_ADMIN", "SIZES", "USER", "Group", "Person", "World"]
