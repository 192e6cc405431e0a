"""What became of a plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spokekit.groups.journal import settled
from spokekit.groups.plan import STATUSES, Row, rows_frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """What became of a plan.

    ``apply_id`` is the key for `resume` and undo (empty when nothing was to be done), ``stopped`` says in a sentence
    why it ended early (empty when it did not). ``kept`` is the file that has the rows when the journal was lost
    meanwhile, and None otherwise.
    """

    apply_id: str
    rows: tuple[Row, ...]
    stopped: str = ""
    kept: Path | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """All rows with the plan's columns: those carried out with their outcome, the others as they were."""
        return rows_frame(self.rows)

    @property
    def finished(self) -> bool:
        """Say whether no row is left to be resumed."""
        return all(settled(row) for row in self.rows)

    def counts(self) -> dict[str, int]:
        """How many rows came to which status, without the zeros."""
        found = Counter(row.status for row in self.rows)
        return {status: found[status] for status in STATUSES if found[status]}

    @property
    def words(self) -> str:
        """The result in a sentence or two."""
        counts = ", ".join(f"{count:,} {status}" for status, count in self.counts().items()) or "nothing to do"
        text = f"{counts[:1].upper()}{counts[1:]}."
        if self.stopped:
            text += f" {self.stopped}"
        if not self.finished and self.kept is None:
            text += " Resume goes on with the rest."
        return text

    def __repr__(self) -> str:
        return f"Result({self.words})"
