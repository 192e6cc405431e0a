"""Reading a list to its end, page by page, and noticing when it cannot be trusted.

The rule: ask for no more than the cap, go on by the number of rows that came, end only where ``next`` is missing, and
count rows that come twice. No address that the service sends is ever requested: a ``next`` link is checked and only
its cursor is taken, so a link to another host receives nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec

from spokekit.confluence.operation import Operation
from spokekit.confluence.shapes import Page
from spokekit.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from spokekit.confluence.gateway import Gateway, Query

R = TypeVar("R")

V1_MOST = 200
V2_MOST = 250
USER_POINTS = GROUP_POINTS = PERMISSION_POINTS = 2
CORE_POINTS = 1


def segment(value: str) -> str:
    """Return an id as one part of a path, whatever is in it."""
    return quote(value, safe="")


def check_next(gateway: Gateway, link: str, path: str) -> dict[str, list[str]]:
    """Return the query of a ``next`` link that leads on in the same list, or raise `UnexpectedAnswer`.

    v1 links leave ``/wiki`` out, v2 links keep it, and either may be absolute; host and path have to be ours.
    """
    parts = urlsplit(link)
    netloc_ok = True
    if parts.scheme or parts.netloc:
        site = urlsplit(gateway.connection.site_url or "")
        own = urlsplit(gateway.origin)
        netloc_ok = (parts.scheme, parts.netloc) in {(own.scheme, own.netloc), (site.scheme, site.netloc)}
    where = unquote(parts.path)
    for prefix in (urlsplit(gateway.connection.api_base).path, "/wiki"):
        where = where.removeprefix(prefix)
    if not netloc_ok or where != unquote(path).removeprefix("/wiki"):
        raise UnexpectedAnswer(
            f"The next page of GET {path} points to another address, which was not asked.",
            likely="The answer was changed on its way, or Confluence sent a wrong link.",
            hint="Try again; if it stays, report it with this message.",
            endpoint=f"GET {path}",
        )
    return parse_qs(parts.query)


class OffsetPages(Generic[R]):
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
        Ask for the list's size with its second page, if it has one; see ``total``.
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
    ) -> None:
        self.gateway, self.operation, self.path, self.decoder = gateway, operation, path, decoder
        self.key, self.each, self.query, self.limit = key, each, list(query), limit
        self.overlap, self.count = overlap, count
        self.start = 0
        self.pages = 0
        self.total: int | None = None
        self.moved = False
        self.ended = False
        self._seen: set[Hashable] = set()
        self._last: Hashable = None
        self._overlapped = False

    async def next(self) -> list[R] | None:
        """Return the rows of the next page that did not come before, or None after the last page."""
        if self.ended:
            return None
        query = [*self.query, ("start", self.start), ("limit", self.limit)]
        if self.count and self.pages == 1:
            query.append(("shouldReturnTotalSize", "true"))
        answer = await self.gateway.read(
            self.path,
            self.decoder,
            operation=self.operation,
            query=query,
            worst=1 + self.each * self.limit,
            points=lambda page: 1 + self.each * len(page.results),
        )
        page = answer.value
        self.operation.tally.pages += 1
        self.pages += 1
        if self.count and self.pages == 2 and page.total:
            self.total = page.total
        self.ended = page.next is None
        if page.next is not None:
            check_next(self.gateway, page.next, self.path)
            if not page.results:
                raise UnexpectedAnswer(
                    f"GET {self.path} brought an empty page that says more follows (from row {self.start:,}).",
                    hint="Try again.",
                    endpoint=f"GET {self.path}",
                )
        return self._fresh(page.results)

    def _fresh(self, rows: list[R]) -> list[R]:
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
        duplicates = len(rows) - len(fresh)
        if self._overlapped:
            self.moved = self.moved or not met_again
            duplicates -= met_again
        self.operation.tally.duplicates += duplicates
        self._overlapped = self.overlap and len(rows) > 1 and not self.ended
        self.start += len(rows) - self._overlapped
        if rows:
            self._last = key(rows[-1])
        return fresh
