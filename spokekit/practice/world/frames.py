"""What a world holds, as frames: the truth that tests compare a pull with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spokekit.practice.world.seeds import ACCESS_WORDS

if TYPE_CHECKING:
    from spokekit.practice.world.world import World


def frames(world: World, tables: Iterable[str] | None) -> dict[str, pd.DataFrame]:
    """Return the frames that `World.frames` describes."""
    make: dict[str, Callable[[World], pd.DataFrame]] = {
        "groups": _groups,
        "users": lambda w: _columns([w.person(row) for row in range(w.user_count)], w.PERSON_COLUMNS).assign(
            licensed=w.licensed
        ),
        "memberships": _memberships,
        "spaces": lambda w: _columns(w.spaces, ("space_id", "key", "name", "type", "status")),
        "grants": lambda w: _access(w, roles=False),
        "role_assignments": lambda w: _access(w, roles=True),
    }
    return {name: make[name](world) for name in (tables if tables is not None else make)}


def _columns(rows: Sequence[object], names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({name: [getattr(row, name) for row in rows] for name in names})


def _groups(world: World) -> pd.DataFrame:
    groups = [world.group(row) for row in world.group_order()]
    frame = _columns(groups, world.GROUP_COLUMNS)
    words = [", ".join(word for bit, word in ACCESS_WORDS if group.access & bit) for group in groups]
    return frame.assign(access=words, members=[len(world.members(group.row)) for group in groups])


def _memberships(world: World) -> pd.DataFrame:
    order = world.group_order()
    rows = [world.members(row) for row in order]
    users = np.concatenate(rows) if rows else np.empty(0, dtype=np.int32)
    codes = np.repeat(np.arange(len(order), dtype=np.int32), [len(r) for r in rows])
    group_ids = pd.Index([world.group_id(row) for row in order])
    account_ids = pd.Index([world.account_id(row) for row in range(world.user_count)])
    return pd.DataFrame(
        {
            "group_id": pd.Categorical.from_codes(codes, categories=group_ids),
            "account_id": pd.Categorical.from_codes(users, categories=account_ids),
        }
    )


def _access(world: World, *, roles: bool) -> pd.DataFrame:
    given = world.space_roles_given if roles else world.space_grants
    pairs = [(space.space_id, grant) for space in world.spaces for grant in given(space)]
    names = ("principal_type", "principal_id", *(("role",) if roles else ("operation", "target")))
    frame = _columns([grant for _, grant in pairs], names)
    frame.insert(0, "space_id", [space_id for space_id, _ in pairs])
    return frame
