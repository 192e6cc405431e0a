"""Find the apply that a person means: by its id, or the last one that can be undone or resumed."""

from __future__ import annotations

from spokekit.errors import NotFound, PlanError
from spokekit.groups.journal import ApplyState, Journal
from spokekit.groups.plan import DONE
from spokekit.groups.site_state import Place


def by_id(journal: Journal, apply_id: str, here: Place) -> ApplyState:
    """Return the apply; raises `NotFound`, or `PlanError` when it belongs to another site or alias."""
    state = journal.state(apply_id)
    there = state.place
    if (there.cloud_id, there.alias_id) != (here.cloud_id, here.alias_id):
        raise PlanError(
            f"That apply changed {there.site}; this connection leads to {here.site}.",
            hint=f"Use the connection {there.connection}.",
            next_step="fix_input",
        )
    return state


def done(journal: Journal, apply_id: str | None, here: Place) -> ApplyState:
    """Return an apply, without an id the last one that is not an undo and changed something; raises `NotFound`."""
    if apply_id:
        return by_id(journal, apply_id, here)
    for apply_id in reversed(journal.apply_ids(here.cloud_id, here.alias_id)):
        state = journal.state(apply_id)
        if not state.undo_of and any(row.status == DONE for row in state.rows):
            return state
    raise NotFound("Nothing was changed through this connection yet, so there is nothing to undo.")


def unfinished(journal: Journal, apply_id: str | None, here: Place) -> ApplyState:
    """Return an apply that can be resumed or dropped, without an id the latest; raises `NotFound` for any other."""
    found = [by_id(journal, apply_id, here)] if apply_id else journal.unfinished(here.cloud_id, here.alias_id)
    if not found:
        raise NotFound("No apply is unfinished; there is nothing to resume.")
    state = found[0]
    if state.dropped:
        raise NotFound(
            f"The apply {state.apply_id[:8]} was dropped; it is not gone on with.",
            hint="Make a new plan for what is still wanted. What was done can be undone.",
        )
    if state.finished:
        raise NotFound(f"The apply {state.apply_id[:8]} is finished; there is nothing to resume.")
    return state
