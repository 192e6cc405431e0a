"""The steps of the set-up, each in a notebook of its own, and which of them are done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from spokekit._home import home, under_voila
from spokekit._words import clock, counted
from spokekit.errors import NotConfigured, NotFound, SpokekitError
from spokekit.widgets._cells import not_yet
from spokekit.widgets._explain import ON_ONE_PAGE
from spokekit.widgets.strip import Stop

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.connections.connection import Connection

E = TypeVar("E", bound=SpokekitError)


class Step(Stop):
    """One step of the way; its sign is its number."""

    @property
    def number(self) -> int:
        """The number of the step."""
        return int(self.sign)


STEPS = (
    Step("0", "Start here", "Start", "00-start-here.ipynb"),
    Step("1", "Create the OAuth app", "App", "01-create-the-oauth-app.ipynb"),
    Step("2", "Configure the connection", "Connection", "02-configure-the-connection.ipynb"),
    Step("3", "Get the OAuth token", "Token", "03-get-the-oauth-token.ipynb"),
    Step("4", "Add Confluence groups", "Groups", "04-add-confluence-groups.ipynb"),
    Step("5", "Audit group access", "Audit", "05-audit-group-access.ipynb"),
    Step("6", "Manage members", "Members", "06-manage-members.ipynb"),
    Step("7", "Review access", "Review", "07-review-access.ipynb"),
    Step("8", "Hand over", "Hand over", "08-hand-over.ipynb"),
)
ONE_PAGE = "one-page.ipynb"
COMMANDS = {
    1: "spokekit connections add",
    2: "spokekit connections add",
    3: "spokekit token get",
    4: "spokekit groups add",
    5: "spokekit audit walk",
    6: "spokekit members plan",
    7: "spokekit review open",
    8: "spokekit handover plan",
}
"""The command that does a step without its notebook."""
# Steps that are read: nothing in a store tells that somebody did.
READ = (0, 1)


def saved_connection(workspace: Workspace, name: str | None = None) -> Connection | None:
    """Return the saved connection, or None as long as there is none."""
    try:
        return workspace.connection(name)
    except (NotConfigured, NotFound):
        return None


def steps_done(workspace: Workspace, name: str | None = None) -> dict[int, str]:
    """Return the numbers of the steps that are done, each with what tells so.

    Step 5 is done when the site has a snapshot of a complete walk, step 6 when a change was applied: a preview lives
    in its notebook alone, and nothing tells of it later. Step 7 is done when a review was closed, step 8 when something
    was written to an instance.
    """
    found: dict[int, str] = {}
    saved = saved_connection(workspace, name)
    if saved is None:
        return found
    tokens = workspace.tokens
    if saved.client_id and tokens.has_client_secret(saved):
        found[1] = "client ID and secret are here"
        found[2] = f"“{saved.name}”"
    if tokens.status(saved).state not in ("valid", "expired") or not saved.cloud_id:
        return found
    who = f", signed in as {saved.account_name}" if saved.account_name else ""
    found[3] = f"{saved.site_name or saved.cloud_id}{who}"
    if count := len(workspace.registry(name).ids()):
        found[4] = f"{counted(count, 'group')} {'is' if count == 1 else 'are'} registered"
    if walked := _complete_walk(saved.cloud_id):
        found[5] = walked
    from spokekit.groups.journal import Journal

    if applies := len(Journal(workspace.store).apply_ids(saved.cloud_id, saved.alias_id)):
        found[6] = f"changes were applied {'once' if applies == 1 else f'{applies:,} times'}"
    if closed := _closed_review(workspace, saved.cloud_id):
        found[7] = f"the review {closed} is closed"
    from spokekit.handover.steps import RECORDS

    if written := len(Journal(workspace.store, RECORDS).apply_ids()):
        found[8] = f"an instance was written to {'once' if written == 1 else f'{written:,} times'}"
    return found


def _complete_walk(cloud_id: str) -> str:
    # Loading the audit costs a part of the first minute, in which there is nothing to load it for.
    if not (home() / "snapshots").is_dir():
        return ""
    from spokekit.audit.history.snapshots import Snapshots

    try:
        moments = [m for m in Snapshots(cloud_id).latest().moments if m.complete]
    except NotFound:
        return ""
    return f"a complete snapshot, taken {clock(moments[-1].taken_at)}" if moments else ""


def _closed_review(workspace: Workspace, cloud_id: str) -> str:
    from spokekit.review.records import CLOSED, Records, state_after

    records = Records(workspace.store)
    for head in reversed(records.heads(cloud_id)):
        if state_after(records.events(head.campaign_id)) == CLOSED:
            return head.name
    return ""


def needs(workspace: Workspace, step: int, name: str | None = None) -> None:
    """Stop in one line instead of a traceback as long as `step` is not done.

    A person may press Run All before anything was clicked; the cells below then have nothing to show.
    """
    if step in steps_done(workspace, name):
        return
    title = next(s.title for s in STEPS if s.number == step)
    raise comes_first(title, "Do it in its component above or in its notebook, then run this cell.")


def comes_first(title: str, way: str, kind: type[E] = NotConfigured) -> E:  # type: ignore[assignment]
    """Return the error that ends a cell with what has to be done before, and `way`, how.

    A visitor of Voilà has no cells; the page with the whole way is the way then.
    """
    if under_voila(os.environ):
        way = ON_ONE_PAGE
    return not_yet(kind(f"Not yet: “{title}” comes first. {way}"))
