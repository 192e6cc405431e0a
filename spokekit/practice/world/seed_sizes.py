"""Generated worlds: arrays by arithmetic, so that 8 million memberships take a second and 40 MB."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from spokekit.errors import InputError
from spokekit.practice.world.names import DEPARTMENTS, FIRST, LAST, REGIONS, TIME_ZONES
from spokekit.practice.world.seed_class import plain_ascii
from spokekit.practice.world.seeds import ADMIN, CLOSED, INACTIVE, SITE_ADMIN, USER, Access, Seed, Space

#: Users, groups, memberships and spaces of each generated size. XL and MAX are what Atlassian recommends staying
#: below and its hard limits; L is about as large as Data Center's guard rails for groups and spaces allow.
SIZES: dict[str, tuple[int, int, int, int]] = {
    "S": (1_000, 200, 10_000, 50),
    "M": (20_000, 5_000, 200_000, 1_000),
    "L": (150_000, 20_000, 1_500_000, 8_000),
    "XL": (500_000, 200_000, 2_500_000, 8_000),
    "MAX": (1_000_000, 250_000, 8_000_000, 10_000),
}
_LARGEST_GROUP = 272_000


def generated_seed(size: str, seed: int, site_number: int = 0) -> Seed:
    """Return the generated world of a size; raises `InputError` for a size that is not known."""
    if size in SIZES:
        return _generate(SIZES[size], seed, site_number, None)
    uniform = re.fullmatch(r"([1-9]\d{0,5})x(\d{1,6})", size)
    if uniform is None:
        known = ", ".join(["class", *SIZES])
        raise InputError(
            f"There is no practice world of size {size!r}.", field="size", hint=f"Use {known}, or e.g. 2000x100."
        )
    groups, each = int(uniform[1]), int(uniform[2])
    return _generate((max(1_000, 10 * each), groups, groups * each, 50), seed, site_number, each)


def _sizes(users: int, groups: int, total: int) -> npt.NDArray[np.int64]:
    """Zipf-like group sizes that add up to ``total``, with one group in twenty empty."""
    cap = min(int(users * 0.9), _LARGEST_GROUP)
    weight = np.arange(1, groups + 1, dtype=np.float64) ** -0.85
    weight[::20] = 0
    weight[0] = 1.0
    low, high = 0.0, float(total)
    for _ in range(80):
        scale = (low + high) / 2
        if np.minimum(np.floor(weight * scale), cap).sum() < total:
            low = scale
        else:
            high = scale
    sizes: npt.NDArray[np.int64] = np.minimum(np.floor(weight * low), cap).astype(np.int64)
    missing = total - int(sizes.sum())
    room = np.flatnonzero((weight > 0) & (sizes < cap))
    while missing > 0:
        step = room[:missing]
        sizes[step] += 1
        missing -= len(step)
    return sizes


def _members(
    rng: np.random.Generator, users: int, sizes: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Who is in which group: the rows of users, group after group."""
    groups = len(sizes)
    # Members of a group are start, start + step, start + 2 step ... modulo the number of users. A step without a
    # common factor with that number never meets the same user twice, so no group holds anybody double.
    steps = rng.integers(1, users, size=groups * 8)
    steps = steps[np.gcd(steps, users) == 1]
    step = np.resize(steps, groups).astype(np.int64)
    start = rng.integers(0, users, size=groups, dtype=np.int64)
    members = np.empty(int(offsets[-1]), dtype=np.int32)
    chunk = max(1, int(np.searchsorted(offsets, 1_000_000)))
    first = 0
    while first < groups:
        last = min(groups, first + chunk)
        count = sizes[first:last]
        inside = np.arange(offsets[first], offsets[last]) - np.repeat(offsets[first:last], count)
        members[offsets[first] : offsets[last]] = (
            np.repeat(start[first:last], count) + inside * np.repeat(step[first:last], count)
        ) % users
        first = last
    return members


def _accounts(
    rng: np.random.Generator, users: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Status, whether it is an app, and whether it is a guest, of each user."""
    status = np.zeros(users, dtype=np.uint8)
    lot = rng.random(users)
    status[lot < 0.04] = INACTIVE
    status[lot < 0.01] = CLOSED
    is_app = (lot >= 0.04) & (lot < 0.045)
    is_guest = (lot >= 0.045) & (lot < 0.06)
    for kind in (status, is_app, is_guest):
        kind[:3] = 0
    is_guest[2] = True
    return status, is_app, is_guest


def _spaces(count: int, users: int) -> list[Space]:
    kinds = ("global", "global", "collaboration", "knowledge_base", "personal")
    return [
        Space(
            str(131072 + 65536 * i),
            f"~p{i}" if i % 5 == 4 else f"SP{i}",
            f"{DEPARTMENTS[i % len(DEPARTMENTS)].title()} space {i}",
            kinds[i % 5],
            "archived" if i % 17 == 16 else "current",
            i % users,
        )
        for i in range(count)
    ]


def _accesses(groups: int, space: Space) -> list[Access]:
    number = (int(space.space_id) - 131072) // 65536
    given: list[Access] = [("group", str((number * 13 + k * 101) % groups), role) for k, role in enumerate(
        ("Admin", "Collaborator", "Viewer")[: 1 + number % 3]
    )]  # fmt: skip
    if space.type == "personal":
        given = [("user", str(space.owner), "Admin")]
    if number % 25 == 24:
        given.append(("access-class", "anonymous-users", "Viewer"))
    # Two of a space's groups can fall on one row in a small world; the site lists a principal once.
    return list({(kind, who): (kind, who, role) for kind, who, role in reversed(given)}.values())


@lru_cache(maxsize=2)
def _generate(shape: tuple[int, int, int, int], seed: int, site_number: int, each: int | None) -> Seed:
    users, groups, total, space_count = shape
    rng = np.random.default_rng([seed, site_number, users, groups])
    sizes = np.full(groups, each, dtype=np.int64) if each is not None else _sizes(users, groups, total)
    offsets = np.concatenate(([0], np.cumsum(sizes)))

    members = _members(rng, users, sizes, offsets)
    status, is_app, is_guest = _accounts(rng, users)
    access = np.zeros(groups, dtype=np.uint8)
    access[rng.random(groups) < 0.01] = USER
    access[: min(3, groups)] = (USER, ADMIN, SITE_ADMIN)[: min(3, groups)]
    # The signed-in administrator and member are in the first three groups, whatever the dice say.
    for row, people in enumerate(((0, 1), (0,), (0,))[:groups]):
        inside_group = members[offsets[row] : offsets[row + 1]]
        for place, who in enumerate(people[: len(inside_group)]):
            if who not in inside_group:
                inside_group[-1 - place] = who

    kinds = rng.random(groups)
    managed = np.where(kinds < 0.4, "EXTERNAL", np.where(kinds > 0.95, "TEAM_MEMBERS", "ADMINS")).tolist()
    managed[:3] = ["ADMINS"] * min(3, groups)
    regions, departments = rng.integers(len(REGIONS), size=groups), rng.integers(len(DEPARTMENTS), size=groups)
    fixed = ("confluence-users", "confluence-admins", "site-admins")

    def group_name(row: int) -> str:
        if row < len(fixed):
            return fixed[row]
        return f"{DEPARTMENTS[departments[row]]}-{REGIONS[regions[row]]}-{row:06d}"

    def user_name(row: int) -> str:
        mixed = (row * 7919 + seed) % (len(FIRST) * len(LAST))
        return f"{FIRST[mixed % len(FIRST)]} {LAST[mixed // len(FIRST)]}"

    def email(row: int) -> str:
        if row % 3 == 0 or is_app[row] or status[row] == CLOSED:
            return ""
        return f"{plain_ascii(user_name(row))}.{row}@example.com"

    return Seed(
        status=status,
        is_app=is_app,
        is_guest=is_guest,
        group_access=access,
        group_managed=managed,
        offsets=offsets,
        members=members,
        roles={"admin": 0, "member": 1, "guest": 2},
        user_name=user_name,
        public_name=lambda row: user_name(row).split()[0] if row % 2 else user_name(row),
        email=email,
        time_zone=lambda row: TIME_ZONES[row % len(TIME_ZONES)],
        group_name=group_name,
        spaces=lambda: _spaces(space_count, users),
        accesses=lambda space: _accesses(groups, space),
    )
