"""A lesson to begin one's own from: a Python file and its notebook, which pass `spokekit lessons test` as they are."""

from __future__ import annotations

import json
from pathlib import Path

from spokekit._home import write_private
from spokekit._refused import told_as
from spokekit.errors import Conflict, StoreError

_LESSON = '''"""Lessons of our own. Try them in every state: spokekit lessons test FOLDER"""

from spokekit.training import Lesson, Start, Turn


class LegalOnly(Lesson):
    """The legal department.

    The legal department wants its group managed. The first line above is the title, the rest the story.
    """

    name = "legal-only"
    minutes = 5
    goal = "Only the group legal-counsel is registered."
    first = "Open the list of groups below; legal-counsel gives no access, so take the tick away."
    start = Start(step=3)  # 0 nothing, 2 a connection, 3 its token, 4 the groups that give access are registered
    tools = ("groups",)
    hints = (
        "The list shows groups that give access only, as long as its tick is set.",
        "Take the tick away, mark legal-counsel, press “Add”, then OK.",
    )
    turns = (
        Turn(
            "nearly-the-same",
            lambda seen: "procurement" in seen.registered,
            "You registered {bought}, which belongs to the people who buy things.",
            lambda seen: {"bought": "procurement"},
            lambda do: do.register("procurement"),
        ),
        Turn(
            "more-than-one",
            lambda seen: len(seen.registered) > 1,
            "You registered {several}; one group was asked for.",
            lambda seen: {"several": sorted(seen.registered)},
            lambda do: do.register("legal-counsel", "marketing"),
        ),
    )
    steps = ("Take the tick away, mark legal-counsel, press “Add”, then OK.",)
    shown = "legal-counsel is registered, and nothing else."
    at_work = "At work, each registered group is one that somebody may change by mistake."

    def attempted(self, seen):
        return bool(seen.registered)

    def right(self, seen):
        return seen.registered == {"legal-counsel"}

    def solve(self, do):
        do.register("legal-counsel")
'''


def write(folder: Path) -> tuple[Path, Path]:
    """Write the lesson and its notebook into a new or empty folder; returns both.

    Raises `Conflict` when something is in the folder, and `StoreError` when it cannot be written.
    """
    with told_as(StoreError, f"{folder} cannot be written", hint="Name another folder."):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise Conflict(f"There is something in {folder} already.", hint="Name a folder that is new or empty.")
        lesson, notebook = folder / "legal_only.py", folder / "legal-only.ipynb"
        write_private(lesson, _LESSON.encode())
        write_private(notebook, json.dumps(_notebook(), ensure_ascii=False, indent=1).encode())
    return lesson, notebook


def _notebook() -> dict[str, object]:
    # The lessons lie beside the notebook, wherever the folder is taken.
    code = (
        "import os\n\n"
        'os.environ["SPOKEKIT_LESSONS"] = os.getcwd()\n'
        "from spokekit.widgets import LessonPanel\n\n"
        'LessonPanel("legal-only")'
    )
    return {
        "cells": [
            {"cell_type": "markdown", "id": "head", "metadata": {}, "source": ["# Lessons of our own"]},
            {
                "cell_type": "code",
                "execution_count": None,
                "id": "legal-only",
                "metadata": {},
                "outputs": [],
                "source": code.splitlines(keepends=True),
            },
        ],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
