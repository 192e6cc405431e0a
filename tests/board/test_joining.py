"""Codes, pseudonyms and how often a wrong code is heard, by a clock of the test's."""

from __future__ import annotations

from spokekit.board import joining
from spokekit.board.joining import Tries
from spokekit.board.wire import CODE_LETTERS


def test_tries_are_heard_again_after_a_minute() -> None:
    now = 0.0
    tries = Tries(most=3, in_all=5, clock=lambda: now)
    for second in (0.0, 10.0, 20.0):
        now = second
        assert tries.wait("a") == 0
        tries.wrong("a")
    assert tries.wait("a") == 40 and tries.wait("b") == 0
    now = 60.0
    assert tries.wait("a") == 0
    tries.wrong("a")
    assert tries.wait("a") == 10


def test_tries_from_many_addresses_are_counted_together() -> None:
    now = 0.0
    tries = Tries(most=3, in_all=5, clock=lambda: now)
    for number in range(5):
        assert tries.wait(str(number)) == 0
        tries.wrong(str(number))
        now += 1
    assert tries.wait("another") == 55
    now = 61.0
    assert tries.wait("another") == 0


def test_codes_and_names_are_read_for_nothing_else() -> None:
    codes = [joining.new_code() for _ in range(200)]
    assert len(set(codes)) == 200 and set("".join(codes)) <= set(CODE_LETTERS)
    assert not set("01IO") & set(CODE_LETTERS)
    assert joining.as_typed(" k7-q f3m ") == "K7QF3M"
    taken: set[str] = set()
    for _ in range(300):
        made = joining.pseudonym(taken)
        assert made not in taken and len(made) <= 40
        taken.add(made)
