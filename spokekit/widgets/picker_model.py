"""The two lists of the group picker, without a widget: what is there, what matches, what is chosen."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spokekit._ids import group_id as group_id_in
from spokekit._words import comparable

if TYPE_CHECKING:
    import pandas as pd


Side = Literal["available", "selected"]

SHOWN = 500  # more options make the browser's list slow: measured, 450 ms for 500 of 100,000 groups

# Who manages a group, in Atlassian's words: the members of a team, or anybody who joins it.
_TEAMS = frozenset({"TEAM_MEMBERS", "OPEN"})


@dataclass(frozen=True)
class GroupLine:
    """One group as the picker knows it. ``members`` is None as long as nobody counted them."""

    group_id: str
    name: str
    access: str = ""
    managed_by: str = ""
    usage_type: str = ""
    members: int | None = None
    gone: bool = False

    def marks(self) -> tuple[str, ...]:
        """Return what an administrator has to recognise, in words."""
        found = []
        if self.access:
            found.append(f"access: {self.access}")
        if self.managed_by.upper() in _TEAMS or self.usage_type.upper().startswith("TEAM"):
            found.append("team")
        if self.managed_by.upper() == "EXTERNAL":
            found.append("synced")
        if self.members == 0:
            found.append("empty")
        if self.gone:
            found.append("not on the site any more")
        return tuple(found)


class PickerModel:
    """What the picker shows and remembers.

    Parameters
    ----------
    groups:
        A frame of `look_up_groups`; a column ``members`` (int) marks empty groups.
    registered:
        Ids of the groups that are registered already. They start on the selected side.
    names:
        Names for registered groups that the site does not list any more.
    """

    def __init__(
        self, groups: pd.DataFrame, registered: Collection[str] = (), *, names: dict[str, str] | None = None
    ) -> None:
        self.lines: dict[str, GroupLine] = {}
        self.only_access = True
        self.filters: dict[Side, str] = {"available": "", "selected": ""}
        self.marked: dict[Side, dict[str, None]] = {"available": {}, "selected": {}}
        self._undo: list[tuple[str, ...]] = []
        self._matched: dict[Side, tuple[Any, list[str]]] = {}
        self._revision = 0
        self._take(groups)
        for group_id in registered:
            if group_id not in self.lines:
                name = (names or {}).get(group_id, group_id)
                self.lines[group_id] = GroupLine(group_id, name, gone=True)
        self.registered = frozenset(registered)
        self.chosen: dict[str, None] = dict.fromkeys(i for i in self.lines if i in self.registered)
        self._labels = self._make_labels()

    def _take(self, groups: pd.DataFrame) -> None:
        wanted = ("group_id", "name", "access", "managed_by", "usage_type")
        columns = [groups[c].astype(object) if c in groups else [""] * len(groups) for c in wanted]
        members = groups["members"] if "members" in groups else [None] * len(groups)
        for *words, count in sorted(zip(*columns, members, strict=True), key=lambda row: str(row[1]).casefold()):
            group_id, name, access, managed_by, usage = ("" if w is None or w != w else str(w) for w in words)
            # A missing count is NaN in a frame, which is not equal to itself.
            known = None if count is None or count != count else int(count)
            self.lines[group_id] = GroupLine(group_id, name, access, managed_by, usage, known)

    def _make_labels(self) -> dict[str, str]:
        seen: dict[str, int] = {}
        for line in self.lines.values():
            seen[line.name] = seen.get(line.name, 0) + 1
        labels = {}
        for group_id, line in self.lines.items():
            # Two groups of one name are told apart by the beginning of their ids.
            parts = [line.name or "(no name)", *([f"id {group_id[:8]}"] if seen[line.name] > 1 else []), *line.marks()]
            labels[group_id] = " · ".join(parts)
        self._revision += 1
        # Folded once, so that a filter over 100,000 groups answers while somebody types.
        self._folded = {group_id: comparable(label) for group_id, label in labels.items()}
        return labels

    def label(self, group_id: str) -> str:
        """Return the line that stands in the list: the name and its marks in words."""
        label = self._labels[group_id]
        if group_id in self.registered:
            label += " · registered" if group_id in self.chosen else " · registered, will be taken out"
        return label

    def count_members(self, counts: dict[str, int]) -> None:
        """Take in member counts (by group id), for the mark of empty groups."""
        for group_id, count in counts.items():
            line = self.lines.get(group_id)
            if line is not None:
                self.lines[group_id] = GroupLine(
                    line.group_id, line.name, line.access, line.managed_by, line.usage_type, int(count), line.gone
                )
        self._labels = self._make_labels()

    # --- what matches --------------------------------------------------------------------------------------------
    def side(self, side: Side) -> list[str]:
        """Return all ids of a side before its filter; the switch "with access only" belongs to the available side."""
        if side == "selected":
            return list(self.chosen)
        return [i for i, line in self.lines.items() if i not in self.chosen and (line.access or not self.only_access)]

    def matches(self, side: Side) -> list[str]:
        """Return the ids whose line holds every word of the side's filter; upper and lower case are the same.

        A whole group id finds its group.
        """
        wanted = self.filters[side].strip()
        state = (wanted, self.only_access, len(self.lines), tuple(self.chosen), self._revision)
        if self._matched.get(side, (None,))[0] != state:
            self._matched[side] = (state, self._find(side, wanted))
        return self._matched[side][1]

    def _find(self, side: Side, wanted: str) -> list[str]:
        candidates = self.side(side)
        pasted = group_id_in(wanted)
        if pasted in self.lines:
            return [i for i in candidates if i == pasted]
        folded = self._folded
        for word in comparable(wanted).split():
            candidates = [i for i in candidates if word in folded[i]]
        return candidates

    def shown(self, side: Side) -> list[str]:
        """Return the first `SHOWN` matches."""
        return self.matches(side)[:SHOWN]

    def count_words(self, side: Side) -> str:
        """Say how many there are, how many match, how many are shown and marked."""
        everything, matching = len(self.side(side)), len(self.matches(side))
        kind = " with Confluence access" if side == "available" and self.only_access else ""
        words = f"{everything:,} {'group' if everything == 1 else 'groups'}{kind}"
        if self.filters[side].strip():
            words += f", {matching:,} matching the filter"
        if matching > SHOWN:
            words += f"; the first {SHOWN} are shown, so narrow the filter"
        marked = self.marked[side]
        if marked:
            hidden = len(set(marked) - set(self.shown(side)))
            words += f"; {len(marked):,} marked" + (f", {hidden:,} of them hidden by the filter" if hidden else "")
            if len(marked) == 1:
                # A long line is cut in the list; here it is whole.
                words += f": {self.label(next(iter(marked)))}"
        return words

    # --- marking and moving --------------------------------------------------------------------------------------
    def mark(self, side: Side, visible: Iterable[str]) -> None:
        """Take over what is marked in the visible list; marks that the filter hides stay."""
        shown = set(self.shown(side))
        kept = {i: None for i in self.marked[side] if i not in shown}
        self.marked[side] = kept | dict.fromkeys(i for i in visible if i in shown)

    def move(self, side: Side, ids: Iterable[str]) -> int:
        """Move groups away from `side` to the other one; returns how many."""
        there = set(self.side(side))
        moving = [i for i in dict.fromkeys(ids) if i in there]
        if not moving:
            return 0
        self._undo.append(tuple(self.chosen))
        if side == "available":
            self.chosen |= dict.fromkeys(moving)
        else:
            gone = set(moving)
            self.chosen = {i: None for i in self.chosen if i not in gone}
        self.marked[side] = {i: None for i in self.marked[side] if i not in set(moving)}
        return len(moving)

    def move_marked(self, side: Side) -> int:
        """Move what is marked on `side`, hidden marks too: the count line has told about them."""
        return self.move(side, list(self.marked[side]))

    def move_shown(self, side: Side) -> int:
        """Move exactly what the list shows."""
        return self.move(side, self.shown(side))

    @property
    def can_undo(self) -> bool:
        """Say whether there is a move to take back."""
        return bool(self._undo)

    def undo(self) -> bool:
        """Take the last move back."""
        if not self._undo:
            return False
        self.chosen = dict.fromkeys(self._undo.pop())
        return True

    def reset(self) -> None:
        """Go back to what is registered."""
        self._undo.clear()
        self.chosen = dict.fromkeys(i for i in self.lines if i in self.registered)
        self.marked = {"available": {}, "selected": {}}

    def choose(self, ids: Iterable[str]) -> None:
        """Make the selected side equal to `ids`; unknown ids are left out."""
        self._undo.append(tuple(self.chosen))
        self.chosen = dict.fromkeys(i for i in ids if i in self.lines)

    # --- what OK will do -----------------------------------------------------------------------------------------
    @property
    def to_add(self) -> list[str]:
        """Return the chosen groups that are not registered yet."""
        return [i for i in self.chosen if i not in self.registered]

    @property
    def to_remove(self) -> list[str]:
        """Return the registered groups that are not chosen any more."""
        return [i for i in self.lines if i in self.registered and i not in self.chosen]

    def plan_words(self) -> str:
        """Say what OK will do."""
        add, remove = len(self.to_add), len(self.to_remove)
        if not add and not remove:
            return "OK changes nothing so far."
        parts = []
        if add:
            parts.append(f"register {_groups(add)}")
        if remove:
            parts.append(f"take {_groups(remove)} out of the table")
        return f"OK will {' and '.join(parts)}."


def _groups(count: int) -> str:
    return f"{count:,} {'group' if count == 1 else 'groups'}"
