"""When the service says to come back, and how much it can bring at once: it is believed, and told by the clock."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit._http import json_of, retry_after
from spokekit._words import clock, later, span
from spokekit.confluence import RetryPolicy
from spokekit.confluence.quota import Ledger
from spokekit.connections.store import Store
from spokekit.errors import IncompleteResult, RateLimited, ServiceError, SpokekitError
from spokekit.practice import PracticeSite

from .fake import Fake
from .helpers import Time, spoke_on

ROWS = [f"u{number:05d}" for number in range(450)]
NOON = datetime(2026, 11, 2, 12, 10, tzinfo=UTC)


def quota_429(**headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"ratelimit-reason": "confluence-quota-global-based"}
    return httpx2.Response(429, json={"message": "Rate limit exceeded"}, headers=named)


# -- when to come back -------------------------------------------------------------------------------------------------


def _slept(store: Store, *answers: httpx2.Response) -> list[float]:
    time = Time(NOON)
    fake = Fake(groups={"g": ROWS[:3]})
    fake.script = lambda _request, number: answers[number - 1] if number <= len(answers) else None
    ledger = Ledger(store, "client", clock=time, sleep=time.sleep)
    with fake.spoke(clock=time, sleep=time.sleep, retry=RetryPolicy(), ledger=ledger) as spoke:
        assert len(spoke.look_up_members_by_group_id("g")) == 3
    return time.slept


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path}/quota.sqlite")


@pytest.mark.parametrize("seconds", ["1", "30", "0", "400"])
def test_a_spent_quota_is_waited_for_as_long_as_it_says_and_not_to_the_end_of_the_hour(
    store: Store, seconds: str
) -> None:
    slept = _slept(store, quota_429(retry_after=seconds, x_ratelimit_reset="2026-11-02T13:00:00Z"))
    assert float(seconds) <= sum(slept) <= 1.1 * float(seconds) + 2


def test_an_http_date_wins_over_the_reset_too(store: Store) -> None:
    slept = _slept(
        store, quota_429(retry_after="Mon, 02 Nov 2026 12:10:40 GMT", x_ratelimit_reset="2026-11-02T13:00:00Z")
    )
    assert 40 <= sum(slept) <= 46


def test_a_second_refusal_right_after_makes_the_reset_win(store: Store) -> None:
    again = quota_429(retry_after="1", x_ratelimit_reset="2026-11-02T13:00:00Z")
    slept = _slept(store, again, again)
    assert 49 * 60 <= sum(slept) <= 52 * 60


def test_without_a_word_of_when_the_reset_is_waited_for(store: Store) -> None:
    slept = _slept(store, quota_429(x_ratelimit_reset="2026-11-02T12:40:00Z"))
    assert 30 * 60 <= sum(slept) <= 33 * 60


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "in 1 second"),
        (40, "in 40 seconds"),
        (600, "in 10 minutes, at "),
        (7200, "in 2 hours, at |in 2 hours, on "),
        (86_400, "in 1 day, on "),
        (3 * 86_400, "in 3 days, on "),
        (10**12, "in 11,574,074 days"),
    ],
)
def test_later_is_a_span_and_a_time_by_the_clock_here(seconds: float, words: str) -> None:
    assert re.match(words, later(seconds))
    if 600 <= seconds < 10**9:
        assert clock(datetime.now().astimezone() + timedelta(seconds=seconds))[-5:-3] in later(seconds)


def test_a_day_is_no_number_of_minutes() -> None:
    assert (span(86_400), span(5_400), span(2.6), span(3 * 86_400)) == ("1 day", "1.5 hours", "3 seconds", "3 days")
    fake = Fake(script=lambda *_: httpx2.Response(429, headers={"retry-after": "86400"}))
    with fake.spoke(retry=RetryPolicy()) as spoke, pytest.raises(RateLimited) as caught:
        spoke.look_up_groups(with_access=False)
    assert re.search(r"Try again in 1 day, on \w+, \d+ \w+, \d\d:\d\d\.", str(caught.value))


@pytest.mark.parametrize(
    ("text", "wait"),
    [("5", 5), (" 7 ", 7), ("1.5", 1.5), ("-3", None), ("soon", None), ("", None), ("1e3", None)],
)
def test_retry_after_in_every_form(text: str, wait: float | None) -> None:
    assert retry_after({"retry-after": text}, NOON) == wait


# -- a page that is too heavy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["too-heavy:60", "too-heavy-500:60", "too-heavy:3", "too-heavy-500:1"])
def test_a_page_that_is_too_heavy_is_asked_for_in_halves(fault: str) -> None:
    with PracticeSite(size="3x130", faults=[f"{fault}@members"]) as site:
        time = Time()
        with spoke_on(site, clock=time, sleep=time.sleep) as spoke:
            groups = spoke.look_up_groups(with_access=False)
            members = spoke.look_up_members_by_group_id(list(groups["group_id"]))
        assert members.attrs["completeness"]["complete"]
        assert len(members) == len(site.world.frames()["memberships"])
        assert sum(time.slept) <= 3 * 10, "the same page is not asked for until the patience is spent"


@pytest.mark.parametrize(
    ("action", "fault"),
    [
        (lambda spoke: spoke.look_up_groups(), "too-heavy:9@groups"),
        (lambda spoke: spoke.look_up_spaces().all(), "too-heavy-500:3@spaces"),
    ],
)
def test_so_is_every_other_list(action: Callable[[Any], Any], fault: str) -> None:
    with PracticeSite(size="class") as site:
        with spoke_on(site) as spoke:
            whole = action(spoke)
        site.faults.add(fault)
        with spoke_on(site) as spoke:
            assert len(action(spoke)) == len(whole) > 9


def test_people_who_are_too_many_at_once_are_asked_for_in_halves() -> None:
    with PracticeSite(size="2x150", faults=["too-heavy:20"]) as site:
        ids = site.world.frames()["users"]["account_id"].astype(str).tolist()
        with spoke_on(site) as spoke:
            people = spoke.look_up_users(ids)
        assert people["account_id"].tolist() == ids


def test_a_page_that_never_comes_in_time_is_halved_too() -> None:
    fake = Fake(groups={"g": ROWS})
    fake.script = lambda request, _n: (
        httpx2.ReadTimeout("late") if int(request.url.params.get("limit", 0)) > 30 else None
    )
    with fake.spoke() as spoke:
        assert len(spoke.look_up_members_by_group_id("g")) == 450
    limits = [int(request.url.params["limit"]) for request in fake.requests]
    assert limits[:5] == [200, 200, 100, 50, 25]


@pytest.mark.parametrize("status", [500, 504])
def test_what_fails_at_one_row_too_fails_soon(status: int) -> None:
    fake = Fake(groups={"g": ROWS}, script=lambda *_: httpx2.Response(status))
    time = Time()
    spoke = fake.spoke(clock=time, sleep=time.sleep, retry=RetryPolicy())
    with spoke, pytest.raises((IncompleteResult, ServiceError)):
        spoke.look_up_members_by_group_id("g")
    assert len(fake.requests) < 16
    assert sum(time.slept) < 60


def test_one_passing_504_halves_nothing() -> None:
    fake = Fake(groups={"g": ROWS})
    fake.script = lambda _request, number: httpx2.Response(504) if number == 1 else None
    with fake.spoke() as spoke:
        assert len(spoke.look_up_members_by_group_id("g")) == 450
    assert {request.url.params["limit"] for request in fake.requests} == {"200"}


# -- marks before JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
    ],
)
def test_a_byte_order_mark_is_no_damage(encode: Callable[[str], bytes]) -> None:
    fake = Fake(groups={"g": ROWS[:3], "ö": []})
    plain = fake.page

    def marked(*arguments: Any) -> httpx2.Response:
        return httpx2.Response(200, content=encode(plain(*arguments).text))

    fake.page = marked  # type: ignore[method-assign]
    with fake.spoke() as spoke:
        assert spoke.look_up_groups(with_access=False)["group_id"].tolist() == ["g", "ö"]
        assert len(spoke.look_up_members_by_group_id("g")) == 3
    assert json_of(encode('{"error": "ö"}')) == {"error": "ö"}


def test_the_words_of_an_error_are_read_behind_a_mark_too() -> None:
    body = codecs.BOM_UTF8 + b'{"message": "Unauthorized; scope does not match"}'
    fake = Fake(script=lambda *_: httpx2.Response(401, content=body))
    with fake.spoke() as spoke, pytest.raises(SpokekitError, match="scope"):
        spoke.look_up_groups(with_access=False)
    assert len(fake.requests) == 1, "no refresh cures a missing scope"
