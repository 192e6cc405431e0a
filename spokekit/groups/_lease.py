"""One kernel at a time works on an apply: a lease that dies with its holder."""

from __future__ import annotations

import os
import platform
import secrets
import time
from datetime import UTC, datetime, timedelta
from types import TracebackType

import sqlalchemy as sa

from spokekit.connections.store import Store
from spokekit.errors import Conflict
from spokekit.groups._journal_tables import leases_table

LASTS = timedelta(seconds=60)
_RENEW_AFTER = 10.0

_mine: set[str] = set()


class Lease:
    """Hold an apply while it runs; raises `Conflict` on entering when another kernel holds it and lives."""

    def __init__(self, store: Store, apply_id: str) -> None:
        self._store = store
        self._apply_id = apply_id
        self._holder = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._renewed = 0.0

    def __enter__(self) -> Lease:
        t = leases_table
        with self._store.write() as connection:
            held = connection.execute(sa.select(t).where(t.c.apply_id == self._apply_id)).mappings().one_or_none()
            if held is not None and held["expires_at"] > datetime.now(UTC) and _lives(held["holder"]):
                raise Conflict(
                    "This apply is running in another kernel or terminal.",
                    hint="Let it end, or stop it there; then resume.",
                    next_step="wait",
                )
            connection.execute(t.delete().where(t.c.apply_id == self._apply_id))
            connection.execute(
                t.insert().values(apply_id=self._apply_id, holder=self._holder, expires_at=datetime.now(UTC) + LASTS)
            )
        _mine.add(self._holder)
        self._renewed = time.monotonic()
        return self

    def renew(self) -> None:
        """Say that the holder is alive; raises `Conflict` when somebody else has taken over meanwhile."""
        if time.monotonic() - self._renewed < _RENEW_AFTER:
            return
        t = leases_table
        with self._store.write() as connection:
            kept = connection.execute(
                t.update()
                .where(t.c.apply_id == self._apply_id, t.c.holder == self._holder)
                .values(expires_at=datetime.now(UTC) + LASTS)
            ).rowcount
        if not kept:
            raise Conflict(
                "Another kernel has taken this apply over.",
                likely="This one gave no sign of life for a minute.",
                hint="Look at the journal, and resume if it is not finished.",
            )
        self._renewed = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _mine.discard(self._holder)
        t = leases_table
        with self._store.write() as connection:
            connection.execute(t.delete().where(t.c.apply_id == self._apply_id, t.c.holder == self._holder))


def _lives(holder: str) -> bool:
    node, pid, _ = holder.rsplit(":", 2)
    if node != platform.node():
        return True
    if int(pid) == os.getpid():
        return holder in _mine
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
