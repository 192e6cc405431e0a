"""The groups of a list, seen beside those of the site: several in one cell, and columns that nobody has understood."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from spokekit._ids import group_id
from spokekit._words import comparable
from spokekit.confluence.report import UNWATCHED, Watching
from spokekit.errors import InputError
from spokekit.groups.columns import COLUMNS
from spokekit.groups.site import LiveSite
from spokekit.groups.wishes import Wish, WishList

_FEW = 20
_LONGEST = 320


def settle_groups(wishes: WishList, site: LiveSite, watching: Watching = UNWATCHED) -> WishList:
    """Part the cells that name several registered groups, each of which counts.

    Raises `InputError` when a column that is not used names a group of the site, registered or not: the list would be
    taken for something else. The site is asked about columns that say few different things.
    """
    frame = site.registry.frame()
    settled = with_groups(wishes, [*frame["group_id"], *frame["name"], *frame["current_name"]])
    if texts := _maybe_groups(settled):
        named = site.group_among(texts, watching=watching)
        _refuse_unused(settled, {comparable(group_id(named))} - {""})
    return settled


def with_groups(wishes: WishList, registered: Iterable[str]) -> WishList:
    """Look at a list with the ids and names of the registered groups beside it.

    A cell that names several of them becomes a line for each. Raises `InputError` when a column that is not used names
    one.
    """
    known = {comparable(name) for name in registered if name}
    _refuse_unused(wishes, known)

    def is_known(text: str) -> bool:
        return comparable(group_id(text)) in known

    def parts_of(text: str) -> list[str]:
        for separators in (";", "|", "\n", ",", ";,|\n"):
            parts = [part.strip() for part in re.split(f"[{separators}]", text) if part.strip()]
            if len(parts) > 1 and all(map(is_known, parts)):
                return parts
        return []

    found: list[Wish] = []
    parted = 0
    for wish in wishes.wishes:
        parts = [] if wish.problem or is_known(wish.group) else parts_of(wish.group)
        if not parts:
            found.append(wish)
            continue
        parted += 1
        names = parts_of(wish.group_name)
        # As many names as ids are theirs, one by one; else each of the ids is told from all of the names.
        beside = names if len(names) == len(parts) else [wish.group_name] * len(parts)
        pairs = dict.fromkeys(zip(parts, beside, strict=True))
        found += [replace(wish, group=group_id(part), group_name=name) for part, name in pairs]
    if not parted:
        return wishes
    note = f"{parted:,} line{'s name' if parted > 1 else ' names'} several groups, each registered; each counts."
    return replace(wishes, wishes=tuple(found), notes=(*wishes.notes, note))


def _maybe_groups(wishes: WishList) -> list[str]:
    """Return the cells of unused columns that the site is asked about: of columns that say few different things."""
    found: dict[str, None] = {}
    for cells in wishes.unused.values():
        if len(cells) <= _FEW:
            found.update(dict.fromkeys(c for c in sorted(cells) if len(c) <= _LONGEST and any(map(str.isalpha, c))))
    return [cell for cell in found if "@" not in cell][: 2 * _FEW]


def _refuse_unused(wishes: WishList, known: Collection[str]) -> None:
    """Raise `InputError` when a column that is not used names a group: the list would be taken for something else.

    ``known`` are ids and names of groups, as names are compared.
    """
    for column, cells in wishes.unused.items():
        named = next((cell for cell in sorted(cells) if comparable(group_id(cell)) in known), None)
        if named is not None:
            raise InputError(
                f"The column “{column[:60]}” is not used, and it names groups of the site ({named[:60]}).",
                field=COLUMNS,
                likely="It says the group of each line, under a name that is not known here.",
                hint="Call it group in the file, or take the column out.",
            )
