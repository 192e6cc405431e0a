"""Computers and inputs as they are: none of it is ever called a fault of spokekit, and each answer leads on.

Each row is a command with what is around it. What a person's own set-up, file, argument or network does wrong ends in
a sentence that names it; "A fault in spokekit" is for spokekit alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spokekit._workspace import Workspace
from spokekit.cli import main
from spokekit.connections import store
from spokekit.connections.store import Store
from spokekit.errors import InputError, SpokekitError
from spokekit.practice import PracticeSite
from tests.conftest import connect
from tests.recording_proxy import recording_proxy

BAD_WORDS = ("A fault in spokekit", "fault of its own", "Traceback", "please report")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take away what this machine itself sets, and what keyring remembers of an earlier look.

    Commands that serve answer signals in their own way, and here the process goes on after them.
    """
    import keyring.core

    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    yield
    for one, handler in handlers.items():
        signal.signal(one, handler)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run the command line in this process and return its exit code and all that it said."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    code = ended.value.code
    return int(code or 0), said.out + said.err


def fine(code: int, said: str) -> None:
    for words in BAD_WORDS:
        assert words not in said, said
    assert code in (0, 1, 2, 3), said


# -- settings ----------------------------------------------------------------------------------------------------------

SETTINGS: list[tuple[str, dict[str, str], str]] = [
    # what is set, and what the doctor says of it
    ("a SOCKS proxy", {"ALL_PROXY": "socks5://127.0.0.1:1"}, "ALL_PROXY"),
    ("GNOME's SOCKS proxy", {"all_proxy": "socks://127.0.0.1:1/"}, "all_proxy"),
    (
        "a proxy of no known kind",
        {"HTTPS_PROXY": "socks4://127.0.0.1:1"},
        "names a proxy of the kind socks4",
    ),
    ("a proxy that is nonsense", {"HTTPS_PROXY": "::::"}, "HTTPS_PROXY"),
    ("a proxy with a bad port", {"HTTPS_PROXY": "http://h:port"}, "HTTPS_PROXY names a proxy"),
    ("a proxy with odd signs", {"HTTPS_PROXY": "http://me:p@ss word@h:1"}, "HTTPS_PROXY names a proxy"),
    ("certificates that are gone", {"SSL_CERT_FILE": "/nowhere/ca.pem"}, "SSL_CERT_FILE says"),
    ("certificates that are a folder", {"SSL_CERT_FILE": "/tmp"}, "SSL_CERT_FILE says"),
    ("certificates of no PEM", {"SSL_CERT_FILE": __file__}, "holds no certificate"),
    ("a folder of certificates that is gone", {"SSL_CERT_DIR": "/nowhere"}, "SSL_CERT_DIR says"),
    ("a bundle that is gone", {"REQUESTS_CA_BUNDLE": "/nowhere/ca.pem"}, "REQUESTS_CA_BUNDLE says"),
    ("curl's bundle that is gone", {"CURL_CA_BUNDLE": "/nowhere/ca.pem"}, "CURL_CA_BUNDLE says"),
    ("a key log that cannot be", {"SSLKEYLOGFILE": "/nowhere/keys"}, "SSLKEYLOGFILE names"),
    ("a keyring that is not installed", {"PYTHON_KEYRING_BACKEND": "nosuch.Backend"}, "PYTHON_KEYRING_BACKEND names"),
    ("a keyring without a class", {"PYTHON_KEYRING_BACKEND": "json"}, "PYTHON_KEYRING_BACKEND names"),
    ("a keyring that is empty words", {"PYTHON_KEYRING_BACKEND": "..."}, "PYTHON_KEYRING_BACKEND names"),
    ("a store with a bad port", {"SPOKEKIT_STORE_URL": "postgresql://u:sekret@h:x1/d"}, "a port that is no number"),
    ("a store with an open @", {"SPOKEKIT_STORE_URL": "postgresql://u:sek@ret@h/d"}, "not percent-encoded"),
    ("a store of no known kind", {"SPOKEKIT_STORE_URL": "mongodb://u:sekret@h/d"}, "does not know here: mongodb"),
    ("a store that is a path", {"SPOKEKIT_STORE_URL": "/data/my.sqlite"}, "names a file without saying"),
    ("a store of settings", {"SPOKEKIT_STORE_URL": "host=h password=sekret"}, "holds settings instead of an address"),
    ("a store nobody answers for", {"SPOKEKIT_STORE_URL": "postgres://u:sekret@127.0.0.1:9/d"}, "store"),
    ("a store without its driver", {"SPOKEKIT_STORE_URL": "postgresql+nosuch://u:sekret@h/d"}, "driver"),
    ("a store in no folder", {"SPOKEKIT_STORE_URL": "sqlite:////nowhere/at/all.sqlite"}, "cannot be opened"),
    ("a store with two slashes", {"SPOKEKIT_STORE_URL": "sqlite://data/my.sqlite"}, "three slashes"),
    ("a home that is a file", {"SPOKEKIT_HOME": __file__}, "a file of that name is there"),
    ("a home that cannot be", {"SPOKEKIT_HOME": "/proc/nowhere"}, "/proc/nowhere cannot be used"),
    ("a home of nobody", {"SPOKEKIT_HOME": "~nobody-of-that-name/x"}, "home folder"),
    ("a home with a zero", {"SPOKEKIT_HOME": "/tmp/" + "x" * 300}, "cannot be used"),
    ("a vault of no kind", {"SPOKEKIT_VAULT": "cupboard"}, "SPOKEKIT_VAULT is not one of"),
    ("a key file that is a folder", {"SPOKEKIT_VAULT_FILE": "/tmp"}, "names a folder"),
    ("a key file in no folder", {"SPOKEKIT_VAULT_FILE": "/proc/nowhere/key.json"}, "/proc/nowhere"),
    ("a narrow terminal", {"COLUMNS": "1"}, "spokekit"),
    ("a terminal of no size", {"COLUMNS": "many", "LINES": "-1"}, "spokekit"),
]


@pytest.mark.parametrize(("_name", "settings", "words"), SETTINGS, ids=[row[0] for row in SETTINGS])
def test_the_doctor_names_every_setting_and_never_dies(
    _name: str,
    settings: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    code, said = run(capsys, "doctor")
    fine(code, said)
    assert " ".join(words.split()) in " ".join(said.split())
    assert "sekret" not in said and "sek@" not in said and "ret@" not in said
    for check in ("packages", "keyring", "proxy", "certificates", "notebooks"):
        assert check in said, f"the doctor looked no further: {said}"


@pytest.mark.parametrize(("_name", "settings", "words"), SETTINGS, ids=[row[0] for row in SETTINGS])
def test_every_command_goes_on_or_says_what_is_wrong(
    _name: str,
    settings: dict[str, str],
    words: str,
    home: Path,
    site: PracticeSite,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home.mkdir()
    kept = Store(f"sqlite:///{home}/spokekit.sqlite")
    connect(Workspace(kept), site)
    kept.close()
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for command in (["connections", "list"], ["token", "status"], ["groups", "list"], ["vault", "status"]):
        code, said = run(capsys, *command)
        fine(code, said)
        assert "sekret" not in said and "sek@" not in said and "ret@" not in said


# -- arguments and files -----------------------------------------------------------------------------------------------

LONG = "x" * 70_000
ARGUMENTS: list[list[str]] = [
    ["groups", "add", ""],
    ["groups", "add", LONG],
    ["groups", "add", "<script>alert(1)</script>"],
    ["groups", "add", "=cmd()"],
    ["groups", "add", "\u202egruppe"],
    ["groups", "remove", "no-such"],
    ["groups", "list", "--connection", "no such connection"],
    ["members", "list", ""],
    ["members", "list", "../../etc/passwd"],
    ["members", "list", "%00"],
    ["members", "plan", "--mode", "add", "--file", "/nowhere.csv"],
    ["members", "plan", "--mode", "add", "--file", "/tmp"],
    ["members", "plan", "--mode", "add", "--file", "/dev/null"],
    ["members", "plan", "--mode", "add", "--file", "/proc/self/mem"],
    ["members", "apply", "/nowhere.json"],
    ["members", "apply", "/tmp"],
    ["members", "apply", "/dev/null"],
    ["members", "undo", "no-such-apply"],
    ["members", "resume"],
    ["members", "journal", "--applies"],
    ["audit", "ask", "no-such-question"],
    ["audit", "ask", "members-of-groups", "--param", "nothing"],
    ["audit", "ask", "members-of-groups", "--param", "group=" + LONG],
    ["audit", "ask", "similar-groups", "--param", "alike=many"],
    ["audit", "diff", "--from", "yesterday"],
    ["audit", "diff", "--from", "9999-99-99"],
    ["audit", "export", "/nowhere/x.xlsx", "groups-with-access"],
    ["audit", "findings", "nothing"],
    ["connections", "add", "--client-id", ""],
    ["connections", "add", "--client-id", "x", "--client-secret-file", "/nowhere"],
    ["connections", "add", "--client-id", "x", "--client-secret-file", "/tmp"],
    ["connections", "add", "--client-id", "x", "--url", "http://[::1"],
    ["connections", "edit", "--url", "javascript:alert(1)"],
    ["connections", "show", "--connection", "\x00"],
    ["token", "get", "--connection", "no such"],
    ["vault", "rotate", "--to", "keyring"],
    ["tour", "--nonsense"],
    ["lab", "--folder", "/proc/nowhere"],
    ["practice", "--size", "0x0"],
    ["practice", "--size", "nonsense"],
    ["practice", "--fault", "no-such"],
    ["practice", "--switch", "no_such=1"],
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=[" ".join(a)[:60].encode().hex()[:60] for a in ARGUMENTS])
def test_whatever_is_typed_is_answered(
    arguments: list[str], connected: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, *arguments)
    fine(code, said)
    assert code != 0 or arguments[0] in ("members", "vault"), said
    assert len(said) < 5_000, "an answer is no page"


def _utf16(text: str) -> bytes:
    return text.encode("utf-16")


FILES: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("a blank", b" \n \n"),
    ("zeros", b"\x00" * 4096),
    ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4),
    ("a workbook's first bytes", b"PK\x03\x04" + b"\x00" * 200),
    ("HTML", b"<html><body><table><tr><td>group_id</td></tr></table></body></html>"),
    ("JSON", b'[{"group_id": 1}]'),
    ("half a line", b'group_id,account_id\n"abc'),
    ("bad UTF-8", b"group_id,account_id\n\xff\xfe\xfa,\xc3\x28\n"),
    ("UTF-16", _utf16("group_id,account_id\na,b\n")),
    ("a very long line", b"group_id,account_id\n" + b"x" * 200_000 + b"\n"),
    ("a header alone", b"group_id,account_id\n"),
    ("one column", b"something\nelse\n"),
    ("a formula", b'group_id,account_id\n"=cmd()","=1+1"\n'),
]


@pytest.mark.parametrize(("name", "data"), FILES, ids=[row[0] for row in FILES])
def test_whatever_a_file_holds_is_answered(
    name: str, data: bytes, connected: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "given"
    path.write_bytes(data)
    for command in (
        ["members", "plan", "--mode", "add", "--file", str(path)],
        ["members", "apply", str(path)],
        ["connections", "add", "--client-id", "x", "--name", "Another", "--client-secret-file", str(path)],
    ):
        code, said = run(capsys, *command)
        fine(code, said)
        assert len(said) < 5_000


# -- places ------------------------------------------------------------------------------------------------------------


def _spoil_store(home: Path) -> None:
    (home / "spokekit.sqlite").write_bytes(b"this is no database" * 100)


def _newer_store(home: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(home / "spokekit.sqlite")) as database, database:
        database.execute("UPDATE store_schema SET version = 99")


def _spoil_key(home: Path) -> None:
    (home / "vault.json").write_text('{"keys": [')


def _key_of_odd_types(home: Path) -> None:
    (home / "vault.json").write_text(json.dumps({"keys": [{"id": 3, "in": [], "made_at": None, "key": {}}]}))


def _folder_for_key(home: Path) -> None:
    (home / "vault.json").unlink()
    (home / "vault.json").mkdir()


def _spoil_snapshots(home: Path) -> None:
    for path in (home / "snapshots").rglob("*"):
        if path.is_file():
            path.write_bytes(b"{")


def _file_for_snapshots(home: Path) -> None:
    (home / "snapshots").write_text("")


PLACES: dict[str, Callable[[Path], None]] = {
    "a store that is none": _spoil_store,
    "a store of a newer layout": _newer_store,
    "a key file cut off": _spoil_key,
    "a key file of odd types": _key_of_odd_types,
    "a folder for the key file": _folder_for_key,
    "snapshots cut off": _spoil_snapshots,
    "a file where snapshots go": _file_for_snapshots,
}


@pytest.mark.parametrize("name", PLACES)
def test_whatever_lies_in_the_home_is_told(
    name: str, connected: Workspace, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PLACES[name](home)
    while store._open:
        store._open.popitem()[1].close()
    for command in (
        ["doctor"],
        ["connections", "list"],
        ["token", "status"],
        ["groups", "list"],
        ["audit", "ask", "groups-with-access"],
        ["members", "journal"],
    ):
        fine(*run(capsys, *command))


# -- processes that are set up differently -----------------------------------------------------------------------------


def _process(arguments: list[str], env: dict[str, str], prefix: tuple[str, ...] = (), **more: Any) -> tuple[int, str]:
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "spokekit", *arguments],
        env=env,
        capture_output=True,
        timeout=60,
        check=False,
        **more,
    )
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def test_an_empty_environment(tmp_path: Path) -> None:
    for command in (["doctor"], ["connections", "list"]):
        code, said = _process(command, {"SPOKEKIT_HOME": str(tmp_path / "home")}, cwd=tmp_path)
        fine(code, said)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_random_user_id_without_a_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    here = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups")
    # An installation below somebody's private folder is read all the same; writing stays forbidden.
    here += ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    code, said = _process(["--version"], env, here, cwd="/")
    assert code == 0, said
    for command in (["doctor"], ["connections", "list"], ["token", "status"]):
        code, said = _process(command, env, here, cwd="/")
        fine(code, said)
        assert "has no home folder: HOME is not set" in said and "SPOKEKIT_HOME" in said
    assert not Path("/~").exists()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    code, said = _process(["connections", "list"], env | {"SPOKEKIT_HOME": str(closed)}, here, cwd="/")
    fine(code, said)
    assert str(closed) in said


def test_a_terminal_of_another_language_and_closed_streams(tmp_path: Path) -> None:
    env = os.environ | {"LC_ALL": "no_SUCH.locale", "LANG": "", "PYTHONUTF8": "0", "SPOKEKIT_HOME": str(tmp_path / "h")}
    fine(*_process(["doctor"], env))
    fine(*_process(["connections", "add", "--client-id", "x"], env, stdin=subprocess.DEVNULL))
    fine(*_process(["groups", "add", "K\udcf6ln"], env))


def test_no_temporary_folder(tmp_path: Path) -> None:
    env = os.environ | {"TMPDIR": "/nowhere", "BINDER_SERVICE_HOST": "x", "SPOKEKIT_HOME": str(tmp_path / "h")}
    for command in (["doctor"], ["connections", "list"]):
        fine(*_process(command, env))


# What a program on a practice site does: consent, token, groups, members, spaces; with the names that loopback has.
_PROGRAM = """
import json, os
from urllib.parse import urlsplit
from spokekit._secret import Secret
from spokekit.connections.connection import ConnectionDraft
from spokekit.widgets import TokenButton
from spokekit import workspace
site, work = json.loads(os.environ["SPOKEKIT_PRACTICE"]), workspace()
port = urlsplit(site["url"]).port
url = f"http://127.0.0.1:{port}/"
saved = work.connections.save(ConnectionDraft(name="practice", url=url, auth_url=url, client_id=site["client_id"],
                                              redirect_uri=site["redirect_uris"][0]))
work.tokens.set_client_secret(saved, Secret(site["client_secret"]))
TokenButton(workspace=work).rehearse()
for host in ("127.0.0.1", "localhost"):
    work.connections.edit(saved.connection_id, url=f"http://{host}:{port}/")
    assert work.check()["state"].eq("ok").any()
    with work.spoke() as spoke:
        assert len(spoke.look_up_groups())
"""


def test_nothing_on_this_machine_goes_through_a_proxy(tmp_path: Path) -> None:
    with recording_proxy() as proxy:
        env = proxy.environment(dict(os.environ)) | {"SPOKEKIT_HOME": str(tmp_path / "h")}
        code, said = _process(["tour"], env)
        assert code == 0, said
        assert "Compared with the practice site's own books" in said
        code, said = _process(["practice", "--", sys.executable, "-c", _PROGRAM], env)
        assert code == 0, said
    assert proxy.seen == []


# -- components --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"HTTPS_PROXY": "socks4://127.0.0.1:1"},
        {"SSL_CERT_FILE": "/nowhere/ca.pem"},
        {"SSLKEYLOGFILE": "/nowhere/keys"},
        {"ALL_PROXY": "http://h:port"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_components_name_the_setting(
    settings: dict[str, str], workspace: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spokekit.widgets import CheckPanel, GroupPicker, WalkPanel

    saved = connect(workspace, site)
    workspace.connections.edit(
        saved.connection_id, url="https://api.atlassian.com/", auth_url="https://auth.atlassian.com/"
    )
    moved = workspace.connection()
    workspace.tokens.save_grant(moved, site.issue_token(scopes=moved.scopes))
    home = site.sites[0]
    workspace.connections.set_site(moved.connection_id, home.cloud_id, home.name, home.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for made in (CheckPanel(workspace=workspace), GroupPicker(workspace=workspace), WalkPanel(workspace=workspace)):
        press = getattr(made, "check", None) or getattr(made, "look", None) or made.load
        with pytest.raises(SpokekitError) if made.runner.last_error else _Quiet():
            press()
            made.settled()
        words = f"{made.status} {made.runner.last_error or ''} {getattr(made, 'value', '')}"
        assert "fault of its own" not in words
        assert next(iter(settings)) in words or "proxy" in words.lower(), words


class _Quiet:
    def __enter__(self) -> None: ...
    def __exit__(self, kind: Any, error: Any, _: Any) -> bool:
        return isinstance(error, SpokekitError)


# -- the password in the store's address -------------------------------------------------------------------------------

PASSWORDS = [
    "postgresql://u:sek@ret@host/db",
    "postgresql://u:sek@ret@host:5432/db",
    "postgresql://u:sek@ret:1@host/db",
    "postgresql://u:sek@ret/x@host/db",
    "postgresql://u:sek@ret?x@host/db",
    "postgresql://u:sek@ret?x=1@host/db",
    "postgresql://u:sekret@host:54x/db",
    "postgresql://u:sekret@host:0/db",
    "postgresql://u:sekret@host:99999/db",
    "postgresql://u@127.0.0.1:9/db?password=sekret",
    "postgresql://u@127.0.0.1:9/db?passfile=sekret",
    "postgresql://u:sekret@127.0.0.1:9/db?nosuch=1",
    "mongodb://u:sekret@host/db",
    "u:sekret@host/db",
    "postgresql:u:sekret@host/db",
    "postgresql://u:sek ret@host/db",
    "'postgresql://u:sekret@127.0.0.1:9/db'",
    "host=127.0.0.1 user=u password=sekret",
    "postgresql+nosuch://u:sekret@host/db",
    "http://u:sekret@host/db",
    "POSTGRES://u:sekret@127.0.0.1:9/db",
]


@pytest.mark.parametrize("address", PASSWORDS)
def test_no_part_of_a_password_is_shown(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPOKEKIT_STORE_URL", address)
    said = run(capsys, "doctor")[1] + run(capsys, "connections", "list")[1]
    try:
        made = Store(address)
        said += f"{made!r} {made.describe()}"
        with made.read():
            pass
    except SpokekitError as error:
        said += f"{error} {error!r}"
    for part in ("sekret", "sek", "ret@", "ret:1", "ret/x", "ret?x", "'ret", "@ret"):
        assert part not in said.replace("secret", ""), said
    fine(1, said)


@pytest.mark.parametrize("address", ["postgres://u:p%40ss@h/d", "postgresql://u:p@h/d", "Postgres://u:p@h:5432/d"])
def test_postgres_is_postgresql(address: str) -> None:
    made = Store(address)
    assert made.engine.dialect.name == "postgresql"
    assert made.engine.dialect.driver == "psycopg"
    assert made.url.password in ("p@ss", "p")


def test_each_wrong_address_has_advice_of_its_own() -> None:
    hints = set()
    for address in PASSWORDS:
        try:
            Store(address)
        except (InputError, SpokekitError) as error:
            hints.add((error.message, error.hint))
    assert len(hints) >= 7


def test_the_table_is_long_enough() -> None:
    assert len(SETTINGS) + len(ARGUMENTS) + len(FILES) + len(PLACES) + len(PASSWORDS) >= 60


# -- keyrings that do not work -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", ["no ini file at all", "[backend]\ndefault-keyring=nosuch.Backend\n", "[backend\n", "\x00"]
)
def test_a_keyring_config_that_is_broken_is_named_and_the_key_file_serves(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "config" / "python_keyring"
    folder.mkdir(parents=True)
    (folder / "keyringrc.cfg").write_text(config)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND")
    for command in (["doctor"], ["vault", "status"]):
        code, said = run(capsys, *command)
        fine(code, said)
        assert "keyringrc.cfg cannot be used" in " ".join(said.split())
    assert "The key is in the file" in said


def test_without_its_keyring_the_vault_says_why_it_uses_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: PracticeSite, workspace: Workspace
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "nosuch.Backend")
    connect(workspace, site)
    code, said = run(capsys, "vault", "status")
    fine(code, said)
    assert "The key is in the file" in said
    assert "because the keyring fails: PYTHON_KEYRING_BACKEND names nosuch.Backend" in said
    assert run(capsys, "groups", "list")[0] == 0
