"""A plain HTTP client for the practice site, and the steps of a consent."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from spokekit.practice import PracticeSite

ALL_SCOPES = [
    "read:confluence-groups",
    "read:confluence-user",
    "write:confluence-groups",
    "search:confluence",
    "read:me",
    "offline_access",
    "read:user:confluence",
    "read:content-details:confluence",
    "read:space:confluence",
    "read:space.permission:confluence",
    "read:configuration:confluence",
    "read:page:confluence",
]


class Api:
    """What a client does against one practice site, with a token of its own."""

    def __init__(
        self, site: PracticeSite, client: httpx2.Client, *, scopes: Any = ALL_SCOPES, account: str = ""
    ) -> None:
        self.site = site
        self.http = client
        self.token = site.issue_token(scopes, account or None)
        self.headers = {"Authorization": f"Bearer {self.token['access_token']}"}

    def __call__(self, method: str, path: str, *, cloud_id: str = "", **more: Any) -> httpx2.Response:
        base = f"{self.site.url}ex/confluence/{cloud_id or self.site.world.cloud_id}/wiki"
        return self.http.request(method, base + path, headers=self.headers, **more)

    def get(self, path: str, **query: Any) -> httpx2.Response:
        return self("GET", path, params=query)

    def v1(self, path: str, **query: Any) -> httpx2.Response:
        return self.get(f"/rest/api{path}", **query)

    def v2(self, path: str, **query: Any) -> httpx2.Response:
        return self.get(f"/api/v2{path}", **query)

    def walk(self, path: str) -> list[dict[str, Any]]:
        """Follow ``_links.next`` of a v1 list to its end."""
        rows: list[dict[str, Any]] = []
        here: str | None = f"/rest/api{path}"
        while here:
            page = self.get(here).json() if "?" not in here else self("GET", here).json()
            rows += page["results"]
            here = page["_links"].get("next")
        return rows

    def add(self, group: str, account_id: str) -> httpx2.Response:
        query = {"groupId": self.site.world.find_group(group).group_id}
        return self("POST", "/rest/api/group/userByGroupId", params=query, json={"accountId": account_id})

    def remove(self, group: str, account_id: str) -> httpx2.Response:
        query = {"groupId": self.site.world.find_group(group).group_id, "accountId": account_id}
        return self("DELETE", "/rest/api/group/userByGroupId", params=query)


def key_of(site: PracticeSite) -> dict[str, str]:
    """Return the header by which a program of the person who started the site is known."""
    return {"X-Practice-Key": site.keys.key}


def authorize_url(site: PracticeSite, **changes: str | None) -> str:
    """Return the authorise address that a client would open; None leaves a parameter out."""
    query: dict[str, str | None] = {
        "audience": "api.atlassian.com",
        "client_id": site.client_id,
        "scope": "read:confluence-groups offline_access",
        "redirect_uri": site.redirect_uris[0],
        "state": "state-of-the-client",
        "response_type": "code",
        "prompt": "consent",
        **changes,
    }
    return f"{site.auth_url}authorize?" + urlencode({k: v for k, v in query.items() if v is not None})


def values_of(callback: str) -> dict[str, str]:
    """Return the query of a callback address."""
    return dict(parse_qsl(urlsplit(callback).query))


def exchange(site: PracticeSite, code: str, **changes: Any) -> httpx2.Response:
    """Send a code to the token endpoint."""
    body = {
        "grant_type": "authorization_code",
        "client_id": site.client_id,
        "client_secret": site.client_secret,
        "code": code,
        "redirect_uri": site.redirect_uris[0],
        **changes,
    }
    return httpx2.post(f"{site.auth_url}oauth/token", json=body)


def refresh(site: PracticeSite, token: str, **changes: Any) -> httpx2.Response:
    """Send a refresh token to the token endpoint."""
    body = {
        "grant_type": "refresh_token",
        "client_id": site.client_id,
        "client_secret": site.client_secret,
        "refresh_token": token,
        **changes,
    }
    return httpx2.post(f"{site.auth_url}oauth/token", json=body)
