"""One apply at a time on a site: a lease that dies with its holder.

The whole site, and not the apply alone: two kernels that apply the same plan have two applies, each would find the
other's changes in its groups, and neither could be undone afterwards.
"""

from __future__ import annotations

import os
import platform
import secrets
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

import sqlalchemy as sa

from spokekit.connections.store import Store
from spokekit.errors import Conflict, StoreError
from spokekit.groups._journal_tables import leases_table

LASTS = timedelta(seconds=60)
_RENEW_AFTER = timedelta(seconds=10)
_TICK = 1.0

_mine: set[str] = set()


class Lease:
    """Hold a site while an apply runs; raises `Conflict` on entering when another kernel holds it and lives.

    A thread renews it, since one row may wait an hour for its points. It is something that can cancel: ``is_set()``
    once somebody else has taken the site over.
    """

    def __init__(self, store: Store, site: str) -> None:
        self._store = store
        # The column was made for ids of this form; a cloud id need not have it.
        self.key = str(uuid.uuid5(uuid.NAMESPACE_URL, site))
        self._holder = f"{_node()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._renewed = datetime.now(UTC)
        self._lost = False
        self._ended = threading.Event()

    def __enter__(self) -> Lease:
        # Before it can be seen in the store: another thread would take a holder that is not listed here for a dead one.
        _mine.add(self._holder)
        try:
            self._take()
        except BaseException:
            _mine.discard(self._holder)
            raise
        self._renewed = datetime.now(UTC)
        threading.Thread(target=self._keep, name="spokekit-lease", daemon=True).start()
        return self

    def _take(self) -> None:
        t = leases_table
        taken = Conflict(
            "An apply is running on this site in another kernel or terminal.",
            hint="Let it end, or stop it there; then try again.",
            next_step="wait",
        )
        try:
            with self._store.write() as connection:
                held = connection.execute(sa.select(t).where(t.c.apply_id == self.key)).mappings().one_or_none()
                if held is not None:
                    if held["expires_at"] > datetime.now(UTC) and _lives(held["holder"]):
                        raise taken
                    # That one and no other: on a database server somebody may have taken it over since the look.
                    connection.execute(t.delete().where(t.c.apply_id == self.key, t.c.holder == held["holder"]))
                connection.execute(
                    t.insert().values(apply_id=self.key, holder=self._holder, expires_at=datetime.now(UTC) + LASTS)
                )
        except sa.exc.IntegrityError:
            raise taken from None

    def confirm(self, connection: sa.Connection) -> None:
        """Renew it within a transaction; raises `Conflict`, which ends the transaction, when it was taken over.

        What is written in the same transaction is thereby written by the holder, or not at all.
        """
        t = leases_table
        now = datetime.now(UTC)
        kept = connection.execute(
            t.update().where(t.c.apply_id == self.key, t.c.holder == self._holder).values(expires_at=now + LASTS)
        ).rowcount
        self._renewed = now
        if not kept:
            self._lost = True
            raise Conflict(
                "Another kernel has taken this apply over.",
                likely="This one gave no sign of life for a minute.",
                hint="Look at the journal, and resume if it is not finished.",
            )

    def check(self) -> None:
        """Raise `Conflict` when somebody else has taken over."""
        with self._store.write() as connection:
            self.confirm(connection)

    def is_set(self) -> bool:
        """Say whether it is known to be lost; looks into the store no more than `confirm` does."""
        return self._lost

    def _keep(self) -> None:
        # By the clock on the wall: that one goes on while the computer sleeps, and so does the lease's end.
        while not self._ended.wait(_TICK):
            if abs(datetime.now(UTC) - self._renewed) < _RENEW_AFTER:
                continue
            try:
                self.check()
            except Conflict:
                return
            except StoreError:
                # The store may come back before the lease ends; whoever writes a row next will be told.
                continue

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        _mine.discard(self._holder)
        t = leases_table
        try:
            with self._store.write() as connection:
                connection.execute(t.delete().where(t.c.apply_id == self.key, t.c.holder == self._holder))
        except StoreError:
            # On a full disk it stays until its end; the apply's own outcome is what has to be told now.
            return


def _node() -> str:
    """Name the place in which a process id means one process: two containers may share a host's name."""
    try:
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _lives(holder: str) -> bool:
    node, pid, _ = holder.rsplit(":", 2)
    if node != _node():
        return True
    if int(pid) == os.getpid():
        return holder in _mine
    # On Windows signal 0 is Ctrl-C: there, the end of the lease alone decides about another process.
    if os.name != "posix":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
