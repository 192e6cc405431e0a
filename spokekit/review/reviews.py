"""The access reviews of one site: open one, find one, list them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spokekit._frames import frame_of
from spokekit._words import comparable, counted
from spokekit.errors import InputError
from spokekit.review import records as rec
from spokekit.review.campaign import Campaign
from spokekit.review.decisions import day, today_here
from spokekit.review.population import INACTIVE_DAYS, Earlier, Population, population
from spokekit.review.records import Actor, Head, Records

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit import Audit
    from spokekit.audit.compare_people import Comparison
    from spokekit.connections.connection import Connection
    from spokekit.connections.store import Store
    from spokekit.groups.registry import Registry

NAME_LENGTH = 100
_LISTED = {
    **dict.fromkeys(("name", "state"), "text"),
    **dict.fromkeys(("in_scope", "undecided", "remove"), "int"),
    "due": "text",
    "opened_at": "time",
    "partial": "bool",
    "scope": "text",
}


class Opens(Protocol):
    """What gives store, connection and registry: a `Workspace`."""

    @property
    def store(self) -> Store: ...

    def sited(self, name: str | None = None) -> Connection: ...

    def registry(self, name: str | None = None) -> Registry: ...


class Reviews:
    """The access reviews of one site, in the store.

    Parameters
    ----------
    store:
        Where the reviews are kept; a team's serves all of its reviewers.
    cloud_id, site:
        Which site.
    actor:
        Who acts: the account that is signed in. What it decides is recorded as its own.
    registered:
        Tells the ids of the registered groups.
    snapshots:
        Where the snapshots of all sites are; ``snapshots`` under the home by default.
    """

    def __init__(
        self,
        store: Store,
        cloud_id: str,
        site: str = "",
        *,
        actor: Actor | None = None,
        registered: Callable[[], Iterable[str]] = tuple,
        snapshots: Path | None = None,
    ) -> None:
        self.records = Records(store)
        self.cloud_id = cloud_id
        self.site = site or cloud_id
        self.actor = actor or Actor("", "", through())
        self._registered = registered
        self._snapshots = snapshots

    @classmethod
    def of(cls, workspace: Opens, name: str | None = None) -> Reviews:
        """Open them for a connection of a workspace; without a name, the default alias's."""
        connection = workspace.sited(name)
        actor = Actor(connection.account_id or "", connection.account_name or "", through(connection.name))
        site = (connection.cloud_id or "", connection.site_name or "")
        return cls(workspace.store, *site, actor=actor, registered=workspace.registry(name).ids)

    def audit(self) -> Audit:
        """Return the newest snapshot of the site, to be asked; raises `NotFound` where there is none."""
        from spokekit.audit import Audit

        return Audit.of_site(self.cloud_id, folder=self._snapshots)

    def open(
        self,
        name: str,
        *,
        scope: str = "registered",
        groups: Sequence[str] = (),
        due: date | str | None = None,
        reviewers: Mapping[str, str] | None = None,
        partial: bool = False,
        people: Comparison | pd.DataFrame | None = None,
        inactive_days: int = INACTIVE_DAYS,
        audit: Audit | None = None,
        draft: bool = False,
    ) -> Campaign:
        """Open a review of who may keep access. Its population is the newest snapshot, kept row by row.

        A draft of that name is opened as it is, whatever else is given.

        Parameters
        ----------
        scope:
            ``registered`` groups, all that give ``access`` to the product, or those of ``admins``.
        groups:
            Names or ids of groups, instead of a scope.
        due:
            The last day for decisions.
        reviewers:
            Who is to decide, by group (name or id): a name, an address or an account id.
        partial:
            Open it although its population is incomplete; that stands on every page of the evidence.
        people:
            What lists from elsewhere say of the accounts: a comparison (`spokekit.audit.compare_people`), or a frame
            with account_id, in_list, left (bool), last_seen, as_of (days).
        inactive_days:
            From how many days without a visit on an account counts as inactive, where `people` tells that.
        audit:
            Another state than that of the newest snapshot.
        draft:
            Leave it as a draft, to be opened later.

        Raises
        ------
        IncompleteResult
            The population is incomplete, and `partial` was not asked for.
        InputError
            Name, scope, groups, day or reviewers cannot be used, or nobody is in scope.
        Conflict
            There is a review of this name already.
        NotFound
            There is no snapshot.
        """
        title = _title(name)
        campaign = self._draft(title)
        if campaign is not None:
            if not draft:
                campaign.start()
            return campaign
        last = day(due)
        if last and last < today_here().isoformat():
            raise InputError(f"The due day {last} is over.", field="due", hint="Name a day to come, like 2027-01-15.")
        source = audit or self.audit()
        found = population(
            *(source, scope, groups),
            registered=frozenset(self._registered()),
            people=people,
            inactive_days=inactive_days,
            earlier=self._earlier(),
            today=today_here(),
        )
        found.check(partial=partial)
        about = self._about(source, found, scope, groups, last, _reviewers(source, found, reviewers or {}))
        head = Head(str(uuid.uuid4()), title, self.cloud_id, self.site, datetime.now(UTC), about)
        acted = (self.actor.account_id, self.actor.through)
        self.records.create(head, found.rows, found.people, [rec.Event(rec.DRAFTED, *acted)])
        campaign = Campaign(self.records, head, self.actor)
        if not draft:
            campaign.start()
        return campaign

    def _draft(self, title: str) -> Campaign | None:
        known = next((head for head in self.records.heads(self.cloud_id) if head.name == title), None)
        if known is None:
            return None
        campaign = Campaign(self.records, known, self.actor)
        if campaign.state != rec.DRAFT:
            raise rec.taken_name(title)
        return campaign

    def get(self, name: str) -> Campaign:
        """Return a review by its name; raises `NotFound` with the names there are."""
        return Campaign(self.records, self.records.head(self.cloud_id, name), self.actor)

    def names(self) -> tuple[str, ...]:
        """Return the names of all reviews of the site, oldest first."""
        return tuple(head.name for head in self.records.heads(self.cloud_id))

    def list(self) -> pd.DataFrame:
        """Return one line for each review of the site, newest first.

        Columns: name, state (str), in_scope, undecided, remove (int64), due (str), opened_at (datetime64, UTC), partial
        (bool), scope (str).
        """
        made = [Campaign(self.records, head, self.actor) for head in reversed(self.records.heads(self.cloud_id))]
        rows = [
            {
                **campaign.sums(),
                "name": campaign.name,
                "state": campaign.state,
                "due": campaign.due,
                "opened_at": campaign.head.created_at,
                "partial": bool(campaign.missing),
                "scope": campaign.head.about["scope"],
            }
            for campaign in made
        ]
        return frame_of(rows, _LISTED)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _about(
        self,
        audit: Audit,
        found: Population,
        scope: str,
        groups: Sequence[str],
        due: str,
        reviewers: Mapping[str, str],
    ) -> dict[str, Any]:
        from importlib.metadata import version

        moments = audit.moments()
        return {
            "scope": f"{counted(len(groups), 'group')} by name" if groups else scope,
            "groups": dict(found.groups),
            "due": due,
            "reviewers": dict(reviewers),
            "missing": list(found.missing),
            "snapshot": moments[-1].number if moments else 0,
            "taken_at": audit.taken_at.isoformat(timespec="seconds"),
            "walked": str(audit.scope.get("groups", "")),
            "completeness": str(audit.completeness.get("words") or ""),
            "caution": audit.caution(),
            "spokekit": version("spokekit"),
        }

    def _earlier(self) -> Earlier:
        """Return the exceptions of earlier campaigns, the latest of each membership."""
        until: dict[tuple[str, str], tuple[str, str]] = {}
        for head in self.records.heads(self.cloud_id):
            decided = {
                event.row_id: event for event in self.records.events(head.campaign_id) if event.event == rec.ROW_DECIDED
            }
            for row in self.records.rows(head.campaign_id):
                until.pop(row.pair, None)
                event = decided.get(row.row_id)
                if event is not None and event.decision == rec.EXCEPTION:
                    until[row.pair] = (event.until, head.name)
        return until


def through(connection: str = "") -> str:
    """Say by what somebody is known here: the consent of a connection, and the user of this computer or hub."""
    import getpass
    import os

    hub = os.environ.get("JUPYTERHUB_USER", "")
    try:
        user = f"Jupyter user {hub}" if hub else f"computer user {getpass.getuser()}"
    except (OSError, KeyError):
        user = "an unknown computer user"
    return rec.said(f"consent of {connection}, {user}" if connection else user, 300)


def _title(name: str) -> str:
    title = rec.said(name)
    if not title or len(title) > NAME_LENGTH or not title.isprintable():
        raise InputError(
            f"A review needs a name of 1 to {NAME_LENGTH} characters.", field="name", hint="For example 2026-Q4."
        )
    return title


def _reviewers(audit: Audit, found: Population, said: Mapping[str, str]) -> dict[str, str]:
    """Return account ids by group id, from what somebody typed; raises `InputError` for what means nobody here."""
    if not said:
        return {}
    people = audit.session.rows("SELECT account_id, display_name, email FROM users")
    made = {}
    for group, person in said.items():
        ids = [gid for gid, name in found.groups.items() if group == gid or comparable(group) == comparable(name)]
        if len(ids) != 1:
            raise InputError(
                f"{group} is {'the name of several groups' if ids else 'no group'} of this review.",
                field="reviewer",
                hint="Name a group of its scope, by name or id: --reviewer GROUP=PERSON.",
            )
        wanted = comparable(person)
        who = [one for one in people if person == one[0] or wanted in (comparable(one[1]), comparable(one[2] or ""))]
        if len(who) != 1 or not wanted:
            raise InputError(
                f"{person or 'Nobody'} is {'the name of several accounts' if who else 'not an account of this site'}.",
                field="reviewer",
                hint="Name the reviewer by account id.",
            )
        made[ids[0]] = str(who[0][0])
    return made
