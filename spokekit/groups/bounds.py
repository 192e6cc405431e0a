"""How much a list may hold, whatever file it is in; what is longer is refused while it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spokekit.errors import InputError

MAX_ROWS = 100_000
MAX_BYTES = 32_000_000
MOST_CELLS = 1_000
"""So many columns a list has at most; a header of more is of something else."""
MOST_IN_ALL = 3_000_000
"""So many cells are held in memory at most: thirty columns of the longest list."""
LOOKED_AT = 20
"""Among so many filled lines the header is looked for."""

Rows = list[tuple[int, list[str]]]
"""The number of each line, as the program that made it counts, and its cells."""
Known = Callable[[Sequence[str]], int]
"""How many of the cells of a line are names of columns that a list can have."""


def too_many(called: str, rows: int, field: str) -> InputError:
    """Return the error for a list of more lines than may be planned at once."""
    return InputError(
        f"{called} has more than {MAX_ROWS:,} lines ({rows:,}).",
        field=field,
        likely="One app may spend 65,000 points an hour, and each change costs one.",
        hint="Split the file and apply the parts one after the other.",
    )


def too_much(called: str, lines: int) -> InputError:
    """Return the error for a list of more cells than are held in memory."""
    return InputError(
        f"{called} has more than {MOST_IN_ALL:,} cells, in {lines:,} lines.",
        field="file",
        likely="It holds far more than a list of groups and accounts.",
        hint="Keep the columns that are needed, or split the file.",
    )


def check_width(cells: int, line: int, called: str) -> None:
    """Raise `InputError` when a line has more cells than any list."""
    if cells > MOST_CELLS:
        raise InputError(
            f"Line {line} of {called} has {cells:,} cells.",
            field="file",
            likely="It is no list of groups and accounts.",
            hint=f"Keep the columns that are needed; {MOST_CELLS:,} are the most.",
        )
