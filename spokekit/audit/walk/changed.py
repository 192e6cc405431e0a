"""A walk of what changed: which groups it reads whole, and of which it only confirms the size.

A row of a group's list that comes with the list's total costs 3 points, the whole list 2 a member. Where the total is
that of the last reading, the members of the last snapshot stand, with the moment of their reading: one who came while
one left would not show. So each group is read whole again after some days, the oldest first, some of them each time.
The status of accounts is looked up anew in the same measure.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from spokekit.audit.frames import COLUMNS, CONFIRMED, WALKED
from spokekit.audit.history.tables import Session
from spokekit.audit.walk.checkpoint import Checkpoint, Ended
from spokekit.confluence.paging import USER_POINTS, segment
from spokekit.confluence.pull import STOPS
from spokekit.confluence.shapes import MEMBERS
from spokekit.errors import SpokekitError

if TYPE_CHECKING:
    from spokekit.audit.history.snapshot import Snapshot
    from spokekit.audit.history.snapshots import Snapshots
    from spokekit.audit.walk.run import UnderWay
    from spokekit.confluence.gateway import Gateway
    from spokekit.confluence.operation import Operation

AT_MOST = 7.0
"""Days after which a group is read whole again, if nobody says otherwise."""
SIZE_POINTS = 1 + USER_POINTS
BUCKETS = 256
"""Accounts are looked up anew by parts of them, each with the time of its last look-up."""
# So many groups without a total, and none with it, are a site that does not fill it.
_ENOUGH = 3


class Base:
    """The snapshot that a walk of what changed goes on from.

    Attributes
    ----------
    sizes, read_at:
        Members of each group that was read whole and not in doubt since, and when that was.
    last_sizes:
        Members of each group that was ever read whole, also of one in doubt.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        with closing(Session(snapshot)) as session:
            rows = session.rows(
                "SELECT g.group_id, c.walked_at, c.state, COUNT(m.user_no) FROM groups g JOIN coverage c "
                "USING (group_no) LEFT JOIN memberships m USING (group_no) WHERE c.walked_at IS NOT NULL "
                "GROUP BY g.group_id, c.walked_at, c.state",
            )
        self.last_sizes: dict[str, int] = {group_id: int(size) for group_id, _, _, size in rows}
        self.read_at: dict[str, datetime] = {
            group_id: read_at.astimezone(UTC) for group_id, read_at, state, _ in rows if state in (WALKED, CONFIRMED)
        }
        self.sizes: dict[str, int] = {group_id: self.last_sizes[group_id] for group_id in self.read_at}

    @classmethod
    def of(cls, snapshots: Snapshots) -> Base | None:
        """Return the newest snapshot as a base, or None where there is none that is whole."""
        return cls(snapshots.latest()) if snapshots.exists() else None

    @cached_property
    def statuses(self) -> dict[str, str]:
        """The status of each person's account as far as it is known, by account id."""
        with closing(Session(self.snapshot)) as session:
            return dict(session.rows("SELECT account_id, account_status FROM users"))

    def people(self, accounts: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return what is known of those of `accounts` that are in the snapshot: the other columns of ``users``."""
        columns = ", ".join(COLUMNS["users"])
        with closing(Session(self.snapshot)) as session:
            rows = session.matching(f"SELECT {columns} FROM users WHERE account_id IN", accounts).to_pylist()
        return {row.pop("account_id"): row for row in rows}

    @property
    def number(self) -> int:
        """The number of the snapshot."""
        return self.snapshot.at

    def elapsed(self, now: datetime, at_most: float) -> float:
        """Return which part of the days `at_most` has passed since the snapshot, from 0 to 1."""
        passed = max(timedelta(0), now - self.snapshot.taken_at) / timedelta(days=1)
        return min(1.0, passed / at_most)

    def due(self, chosen: Iterable[str], at_most: float, now: datetime) -> list[str]:
        """Return the groups whose turn it is to be read whole again, in order of `chosen`.

        All that were read more than `at_most` days ago; and of the others, the oldest first and of one day the largest
        first, as many members as keep every group's reading younger than that when walks go on as often as this one.
        """
        wanted = [i for i in chosen if i in self.sizes]
        days = {i: (now - self.read_at[i]) / timedelta(days=1) for i in wanted}
        # An empty group costs a request too.
        left = sum(self.sizes[i] + 1 for i in wanted) * self.elapsed(now, at_most)
        taken: set[str] = set()
        for i in sorted(wanted, key=lambda i: (-math.floor(days[i]), -self.sizes[i], i)):
            cost = self.sizes[i] + 1
            # What is larger than the whole share has its turn when it is first.
            if days[i] > at_most or cost <= left or (not taken and left > 0):
                taken.add(i)
                left -= cost
        return [i for i in wanted if i in taken]

    def carried(self, groups: Iterable[str]) -> set[str]:
        """Return the account ids of the members that `groups` had in the snapshot."""
        with closing(Session(self.snapshot)) as session:
            found = session.matching(
                "SELECT DISTINCT u.account_id FROM memberships m JOIN users u USING (user_no) "
                "JOIN groups g USING (group_no) WHERE g.group_id IN",
                groups,
            )
        return set(found["account_id"].to_pylist())

    def looked_up_at(self) -> list[datetime]:
        """Return when the accounts of each part were last looked up."""
        told = self.snapshot.completeness.get("accounts_at")
        if not told:
            return [self.snapshot.taken_at] * BUCKETS
        return [datetime.fromisoformat(one) for one in told]

    def due_accounts(self, at_most: float, now: datetime) -> set[int]:
        """Return the parts of the accounts whose turn it is to be looked up again, as `due` does for groups."""
        seen = self.looked_up_at()
        share = math.ceil(BUCKETS * self.elapsed(now, at_most))
        oldest = sorted(range(BUCKETS), key=lambda part: seen[part])
        overdue = {part for part in oldest if now - seen[part] > timedelta(days=at_most)}
        return overdue | set(oldest[:share])

    def to_look_up(self, accounts: Iterable[str], parts: set[int]) -> list[str]:
        """Return those of `accounts` that are in `parts`, or of whom nobody knows the status."""
        statuses = self.statuses
        return [i for i in accounts if part_of(i) in parts or not statuses.get(i)]


def unread(record: Checkpoint) -> list[str]:
    """Return the groups of the site whose members the walk in `record` has not read whole."""
    ended = record.ended()
    listed = (row["group_id"] for row in record.get("groups"))
    return [i for i in listed if i not in ended or ended[i].state != WALKED]


def part_of(account_id: str) -> int:
    """Return which part of the accounts an account belongs to."""
    return zlib.crc32(account_id.encode()) % BUCKETS


async def confirm_sizes(run: UnderWay, base: Base) -> None:
    """Ask each group that need not be read whole for its size; those that have another one are left to be read."""
    record = run.record
    about = record.get("base")
    if about["unfilled"]:
        return
    whole, ended, differ = set(about["whole"]), record.ended(), record.kept_keys("sizes")
    asked = [i for i in record.get("chosen") if i in base.sizes and i not in whole]
    left = [i for i in asked if i not in ended and i not in differ]
    operation = run.operation("look_up_members_by_group_id", "sizes of groups", of=len(asked), left=len(left))
    filled, unfilled = operation.done, 0

    async def one(group_id: str) -> None:
        nonlocal filled, unfilled
        if unfilled >= _ENOUGH and not filled:
            return
        began = datetime.now(UTC)
        try:
            size = await _size(run.gateway, operation, group_id)
        except SpokekitError as error:
            if isinstance(error, STOPS):
                raise
            # What is wrong with this group its reading will tell.
            return
        if size is None:
            unfilled += 1
        elif size == base.sizes[group_id]:
            record.end(group_id, Ended(CONFIRMED, began, False, ""))
        else:
            record.collect_part("sizes", group_id, size)
        # A page of one row may also have been counted.
        filled += size is not None and size > 1
        operation.advance()

    await run.each(one, left, operation)
    if unfilled:
        about["unfilled"] = "all" if not filled else "some"
        await anyio.to_thread.run_sync(lambda: record.put(base=about))


async def _size(gateway: Gateway, operation: Operation, group_id: str) -> int | None:
    """Return how many members a group has, for the price of one; None where the site does not say."""
    answer = await gateway.read(
        f"/wiki/rest/api/group/{segment(group_id)}/membersByGroupId",
        MEMBERS,
        operation=operation,
        query=[("start", 0), ("limit", 1), ("shouldReturnTotalSize", "true")],
        worst=SIZE_POINTS,
        points=lambda page: 1 + USER_POINTS * len(page.results),
    )
    operation.tally.pages += 1
    page = answer.value
    total, here = page.total, len(page.results)
    # A total that leaves out what follows, or what is here, is that of something else, such as the page.
    if (
        total is None
        or total < here
        or (page.next is not None and total <= here)
        or (page.next is None and total > here)
    ):
        return None
    return total
