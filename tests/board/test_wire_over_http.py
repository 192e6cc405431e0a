"""What learners' computers ask of a board, over real HTTP: who they are, what is kept, what they get."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from spokekit.board.server import BoardSite
from spokekit.board.wire import (
    CODE_LETTERS,
    MOST_BYTES,
    Done,
    Fault,
    Join,
    Joined,
    Kept,
    Noted,
    Orders,
    Say,
    Sent,
    Verified,
    decode,
)
from tests.board.conftest import Computer

Class = Callable[..., Computer]


def test_joining_gives_a_pseudonym_a_key_and_a_world_of_ones_own(board: BoardSite, computer: Class) -> None:
    one, other = computer(), computer(name="  Ada   Lovelace ")
    assert len(board.code) == 6 and set(board.code) <= set(CODE_LETTERS)
    assert (one.joined.class_name, one.joined.lessons) == ("Autumn", ("near-duplicate-groups", "leavers-with-access"))
    for field in ("learner", "pseudonym", "key", "seed"):
        assert getattr(one.joined, field) != getattr(other.joined, field)
    assert decode(other.get("sent").content, Sent).name == "Ada Lovelace"


@pytest.mark.parametrize("form", [str.lower, lambda code: f" {code[:3]} - {code[3:]} "])
def test_the_code_is_taken_as_people_type_it(board: BoardSite, computer: Class, form: Callable[[str], str]) -> None:
    assert computer(code=form(board.code)).number == 1


def test_a_key_goes_on_as_the_same_learner_without_the_code(board: BoardSite, computer: Class) -> None:
    one = computer()
    again = decode(one.post("join", Join(key=one.joined.key, name="Ada")).content, Joined)
    assert again == one.joined
    assert len(board.classroom.learners) == 1 and board.classroom.learners[0].name == "Ada"


def test_wrong_codes_are_refused_and_then_wait(board: BoardSite, http: httpx2.Client, computer: Class) -> None:
    inside = computer()
    for _ in range(10):
        assert inside.post("join", Join(code="AAAAAA")).status_code == 403
    late = inside.post("join", Join(code=board.code))
    assert late.status_code == 429 and 1 <= int(late.headers["retry-after"]) <= 61
    # Who is in the class already is not kept out by that.
    assert inside.post("join", Join(key=inside.joined.key)).status_code == 200


def test_events_are_kept_once_and_the_first_stands(computer: Class) -> None:
    one = computer()
    begun, checked = one.note("begun"), one.note("checked", outcome="not yet", turn="both")
    for _ in range(2):
        answer = one.tell(begun, checked)
        assert (answer.status_code, decode(answer.content, Kept).seq) == (200, 2)
    other = Noted(2, checked.at, checked.lesson, 1, "checked", "right")
    third = one.note("hint")
    assert one.tell(other, third).status_code == 409
    assert decode(one.get("sent").content, Sent).events == (begun, checked)


def test_what_came_is_counted_without_a_gap(computer: Class) -> None:
    one = computer()
    first, second, third = (one.note("hint") for _ in range(3))
    assert decode(one.tell(first, third).content, Kept).seq == 1
    assert decode(one.tell(second).content, Kept).seq == 3


def test_orders_reach_whom_they_are_for(board: BoardSite, computer: Class) -> None:
    early, other = computer(), computer()
    board.order(Say("to all"))
    board.order(Fault("429:3 x5"), to=other.number)
    late = computer()
    board.order(Say("again"))
    numbers = [[one.n for one in decode(who.get("orders", after=0).content, Orders).orders] for who in (early, other)]
    assert numbers == [[1, 3], [1, 2, 3]]
    assert [one.n for one in decode(late.get("orders", after=0).content, Orders).orders] == [3]
    assert decode(early.get("orders", after=3).content, Orders).orders == ()


def test_an_order_wakes_who_waits_for_it(board: BoardSite, computer: Class) -> None:
    one = computer()
    timer = threading.Timer(0.2, board.order, [Say("now")])
    timer.start()
    before = time.monotonic()
    (order,) = decode(one.get("orders", after=0, wait=25).content, Orders).orders
    assert order.order == Say("now") and time.monotonic() - before < 10
    timer.join()


def test_what_became_of_an_order_is_kept(board: BoardSite, computer: Class) -> None:
    one, other = computer(), computer()
    n = board.order(Say("hello"), to=one.number)
    assert one.tell(done=[Done(n, "shown", 1.0)]).status_code == 200
    assert one.tell(done=[Done(n, "accepted", 2.0)]).status_code == 200
    assert one.tell(done=[Done(n, "shown", 3.0)]).status_code == 200
    assert decode(one.get("sent").content, Sent).done == (Done(n, "accepted", 2.0),)
    assert other.tell(done=[Done(n, "shown", 1.0)]).status_code == 409
    assert one.tell(done=[Done(999, "shown", 1.0)]).status_code == 409


def test_a_certificate_can_be_verified_by_anybody(board: BoardSite, http: httpx2.Client, computer: Class) -> None:
    one = computer(name="Ada")
    assert one.post("certificate", b"").status_code == 404
    one.tell(one.note("begun"), one.note("hint"), one.note("checked", outcome="not yet", turn="both"))
    one.tell(one.note("checked", outcome="right", at=1_000.0), one.note("checked", outcome="right", at=2_000.0))
    made = decode(one.post("certificate", b"").content, Verified)
    assert one.post("certificate", b"").content == one.post("certificate", b"").content
    (lesson,) = made.lessons
    assert (lesson.lesson, lesson.at, lesson.attempts, lesson.hints) == ("near-duplicate-groups", 1_000.0, 1, 1)
    told = http.get(f"{board.url}api/verify", params={"code": made.code.lower()})
    assert decode(told.content, Verified) == made and made.name == "Ada"
    assert http.get(f"{board.url}api/verify", params={"code": "A" * 12}).status_code == 404


def test_a_board_that_comes_back_goes_on(serve: Callable[..., BoardSite], http: httpx2.Client, tmp_path: Path) -> None:
    path = tmp_path / "class.sqlite"
    with BoardSite(path, class_name="Autumn") as first:
        one = Computer(first, http)
        one.tell(one.note("begun"))
        first.order(Say("before"))
        code = first.code
    with BoardSite(path) as second:
        one.board = second
        assert (second.code, second.classroom.kept.name) == (code, "Autumn")
        assert decode(one.tell(one.note("hint")).content, Kept).seq == 2
        second.order(Say("after"))
        orders = decode(one.get("orders", after=0).content, Orders).orders
        assert [(order.n, order.order) for order in orders] == [(1, Say("before")), (2, Say("after"))]
    third = serve(path, new=True)
    assert third.code != code and third.classroom.learners == []
    one.board = third
    assert one.get("sent").status_code == 401


def test_a_message_is_no_longer_than_it_may_be(board: BoardSite, computer: Class, http: httpx2.Client) -> None:
    one = computer()
    assert one.post("report", b" " * (MOST_BYTES + 1)).status_code == 413

    def in_pieces() -> object:
        for _ in range(40):
            yield b" " * 2_000

    url = f"{board.url}api/report"
    assert http.post(url, content=in_pieces(), headers=one.headers).status_code == 413
