"""A lesson whose sentences could be swapped, say what is nowhere, or hold an address, is found by name."""

from __future__ import annotations

from dataclasses import replace

from spokekit.training.lessons.b_groups import SyncedGroup
from spokekit.training.testing import three_states

_FIRST, _SECOND, *_REST = SyncedGroup.turns


class SameFields(SyncedGroup):
    """The same fields.

    Swapped, and not to be told apart.
    """

    name = "same-fields"
    turns = (replace(_FIRST, says="You answered {admin}.", names=_SECOND.names), _SECOND, *_REST)


class Untrue(SyncedGroup):
    """Untrue.

    A sentence that names what is nowhere.
    """

    name = "untrue"
    turns = (replace(_FIRST, names=lambda s: {"us": "the moon"}), _SECOND, *_REST)


class Secret(SyncedGroup):
    """Secret.

    A sentence that holds an address.
    """

    name = "secret"
    turns = (replace(_FIRST, says=f"{_FIRST.says} Write to kim@example.com."), _SECOND, *_REST)


def states(lesson: SyncedGroup) -> dict[str, str]:
    found = three_states(lesson, seeds=(1,))
    assert all(failure.lesson == lesson.name for failure in found)
    return {failure.state: failure.words for failure in found}


def test_sentences_that_could_be_swapped_unnoticed_are_refused() -> None:
    assert "same fields" in states(SameFields())[f"turn {_SECOND.name}"]


def test_a_sentence_names_what_is_in_the_state() -> None:
    assert "the moon" in states(Untrue())[f"turn {_FIRST.name}"]


def test_a_sentence_holds_no_address() -> None:
    assert "mail address" in states(Secret())[f"turn {_FIRST.name}"]
