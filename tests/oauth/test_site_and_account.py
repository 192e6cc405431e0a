"""Which site a connection leads to and for whom it speaks: chosen as people name it, told alike everywhere."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.connections.connection import Connection
from spokekit.connections.store import default_store
from spokekit.errors import InputError, NotConfigured, SiteChoiceNeeded, SpokekitError
from spokekit.oauth.endpoint import Site
from spokekit.oauth.grant import choose_site, get_token, pick_site
from spokekit.oauth.receivers import make_receiver
from spokekit.oauth.sites import find_site
from spokekit.oauth.status import NO_SITE
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, configured, granted

Run = Callable[..., tuple[int, str, str]]
ACME = "0b4cf1f0-7a1c-4c4e-9b0e-111111111111"
SITES = (
    Site(ACME, "Acme Köln", "https://acme.atlassian.net"),
    Site("0b4cf1f0-7a1c-4c4e-9b0e-222222222222", "Beta Inc.", "https://beta-gmbh.atlassian.net"),
    Site("0b4cf1f0-7a1c-4c4e-9b0e-333333333333", "Twins", "https://twins.atlassian.net"),
    Site("0b4cf1f0-7a1c-4c4e-9b0e-444444444444", "Twins", "https://wiki.twins.example"),
    Site("0b4cf1f0-7a1c-4c4e-9b0e-555555555555", "acme", "https://other.atlassian.net"),
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def spokekit(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        try:
            main(list(arguments))
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return spokekit


@pytest.fixture
def two(home: Path) -> Iterator[PracticeSite]:
    """A practice site whose account reaches two sites."""
    with PracticeSite(sites=2, strict=True) as site:
        yield site


def consent(place: Any, practice: PracticeSite, connection: Connection, **more: Any) -> Any:
    receiver = make_receiver("paste", connection.redirect_uri)
    return get_token(
        place,
        connection,
        receiver=receiver,
        open_browser=lambda address: receiver.deliver(practice.play_browser(address)),
        **more,
    )


def me(site: PracticeSite) -> str:
    """Return the name of who is signed in, as the identity API says it."""
    token = site.issue_token(scopes=("read:me",))["access_token"]
    answer = httpx2.get(site.url + "me", headers={"Authorization": f"Bearer {token}"})
    return str(answer.json()["name"])


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("https://acme.atlassian.net", 0),
        ("https://acme.atlassian.net/", 0),
        ("https://acme.atlassian.net/wiki/spaces/ABC/pages/123/Title?focusedCommentId=4#x", 0),
        ("HTTPS://ACME.Atlassian.NET/wiki", 0),
        ("http://acme.atlassian.net:443/jira", 0),
        ("acme.atlassian.net", 0),
        ("acme.atlassian.net.", 0),
        ("//acme.atlassian.net/wiki/", 0),
        ("<https://acme.atlassian.net/wiki/>", 0),
        ("“Acme.atlassian.net”", 0),
        (ACME.upper(), 0),
        (f" {ACME}\n", 0),
        (f"ari:cloud:confluence::site/{ACME}", 0),
        (f"https://api.atlassian.com/ex/confluence/{ACME}", 0),
        (f"https://admin.atlassian.com/s/{ACME}/users", 0),
        ("ACME  Ko\u0308LN", 0),
        ("beta inc.", 1),
        ("Beta Inc", 1),
        ("beta-gmbh", 1),
        (f"https://beta-gmbh.atlassian.net/wiki/search?cloudId={ACME}", 1),
        ("wiki.twins.example/wiki/home", 3),
    ],
)
def test_a_site_is_named_as_people_paste_it(connection: Connection, wanted: str, number: int) -> None:
    assert find_site(wanted, SITES, connection) is SITES[number]


@pytest.mark.parametrize(
    ("wanted", "words", "named"),
    [
        ("gamma.atlassian.net", "none of the sites", SITES),
        ("https://acme.atlassian.net.evil.example/", "none of the sites", SITES),
        ("atlassian", "none of the sites", SITES),
        ("Twins", "fits several", SITES[2:4]),
        # The name of one and the host of another.
        ("Acme", "fits several", (SITES[0], SITES[4])),
    ],
)
def test_what_fits_none_or_several_is_named_with_what_there_is(
    connection: Connection, wanted: str, words: str, named: tuple[Site, ...]
) -> None:
    with pytest.raises(SiteChoiceNeeded, match=words) as problem:
        find_site(wanted, SITES, connection)
    assert wanted.strip() in problem.value.message and "--site" in str(problem.value)
    assert all(site.name in problem.value.message and site.url in problem.value.message for site in named)
    assert [one[0] for one in problem.value.sites] == [site.cloud_id for site in named]
    if "several" in words:
        assert all(site.cloud_id in problem.value.message for site in named), "else nobody can tell them apart"


@pytest.mark.parametrize(
    "wanted", ["", "  ", "//", "https://", "api.atlassian.com", "https://id.atlassian.com/login", "x" * 3000]
)
def test_what_can_be_no_site_is_refused_before_the_consent(
    place: Place, site: PracticeSite, run: Run, wanted: str
) -> None:
    connection = configured(place, site)
    code, shown, told = run("token", "get", "--paste", "--site", wanted)
    assert code == 1 and "authorize" not in shown + told and "Give the address of the site" in told
    with pytest.raises(InputError):
        consent(place, site, connection, site=wanted)
    assert site.count("exchange") == 0


def test_the_saved_token_is_enough_to_choose_and_to_change_the_site(two: PracticeSite, run: Run) -> None:
    place = Place(default_store(), two)
    connection = granted(place, two)
    first, second = two.sites
    code, shown, told = run("token", "get", "--site", f"{second.url.upper()}/wiki/spaces/ABC")
    assert code == 0 and shown == "" and second.name in told and "authorize" not in told
    assert (place.connection().cloud_id, place.connection().site_url) == (second.cloud_id, second.url)
    assert place.connection().account_id == two.account_id, "who consented is noted as well"
    assert run("token", "get", "--site", first.cloud_id)[0] == 0
    assert place.connection().cloud_id == first.cloud_id
    assert run("connections", "edit", "--site", second.url, "--name", "Renamed")[0] == 0
    assert (place.connection().cloud_id, place.connection().name) == (second.cloud_id, "Renamed")
    code, _, told = run("token", "get", "--connection", "Renamed", "--site", "nowhere.atlassian.net")
    assert code == 1 and "nowhere.atlassian.net" in told and first.url in told and second.url in told
    code, _, told = run("connections", "edit", "--site", "nowhere", "--name", "Other")
    assert code == 1 and place.connection().name == "Renamed", "nothing is changed by half"
    code, _, told = run("connections", "edit", "--site", first.url, "--client-id", "other")
    assert code == 1 and "--client-id" in told and place.connection().client_id == connection.client_id
    assert two.count("exchange") == 0


def test_an_expired_token_is_renewed_for_the_choice(two: PracticeSite, run: Run) -> None:
    place = Place(default_store(), two)
    connection = granted(place, two)
    two.advance(7200)
    assert choose_site(place, connection, two.sites[1].url).site == two.sites[1].name


def test_every_command_tells_a_token_without_a_site_alike(two: PracticeSite, run: Run) -> None:
    place = Place(default_store(), two)
    connection = granted(place, two)
    with pytest.raises(SiteChoiceNeeded) as problem:
        pick_site(connection, [Site(one.cloud_id, one.name, one.url) for one in two.sites])
    mends = "spokekit token get --connection 'Confluence Cloud Spoke Connection' --site SITE"
    assert mends in str(problem.value)
    for command in (
        ("token", "status"),
        ("connections", "list", "--format", "json"),
        ("connections", "show", "--format", "json"),
        ("connections", "check", "--format", "json"),
        ("doctor", "--format", "json"),
        ("groups", "list"),
        ("groups", "list", "--all"),
        ("groups", "add", "x"),
        ("members", "list", "x"),
        ("audit", "walk"),
        ("audit", "walk", "--all"),
        ("audit", "snapshots"),
        ("audit", "findings"),
    ):
        _, shown, told = run(*command)
        words = " ".join((shown + told).split())
        assert NO_SITE in words, (command, words)
        assert mends in words, (command, words)
        assert "Nobody has consented" not in words, command


def test_a_connection_without_a_token_is_told_so(place: Place, site: PracticeSite) -> None:
    configured(place, site)
    with pytest.raises(NotConfigured, match="has no site yet"):
        Workspace().sited()


def test_a_consent_keeps_to_the_site_that_was_named(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site)
    with pytest.raises(SiteChoiceNeeded, match=r"other\.atlassian\.net"):
        # The consent reaches one site, and that is not the one that was asked for.
        consent(place, site, connection, site="other.atlassian.net")
    assert place.connection().cloud_id is None
    assert consent(place, site, connection, site=site.sites[0].url).site == site.sites[0].name


# -- who consented -----------------------------------------------------------------------------------------------------


def test_a_change_of_account_is_told(place: Place, site: PracticeSite, run: Run) -> None:
    connection = configured(place, site)
    first = consent(place, site, connection)
    assert first.account and not first.account_before and f"as {first.account}." in first.words
    site.signed_in = "member"
    told: list[str] = []
    second = consent(place, site, place.connection(), tell=told.append, confirm_account=lambda _: True)
    assert second.account != first.account and second.account_before == first.account
    assert any(f"{second.account} consented (before: {first.account})" in one for one in told)
    assert f"as {second.account} (before: {first.account})" in second.words
    for command in (("token", "status"), ("connections", "show"), ("connections", "list", "--format", "json")):
        words = " ".join(run(*command)[1].split())
        assert f"{second.account} (before: {first.account})" in words, command
    row = json.loads(run("token", "status", "--format", "json")[1])[0]
    assert (row["site"], row["account"], row["account_before"]) == (site.sites[0].name, second.account, first.account)
    third = consent(place, site, place.connection())
    assert third.account == second.account and not third.account_before, "the same again is no change"


def test_who_consented_is_told_without_the_scope_for_it(place: Place, site: PracticeSite) -> None:
    scopes = ("read:confluence-groups", "read:confluence-user", "offline_access")
    site.signed_in = "member"
    connection = configured(place, site, scopes=scopes)
    assert consent(place, site, connection).account == me(site)


def test_an_account_that_nobody_names_is_not_taken_for_the_one_before(place: Place, site: PracticeSite) -> None:
    connection = configured(place, site, scopes=("read:confluence-groups", "offline_access"))
    place.connections.set_account(connection.connection_id, "712020:earlier", "Ann Earlier")
    told: list[str] = []
    status = consent(place, site, connection, tell=told.append, confirm_account=lambda _: True)
    assert (status.account, status.account_before) == ("", "Ann Earlier")
    assert "(before: Ann Earlier)" in status.words and any("not known (before: Ann Earlier)" in one for one in told)
    place.connections.remove(connection.connection_id)
    with pytest.raises(SpokekitError):
        place.connections.get(connection.connection_id)


def test_a_store_of_before_takes_the_new_table(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    with place.store.write() as db:
        db.execute(sa.text("DROP TABLE account_changes"))
    place.store._made.clear()
    assert place.tokens.status(connection).state == "valid"


@pytest.fixture
def connection(place: Place, site: PracticeSite) -> Connection:
    made = configured(place, site)
    place.tokens.set_client_secret(made, Secret("secret-of-the-app"))
    return made
