"""The command line as a whole: help, exit codes, the tour, the doctor."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spokekit import ConnectionDraft
from spokekit._workspace import Workspace
from spokekit.cli import COMMANDS, _load, main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process; returns exit code, standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "160")

    def runner(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        printed = capsys.readouterr()
        code = stop.value.code
        return (code if isinstance(code, int) else 0 if code is None else 1), printed.out, printed.err

    return runner


def test_help_names_every_command_and_each_has_help(run: Run) -> None:
    code, text, _ = run("--help")
    assert code == 0
    for name, (has_commands, _) in COMMANDS.items():
        assert f" {name} " in text
        code, help_, _ = run(name, "--help")
        assert code == 0, name
        assert f"spokekit {name}" in help_
        assert ("COMMAND" in help_) is has_commands


def test_every_list_has_a_format(run: Run) -> None:
    for words in (
        "connections list",
        "connections show",
        "token status",
        "groups list",
        "groups registered",
        "members list",
        "members plan",
        "members journal",
        "audit questions",
        "audit ask",
        "audit diff",
        "audit findings",
        "doctor",
        "tour",
    ):
        code, help_, _ = run(*words.split(), "--help")
        assert code == 0, words
        assert "--format" in help_, words


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["groups", "nothing"], ["tour", "--format", "xml"], ["lab", "--port", "0"]]
)
def test_wrong_usage_ends_with_two(run: Run, arguments: list[str]) -> None:
    code, _, error = run(*arguments)
    assert code == 2
    assert "Usage:" in error


def test_a_failure_is_one_message_without_a_traceback(run: Run) -> None:
    code, text, error = run("groups", "list")
    assert code == 1
    assert text == ""
    assert "not configured" in error
    assert "Traceback" not in error


def test_a_fault_of_ours_is_a_sentence_and_shows_no_token(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("cannot send Authorization: Bearer abcdefghijklmnop")

    monkeypatch.setattr("spokekit.cli.tour.run", broken)
    code, text, error = run("tour")
    assert (code, text) == (1, "")
    assert error.startswith("A fault in spokekit: RuntimeError: cannot send Authorization: Bearer ***")
    monkeypatch.setenv("SPOKEKIT_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["tour"])


def test_version(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version") == (0, f"spokekit {version('spokekit')}\n", "")


def test_the_module_is_the_same_command() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "spokekit", "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.startswith("spokekit ")


def test_the_tour_ends_with_what_the_practice_world_holds(run: Run, home: Path) -> None:
    from spokekit.practice import World

    code, text, told = run("tour", "--format", "json")
    assert code == 0
    groups = World("class", 1).frames()["groups"]
    wanted = groups[groups["access"] != ""].set_index("group_id")
    found = {row["group_id"]: row for row in json.loads(text)}
    assert set(found) == set(wanted.index)
    for group_id, row in found.items():
        assert list(row) == ["group_id", "name", "access", "managed_by", "usage_type", "registered"]
        assert row["name"] == wanted.loc[group_id, "name"]
        assert row["access"] == wanted.loc[group_id, "access"]
        assert row["managed_by"] == wanted.loc[group_id, "managed_by"]
        assert row["registered"] is True
    for word in ("practice site", "connection", "consent", "groups", "Registered", "same members"):
        assert word in told
    assert not home.exists() or not list(home.rglob("*.sqlite")), "the tour keeps nothing"


def test_the_tour_as_a_table_tells_and_shows_on_standard_output(run: Run) -> None:
    code, text, told = run("tour")
    assert (code, told) == (0, "")
    steps, table = text.split("\n\n")
    assert [line[:2] for line in steps.splitlines() if line[0] != " "] == ["1.", "2.", "3.", "4.", "5.", "6."]
    assert table.splitlines()[0].split() == [
        "group",
        "id",
        "name",
        "access",
        "managed",
        "by",
        "usage",
        "type",
        "registered",
    ]


def test_the_tour_notices_a_group_that_it_did_not_see(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from spokekit.confluence.spoke import Spoke

    honest = Spoke.look_up_groups

    def short(self: Spoke, *args: object, **more: object) -> object:
        frame = honest(self, *args, **more)
        return frame[frame["name"] != "confluence-users"].reset_index(drop=True)

    monkeypatch.setattr(Spoke, "look_up_groups", short)
    code, text, error = run("tour", "--format", "csv")
    assert (code, text) == (3, "")
    assert "not what the practice site holds" in error


def test_the_doctor_finds_an_empty_home_in_order(run: Run) -> None:
    code, text, error = run("doctor", "--format", "json")
    rows = {row["check"]: row for row in json.loads(text)}
    assert code == 0, error
    assert rows["home"]["state"] == rows["store"]["state"] == rows["vault"]["state"] == "ok"
    assert rows["connection: Confluence Cloud"]["state"] == "note"
    assert "spokekit connections add" in rows["connection: Confluence Cloud"]["next"]
    assert rows["notebooks"]["words"].startswith("10 ")


def test_the_doctor_knows_a_connection_and_shows_no_secret(run: Run, connected: Workspace) -> None:
    from spokekit._secret import Secret

    connection = connected.connection()
    token = connected.tokens.access_token(connection)
    secret = connected.tokens.client_secret(connection)
    for format_ in ("table", "csv", "json"):
        _, text, error = run("doctor", "--format", format_)
        assert connection.name in text
        assert "valid until" in text
        assert "points of this hour" in text
        assert token.reveal() not in text + error
        assert secret.reveal() not in text + error
    assert isinstance(secret, Secret)


def test_the_doctor_finds_a_taken_port_and_a_consent_that_is_needed(
    run: Run, connected: Workspace, site: object
) -> None:
    connection = connected.connection()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        connected.connections.edit(connection.connection_id, redirect_uri=f"http://localhost:{port}/callback")
        connected.tokens.forget(connection)
        code, text, error = run("doctor", "--format", "json")
    rows = json.loads(text)
    assert code == 1
    assert "callback" in error
    busy = next(row for row in rows if row["state"] == "trouble")
    assert f"port {port}" in busy["words"]
    assert "--paste" in busy["next"]
    assert any("token get" in row["next"] for row in rows if row["check"].startswith("connection"))


def test_the_doctor_goes_on_after_a_damaged_store(run: Run, home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "spokekit.sqlite").write_bytes(b"this is no database at all" * 400)
    code, text, _ = run("doctor", "--format", "json")
    rows = {row["check"]: row for row in json.loads(text)}
    assert code == 1
    assert rows["store"]["state"] == "trouble"
    assert rows["store"]["next"]
    assert rows["notebooks"]["state"] == "ok"


def test_the_doctor_gives_one_reason_once(run: Run, home: Path) -> None:
    home.write_text("a file where the folder should be")
    code, text, error = run("doctor", "--format", "json")
    rows = {row["check"]: row for row in json.loads(text)}
    assert code == 1
    assert [name for name, row in rows.items() if row["state"] == "trouble"] == ["home"]
    assert "a file of that name is there" in rows["home"]["words"]
    assert rows["store"]["words"] == "not looked at, for the reason given under home"
    assert error == "1 of 13 checks found trouble: home.\n"


def test_a_terminal_that_lacks_letters_gets_escapes_and_a_file_gets_the_letters(workspace: Workspace) -> None:
    workspace.connections.save(ConnectionDraft(name="日本", client_id="an-app"))

    def listed(encoding: str, *format_: str) -> bytes:
        child = subprocess.run(
            [sys.executable, "-m", "spokekit", "connections", "list", *format_],
            env=os.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=60,
        )
        assert child.returncode == 0, child.stderr
        return child.stdout

    for encoding in ("ascii", "cp1252"):
        assert r"\u65e5\u672c" in listed(encoding).decode(encoding)
        assert json.loads(listed(encoding, "--format", "json"))[0]["name"] == "日本"
        assert "日本" in listed(encoding, "--format", "csv").decode("utf-8")


def test_a_token_that_cannot_be_asked_for_promises_no_listener(run: Run, workspace: Workspace) -> None:
    workspace.connections.save(ConnectionDraft(client_id="an-app"))
    code, _, error = run("token", "get")
    assert code == 1
    assert error.splitlines()[0] == "The connection “Confluence Cloud Spoke Connection” has no client secret."


def test_help_is_broken_by_the_terminal_not_by_the_source() -> None:
    def texts(command: Any) -> Iterator[str]:
        yield command.help or ""
        for below in getattr(command, "commands", {}).values():
            yield from texts(below)

    paragraphs = [p for name in COMMANDS for text in texts(_load(name)) for p in text.split("\n\n")]
    assert len(paragraphs) > 40
    assert not [p for p in paragraphs if "\n" in p]


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    child = subprocess.run(
        [sys.executable, "-m", "spokekit", "tour", "--format", "csv"], stdout=write, stderr=subprocess.PIPE, timeout=60
    )
    os.close(write)
    assert child.returncode == 0
    assert b"Traceback" not in child.stderr
    assert b"BrokenPipe" not in child.stderr


def test_usage_has_single_brackets_and_one_place_to_install_completion(run: Run) -> None:
    for words in ("connections show", "groups add", "members undo", "doctor", "tour", "practice", "lab"):
        code, help_, _ = run(*words.split(), "--help")
        assert code == 0, words
        assert not any(doubled in help_ for doubled in ("[[", "......", "...}...")), words
        assert "install-completion" not in help_, words
    assert "install-completion" in run("--help")[1]
