"""Components for notebooks: one per thing a person does. Each has a path without a widget beside it.

The names are loaded when they are used, so that one component does not cost the others' imports.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from spokekit.widgets._cells import say_which_cell_comes_first

_HOMES = {
    "AppSheet": "app_sheet",
    "ChapterGuide": "chapter_guide",
    "CheckPanel": "check_panel",
    "Component": "base",
    "ConnectionForm": "connection_form",
    "ConnectionsPanel": "connections_panel",
    "CopyButton": "_browser",
    "FindingsPanel": "findings_panel",
    "GroupPicker": "group_picker",
    "GroupTable": "group_table",
    "Guide": "guide",
    "HandoverPanel": "handover_panel",
    "JoinPanel": "join_panel",
    "KeyboardGuard": "_browser",
    "LessonPanel": "lesson_panel",
    "MembershipEditor": "membership_editor",
    "OnePage": "one_page",
    "QuestionPanel": "question_panel",
    "ReviewPanel": "review_panel",
    "SecretField": "_browser",
    "TaskRunner": "tasks",
    "TokenButton": "token_button",
    "WalkPanel": "walk_panel",
}

__all__ = sorted(_HOMES)

say_which_cell_comes_first()


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return list(_HOMES)
