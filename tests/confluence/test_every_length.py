"""Lists of every length, on a slow service, read one page after the other or several at once: whole, and called whole.

The pager is run against a list in memory here, so that thousands of lengths can be tried; `test_paging` has the same
over HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spokekit.confluence.gateway import Answer
from spokekit.confluence.paging import CursorPages, OffsetPages
from spokekit.confluence.report import Tally
from spokekit.confluence.shapes import GROUPS, Links, Page
from tests.confluence.fake import Fake, connection


class Slow:
    """A list behind a pager that lets other requests go first, and can change between any two of them."""

    def __init__(self, rows: list[int], cap: int, *, in_flight: int = 8, order: Callable[[int], int] = lambda n: 0):
        self.rows, self.cap, self.in_flight, self.order = rows, cap, in_flight, order
        self.asked = 0
        self.before: Callable[[int], None] = lambda _number: None
        self.connection = connection()
        self.wire = SimpleNamespace(origin="https://api.atlassian.com")

    async def read(self, path: str, _decoder: Any, *, query: Any, **_: Any) -> Answer[Page[int]]:
        self.asked += 1
        number, asked = self.asked, dict(query)
        for _turn in range(self.order(number)):
            await anyio.lowlevel.checkpoint()
        self.before(number)
        by_cursor = "start" not in asked
        start = int(asked.get("cursor", 0)) if by_cursor else asked["start"]
        part = self.rows[start : start + min(self.cap, asked["limit"])]
        end = start + len(part)
        link = f"{path}?{'cursor' if by_cursor else 'start'}={end}" if end < len(self.rows) else None
        return Answer(Page(part, Links(link), size=len(part)), httpx2.Headers(), 200)


def read(slow: Slow, *, eager: bool = False, limit: int = 200, overlap: bool = True) -> tuple[list[int], Any]:
    operation = SimpleNamespace(tally=Tally(), check=lambda: None)
    pages: Any = OffsetPages(
        slow,  # type: ignore[arg-type]
        operation,  # type: ignore[arg-type]
        "/wiki/rest/api/group",
        GROUPS,  # type: ignore[arg-type]
        key=lambda row: row,
        each=2,
        limit=limit,
        overlap=overlap,
        eager=eager,
    )
    return anyio.run(_all, pages)


async def _all(pages: Any) -> tuple[list[int], Any]:
    found: list[int] = []
    while (rows := await pages.next()) is not None:
        found += rows
    return found, pages


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("in_flight", [1, 3, 8, 16])
@pytest.mark.parametrize("cap", [1, 2, 3, 7, 20])
def test_every_length_at_a_small_cap(cap: int, in_flight: int, eager: bool) -> None:
    async def lengths() -> None:
        for length in range(30 * cap + 3):
            slow = Slow(list(range(length)), cap, in_flight=in_flight)
            operation: Any = SimpleNamespace(tally=Tally(), check=lambda: None)
            pages: Any = OffsetPages(
                slow,  # type: ignore[arg-type]
                operation,
                "/wiki/rest/api/group",
                GROUPS,  # type: ignore[arg-type]
                key=lambda row: row,
                each=2,
                overlap=True,
                eager=eager,
            )
            found, pages = await _all(pages)
            assert found == list(range(length)), length
            assert not pages.moved, f"a list of {length} stood still"
            assert operation.tally.duplicates == 0

    anyio.run(lengths)


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("cap", [200, 100])
def test_lengths_around_every_page_border_to_four_thousand(cap: int, eager: bool) -> None:
    async def lengths() -> None:
        borders = {border + by for step in (cap, cap - 1) for border in range(0, 4_001, step) for by in (-1, 0, 1, 2)}
        for length in sorted(n for n in borders if n >= 0):
            operation: Any = SimpleNamespace(tally=Tally(), check=lambda: None)
            pages: Any = OffsetPages(
                Slow(list(range(length)), cap),  # type: ignore[arg-type]
                operation,
                "/wiki/rest/api/group",
                GROUPS,  # type: ignore[arg-type]
                key=lambda row: row,
                each=2,
                overlap=True,
                eager=eager,
            )
            found, pages = await _all(pages)
            assert (found, pages.moved) == (list(range(length)), False), length

    anyio.run(lengths)


@settings(max_examples=400)
@given(
    length=st.integers(0, 120),
    cap=st.integers(1, 12),
    limit=st.integers(1, 15),
    in_flight=st.integers(1, 16),
    eager=st.booleans(),
    overlap=st.booleans(),
    turns=st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_a_list_that_stands_still_is_whole_in_whatever_order_answers_come(
    length: int, cap: int, limit: int, in_flight: int, eager: bool, overlap: bool, turns: list[int]
) -> None:
    slow = Slow(list(range(length)), cap, in_flight=in_flight, order=lambda n: turns[n % len(turns)])
    found, pages = read(slow, eager=eager, limit=limit, overlap=overlap)
    assert (found, pages.moved) == (list(range(length)), False)


@settings(max_examples=400)
@given(
    length=st.integers(0, 120),
    cap=st.integers(2, 12),
    in_flight=st.integers(1, 16),
    eager=st.booleans(),
    changes=st.dictionaries(
        st.integers(1, 25), st.tuples(st.booleans(), st.integers(0, 10_000)), min_size=1, max_size=4
    ),
)
def test_rows_that_come_and_go_are_noticed_or_cost_nobody_else(
    length: int, cap: int, in_flight: int, eager: bool, changes: dict[int, tuple[bool, int]]
) -> None:
    rows = list(range(length))
    slow = Slow(rows, cap, in_flight=in_flight)
    gone: set[int] = set()
    came: set[int] = set()

    def change(number: int) -> None:
        if number in changes:
            comes, place = changes[number]
            if comes:
                came.add(1_000 + number)
                rows.insert(place % (len(rows) + 1), 1_000 + number)
            elif rows:
                gone.add(rows.pop(place % len(rows)))

    slow.before = change
    found, pages = read(slow, eager=eager)
    # Whoever was there from the first page to the last is in a reading that is taken for whole.
    assert pages.moved or set(range(length)) - gone <= set(found)
    assert len(found) == len(set(found))
    assert set(found) <= set(range(length)) | came


def test_one_more_at_the_end_while_a_page_past_it_is_on_its_way_is_noticed() -> None:
    for length in range(1, 200):
        rows = list(range(length))
        slow = Slow(rows, 10)
        last = -(-max(1, length - 1) // 9)
        slow.before = lambda number, rows=rows, last=last: rows.append(9_999) if number == last + 1 else None  # type: ignore[misc]
        found, pages = read(slow, eager=True)
        assert pages.moved or set(found) in (set(range(length)), {*range(length), 9_999})
        assert slow.asked <= last + 9


@pytest.mark.parametrize("cap", [1, 2, 7, 250])
def test_every_length_by_cursor(cap: int) -> None:
    async def lengths() -> None:
        for length in range(min(40 * cap, 600)):
            operation: Any = SimpleNamespace(tally=Tally())
            pages: Any = CursorPages(
                Slow(list(range(length)), cap),  # type: ignore[arg-type]
                operation,
                "/wiki/api/v2/spaces",
                GROUPS,  # type: ignore[arg-type]
                each=1,
                key=lambda row: row,
            )
            found, _ = await _all(pages)
            assert found == list(range(length)), length

    anyio.run(lengths)


@pytest.mark.parametrize("count", [399, 598, 797, 996, 1_195])
def test_a_list_of_groups_that_ends_with_a_page_is_complete_at_the_first_reading(count: int) -> None:
    fake = Fake(groups={f"g{number:05d}": [] for number in range(count)})
    with fake.spoke() as spoke:
        frame = spoke.look_up_groups()
    report = frame.attrs["completeness"]
    assert (len(frame), report["complete"], report["retries"]) == (count, True, 0)


@pytest.mark.parametrize("count", [1_792, 1_991, 2_190, 3_981])
def test_a_group_whose_members_end_with_a_page_is_complete_at_the_first_reading(count: int) -> None:
    fake = Fake(groups={"g": [f"u{number:05d}" for number in range(count)]})
    with fake.spoke() as spoke:
        frame = spoke.look_up_members_by_group_id("g", count=True)
    report = frame.attrs["completeness"]
    assert (len(frame), report["complete"], report["retries"]) == (count, True, 0)
