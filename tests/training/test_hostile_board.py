"""What a board that means harm can do to a learner's computer, and what leaves that computer."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit._secret import Secret
from spokekit.board import wire
from spokekit.errors import SpokekitError
from spokekit.training.attempts import Attempts, events_here
from spokekit.training.board_client import BoardClient
from spokekit.training.carrying_out import CarryingOut
from spokekit.training.course import lesson
from spokekit.training.desk import Desk
from spokekit.training.doer import Doer
from spokekit.training.my_class import MyClass, raise_hand, write_class
from spokekit.training.reporter import Reporter
from spokekit.training.trainer_orders import TrainerOrders, words_of
from tests.recording_proxy import recording_proxy
from tests.training.test_attempts import _home_is_put_back  # noqa: F401 - a fixture
from tests.training.test_reporter import wait_until

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite

KEY = "k" * 43
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
VERBS = st.sampled_from(["say", "fault", "clear", "advance", "colleague", "begin", "run", "reset", "sign-in", ""])
WILD = st.builds(
    lambda verb, more: {**more, "do": verb},
    VERBS,
    st.dictionaries(
        st.sampled_from(["text", "fault", "lesson", "seconds", "change", "group", "who", "site", "kept", "url"]),
        ANY | st.sampled_from(["synced-group", "429:3 x5", "../..", "admin", "add", "procurement", "a guest"]),
        max_size=5,
    ),
)
SLUGS = st.from_regex(r"\A[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,2}\Z")
ORDERS = st.one_of(
    st.builds(wire.Say, st.text(min_size=1, max_size=280)),
    st.builds(wire.Fault, st.from_regex(r"\A[a-z0-9-]{1,20}(:[A-Za-z0-9.,-]{1,8})? x([1-9]|1\d|20)( @[a-z-]{1,8})?\Z")),
    st.just(wire.Clear()),
    st.builds(wire.Advance, SLUGS, st.integers(1, 10_000_000)),
    st.builds(
        wire.Colleague,
        st.sampled_from(["add", "remove"]),
        st.text(min_size=1, max_size=255) | st.sampled_from(["procurement", "confluence-admins"]),
        st.sampled_from(["an active member", "a deactivated member", "a guest", "somebody who is not in it"]),
    ),
    *(st.builds(kind, SLUGS) for kind in (wire.Begin, wire.Release, wire.OfferReset, wire.AnswerAgain)),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(order=ORDERS)
def test_whatever_is_ordered_is_done_shown_or_refused(order: wire.Order, site: PracticeSite, home: Path) -> None:
    site.reset()
    people = [
        (person, site.world.find_person(person).account_status) for person in site.world.member_ids("procurement")
    ]
    start = (site.port, site.client_secret, site.keys.key, site.signed_in, len(site.worlds))
    with closing(events_here(home).store) as store, closing(Desk(site.describe())) as desk:
        orders = TrainerOrders(store, "0123456789abcdef")
        carry = CarryingOut(home, desk, orders, threading.Event(), lambda: None)
        n = orders.last() + 1
        for _ in range(2):
            carry.take(wire.Ordered(n, 0.0, order), 0.0)
        wait_until(lambda: (taken := orders.all()[-1]).words or not words_of(taken.order))
        (done,) = [one for _, one in orders.done(0) if one.n == n] or [None]
    shown = isinstance(order, wire.Say | wire.Begin | wire.Release | wire.OfferReset | wire.AnswerAgain)
    assert done is None if shown else done is not None and done.outcome in ("done", "refused")
    assert (site.port, site.client_secret, site.keys.key, site.signed_in, len(site.worlds)) == start
    assert all(site.world.find_person(person).account_status == status for person, status in people)
    assert not isinstance(order, wire.Advance) or site.clock.offset == 0, "nobody is in that lesson"


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(told=WILD)
def test_what_is_on_no_list_is_no_order(told: dict[str, object]) -> None:
    body = msgspec.json.encode({"orders": [{"n": 1, "at": 1.0, "order": told}]})
    try:
        (found,) = wire.decode(body, wire.Orders).orders
    except SpokekitError as error:
        assert len(str(error)) < 200
    else:
        assert type(found.order).__name__ in {"Say", "Fault", "Clear", "Advance", "Colleague", "Begin"}


class Hostile:
    """Answers every request for orders with what it was given, and keeps all that it is sent."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.heard, self.asked = list(answers), b"", 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(one,), daemon=True).start()

    def _answer(self, one: socket.socket) -> None:
        with one:
            one.settimeout(5)
            try:
                head = one.recv(65_536)
                while b"\r\n\r\n" not in head:
                    head += one.recv(65_536)
                said = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                while said and len(head.partition(b"\r\n\r\n")[2]) < int(said[1]):
                    head += one.recv(65_536)
                self.heard += head + b"\n"
                body = b'{"seq":0}'
                if b"/api/orders" in head:
                    self.asked += 1
                    body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                one.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            except OSError:
                pass

    def close(self) -> None:
        """End it."""
        self._listener.close()


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    """Give a board that sends far too many orders, then what is none."""
    acts = {"do": "fault", "fault": "429 x20 @pages"}, {"do": "say", "text": "x" * 280}
    flood = [{"n": n, "at": 0.0, "order": acts[n % 2]} for n in range(1, 150)]
    made = Hostile(
        msgspec.json.encode({"orders": flood}),
        msgspec.json.encode({"orders": [{"n": 500, "at": 0.0, "order": {"do": "run", "text": "rm -rf"}}]}),
        b"[" * 70_000,
        b"\xff\xfe\x00",
        b'{"orders": []}',
    )
    yield made
    made.close()


def test_a_flood_of_orders_is_bounded_and_nothing_secret_leaves(
    hostile: Hostile, site: PracticeSite, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class(home, MyClass(hostile.url, Secret(KEY), "Class", "Calm Otter", 1, 7, 0))
    desk = Desk(site.describe())
    attempts = Attempts(desk, home)
    with recording_proxy() as proxy:
        for name, value in proxy.environment({}).items():
            monkeypatch.setenv(name, value)
        made = Reporter(home, site.describe())
        assert made.start()
        try:
            attempt = attempts.begin(lesson("near-duplicate-names"))
            do = Doer(attempt)
            planted = [do.connection.client_id, site.client_secret, site.account_id, str(home), site.keys.key]
            planted += [word for one in do.site.people.values() for word in (one.account_id, one.name)]
            group = next(iter(do.site.groups.values()))
            planted += [group.group_id, site.url, *site.redirect_uris]
            with pytest.raises(SpokekitError):
                attempt.answer("my password is hunter2")
            attempt.check()
            attempt.hint()
            raise_hand(home, True)
            wait_until(lambda: hostile.heard.count(b"/api/report") >= 3 and b'"hint"' in hostile.heard, 20)
            wait_until(lambda: hostile.asked >= 3, 20)
        finally:
            made.stop()
        assert proxy.seen == [], "nothing else is asked of anybody"
    heard = hostile.heard.decode(errors="replace")
    assert not [one for one in [*planted, "hunter2"] if one in heard]
    assert heard.count(KEY) == len(re.findall(f"(?i)\r\nauthorization: bearer {KEY}\r\n", heard)) > 0
    assert len(site.faults.active) <= 120
    with closing(events_here(home).store) as store:
        taken = TrainerOrders(store, MyClass(hostile.url, Secret(KEY), "", "", 1, 7, 0).place).all()
    assert len(taken) == 149 and all(one.n < 500 for one in taken)
    attempts.events.store.close()
    desk.close()


def test_an_answer_without_an_end_is_not_read(home: Path) -> None:
    made = Hostile(b"x" * 3_000_000)
    try:
        with closing(BoardClient(made.url, Secret(KEY))) as board, pytest.raises(SpokekitError):
            began = time.monotonic()
            board.orders(0, 0.1)
        assert time.monotonic() - began < 5
    finally:
        made.close()
