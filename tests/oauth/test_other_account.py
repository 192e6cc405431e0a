"""Another account consents than before: shown, asked, and never in the place of the earlier one without a yes."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit._secret import Secret
from spokekit.cli import main
from spokekit.connections.connection import Connection
from spokekit.connections.store import Store
from spokekit.errors import OtherAccount, ServiceError
from spokekit.oauth.grant import take_waiting
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, configured
from tests.oauth.test_site_and_account import consent

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def spokekit(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        try:
            main(list(arguments))
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, " ".join((shown.out + shown.err).split())

    return spokekit


@pytest.fixture
def connection(place: Place, site: PracticeSite) -> Connection:
    consent(place, site, configured(place, site))
    return place.connection()


def speaks_for(site: PracticeSite, token: Secret) -> str:
    answer = httpx2.get(site.url + "me", headers={"Authorization": f"Bearer {token.reveal()}"})
    return str(answer.json()["account_id"])


def sealed(home: Path) -> list[Path]:
    return sorted(home.glob("token-*"))


def test_unattended_the_token_of_before_stays_and_the_new_one_waits_sealed(
    place: Place, site: PracticeSite, connection: Connection, home: Path, run: Run
) -> None:
    mine, member = site.account_id, site.world.account("member")
    site.signed_in = "member"
    with pytest.raises(OtherAccount) as told:
        consent(place, site, connection)
    assert mine in str(told.value) and member in str(told.value) and "--yes" in str(told.value.hint)
    assert told.value.next_step == "confirm_account"
    assert speaks_for(site, place.tokens.access_token(connection)) == mine
    assert place.connection().account_id == mine and len(sealed(home)) == 1

    # It waits in another process too, outlives a renewal of the token of before, and is said wherever the token is.
    site.advance(4000)
    later = Place(Store(place.store.url), site)
    assert speaks_for(site, later.tokens.access_token(connection)) == mine
    assert member in later.tokens.status(connection).waits and len(sealed(home)) == 1
    for command in (("token", "status"), ("doctor",)):
        assert member in run(*command)[1], command
    status = take_waiting(later, connection, confirm_account=lambda question: member in question and mine in question)
    assert status is not None and status.account_before and not status.waits and not sealed(home)
    assert speaks_for(site, later.tokens.access_token(connection)) == member
    assert place.connection().account_id == member
    later.store.close()


def test_a_no_drops_the_new_one_and_nothing_has_changed(
    place: Place, site: PracticeSite, connection: Connection, home: Path
) -> None:
    before = place.tokens.access_token(connection)
    site.signed_in = "member"
    with pytest.raises(OtherAccount, match="was not taken; the one of before stays in use"):
        consent(place, site, connection, confirm_account=lambda _: False)
    assert place.tokens.access_token(connection) == before and not sealed(home)
    assert not place.tokens.status(connection).waits and take_waiting(place, connection) is None


@pytest.mark.parametrize("state", ["forgotten", "ended"])
def test_a_connection_whose_token_is_gone_asks_too(
    place: Place, site: PracticeSite, connection: Connection, state: str
) -> None:
    """That is when a person consents again, and when a stranger's code would come in handy."""
    if state == "forgotten":
        place.tokens.forget(connection)
    else:
        site.change_password()
        site.advance(4000)
        with pytest.raises(Exception, match="no longer valid"):
            place.tokens.access_token(connection)
    was = place.tokens.status(connection).state
    site.signed_in = "member"
    with pytest.raises(OtherAccount):
        consent(place, site, connection)
    assert place.tokens.status(connection).state == was
    site.signed_in = "admin"
    assert consent(place, site, connection).state == "valid", "the account of before is not asked about"
    assert not place.tokens.status(connection).waits, "and what waited is done with"


def test_a_waiting_token_that_nobody_could_name_is_named_later_and_the_same_account_is_taken(
    place: Place, site: PracticeSite, connection: Connection, home: Path
) -> None:
    def broken(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("accessible-resources"):
            return httpx2.Response(502, text="<html>")
        with httpx2.HTTPTransport() as real:
            answer = real.handle_request(request)
            answer.read()
            return answer

    before = place.tokens.access_token(connection)
    place.tokens._transport = httpx2.MockTransport(broken)
    with pytest.raises(ServiceError):
        consent(place, site, connection)
    assert place.tokens.access_token(connection) == before and len(sealed(home)) == 1
    place.tokens._transport = None
    assert take_waiting(place, connection) is not None
    assert place.tokens.access_token(connection) != before and not sealed(home)


def test_forgetting_the_token_and_another_app_drop_what_waits(
    place: Place, site: PracticeSite, connection: Connection, home: Path
) -> None:
    site.signed_in = "member"
    for change in (
        lambda: place.tokens.forget(connection),
        lambda: place.connections.edit(connection.connection_id, client_id="AnotherApp"),
    ):
        with pytest.raises(OtherAccount):
            consent(place, site, connection)
        change()
        assert place.tokens.pending.waiting(place.connection()) is None


def test_the_command_refuses_where_nobody_is_and_yes_takes_it(
    place: Place, site: PracticeSite, connection: Connection, run: Run
) -> None:
    site.signed_in = "member"
    with pytest.raises(OtherAccount):
        consent(place, site, connection)
    code, words = run("token", "get", "--yes")
    assert code == 0 and "Connected to" in words and site.world.account("member") in words
    assert place.connection().account_id == site.world.account("member")
    assert speaks_for(site, place.tokens.access_token(connection)) == site.world.account("member")


@pytest.mark.parametrize("answer", ["y", "n"])
def test_the_command_asks_at_a_terminal(place: Place, site: PracticeSite, connection: Connection, answer: str) -> None:
    site.signed_in = "member"
    with pytest.raises(OtherAccount):
        consent(place, site, connection)
    main_end, terminal = pty.openpty()
    program = [sys.executable, "-m", "spokekit", "token", "get"]
    with subprocess.Popen(program, stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
        os.write(main_end, f"{answer}\n".encode())
        words = " ".join(asking.communicate(timeout=60)[1].split())
    os.close(main_end)
    os.close(terminal)
    assert "has spoken for" in words and "Take the new token?" in words
    expected: Any = (0, "member") if answer == "y" else (1, "admin")
    assert (asking.returncode, place.connection().account_id) == (expected[0], site.world.account(expected[1])), words
