"""Whatever comes instead of a message changes nothing and breaks nothing; what does come is kept as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from spokekit.board import wire
from spokekit.board.server import BoardSite
from spokekit.board.wire import Done, Now, Report, Say, encode
from spokekit.errors import InputError
from tests.board.conftest import Computer

Class = Callable[..., Computer]

_NASTY = st.sampled_from(
    (
        *("", "-", "A", "a" * 81, "<script>", "=1+1", "\u202ea", "\x00", "a b", "../x", 'a"', "right", "both\n", 0, -1),
        *(1.5, 10**12, 10**400, True, None, [], {}, float("inf")),
    )
)
_ANY = st.recursive(
    _NASTY | st.text(max_size=12), lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=8), some)
)


@st.composite
def _spoiled(draw: Any, right: Any) -> Any:
    """Draw a message in which one place holds something else, or lacks, or has more."""
    value = json.loads(json.dumps(right))
    here, key = [value], 0
    while isinstance(inside := here[key], dict | list) and inside and draw(st.integers(0, 3)):
        here, key = (
            inside,
            draw(st.sampled_from(list(inside) if isinstance(inside, dict) else list(range(len(inside))))),
        )
    if isinstance(here, dict) and draw(st.booleans()):
        here[draw(st.sampled_from(["turn", "do", "fault", "learner", "text", "more"]))] = draw(_ANY)
    else:
        here[key] = draw(_ANY)
    return value


def test_hostile_reports(board: BoardSite, computer: Class) -> None:
    one = computer(name="Ada")
    n = board.order(Say("hello"))
    one.tell(one.note("begun"), one.note("checked", outcome="not yet", turn="both"), done=[Done(n, "shown", 1.0)])
    right = json.loads(
        encode(Report(Now("near-duplicate-groups", 1), (one.note("hint"),), (Done(n, "accepted", 2.0),)))
    )

    def kept() -> Any:
        return [msgspec.structs.asdict(event) for event in board.classroom.learners[0].noted()]

    @settings(max_examples=120)
    @given(_spoiled(right) | st.binary(max_size=60))
    def hostile(told: Any) -> None:
        before, events = msgspec.json.encode(board.classroom.learners[0].now), kept()
        body = told if isinstance(told, bytes) else json.dumps(told).encode("utf-8", "surrogatepass")
        answer = one.post("report", body)
        assert answer.status_code in (200, 400, 409) and "Traceback" not in answer.text
        if answer.status_code == 200:
            # What is kept is of the closed lists, as `wire` has them.
            wire.decode(body, Report)
            for event in board.classroom.learners[0].noted():
                assert msgspec.json.decode(encode(event), type=wire.Noted) == event
        else:
            assert set(answer.json()) == {"message"}
            assert (msgspec.json.encode(board.classroom.learners[0].now), kept()) == (before, events)
        assert kept()[:2] == events[:2]

    hostile()
    # What is kept is read again as it was.
    again = board.classroom.records.load(board.classroom.kept.class_id)
    again.learners[1].seen = board.classroom.learners[0].seen
    assert again.learners[1] == board.classroom.learners[0]


def test_hostile_joining(board: BoardSite, computer: Class) -> None:
    computer()
    right = {"code": "AAAAAA", "name": "Ada", "key": ""}

    @settings(max_examples=60)
    @given(_spoiled(right) | st.binary(max_size=40))
    def hostile(told: Any) -> None:
        body = told if isinstance(told, bytes) else json.dumps(told).encode("utf-8", "surrogatepass")
        with httpx2.Client(trust_env=False) as client:
            answer = client.post(f"{board.url}api/join", content=body)
        assert answer.status_code in (400, 403, 429)
        assert len(board.classroom.learners) == 1

    hostile()


_FIELDS = ("do", "text", "lesson", "fault", "times", "every", "on", "span", "change", "group", "who", "to", "learner")
_VALUES = st.sampled_from(
    (
        *(
            "say",
            "fault",
            "clear",
            "advance",
            "colleague",
            "begin",
            "release",
            "offer-reset",
            "answer-again",
            "shell",
            "1",
        ),
        *(
            "near-duplicate-groups",
            "429",
            "huge",
            "5",
            "members",
            "1 day",
            "add",
            "finance-reports",
            "a guest",
            "999",
            "",
        ),
        *("429:3 x5", "x" * 300, "\u202e", "=1", "<b>", "\x00"),
    )
)


def test_hostile_forms(board: BoardSite, trainer: httpx2.Client, computer: Class) -> None:
    computer()

    @settings(max_examples=100)
    @given(st.dictionaries(st.sampled_from(_FIELDS), _VALUES))
    def hostile(form: dict[str, str]) -> None:
        before = len(board.classroom.kept.orders)
        answer = trainer.post("order", data=form)
        given_now = len(board.classroom.kept.orders) - before
        assert (answer.status_code, given_now) in ((303, 1), (400, 0))
        assert given_now or "Not ordered: " in answer.text

    hostile()
    for one in board.classroom.kept.orders:
        assert wire.decode(encode(one.ordered), wire.Ordered) == one.ordered
        assert one.to in (None, 1)


@given(_spoiled({"do": "colleague", "change": "add", "group": "g", "who": "a guest"}) | _ANY)
def test_hostile_orders(told: Any) -> None:
    try:
        order = wire.order_of(told)
    except InputError:
        return
    assert type(order).__struct_config__.tag in {
        *("say", "fault", "clear", "advance", "colleague", "begin", "release", "offer-reset", "answer-again")
    }
