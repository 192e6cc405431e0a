"""Check a connection: does it reach its site, who is signed in, which scopes does the token really have, what follows.

Atlassian's gateway looks at the scopes of a token before it looks at anything else (measured by a third party): a
call about an id that does not exist is answered 401 "scope does not match" when the scope is absent, and with some
other 4xx when it is there. So each scope is tested by one call that cannot change anything. The write scope is tested
in the same way, with a group id that no site has, and the guard of this gateway lets no other id pass.
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from spokekit import _portal
from spokekit._frames import Columns, frame_of
from spokekit.check.answers import Check, Found
from spokekit.check.probes import NoRealGroup
from spokekit.confluence.gateway import Gateway, RetryPolicy
from spokekit.confluence.operation import Operation
from spokekit.confluence.quota import Ledger
from spokekit.confluence.service_account import WHERE
from spokekit.errors import Cancelled, SpokekitError
from spokekit.oauth.status import NO_SITE, to_choose_a_site

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.report import Cancel, ProgressCallback
    from spokekit.connections.connection import Connection
    from spokekit.oauth.status import TokenStatus
    from spokekit.oauth.tokens import Tokens

__all__ = ["COLUMNS", "STATES", "check_connection", "trouble"]

STATES = ("ok", "missing", "failed", "unknown", "off")
_KINDS: Columns = {
    "kind": ("connection", "scope", "person", "step"),
    "check": "text",
    "state": STATES,
    "words": "text",
    "fix": "text",
}
COLUMNS = tuple(_KINDS)


def check_connection(
    connection: Connection,
    tokens: Tokens,
    *,
    progress: ProgressCallback | None = None,
    cancel: Cancel | None = None,
    transport: Any = None,
) -> pd.DataFrame:
    """Check a connection and say for each capability whether it is there, and how to mend it if not.

    Parameters
    ----------
    connection, tokens:
        The connection, and the tokens of its store.
    progress, cancel:
        As in the spoke's actions.
    transport:
        Replaces the network, for tests.

    Returns
    -------
    pandas.DataFrame
        One row for each check, in the order in which a person would ask: ``kind`` (category: connection, scope,
        person, step), ``check`` (str: what was checked; for a scope, its id), ``state`` (category: ok, missing,
        failed, unknown, off, where off means that the connection does not ask for it), ``words`` (str), ``fix``
        (str, "" when there is nothing to mend). ``attrs`` holds ``connection``, ``checked_at`` and ``points``.

    Raises
    ------
    Cancelled
        It was cancelled.
    """
    return _portal.call(_check, connection, tokens, progress, cancel, transport)


async def _check(
    connection: Connection, tokens: Tokens, progress: ProgressCallback | None, cancel: Cancel | None, transport: Any
) -> pd.DataFrame:
    status = await anyio.to_thread.run_sync(tokens.status, connection)
    operation = Operation("check the connection", unit="checks", progress=progress, cancel=cancel)
    early = _before(connection, status)
    if early:
        return _frame(early, connection, operation)
    gateway = Gateway(
        connection,
        tokens.source(connection),
        ledger=Ledger(tokens.store, connection.client_id),
        in_flight=2,
        guard=NoRealGroup(),
        transport=transport,
        retry=RetryPolicy(retries=1, first=1.0, patience=10.0),
    )
    check = Check(connection, status, gateway, operation)
    check.note("connection", "Token", "ok", status.words)

    async def run() -> None:
        try:
            await check.run()
        except Cancelled:
            raise
        except SpokekitError as error:
            # What the single checks do not expect (consent withdrawn meanwhile, a sealed token that cannot be opened)
            # belongs into the list as well: the person came here to be told.
            check.stop(error)
            check.steps()

    async with aclosing(gateway):
        await operation.run(run)
    return _frame(check.rows, connection, operation)


def _before(connection: Connection, status: TokenStatus) -> list[Found]:
    """Say what stops the check before anything is sent."""
    if status.state in ("not_configured", "no_token", "consent_needed"):
        fix = "Press Save and Get OAuth Token, or run: spokekit token get."
        if status.state == "not_configured":
            fix = "Give the client id and secret of your app."
            if connection.is_service_account:
                fix = f"Give the client id and secret of the service account's credential ({WHERE})."
        return [Found("connection", "Token", "failed", status.words, fix)]
    if not connection.cloud_id:
        return [Found("connection", "Site", "failed", NO_SITE, to_choose_a_site(connection))]
    return []


def _frame(rows: list[Found], connection: Connection, operation: Operation) -> pd.DataFrame:
    frame = frame_of(rows, _KINDS)
    frame.attrs["connection"] = connection.name
    frame.attrs["checked_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    frame.attrs["points"] = operation.tally.points
    return frame


def trouble(found: pd.DataFrame) -> bool:
    """Tell whether something is missing or has failed that the connection asks for."""
    return bool(found["state"].isin(["missing", "failed"]).any())
