"""Each answer of the gateway, with a real token source behind it: what is refreshed, what is not, what is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from spokekit import errors
from spokekit._secret import Secret
from spokekit.confluence.spoke import Spoke
from spokekit.connections.store import Store
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, granted

EMPTY = {"results": [], "start": 0, "limit": 200, "size": 0, "_links": {}}


def json(status: int, body: Any, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json=body, headers=headers)


def page(status: int) -> httpx2.Response:
    return httpx2.Response(status, text="<!doctype html><title>Sign in</title>", headers={"content-type": "text/html"})


# (name, answers in order, error or None, next step, refreshes)
CASES: list[tuple[str, list[Any], type | None, str, int]] = [
    ("all is well", [json(200, EMPTY)], None, "", 0),
    ("expired access token", [json(401, {"code": 401, "message": "Unauthorized"}), json(200, EMPTY)], None, "", 1),
    ("access token rejected for good", [json(401, {"code": 401, "message": "Unauthorized"})] * 2,
     errors.TokenRejected, "consent", 1),
    ("scope missing, which no refresh cures",
     [json(401, {"code": 401, "message": "Unauthorized; scope does not match"})], errors.ScopeMissing, "consent", 0),
    ("app not installed", [json(403, {"code": 403, "message": "The app is not installed on this instance"})],
     errors.AppNotInstalled, "consent", 0),
    ("user without Confluence",
     [json(403, {"statusCode": 403, "message": "Current user not permitted to use Confluence"})],
     errors.NotPermitted, "ask_site_admin", 0),
    ("the same in other words", [json(403, {"message": "caller cannot access Confluence"})],
     errors.NotPermitted, "ask_site_admin", 0),
    ("nothing there, in v2's words",
     [json(404, {"errors": [{"status": 404, "code": "NOT_FOUND", "title": "Not Found", "detail": None}]})],
     errors.NotThere, "choose_site", 0),
    ("removed endpoint", [json(410, {"message": "Gone"})], errors.NotThere, "none", 0),
    ("a proxy's page with 200", [page(200)], errors.UnexpectedAnswer, "retry", 0),
    ("gateway trouble, then well", [page(502), json(200, EMPTY)], None, "", 0),
    ("gateway trouble for good", [page(502)] * 9, errors.ServiceError, "retry", 0),
    ("asked to slow down for good", [json(429, {}, **{"Retry-After": "0"})] * 9, errors.RateLimited, "wait", 0),
    ("time-out, then well", [httpx2.ReadTimeout("late"), json(200, EMPTY)], None, "", 0),
    ("connection reset for good", [httpx2.ReadError("reset")] * 9, errors.TransportError, "retry", 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "kind", "step", "refreshes"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_the_gateway_makes_of_it(
    site: PracticeSite, answers: list[Any], kind: type | None, step: str, refreshes: int
) -> None:
    place = Place(Store("sqlite://"), site)
    connection = granted(place, site)
    connection = place.connections.set_site(connection.connection_id, *_only_site(site))
    plan = list(answers)
    tokens: set[Secret] = set()

    def answer(request: httpx2.Request) -> httpx2.Response:
        tokens.add(Secret(request.headers["authorization"]))
        step = plan.pop(0)
        if isinstance(step, Exception):
            raise step
        return httpx2.Response(step.status_code, content=step.content, headers=step.headers)

    slept = timedelta()

    async def at_once(seconds: float) -> None:
        nonlocal slept
        slept += timedelta(seconds=seconds)

    source = place.tokens.source(connection)
    with Spoke(
        connection,
        source,
        transport=httpx2.MockTransport(answer),
        sleep=at_once,
        clock=lambda: datetime.now(UTC) + slept,
    ) as spoke:
        if kind is None:
            assert len(spoke.look_up_groups(with_access=False)) == 0
        else:
            with pytest.raises(errors.SpokekitError) as problem:
                spoke.look_up_groups(with_access=False)
            assert type(problem.value) is kind, repr(problem.value)
            assert problem.value.next_step == step and problem.value.hint
    assert site.count("refresh") == refreshes and len(tokens) == refreshes + 1
    # Whatever the gateway said, the stored grant is still there and good.
    assert place.tokens.status(connection).state == "valid"
    assert place.tokens.access_token(connection)


def _only_site(site: PracticeSite) -> tuple[str, str, str]:
    return site.sites[0].cloud_id, site.sites[0].name, site.sites[0].url


def test_a_removed_app_ends_in_consent_and_says_so(site: PracticeSite) -> None:
    """The whole chain on real HTTP: rejected access token, refused refresh, and a person who is told what to do."""
    place = Place(Store("sqlite://"), site)
    connection = granted(place, site)
    connection = place.connections.set_site(connection.connection_id, *_only_site(site))
    site.remove_app()
    with Spoke(connection, place.tokens.source(connection)) as spoke:
        with pytest.raises(errors.ConsentNeeded) as problem:
            spoke.look_up_groups()
        assert "consent again" in str(problem.value) and problem.value.next_step == "consent"
        assert place.tokens.status(connection).state == "consent_needed"
        place.tokens.save_grant(connection, site.issue_token())
        assert len(spoke.look_up_groups()) > 0, "a new consent is enough, the open spoke goes on"
