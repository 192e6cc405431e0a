"""What an error status means is told from the body and the endpoint, and the server's own words are quoted, cleaned."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.confluence.refusals import message_of
from spokekit.errors import (
    AppNotInstalled,
    LicenceFull,
    NotPermitted,
    NotThere,
    ServiceError,
    SiteRefuses,
    SpokekitError,
    TokenRejected,
    UnexpectedAnswer,
)
from spokekit.oauth.endpoint import Endpoint

from .fake import Fake, FakeTokens, connection

PAGE = "<!doctype html><html><head><title>Acme Web Filter: sign in</title></head><body>…</body></html>"
LIST = "look_up_groups"
MEMBERS = "look_up_members_by_group_id"

# status, body, who asks, the error, words of the answer, words that it must not have
CASES: list[tuple[int, Any, str, type[SpokekitError], str, str]] = [
    (402, {"message": "Payment Required"}, LIST, SiteRefuses, "Billing", "administrator and press Get OAuth"),
    (402, "", MEMBERS, SiteRefuses, "subscription does not allow", "value in it"),
    (
        403,
        {"message": "The IP address 1.2.3.4 is not allowed"},
        LIST,
        SiteRefuses,
        "IP allow list",
        "site administrator",
    ),
    (403, {"message": "Blocked by IP allowlist"}, MEMBERS, SiteRefuses, "VPN", "site administrator"),
    (401, {"message": "Request blocked: IP not in allow list"}, LIST, SiteRefuses, "IP allow list", "consent was with"),
    (404, "Your IP address has been restricted by an admin", LIST, SiteRefuses, "IP allow list", "The id is wrong"),
    (401, PAGE, LIST, UnexpectedAnswer, "“Acme Web Filter: sign in”", "consent again"),
    (403, PAGE, LIST, UnexpectedAnswer, "web page", "site administrator"),
    (404, PAGE, MEMBERS, UnexpectedAnswer, "proxy", "The id is wrong"),
    (407, "Proxy Authentication Required", LIST, UnexpectedAnswer, "HTTPS_PROXY", "value in it"),
    (511, PAGE, LIST, UnexpectedAnswer, "Sign in to the network", "Atlassian's side"),
    (451, "Unavailable", LIST, SiteRefuses, "legal reasons", "value in it"),
    (404, {"code": 404, "message": "Not Found"}, LIST, NotThere, "the site has no confluence", "The id is wrong"),
    (404, {"statusCode": 404, "message": "No group"}, MEMBERS, NotThere, "The id is wrong", "has no Confluence"),
    (410, {"message": "Gone"}, LIST, NotThere, "Update spokekit", "The id is wrong"),
    (403, {"message": "The tenant has been suspended"}, LIST, SiteRefuses, "organization admin", "site administrator"),
    (503, {"message": "Site is deactivated"}, LIST, SiteRefuses, "was suspended, deactivated", "Atlassian's side"),
    (404, {"errorMessage": "Subscription expired for this product"}, LIST, SiteRefuses, "not in use", "id is wrong"),
    (401, {"message": "This site is currently unavailable"}, LIST, SiteRefuses, "not in use", "consent was withdrawn"),
    (403, {"message": "User is deactivated"}, LIST, NotPermitted, "sign in as somebody else", "The site is"),
    (423, {"message": "Site locked for migration"}, LIST, SiteRefuses, "not in use", "value in it"),
    (503, {"message": "The site is in maintenance mode"}, LIST, SiteRefuses, "not in use", "id is wrong"),
    (403, {"message": "The app is not installed on this instance"}, LIST, AppNotInstalled, "choose the site", "VPN"),
    (401, {"message": "Unauthorized"}, LIST, TokenRejected, "consent again", "IP allow list"),
    (
        403,
        {"errors": [{"title": "Forbidden", "detail": "No access"}]},
        LIST,
        NotPermitted,
        "Forbidden No access",
        "VPN",
    ),
    (400, {"error": {"message": "Bad start"}}, LIST, ServiceError, "Bad start", "VPN"),
    (400, ["first", "second"], LIST, ServiceError, "first", "VPN"),
    (500, PAGE, LIST, ServiceError, "Acme Web Filter", "id is wrong"),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{c[0]}-{c[3].__name__}-{i}" for i, c in enumerate(CASES)])
def test_status_body_and_endpoint_decide(case: tuple[int, Any, str, type[SpokekitError], str, str]) -> None:
    status, body, action, kind, words, never = case
    tokens = FakeTokens()
    fake = Fake(groups={"g": ["a"]})
    answer = {"json": body} if not isinstance(body, str) else {"text": body}
    fake.script = lambda *_: httpx2.Response(status, **answer)  # type: ignore[arg-type]
    with fake.spoke(tokens=tokens) as spoke, pytest.raises(SpokekitError) as caught:
        spoke.look_up_groups(with_access=False) if action == LIST else spoke.look_up_members_by_group_id("g")
    assert type(caught.value) is kind, f"{type(caught.value)}: {caught.value}"
    assert words.lower() in str(caught.value).lower()
    assert never not in str(caught.value)
    assert caught.value.status == status  # type: ignore[attr-defined]
    if status == 401 and kind is not TokenRejected:
        assert tokens.refreshes == 0, "no refresh cures that"
        assert len(fake.requests) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_what_concerns_the_whole_site_ends_a_walk_at_once(status: int) -> None:
    fake = Fake(groups={f"g{n}": [] for n in range(300)})
    fake.script = lambda *_: httpx2.Response(status, json={"message": "Blocked by IP allowlist"})
    with fake.spoke() as spoke, pytest.raises(SiteRefuses):
        spoke.look_up_members_by_group_id(list(fake.groups))
    assert len(fake.requests) <= 16


def test_a_full_licence_is_still_told_by_its_words() -> None:
    class Anything:
        def check(self, group_id: str) -> None: ...

    fake = Fake(script=lambda *_: httpx2.Response(500, json={"message": "License Limit Exceeded"}))
    with fake.spoke(guard=Anything()) as spoke, pytest.raises(LicenceFull):
        spoke.add_member_to_group_by_group_id("g", "a")


def test_the_servers_words_are_one_short_harmless_line() -> None:
    nasty = (
        "a\u202eb\x1b[31m\n<script>alert(1)</script> Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl "
        + "x" * 900
    )
    for body in (nasty.encode(), b'{"message": "' + nasty.replace("\n", " ").replace("\x1b", "").encode() + b'"}'):
        said = message_of(body)
        assert len(said) <= 200
        for sign in "\u202e\x1b\n":
            assert sign not in said
        assert "eyJhbGci" not in said
    assert (
        message_of(b"\xff\xfe\xfa") == message_of(PAGE.encode()) == message_of(b"") == message_of(b'{"message"') == ""
    )


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_a_web_page_at_the_sign_in_service_is_no_refused_token(status: int) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, text=PAGE))
    endpoint = Endpoint(connection(), transport=transport)
    with pytest.raises(UnexpectedAnswer, match="proxy") as caught:
        endpoint.refresh(Secret("a-refresh"), Secret("a-secret"))
    assert "Acme" not in str(caught.value), "a page may echo what was sent, and that was the secret"
    with pytest.raises(UnexpectedAnswer, match=r"(?i)proxy") as caught:
        endpoint.sites(Secret("a-token"))
    assert status == 200 or "Acme Web Filter" in str(caught.value)


def test_the_check_tells_the_same(connected: Workspace) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("accessible-resources"):
            site = connected.connection()
            return httpx2.Response(200, json=[{"id": site.cloud_id, "name": "acme", "url": site.site_url}])
        return httpx2.Response(403, json={"message": "Blocked by IP allowlist"})

    found = connected.check(transport=httpx2.MockTransport(answer))
    access = found[found["check"] == "Access to Confluence"].iloc[0]
    assert access["state"] == "failed" and "network address" in access["words"] and "VPN" in access["fix"]
    assert "missing" not in set(found["state"]), "no scope is blamed for it"
