"""How far the lessons of a practice home are, and the page that says what was shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spokekit._foreign import NAME, markup, shown
from spokekit._home import write_private
from spokekit._refused import told_as
from spokekit._words import counted
from spokekit.errors import InputError, NotFound, StoreError
from spokekit.training.events import Events, Noted
from spokekit.training.lesson import RIGHT, Lesson


def by_lesson(events: Events, lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
    """Return a row a lesson: lesson, title, minutes, attempts, checks, hints, outcome, turn (last check), right_at.

    `right_at` is when it was right for the first time, None as long as it was not.
    """
    noted = events.all()
    return [_row(lesson, [one for one in noted if one.lesson == lesson.name]) for lesson in lessons]


def _row(lesson: Lesson, noted: list[Noted]) -> dict[str, Any]:
    checks = [one for one in noted if one.event == "checked"]
    right = [one.at for one in checks if one.outcome in RIGHT]
    return {
        "lesson": lesson.name,
        "title": lesson.title,
        "minutes": lesson.minutes,
        "attempts": len({one.attempt for one in noted}),
        "checks": len(checks),
        "hints": sum(one.event == "hint" for one in noted),
        "outcome": checks[-1].outcome if checks else "",
        "turn": checks[-1].turn if checks else "",
        "right_at": min(right) if right else None,
    }


@dataclass(frozen=True)
class Shown:
    """A lesson on a certificate."""

    lesson: str
    title: str
    day: str
    attempts: int
    hints: int


@dataclass(frozen=True)
class Confirmed:
    """What the board of a class has of it: a code, where it is asked for, and how many lessons stand there."""

    code: str
    verify_at: str
    class_name: str
    pseudonym: str
    lessons: int


@dataclass(frozen=True)
class Certificate:
    """What somebody has shown on a practice site, as their own computer tells it."""

    name: str
    made_on: str
    spokekit: str
    lessons: tuple[Shown, ...]
    confirmed: Confirmed | None = None

    @classmethod
    def of(cls, events: Events, lessons: Iterable[Lesson], *, name: str = "") -> Certificate:
        """Gather it from the progress; raises `NotFound` when no lesson was right yet."""
        if len(name) > 200:
            raise InputError("A name has up to 200 letters.", field="--name")
        rows = [row for row in by_lesson(events, lessons) if row["right_at"] is not None]
        if not rows:
            raise NotFound("No lesson was right here yet.", hint="spokekit lessons list shows them; begin one.")
        found = tuple(
            Shown(r["lesson"], r["title"], f"{r['right_at'].astimezone():%Y-%m-%d}", r["attempts"], r["hints"])
            for r in rows
        )
        today = f"{datetime.now(UTC).astimezone():%Y-%m-%d}"
        return cls(shown(" ".join(name.split()), NAME), today, version("spokekit"), found)

    def html(self) -> str:
        """Return a page to print; it loads nothing from elsewhere."""
        rows = "".join(
            f"<tr><td>{markup(one.title)}</td><td>{one.day}</td><td>{one.attempts}</td><td>{one.hints}</td></tr>"
            for one in self.lessons
        )
        who = f"<p class='who'>{markup(self.name)}</p>" if self.name else ""
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>spokekit lessons</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:45rem;margin:3rem auto;padding:0 1rem;
color:#1b1b1b;background:#fff}}
.who{{font-size:1.5rem}}table{{border-collapse:collapse;width:100%}}th,td{{text-align:left;padding:.3rem .6rem;
border-bottom:1px solid #767676}}</style></head>
<body><main><h1>Shown on a practice site</h1>{who}
<p>{counted(len(self.lessons), "lesson")} of spokekit {markup(self.spokekit)}, each checked on the state that was
reached. Written on {self.made_on}.</p>
<table><thead><tr><th scope="col">Lesson</th><th scope="col">Right on</th><th scope="col">Attempts</th>
<th scope="col">Hints</th></tr></thead><tbody>{rows}</tbody></table>
<p>The learner's own computer tells this; nobody else has watched.</p>{self._code()}</main></body></html>
"""

    def _code(self) -> str:
        if self.confirmed is None:
            return ""
        one, code = self.confirmed, markup(self.confirmed.code)
        return (
            f"<p>The class {markup(one.class_name, NAME)} has {counted(one.lessons, 'lesson')} of it, under the "
            f"pseudonym {markup(one.pseudonym, NAME)} and the code <strong>{code}</strong>, as long as it is kept. "
            f"To verify it: {markup(one.verify_at)}, or <code>spokekit class verify {code}</code> where the class was "
            "given.</p>"
        )

    def write(self, path: Path) -> tuple[Path, Path]:
        """Write the page to `path` and the same as JSON beside it; returns both."""
        page, data = path.with_suffix(".html"), path.with_suffix(".json")
        with told_as(StoreError, f"{page} cannot be written", hint="Choose another --file."):
            write_private(page, self.html().encode())
            write_private(data, json.dumps(asdict(self), ensure_ascii=False, indent=1).encode())
        return page, data
