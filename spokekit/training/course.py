"""Which lessons there are: those of spokekit, by chapter, and a trainer's own.

A trainer's lessons come from a folder that the person names (``--lessons``, ``SPOKEKIT_LESSONS``) or from an installed
package with the entry point group ``spokekit.lessons``; nothing else is ever run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from spokekit._http import clean
from spokekit._surroundings import expanded
from spokekit.errors import InputError, NotFound
from spokekit.training.lesson import Lesson, Start, Turn

VARIABLE = "SPOKEKIT_LESSONS"
GROUP = "spokekit.lessons"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


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
    ("E", "Hand over", "E-hand-over.ipynb", "e_hand_over"),
    ("F", "Together", "F-together.ipynb", "f_together"),
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
        where = f"the package entry point {clean(point.name)}"
        with _loading(where):
            loaded = point.load()
        _add(found, of_module(loaded, where) if isinstance(loaded, ModuleType) else _all(loaded, where), where)
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
    found: dict[str, Lesson] = {}
    for path in sorted(folder.glob("*.py")):
        _add(found, of_module(_loaded(path), str(path)), str(path))
    if not found:
        raise InputError(
            f"The folder {folder} holds no lesson.",
            field="--lessons",
            hint="A lesson is a subclass of spokekit.training.Lesson in a .py file; spokekit lessons new writes one.",
        )
    return tuple(found.values())


@contextmanager
def _loading(where: str) -> Iterator[None]:
    """Tell whatever goes wrong while somebody's own code runs as a sentence about where it stands."""
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    # What a file may do as well is leave: sys.exit() is no reason to end in silence.
    except BaseException as fault:  # noqa: BLE001 - whatever another's code raises
        line = f", line {fault.lineno}" if isinstance(fault, SyntaxError) and fault.lineno else ""
        why = fault.msg if isinstance(fault, SyntaxError) else fault
        told = ": ".join(filter(None, (f"{type(fault).__name__}{line}", clean(why))))
        raise InputError(f"The lessons in {where} cannot be loaded: {told}.", field="--lessons") from None


def _loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"spokekit_own_lessons_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"The file {path} is no Python file.", field="--lessons")
    module = module_from_spec(spec)
    with _loading(str(path)):
        spec.loader.exec_module(module)
    return module


def of_module(module: ModuleType, where: str = "") -> tuple[Lesson, ...]:
    """Return the lessons of a module: its ``LESSONS``, else each subclass of `Lesson` that is written in it.

    Raises `InputError` for what is no lesson; `where` is what the sentence calls the module.
    """
    where = where or module.__name__
    given = getattr(module, "LESSONS", None)
    if given is None:
        # A class may have two names in its module.
        kinds = dict.fromkeys(k for k in vars(module).values() if isinstance(k, type) and issubclass(k, Lesson))
        given = [kind for kind in kinds if kind.__module__ == module.__name__]
    return _all(given, where)


def _all(given: Any, where: str) -> tuple[Lesson, ...]:
    with _loading(where):
        return tuple(_lesson(one, where) for one in given)


def _lesson(one: Any, where: str) -> Lesson:
    made = one() if isinstance(one, type) else one
    if not isinstance(made, Lesson):
        raise InputError(
            f"{where} gives {clean(one)!r} as a lesson, which is none.",
            field="--lessons",
            hint="A lesson is a subclass of spokekit.training.Lesson.",
        )
    # It becomes a folder's name, and stands on command lines.
    if not isinstance(made.name, str) or not _NAME.fullmatch(made.name) or len(made.name) > 80:
        raise InputError(
            f"The lesson {type(made).__name__} in {where} has the name {clean(made.name)!r}.",
            field="--lessons",
            hint='Give it a name in small letters, digits and hyphens: name = "legal-only".',
        )
    kinds = {"goal": str, "first": str, "shown": str, "at_work": str, "minutes": int, "start": Start}
    lists = {"hints": str, "steps": str, "tools": str, "turns": Turn}
    for field, kind in kinds.items():
        if not isinstance(getattr(made, field), kind):
            _wrong(made, where, field, kind.__name__)
    for field, kind in lists.items():
        value = getattr(made, field)
        if not isinstance(value, tuple | list) or not all(isinstance(part, kind) for part in value):
            _wrong(made, where, field, f"tuple of {kind.__name__}")
    return made


def _wrong(made: Lesson, where: str, field: str, wanted: str) -> NoReturn:
    more = " One in brackets needs a comma: (it,)." if wanted.startswith("tuple") else ""
    raise InputError(
        f"The lesson {made.name} in {where} has the wrong kind of {field}.",
        field="--lessons",
        hint=f"It is a {wanted}.{more}",
    )


def _add(found: dict[str, Lesson], more: tuple[Lesson, ...], where: str) -> None:
    for one in more:
        if one.name in found:
            raise InputError(
                f"There are two lessons called {one.name}; one is in {where}.",
                field="--lessons",
                hint="Give one of them another name.",
            )
        found[one.name] = one
