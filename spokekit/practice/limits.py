"""The points ledger of an app and the burst limits of endpoints, with the headers that tell of them."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from email.utils import format_datetime
from typing import Any

from spokekit.practice.apps import Clock
from spokekit.practice.exchange import Answer, json_answer
from spokekit.practice.switches import Switches


class Limits:
    """What each app has spent in this quota window, over all its sites, and how fast each endpoint is called.

    Source: Atlassian's rate-limit page for Confluence. The ledger starts anew on the UTC hour, or as the
    switch ``quota_window`` says; nothing carries over; Confluence's burst limits are not published, so they are off
    unless the switch ``burst`` is set.
    """

    def __init__(self, switches: Switches, clock: Clock) -> None:
        self._switches = switches
        self._clock = clock
        self._spent: dict[tuple[str, str], tuple[int, int]] = {}
        self._burst: dict[tuple[str, str], tuple[float, float]] = defaultdict(
            lambda: (float(switches.burst), clock.now())
        )

    def spent(self, client_id: str, cloud_id: str = "") -> int:
        """Return how many points an app has spent in the present window, on all sites or on one."""
        window, points = self._spent.get((client_id, cloud_id), (0, 0))
        return points if window == self._window() else 0

    def left(self, client_id: str) -> int:
        """Return how many points an app has left in the present window, over all sites."""
        return max(0, self._switches.quota - self.spent(client_id))

    def spend(self, client_id: str, points: int, cloud_id: str = "") -> None:
        """Charge an app, and one of its sites if that is named; tests use it to come near a limit."""
        for key in {(client_id, ""), (client_id, cloud_id)}:
            self._spent[key] = (self._window(), self.spent(*key) + points)

    def kept(self) -> list[list[Any]]:
        """Return the ledger as JSON takes it."""
        return [[client, cloud, window, points] for (client, cloud), (window, points) in self._spent.items()]

    def put_back(self, kept: list[list[Any]]) -> None:
        """Take a ledger that `kept` gave."""
        self._spent = {(str(a), str(b)): (int(window), int(points)) for a, b, window, points in kept}

    def _quotas(self, client_id: str, cloud_id: str) -> list[tuple[str, int, int]]:
        """Return the policies that count for a call: name, quota and points left."""
        quotas = [("global", self._switches.quota, self.left(client_id))]
        tenant = self._switches.tenant_quota
        if tenant is not None:
            quotas.append(("tenant", tenant, max(0, tenant - self.spent(client_id, cloud_id))))
        return quotas

    def refuse(self, client_id: str, cloud_id: str, name: str) -> Answer | None:
        """Return the 429 for a call that would go over a limit, or None."""
        switches = self._switches
        if switches.burst and not self._take(cloud_id, name):
            return self.too_many(1, "confluence-burst-based")
        if switches.quota_headers == "enforced":
            for policy, _, left in self._quotas(client_id, cloud_id):
                if not left:
                    return self.too_many(self._until_reset(), f"confluence-quota-{policy}-based")
        return None

    def _take(self, cloud_id: str, name: str) -> bool:
        key, now = (cloud_id, name), self._clock.now()
        tokens, at = self._burst[key]
        tokens = min(float(self._switches.burst), tokens + (now - at) * self._switches.burst)
        self._burst[key] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1

    def too_many(self, seconds: int | None, reason: str) -> Answer:
        """Return a 429 that asks to wait for so many seconds, or that does not say how long."""
        form = self._switches.body_429
        answer = json_answer(429, {"code": 429, "message": "Rate limit exceeded"}, points=0)
        if form != "json":
            answer = Answer(429, b"" if form == "empty" else b"Too many requests", "text/plain", points=0)
        if seconds is not None:
            answer.headers.append(("Retry-After", self.retry_after(seconds)))
        if reason:
            answer.headers.append(("RateLimit-Reason", reason))
        return answer

    def retry_after(self, seconds: int) -> str:
        """Return a wait as a ``Retry-After`` value, in the form that the switch says."""
        if self._switches.retry_after_form == "seconds":
            return str(seconds)
        # A date has whole seconds: rounding up keeps a client from coming back a moment too early.
        moment = dt.datetime.fromtimestamp(int(self._clock.now()) + seconds + 1, dt.UTC)
        return format_datetime(moment, usegmt=True)

    def headers(self, client_id: str, cloud_id: str) -> list[tuple[str, str]]:
        """Return the quota's headers for an answer to an app; ``X-RateLimit-*`` tell of the tighter policy."""
        switches = self._switches
        if switches.quota_headers == "none":
            return []
        beta = "Beta-" if switches.quota_headers == "beta" else ""
        quotas = self._quotas(client_id, cloud_id)
        _, quota, left = min(quotas, key=lambda policy: policy[2])
        policies = ", ".join(f'"{name}-app-quota";q={most};w={switches.quota_window}' for name, most, _ in quotas)
        reset = dt.datetime.fromtimestamp((self._window() + 1) * self._switches.quota_window, dt.UTC)
        form = "%Y-%m-%dT%H:%M:%SZ" if switches.reset_with_seconds else "%Y-%m-%dT%H:%MZ"
        out = [
            (f"X-{beta}RateLimit-Limit", str(quota)),
            (f"X-{beta}RateLimit-Remaining", str(left)),
            (f"X-{beta}RateLimit-Reset", reset.strftime(form)),
            (f"{beta}RateLimit-Policy", policies),
        ]
        wait = self._until_reset()
        near = [f'"{name}-app-quota";r={rest};t={wait}' for name, most, rest in quotas if rest < most * 0.2]
        if near:
            out += [(f"X-{beta}RateLimit-NearLimit", "true"), (f"{beta}RateLimit", ", ".join(near))]
            if beta and not left:
                out.append(("Beta-Retry-After", str(wait)))
        return out

    def reset_header(self) -> tuple[str, str]:
        """Return the header that is all a gateway's 429 has."""
        reset = dt.datetime.fromtimestamp(int(self._clock.now()) + 2, dt.UTC)
        return "X-RateLimit-Reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _window(self) -> int:
        return int(self._clock.now() // self._switches.quota_window)

    def _until_reset(self) -> int:
        return max(1, int((self._window() + 1) * self._switches.quota_window - self._clock.now()) + 1)
