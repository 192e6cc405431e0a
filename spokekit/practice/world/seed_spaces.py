"""Levels of access to a space, as classic permissions and as space roles."""

from __future__ import annotations

from collections.abc import Iterable

from spokekit.practice.world.seeds import Access, SpaceGrant

VIEW = (("read", "space"),)
WRITE = (
    *VIEW,
    *((key, target) for target in ("page", "blogpost", "comment", "attachment") for key in ("create", "delete")),
    ("delete", "space"),
)
MANAGE = (*WRITE, ("export", "space"), ("restrict_content", "space"), ("archive", "page"), ("administer", "space"))

#: Role name, the id it has on every practice site, and the classic permissions that it stands for.
SPACE_ROLES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "Viewer": ("7f1a0c52-3b0e-4c58-9d0a-1e6f6a4b0001", VIEW),
    "Collaborator": ("7f1a0c52-3b0e-4c58-9d0a-1e6f6a4b0002", WRITE),
    "Manager": ("7f1a0c52-3b0e-4c58-9d0a-1e6f6a4b0003", MANAGE[:-1]),
    "Admin": ("7f1a0c52-3b0e-4c58-9d0a-1e6f6a4b0004", MANAGE),
}


def as_permissions(accesses: Iterable[Access]) -> list[SpaceGrant]:
    """Spell each access out as classic permissions, one line each."""
    return [
        SpaceGrant(kind, who, operation, target)
        for kind, who, role in accesses
        for operation, target in SPACE_ROLES[role][1]
    ]


def as_roles(accesses: Iterable[Access]) -> list[SpaceGrant]:
    """Spell each access out as one role assignment."""
    return [SpaceGrant(kind, who, "", "", role) for kind, who, role in accesses]
