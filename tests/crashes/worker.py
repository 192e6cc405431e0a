"""One step of a person, in a process of its own, on a disk that fails: what `disk.Disk` starts.

Usage: ``LD_PRELOAD=disk.so python -m tests.crashes.worker``; a line of JSON in, one out. Each step runs in a fork of
this process, which has loaded everything and opened nothing.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

# Loaded here, once, or each step would load it again.
import anyio._backends._asyncio
import cryptography.fernet
import httpcore2
import keyring.core
import pandas as pd
import pyarrow.compute

import spokekit.cli
from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.confluence.gateway import RetryPolicy
from spokekit.confluence.spoke import Spoke
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import NotFound, SpokekitError
from spokekit.groups.membership import Membership
from spokekit.groups.wishes import Wish, WishList

if TYPE_CHECKING:
    from spokekit.connections.connection import Connection

LOADED = (anyio, cryptography, httpcore2, keyring, pd, pyarrow, spokekit.cli)

disk = ctypes.CDLL(None)
disk.disk_seen.restype = ctypes.c_long
disk.disk_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]


def arm(folder: str, at: int = 0, how: int = 0) -> None:
    disk.disk_arm(folder.encode(), at, how)


def members(work: Workspace, stack: ExitStack) -> Membership:
    connection = work.connection()
    spoke = Spoke(
        connection,
        work.tokens.source(connection),
        guard=work.registry(),
        retry=RetryPolicy(retries=1, first=0.001, longest=0.001),
    )
    opened = Membership(spoke, work.registry(), work.store, pace=10_000)
    stack.callback(opened.close)
    return opened


def save(work: Workspace, draft: dict[str, Any]) -> str:
    """Save a connection, as the form does."""
    return work.connections.save(ConnectionDraft(**draft)).connection_id


def secret(work: Workspace, name: str, value: str) -> None:
    """Type a client secret."""
    work.tokens.set_client_secret(work.connection(name), Secret(value))


def consent(work: Workspace, answer: dict[str, Any], site: list[str], account: list[str]) -> None:
    """Keep what a consent gave: token, site, and who consented."""
    connection = work.connection()
    work.tokens.save_grant(connection, answer)
    work.connections.set_site(connection.connection_id, *site)
    work.connections.set_account(connection.connection_id, *account)


def refresh(work: Workspace, name: str | None = None) -> None:
    """Renew the token, as a request does whose token was refused."""
    connection = work.connection(name)
    sealed = work.tokens._record(connection)
    held, _ = work.tokens._judge(sealed, connection, None)
    work.tokens.access_token(connection, rejected=held)


def register(work: Workspace, groups: list[str]) -> None:
    """Register groups."""
    work.registry().add(groups)


def unregister(work: Workspace, groups: list[str]) -> None:
    """Take groups off the registry."""
    work.registry().remove(groups)


def rotate(work: Workspace) -> int:
    """Make a new key and seal everything again."""
    return work.vault.rotate()


def apply(work: Workspace, pairs: list[list[str]], mode: str) -> list[str]:
    """Plan, preview and apply."""
    with ExitStack() as stack:
        opened = members(work, stack)
        wishes = WishList(tuple(Wish(group, account) for group, account in pairs))
        preview = opened.preview(opened.plan(wishes, mode))  # type: ignore[arg-type]
        return [row.status for row in opened.apply(preview, confirm=preview.confirmation).rows]


def resume(work: Workspace) -> None:
    """Go on with every apply that has no end."""
    with ExitStack() as stack:
        opened = members(work, stack)
        while True:
            try:
                opened.resume()
            except NotFound:
                return


def undo(work: Workspace, apply_id: str) -> None:
    """Undo one apply."""
    with ExitStack() as stack:
        opened = members(work, stack)
        preview = opened.preview(opened.plan_undo(apply_id))
        opened.apply(preview, confirm=preview.confirmation)


def _sealed(work: Workspace, connection: Connection) -> str | None:
    return work.tokens.client_secret(connection).reveal() if work.tokens.has_client_secret(connection) else None


def look(work: Workspace) -> dict[str, Any]:
    """Say what is there."""
    with work.store.read() as db:
        whole = db.exec_driver_sql("PRAGMA integrity_check").scalar()
    if whole != "ok":
        raise AssertionError(f"the store is damaged: {whole}")
    found = {row.connection.name: row.connection for row in work.status() if row.connection}
    with ExitStack() as stack:
        journal = members(work, stack).journal if work.status()[0].state == "valid" else None
        applies = [journal.state(one) for one in journal.apply_ids()] if journal else []
        entries = journal.entries()["at"].size if journal else 0
    return {
        "connections": sorted(found),
        "secrets": {name: _sealed(work, connection) for name, connection in found.items()},
        "states": {name: work.tokens.status(connection).state for name, connection in found.items()},
        "registered": sorted(work.registry().ids()) if found else [],
        "entries": entries,
        "applies": {
            one.apply_id: {
                "finished": one.finished,
                "rows": [[row.group_id, row.account_id, row.action, row.status] for row in one.rows],
            }
            for one in applies
        },
    }


STEPS: dict[str, Callable[..., Any]] = {
    one.__name__: one
    for one in (save, secret, consent, refresh, register, unregister, rotate, apply, resume, undo, look)
}


def one_step(order: dict[str, Any]) -> dict[str, Any]:
    os.environ["SPOKEKIT_HOME"] = order["home"]
    said: dict[str, Any] = {}
    arm(order["home"], order.get("at", 0), order.get("how", 0))
    try:
        said["answer"] = STEPS[order["step"]](Workspace(), **order["what"])
    except SpokekitError as error:
        said["refused"] = f"{type(error).__name__}: {error}"
    said["writes"] = disk.disk_seen()
    if order.get("stays"):
        # The disk has space again, and the kernel lives on without anybody pressing anything.
        arm(order["home"])
        time.sleep(order["stays"])
    return said


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            try:
                said = one_step(order)
            except BaseException as error:  # noqa: BLE001 - the child ends here, and its parent tells what broke
                said = {"fault": "".join(traceback.format_exception(error))}
            with os.fdopen(writing, "w") as out:
                json.dump(said, out)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as result:
            text = result.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status)
        print(json.dumps({**(json.loads(text) if text else {}), "killed": killed}), flush=True)


if __name__ == "__main__":
    main()
