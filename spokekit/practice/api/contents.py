"""Spaces that a person sees, and the pages in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from spokekit.practice.api.paging import Call
from spokekit.practice.world import World
from spokekit.practice.world.seeds import Space

T = TypeVar("T")

_TITLES = ("Home", "Meeting notes", "How we work", "Decisions", "Glossary", "Frequently asked questions")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a space; ``parent_id`` is 0 for the space's home page."""

    page_id: int
    title: str
    text: str
    space: Space
    parent_id: int
    number: int
    status: str = "current"


@lru_cache(maxsize=16384)
def pages_of(space: Space) -> tuple[Page, ...]:
    """Return the pages of a space, by id: a home page and two to five below it, the last of them archived."""
    first = int(space.space_id) + 1
    count = 3 + (first // 65536) % 4
    return tuple(
        Page(
            page_id=first + number,
            title=f"{space.name}: {title}" if number else space.name,
            text=f"{title} of the space {space.key}.".replace("&", "and").replace("<", ""),
            space=space,
            parent_id=first if number else 0,
            number=number,
            status="archived" if number == count - 1 and count > 4 else "current",
        )
        for number, title in enumerate(_TITLES[:count])
    )


def remembered(call: Call, make: Callable[[], list[T]]) -> list[T]:
    """Return the whole list behind a page, made once for all the pages that a client asks for."""
    world = call.world
    asked = tuple(sorted(pair for pair in call.query.pairs if pair[0] not in ("cursor", "limit", "start", "next")))
    key = (world.version, call.account_row, call.name, call.path.get("id", ""), asked)
    if key not in world.lists:
        if len(world.lists) >= 8:
            world.lists.clear()
        world.lists[key] = make()
    return world.lists[key]


def visible_spaces(call: Call) -> list[Space]:
    """Return the spaces that the caller may see, by id; a site administrator sees all."""
    cache = call.world.visible
    key = (call.account_row, call.world.version)
    if key not in cache:
        if len(cache) > 32:
            cache.clear()
        cache[key] = _visible(call.world, call.account_row)
    return cache[key]


def _visible(world: World, row: int) -> list[Space]:
    if world.site_admins[row]:
        return world.spaces
    groups = world.groups_of(row)
    mine = {world.group(group).group_id for group in groups} | {world.account_id(row)}
    everyone = {"anonymous-users", "authenticated-users"}
    if not world.is_guest[row]:
        everyone.add("all-licensed-users")
    return [
        space
        for space in world.spaces
        if any(
            grant.principal_id in mine or grant.principal_id in everyone
            for grant in world.space_grants(space)
            if grant.operation == "read" and grant.target == "space"
        )
    ]
