"""What every command shares: lists as table, CSV or JSON, one clear message on an error, exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage (by the option parser), 3 the result is incomplete, 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spokekit._foreign import NAME, in_json, shown
from spokekit._frames import UNKNOWN, guard_formula, human, is_number, write_rows
from spokekit._secret import MASK, Secret, scrub
from spokekit.errors import Cancelled, IncompleteResult, InputError, SpokekitError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.report import Progress

FAILED = 1
INCOMPLETE = 3
INTERRUPTED = 130
_CODES = {IncompleteResult: INCOMPLETE, Cancelled: INTERRUPTED}
_WIDEST = 100
"""How wide a column is made; a longer cell pushes what stands after it in its own row only."""


class Format(enum.StrEnum):
    """How a list is written to standard output."""

    table = "table"
    csv = "csv"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="How to write the list: table, csv or json.")]
ChangedOption = Annotated[
    bool,
    typer.Option(
        "--changed", help="Ask each group for its size, and read whole only those that are new or have another one."
    ),
]
AtMostOption = Annotated[
    int | None,
    typer.Option("--at-most", min=1, max=3650, help="With --changed: days until a group is read whole again (7)."),
]
ConnectionOption = Annotated[
    str | None,
    typer.Option("--connection", help="Name or id of the connection, or its alias; without it, the default alias."),
]


# Whether a line of progress stands unfinished on the terminal.
_unfinished = False


def say(text: str = "") -> None:
    """Write a line for the person to standard error, so that standard output holds the result alone."""
    _end_line()
    print(shown(text, keep="\n"), file=sys.stderr, flush=True)


def out(text: str) -> None:
    """Write a line of the result to standard output; control characters in it are shown, not sent."""
    _end_line()
    print(shown(text, keep="\n\t"), flush=True)


def _end_line() -> None:
    global _unfinished
    if _unfinished:
        sys.stderr.write("\n")
        sys.stderr.flush()
    _unfinished = False


def show_whatever_comes() -> None:
    """Let a terminal or a pipe that is not UTF-8 get an escape for a letter that it does not have, not a failure."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def emit(
    rows: pd.DataFrame | Iterable[Any] | Mapping[str, Any],
    format: Format | str = Format.table,
    columns: Sequence[str] | None = None,
    *,
    empty: str = "Nothing to list.",
) -> None:
    """Write `rows` to standard output.

    Parameters
    ----------
    rows:
        A frame, or an iterable of mappings or dataclasses, or one mapping (one row).
    format:
        ``table`` is for eyes; ``csv`` has a header, guards cells that a spreadsheet would run as a formula, and is
        UTF-8 unless it goes to a terminal; ``json`` is a list of objects, with nulls for missing values and times in
        ISO 8601, UTC.
    columns:
        Which columns, in this order; a column that the rows lack is empty. Without it, all of the first row's.
    empty:
        What a table says (on standard error) when there are no rows.

    Raises
    ------
    typer.Exit
        With code 3, after writing, when the frame says by its completeness report that rows are missing.
    """
    _end_line()
    records = _records(rows)
    if columns is not None:
        names = list(columns)
    elif hasattr(rows, "columns"):
        names = [str(name) for name in rows.columns]
    else:
        names = list(records[0]) if records else []
    cells = [[_plain(record.get(name)) for name in names] for record in records]
    chosen = Format(format)
    if chosen is Format.json:
        sys.stdout.write(_escaped([dict(zip(names, row, strict=True)) for row in cells]) + "\n")
    elif chosen is Format.csv:
        if hasattr(sys.stdout, "reconfigure") and not sys.stdout.isatty():
            # A file is read elsewhere: a name must arrive as it is, whatever this terminal can show.
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        safe = [[guard_formula(_flat(value)) for value in row] for row in cells]
        if sys.stdout.isatty():
            # A file gets the names as they are; a terminal would obey what is in them.
            safe = [[shown(value) for value in row] for row in safe]
        write_rows(sys.stdout, [names, *safe])
    elif cells:
        _table(names, cells, _numbers(rows))
    else:
        say(empty)
    sys.stdout.flush()
    _mind_completeness(rows)


def _mind_completeness(rows: Any) -> None:
    report = getattr(rows, "attrs", {}).get("completeness") if hasattr(rows, "attrs") else None
    if isinstance(report, Mapping) and report.get("complete") is False:
        words = report.get("words") or "Some rows could not be read."
        say(f"The result is incomplete: {words}")
        raise typer.Exit(INCOMPLETE)


def _records(rows: Any) -> list[Mapping[str, Any]]:
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        records: list[Mapping[str, Any]] = rows.to_dict("records")
        return records
    if isinstance(rows, Mapping):
        return [rows]
    return [vars(row) if dataclasses.is_dataclass(row) else row for row in rows]


def _plain(value: Any) -> Any:
    """Return `value` as JSON knows it."""
    if value is None or isinstance(value, str | bool | int):
        return value.value if isinstance(value, enum.Enum) else value
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if str(value) in {"NaT", "<NA>"} or value != value:
        return None
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "item"):
        return _plain(value.item())
    return str(value)


def _flat(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return value


def _numbers(rows: Any) -> frozenset[str]:
    """Return the columns of a frame that hold numbers, missing ones too."""
    if not hasattr(rows, "columns"):
        return frozenset()
    return frozenset(str(name) for name in rows.columns if is_number(rows[name]))


def _table(names: Sequence[str], cells: list[list[Any]], numbers: frozenset[str]) -> None:
    from rich.cells import cell_len

    def word(name: str, value: Any) -> str:
        return UNKNOWN if value is None and name in numbers else _word(human(name, value))

    words = [[word(name, value) for name, value in zip(names, row, strict=True)] for row in cells]
    numeric = [
        name in numbers or all(isinstance(row[i], int | float) and not isinstance(row[i], bool) for row in cells)
        for i, name in enumerate(names)
    ]
    heads = [shown(name.replace("_", " "), NAME) for name in names]
    widths = [min(_WIDEST, max([cell_len(heads[i]), *(cell_len(row[i]) for row in words)])) for i in range(len(names))]

    def line(row: Sequence[str]) -> str:
        parts = []
        for text, width, right in zip(row, widths, numeric, strict=True):
            pad = " " * (width - cell_len(text))
            parts.append(pad + text if right else text + pad)
        return "  ".join(parts).rstrip()

    print(line(heads))
    print("  ".join("-" * width for width in widths))
    for row in words:
        print(line(row))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    # A list is ours to write whole, scopes for example; each of its items is foreign.
    return " ".join(shown(item, NAME) for item in value) if isinstance(value, list) else shown(_flat(value), NAME)


def _escaped(value: Any) -> str:
    """Return JSON in which what a terminal would obey is written as an escape; it means the same."""
    unicode = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    return in_json(json.dumps(value, ensure_ascii=not unicode, indent=2))


def pauses() -> Callable[[Progress], None]:
    """Return a listener that says on standard error why an action pauses and until when, once for each pause."""
    told = ""

    def show(progress: Progress) -> None:
        nonlocal told
        if progress.paused_until is None:
            return
        # A wait for the hour's points moves by seconds; a try after a fault is a new one each time.
        until = (
            f"{progress.paused_until:%H:%M:%S}" if "next try" in progress.words else f"{progress.paused_until:%H:%M}"
        )
        if until != told:
            say(progress.words)
        told = until

    return show


def listener() -> Callable[[Progress], None]:
    """Return what shows progress: a line that is rewritten on a terminal, and only the pauses anywhere else."""

    def show(progress: Progress) -> None:
        global _unfinished
        left = f", {progress.points_left:,} points left" if progress.points_left is not None else ""
        sys.stderr.write(f"\r\x1b[K{shown(progress.words)}{left}")
        sys.stderr.flush()
        _unfinished = True
        if progress.total is not None and progress.done >= progress.total:
            _end_line()

    return show if sys.stderr.isatty() else pauses()


def typed_words(words: str, option: str) -> str:
    """Ask for words, and return what was typed; raises `InputError` where nobody can be asked, or they are others."""
    if not words:
        return ""
    if not sys.stdin.isatty():
        hint = f"Look at the preview above; then type “{words}” in a terminal, or repeat the command with {option}."
        raise InputError(
            "The plan wants to be confirmed in words, and nobody can be asked here.", field="confirm", hint=hint
        )
    say(f"Type these words to go on: {words}")
    typed = sys.stdin.readline().strip()
    if " ".join(typed.split()).casefold() != words:
        raise InputError("Those are not the words asked for; nothing was changed.", field="confirm")
    return words


@contextmanager
def guarded() -> Iterator[None]:
    """Turn an error of spokekit into one message on standard error and the exit code for it.

    Usable as ``with guarded():`` and as a decorator; `spokekit.cli.Commands` puts it around every command.
    """
    try:
        yield
    except SpokekitError as error:
        say(describe(error))
        code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), FAILED)
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        # On a line of its own: a question or a line of progress may stand there unfinished.
        say("\nInterrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is wrong, and Python must not complain on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def describe(error: SpokekitError) -> str:
    """Return what happened, why probably, and what to do next, one sentence each on its own line."""
    first = "Cancelled: " if isinstance(error, Cancelled) and "cancel" not in error.message.lower() else ""
    lines = [f"{first}{error.message}", error.likely, f"Next: {error.hint}" if error.hint else None]
    return scrub("\n".join(line for line in lines if line))
