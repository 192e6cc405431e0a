"""Spaces, pages, and who may do what in a space."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl

from spokekit._frames import Codes, frame_of
from spokekit.confluence.frame_pages import AsyncFramePages
from spokekit.confluence.operation import Operation
from spokekit.confluence.paging import CORE_POINTS, PERMISSION_POINTS, V2_MOST, CursorPages, segment
from spokekit.confluence.pull import STOPS, Partial, PartlyRead, Pull, finish
from spokekit.confluence.shapes import (
    ASSIGNMENTS,
    CONTENT_PAGES,
    PERMISSIONS,
    ROLE_MODE,
    ROLES,
    SPACES,
    ContentPage,
    Space,
    Version,
)
from spokekit.confluence.wire import sendable
from spokekit.errors import InputError, NotPermitted, NotThere, ScopeMissing, ServiceError, SpokekitError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.gateway import Gateway

T = TypeVar("T")

Filter = Mapping[str, object] | str | None
SPACE_FILTERS = (
    "ids", "keys", "type", "status", "labels", "favorited-by", "not-favorited-by", "sort", "description-format",
    "include-icon",
)  # fmt: skip
PAGE_FILTERS = ("id", "space-id", "sort", "status", "title", "body-format", "subtype")
SPACE_COLUMNS = {
    **dict.fromkeys(("space_id", "key", "name", "type", "status", "author_id", "homepage_id"), "text"),
    "created_at": "moment",
}
PAGE_COLUMNS = {
    **dict.fromkeys(("page_id", "title", "status", "space_id", "parent_id", "parent_type"), "text"),
    "author_id": "text",
    "owner_id": "text",
    "created_at": "moment",
    "version": "count",
    "version_at": "moment",
}
_ID = attrgetter("id")
_SPACE = attrgetter("id", "key", "name", "type", "status", "author_id", "homepage_id", "created_at")
_ASSIGNMENT = attrgetter("principal.type", "principal.id", "role_id")
PERMISSION_COLUMNS = ("space_id", "principal_type", "principal_id", "operation", "target", "role")


def filters(query: Filter, known: tuple[str, ...]) -> list[tuple[str, str | int]]:
    """Return a query given as mapping or as ``name=value&…`` as pairs, refusing names that the endpoint lacks."""
    pairs: list[tuple[str, object]]
    if query is None:
        pairs = []
    elif isinstance(query, str):
        pairs = list(parse_qsl(query.lstrip("?"), keep_blank_values=True))
        if query.strip("? ") and not pairs:
            raise InputError(f"{query!r} is not a query.", field="query", hint="Write it as name=value&name=value.")
    else:
        pairs = list(query.items())
    clean: list[tuple[str, str | int]] = []
    for name, value in pairs:
        if name not in known:
            raise InputError(
                f"This action cannot be narrowed by {name!r}.", field="query", hint=f"Choose among {', '.join(known)}."
            )
        several = [value] if isinstance(value, str | int) or not isinstance(value, Iterable) else list(value)
        words = [str(one).lower() if isinstance(one, bool) else one for one in several]
        if not words or not all(isinstance(one, str | int) and sendable(str(one)) for one in words):
            raise InputError(f"{name} cannot be {value!r}.", field="query", hint="Give texts or whole numbers.")
        clean.append((name, ",".join(str(one) for one in words)))
    return clean


def page_size(value: int, most: int = V2_MOST) -> int:
    """Return a page size that the service takes."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InputError(f"A page has 1 to {most} rows, not {value!r}.", field="page_size")
    return value


def stream_spaces(gateway: Gateway, operation: Operation, size: int, query: Filter) -> AsyncFramePages:
    pages = CursorPages(
        gateway, operation, "/wiki/api/v2/spaces", SPACES, each=CORE_POINTS, limit=page_size(size), key=_ID,
        query=filters(query, SPACE_FILTERS),
    )  # fmt: skip
    return AsyncFramePages(operation, pages, _space_frame, gateway.connection.site_url or "")


def _space_frame(rows: list[Space]) -> pd.DataFrame:
    return frame_of(map(_SPACE, rows), SPACE_COLUMNS)


def stream_pages(gateway: Gateway, operation: Operation, size: int, query: Filter) -> AsyncFramePages:
    wanted = filters(query, PAGE_FILTERS)
    pages = CursorPages(
        gateway, operation, "/wiki/api/v2/pages", CONTENT_PAGES, each=CORE_POINTS, limit=page_size(size), query=wanted,
        key=_ID,
    )  # fmt: skip
    body = next((str(value) for name, value in wanted if name == "body-format"), None)
    return AsyncFramePages(operation, pages, lambda rows: _page_frame(rows, body), gateway.connection.site_url or "")


def _page_row(row: ContentPage, body: str | None) -> tuple[object, ...]:
    version = row.version or Version()
    what = row.id, row.title, row.status, row.space_id, row.parent_id, row.parent_type, row.author_id, row.owner_id
    found = (row.body or {}).get(body) if body else None
    return *what, row.created_at, version.number, version.created_at, *([found and found.value] if body else [])


def _page_frame(rows: list[ContentPage], body: str | None) -> pd.DataFrame:
    columns = PAGE_COLUMNS | ({"body": "text"} if body else {})
    return frame_of((_page_row(row, body) for row in rows), columns)


# -- permissions -------------------------------------------------------------------------------------------------------


async def read_permissions(
    gateway: Gateway, operation: Operation, space_ids: list[str] | None, partial: Partial
) -> pd.DataFrame:
    """Read what the site's model has: permissions, role assignments, or both while it moves from one to the other."""
    import pandas as pd

    started = datetime.now(UTC)
    if space_ids is None:
        spaces = CursorPages(gateway, operation, "/wiki/api/v2/spaces", SPACES, each=CORE_POINTS, key=_ID)
        space_ids = [space.id async for space in _rows(spaces)]
    mode, notes = await _role_mode(gateway, operation)
    roles = await _role_names(gateway, operation, notes) if mode != "PRE_ROLES" else {}
    columns = {name: Codes() for name in PERMISSION_COLUMNS}

    def add(*values: str) -> None:
        for column, value in zip(columns.values(), values, strict=True):
            column.add(value)

    async def read(space_id: str) -> None:
        read_rows = 0
        base = f"/wiki/api/v2/spaces/{segment(space_id)}"
        try:
            if mode != "ROLES":
                pages = CursorPages(
                    gateway, operation, f"{base}/permissions", PERMISSIONS, each=PERMISSION_POINTS, key=_ID
                )
                async for row in _rows(pages):
                    what, who = row.operation, row.principal
                    add(space_id, _kind(who.type), who.id, what.key, what.target, "")
                    read_rows += 1
            if mode != "PRE_ROLES":
                path = f"{base}/role-assignments"
                found = CursorPages(gateway, operation, path, ASSIGNMENTS, each=PERMISSION_POINTS, key=_ASSIGNMENT)
                try:
                    async for given in _rows(found):
                        role = roles.get(given.role_id) or given.role_id
                        add(space_id, _kind(given.principal.type), given.principal.id, "", "", role)
                        read_rows += 1
                except NotThere:
                    # Where nobody knows the model, a site without roles answers so; with roles it is an error.
                    if mode is not None:
                        raise
        except SpokekitError as error:
            if read_rows:
                raise PartlyRead(error) from error
            raise

    pull = Pull(operation, gateway.in_flight)
    await pull.run(space_ids, read)
    error = pull.first_error()
    if error is not None and not pull.walked and not pull.partial and isinstance(error, STOPS):
        raise error
    frame = pd.DataFrame({name: column.categorical() for name, column in columns.items()})
    report = pull.report(len(frame), "spaces", notes)
    frame.attrs["role_mode"] = mode or "unknown"
    return finish(frame, report, gateway, started, partial, error)


async def _rows(pages: CursorPages[T]) -> AsyncIterator[T]:
    while (rows := await pages.next()) is not None:
        for row in rows:
            yield row


async def _role_mode(gateway: Gateway, operation: Operation) -> tuple[str | None, list[str]]:
    try:
        answer = await gateway.read("/wiki/api/v2/space-role-mode", ROLE_MODE, operation=operation, worst=2)
    except (ScopeMissing, NotThere, NotPermitted) as error:
        note = f"Which permission model the site has could not be asked ({type(error).__name__}); both were read."
        return None, [note]
    return answer.value.mode, []


async def _role_names(gateway: Gateway, operation: Operation, notes: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    pages = CursorPages(gateway, operation, "/wiki/api/v2/space-roles", ROLES, each=CORE_POINTS)
    try:
        async for role in _rows(pages):
            names[role.id] = role.name or role.id
    except ServiceError as error:
        # Seen to fail on the live service; the ids of the roles still tell them apart.
        notes.append(f"The names of the roles could not be read ({type(error).__name__}); their ids stand in role.")
    return names


def _kind(text: str) -> str:
    """``ACCESS_CLASS`` of one endpoint and ``access-class`` of the other are one thing."""
    return text.lower().replace("_", "-")
