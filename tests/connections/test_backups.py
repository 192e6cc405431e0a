"""Backups of the store: whole, private, and put in place without anything of the former store in them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit._secret import Secret
from spokekit.cli import main
from spokekit.connections import backups
from spokekit.connections.backups import Restore, look
from spokekit.connections.connection import ConnectionDraft, Connections
from spokekit.connections.store import SCHEMA_VERSION, SIDE_FILES, Store, default_store, let_go
from spokekit.errors import InputError, SpokekitError, StoreError
from spokekit.oauth.tokens import Tokens
from spokekit.oauth.vault import Vault

Run = Callable[..., tuple[int, str, str]]
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such locks and signals")

# A process with the store open that has written a connection which only the -wal file holds.
USES_IT = (
    "import sys\n"
    "from spokekit.connections.connection import ConnectionDraft, Connections\n"
    "from spokekit.connections.store import Store\n"
    "store = Store(sys.argv[1])\n"
    "Connections(store).add(ConnectionDraft(name='Of the one who was killed', client_id='Abc'))\n"
    "print('ready', flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "160")

    def runner(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(one) for one in arguments])
        printed = capsys.readouterr()
        code = stop.value.code
        return code if isinstance(code, int) else int(code is not None), printed.out, printed.err

    return runner


@pytest.fixture
def path(home: Path) -> Path:
    """The file of a store with one connection and its client secret, closed."""
    store = default_store()
    made = Connections(store).add(ConnectionDraft(name="In the backup", client_id="Abc"))
    Tokens(store, Vault.open(store)).set_client_secret(made, Secret("not to be read by anybody"))
    store.close()
    return home / "spokekit.sqlite"


@pytest.fixture
def copy(path: Path, run: Run, tmp_path: Path) -> Path:
    target = tmp_path / "kept elsewhere.backup"
    assert run("store", "backup", target)[0] == 0
    return target


@pytest.fixture
def somebody(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", USES_IT, f"sqlite:///{path}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def names(path: Path) -> list[str]:
    return list(look(path).connections)


def beside(path: Path) -> list[str]:
    return sorted(end for end in SIDE_FILES if path.with_name(path.name + end).exists())


def test_a_backup_is_one_private_whole_file_while_another_process_writes(
    path: Path, run: Run, somebody: subprocess.Popen[str], tmp_path: Path
) -> None:
    before = os.umask(0o022)
    try:
        code, out, said = run("store", "backup", tmp_path / "new folder" / "a.backup")
    finally:
        os.umask(before)
    target = tmp_path / "new folder" / "a.backup"
    assert (code, out) == (0, "")
    assert "2 connections (“In the backup”, “Of the one who was killed”)" in said
    assert "vault key" in said and "the key file of this home" in said
    assert list(target.parent.iterdir()) == [target]
    assert names(target) == ["In the backup", "Of the one who was killed"]
    if os.name == "posix":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert b"not to be read" not in target.read_bytes()
    users = json.loads((path.parent / "vault.json").read_text())["users"]
    assert str(target) in [user["where"] for user in users], "vault rotate keeps the key that the backup needs"


def test_a_backup_is_not_written_over_unasked_nor_over_the_store(path: Path, run: Run, copy: Path) -> None:
    kept, store = copy.read_bytes(), path.read_bytes()
    code, _, said = run("store", "backup", copy)
    assert code == 1 and "--replace" in said and copy.read_bytes() == kept
    assert run("store", "backup", copy, "--replace")[0] == 0
    for name in (path, path.with_name("spokekit.sqlite-wal"), path.parent):
        code, _, said = run("store", "backup", name, "--replace")
        assert code == 1 and ("the store itself" in said or "not a file" in said)
    assert path.read_bytes() == store


def test_a_damaged_store_is_not_backed_up(path: Path, run: Run, copy: Path) -> None:
    kept = copy.read_bytes()
    damage(path, 4096, 3000)
    code, _, said = run("store", "backup", copy, "--replace")
    assert code == 1 and "is damaged" in said and "spokekit store restore FILE" in said
    assert copy.read_bytes() == kept
    assert [one.name for one in copy.parent.glob(".*")] == []


def damage(path: Path, start: int, length: int) -> None:
    with path.open("rb+") as file:
        file.seek(start)
        file.write(bytes((7 * n) % 251 for n in range(length)))


def truncated(path: Path) -> None:
    os.truncate(path, 0)


def halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    path.write_bytes(b"what another program keeps under this name " * 999)


def another_in_place(path: Path) -> None:
    made = path.with_name("another")
    with closing(sqlite3.connect(made)) as db:
        db.execute("CREATE TABLE something (x)")
    made.replace(path)


def untouched(path: Path) -> None:
    assert path.exists()


STATES = [untouched, truncated, halved, overwritten, another_in_place, Path.unlink]


@posix
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_backup_is_put_in_place_beside_what_a_killed_process_left(
    state: Callable[[Path], Any], path: Path, run: Run, copy: Path, somebody: subprocess.Popen[str]
) -> None:
    somebody.send_signal(signal.SIGKILL)
    somebody.wait()
    assert "-wal" in beside(path), "what is left over is there"
    state(path)
    former = path.read_bytes() if path.exists() else None
    code, _, said = run("store", "restore", copy)
    assert code == 0, said
    assert names(path) == ["In the backup"]
    assert beside(path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run("store", "check")[0] == 0
    store = default_store()
    secret = Tokens(store, Vault.open(store)).client_secret(Connections(store).get("In the backup"))
    assert secret is not None and secret.reveal() == "not to be read by anybody"
    store.close()
    kept = sorted(path.parent.glob("spokekit.sqlite.before-restore-*"))
    assert any(str(one) in said for one in kept)
    assert {stat.S_IMODE(one.stat().st_mode) for one in kept} <= {0o600}
    if state is untouched:
        assert names(kept[0]) == ["In the backup", "Of the one who was killed"]
    else:
        assert kept[-1].name.endswith("-wal"), "the damaged store is kept with what lay beside it"
        assert former is None or kept[0].read_bytes() == former


@posix
def test_a_store_in_use_is_not_replaced(path: Path, run: Run, copy: Path, somebody: subprocess.Popen[str]) -> None:
    before = path.read_bytes()
    code, _, said = run("store", "restore", copy)
    assert code == 1 and "Another process uses the store" in said
    assert path.read_bytes() == before and beside(path) == ["-shm", "-wal"]
    assert not list(path.parent.glob("*before-restore*"))
    truncated(path)  # the one who uses it holds it all the same
    assert run("store", "restore", copy)[0] == 1
    somebody.kill()
    somebody.wait()
    assert run("store", "restore", copy)[0] == 0
    assert names(path) == ["In the backup"]


@posix
def test_who_waits_for_the_lock_meanwhile_never_writes_beside_the_new_store(path: Path, copy: Path) -> None:
    held = os.open(path, os.O_RDWR)  # opened, and kept waiting by the restore
    this = Restore(path, copy)
    this.carry_out()
    assert os.pread(held, 16, 0) == bytes(16), "SQLite takes the former file for none of its own"
    os.close(held)
    assert names(path) == ["In the backup"]


@posix
@pytest.mark.parametrize("renames", range(4))
def test_a_kill_in_the_middle_leaves_the_one_store_or_the_other(
    renames: int, path: Path, copy: Path, somebody: subprocess.Popen[str]
) -> None:
    somebody.kill()
    somebody.wait()
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from spokekit.connections.backups import Restore\n"
        "this, real, left = Restore(Path(sys.argv[1]), Path(sys.argv[2])), Path.replace, [int(sys.argv[3])]\n"
        "def replace(self, target):\n"
        "    if not left[0]: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left[0] -= 1\n"
        "    return real(self, target)\n"
        "Path.replace = replace\n"
        "this.carry_out()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path), str(copy), str(renames)], check=False)
    old, new = ["In the backup", "Of the one who was killed"], ["In the backup"]
    assert names(path) == (old if done.returncode else new)
    Connections(Store(f"sqlite:///{path}")).add(ConnectionDraft(name="One more", client_id="Abc"))
    assert look(path).connections[:-1] == tuple(old if done.returncode else new)


def test_a_disk_that_fails_in_the_middle_leaves_the_store_as_it_was(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.with_name("spokekit.sqlite-wal").write_bytes(b"left over" * 99)
    damage(path, 0, 50)
    this, before = Restore(path, copy), path.read_bytes()
    real = Path.replace

    def replace(one: Path, target: Path) -> Path:
        if target == path:
            raise OSError(28, "No space left on device")
        return real(one, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(StoreError, match="No space left"):
        this.carry_out()
    assert path.read_bytes() == before and path.with_name("spokekit.sqlite-wal").read_bytes() == b"left over" * 99
    assert sorted(one.name for one in path.parent.glob("*sqlite*")) == ["spokekit.sqlite", "spokekit.sqlite-wal"]


def test_an_interrupt_right_after_the_backup_took_its_place_brings_nothing_old_back(
    path: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.with_name("spokekit.sqlite-wal").write_bytes(b"left over" * 99)
    damage(path, 0, 50)
    this, before = Restore(path, copy), path.read_bytes()

    def interrupted(_folder: Path) -> None:
        if path.read_bytes() != before:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("spokekit._home._settle", interrupted)
        this.carry_out()
    assert "-wal" not in beside(path)
    assert names(path) == ["In the backup"]
    assert before in [one.read_bytes() for one in path.parent.glob("*before-restore*")], "the old store is kept"


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE store_schema SET version = ?", (SCHEMA_VERSION + 1,))


def without_a_column(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("ALTER TABLE connections DROP COLUMN site_url")


def without_a_rule(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DROP TRIGGER aliases_default_stays")


def with_a_rule_of_somebody(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("CREATE TRIGGER quiet AFTER INSERT ON connections BEGIN DELETE FROM connections; END")


def with_a_row_of_nothing(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("UPDATE connections SET alias_id = alias_id || '?' WHERE 0")
        db.execute("UPDATE credentials SET connection_id = 'nobody'")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def with_changes_beside(file: Path) -> None:
    file.with_name(file.name + "-wal").write_bytes(b"of another store" * 9)


REFUSED = {
    truncated: "is empty",
    halved: "is damaged",
    overwritten: "is not a store of spokekit",
    another_in_place: "is not a store of spokekit",
    Path.unlink: "There is no file",
    a_folder: "is not a file",
    newer: "written by a newer spokekit",
    without_a_column: "connections lacks column site_url",
    without_a_rule: "lacks trigger aliases_default_stays",
    with_a_rule_of_somebody: "has trigger quiet",
    with_a_row_of_nothing: "is not there",
    with_changes_beside: "-wal: changes that SQLite would write into it",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_what_is_no_good_backup_is_refused_and_the_store_stays(
    change: Callable[[Path], Any], path: Path, run: Run, copy: Path
) -> None:
    change(copy)
    before = path.read_bytes()
    code, _, said = run("store", "restore", copy, "--yes")
    assert code == 1 and REFUSED[change] in said and "Next: " in said
    assert path.read_bytes() == before and not list(path.parent.glob("*before-restore*"))
    if change is not with_changes_beside:
        code, out, said = run("store", "check", copy, "--format", "json")
        assert (code, out) == (1, "") and REFUSED[change] in said


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_randomly_damaged_backup_is_refused_in_our_words_or_holds_a_store_in_order(
    data: st.DataObject, path: Path, copy: Path, tmp_path: Path
) -> None:
    whole = copy.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "zeros", "page"]))
    other = data.draw(st.integers(0, len(whole) // 4096 - 1)) * 4096
    bad = tmp_path / "bad.backup"
    bad.write_bytes(
        {
            "flip": whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :],
            "cut": whole[:at],
            "zeros": whole[:at] + bytes(min(600, len(whole) - at)) + whole[at + 600 :],
            "page": whole[: at // 4096 * 4096] + whole[other : other + 4096] + whole[at // 4096 * 4096 + 4096 :],
        }[kind]
    )
    before = path.read_bytes()
    try:
        this = Restore(path, bad)
    except SpokekitError as error:
        assert error.hint
        assert path.read_bytes() == before
        return
    kept = this.carry_out()
    assert kept is not None and look(path).layout == SCHEMA_VERSION
    kept.replace(path)


def test_a_backup_of_another_store_is_put_in_place_only_when_somebody_says_so(
    path: Path, run: Run, copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPOKEKIT_HOME", str(tmp_path / "another home"))
    assert run("store", "restore", copy)[0] == 0, "where there is no store yet, none is replaced"
    theirs = tmp_path / "another home" / "spokekit.sqlite"
    let_go(theirs)
    theirs.unlink()
    Connections(default_store()).add(ConnectionDraft(name="Of another store", client_id="Abc"))
    let_go(theirs)
    before = theirs.read_bytes()
    code, _, said = run("store", "restore", copy)
    assert code == 1 and "of another store" in said and "--yes" in said and theirs.read_bytes() == before
    truncated(theirs)
    code, _, said = run("store", "restore", copy)
    assert code == 1 and "seems to be the backup of another store" in said, "its key is not here"
    code, _, said = run("store", "restore", copy, "--yes")
    assert code == 0 and "is not in this home: put the key file" in said
    assert names(theirs) == ["In the backup"]


def test_a_server_and_a_store_in_memory_are_told_what_to_do_instead(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql+psycopg://ann:pass%40word@db.example.com:5432/spoke"
    for command in (["backup", "x"], ["restore", "x"], ["check"]):
        monkeypatch.setenv("SPOKEKIT_STORE_URL", address)
        code, _, said = run("store", *command)
        assert code == 1 and "pg_dump" in said and "pg_restore" in said and "pass" not in said
        assert "postgresql://ann@db.example.com:5432/spoke" in said
        monkeypatch.setenv("SPOKEKIT_STORE_URL", "sqlite:///:memory:")
        code, _, said = run("store", *command)
        assert code == 1 and "in memory only" in said and "SPOKEKIT_HOME" in said
    assert not Path("x").exists()


def test_a_check_makes_nothing_and_says_what_is_there(run: Run, home: Path) -> None:
    code, out, said = run("store", "check", "--format", "json")
    assert (code, json.loads(out)) == (0, []) and "There is no store yet" in said
    assert run("store", "backup", home / "x")[0] == 1
    assert not list(home.iterdir())


def test_a_check_names_contents_and_keys_and_leaves_nothing_behind(path: Path, run: Run, copy: Path) -> None:
    for name in (copy, path):
        before = {one: one.read_bytes() for one in name.parent.iterdir() if one.is_file()}
        code, out, _ = run("store", "check", *([name] if name == copy else []), "--format", "json")
        [row] = json.loads(out)
        assert code == 0 and row["connections"] == ["In the backup"] and row["layout"] == SCHEMA_VERSION
        assert row["keys"] == [json.loads((path.parent / "vault.json").read_text())["keys"][0]["id"]]
        assert row["keys_missing"] == [] and row["last_change"].endswith("Z")
        assert {one: one.read_bytes() for one in name.parent.iterdir() if one.is_file()} == before


def test_the_doctor_finds_damage_that_no_query_meets(path: Path, run: Run) -> None:
    with closing(sqlite3.connect(path)) as db:
        root = db.execute("SELECT rootpage FROM sqlite_master WHERE type = 'table' AND name = 'account_changes'")
        page = root.fetchone()[0]
    damage(path, (page - 1) * 4096, 60)
    assert Connections(default_store()).list(), "the connections are read all the same"
    let_go(path)
    code, out, _ = run("doctor", "--format", "json")
    found = {row["check"]: row for row in json.loads(out)}
    assert code == 1 and found["store"]["state"] == "trouble"
    assert "damaged" in found["store"]["words"] and "spokekit store restore FILE" in found["store"]["next"]


def test_a_store_whose_address_is_a_link_is_replaced_behind_the_link(
    path: Path, copy: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = tmp_path / "disk" / "real.sqlite"
    real.parent.mkdir()
    shutil.move(path, real)
    path.symlink_to(real)
    overwritten(real)
    assert run("store", "restore", copy)[0] == 0
    assert path.is_symlink() and names(real) == ["In the backup"]
    assert len(list(real.parent.glob("real.sqlite.before-restore-*"))) == 1


def test_words_for_a_backup_that_is_the_store_itself(path: Path) -> None:
    with pytest.raises(InputError, match="the store itself"):
        Restore(path, path)
    assert backups.file_of(f"sqlite:///{path}") == path.resolve()
