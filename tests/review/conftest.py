"""Reviews of the practice site whose walks are read from its world at once: the walk itself has tests of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from spokekit._workspace import Workspace
from spokekit.audit import Audit, Site
from spokekit.practice import PracticeSite
from spokekit.review import Campaign, Reviews
from tests.groups.conftest import open_members, registered  # noqa: F401

TABLES = ["groups", "users", "memberships"]


@pytest.fixture
def look(registered: Workspace, site: PracticeSite) -> Callable[..., Audit]:  # noqa: F811
    """Return a function that gives the state of the site as a complete walk would, or what `changes` make of it."""
    connection = registered.connection()

    def now(**changes: Any) -> Audit:
        frames = {**site.world.frames(tables=TABLES), **changes.pop("frames", {})}
        where = Site(str(connection.cloud_id), str(connection.site_name))
        return Audit.of_frames(frames, **{"site": where, "taken_at": datetime.now(UTC), **changes})

    return now


@pytest.fixture
def reviews(registered: Workspace) -> Reviews:  # noqa: F811
    return Reviews.of(registered)


@pytest.fixture
def campaign(reviews: Reviews, look: Callable[..., Audit]) -> Campaign:
    return reviews.open("2026-Q4", audit=look())


def decide_all(campaign: Campaign, *, removals: int = 3) -> None:
    """Remove some leavers, keep the others, and let somebody else decide about one's own rows."""
    from spokekit.review import Choice

    rows = [row for row in campaign.rows if not row.routed_out]
    gone = [row.row_id for row in rows if row.advice == "remove"][:removals]
    campaign.decide(gone, "remove")
    campaign.keep_shown([row.row_id for row in rows], reason="known and needed")
    own = [row.row_id for row in rows if row.account_id == campaign.actor.account_id]
    campaign.take([Choice(row_id, "keep", "needed", stated_by="Robin Other") for row_id in own])
