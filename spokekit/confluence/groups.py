"""Reading groups and their members."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

import anyio

from spokekit.confluence.members import MemberTable
from spokekit.confluence.models import CompletenessReport, stamp
from spokekit.confluence.operation import Operation
from spokekit.confluence.paging import GROUP_POINTS, USER_POINTS, OffsetPages, segment
from spokekit.confluence.shapes import GROUP, GROUPS, MEMBERS, Group, Member
from spokekit.errors import (
    AppNotInstalled,
    Cancelled,
    ConsentError,
    IncompleteResult,
    InputError,
    NotConfigured,
    NotPermitted,
    NotThere,
    RateLimited,
    ScopeMissing,
    ServiceError,
    SpokekitError,
    StoreError,
    TokenRejected,
    TransportError,
)

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.gateway import Gateway

Access = Literal["user", "admin", "site-admin"]
Partial = Literal["raise", "keep"]
ACCESS: tuple[Access, ...] = get_args(Access)

# Errors that every further request would meet too: going on would only spend points.
STOPS = (
    AppNotInstalled,
    Cancelled,
    ConsentError,
    NotConfigured,
    NotPermitted,
    RateLimited,
    ScopeMissing,
    StoreError,
    TokenRejected,
)
_READS = 3


@dataclass
class _List:
    """A list of groups as far as it was read."""

    groups: dict[str, Group] = field(default_factory=dict)
    error: SpokekitError | None = None
    pages: int = 0


async def list_groups(
    gateway: Gateway, operation: Operation, access: Access | None, with_access: bool, partial: Partial
) -> pd.DataFrame:
    if access is not None and access not in ACCESS:
        raise InputError(
            f"There is no access of the kind {access!r}.", field="access", hint=f"Choose one of {', '.join(ACCESS)}."
        )
    started = datetime.now(UTC)
    wanted: list[Access | None] = [access]
    if with_access:
        wanted += [kind for kind in ACCESS if kind != access]
    lists = {kind: _List() for kind in wanted}
    async with anyio.create_task_group() as tasks:
        for kind in wanted:
            tasks.start_soon(_fill, gateway, operation, kind, lists[kind])
    errors = [one.error for one in lists.values() if one.error is not None]
    for error in errors:
        if isinstance(error, Cancelled) or (isinstance(error, STOPS) and not lists[access].groups):
            raise error
    if errors and not lists[access].groups and lists[access].error is not None:
        raise errors[0]

    rows = dict(lists[access].groups)
    notes: list[str] = []
    if access is None:
        late = {key: group for kind in ACCESS if kind in lists for key, group in lists[kind].groups.items()}
        late = {key: group for key, group in late.items() if key not in rows}
        if late:
            notes.append(f"{len(late)} groups appeared while the list was read.")
            rows |= late
    frame = _group_frame(rows, {kind: set(lists[kind].groups) for kind in ACCESS if kind in lists})
    failed = tuple(f"access {kind}" if kind else "all groups" for kind, one in lists.items() if one.error is not None)
    report = CompletenessReport(
        complete=not failed,
        listed=len(lists),
        walked=len(lists) - len(failed),
        partial=failed,
        notes=tuple(notes),
        rows=len(frame),
        unit="lists",
        reasons={
            f"access {kind}" if kind else "all groups": str(one.error) for kind, one in lists.items() if one.error
        },
        **counts(operation),
    )
    stamp(frame, report, gateway.connection.site_url or "", started)
    return finish(frame, report, partial, errors[0] if errors else None)


async def _fill(gateway: Gateway, operation: Operation, kind: Access | None, into: _List) -> None:
    query = [("accessType", kind)] if kind else []
    try:
        for reading in range(_READS):
            pages = OffsetPages(
                gateway,
                operation,
                "/wiki/rest/api/group",
                GROUPS,
                key=lambda group: group.id,
                each=GROUP_POINTS,
                query=query,
                overlap=True,
            )
            found: dict[str, Group] = {}
            while (rows := await pages.next()) is not None:
                found.update((group.id, group) for group in rows)
                into.groups = found if len(found) >= len(into.groups) else into.groups
                into.pages += 1
                if reading == 0 and kind is None:
                    operation.advance(len(rows))
            into.groups = found
            if not pages.moved:
                return
            operation.tally.retries += 1
        raise ServiceError(
            f"The list of groups changed each of {_READS} times that it was read.",
            hint="Try again when fewer changes are being made.",
            next_step="retry",
            endpoint="GET /wiki/rest/api/group",
        )
    except SpokekitError as error:
        into.error = error


def _group_frame(rows: dict[str, Group], access: dict[Access, set[str]]) -> pd.DataFrame:
    import pandas as pd

    groups = list(rows.values())
    return pd.DataFrame(
        {
            "group_id": pd.Series([group.id for group in groups], dtype="str"),
            "name": pd.Series([group.name for group in groups], dtype="str"),
            "access": pd.Series(
                [", ".join(kind for kind, ids in access.items() if group.id in ids) for group in groups], dtype="str"
            ),
            "managed_by": pd.Categorical([group.managed_by or "" for group in groups]),
            "usage_type": pd.Categorical([group.usage_type or "" for group in groups]),
        }
    )


class Counts(TypedDict):
    """The report's fields that an operation counts by itself."""

    pages: int
    retries: int
    duplicates: int
    points: int


def counts(operation: Operation) -> Counts:
    """Return what the operation counted, as the report's fields."""
    tally = operation.tally
    return {
        "pages": tally.pages,
        "retries": tally.retries,
        "duplicates": tally.duplicates,
        "points": tally.points,
    }


def finish(
    frame: pd.DataFrame, report: CompletenessReport, partial: Partial, cause: BaseException | None
) -> pd.DataFrame:
    """Return the frame when it is complete or when an incomplete one is wanted; raise `IncompleteResult` if not."""
    if report.complete or partial == "keep":
        return frame
    why = next(iter(report.reasons.values()), "")
    raise IncompleteResult(
        report.words,
        likely=f"The first reason: {why}" if why else None,
        hint="Try again, or take what came with partial='keep'.",
        report=report,
        frame=frame,
    ) from cause


# -- members -----------------------------------------------------------------------------------------------------------


class Walk:
    """Read the members of many groups, several groups at a time."""

    def __init__(self, gateway: Gateway, operation: Operation, *, confirm_empty: bool = True) -> None:
        self.gateway = gateway
        self.operation = operation
        self.confirm_empty = confirm_empty
        self.table = MemberTable()
        self.walked = 0
        self.failed: dict[str, SpokekitError] = {}
        self.partial: dict[str, SpokekitError] = {}
        self.stopped: BaseException | None = None
        self._in_a_row = 0

    async def run(self, group_ids: Iterable[str]) -> None:
        ids = list(dict.fromkeys(group_ids))
        self.operation.total = len(ids)
        left = iter(ids)
        async with anyio.create_task_group() as tasks:
            for _ in range(min(self.gateway.in_flight, len(ids))):
                tasks.start_soon(self._worker, left)
        if isinstance(self.stopped, SpokekitError):
            done = self.failed.keys() | self.partial.keys()
            for group_id in left:
                if group_id not in done:
                    self.failed[group_id] = self.stopped
        elif self.stopped is not None:
            raise self.stopped

    async def _worker(self, left: Iterable[str]) -> None:
        for group_id in left:
            try:
                await self._group(group_id)
            except Exception as error:  # noqa: BLE001 - a fault of the listener; raised by `run`, outside the group
                self.stopped = error
            if self.stopped is not None:
                return

    async def _group(self, group_id: str) -> None:
        codes: array[int] = array("i")
        try:
            codes = await self._members(group_id, codes)
            self.walked += 1
            self._in_a_row = 0
        except SpokekitError as error:
            (self.partial if len(codes) else self.failed)[group_id] = error
            self._in_a_row += isinstance(error, TransportError)
            if isinstance(error, STOPS) or self._in_a_row >= 3 * self.gateway.in_flight:
                self.stopped = error
        self.table.add(group_id, codes)
        self.operation.advance()

    async def _members(self, group_id: str, codes: array[int]) -> array[int]:
        """Fill ``codes`` and return it; an error leaves in it what came before."""
        code = self.table.code
        for _ in range(_READS):
            del codes[:]
            pages = OffsetPages(
                self.gateway,
                self.operation,
                f"/wiki/rest/api/group/{segment(group_id)}/membersByGroupId",
                MEMBERS,
                key=_account,
                each=USER_POINTS,
                query=[("expand", "operations")],
                count=True,
            )
            while (rows := await pages.next()) is not None:
                codes.extend([code(row) for row in rows])
            if not codes and self.confirm_empty:
                await confirm(self.gateway, self.operation, group_id)
            if pages.total is None or pages.total == len(codes):
                return codes
            self.operation.tally.retries += 1
        raise ServiceError(
            f"Group {group_id} brought {len(codes):,} members where {pages.total:,} were announced, {_READS} times.",
            likely="Its membership changes faster than it can be read, or some rows are hidden.",
            hint="Read this group again later.",
            next_step="retry",
            endpoint=f"GET {pages.path}",
        )

    def frame(self, started: datetime, partial: Partial) -> pd.DataFrame:
        """Return the frame with its report, or raise as `finish` does."""
        notes = []
        if self.table.without_operations:
            notes.append(
                f"{len(self.table.without_operations):,} users came without operations; licensed is False for them "
                "because it is unknown."
            )
        report = CompletenessReport(
            complete=not self.failed and not self.partial,
            listed=self.operation.total or 0,
            walked=self.walked,
            failed=tuple(self.failed),
            partial=tuple(self.partial),
            notes=tuple(notes),
            rows=len(self.table),
            reasons={key: str(error) for key, error in (self.failed | self.partial).items()},
            **counts(self.operation),
        )
        frame = self.table.frame()
        stamp(frame, report, self.gateway.connection.site_url or "", started)
        return finish(frame, report, partial, self.stopped)


def _account(member: Member) -> str:
    return member.account_id


async def confirm(gateway: Gateway, operation: Operation, group_id: str) -> Group:
    """Return the group, or raise `NotThere`: an unknown group's members are an empty page, not an error."""
    try:
        answer = await gateway.read(
            "/wiki/rest/api/group/by-id",
            GROUP,
            operation=operation,
            query=[("id", group_id)],
            worst=1 + GROUP_POINTS,
            points=lambda _group: 1 + GROUP_POINTS,
        )
    except ServiceError as error:
        # The live service was seen to answer an unknown id with 400 as well as with 404.
        if error.status not in (400, 404):
            raise
        raise NotThere(
            f"There is no group with the id {group_id} on this site.",
            likely="It was deleted, or the id belongs to another site.",
            hint="Look the groups up again.",
            status=error.status,
            endpoint=error.endpoint,
        ) from None
    return answer.value
