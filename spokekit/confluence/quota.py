"""Points: what requests cost, what the hour still holds, and who waits when it is spent.

Atlassian gives an app 65,000 points an hour, for all its users and sites together, renewed on the UTC hour. A read
costs 1 point and 1 for each object in the answer, 2 where the object is a user, a group or a permission; a change
costs 1 (source: Atlassian's page on rate limiting, 2026). All kernels of a store share one ledger per app: each draws
points in blocks, in a transaction, before it spends them, so two of them cannot spend the same point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.to_thread
import sqlalchemy as sa

from spokekit._words import counted, span
from spokekit.confluence.operation import Operation
from spokekit.confluence.refusals import reset_time
from spokekit.connections.store import Store, UtcDateTime, metadata

LIMIT = 65_000
BLOCK = 2_000
_LOOK_AGAIN = 60.0
_HOUR = timedelta(hours=1)

quota_hours = sa.Table(
    "quota_hours",
    metadata,
    sa.Column("client_id", sa.String(200), primary_key=True),
    sa.Column("hour", UtcDateTime, primary_key=True),
    sa.Column("taken", sa.Integer, nullable=False),
    sa.Column("served", sa.Integer, nullable=False),
    sa.Column("hour_limit", sa.Integer, nullable=False),
)


@dataclass(frozen=True)
class Estimate:
    """What a walk will cost: requests, points, seconds (waiting for new hours included), and the same in words.

    ``span`` are those of the words that name the time. Where the figures rest on a guess, ``least`` is what it costs at
    least; None where they are known well enough.
    """

    requests: int
    points: int
    seconds: float
    words: str
    span: str
    least: Estimate | None = None


@dataclass(frozen=True)
class Observed:
    """What the headers of one answer say about the hour; None where they say nothing."""

    limit: int | None = None
    remaining: int | None = None


class Ledger:
    """The points of one OAuth app, shared by everything that uses this store.

    Parameters
    ----------
    store, client_id:
        Where the ledger is kept, and for which app.
    limit:
        Points an hour, until the service's headers say otherwise.
    block:
        Points drawn from the store at a time: large enough that not every request is a transaction, small enough
        that little lies idle in one kernel while another one waits.
    clock, sleep:
        Replaced in tests.
    """

    def __init__(
        self,
        store: Store,
        client_id: str,
        *,
        limit: int = LIMIT,
        block: int = BLOCK,
        clock: Callable[[], datetime] | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        store.ensure(quota_hours)
        self.store, self.client_id, self.limit, self.block = store, client_id, limit, block
        self._clock = clock or (lambda: datetime.now(UTC))
        self._sleep = sleep
        self._lock = anyio.Lock()
        self._hour = self._this_hour()
        self._turn = 0
        self._balance = 0
        self._out = 0
        self._served = 0
        self._remaining: int | None = None
        self._limit_heard = False
        self._left_in_store: int | None = None
        self._spent_until: datetime | None = None
        self._settled = anyio.Event()

    def __repr__(self) -> str:
        return f"Ledger({self.limit:,} points an hour)"

    # -- taking and settling, in the event loop ------------------------------------------------------------------------

    async def take(self, points: int, operation: Operation) -> int:
        """Set ``points`` aside for one request, waiting for the next hour if this one is spent."""
        while True:
            self._roll()
            # What not even a whole hour holds is asked for when the hour is untouched: it may cost less in the end.
            needed = min(points, self.limit)
            if self._spent_until is None and self._allowed(needed):
                if self._balance >= needed:
                    self._balance -= points
                    self._out += points
                    return self._turn
                async with self._lock:
                    if self._balance < needed:
                        turn = self._turn
                        got = await anyio.to_thread.run_sync(self._draw, max(self.block, needed))
                        if turn == self._turn:
                            self._balance += got
                if self._balance >= min(points, self.limit):
                    continue
            if self._out > 0 and self._spent_until is None:
                # Requests under way usually cost less than was set aside for them: what they leave may do.
                with anyio.move_on_after(1.0):
                    await self._settled.wait()
                operation.check()
                continue
            await self._wait_for_the_hour(operation)

    def settle(self, turn: int, taken: int, spent: int) -> None:
        """Say what a request for which ``taken`` was set aside really cost."""
        if turn == self._turn:
            self._balance += taken - spent
            self._out -= taken
        else:
            self._balance -= spent
        self._settled.set()
        self._settled = anyio.Event()

    def observe(self, headers: Any) -> None:
        """Correct the ledger by the headers of an answer."""
        seen = observed(headers)
        if seen is None:
            return
        self._roll()
        if seen.limit is not None:
            self.limit, self._limit_heard = seen.limit, True
        if seen.remaining is not None:
            self._remaining = seen.remaining if self._remaining is None else min(self._remaining, seen.remaining)
            self._served = max(self._served, self.limit - seen.remaining)

    def exhausted(self, until: datetime | None) -> None:
        """The service says that the hour is spent, whatever the ledger holds; it never is for longer than an hour."""
        self._spent_until = min(until or self._hour + _HOUR, self._clock() + _HOUR)

    async def give_back(self) -> None:
        """Return what was drawn and not spent, so that another kernel can use it."""
        async with self._lock:
            self._roll()
            points, self._balance = self._balance, 0
            if points:
                await anyio.to_thread.run_sync(self._return, points, self._hour)

    def left_now(self) -> int | None:
        """Return what this kernel believes the hour still holds, without asking the store."""
        self._roll()
        if self._left_in_store is None:
            return self._remaining
        left = self._left_in_store + self._balance
        return max(0, left if self._remaining is None else min(left, self._remaining))

    # -- questions, from any thread ------------------------------------------------------------------------------------

    def left(self) -> int:
        """Return how many points the hour still holds for all kernels together."""
        hour = self._this_hour()
        with self.store.read() as connection:
            row = connection.execute(
                sa.select(quota_hours).where(quota_hours.c.client_id == self.client_id, quota_hours.c.hour == hour)
            ).one_or_none()
        if row is None:
            return self.limit
        left = max(0, int(row.hour_limit) - max(int(row.taken), int(row.served)))
        return left + (self._balance if hour == self._hour else 0)

    def estimate(
        self,
        *,
        groups: int = 0,
        memberships: int | None = None,
        users: int = 0,
        spaces: int = 0,
        permissions: int | None = None,
        in_flight: int = 8,
        latency: float = 0.15,
    ) -> Estimate:
        """Say what reading so much will cost.

        Parameters
        ----------
        groups, memberships:
            Groups whose members will be read, and how many memberships they have; None assumes 75 a group.
        users:
            Accounts to be looked up in bulk (250 a request).
        spaces, permissions:
            Spaces whose permissions will be read, and how many there are; None assumes 40 a space.
        in_flight, latency:
            Requests at a time and seconds for each, for the time.
        """
        memberships = 75 * groups if memberships is None else memberships
        permissions = 40 * spaces if permissions is None else permissions
        requests = _pages(groups, memberships, 200) + _ceil(users, 250) + _ceil(spaces, 250)
        requests += _pages(spaces, permissions, 250)
        points = requests + 2 * (memberships + users + permissions) + spaces
        left = self.left()
        seconds = requests * latency / in_flight
        hours = 0
        if points > left and self.limit > 0:
            hours = math.ceil((points - left) / self.limit)
            to_next = (self._this_hour() + _HOUR - self._clock()).total_seconds()
            last = (points - left) - (hours - 1) * self.limit
            seconds = to_next + (hours - 1) * 3600 + seconds * last / points
        asked, cost = counted(requests, "request"), counted(points, "point")
        words = f"About {asked} and {cost}; this hour has {left:,} of {self.limit:,} left. "
        words += f"It takes about {span(seconds)}."
        if hours:
            words = words[:-1] + f", with {hours} pause{'s' if hours > 1 else ''} for a new hour."
        return Estimate(requests, points, seconds, words, span(seconds))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _this_hour(self) -> datetime:
        return self._clock().astimezone(UTC).replace(minute=0, second=0, microsecond=0)

    def _roll(self) -> None:
        hour = self._this_hour()
        if hour != self._hour:
            self._hour, self._turn = hour, self._turn + 1
            self._balance = self._out = self._served = 0
            self._remaining = self._left_in_store = None
            self._limit_heard = False
        # Later than an hour from now means that the clock was set back.
        if self._spent_until is not None and not timedelta(0) < self._spent_until - self._clock() <= _HOUR + timedelta(
            minutes=1
        ):
            self._spent_until = None
            self._remaining = None

    def _allowed(self, points: int) -> bool:
        return self._remaining is None or self._remaining - self._out >= points

    async def _wait_for_the_hour(self, operation: Operation) -> None:
        until = self._spent_until or self._hour + _HOUR
        seconds = max(0.05, (until - self._clock()).total_seconds())
        # Another kernel may give points back before the hour is over, so the store is asked again now and then.
        await operation.pause(until, min(seconds, _LOOK_AGAIN), self._sleep)

    def _draw(self, wanted: int) -> int:
        hour = self._hour
        mine = sa.and_(quota_hours.c.client_id == self.client_id, quota_hours.c.hour == hour)
        with self.store.write() as connection:
            row = connection.execute(sa.select(quota_hours).where(mine).with_for_update()).one_or_none()
            if row is None:
                connection.execute(
                    sa.delete(quota_hours).where(
                        quota_hours.c.client_id == self.client_id, quota_hours.c.hour < hour - 48 * _HOUR
                    )
                )
                connection.execute(
                    sa.insert(quota_hours).values(
                        client_id=self.client_id, hour=hour, taken=0, served=0, hour_limit=self.limit
                    )
                )
                taken = served = 0
            else:
                taken, served = row.taken, row.served
                if not self._limit_heard:
                    self.limit = row.hour_limit
            served = max(served, self._served)
            # What was drawn and is not spent yet is not in the service's count, and is not free either.
            taken = max(taken, served + self._balance)
            got = max(0, min(wanted, self.limit - taken))
            connection.execute(
                sa.update(quota_hours).where(mine).values(taken=taken + got, served=served, hour_limit=self.limit)
            )
        self._left_in_store = self.limit - taken - got
        return got

    def _return(self, points: int, hour: datetime) -> None:
        mine = sa.and_(quota_hours.c.client_id == self.client_id, quota_hours.c.hour == hour)
        with self.store.write() as connection:
            connection.execute(sa.update(quota_hours).where(mine).values(taken=quota_hours.c.taken - points))
        if self._left_in_store is not None:
            self._left_in_store += points


_ENTRY = re.compile(r'"([^"]+)"((?:\s*;\s*\w+\s*=\s*[0-9]+)*)')
_PAIR = re.compile(r"(\w+)\s*=\s*([0-9]{1,18})(?![0-9])")
_NUMBER = re.compile(r"\s*([0-9]{1,18})\s*")
# No quota is so large, and what is larger would not fit into every store.
_MOST = 10**9


def observed(headers: Any) -> Observed | None:
    """Read limit and rest of the hour from an answer's headers, in all forms that were documented; None if absent.

    ``X-RateLimit-*`` may also speak of a burst limit. It counts as the hour's only when its reset is a full hour.
    """
    limit: int | None = None
    rest: list[int] = []
    for prefix in ("", "beta-"):
        policy = headers.get(f"{prefix}ratelimit-policy")
        for name, text in _ENTRY.findall(policy or ""):
            values = dict(_PAIR.findall(text))
            if name.endswith("quota") and values.get("w", "3600") == "3600" and "q" in values:
                limit = min(_MOST if limit is None else limit, int(values["q"]))
        state = headers.get(f"{prefix}ratelimit")
        for name, text in _ENTRY.findall(state or ""):
            values = dict(_PAIR.findall(text))
            if name.endswith("quota") and "r" in values:
                rest.append(min(_MOST, int(values["r"])))
    for prefix in ("x-ratelimit", "x-beta-ratelimit", "beta-x-ratelimit"):
        remaining = _NUMBER.fullmatch(headers.get(f"{prefix}-remaining") or "")
        if remaining is None:
            continue
        reset = reset_time(headers)
        if reset is None or (reset.minute, reset.second) != (0, 0):
            continue
        rest.append(min(_MOST, int(remaining[1])))
        total = _NUMBER.fullmatch(headers.get(f"{prefix}-limit") or "")
        if limit is None and total is not None:
            limit = min(_MOST, int(total[1]))
    # An hour of no points at all is not a limit: with it, nothing would ever be asked again that could correct it.
    limit = limit or None
    if limit is None and not rest:
        return None
    return Observed(limit, min(rest, default=None))


def _ceil(rows: int, page: int) -> int:
    return -(-rows // page)


def _pages(lists: int, rows: int, page: int) -> int:
    """Requests for so many lists: one each, and about half of what full pages would take for the long ones.

    Half is what directories with a few large and many small groups come to; it was compared with generated ones of
    200 thousand to 8 million memberships, and was right within 2 %.
    """
    return lists + rows // (2 * page) if lists else 0
