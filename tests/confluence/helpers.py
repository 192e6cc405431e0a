"""What tests against a practice site share: a token source, a clock that flies, a spoke, and a comparison."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from spokekit._secret import Secret
from spokekit.confluence import RetryPolicy, Timeouts
from spokekit.confluence.spoke import Spoke

from .fake import connection

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.practice import PracticeSite

EVERY_SCOPE = (
    "read:confluence-groups",
    "write:confluence-groups",
    "read:confluence-user",
    "read:user:confluence",
    "read:space:confluence",
    "read:space.permission:confluence",
    "read:configuration:confluence",
    "read:page:confluence",
    "search:confluence",
    "read:me",
    "offline_access",
)


class SiteTokens:
    """Issues a token of the site, and a new one each time the newest was rejected."""

    def __init__(self, site: PracticeSite, scopes: tuple[str, ...] = EVERY_SCOPE) -> None:
        self.site, self.scopes, self.refreshes = site, scopes, 0
        self._token = self._issue()

    def _issue(self) -> Secret:
        return Secret(self.site.issue_token(scopes=list(self.scopes))["access_token"])

    async def __call__(self, *, rejected: Secret | None = None) -> Secret:
        if rejected is not None and rejected == self._token:
            self.refreshes += 1
            self._token = self._issue()
        return self._token


class Time:
    """A clock that moves by what is slept; nobody really waits."""

    def __init__(self, start: datetime | None = None) -> None:
        self.now = start or datetime.now(UTC)
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        await anyio.lowlevel.checkpoint()


class Anything:
    """A guard that lets every group be changed."""

    def check(self, group_id: str) -> None:
        return


def away_from_the_hour() -> None:
    """Let the UTC hour end first, if it is about to: points of the old one would be gone in the middle of a test."""
    now = datetime.now(UTC)
    left = 3600 - (60 * now.minute + now.second)
    if left < 25:
        time.sleep(left + 1)


def spoke_on(site: PracticeSite, **options: Any) -> Spoke:
    """Return a spoke on the first site, patient in made-up time."""
    clock = Time()
    first = site.sites[0]
    scopes = options.pop("scopes", EVERY_SCOPE)
    options = {
        "tokens": SiteTokens(site, scopes),
        "clock": clock,
        "sleep": clock.sleep,
        "retry": RetryPolicy(),
        "timeouts": Timeouts(connect=5, read=2, request=5),
        "max_bytes": 1_000_000,
    } | options
    one = connection(url=site.url, cloud_id=first.cloud_id, site_url=first.url, scopes=scopes)
    return Spoke(one, options.pop("tokens"), **options)


def rows(frame: pd.DataFrame, *columns: str) -> set[tuple[Any, ...]]:
    """Return the rows as a set, after checking that none is there twice."""
    found = [tuple(map(str, row)) for row in frame[list(columns)].itertuples(index=False)]
    assert len(set(found)) == len(found), "a row is there twice"
    return set(found)
