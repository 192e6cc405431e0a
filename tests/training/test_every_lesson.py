"""Every lesson on a practice site of its own: untouched, each wrong turn, solved, started over, in two worlds."""

from __future__ import annotations

import pytest

from spokekit.training.course import ONE_HOUR, chapters, lessons
from spokekit.training.testing import three_states


@pytest.mark.parametrize("name", list(lessons()))
def test_a_lesson_is_as_it_says(name: str) -> None:
    assert three_states(lessons()[name]) == []


def test_there_are_twenty_two_in_six_chapters_and_some_of_them_fill_an_hour() -> None:
    found = lessons()
    assert len(found) == 22
    assert [chapter.letter for chapter in chapters()] == ["A", "B", "C", "D", "E", "F"]
    assert sum(found[name].minutes for name in ONE_HOUR) <= 60
