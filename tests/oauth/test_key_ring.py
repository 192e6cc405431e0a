"""A key that some store needs is neither dropped by another's rotation nor replaced when its file is away."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spokekit._secret import Secret
from spokekit.cli import app
from spokekit.connections.connection import ConnectionDraft, Connections
from spokekit.connections.store import Store
from spokekit.errors import Conflict, VaultError
from spokekit.oauth.tokens import Tokens
from spokekit.oauth.vault import Vault


class Home:
    """A store with one client secret, and the vault that a new process would have for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(exist_ok=True)
        self.store = Store(f"sqlite:///{path}")
        self.connections = Connections(self.store)
        if not self.connections.list():
            self.connection = self.connections.add(ConnectionDraft(client_id="Abc"))
            self.tokens.set_client_secret(self.connection, Secret(f"the secret of {path.name}"))
        self.connection = self.connections.get()

    @property
    def vault(self) -> Vault:
        return Vault.open(self.store)

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.store, self.vault)

    def opens(self) -> bool:
        return self.tokens.client_secret(self.connection).reveal() == f"the secret of {self.path.name}"


@pytest.fixture
def ring(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "team" / "ring.json"
    monkeypatch.setenv("SPOKEKIT_VAULT_FILE", str(path))
    return path


def keys(ring: Path) -> int:
    return len(json.loads(ring.read_text())["keys"])


def test_a_rotation_keeps_the_key_that_another_store_needs(ring: Path, tmp_path: Path) -> None:
    one, two, three = (Home(tmp_path / f"{name}.sqlite") for name in ("one", "two", "three"))
    assert one.vault.rotate() == 1
    assert keys(ring) == 2 and one.opens() and two.opens() and three.opens()
    assert "in another store" in one.vault.status().words
    two.vault.rotate()
    assert one.opens() and two.opens() and three.opens()
    three.vault.rotate()
    one.vault.rotate()
    two.vault.rotate()
    three.vault.rotate()
    one.vault.rotate()
    assert one.opens() and two.opens() and three.opens()
    # What only the first store needed goes when it rotates; the two others need one each at most.
    assert keys(ring) <= 3


def test_a_key_goes_once_nobody_needs_it(ring: Path, tmp_path: Path) -> None:
    one, two = Home(tmp_path / "one.sqlite"), Home(tmp_path / "two.sqlite")
    one.vault.rotate()
    two.tokens.set_client_secret(two.connection, None)
    one.vault.rotate()
    assert keys(ring) == 1 and one.opens()


def moved_away(two: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    two.path.rename(two.path.with_suffix(".moved"))
    return lambda: two.path.with_suffix(".moved").rename(two.path)


def emptied(two: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    content = two.path.read_bytes()
    two.path.write_bytes(b"")
    return lambda: two.path.write_bytes(content)


def held(two: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    holder = sqlite3.connect(two.path)
    holder.execute("BEGIN IMMEDIATE")
    return holder.close


def damaged(two: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    content = two.path.read_bytes()
    two.path.write_bytes(b"\xff" * len(content))
    return lambda: two.path.write_bytes(content)


def on_another_computer(two: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    monkeypatch.setattr(platform, "node", lambda: "another")
    return lambda: None


@pytest.mark.parametrize("away", [moved_away, emptied, held, damaged, on_another_computer])
def test_what_cannot_be_known_is_kept(
    away: Callable[[Home, pytest.MonkeyPatch], Callable[[], object]],
    ring: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, two = Home(tmp_path / "one.sqlite"), Home(tmp_path / "two.sqlite")
    with sqlite3.connect(two.path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    two.store.close()
    db.close()
    back = away(two, monkeypatch)
    one.vault.rotate()
    back()
    assert Home(two.path).opens() and one.opens()


def test_the_keys_of_an_older_ring_which_names_nobody_are_kept(ring: Path, tmp_path: Path) -> None:
    one, two = Home(tmp_path / "one.sqlite"), Home(tmp_path / "two.sqlite")
    said = json.loads(ring.read_text())
    ring.write_text(json.dumps({name: said[name] for name in ("about", "version", "keys")}))
    one.vault.rotate()
    one.vault.rotate()
    assert one.opens() and two.opens()


def test_a_home_that_is_mounted_elsewhere_is_the_same_store(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Home(home / "spokekit.sqlite").opens()
    home.rename(tmp_path / "mounted elsewhere")
    monkeypatch.setenv("SPOKEKIT_HOME", str(tmp_path / "mounted elsewhere"))
    monkeypatch.setattr(platform, "node", lambda: "the next container")
    there = Home(tmp_path / "mounted elsewhere" / "spokekit.sqlite")
    there.vault.rotate()
    assert there.opens() and keys(tmp_path / "mounted elsewhere" / "vault.json") == 1


def test_rotations_of_two_stores_at_the_same_moment_lose_no_key(ring: Path, tmp_path: Path) -> None:
    homes = [Home(tmp_path / f"{name}.sqlite") for name in ("one", "two")]
    code = (
        "import sys; from spokekit.connections.store import Store; from spokekit.oauth.vault import Vault\n"
        "v = Vault.open(Store('sqlite:///' + sys.argv[1])); print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(8): v.rotate()"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(one.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for one in homes
    ]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        process.communicate("go\n", timeout=60)
        assert process.returncode == 0
    assert all(one.opens() for one in homes)


# -- the file is away --------------------------------------------------------------------------------------------------


def test_a_key_in_hand_is_written_back(ring: Path, tmp_path: Path) -> None:
    one = Home(tmp_path / "one.sqlite")
    running, before = one.vault, json.loads(ring.read_text())["keys"]
    running.status()
    ring.unlink()
    tokens = Tokens(one.store, running)
    tokens.set_client_secret(one.connection, Secret("another"))
    assert json.loads(ring.read_text())["keys"] == before
    assert one.tokens.client_secret(one.connection).reveal() == "another", "the next process opens it too"
    assert ring.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{", b'{"keys": []}', b"\xff\xfe"])
def test_a_file_that_is_damaged_meanwhile_is_put_aside_and_the_key_in_hand_written_back(
    content: bytes, ring: Path, tmp_path: Path
) -> None:
    one = Home(tmp_path / "one.sqlite")
    running, before = one.vault, json.loads(ring.read_text())["keys"]
    running.status()
    ring.write_bytes(content)
    assert Tokens(one.store, running).client_secret(one.connection)
    assert json.loads(ring.read_text())["keys"] == before and one.opens()
    (aside,) = ring.parent.glob("ring.json.damaged-*")
    assert aside.read_bytes() == content


def test_a_key_in_hand_joins_the_ring_that_has_come_in_its_place(ring: Path, tmp_path: Path) -> None:
    one = Home(tmp_path / "one.sqlite")
    running = one.vault
    running.status()
    ring.rename(tmp_path / "late")
    Home(tmp_path / "other.sqlite")
    assert keys(ring) == 1
    time.sleep(0.01)
    assert Tokens(one.store, running).client_secret(one.connection)
    assert keys(ring) == 2 and one.opens() and Home(tmp_path / "other.sqlite").opens()


@pytest.mark.parametrize("how", ["the file", "its folder"])
def test_no_new_key_is_made_unasked_for_a_store_that_holds_secrets(how: str, ring: Path, tmp_path: Path) -> None:
    one = Home(tmp_path / "one.sqlite")
    away = ring if how == "the file" else ring.parent
    away.rename(tmp_path / "away")
    for work in (
        one.opens,
        lambda: one.tokens.set_client_secret(one.connection, Secret("x")),
        lambda: one.vault.rotate(),
        lambda: one.vault.status(),
    ):
        with pytest.raises(VaultError, match="is gone, and the store holds secrets") as told:
            work()
        assert "Put it back" in str(told.value.hint) and "spokekit vault new-key" in str(told.value.hint)
    assert not ring.exists()
    assert ring.parent.exists() == (how == "the file"), "nor is a folder made where a disk is to be mounted"
    (tmp_path / "away").rename(away)
    assert one.opens(), "a disk that was mounted late"


def test_a_new_key_is_made_when_a_person_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Home(home / "spokekit.sqlite")
    shell = CliRunner()
    done = shell.invoke(app, ["vault", "new-key", "--yes"])
    assert done.exit_code == 1 and "can be read: no new one is needed" in done.stderr
    with pytest.raises(Conflict):
        one.vault.new_key()
    (home / "vault.json").unlink()
    monkeypatch.setattr("spokekit._workspace._open", {})
    done = shell.invoke(app, ["vault", "new-key"], input="n\n")
    assert done.exit_code == 1 and not (home / "vault.json").exists()
    done = shell.invoke(app, ["vault", "new-key"], input="y\n")
    assert done.exit_code == 0, done.output
    with pytest.raises(VaultError):
        one.opens()
    one.tokens.set_client_secret(one.connection, Secret("the secret of spokekit.sqlite"))
    assert one.opens()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to become somebody else")
def test_a_ring_that_belongs_to_somebody_else_is_used_and_that_it_cannot_name_us_is_said(
    ring: Path, tmp_path: Path
) -> None:
    Home(tmp_path / "one.sqlite")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o005 != 0o005 and path != path.parent:
            path.chmod(path.stat().st_mode | 0o055)
    ring.chmod(0o644)
    ring.parent.chmod(0o755)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    # The installation may be readable by root alone: what is used is loaded before the process becomes somebody else.
    warm = tmp_path / "warm"
    warm.mkdir()
    code = (
        "import os; from pathlib import Path; from tests.oauth.test_key_ring import Home\n"
        f"assert Home(Path({str(warm / 'one.sqlite')!r})).opens()\n"
        f"os.environ.update(SPOKEKIT_HOME={str(theirs)!r}, SPOKEKIT_VAULT_FILE={str(ring)!r})\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"one = Home(Path({str(theirs / 'two.sqlite')!r})); print(one.opens())"
    )
    own = {"SPOKEKIT_HOME": str(warm), "SPOKEKIT_VAULT_FILE": str(warm / "ring.json")}
    environ = {**os.environ, **own, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False)
    assert done.stdout == "True\n", done.stderr
    assert "cannot be written, so it does not name" in done.stderr
