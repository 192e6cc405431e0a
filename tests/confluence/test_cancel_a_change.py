"""A single change can be cancelled: pauses end at once, and what is said about the outcome is true."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from spokekit.confluence import RetryPolicy, Timeouts
from spokekit.confluence.report import Progress
from spokekit.confluence.spoke import Spoke
from spokekit.errors import Cancelled, TransportError
from spokekit.practice import PracticeSite
from tests.confluence.helpers import Anything, Time, spoke_on

# Seconds, on a machine that is busy with other tests; what is cancelled would wait for minutes.
AT_ONCE = 30


@pytest.fixture
def spoke(site: PracticeSite) -> Iterator[Spoke]:
    """Open a spoke that waits in real time, far longer than a slow machine needs for anything here."""
    waits = RetryPolicy(first=120, longest=120)
    real = {"clock": None, "sleep": anyio.sleep, "retry": waits, "timeouts": Timeouts(read=120, request=120)}
    with spoke_on(site, guard=Anything(), **real) as opened:
        yield opened


class Press:
    """Presses Cancel so many seconds after the first request of a kind arrived, and knows how long it took to end."""

    def __init__(self, site: PracticeSite, after: float) -> None:
        self.event = threading.Event()
        self.told: list[Progress] = []
        self.pressed_at = 0.0
        self._site, self._after = site, after

    def during(self, change: Callable[..., Any], *args: str) -> Any:
        threading.Thread(target=self._wait, daemon=True).start()
        try:
            return change(*args, progress=self.told.append, cancel=self.event)
        finally:
            self.took = time.monotonic() - self.pressed_at

    def _wait(self) -> None:
        until = time.monotonic() + 10
        while not self._site.count("userByGroupId") and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(self._after)
        self.pressed_at = time.monotonic()
        self.event.set()


def someone(site: PracticeSite) -> tuple[str, str, str]:
    group = site.world.find_group("marketing").group_id
    inside = site.world.member_ids("marketing")
    outside = next(a for a in site.world.member_ids("legal-counsel") if a not in inside)
    return group, inside[0], outside


@pytest.mark.parametrize("fault", ["429-no-retry-after:1", "503-no-retry-after:1", "hang-up:1"])
def test_a_pause_inside_a_change_is_left_at_once(site: PracticeSite, spoke: Spoke, fault: str) -> None:
    group, member, _ = someone(site)
    site.faults.add(fault)
    press = Press(site, 0.3)
    with pytest.raises(Cancelled) as caught:
        press.during(spoke.remove_member_from_group_by_group_id, group, member)
    assert press.took < AT_ONCE
    # A 429 says that nothing was done; the others leave it open.
    assert caught.value.nothing_done is fault.startswith("429")
    assert [told for told in press.told if told.paused_until and told.pause], "the pause was told"
    assert press.told[-1].words.endswith(press.told[-1].pause)


def test_a_removal_that_was_made_and_lost_its_answer_is_not_called_undone(site: PracticeSite, spoke: Spoke) -> None:
    group, member, _ = someone(site)
    site.faults.add("write-lost:1")
    press = Press(site, 0.3)
    with pytest.raises(Cancelled, match="may have been carried out") as caught:
        press.during(spoke.remove_member_from_group_by_group_id, group, member)
    assert not caught.value.nothing_done
    assert press.took < AT_ONCE
    assert member not in site.world.member_ids(group)


@pytest.mark.parametrize(("answer_after", "in_time"), [(0.5, True), (60.0, False)])
def test_a_request_under_way_has_a_moment_for_its_answer_and_no_more(
    site: PracticeSite, spoke: Spoke, answer_after: float, in_time: bool
) -> None:
    group, _, outsider = someone(site)
    site.faults.add(f"stall:{answer_after}@add")
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    began = time.monotonic()
    if in_time:
        assert spoke.add_member_to_group_by_group_id(group, outsider, cancel=cancel)["action"] == "add"
    else:
        with pytest.raises(Cancelled, match="may have been carried out") as caught:
            spoke.add_member_to_group_by_group_id(group, outsider, cancel=cancel)
        assert not caught.value.nothing_done
    assert time.monotonic() - began < AT_ONCE


def test_cancelled_before_it_began_sends_nothing(site: PracticeSite, spoke: Spoke) -> None:
    group, member, _ = someone(site)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="nothing was changed") as caught:
        spoke.remove_member_from_group_by_group_id(group, member, cancel=cancel)
    assert caught.value.nothing_done
    assert not site.writes


def test_a_limit_at_the_second_try_does_not_say_that_the_first_was_not_made(site: PracticeSite) -> None:
    group, member, _ = someone(site)
    site.faults.add("write-lost:1x1", "429:2@remove")
    clock = Time()
    policy = RetryPolicy(patience=0.5)
    with (
        spoke_on(site, guard=Anything(), retry=policy, clock=clock, sleep=clock.sleep) as one,
        pytest.raises(TransportError),
    ):
        one.remove_member_from_group_by_group_id(group, member)
    assert member not in site.world.member_ids(group)
    assert [record.status for record in site.requests if "userByGroupId" in record.path][-1] == 429
