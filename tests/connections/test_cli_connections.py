"""``spokekit connections``: what it prints, what it refuses, and that no secret comes out of it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.connections.scopes import DEFAULT_SCOPES
from tests.conftest import connect

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite

SECRET = "planted-client-secret"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = 0
        try:
            main(arguments)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        assert SECRET not in out + err
        return code, out, err

    return call


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(SECRET + "\n")
    return path


def rows(out: str) -> list[dict[str, Any]]:
    found = json.loads(out)
    assert isinstance(found, list)
    return found


def test_from_nothing_to_a_saved_connection(run: Run, secret_file: Path) -> None:
    assert rows(run("connections", "list", "--format", "json")[1])[0]["state"] == "not_configured"
    code, out, err = run(
        *("connections", "add", "--name", "My site", "--url", "https://api.atlassian.com", "--client-id", "Abc123"),
        *("--client-secret-file", str(secret_file), "--redirect-uri", "http://localhost:9000/cb"),
        *("--scopes", "read:me,offline_access", "--auth-url", "https://auth.atlassian.com"),
    )
    assert (code, out) == (0, "Saved the connection “My site”.\n")
    assert "“Pick groups” needs read:confluence-groups besides." in err
    (shown,) = rows(run("connections", "show", "--format", "json")[1])
    assert shown["scopes"] == ["read:me", "offline_access"]
    assert shown["redirect_uri"] == "http://localhost:9000/cb"
    assert (shown["client_secret"], shown["state"], shown["alias"]) == ("saved", "no_token", "Confluence Cloud")
    work = Workspace()
    assert work.tokens.client_secret(work.connection()).reveal() == SECRET
    table = run("connections", "show", "My site")[1]
    assert "client secret  saved" in table


def test_the_secret_from_standard_input(run: Run) -> None:
    add = ("connections", "add", "--client-id", "Abc", "--client-secret-file", "-")
    code, _, err = run(*add, stdin=b"\xff\xfea\x00b\x00")
    assert (code, "not text in UTF-8" in err) == (1, True)
    code, _, err = run(*add, stdin=b"\n")
    assert (code, "OAuth client secret (not shown): this is empty" in err) == (1, True)
    assert Workspace().connections.list() == ()
    assert run(*add, stdin=b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n")[0] == 0
    work = Workspace()
    assert work.tokens.client_secret(work.connection()).reveal() == SECRET


def test_a_secret_file_that_cannot_be_used(run: Run, secret_file: Path, tmp_path: Path) -> None:
    add = ("connections", "add", "--client-id", "Abc", "--client-secret-file")
    code, _, err = run(*add, str(tmp_path / "nowhere"))
    assert (code, "cannot be read: No such file" in err) == (1, True)
    secret_file.chmod(0o644)
    code, _, err = run(*add, str(secret_file))
    assert (code, "Others can read" in err) == (0, True)


def test_aliases(run: Run) -> None:
    assert run("connections", "add", "--client-id", "Abc", "--alias", "Berlin", "--name", "One")[0] == 0
    assert run("connections", "add", "--client-id", "Abc", "--alias", "sn_conflunce_spoke.Confluence_Cloud")[0] == 0
    code, _, err = run("connections", "add", "--client-id", "Abc", "--alias", "Berlin", "--name", "Two")
    assert (code, "already has the active connection “One”" in err) == (1, True)
    assert run("connections", "add", "--client-id", "Abc", "--format", "json")[0] == 0
    found = rows(run("connections", "list", "--format", "json")[1])
    assert [(row["alias"], row["name"]) for row in found] == [
        ("Confluence Cloud", "Confluence Cloud Spoke Connection"),
        ("Berlin", "One"),
        ("Confluence Cloud Spoke Connection 2", "Confluence Cloud Spoke Connection 2"),
    ]
    (one,) = rows(run("connections", "show", " One ", "--format", "json")[1])
    assert rows(run("connections", "show", f"{one['connection_id']} ", "--format", "json")[1]) == [one]
    code, _, err = run("connections", "show", "Paris")
    assert (code, "There is no connection “Paris”" in err) == (1, True)


def test_wrong_input_gets_one_message_and_exit_1_and_wrong_usage_exit_2(run: Run) -> None:
    for arguments, words in (
        (("--client-id", "ab c"), "OAuth client id: there is a space at place 3."),
        (("--client-id", "abc", "--url", "https://x.atlassian.net"), "the address of the site itself"),
        (("--client-id", "abc", "--scopes", "Read:Me"), "has capital letters"),
        (("--client-id", "abc", "--name", "<b>"), "HTML is not taken here"),
        (("--client-id", "abc", "--redirect-uri", "http://192.0.2.1/"), "is not encrypted"),
        (("--client-id", "abc", "--url", "http://127.0.0.1:1/", "--auth-url", "https://auth.atlassian.com"), "belong"),
    ):
        code, out, err = run("connections", "add", *arguments)
        assert (code, out) == (1, "")
        assert words in err
    assert run("connections", "add")[0] == 2
    assert run("connections", "add", "--client-id", "a", "--colour", "red")[0] == 2
    assert run("connections", "list", "--format", "xml")[0] == 2


def test_edit_changes_what_is_named(run: Run, secret_file: Path) -> None:
    run("connections", "add", "--client-id", "Abc", "--client-secret-file", str(secret_file), "--name", "One")
    assert run("connections", "edit", "One", "--name", "Two", "--pkce")[0] == 0
    (shown,) = rows(run("connections", "edit", "--without-unpublished", "--format", "json")[1])
    assert (shown["name"], shown["pkce"], shown["scopes"]) == ("Two", True, list(DEFAULT_SCOPES[1:]))
    code, _, err = run("connections", "edit", "--client-id", "Other")
    assert code == 0
    assert "The client secret was given for another app or server and is forgotten" in err
    assert rows(run("connections", "show", "--format", "json")[1])[0]["client_secret"] == "not saved"


def test_edit_to_a_practice_site_takes_its_authorisation_server_along(run: Run, secret_file: Path) -> None:
    run("connections", "add", "--client-id", "Abc", "--client-secret-file", str(secret_file))
    run("connections", "edit", "--url", "http://127.0.0.1:8750")
    (shown,) = rows(run("connections", "show", "--format", "json")[1])
    assert (shown["url"], shown["auth_url"]) == ("http://127.0.0.1:8750/", "http://127.0.0.1:8750/")
    assert shown["client_secret"] == "not saved"
    run("connections", "edit", "--url", "https://api.atlassian.com")
    assert rows(run("connections", "show", "--format", "json")[1])[0]["auth_url"] == "https://auth.atlassian.com/"


def test_remove(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("connections", "add", "--client-id", "Abc", "--name", "One")
    run("connections", "add", "--client-id", "Abc", "--name", "Two")
    code, _, err = run("connections", "remove", "Three")
    assert (code, "Known connections: “One”, “Two”." in err) == (1, True)
    assert run("connections", "remove", "Two", "--keep-alias")[0] == 0
    assert run("connections", "remove", "One", "--yes")[0] == 0
    found = rows(run("connections", "list", "--format", "json")[1])
    assert [(row["alias"], row["name"]) for row in found] == [("Confluence Cloud", None), ("Two", None)]
    assert run("connections", "remove")[0] == 2


def test_the_list_as_csv_guards_formulas(run: Run, workspace: Workspace, site: PracticeSite) -> None:
    saved = connect(workspace, site)
    workspace.connections.set_site(saved.connection_id, saved.cloud_id or "", "=cmd|' /C calc'!A0", "https://x")
    out = run("connections", "list", "--format", "csv")[1]
    assert "'=cmd" in out


def test_check(run: Run, workspace: Workspace, site: PracticeSite) -> None:
    assert run("connections", "check")[0] == 1
    saved = connect(workspace, site)
    code, out, _ = run("connections", "check")
    assert code == 0
    assert "write:confluence-groups" in out
    workspace.tokens.save_grant(saved, site.issue_token(account="member"))
    code, out, _ = run("connections", "check", saved.name, "--format", "json")
    assert code == 1
    found = {row["check"]: row for row in rows(out)}
    assert found["Right to change membership"]["state"] == "missing"
    assert set(found["Site"]) == {"kind", "check", "state", "words", "fix"}


def test_a_host_that_is_nobodys_is_saved_with_a_warning_only(run: Run) -> None:
    evil = "https://api.atlassian.com.evil.example/"
    code, _, err = run("connections", "add", "--client-id", "Abc", "--url", evil)
    assert code == 0
    assert "Warning: api.atlassian.com.evil.example is not Atlassian (api.atlassian.com is)" in err
    code, _, err = run("connections", "edit", "--auth-url", "https://sign-in.example/")
    assert code == 0
    assert "Warning: sign-in.example is not Atlassian (auth.atlassian.com is)" in err
    code, _, err = run(
        "connections", "edit", "--url", "https://api.atlassian.com/", "--auth-url", "https://auth.atlassian.com/"
    )
    assert (code, "Warning" in err) == (0, False)
