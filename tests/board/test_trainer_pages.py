"""What the trainer sees and orders: names hidden, everything escaped, nothing typed lost."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2

from spokekit.board.server import BoardSite
from spokekit.board.wire import (
    Advance,
    AnswerAgain,
    Begin,
    Clear,
    Colleague,
    Done,
    Fault,
    OfferReset,
    Order,
    Release,
    Say,
)
from tests.board.conftest import Computer

Class = Callable[..., Computer]
NAMES = ("<script>alert(1)</script>", '=HYPERLINK("http://x")', "\u202egnp.exe", "Ada\u0000 & Co")


def _rows(text: str) -> list[str]:
    return re.findall(r'<a id="a\d+"[^>]*>([^<]*)</a>', text)


def test_names_are_hidden_until_they_are_asked_for(trainer: httpx2.Client, computer: Class) -> None:
    one = computer(name="Ada Lovelace")
    assert "Lovelace" not in trainer.get("board").text and one.joined.pseudonym in trainer.get("board").text
    shown = trainer.get("board?names=1").text
    assert f"{one.joined.pseudonym} (Ada Lovelace)" in shown
    # Whatever is opened or ordered from there keeps it so, and nothing else does.
    assert 'href="learner?id=1&amp;names=1"' in shown
    answer = trainer.post("order", data={"do": "clear", "names": "1"})
    assert "names=1" in answer.headers["location"]
    assert "Lovelace" not in trainer.get("learner?id=1").text


def test_what_learners_call_themselves_is_text(board: BoardSite, trainer: httpx2.Client, computer: Class) -> None:
    for name in NAMES:
        computer(name=name)
    board.order(Say("<img src=x onerror=alert(1)>\u202e"))
    for path in ("board?names=1", "learner?id=1&names=1", "learner?id=3&names=1", "answers?names=1"):
        text = trainer.get(path).text
        assert "<script>alert" not in text and "<img" not in text and "\u202e" not in text and "\x00" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in trainer.get("board?names=1").text


def test_who_needs_help_stands_first(trainer: httpx2.Client, computer: Class) -> None:
    done, working, stuck, hand = computer(), computer(), computer(), computer()
    done.tell(done.note("begun"), done.note("checked", outcome="right"))
    working.tell(working.note("begun"), working.note("checked", outcome="not yet", turn="the-other-one"))
    stuck.tell(stuck.note("begun"), *(stuck.note("checked", outcome="not yet", turn="both") for _ in range(3)))
    hand.tell(hand.note("begun"), hand=True)
    text = trainer.get("board").text
    assert _rows(text) == [one.joined.pseudonym for one in (hand, stuck, working, done)]
    assert f"Hand up: {hand.joined.pseudonym}." in text and "same turn 3 times" in text
    assert "<b>1 of 4</b> in “Two &lt;groups&gt;”: both" in text and "Both are … &amp; more." in text


FORMS: tuple[tuple[dict[str, str], Order], ...] = (
    ({"do": "say", "text": " Look \r\n here "}, Say("Look here")),
    ({"do": "begin", "lesson": "leavers-with-access"}, Begin("leavers-with-access")),
    ({"do": "release", "lesson": "leavers-with-access"}, Release("leavers-with-access")),
    ({"do": "offer-reset", "lesson": "leavers-with-access"}, OfferReset("leavers-with-access")),
    ({"do": "answer-again", "lesson": "leavers-with-access"}, AnswerAgain("leavers-with-access")),
    ({"do": "fault", "fault": "429", "times": "5", "every": "2", "on": "members"}, Fault("429:2 x5 @members")),
    ({"do": "fault", "fault": "huge", "times": "1"}, Fault("huge x1")),
    ({"do": "clear"}, Clear()),
    ({"do": "advance", "lesson": "leavers-with-access", "span": "1 day"}, Advance("leavers-with-access", 86_400)),
    (
        {"do": "colleague", "change": "remove", "group": "finance-reports", "who": "a guest"},
        Colleague("remove", "finance-reports", "a guest"),
    ),
)


def test_a_form_becomes_an_order(board: BoardSite, trainer: httpx2.Client, computer: Class) -> None:
    one, other = computer(), computer()
    for form, order in FORMS:
        for to in (None, one.number):
            answer = trainer.post("order", data={**form, "to": str(to or "")})
            assert answer.status_code == 303 and answer.headers["location"].endswith("#said")
            assert "was given, for" in trainer.get(answer.headers["location"]).text
            given = board.classroom.kept.orders[-1]
            assert (given.ordered.order, given.to) == (order, to)
    assert len(other.get("orders", after=0).json()["orders"]) == len(FORMS)


def test_what_was_typed_and_not_ordered_stands_there_still(trainer: httpx2.Client, computer: Class) -> None:
    computer()
    long = "Look <here> " * 30
    for form, words in (
        ({"do": "say", "text": long}, "up to 280 signs"),
        ({"do": "say", "text": "  "}, "Write what is to be said"),
        ({"do": "fault", "fault": "429", "times": "0"}, "how often"),
        ({"do": "fault", "fault": "429", "times": "5", "on": "token"}, "which calls"),
        ({"do": "advance", "lesson": "no-such", "span": "1 day"}, "Choose a lesson"),
        ({"do": "colleague", "change": "add", "group": "other", "who": "a guest"}, "Choose a group"),
        ({"do": "say", "text": "x", "to": "99"}, "no such learner"),
        ({"do": "rm"}, "what is to happen"),
        ({}, "what is to happen"),
    ):
        answer = trainer.post("order", data=form)
        assert answer.status_code == 400 and words in answer.text, form
    assert (
        long.strip().replace("<", "&lt;").replace(">", "&gt;")
        in trainer.post("order", data={"do": "say", "text": long.strip()}).text
    )


def test_what_became_of_orders_is_shown(board: BoardSite, trainer: httpx2.Client, computer: Class) -> None:
    one, other, _ = computer(), computer(), computer()
    n = board.order(Fault("429 x5"))
    one.tell(done=[Done(n, "done", 1.0)])
    other.tell(done=[Done(n, "refused", 1.0, "out of date")])
    assert "Trouble: 429 x5: done 1, refused: out of date 1, not yet 1" in trainer.get("board").text
    assert "Trouble: 429 x5: refused: out of date" in trainer.get(f"learner?id={other.number}").text


def test_answers_are_counted_and_paired(trainer: httpx2.Client, computer: Class) -> None:
    class_ = [computer() for _ in range(5)]
    for one, turn in zip(class_, ("both", "both", "the-other-one", "", None), strict=True):
        events = [one.note("begun")]
        if turn is not None:
            events.append(one.note("answered", outcome="not yet" if turn else "right", turn=turn))
        one.tell(*events)
    text = trainer.get("answers?lesson=near-duplicate-groups").text
    first, second, third, fourth, _ = (one.joined.pseudonym for one in class_)
    pairs = re.findall(r"<li>([^<]* and [^<]*)</li>", text)
    assert pairs == [f"{first} and {fourth}", f"{second} and {third}"]
    assert "no answer yet" in text and "That is …." in text


def test_the_parts_that_change_come_without_the_forms(trainer: httpx2.Client, computer: Class) -> None:
    computer()
    whole, live = trainer.get("board").text, trainer.get("board?live=1").text
    for part in ("hands", "where", "common", "rows", "given"):
        assert f'id="{part}" data-live' in live
    assert "<form" in whole and "<form" not in live and "<script>" not in live


def test_a_door_without_a_key_says_how_to_join(board: BoardSite, http: httpx2.Client) -> None:
    text = http.get(board.url).text
    assert f"spokekit lab --join {board.url} --code CODE" in text and board.code not in text
