"""``spokekit tour``: the whole set-up, unattended, against a practice site inside this process."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

import typer

from spokekit._refused import told_as
from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.cli._output import Format, FormatOption, emit, out, say
from spokekit.cli.groups import group_columns
from spokekit.errors import IncompleteResult, SpokekitError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.practice import PracticeSite

app = typer.Typer(add_completion=False)


@app.command()
def tour(format: FormatOption = Format.table) -> None:
    """Watch the whole set-up run by itself against a practice site.

    Connection, consent with real redirects, groups, registration, members: what the notebooks do, in a few seconds,
    with nothing kept. Ends with the registered groups, which are compared with what the practice site really holds.
    """
    # With csv and json, standard output is for the result alone.
    tell = out if format is Format.table else say
    frame = run(tell)
    tell("")
    emit(frame, format, columns=group_columns())


def run(tell: Callable[[str], None]) -> pd.DataFrame:
    """Go the whole way and return the registered groups; `tell` gets a sentence for each step.

    Raises `IncompleteResult` when what was read is not what the practice site holds.
    """
    from spokekit.connections.store import Store
    from spokekit.practice import PracticeSite

    with PracticeSite(size="class", seed=1) as site:
        tell(f"1. A practice site stands in for Atlassian: {site.url}")
        with closing(Store("sqlite://")) as store:
            return _walk(site, Workspace(store), tell)


def _walk(site: PracticeSite, work: Workspace, tell: Callable[[str], None]) -> pd.DataFrame:
    from spokekit.connections.connection import ConnectionDraft
    from spokekit.oauth.callbacks import LoopbackReceiver
    from spokekit.oauth.grant import get_token

    redirect = f"http://localhost:{_free_port()}/callback"
    site.allow_redirect(redirect)
    draft = ConnectionDraft(url=site.url, auth_url=site.auth_url, client_id=site.client_id, redirect_uri=redirect)
    connection = work.connections.save(draft)
    work.tokens.set_client_secret(connection, Secret(site.client_secret))
    tell(f"2. Saved the connection “{connection.name}” with {len(connection.scopes)} scopes, in memory only.")

    tell("3. Save and Get OAuth Token: a browser goes to the consent page, accepts, and is sent back.")
    status = get_token(
        work,
        connection,
        receiver=LoopbackReceiver(redirect),
        open_browser=lambda address: _accept(site, address),
        timeout=15.0,
    )
    connection = work.connection(connection.connection_id)
    tell(f"   Signed in as {connection.account_name} on {connection.site_name}: {status.words}")

    with work.spoke() as spoke:
        groups = spoke.look_up_groups()
        with_access = groups[groups["access"] != ""]
        tell(f"4. Looked up the groups: {len(groups)}, of which {len(with_access)} give access to Confluence.")
        registry = work.registry()
        registry.add(list(with_access["group_id"]), groups=groups, by=connection.account_name or "")
        registered = groups.assign(registered=groups["group_id"].isin(registry.ids()))
        registered = registered[registered["registered"]].reset_index(drop=True)
        members = spoke.look_up_members_by_group_id(list(registered["group_id"]))
        people = members["account_id"].nunique()
        tell(f"5. Registered those {len(registered)}; they hold {len(members)} memberships of {people} accounts.")

    _compare(site, registered, members)
    tell("6. Compared with the practice site's own books: the same groups, the same members.")
    return registered


def _accept(site: PracticeSite, address: str) -> bool:
    """Play the person: accept on the consent page and follow the redirect to where it leads."""
    import httpx2

    # The redirect leads to this computer, which no proxy knows; its query holds the code.
    httpx2.get(site.play_browser(address), timeout=10.0, trust_env=False)
    return True


def _compare(site: PracticeSite, groups: pd.DataFrame, members: pd.DataFrame) -> None:
    truth = site.world.frames()
    real = truth["memberships"][["group_id", "account_id"]].astype(str)
    real = real[real["group_id"].isin(set(groups["group_id"]))]
    seen = members[["group_id", "account_id"]].astype(str)
    expected = set(truth["groups"].loc[truth["groups"]["access"] != "", "group_id"])
    if set(groups["group_id"]) != expected or set(map(tuple, seen.values)) != set(map(tuple, real.values)):
        raise IncompleteResult(
            "What was read is not what the practice site holds.",
            hint="This is a fault of spokekit: please report it with the output of spokekit doctor.",
        )


def _free_port() -> int:
    with told_as(SpokekitError, "No port of this machine can be used"), socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
