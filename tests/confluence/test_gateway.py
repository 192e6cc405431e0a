"""What the gateway does with one strange answer: repeat, wait, refresh, refuse, or say what is wrong."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from spokekit.confluence import RetryPolicy
from spokekit.confluence.report import Progress
from spokekit.errors import (
    AppNotInstalled,
    Cancelled,
    GuardRefused,
    InputError,
    LicenceFull,
    NotConfigured,
    NotPermitted,
    NotThere,
    RateLimited,
    ScopeMissing,
    ServiceError,
    SpokekitError,
    TokenRejected,
    TransportError,
    UnexpectedAnswer,
)

from .fake import Fake, FakeTokens, connection
from .helpers import Anything, Time

LICENCE = {
    "statusCode": 500,
    "message": "com.netflix.hystrix.exception.HystrixRuntimeException: AddUserToGroupsIdentityPlatformCommand failed "
    "and no fallback available.",
}


@pytest.fixture
def fake() -> Fake:
    return Fake(groups={f"g{i}": [f"g{i}u{j}" for j in range(3)] for i in range(40)})


@pytest.fixture
def time() -> Time:
    return Time(datetime(2026, 11, 2, 10, 15, tzinfo=UTC))


def first(*answers: Any) -> Any:
    """Answer the first requests so, and the others as usual."""
    return lambda _request, number: answers[number - 1] if number <= len(answers) else None


def limited(**headers: str) -> httpx2.Response:
    return httpx2.Response(429, headers={key.replace("_", "-"): value for key, value in headers.items()})


# -- the token ----------------------------------------------------------------------------------------------


def test_a_stale_token_is_refreshed_once_for_all_that_are_in_flight(fake: Fake) -> None:
    fake.script = lambda request, _: (
        httpx2.Response(401, json={"code": 401, "message": "Unauthorized"})
        if request.headers["authorization"] == "Bearer token-1"
        else None
    )
    tokens = FakeTokens()
    with fake.spoke(tokens=tokens, in_flight=16) as spoke:
        frame = spoke.look_up_members_by_group_id(list(fake.groups))
    assert len(frame) == 120
    assert tokens.refreshes == 1


def test_a_missing_scope_is_named_and_no_refresh_is_tried(fake: Fake) -> None:
    fake.script = first(
        *[httpx2.Response(401, json={"code": 401, "message": "Unauthorized; scope does not match"})] * 9
    )
    tokens = FakeTokens()
    with (
        fake.spoke(tokens=tokens, connection=connection(scopes=("read:me",))) as spoke,
        pytest.raises(ScopeMissing) as caught,
    ):
        spoke.look_up_members_by_group_id("g1")
    assert caught.value.scopes == ("read:confluence-groups",)
    assert caught.value.action == "look_up_members_by_group_id"
    assert "read:confluence-groups" in str(caught.value)
    assert "Save and Get OAuth Token" in str(caught.value)
    assert tokens.refreshes == 0


def test_a_token_that_a_refresh_does_not_mend_is_rejected(fake: Fake) -> None:
    fake.script = lambda *_: httpx2.Response(401, json={"message": "Unauthorized"})
    tokens = FakeTokens()
    with fake.spoke(tokens=tokens) as spoke, pytest.raises(TokenRejected, match="Get OAuth Token"):
        spoke.look_up_groups(with_access=False)
    assert (tokens.refreshes, len(fake.requests)) == (1, 2)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/wiki/rest/api/group?start=200",
        "//evil.example/rest/api/group?start=200",
        "http://api.atlassian.com/wiki/rest/api/group?start=200",
        "https://api.atlassian.com.evil.example/rest/api/group?start=200",
        "/rest/api/user?start=200",
        "../../../../oauth/token",
        "https://someone@api.atlassian.com/wiki/rest/api/group?start=200",
        "https://api.atlassian.com:8443/wiki/rest/api/group?start=200",
        "https://[api.atlassian.com/wiki/rest/api/group?start=200",
        "https://api\u2100.example/wiki/rest/api/group?start=200",
        "",
    ],
)
def test_a_next_link_to_another_place_is_not_asked(fake: Fake, link: str) -> None:
    page = {"results": [{"id": "g", "name": "n"}], "_links": {"next": link}}
    fake.script = first(httpx2.Response(200, json=page))
    with fake.spoke() as spoke, pytest.raises(UnexpectedAnswer, match="points to another address") as caught:
        spoke.look_up_groups(with_access=False)
    assert caught.value.endpoint == "GET /wiki/rest/api/group"
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "link",
    [
        "/rest/api/group?next=true&start=1",
        "/wiki/rest/api/group?start=1",
        "https://acme.atlassian.net/wiki/rest/api/group?start=1",
        f"https://api.atlassian.com/ex/confluence/{connection().cloud_id}/wiki/rest/api/group?start=1",
    ],
)
def test_a_next_link_in_any_form_that_is_ours_is_good(fake: Fake, link: str) -> None:
    page = {"results": [{"id": "g0", "name": "n"}], "_links": {"next": link}}
    fake.script = first(httpx2.Response(200, json=page))
    with fake.spoke() as spoke:
        assert len(spoke.look_up_groups(with_access=False)) == 40
    assert {request.url.host for request in fake.requests} == {"api.atlassian.com"}


def test_a_redirect_is_followed_on_the_own_host_and_refused_elsewhere(fake: Fake) -> None:
    here = "/ex/confluence/11111111-2222-3333-4444-555555555555/wiki/rest/api/group?start=0&limit=200"
    fake.script = first(httpx2.Response(307, headers={"location": here}))
    with fake.spoke() as spoke:
        assert len(spoke.look_up_groups(with_access=False)) == 40
    for elsewhere in ("https://evil.example/", "http://api.atlassian.com/", "//evil.example/x", "https://:bad", ""):
        fake.requests.clear()
        fake.script = lambda *_, to=elsewhere: httpx2.Response(302, headers={"location": to})
        with fake.spoke() as spoke, pytest.raises(SpokekitError):
            spoke.look_up_groups(with_access=False)
        assert {request.url.host for request in fake.requests} == {"api.atlassian.com"}


def test_a_token_never_travels_unencrypted_and_loopback_is_not_sent_to_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotConfigured, match="only sent over https"):
        Fake().spoke(connection=connection(url="http://api.atlassian.com/"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    from spokekit.practice import PracticeSite

    from .helpers import spoke_on

    with PracticeSite(size="class") as site, spoke_on(site) as spoke:
        assert len(spoke.look_up_groups(with_access=False)) == 26


# -- waiting and repeating ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry_After": "7"}, 7, 8.5),
        ({"Retry_After": format_datetime(datetime(2026, 11, 2, 10, 15, 9, tzinfo=UTC), usegmt=True)}, 9, 10.5),
        ({"Retry_After": format_datetime(datetime(2026, 11, 2, 10, 14, tzinfo=UTC), usegmt=True)}, 0, 0.5),
        ({"X_RateLimit_Reset": "2026-11-02T10:16Z"}, 60, 64),
        ({"X_Ratelimit_Reset": "2026-11-02T10:15:30Z"}, 30, 33),
        ({"Beta_Retry_After": "3"}, 3, 4.5),
        ({"Retry_After": "soon"}, 3.5, 7.5),
        ({}, 3.5, 7.5),
    ],
)
def test_a_429_waits_as_long_as_it_says(
    fake: Fake, time: Time, headers: dict[str, str], least: float, most: float
) -> None:
    fake.script = first(limited(**headers))
    begin = time.now
    with fake.spoke(clock=time, sleep=time.sleep, retry=RetryPolicy()) as spoke:
        assert len(spoke.look_up_groups(with_access=False)) == 40
    assert least <= (time.now - begin).total_seconds() <= most


def test_backoff_doubles_with_jitter_up_to_its_end_and_then_gives_up(fake: Fake, time: Time) -> None:
    fake.script = lambda *_: limited()
    begin = time.now
    with fake.spoke(clock=time, sleep=time.sleep, retry=RetryPolicy()) as spoke, pytest.raises(RateLimited) as caught:
        spoke.look_up_groups(with_access=False)
    assert len(fake.requests) == 5
    assert 0.7 * 65 <= (time.now - begin).total_seconds() <= 1.35 * 65
    assert caught.value.retry_after is None
    policy = RetryPolicy()
    for attempt, middle in enumerate((5, 10, 20, 30, 30)):
        waits = [policy.delay(attempt) for _ in range(50)]
        assert 0.7 * middle <= min(waits) < max(waits) <= 1.3 * middle


@pytest.mark.parametrize("asked", ["0", format_datetime(datetime(2026, 11, 2, 10, 14, tzinfo=UTC), usegmt=True)])
def test_whoever_waited_as_asked_and_is_refused_again_backs_off(fake: Fake, time: Time, asked: str) -> None:
    fake.script = first(*[limited(Retry_After=asked)] * 4)
    begin = time.now
    with fake.spoke(clock=time, sleep=time.sleep, retry=RetryPolicy()) as spoke:
        assert len(spoke.look_up_groups(with_access=False)) == 40
    assert (time.now - begin).total_seconds() >= 0.7 * 35


def test_nobody_waits_longer_than_the_patience_allows(fake: Fake, time: Time) -> None:
    fake.script = lambda *_: limited(Retry_After="86400")
    with fake.spoke(clock=time, sleep=time.sleep, retry=RetryPolicy()) as spoke, pytest.raises(RateLimited) as caught:
        spoke.look_up_groups(with_access=False)
    assert caught.value.retry_after == 86400
    assert "in 1 day, on " in str(caught.value)
    assert time.slept == []


def test_a_burst_429_holds_the_others_of_its_kind_too(fake: Fake, time: Time) -> None:
    held: list[datetime] = []
    asked: list[datetime] = []

    def script(_request: httpx2.Request, number: int) -> httpx2.Response | None:
        asked.append(time.now)
        if number == 5:
            held.append(time.now)
            return limited(Retry_After="20", RateLimit_Reason="confluence-burst-based")
        return None

    fake.script = script
    with fake.spoke(clock=time, sleep=time.sleep, in_flight=4) as spoke:
        frame = spoke.look_up_members_by_group_id(list(fake.groups))
    assert len(frame) == 120
    until = held[0] + timedelta(seconds=20)
    # The three that were on their way when it came are answered; nothing new is begun before its time.
    assert sum(held[0] < moment < until for moment in asked) <= 3
    assert sum(moment >= until for moment in asked) >= 30


@pytest.mark.parametrize("trouble", [502, 503, 504, httpx2.ReadError("reset"), httpx2.ReadTimeout("slow")])
def test_reads_are_repeated_after_passing_trouble(fake: Fake, trouble: Any) -> None:
    fake.script = first(httpx2.Response(trouble) if isinstance(trouble, int) else trouble)
    with fake.spoke() as spoke:
        frame = spoke.look_up_groups(with_access=False)
    assert len(frame) == 40
    assert frame.attrs["completeness"]["retries"] == 1


def test_a_503_is_obeyed_too(fake: Fake, time: Time) -> None:
    fake.script = first(httpx2.Response(503, headers={"retry-after": "40"}))
    with fake.spoke(clock=time, sleep=time.sleep) as spoke:
        spoke.look_up_groups(with_access=False)
    assert time.slept == [40.0]


def test_a_500_on_a_list_is_asked_for_in_halves_and_then_given_up(fake: Fake) -> None:
    fake.script = lambda *_: httpx2.Response(500, text="no json")
    with fake.spoke() as spoke, pytest.raises(ServiceError, match="failed with 500"):
        spoke.look_up_groups(with_access=False)
    assert [int(r.url.params["limit"]) for r in fake.requests] == [200, 200, 100, 50, 25, 12, 6, 3, 1]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx2.Response(500, json=LICENCE), LicenceFull),
        (httpx2.Response(500, json={"message": "oops"}), ServiceError),
        (httpx2.Response(503), ServiceError),
        (httpx2.Response(502, headers={"retry-after": "1"}), ServiceError),
        (httpx2.ReadError("reset"), TransportError),
        (httpx2.RemoteProtocolError("gone"), TransportError),
        (httpx2.Response(403, json={"message": "no"}), NotPermitted),
        (httpx2.Response(404, json={"message": "User not found"}), NotThere),
        (httpx2.Response(302, headers={"location": "https://evil.example/"}), UnexpectedAnswer),
    ],
)
def test_adding_a_member_is_never_repeated_when_it_may_have_been_done(
    fake: Fake, answer: Any, error: type[Exception]
) -> None:
    fake.script = lambda *_: answer
    with fake.spoke(guard=Anything()) as spoke, pytest.raises(error) as caught:
        spoke.add_member_to_group_by_group_id("g1", "someone")
    assert type(caught.value) is error
    assert len(fake.requests) == 1
    assert fake.requests[0].headers["x-atlassian-token"] == "no-check"
    assert json.loads(fake.requests[0].content) == {"accountId": "someone"}


@pytest.mark.parametrize(
    "trouble",
    [
        limited(Retry_After="1"),
        httpx2.ConnectError("refused"),
        httpx2.Response(503, headers={"retry-after": "1"}),
        httpx2.Response(503, headers={"retry-after": "Mon, 02 Nov 2026 10:15:20 GMT"}),
    ],
)
def test_adding_a_member_is_repeated_when_it_cannot_have_been_done_or_on_request(
    fake: Fake, trouble: Any, time: Time
) -> None:
    fake.script = first(trouble)
    with fake.spoke(guard=Anything(), clock=time, sleep=time.sleep) as spoke:
        assert spoke.add_member_to_group_by_group_id("g1", "someone")["action"] == "add"
    assert len(fake.requests) == 2


@pytest.mark.parametrize("refusal", [400, 403, 404, 409])
@pytest.mark.parametrize(
    ("method", "trouble"),
    [("add", httpx2.Response(503, headers={"retry-after": "1"})), ("remove", httpx2.ReadError("reset"))],
)
def test_a_refusal_of_the_repetition_does_not_hide_that_the_first_try_may_have_been_carried_out(
    fake: Fake, method: str, trouble: Any, refusal: int, time: Time
) -> None:
    fake.script = first(trouble, httpx2.Response(refusal, json={"message": "already so"}))
    with fake.spoke(guard=Anything(), clock=time, sleep=time.sleep) as spoke:
        change = (
            spoke.add_member_to_group_by_group_id if method == "add" else spoke.remove_member_from_group_by_group_id
        )
        with pytest.raises((ServiceError, TransportError)) as caught:
            change("g1", "someone")
    assert getattr(caught.value, "status", 503) == 503
    assert len(fake.requests) == 2


def test_where_nobody_ever_answered_it_is_given_up_soon_and_the_wait_is_told(fake: Fake, time: Time) -> None:
    told: list[str] = []
    fake.script = first(*[httpx2.ConnectError("refused")] * 40)
    with (
        fake.spoke(clock=time, sleep=time.sleep) as spoke,
        pytest.raises(TransportError, match="does not answer: no connection in 2 tries") as caught,
    ):
        spoke.look_up_groups(progress=lambda now: told.append(now.words))
    assert caught.value.hint and caught.value.likely
    assert set(Counter(str(request.url) for request in fake.requests).values()) == {2}
    assert any("does not answer, next try at" in words for words in told), told


def test_where_somebody_answered_before_it_is_tried_as_often_as_advised(fake: Fake, time: Time) -> None:
    fake.script = first(httpx2.Response(503), *[httpx2.ConnectError("refused")] * 3)
    with fake.spoke(clock=time, sleep=time.sleep, guard=Anything()) as spoke:
        spoke.remove_member_from_group_by_group_id("g1", "someone")
    assert len(fake.requests) == 5


def test_removing_a_member_is_repeated(fake: Fake) -> None:
    fake.script = first(httpx2.ReadError("reset"), httpx2.Response(503))
    with fake.spoke(guard=Anything()) as spoke:
        assert spoke.remove_member_from_group_by_group_id("g1", "someone")["status"] == 204
    assert len(fake.requests) == 3


# -- answers that are not what they should be ---------------------------------------------------------------

GOOD = {"results": [{"id": "g", "name": "n"}], "_links": {}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!doctype html><title>Sign in</title>", "web page"),
        (json.dumps(GOOD).encode()[:-9], "cut off or damaged"),
        (b"", "empty"),
        (b"[]", "not as documented"),
        (b"null", "not as documented"),
        (b'{"_links": {}}', "missing required field `results`"),
        (b'{"results": {"0": {}}}', r"Expected `array`, got `object` - at `\$.results`"),
        (b'{"results": null}', "got `null`"),
        (b'{"results": [{"id": null, "name": "n"}]}', r"got `null` - at `\$.results\[0\].id`"),
        (b'{"results": [{"id": 7, "name": "n"}]}', "got `int`"),
        (b'{"results": [{"name": "n"}]}', "missing required field `id`"),
        (b'{"results": [{"id": "g"}]}', "missing required field `name`"),
        (b'{"results": [], "_links": {"next": 5}}', "got `int`"),
        (b'{"results": [], "_links": {"next": "/rest/api/group?start=200"}}', "empty page that says more"),
        # From Python 3.14 on, the stack decides how deep is too deep.
        (b'{"x": ' + b"[" * 490_000 + b"]" * 490_000 + b"}", "nested too deeply"),
        (b'{"results": [{"id": "\xff\xfe", "name": "n"}]}', "damaged"),
        (b'{"results": [' + b" " * 2_000_000 + b"]}", "longer than 1,000,000 bytes"),
    ],
)
def test_an_answer_that_is_not_as_documented_is_told_with_its_endpoint(fake: Fake, content: bytes, words: str) -> None:
    fake.script = lambda *_: httpx2.Response(200, content=content)
    with fake.spoke(max_bytes=1_000_000) as spoke, pytest.raises(UnexpectedAnswer, match=words) as caught:
        spoke.look_up_groups("user", with_access=False)
    assert caught.value.endpoint == "GET /wiki/rest/api/group"
    assert "GET /wiki/rest/api/group" in str(caught.value)
    assert "accessType" not in str(caught.value)
    assert len(fake.requests) == 1


def test_a_small_answer_that_unpacks_to_a_huge_one_is_not_read(fake: Fake) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    fake.script = lambda *_: httpx2.Response(200, content=bomb, headers={"content-encoding": "gzip"})
    with fake.spoke(max_bytes=1_000_000) as spoke, pytest.raises(UnexpectedAnswer, match="longer than"):
        spoke.look_up_groups(with_access=False)


def test_null_names_and_missing_links_do_no_harm(fake: Fake) -> None:
    person = {"accountId": "a", "displayName": None, "email": None, "publicName": None, "isGuest": None}
    fake.script = lambda request, _: httpx2.Response(
        200, json={"results": [person] if request.url.params["start"] == "0" else []}
    )
    with fake.spoke() as spoke:
        frame = spoke.look_up_members_by_group_id("g1")
    assert frame.iloc[0].tolist() == ["g1", "a", "", "", "", "", False, False]
    assert "without operations" in frame.attrs["completeness"]["notes"][0]
    # Nothing said that the first page was the last, so an empty one had to.
    assert len(fake.requests) == 2


def test_statuses_have_errors_of_their_own_and_no_error_shows_the_token(fake: Fake) -> None:
    said = {"message": 'you sent "Bearer token-1"\x00\n<script>', "data": {}}
    for status, body, error in (
        (403, {"code": 403, "message": "The app is not installed on this instance"}, AppNotInstalled),
        (403, said, NotPermitted),
        (404, {"errors": [{"title": "Not Found", "detail": None}]}, NotThere),
        (410, said, NotThere),
        (400, said, ServiceError),
        (418, [1], ServiceError),
    ):
        fake.script = lambda *_, s=status, b=body: httpx2.Response(s, json=b)
        with fake.spoke() as spoke, pytest.raises(error) as caught:
            spoke.look_up_groups(with_access=False)
        assert type(caught.value) is error
        assert caught.value.status == status
        assert "token-1" not in str(caught.value)
        assert "\x00" not in str(caught.value)


def test_half_a_character_in_one_name_costs_no_row(fake: Fake) -> None:
    names = [r"\ud83d", r"a\uDE00b", r"\ud83d\ude00", r"\\ud83d", r"\ud800\ud800\udc00", r"\u00e9"]
    rows = ",".join(
        f'{{"accountId": "{number}", "displayName": "{name}", "operations": []}}' for number, name in enumerate(names)
    )
    body = f'{{"results": [{rows}], "start": 0, "limit": 200, "size": {len(names)}, "_links": {{}}}}'
    fake.script = lambda *_: httpx2.Response(200, content=body.encode())
    with fake.spoke() as spoke:
        frame = spoke.look_up_members_by_group_id("g1")
    assert frame["display_name"].tolist() == [
        "\ufffd",
        "a\ufffdb",
        "\U0001f600",
        "\\ud83d",
        "\ufffd\U00010000",
        "\u00e9",
    ]


def test_an_error_whose_text_is_no_utf8_is_told_all_the_same(fake: Fake) -> None:
    fake.script = lambda *_: httpx2.Response(400, content=b'{"message": "caf\xe9"}')
    with fake.spoke() as spoke, pytest.raises(ServiceError, match="400") as caught:
        spoke.look_up_members_by_group_id("g1")
    assert caught.value.endpoint == "GET /wiki/rest/api/group/g1/membersByGroupId"


def test_an_unknown_group_is_told_from_an_empty_one_by_400_as_well(fake: Fake) -> None:
    fake.script = lambda request, _: httpx2.Response(400, json={}) if "by-id" in request.url.path else None
    with fake.spoke() as spoke, pytest.raises(NotThere, match="no group with the id nope"):
        spoke.look_up_members_by_group_id("nope")


# -- cancelling, progress, deadlines ------------------------------------------------------------------------


def test_a_pause_is_shown_and_can_be_cancelled(fake: Fake) -> None:
    fake.script = lambda *_: limited(Retry_After="1800", RateLimit_Reason="confluence-quota-global-based")
    told: list[Progress] = []
    cancel = threading.Event()

    def progress(state: Progress) -> None:
        told.append(state)
        if state.paused_until is not None:
            cancel.set()

    with fake.spoke() as spoke, pytest.raises(Cancelled):
        spoke.look_up_members_by_group_id(list(fake.groups), progress=progress, cancel=cancel)
    pauses = [state for state in told if state.paused_until is not None]
    assert 1700 < (pauses[0].paused_until - datetime.now(UTC)).total_seconds() <= 1800
    assert "waiting until" in pauses[0].words
    assert len(fake.requests) <= 8


def test_progress_is_throttled_and_ends_with_all(fake: Fake) -> None:
    told: list[Progress] = []
    with fake.spoke() as spoke:
        spoke.look_up_members_by_group_id(list(fake.groups), progress=told.append)
    assert told[-1].done == told[-1].total == 40
    assert told[-1].words == "40 of 40 groups"
    assert len(told) < 20


def test_a_fault_in_the_listener_comes_out_as_it_is(fake: Fake) -> None:
    def progress(_: Progress) -> None:
        raise ZeroDivisionError

    for action in ("look_up_members_by_group_id", "look_up_groups"):
        with fake.spoke() as spoke, pytest.raises(ZeroDivisionError):
            getattr(spoke, action)(*[] if action == "look_up_groups" else [list(fake.groups)], progress=progress)


def test_an_action_ends_at_its_deadline(fake: Fake) -> None:
    fake.script = lambda *_: limited(Retry_After="600")
    with fake.spoke() as spoke, pytest.raises(TransportError, match=r"within 0\.2 seconds"):
        spoke.look_up_groups(deadline=0.2)


def test_what_was_passed_in_is_checked_before_anything_is_sent(fake: Fake) -> None:
    import pandas as pd

    with fake.spoke() as spoke:
        for bad in (
            lambda: spoke.look_up_groups("everybody"),  # type: ignore[arg-type]
            lambda: spoke.look_up_members_by_group_id(""),
            lambda: spoke.look_up_members_by_group_id(["g1", None]),  # type: ignore[list-item]
            lambda: spoke.look_up_members_by_group_id(None),  # type: ignore[arg-type]
            lambda: spoke.look_up_members_by_group_id(pd.DataFrame({"group_id": ["g1"]})),
            lambda: spoke.look_up_users("half a pair: \ud83d"),
            lambda: spoke.look_up_spaces(page_size=0),
            lambda: spoke.look_up_spaces(query="cursor=1"),
            lambda: spoke.look_up_pages(query="nonsense"),
            lambda: spoke.search_content(),
            lambda: spoke.look_up_spaces(query={"status": None}),
            lambda: spoke.search_content(cql=" "),
            lambda: spoke.search_content("x" * 70_000),
            lambda: spoke.search_content("half a pair: \ud83d"),
            lambda: spoke.search_content("a", most="5"),  # type: ignore[arg-type]
            lambda: spoke.search_content("a", modified_since="2026-01-01"),  # type: ignore[arg-type]
            lambda: spoke.search_content("a", modified_since=pd.NaT),  # type: ignore[arg-type]
            lambda: spoke.report_personal_data({}),
            lambda: spoke.report_personal_data({"a": datetime(2026, 1, 1)}),  # noqa: DTZ001
        ):
            with pytest.raises(InputError):
                bad()
    for many in (0, 65):
        with pytest.raises(InputError, match="in flight"):
            fake.spoke(in_flight=many)
    assert fake.requests == []


class Closing:
    """A guard whose group is taken off the registry after the first request."""

    def __init__(self, fake: Fake) -> None:
        self.fake = fake

    def check(self, group_id: str) -> None:
        if self.fake.requests:
            raise GuardRefused(f"{group_id} is not registered.")


@pytest.mark.parametrize(
    ("first_answer", "error"),
    [
        (limited(Retry_After="60"), GuardRefused),
        # What may have been carried out is not called refused: the caller reads it back.
        (httpx2.ReadError("reset"), TransportError),
        (httpx2.Response(503, json={}), ServiceError),
    ],
)
def test_a_group_taken_off_the_registry_between_two_tries_is_not_changed_any_more(
    fake: Fake, time: Time, first_answer: Any, error: type[SpokekitError]
) -> None:
    fake.script = first(first_answer)
    with fake.spoke(guard=Closing(fake), clock=time, sleep=time.sleep) as spoke, pytest.raises(error):
        spoke.remove_member_from_group_by_group_id("g1", "g1u1")
    assert len(fake.requests) == 1


@pytest.mark.parametrize("changes", [{"alias_id": "a2"}, {"cloud_id": "99999999-2222-3333-4444-555555555555"}])
def test_the_registry_of_another_connection_opens_nothing(fake: Fake, changes: dict[str, str]) -> None:
    guard = Anything()
    guard.connection = connection(**changes)  # type: ignore[attr-defined]
    with fake.spoke(guard=guard) as spoke, pytest.raises(GuardRefused, match="nothing was sent"):
        spoke.add_member_to_group_by_group_id("g1", "somebody")
    assert not fake.requests


def test_what_the_service_says_is_one_harmless_line(fake: Fake) -> None:
    said = "no\x1b[2J\x9b31m\u202eon\r\nyes"
    fake.script = lambda _request, _number: httpx2.Response(400, json={"message": said})
    with fake.spoke() as spoke, pytest.raises(ServiceError) as caught:
        spoke.look_up_groups(with_access=False)
    assert not any(letter in str(caught.value) for letter in "\x1b\x9b\u202e\r\n")


@pytest.mark.parametrize("group_id", [".", ".."])
def test_an_id_that_would_lead_to_another_path_is_not_asked_for(fake: Fake, group_id: str) -> None:
    with fake.spoke() as spoke, pytest.raises(SpokekitError, match="is not an id"):
        spoke.look_up_members_by_group_id(group_id)
    assert not fake.requests
