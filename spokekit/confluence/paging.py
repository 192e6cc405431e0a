"""Reading a list to its end, page by page, and noticing when it cannot be trusted.

The rule: ask for no more than the cap, go on by the number of rows that came, end only where ``next`` is missing, and
count rows that come twice. No address that the service sends is ever requested: a ``next`` link is checked and only
its cursor is taken, so a link to another host receives nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import anyio
import msgspec

from spokekit.confluence.operation import Operation
from spokekit.confluence.shapes import Page
from spokekit.confluence.wire import too_heavy
from spokekit.errors import InputError, SpokekitError, UnexpectedAnswer

if TYPE_CHECKING:
    from spokekit.confluence.gateway import Answer, Gateway, Query

R = TypeVar("R")

V1_MOST = 200
V2_MOST = 250
BARREN_MOST = 200
"""So many pages in a row without a new row, each saying that more follows, are a list that never ends."""
USER_POINTS = GROUP_POINTS = PERMISSION_POINTS = 2
CORE_POINTS = 1
_REPORT_IT = "Try again; if it stays, report it with this message."


def segment(value: str) -> str:
    """Return an id as one part of a path, whatever is in it; raises `InputError` for what means another path."""
    if value in (".", ".."):
        raise InputError(f"{value!r} is not an id.", hint="Take the id from a list.")
    return quote(value, safe="")


def check_next(gateway: Gateway, link: str, path: str) -> dict[str, list[str]]:
    """Return the query of a ``next`` link that leads on in the same list, or raise `UnexpectedAnswer`.

    v1 links leave ``/wiki`` out, v2 links keep it, and either may be absolute; host and path have to be ours.
    """
    netloc_ok = True
    try:
        parts = urlsplit(link)
    except ValueError:
        # Brackets or characters that no host name has.
        parts, netloc_ok = urlsplit("//"), False
    if parts.scheme or parts.netloc:
        site = urlsplit(gateway.connection.site_url or "")
        own = urlsplit(gateway.wire.origin)
        netloc_ok = (parts.scheme, parts.netloc) in {(own.scheme, own.netloc), (site.scheme, site.netloc)}
    where = unquote(parts.path)
    for prefix in (urlsplit(gateway.connection.api_base).path, "/wiki"):
        where = where.removeprefix(prefix)
    if not netloc_ok or where != unquote(path).removeprefix("/wiki"):
        raise _wrong(
            path,
            f"The next page of GET {path} points to another address, which was not asked.",
            "The answer was changed on its way, or Confluence sent a wrong link.",
            hint=_REPORT_IT,
        )
    return parse_qs(parts.query)


def check_whole(page: Page[R], path: str) -> None:
    """Raise `UnexpectedAnswer` when a page brought fewer rows than it says itself."""
    if page.size is not None and page.size > len(page.results):
        raise _wrong(
            path,
            f"A page of GET {path} brought {len(page.results):,} rows where it says {page.size:,}.",
            "The answer was changed on its way.",
        )


def _wrong(path: str, what: str, likely: str | None = None, *, hint: str = "Try again.") -> UnexpectedAnswer:
    return UnexpectedAnswer(what, likely=likely, hint=hint, endpoint=f"GET {path}")


class _Lighter:
    """The rows to ask for in one page: half as many each time that the service cannot bring them.

    A page that is too heavy ends in a 500, a 504 or no answer, however often it is asked for. The full page gets two
    such answers, since one may be a passing fault; each smaller one is asked for once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.tries = 2

    def after(self, error: SpokekitError) -> int:
        """Return how many rows to ask for after `error`, or raise it when fewer rows would not help."""
        if self.limit <= 1 or not too_heavy(error):
            raise error
        self.limit, self.tries = self.limit // 2, 1
        return self.limit


class _Pages(Generic[R]):
    """What both kinds of lists do alike: ask for a page, and for fewer rows where one is too heavy."""

    def __init__(
        self,
        gateway: Gateway,
        operation: Operation,
        path: str,
        decoder: msgspec.json.Decoder[Page[R]],
        each: int,
        query: Query,
        limit: int,
    ) -> None:
        self.gateway, self.operation, self.path, self.decoder = gateway, operation, path, decoder
        self.each, self.query, self.limit = each, list(query), limit
        self.total: int | None = None
        self.ended = False
        self._seen: set[Hashable] = set()
        self._barren = 0

    async def _read(self, limit: int, *place: tuple[str, str | int]) -> Answer[Page[R]]:
        lighter = _Lighter(limit)
        while True:
            try:
                return await self.gateway.read(
                    self.path,
                    self.decoder,
                    operation=self.operation,
                    query=[*self.query, ("limit", lighter.limit), *place],
                    worst=1 + self.each * lighter.limit,
                    points=lambda page: 1 + self.each * len(page.results),
                    too_heavy=lighter.tries,
                )
            except SpokekitError as error:
                # The rest of the list is likely to be as heavy.
                self.limit = min(self.limit, lighter.after(error))

    def _note_barren(self, barren: bool) -> None:
        """Count pages in a row that bring nothing new; too many of them are a list without an end."""
        self._barren = self._barren + 1 if barren else 0
        if self._barren >= BARREN_MOST and not self.ended:
            raise _wrong(
                self.path,
                f"GET {self.path} says again and again that more follows, and brings nothing new: the list has no end.",
                hint=_REPORT_IT,
            )


class OffsetPages(_Pages[R]):
    """A v1 list (``start``, ``limit``), read page by page.

    Parameters
    ----------
    key:
        Tells rows apart; a row whose key came before is dropped and counted.
    each:
        Points per row.
    overlap:
        Ask each page from the last row of the page before, so that a list that moved while it was read is noticed:
        ``moved`` is then True. It costs one row for each page but the first.
    count:
        Ask for the list's size with its second page, if it has one; see ``total``. Atlassian calls it expensive.
    eager:
        Ask for several pages at once from the second on; otherwise only from the ninth on. Pages ahead are asked for
        where the pages before them end if all are as long as the first. Once one is not, it goes page by page.
    """

    def __init__(
        self,
        gateway: Gateway,
        operation: Operation,
        path: str,
        decoder: msgspec.json.Decoder[Page[R]],
        *,
        key: Callable[[R], Hashable],
        each: int,
        query: Query = (),
        limit: int = V1_MOST,
        overlap: bool = False,
        count: bool = False,
        eager: bool = False,
    ) -> None:
        super().__init__(gateway, operation, path, decoder, each, query, limit)
        self.key, self.overlap, self.count, self.eager = key, overlap, count, eager
        self.start = 0
        self.pages = 0
        self.moved = False
        self._last: Hashable = None
        self._overlapped = False
        self._page_size = 0
        self._step = 0
        self._uneven = False
        self._error: SpokekitError | None = None

    async def next(self) -> list[R] | None:
        """Return rows that did not come before, from the next page or pages, or None after the last page."""
        if self._error is not None:
            raise self._error
        if self.ended:
            return None
        first = self.start
        starts = [first + ahead * self._step for ahead in range(self._window())]
        got: list[Page[R] | SpokekitError] = [None] * len(starts)  # type: ignore[list-item]
        if len(starts) == 1:
            got[0] = await self._fetch(first, self.limit)
        else:
            async with anyio.create_task_group() as tasks:
                for number, start in enumerate(starts):
                    tasks.start_soon(self._fetch_into, got, number, start)
        fresh: list[R] = []
        for start, page in zip(starts, got, strict=True):
            if isinstance(page, SpokekitError):
                self._error = page
                break
            if self.ended:
                self.moved = self.moved or self._grew(start, page.results)
            elif start == self.start:
                try:
                    fresh += self._take(page)
                except SpokekitError as error:
                    self._error = error
                    break
        if self._error is not None and not fresh:
            raise self._error
        return fresh

    def _grew(self, start: int, rows: list[R]) -> bool:
        """Tell whether a page that was asked ahead, and begins at or past the end, brought anything but that end.

        With overlapping pages it may begin at the last row of the list, and brings that row again.
        """
        return len(rows) != max(0, self.start - start) or any(self.key(row) not in self._seen for row in rows)

    def _window(self) -> int:
        """How many pages to ask for at once: one at first, more the longer the list proves to be."""
        if not self._step or self._uneven:
            return 1
        wanted = 2 * self.pages if self.eager else self.pages // 4
        return max(1, min(wanted, self.gateway.in_flight))

    async def _fetch_into(self, got: list[Page[R] | SpokekitError], number: int, start: int) -> None:
        try:
            got[number] = await self._fetch(start, self._page_size)
        except SpokekitError as error:
            got[number] = error

    async def _fetch(self, start: int, limit: int) -> Page[R]:
        count = [("shouldReturnTotalSize", "true")] if self.count and self.pages == 1 else []
        answer = await self._read(min(limit, self.limit), ("start", start), *count)
        self.operation.tally.pages += 1
        return answer.value

    def _take(self, page: Page[R]) -> list[R]:
        """Count one page in: where the list goes on, what came twice, whether it moved."""
        rows = page.results
        check_whole(page, self.path)
        self.pages += 1
        if self.count and self.pages == 2 and page.total:
            self.total = page.total
        # Without any links a page does not say whether it is the last: then only an empty page ends the list.
        self.ended = page.next is None and (page.links is not None or not rows)
        if page.next is not None:
            check_next(self.gateway, page.next, self.path)
            if not rows:
                what = f"GET {self.path} brought an empty page that says more follows (from row {self.start:,})."
                raise _wrong(self.path, what)
        fresh: list[R] = []
        seen, key = self._seen, self.key
        met_again = False
        for row in rows:
            mark = key(row)
            if mark not in seen:
                seen.add(mark)
                fresh.append(row)
            elif mark == self._last:
                met_again = True
        self._note_barren(not fresh)
        duplicates = len(rows) - len(fresh)
        if self._overlapped:
            self.moved = self.moved or not met_again
            duplicates -= met_again
        self.operation.tally.duplicates += duplicates
        self._overlapped = self.overlap and len(rows) > 1 and not self.ended
        if rows:
            self._last = key(rows[-1])
        if self.pages == 1:
            self._page_size = len(rows)
            self._step = len(rows) - self._overlapped
        elif len(rows) != self._page_size and not self.ended:
            self._uneven = True
        self.start += len(rows) - self._overlapped
        return fresh


class CursorPages(_Pages[R]):
    """A v2 list, or a v1 search (``cursor``, ``limit``), read page by page; a short page is not the end.

    Every page is asked with the whole query again, since the service's own ``next`` was seen to lose parts of it. That
    nothing is lost between two pages is the cursor's promise; unlike with `OffsetPages`, no client can check it.
    """

    def __init__(
        self,
        gateway: Gateway,
        operation: Operation,
        path: str,
        decoder: msgspec.json.Decoder[Page[R]],
        *,
        each: int,
        query: Query = (),
        limit: int = V2_MOST,
        key: Callable[[R], Hashable] | None = None,
    ) -> None:
        super().__init__(gateway, operation, path, decoder, each, query, limit)
        self.key = key
        self.rows = 0
        self._cursor = ""
        self._cursors: set[str] = set()
        self._last: list[R] = []

    async def next(self) -> list[R] | None:
        """Return the rows of the next page that did not come before, or None after the last page."""
        if self.ended:
            return None
        answer = await self._read(self.limit, *([("cursor", self._cursor)] if self._cursor else []))
        page = answer.value
        check_whole(page, self.path)
        self.operation.tally.pages += 1
        self.total = page.total
        link = page.next or _link_header(answer.headers.get("link") or "")
        self.ended = link is None
        if link is not None:
            self._go_on(link)
        elif page.links is None:
            what = f"The answer of GET {self.path} does not say whether more follows: its links are missing."
            raise _wrong(self.path, what)
        rows = page.results
        if self.key is not None:
            rows = [row for row in rows if (mark := self.key(row)) not in self._seen and not self._seen.add(mark)]  # type: ignore[func-returns-value]
            self.operation.tally.duplicates += len(page.results) - len(rows)
        self._note_barren(not rows or page.results == self._last)
        self._last = page.results
        self.rows += len(rows)
        return rows

    def _go_on(self, link: str) -> None:
        cursor = check_next(self.gateway, link, self.path).get("cursor", [""])[0]
        if not cursor or cursor in self._cursors:
            what = f"The next page of GET {self.path} leads {'back' if cursor else 'nowhere'}: the list has no end."
            raise _wrong(self.path, what, hint=_REPORT_IT)
        self._cursors.add(cursor)
        self._cursor = cursor


def _link_header(text: str) -> str | None:
    """Return the target of ``rel="next"`` of a ``Link`` header."""
    found = re.search(r'<([^<>]*)>\s*;\s*rel="?next"?', text)
    return found[1] if found else None
