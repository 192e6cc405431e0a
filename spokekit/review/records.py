"""What a campaign is made of, and how it is written down: rows, events, names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spokekit._secret import scrub
from spokekit._words import comparable
from spokekit.connections.store import storable
from spokekit.errors import Conflict, NotFound
from spokekit.review._tables import campaigns_table, events_table, people_table, rows_table

if TYPE_CHECKING:
    from spokekit.connections.store import Store

DRAFT, OPEN, DECIDED, APPLIED, VERIFIED, CLOSED = "Draft", "Open", "Decided", "Applied", "Verified", "Closed"
STATES = (DRAFT, OPEN, DECIDED, APPLIED, VERIFIED, CLOSED)
"""The states of a campaign, in their order; none is ever skipped."""

KEEP, REMOVE, ASK, EXCEPTION = "keep", "remove", "ask", "exception"
DECISIONS = (KEEP, REMOVE, ASK, EXCEPTION)
ROUTED_OUT = "routed out"

# Events.
(DRAFTED, OPENED, ROW_DECIDED, SIGNED, PLANNED, WAS_APPLIED, WAS_VERIFIED, HANDED_OUT, WAS_CLOSED, EVIDENCE) = (
    *("drafted", "opened", "decided", "signed", "planned", "applied", "verified", "handed_out", "closed"),
    "evidence",
)
_STATE_AFTER = {
    DRAFTED: DRAFT,
    OPENED: OPEN,
    SIGNED: DECIDED,
    WAS_APPLIED: APPLIED,
    WAS_VERIFIED: VERIFIED,
    WAS_CLOSED: CLOSED,
}
_MOST = 2_000
"""Characters of a reason, a name or a role that are kept."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the account that is signed in ("" where it is not known), its name, and through what."""

    account_id: str
    name: str = ""
    through: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One membership in the population of a campaign, with what was known when it was opened.

    ``advice`` is remove, ask or "", and ``recommendation`` the same with its reason, in words. ``routed_out`` says that
    the group is synced from elsewhere, so that nothing is decided about it here.
    """

    row_id: int
    group_id: str
    group_name: str
    account_id: str
    access: str
    managed_by: str
    account_type: str
    account_status: str
    is_guest: bool
    licensed: bool
    member_since: str
    registered: bool
    routed_out: bool
    advice: str
    recommendation: str

    @property
    def pair(self) -> tuple[str, str]:
        """Group id and account id."""
        return self.group_id, self.account_id


_FIELDS = tuple(f.name for f in fields(Row))


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a campaign. ``stated_by`` is the reviewer that a worksheet names."""

    event: str
    by: str
    through: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    row_id: int | None = None
    decision: str = ""
    reason: str = ""
    until: str = ""
    stated_by: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """What a campaign is: its name, site, and the facts of its opening."""

    campaign_id: str
    name: str
    cloud_id: str
    site: str
    created_at: datetime
    about: Mapping[str, Any]


def said(text: str, most: int = _MOST) -> str:
    """Return what somebody typed as it is kept: no secret, nothing that a database cannot hold, not without end."""
    return storable(scrub(" ".join(text.split())))[:most]


def state_after(events: Iterable[Event]) -> str:
    """Return the state that a campaign is in after `events`."""
    state = DRAFT
    for event in events:
        if event.event == SIGNED and state != OPEN:
            # A further signature changes nothing.
            continue
        state = _STATE_AFTER.get(event.event, state)
    return state


class Records:
    """Campaigns in a store: written whole or not at all, read by anybody who has the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.ensure(campaigns_table, rows_table, events_table, people_table)

    def heads(self, cloud_id: str) -> tuple[Head, ...]:
        """Return the campaigns of a site, oldest first."""
        t = campaigns_table
        query = sa.select(t).where(t.c.cloud_id == cloud_id).order_by(t.c.created_at)
        return tuple(_head(row) for row in self.store.fetch(query))

    def head(self, cloud_id: str, name: str) -> Head:
        """Return a campaign by its name; raises `NotFound` with the names there are."""
        t = campaigns_table
        found = self.store.fetch(sa.select(t).where(t.c.cloud_id == cloud_id, t.c.name_key == comparable(name)))
        if not found:
            names = [head.name for head in self.heads(cloud_id)]
            raise NotFound(
                f"There is no review called {name}.",
                likely=f"There are: {', '.join(names[-10:])}." if names else "None was opened on this site yet.",
                hint="Open one: spokekit review open NAME --scope registered, or Open a review in notebook 07.",
            )
        return _head(found[0])

    def create(
        self, head: Head, rows: Sequence[Row], people: Mapping[str, tuple[str, str]], events: Sequence[Event]
    ) -> None:
        """Write a campaign with its whole population, in one transaction; raises `Conflict` for a name in use."""
        c = campaigns_table
        key = comparable(head.name)
        with self.store.write() as connection:
            taken = sa.select(c.c.campaign_id).where(c.c.cloud_id == head.cloud_id, c.c.name_key == key)
            if connection.execute(taken).first() is not None:
                raise taken_name(head.name)
            values = {f.name: getattr(head, f.name) for f in fields(Head)}
            values |= {"about": _json(head.about), "name_key": key}
            try:
                connection.execute(c.insert().values(**values))
            except sa.exc.IntegrityError:
                raise taken_name(head.name) from None
            if rows:
                connection.execute(rows_table.insert(), [_values(head.campaign_id, row) for row in rows])
            self._people(connection, head.campaign_id, people)
            connection.execute(events_table.insert(), [_event_values(head.campaign_id, e) for e in events])

    def rows(self, campaign_id: str) -> tuple[Row, ...]:
        """Return the population of a campaign in its order."""
        t = rows_table
        query = sa.select(*(t.c[name] for name in _FIELDS)).where(t.c.campaign_id == campaign_id).order_by(t.c.row_id)
        return tuple(Row(*row) for row in self.store.fetch(query))

    def people(self, campaign_id: str) -> dict[str, tuple[str, str]]:
        """Return name and address by account id, as far as they are kept."""
        t = people_table
        query = sa.select(t.c.account_id, t.c.name, t.c.email).where(t.c.campaign_id == campaign_id)
        return {account: (name, email) for account, name, email in self.store.fetch(query)}

    def forget_people(self, account_ids: Iterable[str]) -> int:
        """Forget names and addresses, in every campaign, and return how many; what was decided stays."""
        with self.store.write() as connection:
            done = connection.execute(people_table.delete().where(people_table.c.account_id.in_(list(account_ids))))
        return int(done.rowcount)

    def events(self, campaign_id: str, after: int = 0) -> tuple[Event, ...]:
        """Return what happened after the event numbered `after`."""
        with self.store.read() as connection:
            return _events(connection, campaign_id, after)

    def append(
        self,
        campaign_id: str,
        make: Callable[[Sequence[Event]], Sequence[Event]],
        *,
        after: int = 0,
        people: Mapping[str, tuple[str, str]] | None = None,
    ) -> tuple[Event, ...]:
        """Add what `make` returns, which is told what others have added meanwhile; returns all events after `after`.

        The campaign is held meanwhile, so that two who act at once do it one after the other.
        """
        with self.store.write() as connection:
            held = sa.select(campaigns_table.c.campaign_id).where(campaigns_table.c.campaign_id == campaign_id)
            connection.execute(held.with_for_update())
            new = make(_events(connection, campaign_id, after))
            if new:
                connection.execute(events_table.insert(), [_event_values(campaign_id, e) for e in new])
            if people:
                self._people(connection, campaign_id, people)
            return _events(connection, campaign_id, after)

    @staticmethod
    def _people(connection: sa.Connection, campaign_id: str, people: Mapping[str, tuple[str, str]]) -> None:
        t = people_table
        known = set(connection.execute(sa.select(t.c.account_id).where(t.c.campaign_id == campaign_id)).scalars())
        new = [
            {
                "key": f"{campaign_id} {account}"[:200],
                "campaign_id": campaign_id,
                "account_id": account,
                "name": storable(name),
                "email": storable(email),
            }
            for account, (name, email) in people.items()
            if account not in known
        ]
        if new:
            connection.execute(t.insert(), new)


def taken_name(name: str) -> Conflict:
    """Return the error for a name that another campaign of the site has."""
    return Conflict(
        f"There is a review called {name} on this site already.",
        hint="Give this one another name, such as that of its quarter; spokekit review list shows those there are.",
    )


def _head(row: Any) -> Head:
    return Head(row.campaign_id, row.name, row.cloud_id, row.site, row.created_at, json.loads(row.about))


def _values(campaign_id: str, row: Row) -> dict[str, Any]:
    values = {name: storable(v) if isinstance(v, str) else v for name, v in asdict(row).items()}
    return {**values, "campaign_id": campaign_id, "key": f"{campaign_id} {row.row_id}"}


def _event_values(campaign_id: str, event: Event) -> dict[str, Any]:
    values = {f.name: getattr(event, f.name) for f in fields(Event) if f.name != "seq"}
    return {**values, "campaign_id": campaign_id, "detail": _json(event.detail) if event.detail else ""}


def _events(connection: sa.Connection, campaign_id: str, after: int) -> tuple[Event, ...]:
    t = events_table
    found = connection.execute(
        sa.select(*(t.c[f.name] for f in fields(Event)))
        .where(t.c.campaign_id == campaign_id, t.c.seq > after)
        .order_by(t.c.seq)
    ).mappings()
    return tuple(Event(**{**row, "detail": json.loads(row["detail"] or "{}")}) for row in found)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True)
