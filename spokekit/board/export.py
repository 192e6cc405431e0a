"""What is left of a class as a file: who was there, what they did in each lesson, and the wrong turns."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from spokekit._foreign import encodable, in_json
from spokekit._frames import guard_formula, in_cell, write_rows
from spokekit.board.ranking import Course, minutes_in, title_of
from spokekit.board.records import Kept, Learner
from spokekit.board.wire import RIGHT

Format = Literal["csv", "xlsx", "json"]
FORMATS: tuple[Format, ...] = ("csv", "xlsx", "json")
MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}
ATTENDANCE = ("class", "pseudonym", "name", "joined", "last_seen", "minutes", "lessons_begun", "lessons_right")
LESSONS = (
    *("class", "pseudonym", "name", "lesson", "title", "begun", "attempts", "checks", "hints", "solution_seen"),
    *("outcome", "right_at", "minutes", "turns"),
)
Row = dict[str, Any]


def attendance(kept: Kept, *, names: bool = False) -> list[Row]:
    """Return a row for each learner.

    `minutes` are those from joining until last seen; times are ISO 8601, UTC, by the board's clock. `name` is there
    with `names` only.
    """
    return [
        _only(
            names,
            {
                "class": kept.name,
                "pseudonym": one.pseudonym,
                "name": one.name,
                "joined": _at(one.joined),
                "last_seen": _at(one.seen),
                "minutes": round(max(0.0, one.seen - one.joined) / 60),
                "lessons_begun": len({e.lesson for e in one.events.values()}),
                "lessons_right": len({e.lesson for e in one.events.values() if e.outcome in RIGHT}),
            },
        )
        for one in kept.learners.values()
    ]


def lessons(kept: Kept, course: Course, *, names: bool = False) -> list[Row]:
    """Return a row for each lesson that a learner has begun; times are by the learner's clock.

    `turns` are the wrong turns that checks met, with how often: ``both 2; the-other-one 1``.
    """
    return [
        _only(names, _lesson(kept, one, lesson, course))
        for one in kept.learners.values()
        for lesson in dict.fromkeys(noted.lesson for noted in one.noted())
    ]


def _lesson(kept: Kept, learner: Learner, lesson: str, course: Course) -> Row:
    own = [one for one in learner.noted() if one.lesson == lesson]
    checks = [one for one in own if one.event == "checked"]
    turns = Counter(one.turn for one in checks if one.turn and one.outcome == "not yet")
    right = next((one.at for one in checks if one.outcome in RIGHT), None)
    minutes, _ = minutes_in(learner, lesson, learner.seen)
    return {
        "class": kept.name,
        "pseudonym": learner.pseudonym,
        "name": learner.name,
        "lesson": lesson,
        "title": title_of(course, lesson),
        "begun": _at(own[0].at),
        "attempts": len({one.attempt for one in own}),
        "checks": len(checks),
        "hints": sum(one.event == "hint" for one in own),
        "solution_seen": any(one.event == "solution" for one in own),
        "outcome": checks[-1].outcome if checks else "",
        "right_at": _at(right),
        "minutes": round(minutes or 0),
        "turns": "; ".join(f"{turn} {count}" for turn, count in sorted(turns.items())),
    }


def _only(names: bool, row: Row) -> Row:
    return row if names else {name: value for name, value in row.items() if name != "name"}


def _at(seconds: float | None) -> str:
    if seconds is None:
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        # A learner's clock may say anything.
        return ""


def export(classes: Sequence[Kept], course: Course, how: Format, *, names: bool = False) -> bytes:
    """Return classes as a file.

    Parameters
    ----------
    how:
        ``csv``: a row for each lesson of a learner, and one for a learner without a lesson, with the attendance in
        front. ``xlsx``: a sheet for the attendance, one for the lessons. ``json``: both lists.
    names:
        With the names that learners gave; without, pseudonyms alone.
    """
    there = [row for kept in classes for row in attendance(kept, names=names)]
    did = [row for kept in classes for row in lessons(kept, course, names=names)]
    if how == "json":
        told = json.dumps({"attendance": there, "lessons": did}, ensure_ascii=False, indent=1)
        return in_json(encodable(told)).encode()
    first = [name for name in ATTENDANCE if names or name != "name"]
    second = [name for name in LESSONS if names or name != "name"]
    if how == "xlsx":
        return _workbook({"Attendance": (first, there), "Lessons": (second, did)})
    # Both call something minutes.
    rest = [*(name for name in second if name not in first), "minutes_at_it"]
    sink = io.StringIO()
    write_rows(sink, _guarded([[*first, *rest], *_together(classes, course, names, first, rest)]))
    # The mark at the beginning lets Excel see that it is UTF-8.
    return encodable(sink.getvalue()).encode("utf-8-sig")


def _together(
    classes: Sequence[Kept], course: Course, names: bool, first: list[str], rest: list[str]
) -> Iterable[list[Any]]:
    for kept in classes:
        for learner, there in zip(kept.learners.values(), attendance(kept, names=names), strict=True):
            own = [_lesson(kept, learner, one, course) for one in dict.fromkeys(e.lesson for e in learner.noted())]
            for row in own or [{}]:
                told = row | {"minutes_at_it": row.get("minutes", "")}
                yield [*(there[name] for name in first), *(told.get(name, "") for name in rest)]


def _guarded(rows: Iterable[Sequence[Any]]) -> Iterable[list[Any]]:
    for row in rows:
        yield [guard_formula(str(value).lower() if isinstance(value, bool) else value) for value in row]


def _workbook(sheets: dict[str, tuple[list[str], list[Row]]]) -> bytes:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    book, bold = Workbook(write_only=True), Font(bold=True)
    for title, (names, rows) in sheets.items():
        sheet = book.create_sheet(title)
        sheet.freeze_panes = "A2"
        sheet.append([in_cell(WriteOnlyCell(sheet), name.replace("_", " "), bold) for name in names])
        for row in rows:
            sheet.append([in_cell(WriteOnlyCell(sheet), row[name]) for name in names])
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()
