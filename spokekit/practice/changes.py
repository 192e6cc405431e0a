"""What differs in a world from the one that its seed makes: to keep it over a restart, and to put it back."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from spokekit.practice.world import World


def base_digest(world: World) -> str:
    """Return what tells one seed's world from another's: row numbers mean nothing in a world of another make."""
    base = world.base
    parts = (base.status, base.group_access, base.offsets, base.members)
    told = blake2b(digest_size=16)
    for part in parts:
        told.update(part.tobytes())
    told.update("\n".join(base.group_name(row) for row in range(min(200, len(base.group_access)))).encode())
    return told.hexdigest()


def changes(world: World) -> dict[str, Any]:
    """Return, as JSON takes it, all that was changed in a world since its seed made it."""
    base = world.base
    changed = np.flatnonzero(world.status != base.status)
    return {
        "base": base_digest(world),
        "status": {int(row): int(world.status[row]) for row in changed},
        "changed_at": dict(world.changed_at),
        "person_names": dict(world.user_names),
        "group_names": dict(world.group_names),
        "former_names": dict(world.former_names),
        "members": {row: rows.tolist() for row, rows in world.changed_members.items()},
        "deleted": sorted(world.deleted_groups),
        "created": [
            [int(world.group_access[row]), world.group_managed[row], world.group_usage[row]]
            for row in range(len(base.group_access), len(world.group_access))
        ],
    }


def apply_changes(world: World, kept: dict[str, Any]) -> None:
    """Put `changes` into a world as its seed made it. Raises `ValueError` when they are of another world."""
    if kept["base"] != base_digest(world):
        raise ValueError("The changes are of another world.")
    for access, managed, usage in kept["created"]:
        world.group_access = np.append(world.group_access, np.uint8(access)).astype(np.uint8)
        world.group_managed.append(str(managed))
        world.group_usage.append(str(usage))
    for row, status in kept["status"].items():
        world.status[int(row)] = int(status)
    world.changed_at.update({int(row): float(at) for row, at in kept["changed_at"].items()})
    world.user_names.update({int(row): str(name) for row, name in kept["person_names"].items()})
    world.group_names.update({int(row): str(name) for row, name in kept["group_names"].items()})
    world.former_names.update({str(key): str(name) for key, name in kept["former_names"].items()})
    for row, rows in kept["members"].items():
        members = np.array(rows, dtype=np.int32)
        if members.size and not 0 <= members.min() <= members.max() < world.user_count:
            raise ValueError("The changes name people who are not there.")
        world.changed_members[int(row)] = members
    world.deleted_groups.update(int(row) for row in kept["deleted"])
    world.changed_from_outside()
