"""A token stays alive: renewed when needed, once, written down before it is used, and never lost by an error."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from spokekit._secret import Secret
from spokekit.connections.connection import Connection, credentials
from spokekit.connections.store import Store, default_store
from spokekit.errors import ConsentNeeded, NotFound, SpokekitError, TransportError, UnexpectedAnswer
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, configured, granted, in_threads


class Wire(httpx2.BaseTransport):
    """The network between us and the practice site, which can be slow, cut before or cut after."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.afterwards: Callable[[], object] = lambda: None
        self.plan: list[str] = []
        self.sent = 0
        self.under_way = threading.Event()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        step = self.plan.pop(0) if self.plan else "ok"
        if step == "no network":
            raise httpx2.ConnectError("refused", request=request)
        self.sent += 1
        self.under_way.set()
        time.sleep(self.delay)
        with httpx2.HTTPTransport() as real:
            response = real.handle_request(request)
            response.read()
        afterwards, self.afterwards = self.afterwards, lambda: None
        afterwards()
        if step == "cut":
            raise httpx2.ReadError("reset", request=request)
        if step == "late":
            raise httpx2.ReadTimeout("late", request=request)
        return response


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def slow_place(home: Any, site: PracticeSite, wire: Wire) -> Place:
    return Place(default_store(), site, transport=wire)


def row(place: Place, connection: Connection) -> Any:
    with place.store.read() as db:
        return db.execute(sa.select(credentials).where(credentials.c.connection_id == connection.connection_id)).one()


def test_a_valid_token_is_given_without_a_request(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    assert place.tokens.access_token(connection) == place.tokens.access_token(connection)
    assert site.count("refresh") == 0


def test_an_expired_token_is_renewed_and_the_rotated_one_works_the_next_time(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    seen = {place.tokens.access_token(connection)}
    for turn in range(1, 4):
        site.advance(3600)
        seen.add(place.tokens.access_token(connection))
        assert site.count("refresh") == turn
    assert len(seen) == 4


def test_a_token_in_its_last_minute_is_renewed(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    site.advance(3600 - 70)
    place.tokens.access_token(connection)
    assert site.count("refresh") == 0
    site.advance(20)
    place.tokens.access_token(connection)
    assert site.count("refresh") == 1


@pytest.mark.parametrize("lifetime", [1, 20, 59, 60, 61])
def test_a_lifetime_below_the_skew_does_not_make_every_call_a_refresh(
    place: Place, site: PracticeSite, lifetime: int
) -> None:
    site.switches.access_lifetime = lifetime
    stopped = datetime.now(UTC)
    place.tokens._now = lambda: stopped
    connection = granted(place, site)
    for _ in range(20):
        place.tokens.access_token(connection)
    assert site.count("refresh") == 0


def test_a_rejected_token_is_renewed_once_however_many_report_it(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    rejected = place.tokens.access_token(connection)
    found = in_threads([lambda: place.tokens.access_token(connection, rejected=rejected)] * 16)
    assert site.count("refresh") == 1
    assert set(found) == {place.tokens.access_token(connection)} and rejected not in found


def test_sixteen_threads_and_two_instances_share_one_refresh(slow_place: Place, site: PracticeSite, wire: Wire) -> None:
    connection = granted(slow_place, site)
    other = Place(slow_place.store, site, transport=wire)
    site.advance(4000)
    wire.delay = 0.2
    works = [lambda t=place.tokens: t.access_token(connection) for place in (slow_place, other) * 8]
    found = in_threads(works)
    assert site.count("refresh") == 1 and len(set(found)) == 1 and isinstance(found[0], Secret)


def test_two_that_both_announced_a_refresh_need_one(
    place: Place, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two processes do: each has a store of its own, both have seen the expired token, both stand at the lock."""
    connection = granted(place, site)
    second = Store(place.store.url)
    other = Place(second, site)
    site.advance(4000)
    both = threading.Barrier(2)
    for tokens in (place.tokens, other.tokens):

        def mark(*args: Any, _mark: Any = tokens._mark) -> Any:
            found = _mark(*args)
            both.wait(5)
            return found

        monkeypatch.setattr(tokens, "_mark", mark)
    found = in_threads([lambda t=t: t.access_token(connection) for t in (place.tokens, other.tokens)])
    second.close()
    assert site.count("refresh") == 1 and found[0] == found[1]


def test_readers_of_another_connection_do_not_wait_for_a_refresh(
    slow_place: Place, site: PracticeSite, wire: Wire
) -> None:
    slow = granted(slow_place, site)
    site.advance(4000)
    quick = granted(slow_place, site, name="Second")
    wire.delay = 1.0
    refresh = threading.Thread(target=slow_place.tokens.access_token, args=(slow,))
    refresh.start()
    assert wire.under_way.wait(10)
    slow_place.tokens.access_token(quick)
    slow_place.tokens.status(slow)
    assert refresh.is_alive(), "they were answered while the refresh was on its way"
    refresh.join()


def test_a_store_in_memory_keeps_its_readers_free_too(home: Any, site: PracticeSite, wire: Wire) -> None:
    place = Place(Store("sqlite://"), site, transport=wire)
    slow = granted(place, site)
    site.advance(4000)
    quick = granted(place, site, name="Second")
    wire.delay = 1.0
    refresh = threading.Thread(target=place.tokens.access_token, args=(slow,))
    refresh.start()
    assert wire.under_way.wait(10)
    place.tokens.access_token(quick)
    assert refresh.is_alive(), "it was answered while the refresh was on its way"
    refresh.join()
    assert site.count("refresh") == 1 and place.tokens.status(slow).state == "valid"


def test_a_grant_forgotten_during_a_refresh_does_not_come_back(home: Any, site: PracticeSite, wire: Wire) -> None:
    place = Place(Store("sqlite://"), site, transport=wire)
    connection = granted(place, site)
    site.advance(4000)
    wire.delay = 0.6
    refresh = threading.Thread(target=lambda: in_threads([lambda: place.tokens.access_token(connection)]))
    refresh.start()
    assert wire.under_way.wait(10)
    place.tokens.forget(connection)
    refresh.join()
    assert place.tokens.status(connection).state == "no_token"


def test_a_cancelled_task_does_not_abandon_the_refresh(slow_place: Place, site: PracticeSite, wire: Wire) -> None:
    connection = granted(slow_place, site)
    source = slow_place.tokens.source(connection)
    site.advance(4000)
    wire.delay = 0.4

    async def main() -> list[Any]:
        tasks = [asyncio.create_task(source()) for _ in range(10)]
        await asyncio.sleep(0.2)
        for task in tasks[:9]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(main())
    assert [type(one) for one in found[:9]] == [asyncio.CancelledError] * 9
    assert isinstance(found[9], Secret) and site.count("refresh") == 1
    site.advance(4000)
    assert slow_place.tokens.access_token(connection) != found[9]
    assert site.count("refresh") == 2


def test_an_answer_that_was_cut_off_is_asked_for_again_at_once(
    slow_place: Place, site: PracticeSite, wire: Wire
) -> None:
    connection = granted(slow_place, site)
    site.advance(4000)
    wire.plan = ["cut"]
    slow_place.tokens.access_token(connection)
    assert site.count("refresh") == 2 and row(slow_place, connection).refresh_started_at is None


@pytest.mark.parametrize(("plan", "marked"), [(["late"], True), (["cut", "cut"], True), (["no network"], False)])
def test_a_lost_answer_keeps_the_token_and_is_tried_again_inside_the_leeway(
    slow_place: Place, site: PracticeSite, wire: Wire, plan: list[str], marked: bool
) -> None:
    connection = granted(slow_place, site)
    site.advance(4000)
    wire.plan = list(plan)
    with pytest.raises(TransportError) as problem:
        slow_place.tokens.access_token(connection)
    assert "the saved token is kept" in str(problem.value)
    status = slow_place.tokens.status(connection)
    assert status.state == "expired" and "The last renewal failed" in status.words
    assert (row(slow_place, connection).refresh_started_at is not None) is marked
    assert ("was not confirmed" in status.words) is marked
    site.advance(500)
    slow_place.tokens.access_token(connection)
    assert row(slow_place, connection).refresh_started_at is None
    assert slow_place.tokens.status(connection).reason == ""


def test_a_lost_answer_is_tried_again_in_the_background(
    slow_place: Place, site: PracticeSite, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person sees the error and goes for a coffee that is longer than the leeway."""
    monkeypatch.setattr("spokekit.oauth.single_refresh.AGAIN", (0.1, 0.2))
    connection = granted(slow_place, site)
    site.advance(4000)
    wire.plan = ["late", "late"]
    with pytest.raises(TransportError):
        slow_place.tokens.access_token(connection)
    deadline = time.monotonic() + 10
    while row(slow_place, connection).refresh_started_at is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert site.count("refresh") == 3
    site.advance(2000)
    assert slow_place.tokens.access_token(connection)
    assert site.count("refresh") == 3 and slow_place.tokens.status(connection).reason == ""


def test_a_lost_answer_after_the_leeway_says_what_happened(slow_place: Place, site: PracticeSite, wire: Wire) -> None:
    connection = granted(slow_place, site)
    site.advance(4000)
    wire.plan = ["late"]
    with pytest.raises(TransportError):
        slow_place.tokens.access_token(connection)
    site.advance(700)
    with pytest.raises(ConsentNeeded):
        slow_place.tokens.access_token(connection)
    status = slow_place.tokens.status(connection)
    assert status.state == "consent_needed" and "was interrupted and its answer lost" in status.words
    sent = wire.sent
    with pytest.raises(ConsentNeeded, match="interrupted"):
        slow_place.tokens.access_token(connection)
    assert wire.sent == sent, "a grant that is known to be gone is not asked for again"
    slow_place.tokens.save_grant(connection, site.issue_token())
    assert slow_place.tokens.status(connection).state == "valid"


def test_a_clock_that_was_turned_back_leads_to_a_refresh_and_then_settles(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    back = datetime.now(UTC) - timedelta(days=2)
    place.tokens._now = lambda: back
    assert "Set it right" in place.tokens.status(connection).words
    place.tokens.access_token(connection)
    assert "Set it right" not in place.tokens.status(connection).words
    place.tokens.access_token(connection)
    assert site.count("refresh") == 1


def test_a_clock_that_is_slow_is_cured_by_the_rejection(place: Place, site: PracticeSite) -> None:
    frozen = datetime.now(UTC)
    place.tokens._now = lambda: frozen
    connection = granted(place, site)
    site.advance(5000)
    stale = place.tokens.access_token(connection)
    answer = httpx2.get(site.url + "me", headers={"Authorization": f"Bearer {stale.reveal()}"})
    assert answer.status_code == 401
    fresh = place.tokens.access_token(connection, rejected=stale)
    assert httpx2.get(site.url + "me", headers={"Authorization": f"Bearer {fresh.reveal()}"}).status_code == 200


def test_without_offline_access_the_end_is_told_beforehand(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site, scopes="read:me read:confluence-groups")
    status = place.tokens.status(connection)
    assert status.state == "valid" and "cannot be renewed" in status.words and status.consent_by == status.expires_at
    site.advance(4000)
    assert place.tokens.status(connection).state == "consent_needed"
    with pytest.raises(ConsentNeeded, match="offline_access"):
        place.tokens.access_token(connection)
    assert site.count("refresh") == 0


def test_the_idle_limit_and_the_year_are_shown_before_they_hit(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    began = datetime.fromtimestamp(site.clock.now(), UTC)
    status = place.tokens.status(connection)
    assert status.consent_by is not None and abs(status.consent_by - began - timedelta(days=90)) < timedelta(minutes=1)
    assert f"Consent again by {status.consent_by.astimezone():%Y-%m-%d}." in status.words
    for _ in range(4):
        site.advance(80 * 86400)
        place.tokens.access_token(connection)
    status = place.tokens.status(connection)
    assert status.consent_by is not None and abs(status.consent_by - began - timedelta(days=365)) < timedelta(minutes=1)
    site.advance(40 * 86400)
    assert "in 4 days" in place.tokens.status(connection).words
    site.advance(10 * 86400)
    assert "more than a year old" in place.tokens.status(connection).words
    with pytest.raises(ConsentNeeded):
        place.tokens.access_token(connection)


def test_ninety_idle_days_end_a_grant(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    site.advance(91 * 86400)
    assert "not used for 90 days" in place.tokens.status(connection).words
    with pytest.raises(ConsentNeeded):
        place.tokens.access_token(connection)


def test_a_grant_is_never_sent_to_another_app_or_server(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    # Written past the service, which would have dropped the grant by itself.
    import dataclasses

    for changed in (
        dataclasses.replace(connection, client_id="another-client-id-of-another-app"),
        dataclasses.replace(connection, auth_url="https://auth.example.com/"),
    ):
        with pytest.raises(ConsentNeeded, match="another app or by another server"):
            place.tokens.access_token(changed)
        assert place.tokens.status(changed).state == "consent_needed"
    moved = dataclasses.replace(connection, auth_url="http://localhost:1/")
    assert place.tokens.access_token(moved), "a practice site may move to another port"


def test_a_wrong_secret_keeps_the_token_and_a_right_one_cures_it(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    site.advance(4000)
    place.tokens.set_client_secret(connection, Secret("wrong" * 8))
    with pytest.raises(SpokekitError) as problem:
        place.tokens.access_token(connection)
    assert problem.value.next_step == "fix_secret"
    assert place.tokens.status(connection).state == "expired"
    place.tokens.set_client_secret(connection, Secret(site.client_secret))
    place.tokens.access_token(connection)
    assert place.tokens.status(connection).state == "valid"


def test_a_removed_connection_is_called_gone(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    place.connections.remove(connection.connection_id)
    for work in (
        lambda: place.tokens.save_grant(connection, site.issue_token()),
        lambda: place.tokens.set_client_secret(connection, Secret("x")),
    ):
        with pytest.raises(NotFound, match="is gone"):
            work()


def test_a_server_that_sends_a_byte_now_and_then_does_not_hold_the_lock(
    place: Place, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = granted(place, site)
    site.advance(4000)

    def drip() -> Iterator[bytes]:
        while True:
            time.sleep(0.05)
            yield b" "

    monkeypatch.setattr("spokekit.oauth.endpoint.DEADLINE", 0.3)
    place.tokens._transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=drip()))
    with pytest.raises(TransportError, match="in time"):
        place.tokens.access_token(connection)
    endless = httpx2.Response(200, content=(b"x" * 100_000 for _ in range(10**9)))
    place.tokens._transport = httpx2.MockTransport(lambda _: endless)
    with pytest.raises(UnexpectedAnswer, match="not JSON"):
        place.tokens.access_token(connection)
    place.tokens._transport = None
    assert place.tokens.access_token(connection)


def test_a_proxy_of_the_company_is_not_asked_for_the_practice_site(
    place: Place, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    connection = granted(place, site)
    site.advance(4000)
    assert place.tokens.access_token(connection)


@pytest.mark.parametrize("ending", ["interrupted", "at its end"])
def test_a_program_that_stops_during_a_refresh_still_writes_the_token_down(
    place: Place, site: PracticeSite, ending: str
) -> None:
    connection = granted(place, site)
    site.advance(4000)
    program = f"""
import signal, sys, threading, time, os
sys.argv = ["", {connection.connection_id!r}, {str(site.clock.offset)!r}]
from datetime import UTC, datetime, timedelta
from spokekit.connections.connection import Connections
from spokekit.connections.store import default_store
from spokekit.oauth.tokens import Tokens
from spokekit.oauth.vault import Vault
from tests.oauth.stress_worker import SlowLine
store = default_store()
ahead = timedelta(seconds=float(sys.argv[2]))
tokens = Tokens(store, Vault.open(store), transport=SlowLine(0.3), now=lambda: datetime.now(UTC) + ahead)
connection = Connections(store).get(sys.argv[1])
if {ending!r} == "interrupted":
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    tokens.access_token(connection)
else:
    threading.Thread(target=tokens.access_token, args=(connection,), daemon=True).start()
    time.sleep(0.3)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert ("KeyboardInterrupt" in done.stderr) is (ending == "interrupted"), done.stderr
    assert site.count("refresh") == 1
    place.tokens.access_token(connection)
    assert site.count("refresh") == 1 and place.tokens._record(connection).refresh_started_at is None


def test_scopes_that_a_later_consent_took_away_are_named(place: Place, site: PracticeSite) -> None:
    site.switches.earlier_consent = "replaced"
    wide = granted(place, site)
    assert "does not cover" not in place.tokens.status(wide).words
    narrow = ("read:confluence-groups", "read:me", "offline_access")
    site.issue_token(scopes=narrow)
    site.advance(3600)
    place.tokens.access_token(wide)
    status = place.tokens.status(wide)
    assert (status.state, set(status.scopes)) == ("valid", set(narrow))
    assert (
        "The consent does not cover read:page:confluence, search:confluence, write:confluence-groups and 2 more of its "
        "scopes: press Get OAuth Token" in status.words
    )
    few = place.connections.edit(wide.connection_id, scopes="read:confluence-groups read:account offline_access")
    assert "The consent does not cover read:account: press" in place.tokens.status(few).words


def test_the_words_for_each_stage_of_a_connection(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)
    place.tokens.set_client_secret(connection, None)
    assert place.tokens.status(connection).state == "not_configured"
    assert not place.tokens.has_client_secret(connection)
    place.tokens.set_client_secret(connection, Secret(site.client_secret))
    assert place.tokens.status(connection).state == "no_token"
    with pytest.raises(ConsentNeeded, match="no token yet"):
        place.tokens.access_token(connection)
    place.tokens.save_grant(connection, site.issue_token(scopes=("read:me", "offline_access")))
    status = place.tokens.status(connection)
    assert (status.state, status.scopes) == ("valid", ("read:me", "offline_access"))
    site.advance(4000)
    assert place.tokens.status(connection).state == "expired"
    place.tokens.forget(connection)
    assert place.tokens.status(connection).state == "no_token"
    with pytest.raises(SpokekitError, match="no access token"):
        place.tokens.save_grant(connection, {"error": "access_denied", "code": 401})
