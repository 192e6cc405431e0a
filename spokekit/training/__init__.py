"""Lessons on one's own practice site: a start, a goal on the state, named wrong turns, hints, a reset.

Example
-------
A trainer's own lesson is a subclass of `Lesson` in a file of a folder; ``spokekit lessons new FOLDER`` writes one, and
``spokekit lessons test FOLDER`` tries it in every state.
"""

from spokekit.training.lesson import Lesson, Outcome, Start, Turn, Verdict

__all__ = ["Lesson", "Outcome", "Start", "Turn", "Verdict"]
