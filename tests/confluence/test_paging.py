"""No page twice, no row lost: long lists, uneven lists, and whatever hypothesis thinks of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit.confluence import RetryPolicy
from spokekit.confluence.spoke import Spoke
from spokekit.errors import IncompleteResult, ServiceError, TransportError, UnexpectedAnswer
from spokekit.practice import PracticeSite

from .fake import Fake
from .helpers import rows, spoke_on

if TYPE_CHECKING:
    import pandas as pd


def many(count: int) -> list[str]:
    return [f"u{number:05d}" for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 399, 400, 1_234, 3_999, 12_345])
@pytest.mark.parametrize("cap", [200, 100])
def test_a_long_list_is_complete_and_no_page_is_asked_twice(count: int, cap: int) -> None:
    fake = Fake(groups={"g": many(count)}, cap=cap)
    with fake.spoke() as spoke:
        frame = spoke.look_up_members_by_group_id("g", confirm_empty=False, count=True)
    assert frame["account_id"].astype(str).tolist() == many(count)
    asked = Counter(request.url.params["start"] for request in fake.requests)
    assert max(asked.values()) == 1
    report = frame.attrs["completeness"]
    least = max(1, -(-count // cap))
    documented = least + 2 * count
    # One row a page is read twice to see that the list did not move; a page asked ahead may be past the end.
    assert least <= len(fake.requests) <= 1.2 * least + 2
    assert documented <= report["points"] <= documented * 1.02 + 10
    assert report["duplicates"] == report["retries"] == 0


def test_many_groups_are_listed_several_pages_at_once() -> None:
    fake = Fake(groups={f"g{number:05d}": [] for number in range(4_321)})
    with fake.spoke() as spoke:
        frame = spoke.look_up_groups()
    assert frame["group_id"].tolist() == list(fake.groups)
    asked = Counter(str(request.url.params) for request in fake.requests)
    assert max(asked.values()) == 1


def test_pages_that_become_uneven_are_read_one_by_one() -> None:
    fake = Fake(groups={"g": many(5_000)})

    def script(request: httpx2.Request, number: int) -> None:
        fake.cap = 200 if number < 15 else (37, 1, 150)[number % 3]

    fake.script = script
    with fake.spoke() as spoke:
        frame = spoke.look_up_members_by_group_id("g")
    assert frame["account_id"].astype(str).tolist() == many(5_000)


@pytest.mark.parametrize("gone", [0, 150, 3_000])
def test_a_member_who_leaves_meanwhile_costs_nobody_else(gone: int) -> None:
    fake = Fake(groups={"g": many(4_000)})

    def script(_: httpx2.Request, number: int) -> None:
        if number == 9:
            del fake.groups["g"][gone]

    fake.script = script
    with fake.spoke() as spoke:
        frame = spoke.look_up_members_by_group_id("g")
    assert set(fake.groups["g"]) <= set(frame["account_id"].astype(str))
    assert frame["account_id"].is_unique


def test_a_list_that_never_stands_still_is_called_incomplete() -> None:
    fake = Fake(groups={"calm": many(10), "g": many(900)})

    def script(request: httpx2.Request, _: int) -> None:
        if int(request.url.params.get("start", 0)) > 0:
            del fake.groups["g"][0]

    fake.script = script
    with fake.spoke() as spoke, pytest.raises(IncompleteResult) as caught:
        spoke.look_up_members_by_group_id(["calm", "g"])
    assert caught.value.report.partial == ("g",)
    assert "changed, each of the 3 times" in caught.value.report.reasons["g"]
    assert caught.value.report.walked == 1


def test_rows_that_are_hidden_are_noticed_when_they_are_counted() -> None:
    fake = Fake(groups={"g": many(500)})
    shown = fake.page

    def hiding(path: str, given: list[str], query: httpx2.QueryParams, show: Any) -> httpx2.Response:
        answer = shown(path, given[:-3], query, show).json()
        if "totalSize" in answer:
            answer["totalSize"] = len(given)
        return httpx2.Response(200, json=answer)

    fake.page = hiding  # type: ignore[method-assign]
    with fake.spoke() as spoke:
        assert len(spoke.look_up_members_by_group_id("g")) == 497
        with pytest.raises(IncompleteResult, match="497 members where 500 were counted"):
            spoke.look_up_members_by_group_id("g", count=True)


@pytest.mark.parametrize("second", ["again", "nowhere", "gone"])
def test_a_cursor_that_leads_nowhere_is_an_error(second: str) -> None:
    def script(request: httpx2.Request, number: int) -> httpx2.Response:
        links: Any = {"next": "/wiki/api/v2/spaces?cursor=abc&limit=2"}
        if second == "nowhere":
            links = {"next": "/wiki/api/v2/spaces?limit=2"}
        elif second == "gone" and number == 2:
            links = None
        return httpx2.Response(200, json={"results": [{"id": str(number)}], "_links": links})

    fake = Fake(script=script)
    with fake.spoke() as spoke, pytest.raises((UnexpectedAnswer, IncompleteResult)):
        spoke.look_up_spaces(page_size=2).all()
    assert len(fake.requests) <= 2


def test_a_cursor_is_taken_from_the_link_header_too_and_the_query_is_sent_again() -> None:
    def script(request: httpx2.Request, number: int) -> httpx2.Response:
        headers = {
            "link": '</wiki/api/v2/spaces?cursor=abc>; rel="next", <https://acme.atlassian.net/wiki>; rel="base"'
        }
        return httpx2.Response(
            200, json={"results": [{"id": str(number)}], "_links": {}}, headers=headers if number == 1 else {}
        )

    fake = Fake(script=script)
    with fake.spoke() as spoke:
        assert spoke.look_up_spaces(query="type=global").all()["space_id"].tolist() == ["1", "2"]
    assert str(fake.requests[1].url.params) == "type=global&limit=250&cursor=abc"


# -- whatever comes -----------------------------------------------------------------------------------------

SIZES = ("3x1", "1x450", "30x7", "8x210", "S")
LOSSY = ("truncated-json", "html-200", "foreign-next", "vanishing", "empty-page", "missing-ids", "wrong-types")
PASSING = ("429", "429-no-retry-after", "503", "reset", "hang-up", "html-502", "duplicates", "401-after", "null-links")


_running: dict[str, PracticeSite] = {}


def a_site(size: str) -> PracticeSite:
    if size not in _running:
        _running[size] = PracticeSite(size=size, access_lifetime=10**9, quota=10**9).start()
    return _running[size]


@pytest.fixture(scope="module", autouse=True)
def _stop_sites() -> Iterator[None]:
    yield
    while _running:
        _running.popitem()[1].stop()


@cache
def truth(size: str) -> tuple[pd.DataFrame, dict[str, set[tuple[str, ...]]]]:
    frames = a_site(size).world.frames(tables=("groups", "memberships"))
    parts = frames["memberships"].groupby("group_id", observed=False)
    return frames["groups"], {str(group): rows(part, "group_id", "account_id") for group, part in parts}


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(
    size=st.sampled_from(SIZES),
    cap=st.sampled_from([None, 1, 3, 17, 100, 199, 200, 201]),
    passing=st.lists(st.tuples(st.sampled_from(PASSING), st.integers(3, 11)), max_size=2, unique_by=lambda f: f[0]),
    lossy=st.lists(st.tuples(st.sampled_from(LOSSY), st.integers(2, 9)), max_size=1),
    in_flight=st.sampled_from([1, 2, 8, 16]),
)
def test_any_mixture_gives_every_row_or_names_what_is_missing(
    size: str, cap: int | None, passing: list[tuple[str, int]], lossy: list[tuple[str, int]], in_flight: int
) -> None:
    site = a_site(size)
    if cap is not None and cap < 17 and size in ("S", "8x210", "1x450"):
        cap = 17
    groups, wanted = truth(size)
    site.faults.clear()
    whole = ("duplicates", "401-after", "foreign-next", "vanishing")
    site.faults.add(*[name if name in whole else f"{name}:{every}" for name, every in passing + lossy])
    if cap is not None:
        site.faults.add(f"short-pages:{cap}")
    try:
        # Faults that strike at every third call can meet one request again and again: more patience than the default.
        with spoke_on(site, in_flight=in_flight, retry=RetryPolicy(retries=15)) as spoke:
            got = _read(spoke, groups)
    finally:
        site.faults.clear()
    if got is None:
        assert lossy
        return
    pairs = rows(got, "group_id", "account_id")
    report = got.attrs["completeness"]
    named = set(report["failed"]) | set(report["partial"])
    for group, part in wanted.items():
        here = {pair for pair in pairs if pair[0] == group}
        assert here <= part
        assert here == part or group in named
    assert report["complete"] == (not named)
    if not lossy:
        assert report["complete"], report["reasons"]


def _read(spoke: Spoke, groups: pd.DataFrame) -> pd.DataFrame | None:
    """Return the members of all groups, or None when the list of groups itself could not be read."""
    try:
        listed = spoke.look_up_groups()
    except (ServiceError, TransportError, IncompleteResult):
        return None
    assert rows(listed, "group_id", "name", "access") == rows(groups, "group_id", "name", "access")
    try:
        return spoke.look_up_members_by_group_id(groups["group_id"])
    except IncompleteResult as error:
        return error.frame
    except (ServiceError, TransportError):
        return None


@pytest.mark.parametrize("action", ["groups", "members", "spaces", "pages that repeat", "empty pages"])
def test_a_list_that_always_says_more_follows_comes_to_an_end(action: str) -> None:
    def script(request: httpx2.Request, number: int) -> httpx2.Response:
        path = request.url.path.split("/wiki")[-1]
        found: list[dict[str, Any]] = [
            {"id": "a", "name": "a", "accountId": "a"},
            {"id": "b", "name": "b", "accountId": "b"},
        ]
        if action == "empty pages":
            found = []
        return httpx2.Response(200, json={"results": found, "_links": {"next": f"{path}?cursor=c{number}&start=2"}})

    fake = Fake(script=script)
    with (
        fake.spoke() as spoke,
        pytest.raises((UnexpectedAnswer, IncompleteResult), match=r"the list has no end|missing"),
    ):
        if action == "groups":
            spoke.look_up_groups(with_access=False)
        elif action == "members":
            spoke.look_up_members_by_group_id("g")
        elif action == "pages that repeat":
            spoke.look_up_pages().all()
        else:
            spoke.look_up_spaces().all()
    assert len(fake.requests) < 1_000


@pytest.mark.parametrize("said", [3, 200])
def test_a_page_with_fewer_rows_than_it_says_is_not_the_whole(said: int) -> None:
    answer = {"results": [{"accountId": "a"}, {"accountId": "b"}], "size": said, "_links": {}}
    fake = Fake(script=lambda _request, _number: httpx2.Response(200, json=answer))
    with (
        fake.spoke() as spoke,
        pytest.raises((UnexpectedAnswer, IncompleteResult), match=f"2 rows where it says {said}"),
    ):
        spoke.look_up_members_by_group_id("g")
