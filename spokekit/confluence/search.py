"""Searching content: CQL made from values that may hold anything, and results read to the end of their cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from spokekit._frames import frame_of
from spokekit.confluence.operation import Operation
from spokekit.confluence.paging import CORE_POINTS, CursorPages
from spokekit.confluence.pull import Partial, finish, report_of
from spokekit.confluence.shapes import SEARCH, Found, FoundContent
from spokekit.confluence.spaces import page_size
from spokekit.confluence.wire import sendable
from spokekit.errors import Cancelled, InputError, SpokekitError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.gateway import Gateway

Values = str | Iterable[str] | None
SEARCH_MOST = 250
COLUMNS = {
    **dict.fromkeys(("entity_type", "content_id", "content_type", "status"), "text"),
    **dict.fromkeys(("title", "container", "url", "excerpt"), "text"),
    "last_modified": "moment",
}


def quoted(value: str) -> str:
    """Return a CQL string literal that means exactly ``value``: no quote in it ends it.

    >>> quoted('say "hi"')
    '"say \\\\"hi\\\\""'
    """
    if not isinstance(value, str):
        raise InputError(f"{value!r} is not a text to search for.", field="cql")
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", value) or not sendable(value):
        raise InputError("A text to search for holds a control character, or half a one.", field="cql")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def make_cql(
    *,
    text: str | None = None,
    title: str | None = None,
    kind: Values = None,
    space: Values = None,
    label: Values = None,
    creator: Values = None,
    modified_since: date | None = None,
    cql: str | None = None,
) -> str:
    """Return CQL that asks for all conditions together; each value is one literal, whatever it holds."""
    parts: list[str] = []
    for field, one in (("text", text), ("title", title)):
        if one is not None:
            parts.append(f"{field} ~ {quoted(one)}")
    for field, several in (("type", kind), ("space", space), ("label", label), ("creator", creator)):
        if several is not None:
            values = [several] if isinstance(several, str) else list(several)
            if not values:
                raise InputError(f"No value is given for {field}.", field=field)
            parts.append(f"{field} in ({', '.join(quoted(value) for value in values)})")
    if modified_since is not None:
        if not isinstance(modified_since, date) or modified_since != modified_since:
            raise InputError(f"{modified_since!r} is not a day.", field="modified_since", hint="Give a datetime.date.")
        parts.append(f'lastmodified >= "{modified_since:%Y-%m-%d}"')
    if cql is not None:
        if not isinstance(cql, str) or not cql.strip() or not sendable(cql):
            raise InputError("The CQL is empty, or no text that can be sent.", field="cql")
        parts.append(f"({cql})" if parts else cql)
    if not parts:
        raise InputError("Nothing to search for.", field="text", hint="Give a text, a condition or CQL.")
    return " and ".join(parts)


async def search(
    gateway: Gateway, operation: Operation, cql: str, *, size: int, most: int | None, partial: Partial
) -> pd.DataFrame:
    """Read results until there are no more, or ``most`` of them."""
    started = datetime.now(UTC)
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise InputError(f"At most {most!r} results is not possible.", field="most", hint="Give a whole number.")
    size = page_size(size, SEARCH_MOST)
    pages = CursorPages(
        gateway,
        operation,
        "/wiki/rest/api/search",
        SEARCH,
        each=CORE_POINTS,
        query=[("cql", cql), ("excerpt", "indexed")],
        limit=min(size, most or size),
        key=_what,
    )
    found: list[Found] = []
    error: SpokekitError | None = None
    try:
        while (most is None or len(found) < most) and (rows := await pages.next()) is not None:
            found += rows
            operation.advance(len(rows))
    except Cancelled:
        raise
    except SpokekitError as broken:
        if not found:
            raise
        error = broken
    cut = most is not None and (len(found) > most or (len(found) == most and not pages.ended))
    found = found[:most]
    frame = frame_of(map(_row, found), COLUMNS)
    notes = [f"Confluence estimated {pages.total:,} results."] if pages.total is not None else []
    if cut:
        notes.append(f"There are more results; {most:,} were asked for.")
    partly = {} if error is None else {"search": error}
    report = report_of(operation, len(frame), "searches", partial=partly, notes=notes, complete=not cut)
    frame.attrs["cql"] = cql
    return finish(frame, report, gateway, started, "keep" if cut and error is None else partial, error)


def _what(row: Found) -> tuple[str | None, str | None, str | None]:
    return row.entity_type, row.content.id if row.content else None, row.url


def _row(row: Found) -> tuple[object, ...]:
    one, container = row.content or FoundContent(), row.result_global_container
    where = container.title if container else None
    return row.entity_type, one.id, one.type, one.status, row.title, where, row.url, row.excerpt, row.last_modified
