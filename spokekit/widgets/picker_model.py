"""The two lists of the group picker, without a widget: what is there, what matches, what is chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from spokekit._ids import group_id as group_id_in
from spokekit._words import comparable, counted

if TYPE_CHECKING:
    import pandas as pd


Side = Literal["available", "selected"]
Places: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

# Nobody reads further, and each option costs the browser time and the wire bytes (``python -m tests.bench.picker``).
SHOWN = 200

# Who manages a group, in Atlassian's words: the members of a team, or anybody who joins it.
_TEAMS = frozenset({"TEAM_MEMBERS", "OPEN"})


class GroupLine(NamedTuple):
    """One group as the picker knows it. ``members`` is None as long as nobody counted them."""

    group_id: str
    name: str
    access: str = ""
    managed_by: str = ""
    usage_type: str = ""
    members: int | None = None
    gone: bool = False

    @property
    def team(self) -> bool:
        """Whether it belongs to its members."""
        return self.managed_by.upper() in _TEAMS or self.usage_type.upper().startswith("TEAM")

    @property
    def synced(self) -> bool:
        """Whether it is managed outside of Atlassian."""
        return self.managed_by.upper() == "EXTERNAL"

    def about(self) -> str:
        """Return all that is known of the group in a sentence: members, access, who manages it."""
        if self.gone:
            return f"{self.name}: not on the site any more."
        members = "members not counted" if self.members is None else counted(self.members, "member")
        access = f"gives access to Confluence ({self.access})" if self.access else "gives no access to Confluence"
        manager = "managed by the site's administrators"
        if self.synced:
            manager = "managed outside (synced from a directory), so change its members there"
        elif self.team:
            manager = "managed by its members (a team)"
        elif not self.managed_by:
            manager = "who manages it is not known"
        return f"{self.name or '(no name)'}: {members}; {access}; {manager}."

    def marks(self) -> tuple[str, ...]:
        """Return what an administrator has to recognise, in words."""
        found = []
        if self.access:
            found.append(f"access: {self.access}")
        if self.team:
            found.append("team")
        if self.synced:
            found.append("synced")
        if self.members == 0:
            found.append("empty")
        if self.gone:
            found.append("not on the site any more")
        return tuple(found)


class _Index:
    """The comparable form of every line in one piece of memory, which is searched while somebody types.

    A loop over 200,000 texts in Python takes longer than a keystroke may. Lines are named by their place in it.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        import pyarrow as pa

        # As bytes: a name from a server may hold half a surrogate pair, which is no text for Arrow.
        self._texts = pa.array([comparable(t).encode("utf-8", "surrogatepass") for t in lines], pa.large_binary())

    def among(self, places: Places, words: Iterable[str]) -> Places:
        """Return those of `places`, in their order, whose line holds all `words`."""
        import pyarrow.compute as pc

        for word in words:
            held = pc.match_substring(self._texts, word.encode("utf-8", "surrogatepass"))
            places = places[held.to_numpy(zero_copy_only=False)[places]]
        return places


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
        self._matched: dict[Side, tuple[Any, Places]] = {}
        self._sides: dict[Side, tuple[Any, Places]] = {}
        self._revision = self._moves = 0
        self._take(groups)
        for group_id in registered:
            if group_id not in self.lines:
                name = (names or {}).get(group_id, group_id)
                self.lines[group_id] = GroupLine(group_id, name, gone=True)
        self._ids = list(self.lines)
        self._places = {group_id: place for place, group_id in enumerate(self._ids)}
        self._access = np.fromiter((bool(line.access) for line in self.lines.values()), bool, len(self._ids))
        self.registered = frozenset(registered)
        self.chosen = dict.fromkeys(i for i in self.lines if i in self.registered)
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
        seen = Counter(line.name for line in self.lines.values())
        labels = {}
        for group_id, line in self.lines.items():
            # Two groups of one name are told apart by the beginning of their ids.
            parts = [line.name or "(no name)", *([f"id {group_id[:8]}"] if seen[line.name] > 1 else []), *line.marks()]
            labels[group_id] = " · ".join(parts)
        self._revision += 1
        self._index = _Index(labels.values())
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
                self.lines[group_id] = line._replace(members=int(count))
        self._labels = self._make_labels()

    @property
    def chosen(self) -> dict[str, None]:
        """The ids on the selected side, in their order. A move puts a new dictionary here."""
        return self._chosen

    @chosen.setter
    def chosen(self, ids: dict[str, None]) -> None:
        self._chosen = ids
        self._moves += 1

    # --- what matches --------------------------------------------------------------------------------------------
    def side(self, side: Side) -> list[str]:
        """Return all ids of a side before its filter; the switch "with access only" belongs to the available side."""
        return [self._ids[place] for place in self._side(side).tolist()]

    def matches(self, side: Side) -> list[str]:
        """Return the ids whose line holds every word of the side's filter; upper and lower case are the same.

        A whole group id finds its group.
        """
        return [self._ids[place] for place in self._matching(side).tolist()]

    def _side(self, side: Side) -> Places:
        state = (self._moves, self.only_access)
        if self._sides.get(side, (None,))[0] != state:
            self._sides[side] = (state, self._all_of(side))
        return self._sides[side][1]

    def _all_of(self, side: Side) -> Places:
        chosen = np.fromiter((self._places[i] for i in self.chosen), np.int64, len(self.chosen))
        if side == "selected":
            return chosen
        there = self._access.copy() if self.only_access else np.ones(len(self._ids), bool)
        there[chosen] = False
        return np.flatnonzero(there)

    def _matching(self, side: Side) -> Places:
        wanted = self.filters[side].strip()
        state = (wanted, self._moves, self.only_access, self._revision)
        if self._matched.get(side, (None,))[0] != state:
            self._matched[side] = (state, self._find(side, wanted))
        return self._matched[side][1]

    def _find(self, side: Side, wanted: str) -> Places:
        candidates = self._side(side)
        pasted = group_id_in(wanted)
        if pasted in self.lines:
            found: Places = candidates[candidates == self._places[pasted]]
            return found
        return self._index.among(candidates, comparable(wanted).split())

    def shown(self, side: Side) -> list[str]:
        """Return the first `SHOWN` matches."""
        return [self._ids[place] for place in self._matching(side)[:SHOWN].tolist()]

    def count_words(self, side: Side) -> str:
        """Say how many there are, how many match, how many are shown and marked."""
        everything, matching = len(self._side(side)), len(self._matching(side))
        kind = " with Confluence access" if side == "available" and self.only_access else ""
        words = f"{counted(everything, 'group')}{kind}"
        if self.filters[side].strip():
            words += f", {matching:,} matching the filter"
        if matching > SHOWN:
            words += f"; the first {SHOWN} are shown, so narrow the filter"
        marked = self.marked[side]
        if marked:
            hidden = len(set(marked) - set(self.shown(side)))
            words += f"; {len(marked):,} marked" + (f", {hidden:,} of them hidden by the filter" if hidden else "")
        shown = self.shown(side)
        synced = sum(1 for i in shown if self.lines[i].synced)
        if side == "available" and synced:
            # "All shown" would move these too, and their members cannot be changed here.
            some = f"{synced:,} of the {len(shown):,} shown {'is' if synced == 1 else 'are'}"
            every = f"all {len(shown):,} shown are" if len(shown) > 1 else "the one shown is"
            words += f"; {every if synced == len(shown) else some} synced"
        return words

    def about_marked(self) -> str:
        """Say what is known of the one group that is marked; empty when none or several are."""
        marked = [i for side in self.marked.values() for i in side]
        return self.lines[marked[0]].about() if len(marked) == 1 else ""

    # --- marking and moving --------------------------------------------------------------------------------------
    def mark(self, side: Side, visible: Iterable[str]) -> None:
        """Take over what is marked in the visible list; marks that the filter hides stay."""
        shown = set(self.shown(side))
        kept = {i: None for i in self.marked[side] if i not in shown}
        self.marked[side] = kept | dict.fromkeys(i for i in visible if i in shown)

    def move(self, side: Side, ids: Iterable[str]) -> int:
        """Move groups away from `side` to the other one; returns how many."""
        moving = [i for i in dict.fromkeys(ids) if self._is_on(side, i)]
        if not moving:
            return 0
        self._undo.append(tuple(self.chosen))
        if side == "available":
            self.chosen = self.chosen | dict.fromkeys(moving)
        else:
            gone = set(moving)
            self.chosen = {i: None for i in self.chosen if i not in gone}
        self.marked[side] = {i: None for i in self.marked[side] if i not in set(moving)}
        return len(moving)

    def _is_on(self, side: Side, group_id: str) -> bool:
        if side == "selected":
            return group_id in self.chosen
        line = self.lines.get(group_id)
        return line is not None and group_id not in self.chosen and bool(line.access or not self.only_access)

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
        return sorted((i for i in self.registered if i not in self.chosen), key=self._places.__getitem__)

    def plan_words(self) -> str:
        """Say what OK will do."""
        add, remove = len(self.to_add), len(self.to_remove)
        if not add and not remove:
            return "Nothing to save yet."
        parts = []
        if add:
            parts.append(f"register {counted(add, 'group')}")
        if remove:
            parts.append(f"take {counted(remove, 'group')} out of the table")
        return f"OK will {' and '.join(parts)}."
