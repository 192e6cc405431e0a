"""What a check looks at: the practice site's state, and what the attempt's store holds. Never a notebook's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from spokekit.errors import NotConfigured, NotFound, SpokekitError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace
    from spokekit.audit.history.snapshot import Snapshot
    from spokekit.connections.connection import Connection
    from spokekit.groups.journal import ApplyState, Journal
    from spokekit.handover import Plan, SignIn
    from spokekit.oauth.status import TokenStatus


@dataclass(frozen=True)
class PersonSeen:
    """An account of the practice site."""

    account_id: str
    name: str
    status: str
    is_guest: bool
    is_app: bool
    licensed: bool


@dataclass(frozen=True)
class GroupSeen:
    """A group of the practice site; ``access`` is "" for none, else "user", "admin, site-admin" …"""

    group_id: str
    name: str
    access: str
    managed_by: str
    members: frozenset[str]


@dataclass(frozen=True)
class AppSeen:
    """An app of the practice site's console."""

    name: str
    client_id: str
    scopes: tuple[str, ...]
    redirect_uris: tuple[str, ...]
    secrets_made: int = 1
    authorized: bool = False
    """A site administrator has let everybody use it."""


@dataclass(frozen=True)
class WriteSeen:
    """A membership write that came over the API and changed something: ``add`` or ``remove``, in a group by name."""

    action: str
    group: str
    account_id: str


Records = Mapping[str, Mapping[str, Mapping[str, str]]]


@dataclass(frozen=True)
class InstanceSeen:
    """The practice instance beside the site; no secret is in it."""

    url: str
    parent_sys_id: str
    records: Records
    """Table -> sys_id -> columns."""
    secrets: Mapping[str, str]
    """Registry -> whose client secret it holds: an app's name, ``another``, ``unreadable`` or ""."""
    tokens: tuple[str, ...]
    """Profiles that hold a token."""
    imported: int
    """How many records came as XML."""
    refused: int
    """How often somebody asked for a token there and got none."""

    def first(self, table: str) -> Mapping[str, str]:
        """Return one record of a table: the only one where a lesson has handed over one connection; else nothing."""
        return next(iter(self.records.get(table, {}).values()), {})


@dataclass(frozen=True)
class SiteState:
    """What the practice site says of itself."""

    signed_in: str
    account_id: str
    sites: tuple[tuple[str, str], ...]
    """Cloud id and name of each."""
    apps: tuple[AppSeen, ...]
    groups: Mapping[str, GroupSeen]
    """By name."""
    people: Mapping[str, PersonSeen]
    """By account id."""
    switches: Mapping[str, Any]
    counts: Mapping[str, int]
    """How many requests of each name were answered."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """How many of them were refused."""
    licensed: int = 0
    """How many people hold a seat."""
    begun: str = ""
    """A word that is another one after each time the site was put back or begun anew."""
    instance: InstanceSeen | None = None
    """The practice instance beside it, where a lesson asked for one."""
    writes: tuple[WriteSeen, ...] = ()
    """The writes that changed something, oldest first, whoever's token it was; none of before the site was started."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        groups = [{**asdict(group), "members": sorted(group.members)} for group in self.groups.values()]
        return {
            **asdict(replace(self, groups={}, people={})),
            "groups": groups,
            "people": [asdict(p) for p in self.people.values()],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> SiteState:
        """Read what `to_json` gave; more than it knows may stand there."""
        groups = {group["name"]: group for group in found["groups"]}
        people = {person["account_id"]: person for person in found["people"]}
        return msgspec.convert({**found, "groups": groups, "people": people}, cls)

    def members(self, group: str) -> frozenset[str]:
        """Return who is in a group, by its name; nobody where there is no such group."""
        found = self.groups.get(group)
        return found.members if found else frozenset()

    def name_of(self, account_id: str) -> str:
        """Return what a person is called."""
        found = self.people.get(account_id)
        return found.name if found else "somebody"

    def names_of(self, account_ids: Any) -> tuple[str, ...]:
        """Return what people are called, from A to Z."""
        return tuple(sorted((self.name_of(one) for one in account_ids), key=str.casefold))

    def at_work(self, among: Iterable[str]) -> tuple[str, ...]:
        """Return which of some accounts are active people's, no guest's and not the learner's own; in one order."""
        fit = (self.people[one] for one in among if one != self.account_id)
        return tuple(sorted(p.account_id for p in fit if p.status == "active" and not (p.is_app or p.is_guest)))

    def groups_of(self, account_id: str) -> frozenset[str]:
        """Return the names of the groups that a person is in."""
        return frozenset(name for name, group in self.groups.items() if account_id in group.members)

    def app(self, client_id: str) -> AppSeen | None:
        """Return the app with a client id."""
        return next((app for app in self.apps if app.client_id == client_id), None)


@dataclass(frozen=True)
class Marks:
    """What the store held when the attempt began; the learner's own doing is the difference."""

    connection_id: str = ""
    name: str = ""
    client_id: str = ""
    redirect_uri: str = ""
    scopes: tuple[str, ...] = ()
    applies: tuple[str, ...] = ()
    snapshots: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What the lesson's `prepare` noted."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Marks:
        """Read what JSON has of it."""
        return msgspec.convert(told, cls)


class Seen:
    """The state that a lesson is judged by. Each thing is read when it is first asked for.

    Attributes
    ----------
    site, before:
        The practice site now, and when the attempt began.
    marks:
        The store when the attempt began.
    answer:
        What the learner answered last; empty for nothing.
    """

    def __init__(
        self,
        site: SiteState,
        workspace: Workspace,
        *,
        before: SiteState | None = None,
        marks: Marks | None = None,
        answer: tuple[str, ...] = (),
        client_secret: Any = None,
        at_instance: Callable[[], SignIn] | None = None,
    ) -> None:
        self.site = site
        self.before = before or site
        self.marks = marks or Marks()
        self.answer = answer
        self._work = workspace
        self._secret = client_secret
        self._at_instance = at_instance

    def noted(self, name: str) -> frozenset[str]:
        """Return what the lesson's `prepare` noted under a name: accounts, groups …"""
        return frozenset(self.marks.extra[name])

    # -- connection and token ------------------------------------------------------------------------------------------

    @cached_property
    def connections(self) -> tuple[Connection, ...]:
        """All saved connections."""
        return tuple(self._work.connections.list())

    @cached_property
    def connection(self) -> Connection | None:
        """The default alias's connection, or None as long as there is none."""
        try:
            return self._work.connection()
        except (NotConfigured, NotFound):
            return None

    @property
    def new_connections(self) -> tuple[Connection, ...]:
        """Connections that were not there when the attempt began."""
        return tuple(c for c in self.connections if c.connection_id != self.marks.connection_id)

    @cached_property
    def has_secret(self) -> bool:
        """A client secret is saved with the connection."""
        return self.connection is not None and self._work.tokens.has_client_secret(self.connection)

    @cached_property
    def secret_fits(self) -> bool:
        """The saved client secret is that of the practice app."""
        if self.connection is None or not self.has_secret or self._secret is None:
            return False
        return bool(self._work.tokens.client_secret(self.connection).reveal() == self._secret.reveal())

    @cached_property
    def token(self) -> TokenStatus | None:
        """How the connection's token stands, or None without a connection."""
        return None if self.connection is None else self._work.tokens.status(self.connection)

    @property
    def has_token(self) -> bool:
        """A token is there and, as far as this computer knows, good."""
        return self.token is not None and self.token.state in ("valid", "expired")

    @cached_property
    def token_works(self) -> bool:
        """The practice site takes the connection's token; it is asked."""
        from spokekit.oauth.grant import reachable_sites

        if self.connection is None or not self.has_token:
            return False
        try:
            return bool(reachable_sites(self._work, self.connection))
        except SpokekitError:
            return False

    @property
    def token_scopes(self) -> frozenset[str]:
        """What the token was granted."""
        return frozenset(self.token.scopes if self.token and self.has_token else ())

    @cached_property
    def token_account(self) -> str:
        """Account id of who the token speaks for, "" when not known."""
        return (self._work.tokens.account(self.connection)[0] or "") if self.connection else ""

    @property
    def app(self) -> AppSeen | None:
        """The practice app that the connection names."""
        return self.site.app(self.connection.client_id) if self.connection else None

    # -- groups --------------------------------------------------------------------------------------------------------

    @cached_property
    def registered(self) -> frozenset[str]:
        """Names of the registered groups."""
        if self.connection is None or not self.connection.cloud_id:
            return frozenset()
        names = {group.group_id: group.name for group in self.site.groups.values()}
        return frozenset(names.get(one, one) for one in self._work.registry().ids())

    @cached_property
    def applies(self) -> tuple[ApplyState, ...]:
        """The applies of the journal since the attempt began, oldest first; those of before are in `applies_before`."""
        return tuple(state for state in self._all_applies if state.apply_id not in self.marks.applies)

    @property
    def applies_before(self) -> tuple[ApplyState, ...]:
        """The applies that were there when the attempt began, as they stand now."""
        return tuple(state for state in self._all_applies if state.apply_id in self.marks.applies)

    @cached_property
    def _all_applies(self) -> tuple[ApplyState, ...]:
        from spokekit.groups.journal import Journal

        return _states(Journal(self._work.store))

    def came(self, group: str) -> frozenset[str]:
        """Return who is in a group now and was not when the attempt began."""
        return self.site.members(group) - self.before.members(group)

    def went(self, group: str) -> frozenset[str]:
        """Return who was in a group when the attempt began and is not now."""
        return self.before.members(group) - self.site.members(group)

    @property
    def changed(self) -> dict[str, frozenset[str]]:
        """Groups in which somebody came or went since the attempt began, with those people."""
        names = {*self.site.groups, *self.before.groups}
        found = {name: self.came(name) | self.went(name) for name in names}
        return {name: people for name, people in found.items() if people}

    def done(self, group: str, action: str, *, before: bool = False) -> frozenset[str]:
        """Return whom the journal has as added to or removed from a group (``add``, ``remove``)."""
        states = self.applies_before if before else self.applies
        return frozenset(
            row.account_id
            for state in states
            for row in state.rows
            if row.status == "done" and row.action == action and row.group == group
        )

    # -- audit ---------------------------------------------------------------------------------------------------------

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot of the connection's site."""
        from spokekit.audit.history.snapshots import Snapshots

        if self.connection is None or not self.connection.cloud_id:
            return None
        try:
            return Snapshots(self.connection.cloud_id).latest()
        except NotFound:
            return None

    @property
    def new_snapshot(self) -> bool:
        """There is a snapshot that was not there when the attempt began."""
        return self.snapshot is not None and self.snapshot.at > self.marks.snapshots

    @property
    def complete(self) -> bool:
        """The newest snapshot lacks nothing."""
        return self.snapshot is not None and bool(self.snapshot.completeness["complete"])

    @cached_property
    def findings(self) -> pd.DataFrame:
        """The findings that were reviewed, as `Findings.frame` lists them."""
        from spokekit.audit.findings import Findings

        return Findings(self.connection.cloud_id if self.connection and self.connection.cloud_id else "-").frame()

    # -- hand-over -----------------------------------------------------------------------------------------------------

    @property
    def instance(self) -> InstanceSeen:
        """The practice instance now; raises `NotFound` where the lesson has none."""
        if self.site.instance is None:
            raise NotFound("There is no practice instance beside the site.", hint="Begin the lesson again.")
        return self.site.instance

    @property
    def instance_before(self) -> InstanceSeen:
        """The practice instance when the attempt began."""
        return self.before.instance or self.instance

    @cached_property
    def plan(self) -> Plan:
        """What the learner's connections and registered groups plan for the instance."""
        return self.plan_with("")

    def plan_with(self, client_id: str) -> Plan:
        """Return the plan for the instance, with the client id of its own app."""
        from spokekit.handover import make_plan
        from spokekit.handover.plan import instance_of

        there = self.instance
        return make_plan(
            self._work.store, instance=instance_of(there.url), parent_sys_id=there.parent_sys_id, client_id=client_id
        )

    @cached_property
    def drift(self) -> pd.DataFrame:
        """What `spokekit.handover.compare` finds on the instance; it is asked."""
        from spokekit.handover import compare

        if self._at_instance is None:
            raise NotFound("There is no practice instance beside the site.", hint="Begin the lesson again.")
        return compare(self.plan, self.instance.url, self._at_instance())

    def drifted(self, kind: str, table: str, column: str = "") -> bool:
        """Tell whether the drift has a row of this kind, table and column."""
        found = self.drift
        return bool(((found["kind"] == kind) & (found["table"] == table) & (found["column"] == column)).any())

    @cached_property
    def hand_overs(self) -> tuple[ApplyState, ...]:
        """What was written to the instance, by its journal, oldest first."""
        from spokekit.groups.journal import Journal
        from spokekit.handover.steps import RECORDS

        return _states(Journal(self._work.store, RECORDS))


def _states(journal: Journal) -> tuple[ApplyState, ...]:
    return tuple(map(journal.state, journal.apply_ids()))
