"""The worlds that the audit's tests ask about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from spokekit.audit import Audit, Frames, Site, Snapshots
from spokekit.practice.world import World

TABLES = ("groups", "users", "memberships", "spaces", "grants")
DAY_ONE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SITE = Site("class-site", "Class", "https://class.example")


@lru_cache(maxsize=4)
def world(size: str) -> World:
    return World(size=size, seed=1)


def frames_of(size: str = "class", *, day: int = 0, **changes: Any) -> Frames:
    """Return the frames of a world as pulled on a day; `changes` replace frames by name."""
    made = {**world(size).frames(tables=TABLES), **changes}
    return Frames.of(made, site=SITE, taken_at=DAY_ONE + timedelta(days=day))


def name(row: int) -> str:
    """The name of a person of the class world, by the row that `spokekit.practice.world.seed_class` speaks of."""
    return world("class").person(row).display_name


def account(row: int) -> str:
    return world("class").person(row).account_id


def group_id(named: str) -> str:
    groups = frames_of().groups
    return str(groups.loc[groups["name"] == named, "group_id"].item())


def four_days(folder: Path) -> Audit:
    """Return the class world with a history of four days, told in the function.

    Day 0: as it is. Day 3: the leaver (row 7) leaves procurement, two of the staff (rows 27, 28) join marketing, and
    legal-counsel gives access. Day 8: legal-counsel is gone, marketing is called marketing-emea, row 27 leaves it
    again, and a new group night-shift holds rows 29 and 30. Day 10: the space PHX names people-operations, and
    legal-counsel gives no access any more is not seen, since it is gone.
    """
    store = Snapshots(SITE, folder)
    store.write(frames_of())
    raw = world("class").frames(tables=TABLES)
    groups, pairs, grants = raw["groups"], raw["memberships"].astype(str), raw["grants"]

    def pair(named: str, row: int) -> dict[str, str]:
        return {"group_id": group_id(named), "account_id": account(row)}

    import pandas as pd

    def without(frame: Any, *gone: dict[str, str]) -> Any:
        keys = {tuple(one.values()) for one in gone}
        kept = [tuple(row) not in keys for row in frame.itertuples(index=False)]
        return frame[kept].reset_index(drop=True)

    def plus(frame: Any, *new: dict[str, str]) -> Any:
        return pd.concat([frame, pd.DataFrame(list(new))], ignore_index=True)

    pairs = plus(without(pairs, pair("procurement", 7)), pair("marketing", 27), pair("marketing", 28))
    legal = groups["name"] == "legal-counsel"
    groups = groups.assign(access=groups["access"].mask(legal, "user"))
    store.write(frames_of(day=3, groups=groups, memberships=pairs))

    pairs = pairs[pairs["group_id"] != group_id("legal-counsel")]
    pairs = without(pairs, pair("marketing", 27))
    pairs = plus(
        pairs, {"group_id": "g-night", "account_id": account(29)}, {"group_id": "g-night", "account_id": account(30)}
    )
    groups = groups[~legal].assign(name=groups["name"].replace("marketing", "marketing-emea"))
    night = {"group_id": "g-night", "name": "night-shift", "access": "", "managed_by": "ADMINS"}
    groups = plus(groups, {**night, "usage_type": "USERBASE_GROUP", "members": 2})
    store.write(frames_of(day=8, groups=groups, memberships=pairs))

    phoenix = {"space_id": space_id("PHX"), "principal_type": "group", "principal_id": group_id("people-operations")}
    grants = plus(grants, {**phoenix, "operation": "read", "target": "space", "role": ""})
    return Audit.of_snapshot(store.write(frames_of(day=10, groups=groups, memberships=pairs, grants=grants)))


def space_id(key: str) -> str:
    spaces = frames_of().spaces
    return str(spaces.loc[spaces["space_key"] == key, "space_id"].item())


def at(day: int) -> str:
    return f"{DAY_ONE + timedelta(days=day):%Y-%m-%d}"
