"""How much a list may hold, whatever file it is in; what is longer is refused while it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Kind:
    """What a list is for: which names of columns it knows, and how it is spoken of.

    ``holds`` ends "a list of …", ``keep`` says which columns it needs, ``why`` and ``split`` go with one of too many
    lines.
    """

    known: Known
    holds: str
    keep: str
    why: str | None
    split: str


def too_many(called: str, rows: int, field: str, kind: Kind) -> InputError:
    """Return the error for a list of more lines than are read at once."""
    return InputError(
        f"{called} has more than {MAX_ROWS:,} lines ({rows:,}).", field=field, likely=kind.why, hint=kind.split
    )


def too_much(called: str, lines: int, kind: Kind) -> InputError:
    """Return the error for a list of more cells than are held in memory."""
    return InputError(
        f"{called} has more than {MOST_IN_ALL:,} cells, in {lines:,} lines.",
        field="file",
        likely=f"It holds far more than a list of {kind.holds}.",
        hint="Keep the columns that are needed, or split the file.",
    )


def check_width(cells: int, line: int, called: str, kind: Kind) -> None:
    """Raise `InputError` when a line has more cells than any list."""
    if cells > MOST_CELLS:
        raise InputError(
            f"Line {line} of {called} has {cells:,} cells.",
            field="file",
            likely=f"It is no list of {kind.holds}.",
            hint=f"Keep the columns that are needed; {MOST_CELLS:,} are the most.",
        )
