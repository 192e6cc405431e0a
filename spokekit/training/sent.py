"""What the board of a class keeps of a learner, as rows for a table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from spokekit.board.wire import Sent

COLUMNS = ["at", "what", "lesson", "attempt", "outcome", "turn"]


def rows_of(found: Sent) -> list[dict[str, Any]]:
    """Return a row for each event, and for each of the trainer's orders that something became of: at, what, lesson,
    attempt, outcome, turn; oldest first."""
    rows: list[tuple[Any, ...]] = [
        (one.at, one.event, one.lesson, one.attempt, one.outcome, one.turn) for one in found.events
    ]
    became = [(one.at, one.n, f"{one.outcome}: {one.why}" if one.why else one.outcome) for one in found.done]
    rows += [(at, f"order {n}", "", None, outcome, "") for at, n, outcome in became]
    return [dict(zip(COLUMNS, (_time(at), *rest), strict=True)) for at, *rest in sorted(rows, key=lambda row: row[0])]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(seconds, 2e11), UTC)


__all__ = ["COLUMNS", "Sent", "rows_of"]
