"""The vault: where the key lies, what a copy of the store gives away, rotation and damage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from spokekit._secret import Secret
from spokekit.connections.connection import credentials
from spokekit.connections.store import Store, default_store
from spokekit.errors import InputError, StoreError, VaultError
from spokekit.oauth import keys
from spokekit.oauth.key_ring import StoredKeys
from spokekit.oauth.vault import Vault
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, granted, in_threads


def sealed(store: Store) -> list[bytes]:
    with store.read() as db:
        rows = db.execute(sa.select(credentials.c.client_secret, credentials.c.sealed_grant)).all()
    return [value for row in rows for value in row if value is not None]


def test_sealed_is_not_readable_and_opens_again(home: Path) -> None:
    vault = Vault.open(default_store())
    data = b"a secret of any length \x00\xff" * 300
    box = vault.seal(data)
    assert b"secret" not in box and vault.seal(data) != box
    assert Vault.open(default_store()).unseal(box) == data


def test_the_key_file_is_private_even_if_a_wider_one_was_there(home: Path) -> None:
    home.mkdir(parents=True)
    home.chmod(0o755)
    vault = Vault.open(default_store())
    box = vault.seal(b"x")
    path = home / "vault.json"
    assert path.stat().st_mode & 0o777 == 0o600 and home.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    assert Vault.open(default_store()).unseal(box) == b"x"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(home.glob(".vault*")), "no temporary file is left behind"


def test_a_team_shares_a_key_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "team" / "ring.json"
    monkeypatch.setenv("SPOKEKIT_VAULT_FILE", str(shared))
    box = Vault.open(default_store()).seal(b"x")
    assert not (home / "vault.json").exists() and shared.exists()
    monkeypatch.setenv("SPOKEKIT_HOME", str(tmp_path / "another machine"))
    assert Vault.open(default_store()).unseal(box) == b"x"

    def not_mine(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    shared.chmod(0o640)
    monkeypatch.setattr(Path, "chmod", not_mine)
    assert Vault.open(default_store()).unseal(box) == b"x"
    monkeypatch.setenv("SPOKEKIT_VAULT_FILE", str(tmp_path))
    with pytest.raises(StoreError, match="names a folder"):
        Vault.open(default_store())


def test_status_says_which_kind_and_what_it_protects_against(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = Vault.open(default_store()).status()
    assert status.kind == "file" and str(home / "vault.json") in status.words
    assert "together with the key file" in status.protects
    for name in ("BINDER_SERVICE_HOST", "SERVER_SOFTWARE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "voila/0.5.13")
            assert Vault.open(default_store()).status().kind == "memory"
            assert default_store().in_memory, "a visitor neither sees nor overwrites the owner's records"
    assert Vault.open(Store("sqlite://")).status().kind == "memory"
    monkeypatch.setenv("SPOKEKIT_VAULT", "memory")
    assert "gone when this process ends" in Vault.open(default_store()).status().words
    monkeypatch.setenv("SPOKEKIT_VAULT", "cloud")
    with pytest.raises(InputError, match="keyring, file, memory"):
        Vault.open(default_store())


def test_memory_writes_no_key_and_shares_it_inside_the_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOKEKIT_VAULT", "memory")
    box = Vault.open(default_store()).seal(b"x")
    assert Vault.open(default_store()).unseal(box) == b"x"
    assert not list(home.glob("vault*"))
    elsewhere = "from spokekit.oauth.vault import Vault; from spokekit.connections.store import default_store\n"
    code = elsewhere + f"Vault.open(default_store()).unseal({box!r})"
    gone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "VaultError" in gone.stderr and "in memory by a process that has ended" in gone.stderr


def test_processes_that_start_together_agree_on_one_key(home: Path) -> None:
    code = (
        "import sys; from spokekit.oauth.vault import Vault; from spokekit.connections.store import default_store\n"
        "sys.stdin.readline(); v = Vault.open(default_store()); sys.stdout.write(v.seal(b'x').hex())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    boxes = [process.communicate("go\n", timeout=60)[0] for process in running]
    vault = Vault.open(default_store())
    assert [vault.unseal(bytes.fromhex(box)) for box in boxes] == [b"x"] * 4


def test_rotation_reseals_everything_and_drops_the_old_key(place: Place, site: PracticeSite) -> None:
    connection = granted(place, site)
    token, before, key = place.tokens.access_token(connection), sealed(place.store), place.vault.status().key_id
    assert place.vault.rotate() == 2
    status = place.vault.status()
    assert status.key_id != key and status.keys == 1
    assert all(key.encode() not in box for box in sealed(place.store)) and sealed(place.store) != before
    assert place.tokens.access_token(connection) == token
    assert Place(place.store, site).tokens.access_token(connection) == token
    with pytest.raises(VaultError):
        place.vault.unseal(before[0])


@pytest.mark.parametrize("moment", ["after the new key", "in the transaction", "before the old key goes"])
def test_rotation_survives_a_crash(
    place: Place, site: PracticeSite, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    connection = granted(place, site)
    token = place.tokens.access_token(connection)
    crash = {
        "after the new key": (Vault, "sealer"),
        "in the transaction": (sys.modules["spokekit.oauth.vault"], "_rewrap"),
        "before the old key goes": (StoredKeys, "drop"),
    }[moment]

    def die(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*crash, die)
        with pytest.raises(KeyboardInterrupt):
            place.vault.rotate()
    again = Place(place.store, site)
    assert again.vault.status().keys == 2
    assert again.tokens.access_token(connection) == token
    assert again.vault.rotate() == 2 and again.vault.status().keys == 1
    assert place.tokens.access_token(connection) == token, "a process that runs on finds the new key"


def test_rotation_while_others_seal_loses_nothing(place: Place, site: PracticeSite) -> None:
    connections = [granted(place, site, name=f"Connection {n}") for n in range(3)]

    def busy() -> None:
        mine = Place(place.store, site)
        for connection in connections * 3:
            mine.tokens.set_client_secret(connection, Secret(site.client_secret))

    found = in_threads([busy, busy, *[lambda: Place(place.store, site).vault.rotate()] * 4])
    assert not [one for one in found if isinstance(one, Exception)]
    for connection in connections:
        assert place.tokens.client_secret(connection).reveal() == site.client_secret
        assert place.tokens.access_token(connection)


def test_a_damaged_row_is_told_and_the_other_connections_work(place: Place, site: PracticeSite) -> None:
    bad, good = granted(place, site), granted(place, site, name="Second")
    with place.store.write() as db:
        which = credentials.c.connection_id == bad.connection_id
        box = db.execute(sa.select(credentials.c.sealed_grant).where(which)).scalar_one()
        db.execute(sa.update(credentials).where(which).values(sealed_grant=box[:-40] + b"A" * 40))
    with pytest.raises(VaultError, match="damaged") as problem:
        place.tokens.access_token(bad)
    assert "press Get OAuth Token" in str(problem.value)
    assert place.tokens.status(bad).state == "consent_needed" and "damaged" in place.tokens.status(bad).words
    assert place.tokens.access_token(good)
    assert place.vault.rotate() == 4, "its envelope opens, so it is sealed anew, damaged as it is"
    place.tokens.save_grant(bad, site.issue_token())
    assert place.tokens.access_token(bad), "the way out works"


def test_a_row_cut_short_does_not_stop_the_rotation(place: Place, site: PracticeSite) -> None:
    bad, good = granted(place, site), granted(place, site, name="Second")
    with place.store.write() as db:
        which = credentials.c.connection_id == bad.connection_id
        box = db.execute(sa.select(credentials.c.sealed_grant).where(which)).scalar_one()
        db.execute(sa.update(credentials).where(which).values(sealed_grant=box[:60]))
    assert place.vault.rotate() == 3
    assert place.tokens.access_token(good)
    with pytest.raises(VaultError):
        place.tokens.access_token(bad)


def test_a_key_stays_as_long_as_something_is_sealed_by_it(
    place: Place, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = granted(place, site)
    old, turns = place.vault.sealer(), iter(range(9))

    def somebody_who_took_the_key_before(db: sa.Connection) -> None:
        if next(turns) == 1:
            db.execute(sa.update(credentials).values(client_secret=old.seal(b'{"connection": "", "secret": "s"}')))

    monkeypatch.setattr(place.vault, "_take_turns", somebody_who_took_the_key_before)
    place.vault.rotate()
    assert place.vault.status().keys == 2 and "rotate again" in place.vault.status().words
    with place.store.read() as db:
        assert place.vault.unseal(db.execute(sa.select(credentials.c.client_secret)).scalar_one())
    assert place.tokens.access_token(connection)
    place.vault.rotate()
    assert place.vault.status().keys == 1


def test_secrets_copied_to_another_connection_do_not_open_there(place: Place, site: PracticeSite) -> None:
    one, two = granted(place, site), granted(place, site, name="Second")
    with place.store.write() as db:
        found = db.execute(
            sa.select(credentials.c.client_secret, credentials.c.sealed_grant).where(
                credentials.c.connection_id == one.connection_id
            )
        ).one()
        db.execute(
            sa.update(credentials)
            .where(credentials.c.connection_id == two.connection_id)
            .values(client_secret=found[0], sealed_grant=found[1])
        )
    with pytest.raises(VaultError, match="copied from another"):
        place.tokens.access_token(two)
    with pytest.raises(VaultError):
        place.tokens.client_secret(two)


@pytest.mark.parametrize("content", ["", "not json", "{}", '{"keys": []}', '{"keys": [{"id": "x", "in": "file"}]}'])
def test_a_damaged_key_file_names_the_way_out_and_the_way_works(
    place: Place, site: PracticeSite, home: Path, content: str
) -> None:
    connection = granted(place, site)
    (home / "vault.json").write_text(content)
    again = Place(place.store, site)
    with pytest.raises(VaultError, match="is damaged") as problem:
        again.tokens.access_token(connection)
    assert "spokekit vault new-key" in str(problem.value)
    (home / "vault.json").rename(home / "vault.json.bad")
    with pytest.raises(VaultError, match="is gone, and the store holds secrets"):
        again.tokens.set_client_secret(connection, Secret(site.client_secret))
    again.vault.new_key()
    with pytest.raises(VaultError, match="which is not in the vault"):
        again.tokens.access_token(connection)
    again.tokens.set_client_secret(connection, Secret(site.client_secret))
    again.tokens.save_grant(connection, site.issue_token())
    assert again.tokens.access_token(connection)


def test_a_key_that_was_edited_is_noticed(home: Path) -> None:
    Vault.open(default_store()).seal(b"x")
    ring = json.loads((home / "vault.json").read_text())
    value = ring["keys"][0]["key"]
    ring["keys"][0]["key"] = ("A" if value[0] != "A" else "B") + value[1:]
    (home / "vault.json").write_text(json.dumps(ring))
    with pytest.raises(VaultError, match="damaged"):
        Vault.open(default_store()).seal(b"x")


def test_a_key_file_that_may_not_be_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Vault.open(default_store()).seal(b"x")

    def refuse(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(VaultError, match="cannot be read: Permission denied"):
        Vault.open(default_store()).seal(b"x")


# ------------------------------------------------------------------ keyrings, stood in for


class FakeBackend:
    """What a keyring's back end looks like from here."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.keeps, self.locked = keeps, False

    def set_password(self, service: str, name: str, value: str) -> None:
        if self.locked:
            raise RuntimeError("locked")
        if self.keeps:
            self.kept[service, name] = value

    def get_password(self, service: str, name: str) -> str | None:
        if self.locked:
            raise RuntimeError("locked")
        return self.kept.get((service, name))

    def delete_password(self, service: str, name: str) -> None:
        self.kept.pop((service, name), None)


@pytest.fixture
def keyring_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    import keyring

    def use(backend: FakeBackend, module: str) -> FakeBackend:
        kind = type("Keyring", (FakeBackend,), {"__module__": module})
        backend.__class__ = kind
        monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
        monkeypatch.setattr(keys, "_known", {})
        return backend

    return use


@pytest.mark.parametrize(
    ("module", "keeps", "kind"),
    [
        ("keyring.backends.SecretService", True, "keyring"),
        ("keyring.backends.macOS", True, "keyring"),
        ("keyring.backends.SecretService", False, "file"),
        ("keyrings.alt.file", True, "file"),
        ("keyrings.cryptfile.cryptfile", True, "file"),
        ("keyring.backends.fail", True, "file"),
        ("keyring.backends.null", True, "file"),
    ],
)
def test_only_a_trusted_keyring_that_keeps_what_it_is_given_is_used(
    home: Path, keyring_of: Any, module: str, keeps: bool, kind: str
) -> None:
    backend = keyring_of(FakeBackend(keeps=keeps), module)
    vault = Vault.open(default_store())
    assert vault.unseal(vault.seal(b"x")) == b"x"
    assert vault.status().kind == kind
    assert ("key" in json.loads((home / "vault.json").read_text())["keys"][0]) is (kind == "file")
    assert len(backend.kept) == (1 if kind == "keyring" else 0), "the probe is removed again"


def test_a_locked_keyring_is_told_and_another_vault_is_the_way_out(
    place: Place, site: PracticeSite, home: Path, keyring_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = granted(place, site)
    token = place.tokens.access_token(connection)
    backend = keyring_of(FakeBackend(), "keyring.backends.SecretService")
    assert place.vault.rotate("keyring") == 2 and place.vault.kind == "keyring"
    assert place.tokens.access_token(connection) == token
    assert len(json.loads((home / "vault.json").read_text())["keys"]) == 1 and len(backend.kept) == 1
    backend.locked = True
    keys._known.clear()
    again = Place(place.store, site)
    with pytest.raises(VaultError, match="locked") as problem:
        again.tokens.access_token(connection)
    assert "SPOKEKIT_VAULT=file" in str(problem.value)
    monkeypatch.setenv("SPOKEKIT_VAULT", "file")
    out = Place(place.store, site)
    out.tokens.set_client_secret(connection, Secret(site.client_secret))
    out.tokens.save_grant(connection, site.issue_token())
    assert out.tokens.access_token(connection) and out.vault.kind == "file"
    monkeypatch.delenv("SPOKEKIT_VAULT")
    backend.locked = False
    unlocked = Place(place.store, site)
    assert unlocked.vault.kind == "keyring" and unlocked.tokens.access_token(connection), "both rings are looked at"
    assert unlocked.vault.rotate("file") == 2 and unlocked.vault.kind == "file" and not backend.kept
    assert unlocked.tokens.access_token(connection)
