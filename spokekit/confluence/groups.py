"""Reading groups and their members."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial as partial_of
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import anyio

from spokekit._frames import frame_of
from spokekit.confluence.members import MemberTable
from spokekit.confluence.operation import Operation
from spokekit.confluence.paging import GROUP_POINTS, USER_POINTS, OffsetPages, segment
from spokekit.confluence.pull import STOPS, Partial, PartlyRead, Pull, finish, report_of, until_still
from spokekit.confluence.shapes import GROUP, GROUP_COLUMNS, GROUPS, MEMBER, MEMBERS, Group
from spokekit.errors import Cancelled, InputError, NotThere, ServiceError, SpokekitError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.gateway import Answer, Gateway

T = TypeVar("T")
Access = Literal["user", "admin", "site-admin"]
ACCESS: tuple[Access, ...] = get_args(Access)

_NAMED = 50


@dataclass
class _List:
    """A list of groups as far as it was read."""

    groups: dict[str, Group] = field(default_factory=dict)
    error: SpokekitError | None = None


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
            query: list[tuple[str, str | int]] = [("accessType", kind)] if kind else []
            told = kind == access
            tasks.start_soon(partial_of(_fill, told=told), gateway, operation, query, lists[kind])
    errors = [one.error for one in lists.values() if one.error is not None]
    for error in errors:
        if isinstance(error, Cancelled) or (lists[access].error is not None and not lists[access].groups):
            raise error

    rows = dict(lists[access].groups)
    notes: list[str] = []
    if access is None:
        late = {key: group for kind in ACCESS if kind in lists for key, group in lists[kind].groups.items()}
        late = {key: group for key, group in late.items() if key not in rows}
        if late:
            notes.append(f"{len(late)} groups appeared while the list was read.")
            rows |= late
    frame = _group_frame(rows, {kind: set(lists[kind].groups) for kind in ACCESS if kind in lists})
    partly = {f"access {kind}" if kind else "all groups": one.error for kind, one in lists.items() if one.error}
    report = report_of(operation, len(frame), "lists", listed=len(lists), partial=partly, notes=notes)
    return finish(frame, report, gateway, started, partial, errors[0] if errors else None)


async def _fill(
    gateway: Gateway,
    operation: Operation,
    query: list[tuple[str, str | int]],
    into: _List,
    *,
    path: str = "/wiki/rest/api/group",
    told: bool = False,
) -> None:
    """Read one list of groups; an error is kept with what came before it, since other lists go on."""

    async def read() -> str:
        pages = OffsetPages(
            gateway,
            operation,
            path,
            GROUPS,
            key=attrgetter("id"),
            each=GROUP_POINTS,
            query=query,
            overlap=True,
            eager=True,
        )
        found: dict[str, Group] = {}
        while (rows := await pages.next()) is not None:
            found.update((group.id, group) for group in rows)
            if len(found) > len(into.groups):
                into.groups = found
                operation.advance(len(found) - operation.done if told else 0)
        into.groups = found
        return "The list of groups changed" if pages.moved else ""

    try:
        await until_still(read, operation, path)
    except SpokekitError as error:
        into.error = error


def _group_frame(rows: dict[str, Group], access: dict[Access, set[str]]) -> pd.DataFrame:
    words = {group_id: ", ".join(kind for kind, ids in access.items() if group_id in ids) for group_id in rows}
    return frame_of([group.row(words[group.id]) for group in rows.values()], GROUP_COLUMNS)


# -- members -----------------------------------------------------------------------------------------------------------


async def read_members(
    gateway: Gateway,
    operation: Operation,
    ids: list[str],
    *,
    one: bool,
    partial: Partial,
    confirm_empty: bool,
    count: bool,
) -> pd.DataFrame:
    """Read the members of ``ids``; with ``one``, an error about the only group is raised as it is."""
    started = datetime.now(UTC)
    table = MemberTable()
    pull = Pull(operation, gateway.in_flight)

    async def read(group_id: str) -> None:
        codes: array[int] = array("i")
        try:
            await _members(gateway, operation, group_id, table, codes, confirm_empty=confirm_empty, count=count)
        except SpokekitError as error:
            if codes:
                raise PartlyRead(error) from error
            raise
        finally:
            table.add(group_id, codes)

    await pull.run(ids, read)
    error = pull.first_error()
    if error is not None and not pull.walked and not pull.partial and (one or isinstance(error, STOPS)):
        raise error
    notes = []
    if table.without_operations:
        notes.append(
            f"{len(table.without_operations):,} users came without operations; their licensed is False because it is "
            "not known."
        )
    report = pull.report(len(table), "groups", notes)
    return finish(table.frame(), report, gateway, started, partial, error)


async def _members(
    gateway: Gateway,
    operation: Operation,
    group_id: str,
    table: MemberTable,
    codes: array[int],
    *,
    confirm_empty: bool,
    count: bool,
) -> None:
    """Fill ``codes``; when it raises, they hold what came before."""
    path = f"/wiki/rest/api/group/{segment(group_id)}/membersByGroupId"

    async def read() -> str:
        del codes[:]
        pages = OffsetPages(
            gateway,
            operation,
            path,
            MEMBERS,
            key=attrgetter("account_id"),
            each=USER_POINTS,
            query=[("expand", "operations")],
            overlap=True,
            count=count,
        )
        while (rows := await pages.next()) is not None:
            codes.extend([table.code(row) for row in rows])
        if not codes and confirm_empty:
            await confirm(gateway, operation, group_id)
        if pages.total is not None and pages.total != len(codes):
            return f"Group {group_id} brought {len(codes):,} members where {pages.total:,} were counted"
        return f"Group {group_id} changed" if pages.moved else ""

    await until_still(read, operation, path)


async def confirm(gateway: Gateway, operation: Operation, group_id: str) -> Group:
    """Return the group, or raise `NotThere`: an unknown group's members are an empty page, not an error."""
    answer = gateway.read(
        "/wiki/rest/api/group/by-id",
        GROUP,
        operation=operation,
        query=[("id", group_id)],
        worst=1 + GROUP_POINTS,
    )
    return await _there(
        answer,
        f"There is no group with the id {group_id} on this site.",
        "It was deleted, or the id belongs to another site.",
        "Look the groups up again.",
    )


async def _there(answer: Awaitable[Answer[T]], sentence: str, likely: str, hint: str) -> T:
    """Return what was asked for by its id, or raise `NotThere` in these words."""
    try:
        return (await answer).value
    except ServiceError as error:
        # The live service was seen to answer an unknown id with 400 as well as with 404.
        if error.status not in (400, 404):
            raise
        raise NotThere(sentence, likely=likely, hint=hint, status=error.status, endpoint=error.endpoint) from None


async def named(gateway: Gateway, operation: Operation, text: str) -> tuple[Group, ...]:
    """Return some groups whose name holds `text`, the service's own search; none where it cannot be asked."""
    try:
        answer = await gateway.read(
            "/wiki/rest/api/group/picker",
            GROUPS,
            operation=operation,
            query=[("query", text), ("limit", _NAMED)],
            worst=1 + _NAMED * GROUP_POINTS,
            points=lambda page: 1 + len(page.results) * GROUP_POINTS,
        )
    except ServiceError as error:
        if error.status not in (400, 403, 404, 405, 410):
            raise
        return ()
    return tuple(answer.value.results)


# -- groups of one user ------------------------------------------------------------------------------------------------


async def list_groups_of(gateway: Gateway, operation: Operation, account_id: str, partial: Partial) -> pd.DataFrame:
    started = datetime.now(UTC)
    found = _List()
    await _fill(gateway, operation, [("accountId", account_id)], found, path="/wiki/rest/api/user/memberof")
    if found.error is not None and (not found.groups or isinstance(found.error, Cancelled)):
        raise found.error
    if not found.groups:
        await _confirm_user(gateway, operation, account_id)
    columns = {"account_id": "text", **{name: kind for name, kind in GROUP_COLUMNS.items() if name != "access"}}
    frame = frame_of([{"account_id": account_id, **group.row()} for group in found.groups.values()], columns)
    partly = {} if found.error is None else {account_id: found.error}
    report = report_of(operation, len(frame), "lists", partial=partly)
    return finish(frame, report, gateway, started, partial, found.error)


async def _confirm_user(gateway: Gateway, operation: Operation, account_id: str) -> None:
    answer = gateway.read(
        "/wiki/rest/api/user",
        MEMBER,
        operation=operation,
        query=[("accountId", account_id)],
        worst=1 + USER_POINTS,
    )
    await _there(
        answer,
        f"There is no user with the account id {account_id} on this site.",
        "The account is closed, or belongs to another site.",
        "Take the account id from a list of members.",
    )
