"""The ledger of points: shared, corrected by headers, and a pause instead of a refusal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from spokekit.confluence.operation import Operation
from spokekit.confluence.quota import Ledger, Observed, observed
from spokekit.confluence.report import Progress
from spokekit.connections.store import Store
from spokekit.errors import Cancelled, TransportError
from spokekit.practice import PracticeSite

from .helpers import Time, away_from_the_hour, spoke_on

START = datetime(2026, 11, 2, 10, 50, tzinfo=UTC)
HOURLY = {"x-ratelimit-limit": "40000", "x-ratelimit-remaining": "11000", "x-ratelimit-reset": "2026-11-02T11:00:00Z"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path}/quota.sqlite")


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({}, None),
        (HOURLY, Observed(40_000, 11_000)),
        ({f"X-Beta-RateLimit-{key.split('-')[2]}": value for key, value in HOURLY.items()}, Observed(40_000, 11_000)),
        ({f"beta-{key}": value for key, value in HOURLY.items()}, Observed(40_000, 11_000)),
        ({**HOURLY, "x-ratelimit-reset": "2026-11-02T11:00Z"}, Observed(40_000, 11_000)),
        # Large, as for a site to measure on; larger than any store could hold.
        (
            {**HOURLY, "x-ratelimit-limit": "1000000000", "x-ratelimit-remaining": "999999998"},
            Observed(10**9, 999_999_998),
        ),
        ({**HOURLY, "x-ratelimit-limit": "9" * 17, "x-ratelimit-remaining": "9" * 18}, Observed(10**9, 10**9)),
        ({"RateLimit-Policy": '"global-app-quota";q=1000000000;w=3600'}, Observed(10**9, None)),
        # A burst limit ends within seconds: it is not the hour's.
        ({**HOURLY, "x-ratelimit-reset": "2026-11-02T10:50:07Z"}, None),
        ({"x-ratelimit-remaining": "many", "x-ratelimit-reset": "2026-11-02T11:00:00Z"}, None),
        (
            {
                "RateLimit-Policy": '"global-app-quota";q=65000;w=3600, "burst";q=100;w=1',
                "RateLimit": '"global-app-quota";r=900;t=600, "burst";r=3;t=1',
            },
            Observed(65_000, 900),
        ),
        ({"Beta-RateLimit": '"tenant-app-quota"; r=11000; t=600'}, Observed(None, 11_000)),
        (
            {"RateLimit": '"global-app-quota";r=9000;t=6, "tenant-app-quota";r=700;t=6', "RateLimit-Policy": "?"},
            Observed(None, 700),
        ),
        # What is no number of points, and an hour of none, which would end all asking, are not said.
        ({**HOURLY, "x-ratelimit-remaining": "\u00b2"}, None),
        ({**HOURLY, "x-ratelimit-limit": "9" * 30}, Observed(None, 11_000)),
        ({"RateLimit-Policy": f'"global-app-quota";q={"9" * 5000};w=3600'}, None),
        ({**HOURLY, "x-ratelimit-limit": "0", "x-ratelimit-remaining": "0"}, Observed(None, 0)),
    ],
)
def test_every_documented_form_of_the_headers_is_read(headers: dict[str, str], seen: Observed | None) -> None:
    import httpx2

    assert observed(httpx2.Headers(headers, encoding="latin-1")) == seen


def test_points_are_drawn_in_blocks_and_what_is_left_goes_back(store: Store) -> None:
    writes = 0
    time = Time(START)
    ledger = Ledger(store, "app", clock=time, sleep=time.sleep)
    draw = ledger._draw

    def counted(wanted: int) -> int:
        nonlocal writes
        writes += 1
        return draw(wanted)

    ledger._draw = counted  # type: ignore[method-assign]

    async def work() -> None:
        for _ in range(500):
            turn = await ledger.take(401, Operation("test"))
            ledger.settle(turn, 401, 21)
        await ledger.give_back()

    anyio.run(work)
    assert ledger.left() == 65_000 - 500 * 21
    assert writes <= 500 * 21 / 2_000 + 2
    assert Ledger(store, "another app", clock=time).left() == 65_000


def test_two_ledgers_never_spend_one_point_twice(store: Store) -> None:
    time = Time(START)
    ledgers = [Ledger(store, "app", limit=10_000, clock=time, sleep=anyio.sleep) for _ in range(3)]
    spent = [0, 0, 0]

    async def work() -> None:
        async def one(number: int) -> None:
            while True:
                turn = await ledgers[number].take(101, Operation("test"))
                await anyio.lowlevel.checkpoint()
                ledgers[number].settle(turn, 101, 97)
                spent[number] += 97

        with anyio.move_on_after(1.0):
            async with anyio.create_task_group() as tasks:
                for number in (0, 1, 2, 0, 1, 2):
                    tasks.start_soon(one, number)

    anyio.run(work)
    assert 9_500 < sum(spent) <= 10_000


WORKER = """
import json, sys, anyio
from spokekit.confluence.operation import Operation
from spokekit.confluence.quota import Ledger
from spokekit.connections.store import Store

ledger = Ledger(Store(sys.argv[1]), "app", limit=20_000, block=1_000)
spent = 0

async def main():
    global spent
    async def one():
        global spent
        while True:
            turn = await ledger.take(201, Operation("test"))
            await anyio.sleep(0.0005)
            ledger.settle(turn, 201, 161)
            spent += 161
    with anyio.move_on_after(float(sys.argv[2])):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(one)

async def first():
    # Each has drawn a block before either is let go, however busy the machine is.
    global spent
    turn = await ledger.take(201, Operation("test"))
    ledger.settle(turn, 201, 161)
    spent += 161

anyio.run(first)
print("ready", flush=True)
sys.stdin.readline()
anyio.run(main)
print(json.dumps(spent))
"""


def test_two_processes_share_one_hour(store: Store) -> None:
    away_from_the_hour()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(store.url), "2.5"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    spent = [json.loads(worker.communicate(timeout=30)[0]) for worker in workers]
    assert 18_000 < sum(spent) <= 20_000
    assert min(spent) > 0


def test_headers_correct_the_ledger_in_both_directions(store: Store) -> None:
    time = Time(START)
    ledger = Ledger(store, "app", clock=time, sleep=time.sleep)

    async def spend(points: int, headers: dict[str, str] | None) -> None:
        turn = await ledger.take(points, Operation("test"))
        ledger.settle(turn, points, points)
        if headers is not None:
            ledger.observe(headers)

    # Another machine has spent 20,000 of what this store knows nothing of, and the limit is a different one.
    anyio.run(spend, 100, {**HOURLY, "x-ratelimit-limit": "40000", "x-ratelimit-remaining": "20000"})
    assert ledger.limit == 40_000
    anyio.run(spend, 5_000, None)
    assert ledger.left() <= 20_000 - 5_000 + 200
    assert Ledger(store, "app", clock=time).left() <= 15_200
    begin = time.now
    anyio.run(spend, 16_000, None)
    assert (begin, time.now.hour) == (START, 11)
    bigger = {**HOURLY, "x-ratelimit-limit": "500000", "x-ratelimit-remaining": "480000",
              "x-ratelimit-reset": "2026-11-02T12:00:00Z"}  # fmt: skip
    anyio.run(spend, 100, bigger)
    begin = time.now
    anyio.run(spend, 200_000, None)
    assert time.now == begin


@pytest.fixture
def in_calcutta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A computer whose clock stands five and a half hours before UTC's."""
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_calcutta")
def test_a_spent_hour_pauses_shows_until_when_and_goes_on_by_itself(store: Store) -> None:
    time = Time(START)
    told: list[Progress] = []
    operation = Operation("test", progress=told.append)
    ledger = Ledger(store, "app", limit=1_000, clock=time, sleep=time.sleep)
    operation.points_left = ledger.left_now

    async def work() -> None:
        for _ in range(25):
            turn = await ledger.take(100, operation)
            ledger.settle(turn, 100, 100)
            operation.advance()

    anyio.run(work)
    assert operation.done == 25
    assert datetime(2026, 11, 2, 12, tzinfo=UTC) <= time.now < datetime(2026, 11, 2, 12, 1, tzinfo=UTC)
    pauses = {state.paused_until for state in told} - {None}
    assert pauses == {datetime(2026, 11, 2, 11, tzinfo=UTC), datetime(2026, 11, 2, 12, tzinfo=UTC)}
    assert any(re.search(r"limit is reached, waiting until (.*, )?16:30:00$", state.words) for state in told)


def test_a_pause_for_the_hour_can_be_cancelled_and_meets_the_deadline(store: Store) -> None:
    time = Time(datetime.now(UTC).replace(minute=1))
    ledger = Ledger(store, "app", limit=100, clock=time)
    cancel = threading.Event()

    async def work(operation: Operation) -> None:
        async def take() -> None:
            for _ in range(2):
                await ledger.take(100, operation)
                ledger._out = 0

        await operation.run(take)

    threading.Timer(0.2, cancel.set).start()
    with pytest.raises(Cancelled):
        anyio.run(work, Operation("test", cancel=cancel))
    with pytest.raises(TransportError):
        anyio.run(work, Operation("test", deadline=0.2))


def test_no_hour_is_spent_for_longer_than_an_hour(store: Store) -> None:
    time = Time(START)
    ledger = Ledger(store, "app", clock=time, sleep=time.sleep)
    ledger.exhausted(datetime(2099, 1, 1, tzinfo=UTC))
    anyio.run(ledger.take, 10, Operation("test"))
    assert time.now - START <= timedelta(hours=1, minutes=1)
    # A clock that is set back does not make the wait longer.
    ledger.exhausted(None)
    time.now -= timedelta(days=2)
    begin = time.now
    anyio.run(ledger.take, 10, Operation("test"))
    assert time.now - begin <= timedelta(hours=1)


def test_a_request_dearer_than_a_whole_hour_is_sent_all_the_same(store: Store) -> None:
    time = Time(START)
    ledger = Ledger(store, "app", limit=300, clock=time, sleep=time.sleep)
    turn = anyio.run(ledger.take, 401, Operation("test"))
    ledger.settle(turn, 401, 21)
    assert (time.now, ledger.left()) == (START, 279)


def test_a_limit_that_only_the_policy_tells_is_kept(store: Store) -> None:
    time = Time(START)
    ledger = Ledger(store, "app", clock=time, sleep=time.sleep)

    async def work() -> None:
        for _ in range(2):
            turn = await ledger.take(10, Operation("test"))
            ledger.observe({"ratelimit-policy": '"global-app-quota";q=40000;w=3600'})
            ledger.settle(turn, 10, 10)
            await ledger.give_back()

    anyio.run(work)
    assert ledger.left() == Ledger(store, "app", clock=time).left() == 40_000 - 20


def test_points_that_another_kernel_gives_back_end_the_pause(store: Store) -> None:
    time = Time(START)
    first, second = (Ledger(store, "app", limit=2_000, clock=time, sleep=time.sleep) for _ in range(2))

    async def work() -> None:
        turn = await first.take(10, Operation("test"))
        first.settle(turn, 10, 10)

        async def later() -> None:
            await anyio.sleep(0.05)
            await first.give_back()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(later)
            second._sleep = lambda _seconds: anyio.sleep(0.02)
            await second.take(500, Operation("test"))

    anyio.run(work)
    assert time.now == START


def test_an_estimate_counts_as_the_documents_do(store: Store) -> None:
    time = Time(START)
    ledger = Ledger(store, "app", clock=time)
    small = ledger.estimate(groups=26, memberships=289)
    assert (small.requests, small.points) == (26, 26 + 2 * 289)
    assert "pause" not in small.words
    large = ledger.estimate(groups=20_000, memberships=1_500_000, latency=0.15)
    assert large.points > 3_000_000
    assert 45 * 3600 < large.seconds < 47 * 3600
    assert "46 pauses for a new hour" in large.words


class SiteTime:
    """The practice site's clock as the client's, so that an hour passes for both at once."""

    def __init__(self, site: PracticeSite) -> None:
        self.site = site

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.site.clock.now(), UTC)

    async def sleep(self, seconds: float) -> None:
        self.site.advance(seconds)
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("headers", ["enforced", "none"])
def test_a_walk_over_several_hours_is_complete_and_never_refused(store: Store, headers: Any) -> None:
    with PracticeSite(size="40x30", quota=900, quota_headers=headers, access_lifetime=10**9) as site:
        time = SiteTime(site)
        ledger = Ledger(store, "app", limit=900, clock=time, sleep=time.sleep, block=200)
        begin = time()
        with spoke_on(site, ledger=ledger, clock=time, sleep=time.sleep) as spoke:
            groups = spoke.look_up_groups()
            members = spoke.look_up_members_by_group_id(groups["group_id"])
        assert len(members) == 1_200
        assert time() - begin > timedelta(hours=2)
        assert [one.status for one in site.requests if one.status != 200] == []
        report = members.attrs["completeness"]
        assert report["points"] == 40 * 61
        assert sum(one.points for one in site.requests) == report["points"] + groups.attrs["completeness"]["points"]


def test_an_hour_that_somebody_else_spent_is_waited_out(store: Store) -> None:
    with PracticeSite(size="class", access_lifetime=10**9) as site:
        time = SiteTime(site)
        site.limits.spend(site.client_id, 65_000)
        ledger = Ledger(store, "app", clock=time, sleep=time.sleep)
        with spoke_on(site, ledger=ledger, clock=time, sleep=time.sleep) as spoke:
            assert len(spoke.look_up_groups()) == 26
        refused = [one for one in site.requests if one.status == 429]
        assert 1 <= len(refused) <= 4


def test_what_an_action_drew_and_did_not_spend_is_free_for_others_at_once(store: Store) -> None:
    away_from_the_hour()
    with PracticeSite(size="class") as site:
        spoke = spoke_on(site, ledger=Ledger(store, "app"))
        other = Ledger(store, "app")
        spent = spoke.look_up_groups().attrs["completeness"]["points"]
        assert other.left() == 65_000 - spent
        next(spoke.look_up_spaces(page_size=5))
        assert other.left() == 65_000 - spent - 6
        site.faults.add("hang-up:1")
        with pytest.raises(TransportError):
            spoke.look_up_groups(with_access=False)
        assert other.left() >= 65_000 - spent - 6 - 5
        spoke.close()
        spoke.close()
