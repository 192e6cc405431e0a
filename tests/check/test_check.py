"""Checking a connection: every scope one at a time, who may write, and nothing changed by it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pandas as pd
import pytest

from spokekit._secret import Secret
from spokekit.check import COLUMNS, STATES, trouble
from spokekit.check.probes import NO_GROUP, PROBES, NoRealGroup
from spokekit.connections.connection import credentials
from spokekit.connections.scopes import DEFAULT_SCOPES, KNOWN, STEPS, published_first
from spokekit.errors import Cancelled, GuardRefused, NotConfigured, NotFound
from spokekit.practice import PracticeSite
from tests.conftest import connect

if TYPE_CHECKING:
    from spokekit._workspace import Workspace

GRANULAR = (
    "read:user:confluence",
    "read:space:confluence",
    "read:space.permission:confluence",
    "read:content-details:confluence",
)


def state_of(found: pd.DataFrame) -> dict[str, str]:
    return dict(zip(found["check"], found["state"].astype(str), strict=True))


def row(found: pd.DataFrame, check: str) -> dict[str, Any]:
    (one,) = found[found["check"] == check].to_dict("records")
    return one


def give(work: Workspace, site: PracticeSite, asked: Iterable[str], granted: Iterable[str], who: str = "admin") -> None:
    """Let the connection ask for some scopes and have a token with others."""
    saved = work.connections.edit(work.connection().connection_id, scopes=tuple(asked))
    work.tokens.save_grant(saved, site.issue_token(scopes=tuple(granted), account=who))


def test_all_is_well(connected: Workspace, site: PracticeSite) -> None:
    members = site.world.frames()["memberships"]
    found = connected.check()
    assert tuple(found.columns) == COLUMNS
    assert [str(dtype) for dtype in found.dtypes[["kind", "state"]]] == ["category", "category"]
    assert tuple(found["state"].cat.categories) == STATES
    states = state_of(found)
    assert list(states) == [
        "Token",
        "Site",
        "Person",
        "Access to Confluence",
        *published_first(DEFAULT_SCOPES),
        "Right to change membership",
        *STEPS,
    ]
    assert {check for check, state in states.items() if state != "ok"} == {"ace:confluence", "Audit spaces"}
    assert states["ace:confluence"] == "unknown"
    assert states["Audit spaces"] == "off"
    assert not trouble(found)
    assert found.loc[found["state"] == "ok", "fix"].eq("").all()
    assert found.loc[found["state"] != "ok", "fix"].ne("").all()
    assert "is a site administrator" in row(found, "Right to change membership")["words"]
    assert site.sites[0].name in row(found, "Site")["words"]
    assert found.attrs["connection"] == connected.connection().name
    assert 0 < found.attrs["points"] < 60
    # Nothing was changed, and the only id that a change was sent for belongs to no group.
    assert set(site.writes) <= {NO_GROUP}
    assert {request.method for request in site.requests} == {"GET", "DELETE"}
    assert all(NO_GROUP in request.query for request in site.requests if request.method == "DELETE")
    pd.testing.assert_frame_equal(site.world.frames()["memberships"], members)


def test_every_scope_is_told_apart(connected: Workspace, site: PracticeSite) -> None:
    asked = (*DEFAULT_SCOPES, *GRANULAR[:3])
    for absent in asked[1:]:
        give(connected, site, asked, [name for name in asked if name != absent])
        states = state_of(connected.check())
        assert [name for name in asked if states[name] == "missing"] == [absent]
        assert {states[name] for name in asked[1:] if name != absent} == {"ok"}


def test_a_missing_scope_has_its_fix_and_its_step(connected: Workspace, site: PracticeSite) -> None:
    give(connected, site, DEFAULT_SCOPES, [name for name in DEFAULT_SCOPES if "groups" not in name])
    found = connected.check()
    assert trouble(found)
    reads = row(found, "read:confluence-groups")
    assert reads["words"] == "The token does not have it (GET /wiki/rest/api/group/by-id)."
    assert "Enable read:confluence-groups on the app" in reads["fix"]
    assert row(found, "Pick groups")["words"] == "The token lacks read:confluence-groups."
    assert state_of(found)["Change membership"] == "missing"
    # The right to write cannot be read without the scope, and says so instead of guessing.
    assert row(found, "Right to change membership")["state"] == "unknown"


def test_only_what_is_asked_for_counts_as_missing(connected: Workspace, site: PracticeSite) -> None:
    asked = ("read:confluence-groups", "read:confluence-user", "read:me", "offline_access")
    give(connected, site, asked, asked)
    found = connected.check()
    assert not trouble(found)
    change = row(found, "Change membership")
    assert change["state"] == "off"
    assert change["words"] == "The connection does not ask for write:confluence-groups, which this needs."
    assert "Right to change membership" not in state_of(found)
    assert not [request for request in site.requests if request.method == "DELETE"]


def test_two_scopes_that_permit_the_same_are_not_told_apart_in_silence(
    connected: Workspace, site: PracticeSite
) -> None:
    asked = ("read:confluence-groups", "read:group:confluence", "read:me")
    both = [name for name in asked if name != "read:group:confluence"]
    site.apps[0].scopes = (*site.apps[0].scopes, "read:group:confluence")
    give(connected, site, asked, asked)
    words = row(connected.check(), "read:group:confluence")["words"]
    assert "has it or read:confluence-groups, which permits the same" in words
    give(connected, site, asked, both)
    found = row(connected.check(), "read:group:confluence")
    assert found["state"] == "unknown"
    assert "did not name this scope" in found["words"]


def test_a_scope_that_no_token_ever_holds_is_no_trouble(connected: Workspace, site: PracticeSite) -> None:
    asked = (*DEFAULT_SCOPES, "report:personal-data", "write:confluence-props")
    site.apps[0].scopes = (*site.apps[0].scopes, "write:confluence-props")
    give(connected, site, asked, [name for name in asked if name != "report:personal-data"])
    found = connected.check()
    assert row(found, "report:personal-data")["state"] == "unknown"
    # Nothing harmless tests this one: what the token endpoint said has to do, and is named as such.
    assert row(found, "write:confluence-props")["words"].startswith("Granted, as the token says")
    assert not trouble(found)


@pytest.mark.parametrize("who", ["member", "guest"])
def test_who_is_no_administrator_is_told_without_writing(connected: Workspace, site: PracticeSite, who: str) -> None:
    give(connected, site, DEFAULT_SCOPES, DEFAULT_SCOPES, who)
    found = connected.check()
    right = row(found, "Right to change membership")
    assert right["state"] == "missing"
    assert "only site administrators may" in right["words"] or "in no group of site administrators" in right["words"]
    assert "Sign in as a site administrator" in right["fix"]
    assert state_of(found)["write:confluence-groups"] == "ok"
    assert state_of(found)["Change membership"] == "missing"
    assert set(site.writes) <= {NO_GROUP}


def test_who_may_not_use_confluence_at_all(connected: Workspace, site: PracticeSite) -> None:
    give(connected, site, DEFAULT_SCOPES, DEFAULT_SCOPES, "outsider")
    found = connected.check()
    access = row(found, "Access to Confluence")
    assert access["state"] == "failed"
    assert "may not use Confluence on this site" in access["words"]


def test_a_scope_that_the_site_withdrew(connected: Workspace, site: PracticeSite) -> None:
    allowed = frozenset(DEFAULT_SCOPES) - {"write:confluence-groups"}
    site.auth.site_scopes[site.sites[0].cloud_id] = allowed
    found = row(connected.check(), "write:confluence-groups")
    assert (found["state"], found["words"]) == ("missing", "The site does not let the app use it.")


def test_a_token_for_another_site(connected: Workspace, site: PracticeSite) -> None:
    saved = connected.connection()
    other = "00000000-0000-4000-8000-0000000000ff"
    connected.connections.set_site(saved.connection_id, other, "Elsewhere", "https://elsewhere.atlassian.net")
    found = row(connected.check(), "Site")
    assert found["state"] == "failed"
    assert found["words"] == f"The token is not for Elsewhere; its sites: {site.sites[0].name}."


def test_a_token_that_is_refused(connected: Workspace, site: PracticeSite) -> None:
    site.faults.add("401-always")
    found = connected.check()
    assert trouble(found)
    assert row(found, "Token")["state"] == "failed"
    assert "does not accept the access token" in row(found, "Token")["words"]
    assert row(found, "Site")["state"] == "ok"
    steps = found[found["kind"] == "step"]
    assert set(steps["state"]) == {"unknown"}
    assert (steps["fix"] != "").all()


def test_a_token_that_cannot_be_renewed_is_told_as_such(connected: Workspace) -> None:
    connected.tokens.set_client_secret(connected.connection(), Secret("another-secret"))
    with connected.store.write() as db:
        now = datetime.now(UTC)
        db.execute(
            credentials.update().values(expires_at=now - timedelta(hours=1), refreshed_at=now - timedelta(hours=2))
        )
    found = connected.check()
    assert row(found, "Token")["state"] == "failed"
    assert "client" in row(found, "Token")["words"]
    assert "secret" in row(found, "Token")["fix"]
    assert "Site" not in state_of(found)
    assert trouble(found)


def test_a_site_that_does_not_answer(workspace: Workspace) -> None:
    with PracticeSite(size="class", seed=1) as site:
        connect(workspace, site)
    found = workspace.check()
    assert row(found, "Site")["state"] == "failed"
    assert "Start it again (spokekit practice)" in row(found, "Site")["fix"]


def test_an_html_page_instead_of_an_answer_proves_nothing(connected: Workspace, site: PracticeSite) -> None:
    found = connected.check()
    assert state_of(found)["read:confluence-user"] == "ok"
    site.faults.add("html-200:1@user")
    found = connected.check()
    assert state_of(found)["read:confluence-user"] == "unknown"
    assert state_of(found)["read:confluence-groups"] == "ok"


def test_without_a_token_nothing_is_sent(workspace: Workspace, site: PracticeSite) -> None:
    saved = connect(workspace, site)
    workspace.tokens.forget(saved)
    found = workspace.check()
    assert state_of(found) == {"Token": "failed"}
    assert "spokekit token get" in row(found, "Token")["fix"]
    workspace.tokens.set_client_secret(saved, None)
    assert "client id and secret" in row(workspace.check(), "Token")["fix"]
    assert not site.requests


def test_what_cannot_be_checked_at_all(workspace: Workspace) -> None:
    with pytest.raises(NotConfigured):
        workspace.check()
    with pytest.raises(NotFound):
        workspace.check("nobody")


def test_progress_and_cancel(connected: Workspace, site: PracticeSite) -> None:
    heard: list[str] = []
    connected.check(progress=lambda progress: heard.append(progress.words))
    assert heard
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        connected.check(cancel=cancel)


def test_the_guard_of_a_check_lets_no_group_pass() -> None:
    with pytest.raises(GuardRefused, match="never changes a group"):
        NoRealGroup().check("1324a887-45db-1bf4-1e99-ef0ff456d421")


def test_the_probes_name_known_scopes_and_write_nothing_else() -> None:
    assert {name for probe in PROBES for name in probe.scopes} <= set(KNOWN)
    assert [probe.path for probe in PROBES if probe.write] == ["/wiki/rest/api/group/userByGroupId"]
    assert [probe.path for probe in PROBES if probe.body is not None] == ["/wiki/api/v2/users-bulk"]


@pytest.mark.parametrize(
    ("minutes", "said"), [(10, "10 minutes behind"), (-10, "10 minutes ahead"), (1, None), (None, None)]
)
def test_a_wrong_clock_is_told(connected: Workspace, minutes: int | None, said: str | None) -> None:
    class Elsewhen(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await super().handle_async_request(request)
            there = datetime.now(UTC) + timedelta(minutes=minutes or 0)
            answer.headers["date"] = "yesterday, or so" if minutes is None else format_datetime(there, usegmt=True)
            return answer

    found = connected.check(transport=Elsewhen())
    if said is None:
        assert "Clock" not in set(found["check"]) and not trouble(found)
    else:
        clock = row(found, "Clock")
        assert clock["state"] == "failed" and said in clock["words"] and "Set this computer's clock" in clock["fix"]
