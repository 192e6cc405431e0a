"""A spoke in a notebook's event loop, in threads, after close, in a forked child; and a list that is taken in part."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import httpx2
import pytest

from spokekit.confluence.quota import Ledger
from spokekit.connections.store import Store
from spokekit.errors import InputError, StoreError, TransportError
from spokekit.practice import PracticeSite

from .fake import Fake
from .helpers import away_from_the_hour, spoke_on


@pytest.fixture(scope="module")
def busy() -> Iterator[PracticeSite]:
    with PracticeSite(size="60x10", latency_ms=5, quota=10**8) as site:
        yield site


def paged(request: httpx2.Request, _number: int) -> httpx2.Response:
    """Five pages of two spaces."""
    at = int(request.url.params.get("cursor", "0"))
    links = {"next": f"/wiki/api/v2/spaces?cursor={at + 1}"} if at < 4 else {}
    return httpx2.Response(200, json={"results": [{"id": str(2 * at)}, {"id": str(2 * at + 1)}], "_links": links})


def test_coroutines_can_be_awaited_in_a_notebooks_loop_beside_plain_calls(busy: PracticeSite) -> None:
    with spoke_on(busy, clock=None, sleep=anyio.sleep) as spoke:
        ids = spoke.look_up_groups()["group_id"]

        async def cell() -> tuple[int, int]:
            plain = asyncio.get_running_loop().run_in_executor(None, spoke.look_up_members_by_group_id, ids)
            awaited = await spoke.aio.look_up_members_by_group_id(ids)
            return len(awaited), len(await plain)

        assert asyncio.run(asyncio.wait_for(cell(), 30)) == (600, 600)

        async def inside() -> int:
            return len(spoke.look_up_groups())

        assert asyncio.run(inside()) == 60


def test_a_coroutine_that_is_cancelled_ends_the_action(busy: PracticeSite) -> None:
    busy.faults.add("stall:1")
    try:
        with spoke_on(busy) as spoke:

            async def cell() -> None:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(spoke.aio.look_up_groups(), 0.1)

            asyncio.run(cell())
            busy.faults.clear()
            assert len(spoke.look_up_groups()) == 60
    finally:
        busy.faults.clear()


def test_a_closed_spoke_says_so() -> None:
    spoke = Fake(groups={"g": ["a"]}).spoke()
    spoke.close()
    for action in (spoke.look_up_groups, lambda: next(spoke.look_up_spaces())):
        with pytest.raises(InputError, match=r"was closed.*spokekit\.connect"):
            action()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_its_parents_connections_alone(busy: PracticeSite, store: Store) -> None:
    def work() -> None:
        with pytest.raises(InputError, match="forked"), spoke:
            spoke.look_up_groups()

    away_from_the_hour()
    ledger = Ledger(store, "app", limit=10**6)
    with spoke_on(busy, ledger=ledger) as spoke:
        assert len(spoke.look_up_groups()) == 60
        asked, left = len(busy.requests), ledger.left()
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(15)
        if child.is_alive():
            child.kill()
            child.join()
        assert child.exitcode == 0
        assert (len(busy.requests), ledger.left()) == (asked, left)
        assert len(spoke.look_up_groups()) == 60


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store(f"sqlite:///{tmp_path}/quota.sqlite")


def test_points_that_cannot_be_given_back_cost_no_rows(
    busy: PracticeSite, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise StoreError("The store is busy.")

    monkeypatch.setattr(Ledger, "_return", fails)
    with spoke_on(busy, ledger=Ledger(store, "app")) as spoke:
        assert len(spoke.look_up_groups()) == 60


@pytest.mark.parametrize("deadline", [0.03, 0.06, 0.09, 0.12])
def test_past_its_deadline_an_action_never_looks_like_a_short_list(busy: PracticeSite, deadline: float) -> None:
    with spoke_on(busy, in_flight=1, clock=None, sleep=anyio.sleep) as spoke:
        ids = spoke.look_up_groups()["group_id"]
        with pytest.raises(TransportError, match="did not end within"):
            spoke.look_up_members_by_group_id(ids, partial="keep", deadline=deadline)


def test_one_frame_of_a_list_is_never_made_of_its_rest() -> None:
    with Fake(script=paged).spoke() as spoke:
        assert len(spoke.look_up_spaces().all()) == 10
        begun, ended, whole = (spoke.look_up_spaces() for _ in range(3))
        next(begun)
        assert sum(len(frame) for frame in ended) == 10
        whole.all()
        for frames in (begun, ended, whole):
            with pytest.raises(InputError, match="already taken"):
                frames.all()
        assert sum(len(frame) for frame in begun) == 8
        assert list(ended) == []


def test_threads_that_share_a_list_get_each_row_once() -> None:
    found: list[str] = []
    with Fake(script=paged).spoke() as spoke:
        frames = spoke.look_up_spaces()
        threads = [
            threading.Thread(target=lambda: found.extend(one for frame in frames for one in frame["space_id"]))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == [str(number) for number in range(10)]
    assert frames.report.complete
