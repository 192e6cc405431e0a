"""What differs between two worlds ``class`` besides names and ids, so that a neighbour's answer is not one's own."""

from __future__ import annotations

import random
from dataclasses import dataclass

_OPENED = ("PARTNER", "SALES", "MKT", "HANDBOOK")


@dataclass(frozen=True)
class Structure:
    """Who is where, as far as the seed decides it.

    Attributes
    ----------
    editor, reader:
        The two groups of nearly the same name: the one that may edit the space ``FIN``, the one that only reads it.
    leavers:
        Which of the three deactivated accounts without another place are in ``confluence-users``; two at least.
    guests:
        How many of the five guests are in ``agency-partners``.
    opened:
        The spaces that ``agency-partners`` opens: to edit, and to read.
    """

    editor: str = "finance-reports"
    reader: str = "finance_reports"
    leavers: tuple[int, ...] = (0, 1)
    guests: int = 2
    opened: tuple[str, str] = ("PARTNER", "SALES")


def structure_of(seed: int) -> Structure:
    """Return the structure of a seed; that of seed 1 is what the documentation shows."""
    if seed == 1:
        return Structure()
    pick = random.Random(f"where:{seed}")  # noqa: S311 - who is where in a practice world guards nothing
    editor, reader = pick.sample(("finance-reports", "finance_reports"), 2)
    edited, read = pick.sample(_OPENED, 2)
    leavers = pick.choice(((0, 1), (0, 2), (1, 2), (0, 1, 2)))
    return Structure(editor, reader, leavers, pick.randint(1, 4), (edited, read))
