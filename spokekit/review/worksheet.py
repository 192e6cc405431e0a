"""The rows as a file for reviewers without Jupyter, and back, strictly.

A worksheet comes back whole: every row, no row or column changed but those to be filled in. Who has filled it in is
what it says itself; the evidence calls that so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._foreign import CELL, shown
from spokekit._frames import WORDS, frame_of
from spokekit._lists.bounds import Kind
from spokekit._lists.file import rows_of
from spokekit._words import comparable, counted
from spokekit.errors import InputError
from spokekit.review.decisions import Choice, day, say
from spokekit.review.records import DECISIONS, EXCEPTION

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.review.campaign import Campaign

FIXED = (
    *("campaign", "row_id", "group", "person", "access", "managed_by", "account_status", "recommendation"),
    *("group_id", "account_id", "check"),
)
FILLED = ("decision", "until", "reason", "reviewer")
COLUMNS = (*FIXED, *FILLED)
_MOST_TOLD = 5


@dataclass(frozen=True)
class Worksheet:
    """A worksheet that was read: ``choices`` for `Campaign.take`, rows that are refused with the reason, empty ones.

    ``changes`` are rows that would get another decision than they have: row, before, after.
    """

    choices: tuple[Choice, ...]
    refused: tuple[tuple[int, str], ...]
    empty: int
    changes: tuple[tuple[int, str, str], ...]

    @property
    def words(self) -> str:
        """The same as a sentence or two."""
        text = f"{counted(len(self.choices), 'decision')} in the worksheet, {counted(self.empty, 'row')} left empty"
        if self.changes:
            text += f"; {len(self.changes):,} would change what was decided before"
        if self.refused:
            text += f"; {counted(len(self.refused), 'row')} not understood"
        return f"{text}."


def write(campaign: Campaign, path: Path | str) -> Path:
    """Write the rows to be decided as ``.xlsx`` or ``.csv``, by the ending of `path`; returns the path.

    What was decided already stands in it. Raises InputError for another ending, or where it cannot be written.
    """
    from spokekit.audit.show import export

    target = Path(path).expanduser()
    frame = _frame(campaign)
    kind = target.suffix.lower()
    if kind == ".csv":
        return export.to_csv(frame, target)
    if kind != ".xlsx":
        raise InputError(f"{target.name} has no known ending.", hint="Use .xlsx or .csv.", field="path")
    about = export.About(
        title=f"Access review {campaign.name}",
        site=campaign.head.site,
        taken_at=datetime.fromisoformat(campaign.head.about["taken_at"]),
        made_by=campaign.actor.name or campaign.actor.through,
        scope=str(campaign.head.about["scope"]),
        coverage="; ".join(campaign.missing) or str(campaign.head.about["completeness"]),
        filters=f"In the sheet Rows fill in decision ({', '.join(DECISIONS)}), until (for an exception, like "
        "2027-03-31), reason, and your name as reviewer in each row. Change nothing else, and leave no row out.",
    )
    return export.to_xlsx({"Rows": frame}, target, about)


def _frame(campaign: Campaign) -> pd.DataFrame:
    rows = [(row, campaign.decision(row.row_id)) for row in campaign.rows if not row.routed_out]
    filled = [(d.decision, d.until, d.reason, d.stated_by) if d else ("",) * len(FILLED) for _, d in rows]
    cells = [(*_cells(campaign, row), *more) for (row, _), more in zip(rows, filled, strict=True)]
    return frame_of(cells, dict.fromkeys(COLUMNS, "text"))


def _cells(campaign: Campaign, row: Any) -> tuple[str, ...]:
    cells = (
        *(campaign.name, str(row.row_id), row.group_name, campaign.called(row.account_id), row.access),
        *(row.managed_by, row.account_status, row.recommendation, row.group_id, row.account_id),
    )
    return (*cells, _mark([campaign.head.campaign_id, str(row.row_id), row.group_id, row.account_id]))


def _mark(cells: Sequence[str]) -> str:
    # Begins with a letter, so that no spreadsheet takes it for a number.
    return "c" + hashlib.sha256("\n".join(cells).encode("utf-8", "backslashreplace")).hexdigest()[:11]


def read(campaign: Campaign, source: Path | str | bytes, *, name: str = "") -> Worksheet:
    """Read a worksheet back.

    Raises
    ------
    InputError
        It is of another campaign, or a row or column is missing, doubled, added or changed: then nothing of it is
        taken, and the message names the first ones. A word that is not known refuses its row alone.
    """
    called = name or ("The worksheet" if isinstance(source, bytes) else Path(source).name)
    rows = [(line, cells) for line, cells in rows_of(source, called, _WORKSHEET, []) if any(c.strip() for c in cells)]
    at = next((n for n, (_, cells) in enumerate(rows) if _known(cells)), None)
    if at is None:
        raise InputError(
            f"{called} is not the worksheet of a review.",
            field="file",
            hint=f"Write one: spokekit review worksheet {campaign.name} --out FILE.xlsx",
        )
    header = [_key(cell) for cell in rows[at][1]]
    while header and not header[-1]:
        header.pop()
    _check_header(header, called)
    body = rows[at + 1 :]
    records = [(line, dict(zip(header, [*cells, *[""] * len(header)], strict=False))) for line, cells in body]
    for line, cells in body:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise InputError(f"Line {line} of {called} has a cell beyond the last column.", field="file")
    by_row = _check_rows(campaign, records, called)
    return _choices(campaign, by_row)


def _check_header(header: Sequence[str], called: str) -> None:
    lacking = [name for name in COLUMNS if name not in header]
    strange = [name or "(without a name)" for name in header if name not in COLUMNS]
    doubled = sorted({name for name in header if header.count(name) > 1})
    for words, names in (("lacks the column", lacking), ("has the new column", strange), ("has twice", doubled)):
        if names:
            raise InputError(
                f"{called} {words} {', '.join(names[:_MOST_TOLD])}.",
                field="file",
                hint="Take the worksheet as it was written, and fill in decision, until, reason and reviewer alone.",
            )


def _check_rows(
    campaign: Campaign, records: Sequence[tuple[int, Mapping[str, str]]], called: str
) -> dict[int, Mapping[str, str]]:
    expected = {str(row.row_id): row for row in campaign.rows if not row.routed_out}
    found: dict[int, Mapping[str, str]] = {}
    trouble: list[str] = []
    for line, record in records:
        row = expected.get(record["row_id"].strip().removesuffix(".0"))
        if comparable(record["campaign"]) != comparable(campaign.name) and len(trouble) <= _MOST_TOLD:
            trouble.append(f"line {line} is of the review {record['campaign'][:60] or '(none)'}")
        elif row is None:
            trouble.append(f"line {line} has the row id {record['row_id'][:20]!r}, which was not in it")
        elif row.row_id in found:
            trouble.append(f"line {line} is the row {row.row_id} a second time")
        else:
            changed = [
                name
                for name, cell in zip(FIXED, _cells(campaign, row), strict=True)
                if name not in ("campaign", "row_id") and not _same(record[name], cell)
            ]
            if changed:
                trouble.append(f"line {line} (row {row.row_id}) has another {', '.join(changed)}")
            found[row.row_id] = record
    gone = [row.row_id for row in expected.values() if row.row_id not in found]
    if gone:
        trouble.append(f"{counted(len(gone), 'row')} missing, such as {', '.join(map(str, gone[:_MOST_TOLD]))}")
    if trouble:
        more = f"; and {len(trouble) - _MOST_TOLD:,} more" if len(trouble) > _MOST_TOLD else ""
        raise InputError(
            f"{called} was changed, and nothing of it is taken: {'; '.join(trouble[:_MOST_TOLD])}{more}.",
            field="file",
            likely="A row was removed or sorted in part, a cell was overwritten, or a spreadsheet has rewritten it.",
            hint=f"Write it anew (spokekit review worksheet {campaign.name}), and copy the decisions over.",
        )
    return found


def _choices(campaign: Campaign, by_row: Mapping[int, Mapping[str, str]]) -> Worksheet:
    choices: list[Choice] = []
    refused: list[tuple[int, str]] = []
    changes: list[tuple[int, str, str]] = []
    empty = 0
    for row_id, record in sorted(by_row.items()):
        word = comparable(_bare(record["decision"]))
        until_cell, reason = _bare(record["until"]), _bare(record["reason"])
        before = campaign.decision(row_id)
        if not word:
            empty += 1
            if until_cell or (reason and before is None):
                refused.append((row_id, "It has a day or a reason, and no decision."))
            continue
        if word not in DECISIONS:
            refused.append((row_id, f"“{word[:40]}” is no decision; {', '.join(DECISIONS)} are known."))
            continue
        if until_cell and word != EXCEPTION:
            refused.append((row_id, f"It is “{word}” and has a last day, which only an exception has."))
            continue
        try:
            until = day(until_cell)
        except InputError as error:
            refused.append((row_id, error.message))
            continue
        stated = _bare(record["reviewer"])
        mine = before is not None and not before.stated_by and not stated
        if before is not None and (before.decision, before.until, before.reason) == (word, until, reason):
            # Written out as it was decided: nothing new, whoever's name stands in the cell.
            continue
        if not stated and not mine:
            refused.append((row_id, "It names no reviewer: who has decided it?"))
            continue
        if before is not None:
            changes.append((row_id, say(before.decision, before.until), say(word, until)))
        choices.append(Choice(row_id, word, reason, until, stated))
    return Worksheet(tuple(choices), tuple(refused), empty, tuple(changes))


def _known(cells: Sequence[str]) -> int:
    found = sum(_key(cell) in COLUMNS for cell in cells)
    # A line of titles may hold a word or two of them.
    return found if found >= len(FIXED) // 2 else 0


def _key(cell: str) -> str:
    return "_".join(comparable(cell).replace("_", " ").split())


def _bare(cell: str) -> str:
    text = cell.strip()
    return text[1:] if text.startswith("'") else text


def _same(cell: str, expected: str) -> bool:
    if cell == expected:
        return True
    forms = {expected, shown(expected, CELL)}
    forms |= {"'" + form for form in forms}
    words = {_plain(form) for form in forms}
    return _plain(cell) in words or _plain(cell) in {_plain(w) for w in _in_words(expected)}


def _in_words(code: str) -> set[str]:
    # A workbook has words where the API has codes.
    return {words[code] for words in WORDS.values() if code in words}


def _plain(text: str) -> str:
    # Line ends and outer blanks are what editors change without asking.
    return "\n".join(text.split("\r\n")).replace("\r", "\n").strip()


_WORKSHEET = Kind(
    _known,
    "the rows of a review",
    "its columns as they were written",
    "It holds more rows than a review has.",
    "Take the worksheet as it was written.",
)
