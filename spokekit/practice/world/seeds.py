"""What a world is made from: arrays and a few functions that give text for a row number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

USER, ADMIN, SITE_ADMIN = 1, 2, 4
ACCESS_WORDS = ((USER, "user"), (ADMIN, "admin"), (SITE_ADMIN, "site-admin"))
STATUSES = ("active", "inactive", "closed")
ACTIVE, INACTIVE, CLOSED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Space:
    """One space; ``owner`` is the user row of whoever made it."""

    space_id: str
    key: str
    name: str
    type: str
    status: str
    owner: int


Access = tuple[str, str, str]
"""Principal type, row number or access class, and role name."""


@dataclass(frozen=True, slots=True)
class SpaceGrant:
    """One permission or role in a space; ``principal_id`` is a row number until the world puts the id there."""

    principal_type: str
    principal_id: str
    operation: str
    target: str
    role: str = ""


@dataclass
class Seed:
    """Arrays and text functions of a world before anybody changes it; shared, so never written to."""

    status: npt.NDArray[np.uint8]
    is_app: npt.NDArray[np.bool_]
    is_guest: npt.NDArray[np.bool_]
    group_access: npt.NDArray[np.uint8]
    group_managed: list[str]
    offsets: npt.NDArray[np.int64]
    members: npt.NDArray[np.int32]
    roles: dict[str, int]
    user_name: Callable[[int], str]
    public_name: Callable[[int], str]
    email: Callable[[int], str]
    time_zone: Callable[[int], str]
    group_name: Callable[[int], str]
    spaces: Callable[[], list[Space]]
    accesses: Callable[[Space], list[Access]]
    former_names: dict[int, str] = field(default_factory=dict)

    @cached_property
    def group_usage(self) -> list[str]:
        """What each group is for, as Atlassian tells it: teams are to work together."""
        teams = ("TEAM_MEMBERS", "OPEN")
        return ["TEAM_COLLABORATION" if managed in teams else "USERBASE_GROUP" for managed in self.group_managed]
