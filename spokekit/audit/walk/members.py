"""Reading one group's members page by page, from where an earlier run of the walk stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from spokekit.audit.walk.run import stopped
from spokekit.confluence.groups import confirm
from spokekit.confluence.paging import USER_POINTS, OffsetPages, segment
from spokekit.confluence.pull import until_still
from spokekit.confluence.shapes import MEMBERS, Member

if TYPE_CHECKING:
    from spokekit.audit.walk.checkpoint import Checkpoint
    from spokekit.confluence.gateway import Gateway
    from spokekit.confluence.operation import Operation
    from spokekit.confluence.report import Cancel


class _Pages(OffsetPages[Member]):
    """Members of one group. Pages overlap by one row, so that a list that moved is noticed, also across a resume."""

    def go_on_after(self, accounts: list[str]) -> None:
        """Begin at the last of the rows that an earlier run has kept."""
        self._seen.update(accounts)
        self._last = accounts[-1]
        self._overlapped = True
        self.start = len(accounts) - 1
        # The second page asks for the size of the list; what was kept counts as the first.
        self.pages = 1


class GroupReader:
    """Reads groups into the record of the walk."""

    def __init__(
        self, gateway: Gateway, operation: Operation, record: Checkpoint, cancel: Cancel | None = None
    ) -> None:
        self.gateway, self.operation, self.record, self.cancel = gateway, operation, record, cancel
        self.members = 0
        self.in_a_row = 0
        self.disturbed: set[str] = set()
        """Groups whose list moved while it was read."""

    async def read(self, group_id: str) -> bool:
        """Keep all members of the group; True when the list moved meanwhile and was read again.

        Raises NotThere when the group does not exist (Confluence shows an unknown group as an empty one), ServiceError
        when its list kept moving.
        """
        kept: list[str] = []
        if self.record.page_count(group_id):
            kept = await anyio.to_thread.run_sync(self.record.pages, group_id)
        path = f"/wiki/rest/api/group/{segment(group_id)}/membersByGroupId"

        async def read() -> str:
            nonlocal kept
            pages = _Pages(
                self.gateway,
                self.operation,
                path,
                MEMBERS,
                key=_account,
                each=USER_POINTS,
                query=[("expand", "operations")],
                overlap=True,
                count=True,
            )
            came = len(kept)
            if kept:
                pages.go_on_after(kept)
            while (rows := await pages.next()) is not None:
                if pages.moved:
                    break
                came += len(rows)
                self.members += len(rows)
                if rows:
                    self.record.page(group_id, rows)
                    if self.record.full:
                        await anyio.to_thread.run_sync(self.record.flush)
                if self.cancel is not None and self.cancel.is_set() and not pages.ended:
                    raise stopped()
            if not pages.moved and pages.total in (None, came):
                if not came:
                    await confirm(self.gateway, self.operation, group_id)
                return ""
            self.disturbed.add(group_id)
            self.members -= came - len(kept)
            self.record.forget(group_id)
            kept = []
            return f"Group {group_id} changed"

        await until_still(read, self.operation, path)
        return group_id in self.disturbed


def _account(member: Member) -> str:
    return member.account_id
