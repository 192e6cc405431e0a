"""Which lessons there are: those of spokekit, by chapter, and a trainer's own.

A trainer's lessons come from a folder that the person names (``--lessons``, ``SPOKEKIT_LESSONS``) or from an installed
package with the entry point group ``spokekit.lessons``; nothing else is ever run.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from spokekit._http import clean
from spokekit._surroundings import expanded
from spokekit.errors import InputError, NotFound
from spokekit.training.lesson import Lesson

VARIABLE = "SPOKEKIT_LESSONS"
GROUP = "spokekit.lessons"


@dataclass(frozen=True)
class Chapter:
    """Lessons that belong together: a letter, a title, the notebook, and the lessons in their order."""

    letter: str
    title: str
    notebook: str
    lessons: tuple[Lesson, ...]


_OWN = (
    ("A", "Connect", "A-connect.ipynb", "a_connect"),
    ("B", "Groups", "B-groups.ipynb", "b_groups"),
    ("C", "Audit", "C-audit.ipynb", "c_audit"),
    ("D", "Change", "D-change.ipynb", "d_change"),
)
ONE_HOUR = (
    "first-connection",
    "app-lacks-a-scope",
    "the-right-groups",
    "leavers-with-access",
    "incomplete-audit",
    "killed-in-the-middle",
)
"""The lessons for one hour, 52 minutes together; the rest of it is talk."""


def chapters() -> tuple[Chapter, ...]:
    """Return spokekit's own chapters."""
    return tuple(
        Chapter(letter, title, notebook, tuple(import_module(f"spokekit.training.lessons.{module}").LESSONS))
        for letter, title, notebook, module in _OWN
    )


def lessons(folder: Path | str | None = None) -> dict[str, Lesson]:
    """Return all lessons by name: spokekit's own, those of installed packages, and those of a folder.

    Parameters
    ----------
    folder:
        A trainer's own lessons; without it, what ``SPOKEKIT_LESSONS`` names.

    Raises `InputError` for a folder or a file that cannot be used, and for a name that is taken.
    """
    found: dict[str, Lesson] = {}
    for chapter in chapters():
        _add(found, chapter.lessons, f"chapter {chapter.letter}")
    for point in entry_points(group=GROUP):
        try:
            loaded = point.load()
        except Exception as fault:  # noqa: BLE001 - whatever another package raises
            raise InputError(
                f"The lessons of the package entry point {point.name} cannot be loaded: {clean(fault)}."
            ) from None
        _add(found, of_module(loaded) if isinstance(loaded, ModuleType) else tuple(loaded), f"package {point.name}")
    named = str(folder) if folder is not None else os.environ.get(VARIABLE, "").strip()
    if named:
        _add(found, of_folder(expanded(named, VARIABLE)), f"folder {named}")
    return found


def lesson(name: str, folder: Path | str | None = None) -> Lesson:
    """Return a lesson by name; raises `NotFound` with the names there are."""
    found = lessons(folder)
    if name in found:
        return found[name]
    import difflib

    near = difflib.get_close_matches(name, found, n=1)
    raise NotFound(
        f"There is no lesson {clean(name)!r}.",
        hint=f"Did you mean {near[0]}?" if near else "spokekit lessons list shows them all.",
    )


def chapter_of(name: str) -> Chapter | None:
    """Return the chapter of spokekit's that a lesson is in."""
    return next((c for c in chapters() if any(one.name == name for one in c.lessons)), None)


def of_folder(folder: Path) -> tuple[Lesson, ...]:
    """Return the lessons of the Python files of a folder, in the order of the files."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", field="--lessons", hint="spokekit lessons new makes one.")
    found: list[Lesson] = []
    for path in sorted(folder.glob("*.py")):
        found += of_module(_loaded(path))
    if not found:
        raise InputError(
            f"The folder {folder} holds no lesson.",
            field="--lessons",
            hint="A lesson is a subclass of spokekit.training.Lesson in a .py file; spokekit lessons new writes one.",
        )
    return tuple(found)


def _loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"spokekit_own_lessons_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"The file {path} is no Python file.", field="--lessons")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as fault:  # noqa: BLE001 - whatever a trainer's file raises
        raise InputError(
            f"The lessons in {path} cannot be loaded: {type(fault).__name__}: {clean(fault)}.", field="--lessons"
        ) from None
    return module


def of_module(module: ModuleType) -> tuple[Lesson, ...]:
    """Return the lessons of a module: its ``LESSONS``, else each subclass of `Lesson` that is written in it."""
    given = getattr(module, "LESSONS", None)
    if given is not None:
        return tuple(one() if isinstance(one, type) else one for one in given)
    kinds = [k for k in vars(module).values() if isinstance(k, type) and issubclass(k, Lesson)]
    return tuple(kind() for kind in kinds if kind.__module__ == module.__name__)


def _add(found: dict[str, Lesson], more: tuple[Lesson, ...], where: str) -> None:
    for one in more:
        if one.name in found:
            raise InputError(f"There are two lessons called {one.name}; one is in {where}.", field="--lessons")
        found[one.name] = one
