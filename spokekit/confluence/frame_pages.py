"""Lists that may be too long for one frame: frames one after another, each with the report so far."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import anyio

from spokekit import _portal
from spokekit.confluence.operation import Operation
from spokekit.confluence.pull import incomplete, report_of
from spokekit.confluence.report import CompletenessReport, stamp
from spokekit.errors import Cancelled, IncompleteResult, InputError, SpokekitError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.paging import CursorPages


A = TypeVar("A")
P = ParamSpec("P")
Runner = Callable[[Operation, Callable[[], Awaitable[list[Any] | None]]], Awaitable[list[Any] | None]]


class AsyncFramePages:
    """An asynchronous iterator of frames, one for each page that the service sends.

    ``report`` is the completeness report so far; it is complete once the last frame came. ``await all()``, of a list
    from which no frame was taken yet, reads to the end and returns one frame.
    """

    def __init__(
        self, operation: Operation, pages: CursorPages[Any], to_frame: Callable[[list[Any]], pd.DataFrame], site: str
    ) -> None:
        self._operation, self._pages, self._to_frame, self._site = operation, pages, to_frame, site
        self._run: Runner = Operation.run
        self._one_at_a_time = anyio.Lock()
        self._begun = False
        self._rows = 0
        self._started = datetime.now(UTC)

    def through(self, run: Runner) -> AsyncFramePages:
        """Let every page be read by ``run``, and return self."""
        self._run = run
        return self

    @property
    def report(self) -> CompletenessReport:
        """What came so far."""
        ended = self._pages.ended
        notes = () if ended else ("More pages follow.",)
        return report_of(self._operation, self._rows, "lists", walked=int(ended), notes=notes, complete=ended)

    def __aiter__(self) -> AsyncIterator[pd.DataFrame]:
        return self

    async def __anext__(self) -> pd.DataFrame:
        frame = await self.next()
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def next(self) -> pd.DataFrame | None:
        """Return the next frame, or None after the last; raises `IncompleteResult` when it ends before its end."""
        self._begun = True
        try:
            rows = await self._run(self._operation, self._next_page)
        except Cancelled:
            raise
        except SpokekitError as error:
            if not self._rows:
                raise
            report = report_of(self._operation, self._rows, "lists", partial={"list": error})
            raise incomplete(report, self._to_frame([]), error) from error
        if rows is None:
            self._operation.advance(0, force=True)
            return None
        self._rows += len(rows)
        self._operation.advance(len(rows))
        return stamp(self._to_frame(rows), self.report, self._site, self._started)

    async def _next_page(self) -> list[Any] | None:
        # Two who take from one list at once would both ask for the same page.
        async with self._one_at_a_time:
            return await self._pages.next()

    async def all(self) -> pd.DataFrame:
        """Read from the beginning to the end and return one frame; an `IncompleteResult` carries what came.

        Raises `InputError` when frames were taken before: the one frame would lack their rows, and say nothing.
        """
        import pandas as pd

        if self._begun:
            raise InputError(
                "Frames were already taken from this list: one frame of the others would not be all.",
                hint="Look the list up again and call all() at once.",
            )
        frames: list[pd.DataFrame] = []
        try:
            async for frame in self:
                frames.append(frame)
        except IncompleteResult as error:
            error.frame = stamp(pd.concat(frames, ignore_index=True), error.report, self._site, self._started)
            raise
        whole = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
        return stamp(whole, self.report, self._site, self._started)


class FramePages:
    """An iterator of frames, one for each page that the service sends; see `AsyncFramePages`."""

    def __init__(self, aio: AsyncFramePages) -> None:
        self.aio = aio

    @property
    def report(self) -> CompletenessReport:
        """What came so far; complete once the last frame came."""
        return self.aio.report

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return self

    def __next__(self) -> pd.DataFrame:
        frame = _portal.call(self.aio.next)
        if frame is None:
            raise StopIteration
        return frame

    all = _portal.plain(AsyncFramePages.all)


def plain_pages(
    action: Callable[Concatenate[A, P], AsyncFramePages],
) -> Callable[Concatenate[_portal.Plain[A], P], FramePages]:
    """Do as `spokekit._portal.plain` for an action that returns frames one after another."""
    name = action.__name__

    @wraps(action)
    def method(self: _portal.Plain[A], /, *args: P.args, **options: P.kwargs) -> FramePages:
        return FramePages(getattr(self.aio, name)(*args, **options))

    vars(method)["__signature__"] = signature(action).replace(return_annotation="FramePages")
    return method
