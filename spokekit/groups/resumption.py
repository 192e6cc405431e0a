"""The rest of an apply that was broken off, as a preview: who, when, where, what is done, what would be done now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from spokekit._words import clock, counted, some
from spokekit.groups.apply import from_reading
from spokekit.groups.journal import ApplyState
from spokekit.groups.plan import DONE, UNKNOWN, Mode, Plan, Row
from spokekit.groups.preview import Preview
from spokekit.groups.rules import Verdict
from spokekit.groups.site_state import Footing, Place, Present


@dataclass(frozen=True)
class Resumption:
    """What resuming an apply would do; made by `Membership.preview_resume`.

    ``state`` is what the journal knows of the apply, ``preview`` the plan of its open rows against the site as it is
    now, with everything that a preview has: dangers, cost, and the words to be typed. ``who`` began it.
    """

    state: ApplyState
    preview: Preview
    who: str

    @property
    def confirmation(self) -> str:
        """The words to be typed before it is gone on with; empty when pressing the button is enough."""
        return self.preview.confirmation

    @property
    def dangers(self) -> tuple[str, ...]:
        """What somebody should think about before going on."""
        return self.preview.dangers

    @property
    def lines(self) -> tuple[str, ...]:
        """What it is about, in sentences, and then the preview of the rest."""
        settled = len(self.preview.plan.rows) - len(self.preview.plan.planned)
        more = f"{counted(settled, 'row')} {'is' if settled == 1 else 'are'} settled by what the site shows."
        return (*about(self.state, self.who), *([more] if settled else []), *self.preview.lines)

    @property
    def words(self) -> str:
        """All of it as plain text."""
        return "\n".join((*self.lines, *(f"Danger: {danger}" for danger in self.dangers)))

    def __repr__(self) -> str:
        return f"Resumption of {self.state.apply_id[:8]}\n{self.words}"


def about(state: ApplyState, who: str = "") -> tuple[str, ...]:
    """Say in sentences which apply this is: who began it and when, what it does where, and how far it came."""
    groups = dict.fromkeys(row.group or row.group_id for row in state.rows)
    counts = Counter(row.action for row in state.rows)
    what = " and ".join(
        f"{action} {counted(counts[action], 'member')}" for action in ("add", "remove") if counts[action]
    )
    done = sum(row.status == DONE for row in state.rows)
    unknown = sum(row.status == UNKNOWN for row in state.rows)
    doubt = f" Of {counted(unknown, 'row')} it is not known yet whether the change was made." if unknown else ""
    return (
        f"The apply {state.apply_id[:8]}, begun by {who or state.by or 'somebody unknown'}, "
        f"{clock(state.started_at)}: {what} in {some(list(groups), 5)}.",
        f"{done:,} of {len(state.rows):,} planned are done.{doubt}",
    )


def rest_of(state: ApplyState, verdicts: dict[int, Verdict | None], present: Present, place: Place) -> Plan:
    """Return the plan of the open rows, each with what a fresh reading of the site says about it."""
    rows: list[Row] = []
    for position, verdict in verdicts.items():
        row = state.rows[position]
        person = present.person(row.account_id)
        plain = Row(row.group_id, row.group, row.account_id, person.display_name if person else "", row.action)
        rows.append(plain if verdict is None else from_reading(plain, verdict, position in state.sent))
    mode: Mode = state.mode  # type: ignore[assignment]
    return Plan(
        mode=mode,
        only="",
        rows=tuple(rows),
        ground={key: Footing.of(present.groups[key]) for key in {row.group_id for row in rows} & set(present.groups)},
        place=place,
        by=present.me,
        made_at=datetime.now(UTC),
        undo_of=state.undo_of,
        present=present,
    )
