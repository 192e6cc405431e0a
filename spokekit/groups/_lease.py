"""One apply at a time on a site, as far as one store knows: a lease that dies with its holder.

The whole site, and not the apply alone: two kernels that apply the same plan have two applies, each would find the
other's changes in its groups, and neither could be undone afterwards.

Whether a holder lives is never told by comparing the clocks of two computers: on one computer its processes and its
own running time tell, on a database server that one's clock, and on a shared file whether the holder's signs stand
still for as long as a lease lasts.
"""

from __future__ import annotations

import os
import platform
import secrets
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import sqlalchemy as sa

from spokekit._surroundings import alive
from spokekit.confluence.report import UNWATCHED, Progress, Watching
from spokekit.connections.store import Store
from spokekit.errors import Cancelled, Conflict, StoreError
from spokekit.groups.tables import fences_table, leases_table

LASTS = timedelta(seconds=60)
_RENEW_AFTER = timedelta(seconds=10)
_TICK = 1.0

_mine: set[str] = set()

Life = Literal["lives", "dead", "unclear"]


class Lease:
    """Hold a site while an apply runs; raises `Conflict` on entering when another kernel holds it and lives.

    A thread renews it, since one row may wait an hour for its points. It is something that can cancel: ``is_set()``
    once somebody else has taken the site over. And it is the fence that is asked last before a change is sent.

    Parameters
    ----------
    watching:
        Told when a holder is watched of whom it is not clear whether it lives, which takes a minute; ends that wait.
    """

    def __init__(self, store: Store, site: str, watching: Watching = UNWATCHED) -> None:
        self._store = store
        # The column was made for ids of this form; a cloud id need not have it.
        self.key = str(uuid.uuid5(uuid.NAMESPACE_URL, site))
        self._holder = f"{_node()}:{os.getpid()}:{secrets.token_hex(8)}"
        self._progress, self._cancel = watching.progress, watching.cancel
        self._number = 0
        self._renewed = _clocks()
        self._lost = False
        self._ended = threading.Event()

    def __enter__(self) -> Lease:
        self._store.ensure(leases_table, fences_table)
        # Before it can be seen in the store: another thread would take a holder that is not listed here for a dead one.
        _mine.add(self._holder)
        try:
            self._take()
        except BaseException:
            _mine.discard(self._holder)
            raise
        threading.Thread(target=self._keep, name="spokekit-lease", daemon=True).start()
        return self

    def _take(self) -> None:
        still: tuple[Any, ...] | None = None
        while (seen := self._take_unless_unclear(still)) is not None:
            still = self._watch(seen)

    def _take_unless_unclear(self, still: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        """Take it and return None, or return the signs of a holder of whom the clocks do not tell whether it lives.

        One whose signs are `still` what they were a lease ago is dead.
        """
        t = leases_table
        try:
            with self._store.write() as connection:
                now = _now(connection)
                held, fence = self._seen(connection)
                if held is not None:
                    signs = _signs(held, fence)
                    life = _life(held, fence, now, one_clock=connection.dialect.name == "postgresql")
                    if life == "lives":
                        raise _taken()
                    if life == "unclear" and signs != still:
                        return signs
                    # That one and no other: on a database server somebody may have taken it over since the look.
                    connection.execute(t.delete().where(t.c.site_key == self.key, t.c.holder == held["holder"]))
                connection.execute(t.insert().values(site_key=self.key, holder=self._holder, expires_at=now + LASTS))
                self._number = 1 if fence is None else fence["number"] + 1
                values = {"number": self._number, "beats": 0, "boot": _boot(), "seen": _running()}
                of_site = fences_table.c.site == self.key
                connection.execute(
                    fences_table.insert().values(site=self.key, **values)
                    if fence is None
                    else fences_table.update().where(of_site).values(**values)
                )
                self._renewed = _clocks()
        except sa.exc.IntegrityError:
            raise _taken() from None
        return None

    def _seen(self, connection: sa.Connection) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Return what the store has of the site: who holds it, and its fence."""
        held = sa.select(leases_table).where(leases_table.c.site_key == self.key)
        return _row(connection, held), _row(connection, sa.select(fences_table).where(fences_table.c.site == self.key))

    def _watch(self, signs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Wait for as long as a lease lasts; returns `signs`, or raises `Conflict` when there was another one."""
        until = time.monotonic() + LASTS.total_seconds()
        if self._progress is not None:
            words = "An apply of another computer holds this site; waiting whether it gives a sign of life"
            self._progress(Progress(0, None, "changes", words, None, datetime.now(UTC) + LASTS, words))
        while time.monotonic() < until:
            time.sleep(_TICK)
            if self._cancel is not None and self._cancel.is_set():
                raise Cancelled("Cancelled while another apply was watched; nothing was changed.", nothing_done=True)
            with self._store.read() as connection:
                held, fence = self._seen(connection)
                if held is not None and _signs(held, fence) != signs:
                    raise _taken()
        return signs

    def confirm(self, connection: sa.Connection) -> None:
        """Renew it within a transaction; raises `Conflict`, which ends the transaction, when it was taken over.

        What is written in the same transaction is thereby written by the holder, or not at all.
        """
        t, f = leases_table, fences_table
        clocks = _clocks()
        lease = t.update().where(t.c.site_key == self.key, t.c.holder == self._holder)
        fence = f.update().where(f.c.site == self.key, f.c.number == self._number)
        renewed = lease.values(expires_at=_now(connection) + LASTS)
        told = fence.values(beats=f.c.beats + 1, boot=_boot(), seen=_running())
        if not all(connection.execute(one).rowcount for one in (renewed, told)):
            self._lost = True
            raise Conflict(
                "Another kernel has taken this apply over.",
                likely="This one gave no sign of life for a minute.",
                hint="Look at the journal, and resume if it is not finished.",
            )
        self._renewed = clocks

    def check(self) -> None:
        """Raise `Conflict` when somebody else has taken over; renews it otherwise."""
        with self._store.write() as connection:
            self.confirm(connection)

    def ask(self) -> None:
        """Raise `Conflict` when the store has another holder or number; asked last before a change is sent."""
        if self.due():
            self.check()
            return
        with self._store.read() as connection:
            held, fence = self._seen(connection)
        if (held or {}).get("holder") != self._holder or (fence or {}).get("number") != self._number:
            # Says it, and marks it as lost.
            self.check()

    def due(self) -> bool:
        """Say whether so much time has passed since it was renewed that another one may soon take it over.

        A process that was stopped, or a computer that slept, finds that here when it goes on.
        """
        return _passed(self._renewed) > LASTS.total_seconds() / 2

    def is_set(self) -> bool:
        """Say whether it is known to be lost; looks into the store no more than `confirm` does."""
        return self._lost

    def _keep(self) -> None:
        while not self._ended.wait(_TICK):
            if _passed(self._renewed) < _RENEW_AFTER.total_seconds():
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
                connection.execute(t.delete().where(t.c.site_key == self.key, t.c.holder == self._holder))
        except StoreError:
            # On a full disk it stays until its end; the apply's own outcome is what has to be told now.
            return


def _row(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, Any] | None:
    found = connection.execute(query).mappings().one_or_none()
    return None if found is None else dict(found)


def _taken() -> Conflict:
    return Conflict(
        "An apply is running on this site in another kernel or terminal.",
        hint="Let it end, or stop it there; then try again.",
        next_step="wait",
    )


def _now(connection: sa.Connection) -> datetime:
    """Return the time by the one clock that everybody has who uses this store, if there is one."""
    if connection.dialect.name == "postgresql":
        moment: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return moment.astimezone(UTC)
    return datetime.now(UTC)


def _signs(held: Mapping[str, Any], fence: Mapping[str, Any] | None) -> tuple[Any, ...]:
    more = () if fence is None else (fence["number"], fence["beats"])
    return (held["holder"], held["expires_at"], *more)


def _life(held: Mapping[str, Any], fence: Mapping[str, Any] | None, now: datetime, *, one_clock: bool) -> Life:
    node, pid, _ = held["holder"].rsplit(":", 2)
    if node == _node():
        if int(pid) == os.getpid():
            return "lives" if held["holder"] in _mine else "dead"
        # Where no process is seen, as on Windows, the end of the lease alone decides.
        if not alive(int(pid)):
            return "dead"
        if fence is not None and fence["boot"] and fence["boot"] == _boot():
            # Stopped, or another process by now that has its number.
            return "lives" if _running() - fence["seen"] < LASTS.total_seconds() else "dead"
    left = held["expires_at"] - now
    if one_clock:
        return "lives" if left > timedelta(0) else "dead"
    # A lease that was just renewed has so much left; with less or more, one of two clocks is wrong, or it is dead.
    return "lives" if timedelta(0) < left <= LASTS else "unclear"


def _running() -> float:
    """Seconds that this computer has run, sleep included where it tells."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _clocks() -> tuple[float, float]:
    return _running(), time.time()


def _passed(since: tuple[float, float]) -> float:
    # By the clock on the wall too: where the other one stands still while the computer sleeps, that one goes on.
    return max(_running() - since[0], abs(time.time() - since[1]))


@cache
def _boot() -> str:
    """Name this run of this computer, and what its running time is counted from; empty where that is not to be had."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    except (OSError, ValueError):
        return ""


def _node() -> str:
    """Name the place in which a process id means one process: two computers or containers may share a host's name."""
    try:
        return f"{platform.node()} {_boot().partition(' ')[0]} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()
