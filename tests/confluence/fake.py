"""A small Confluence in memory behind `httpx2.MockTransport`: each test scripts its answers exactly.

The practice site shows that the spoke works against a whole service; this one shows what the gateway does with one
strange answer, without a socket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2

from spokekit._secret import Secret
from spokekit.confluence.backoff import RetryPolicy
from spokekit.confluence.spoke import Spoke
from spokekit.connections.records import Connection

QUICK = RetryPolicy(first=0.001, longest=0.004)
NOW = datetime(2026, 11, 2, 10, 15, tzinfo=UTC)


def connection(**changes: Any) -> Connection:
    values: dict[str, Any] = {
        "connection_id": "c1",
        "alias_id": "a1",
        "name": "Test",
        "url": "https://api.atlassian.com/",
        "auth_url": "https://auth.atlassian.com/",
        "scopes": ("read:confluence-groups",),
        "client_id": "client",
        "redirect_uri": "http://localhost:8751/callback",
        "cloud_id": "11111111-2222-3333-4444-555555555555",
        "site_name": "acme",
        "site_url": "https://acme.atlassian.net",
        "account_id": None,
        "account_name": None,
        "active": True,
        "pkce": False,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Connection(**(values | changes))


class FakeTokens:
    """Gives token-1, and the next one each time a token was rejected."""

    def __init__(self) -> None:
        self.number = 1
        self.refreshes = 0

    async def __call__(self, *, rejected: Secret | None = None) -> Secret:
        if rejected is not None and rejected == Secret(f"token-{self.number}"):
            self.number += 1
            self.refreshes += 1
        return Secret(f"token-{self.number}")


@dataclass
class Fake:
    """Groups with members, served in pages of at most ``cap`` rows; ``script`` may answer a request instead."""

    groups: dict[str, list[str]] = field(default_factory=dict)
    cap: int = 200
    script: Callable[[httpx2.Request, int], httpx2.Response | Exception | None] = lambda _request, _n: None
    requests: list[httpx2.Request] = field(default_factory=list)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        scripted = self.script(request, len(self.requests))
        if isinstance(scripted, Exception):
            raise scripted
        if scripted is not None:
            return scripted
        path = request.url.path.split("/wiki/rest/api")[-1]
        query = request.url.params
        if path == "/group":
            rows = [{"id": key, "name": f"name of {key}", "managedBy": "ADMINS"} for key in self.groups]
            if query.get("accessType"):
                rows = rows[:1]
            return self.page(path, rows, query)
        if path == "/group/by-id":
            known = query["id"] in self.groups
            return httpx2.Response(200 if known else 404, json={"id": query["id"], "name": "n"} if known else {})
        if path.endswith("/membersByGroupId"):
            ids = self.groups.get(path.split("/")[2], [])
            return self.page(path, ids, query, _person)
        if path == "/group/userByGroupId":
            return httpx2.Response(201 if request.method == "POST" else 204)
        return httpx2.Response(404, json={"statusCode": 404, "message": "no such path"})

    def page(
        self, path: str, rows: list[Any], query: httpx2.QueryParams, show: Callable[[Any], Any] = lambda row: row
    ) -> httpx2.Response:
        start, limit = int(query.get("start", 0)), min(int(query.get("limit", 200)), self.cap)
        part = [show(row) for row in rows[start : start + limit]]
        body: dict[str, Any] = {"results": part, "start": start, "limit": limit, "size": len(part), "_links": {}}
        if query.get("shouldReturnTotalSize") == "true":
            body["totalSize"] = len(rows)
        if start + limit < len(rows):
            body["_links"]["next"] = f"/rest/api{path}?next=true&limit={limit}&start={start + limit}"
        return httpx2.Response(200, json=body)

    def spoke(self, **options: Any) -> Spoke:
        options = {"transport": httpx2.MockTransport(self.answer), "retry": QUICK} | options
        return Spoke(options.pop("connection", connection()), options.pop("tokens", FakeTokens()), **options)


def _person(one: str) -> dict[str, Any]:
    return {"accountId": one, "displayName": one, "accountType": "atlassian", "operations": [{"operation": "use"}]}
