"""A connection whose token a service account gets: no consent, no refresh token, no scope sent, one request for all."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.check import check_connection
from spokekit.connections.connection import Connection, ConnectionDraft
from spokekit.errors import (
    ClientSecretRefused,
    InputError,
    NoSite,
    NotConfigured,
    ScopeMissing,
    ServiceError,
    SiteChoiceNeeded,
    SpokekitError,
    UnexpectedAnswer,
)
from spokekit.oauth.grant import get_token
from spokekit.practice import PracticeSite
from spokekit.practice.apps import App
from spokekit.practice.service_accounts import READING_SCOPES, make_service_account, revoke
from tests.oauth.support import Place
from tests.oauth.test_refresh_stress import go, ready, start


def unattended(place: Any, site: PracticeSite, app: App | None = None, **changes: Any) -> tuple[Connection, App]:
    """Save a connection with the credential of a service account, without a token."""
    app = app or make_service_account(site)
    draft = {"url": site.url, "auth_url": site.auth_url, "client_id": app.client_id, "grant": "service-account"}
    draft["scopes"] = " ".join(READING_SCOPES)
    connection = place.connections.save(ConnectionDraft(**{**draft, **changes}))
    place.tokens.set_client_secret(connection, Secret(app.client_secret))
    return connection, app


def ask(site: PracticeSite, app: App, **more: str) -> httpx2.Response:
    fields = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    return httpx2.post(f"{site.url}oauth/token", json={**fields, **more}, timeout=5)


# -------------------------------------------------------------------------------------------- the practice site


def test_the_practice_site_gives_a_token_for_an_hour_and_no_refresh_token(site: PracticeSite) -> None:
    app = make_service_account(site)
    answer = ask(site, app).json()
    assert set(answer) == {"access_token", "expires_in", "token_type", "scope"}
    assert (answer["expires_in"], set(answer["scope"].split())) == (3600, set(READING_SCOPES))
    assert ask(site, app, scope="read:confluence-groups").json()["error"] == "invalid_scope"
    site.switches.update(service_account_scope="ignored", service_account_told_scopes=False)
    assert set(ask(site, app, scope="read:confluence-groups").json()) == {"access_token", "expires_in", "token_type"}
    site.switches.update(client_credentials="refused")
    assert ask(site, app).status_code == 403
    # An app that people consent to is no service account, and the other way round.
    assert ask(site, site.apps[0]).json()["error"] == "unauthorized_client"


def test_a_service_account_stays_over_a_restart_of_the_practice_site(tmp_path: Path) -> None:
    with PracticeSite(kept=tmp_path / "kept.json") as first:
        app = make_service_account(first, sites=[first.world.cloud_id])
    with PracticeSite(kept=tmp_path / "kept.json") as second:
        assert ask(second, app).status_code == 200
        revoke(second.auth, app := second.apps[-1])
        assert (app.service_account, ask(second, app).status_code) == (second.apps[-1].service_account, 401)


@pytest.mark.parametrize("writes", [False, True])
def test_whether_a_service_account_may_write_is_a_switch(
    workspace: Workspace, site: PracticeSite, writes: bool
) -> None:
    site.switches.update(service_account_writes=writes)
    scopes = (*READING_SCOPES, "write:confluence-groups")
    unattended(workspace, site, make_service_account(site, scopes=scopes), scopes=scopes)
    get_token(workspace, workspace.connection())
    found = workspace.check().set_index("check")
    # By reading it cannot be told: the account is in no group of administrators, and the write of a group that is not
    # there says whether the site would let it.
    assert found.loc["write:confluence-groups", "state"] == "ok"
    assert found.loc["Right to change membership", "state"] != "ok"
    assert "Service accounts" in found.loc["Right to change membership", "fix"]


def test_orders_make_and_revoke_one(site: PracticeSite) -> None:
    def order(**told: Any) -> httpx2.Response:
        headers = {"X-Practice-Key": site.keys.key}
        return httpx2.post(f"{site.url}practice/orders", json={"orders": [told]}, headers=headers, timeout=5)

    made = order(do="create-account", name="Nightly").json()["results"][0]
    assert set(made) == {"client_id", "client_secret", "account_id"}
    assert order(do="revoke-account", client_id=site.client_id).status_code == 400
    assert order(do="revoke-account", client_id=made["client_id"]).status_code == 200
    assert ask(site, site.apps[-1]).status_code == 401


# -------------------------------------------------------------------------------------------- getting the token


def test_the_token_comes_without_a_browser_and_a_new_one_after_an_hour(place: Place, site: PracticeSite) -> None:
    connection, app = unattended(place, site)
    assert "Get the OAuth token" in place.tokens.status(connection).words
    said: list[str] = []
    opened: list[str] = []
    status = get_token(place, connection, open_browser=opened.append, tell=said.append)
    assert (status.state, status.site, status.consent_by, status.attention) == (
        "valid",
        site.sites[0].name,
        None,
        False,
    )
    assert not opened and site.count("authorize") == 0
    connection = place.connection()
    assert connection.account_id == app.service_account and connection.cloud_id == site.world.cloud_id
    first = place.tokens.access_token(connection)
    assert place.tokens.access_token(connection) == first
    site.advance(3700)
    assert place.tokens.status(connection).state == "expired"
    assert not place.tokens.status(connection).attention
    assert place.tokens.access_token(connection) != first
    assert (site.count("service-token"), site.count("refresh")) == (2, 0)
    for words in (*said, status.words, place.tokens.status(connection).words):
        assert "consent" not in words.lower(), words


def test_nothing_is_sent_but_the_credential(place: Place, site: PracticeSite) -> None:
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(200, json={"access_token": "t", "expires_in": 3600})

    place = Place(place.store, site, transport=httpx2.MockTransport(answer))
    connection, app = unattended(place, site)
    place.tokens.access_token(connection)
    fields = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    assert json.loads(sent[0]) == fields
    # What the answer does not say is not known: the scopes of the connection are no evidence.
    assert place.tokens.status(connection).scopes == ()


def test_a_form_is_sent_where_the_server_wants_one(place: Place, site: PracticeSite) -> None:
    sent: list[dict[str, list[str]]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if "json" in request.headers["content-type"]:
            return httpx2.Response(415)
        sent.append(parse_qs(request.content.decode()))
        return httpx2.Response(200, json={"access_token": "t", "expires_in": 3600})

    place = Place(place.store, site, transport=httpx2.MockTransport(answer))
    connection, _ = unattended(place, site)
    place.tokens.access_token(connection)
    assert set(sent[0]) == {"grant_type", "client_id", "client_secret"}


def test_eight_processes_ask_once(place: Place, site: PracticeSite) -> None:
    connection, _ = unattended(place, site, make_service_account(site, scopes=(*READING_SCOPES, "read:me")))
    workers = [start(connection.connection_id, site, seed, cancel=True, slow=0.1) for seed in range(8)]
    ready(workers)
    for worker in workers:
        go(worker)
    outcomes = []
    for worker in workers:
        out, problems = worker.communicate(timeout=60)
        assert worker.returncode == 0, problems
        outcomes += json.loads(out)
    assert site.count("service-token") == 1
    assert len(outcomes) == 80 and set(outcomes) <= {200, "CancelledError"}


def test_several_sites_are_chosen_and_never_guessed(home: Path) -> None:
    with PracticeSite(sites=3) as site:
        work = Workspace()
        connection, _ = unattended(work, site)
        with pytest.raises(SiteChoiceNeeded) as refused:
            get_token(work, connection)
        assert len(refused.value.sites) == 3 and work.connection().cloud_id is None
        with work.spoke() as spoke, pytest.raises(NotConfigured):
            spoke.look_up_groups()
        status = get_token(work, connection, site=site.sites[2].url)
        assert work.connection().cloud_id == site.sites[2].cloud_id and not status.needs_site
        # The chosen one stays, whatever order they come in.
        get_token(work, work.connection())
        assert work.connection().cloud_id == site.sites[2].cloud_id
        site.switches.update(no_resources=True)
        with pytest.raises(NoSite, match="service account"):
            get_token(work, work.connection())


# -------------------------------------------------------------------------------------------- what goes wrong


def refused(place: Place, connection: Connection) -> SpokekitError:
    with pytest.raises(SpokekitError) as caught:
        place.tokens.access_token(connection)
    return caught.value


def test_a_wrong_secret_and_a_revoked_credential_have_their_sentence(place: Place, site: PracticeSite) -> None:
    connection, app = unattended(place, site)
    place.tokens.set_client_secret(connection, Secret("practice-secret-of-another-day"))
    error = refused(place, connection)
    assert isinstance(error, ClientSecretRefused) and "mistyped" in str(error)
    status = place.tokens.status(connection)
    assert status.attention and "does not accept" in status.words
    place.tokens.set_client_secret(connection, Secret(app.client_secret))
    get_token(place, connection)
    revoke(site.auth, app)
    # The token that is here looks good until the site refuses it.
    good = place.tokens.access_token(connection)
    with pytest.raises(ClientSecretRefused, match=r"admin\.atlassian\.com"):
        place.tokens.access_token(connection, rejected=good)
    for words in (str(error), place.tokens.status(connection).words):
        assert "consent" not in words.lower(), words


def test_an_organisation_without_the_grant_and_an_app_of_people(place: Place, site: PracticeSite) -> None:
    connection, _ = unattended(place, site, site.apps[0])
    assert "client id of an app that people consent to" in str(refused(place, connection))


def test_a_token_endpoint_that_is_down_is_tried_again_next_time(place: Place, site: PracticeSite) -> None:
    connection, _ = unattended(place, site)
    site.faults.add("token-502")
    error = refused(place, connection)
    assert isinstance(error, ServiceError) and error.next_step == "wait"
    assert "could not be got" in place.tokens.status(connection).words
    site.faults.clear()
    place.tokens.access_token(connection)
    assert not place.tokens.status(connection).reason


def test_a_scope_that_something_on_the_way_added_has_its_sentence(place: Place, site: PracticeSite) -> None:
    def meddle(request: httpx2.Request) -> httpx2.Response:
        fields = json.loads(request.content) | {"scope": "read:confluence-groups"}
        return httpx2.post(str(request.url), json=fields, timeout=5)

    place = Place(place.store, site, transport=httpx2.MockTransport(meddle))
    connection, _ = unattended(place, site)
    error = refused(place, connection)
    assert isinstance(error, UnexpectedAnswer) and "because of a scope" in str(error)


def test_without_its_secret_it_is_not_configured(place: Place, site: PracticeSite) -> None:
    connection, _ = unattended(place, site)
    get_token(place, connection)
    place.tokens.set_client_secret(connection, None)
    assert place.tokens.status(connection).state == "not_configured"
    site.advance(4000)
    assert isinstance(refused(place, connection), NotConfigured)


def test_a_missing_scope_is_mended_by_another_credential(workspace: Workspace, site: PracticeSite) -> None:
    app = make_service_account(site, scopes=["read:confluence-groups"])
    unattended(workspace, site, app, scopes="read:confluence-groups read:confluence-user")
    get_token(workspace, workspace.connection())
    assert "does not cover read:confluence-user" in workspace.status()[0].words
    with workspace.spoke() as spoke, pytest.raises(ScopeMissing, match="new OAuth"):
        spoke.look_up_users([site.account_id])
    found = check_connection(workspace.connection(), workspace.tokens)
    lacking = found[found["check"] == "read:confluence-user"].iloc[0]
    assert lacking["state"] == "missing" and "new OAuth 2.0 credential" in lacking["fix"]
    words = " ".join(found["words"] + found["fix"])
    assert "consent" not in words.lower() and "Save and Get" not in words


def test_the_kind_can_be_changed_and_takes_the_token_along(place: Place, site: PracticeSite) -> None:
    connection, _ = unattended(place, site)
    get_token(place, connection)
    people = place.connections.edit(connection.connection_id, grant="consent")
    assert place.tokens.status(people).state == "no_token" and people.account_id is None
    with pytest.raises(InputError, match="in this way"):
        place.connections.edit(connection.connection_id, grant="api-token")


def test_a_store_of_before_opens_as_it_is(place: Place, site: PracticeSite) -> None:
    connection, _ = unattended(place, site, site.apps[0], grant="consent")
    with place.store.write() as db:
        db.exec_driver_sql("DROP TABLE connection_kinds")
    again = Place(type(place.store)(place.store.url), site)
    assert again.connection() == connection and not again.connection().read_only
    assert again.connections.edit(connection.connection_id, read_only=True).read_only


# -------------------------------------------------------------------------------------------- no secret anywhere


def test_no_secret_of_this_grant_is_shown_logged_or_written(
    place: Place, site: PracticeSite, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    connection, app = unattended(place, site)
    get_token(place, connection)
    secrets = [app.client_secret, place.tokens.access_token(connection).reveal()]
    shown = [repr(connection), repr(place.tokens.status(connection)), repr(app)]
    site.faults.add("token-502")
    site.advance(4000)
    errors = [refused(place, connection)]
    site.faults.clear()
    revoke(site.auth, app)
    errors.append(refused(place, connection))
    place.tokens.set_client_secret(connection, Secret("practice-secret-planted-4711"))
    secrets.append("practice-secret-planted-4711")
    errors.append(refused(place, connection))
    here = str(Path(__file__))
    for error in errors:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == here:
            trace = trace.tb_next
        shown += [repr(error), str(error), str(vars(error))]
        shown.append("".join(traceback.TracebackException(type(error), error, trace, capture_locals=True).format()))
    shown += [f"{r.getMessage()} {r.args!r}" for r in caplog.records if not r.name.startswith("practice")]
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for secret in secrets:
        assert not any(secret in text for text in shown)
        assert secret.encode() not in kept
    assert not any(app.client_secret in str(vars(record)) for record in map(_plain, site.requests))


def _plain(record: Any) -> Any:
    return type("Plain", (), {name: getattr(record, name) for name in ("method", "path", "query", "name")})()
