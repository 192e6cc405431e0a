"""Waiting as long as the service asks: for one request, for one kind of endpoint, or for all of them."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from spokekit.confluence.operation import Operation
from spokekit.confluence.refusals import wait_asked

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_BELOW_AN_ID = ("membersByGroupId", "permissions", "role-assignments")


@dataclass
class Tries:
    """What one request has been through so far; ``heavy`` counts answers that were too heavy for the service."""

    attempt: int = 0
    redirects: int = 0
    quota_waits: int = 0
    heavy: int = 0
    refreshed: bool = False


@dataclass(frozen=True)
class RetryPolicy:
    """When to come back, as Atlassian's page on rate limits advises: four times, 5 s doubling to 30 s, jitter 0.7-1.3.

    ``patience`` is the longest ``Retry-After`` (seconds) that is obeyed; beyond it the action fails and says so.
    """

    retries: int = 4
    first: float = 5.0
    longest: float = 30.0
    jitter: tuple[float, float] = (0.7, 1.3)
    patience: float = 3900.0

    def delay(self, attempt: int) -> float:
        """Return how long to wait before repetition number ``attempt`` (from 0)."""
        return min(self.first * 2.0**attempt, self.longest) * random.uniform(*self.jitter)  # noqa: S311 - no secret


class Patience:
    """Keeps requests back that the service asked to hold; all requests of a gateway share it.

    A quota's 429 holds everything, a burst's 429 the kind of endpoint that it came from: Atlassian limits bursts by
    path, and going round a limit with other requests in flight is what it asks nobody to do.
    """

    def __init__(
        self, policy: RetryPolicy, clock: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.policy = policy
        self._clock = clock
        self._sleep = sleep
        self._until: dict[str, datetime] = {}

    @property
    def holding(self) -> bool:
        """Whether anything may be held at the moment."""
        return bool(self._until)

    def hold(self, endpoint: str, headers: Any, attempt: int, *, everything: bool) -> datetime | None:
        """Hold requests as a 429 asks, and return until when; None when that is longer than the policy's patience."""
        now = self._clock()
        asked = wait_asked(headers, now)
        if asked is None:
            wait = self.policy.delay(attempt)
        else:
            # Whoever waited as asked and is refused again backs off, whatever is asked: it may be nothing at all.
            wait = max(asked, self.policy.delay(attempt - 1)) if attempt else asked
        if wait > self.policy.patience:
            return None
        until = now + timedelta(seconds=wait)
        kind = "" if everything else _kind(endpoint)
        self._until[kind] = max(until, self._until.get(kind, until))
        return until

    def held(self, endpoint: str) -> bool:
        """Tell whether this endpoint is held now."""
        return self._held_until(endpoint) > self._clock()

    def _held_until(self, endpoint: str) -> datetime:
        if not self._until:
            return _LONG_AGO
        return max(self._until.get(kind, _LONG_AGO) for kind in ("", _kind(endpoint)))

    async def wait(self, endpoint: str, operation: Operation) -> None:
        """Wait until nothing holds this endpoint any more."""
        while self._until:
            now = self._clock()
            until = self._held_until(endpoint)
            if until <= now:
                self._until = {kind: end for kind, end in self._until.items() if end > now}
                return
            # A little spread, so that those who wait do not come back in one burst.
            seconds = min((until - now).total_seconds(), 1.0) * random.uniform(1.0, 1.05)  # noqa: S311 - no secret
            await operation.pause(until, seconds, self._sleep)

    async def rest(self, attempt: int, asked: float | None, operation: Operation, because: str) -> None:
        """Wait before one request is repeated: as long as the answer asked, or as the policy says."""
        seconds = self.policy.delay(attempt) if asked is None else asked
        await operation.pause(self._clock() + timedelta(seconds=seconds), seconds, self._sleep, because)


def _kind(endpoint: str) -> str:
    """Return the endpoint without the id in it, since burst limits count by the kind of path."""
    above, _, last = endpoint.rpartition("/")
    return f"{above.rpartition('/')[0]}/{last}" if last in _BELOW_AN_ID else endpoint
