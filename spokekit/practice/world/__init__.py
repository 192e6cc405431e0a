"""What a practice site holds: people, groups, memberships and spaces, made from a seed."""

from __future__ import annotations

from spokekit.practice.world.world import ADMIN, SITE_ADMIN, SIZES, USER, Person, World

__all__ = ["ADMIN", "SITE_ADMIN", "SIZES", "USER", "Person", "World"]
