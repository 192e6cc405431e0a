"""What the board of a class keeps of a learner, as rows for a table."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from spokekit.board.wire import Sent


def rows_of(found: Sent) -> list[dict[str, Any]]:
    """Return a row for each event, and for each of the trainer's orders that something became of: at, what, lesson,
    attempt, outcome, turn; oldest first."""
    rows: list[dict[str, Any]] = [
        {
            "at": _time(one.at),
            "what": one.event,
            "lesson": one.lesson,
            "attempt": one.attempt,
            "outcome": one.outcome,
            "turn": one.turn,
        }
        for one in found.events
    ]
    rows += [
        {
            "at": _time(one.at),
            "what": f"order {one.n}",
            "lesson": "",
            "attempt": None,
            "outcome": f"{one.outcome}: {one.why}" if one.why else one.outcome,
            "turn": "",
        }
        for one in found.done
    ]
    return sorted(rows, key=lambda row: row["at"])


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(seconds, 2e11), UTC)


__all__ = ["Sent", "rows_of"]
