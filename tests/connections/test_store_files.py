"""The store's file: private however its address is spelled, in memory for all threads alike, and never another file."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from spokekit import _home
from spokekit._home import home, names_memory
from spokekit.connections.connection import ConnectionDraft, Connections
from spokekit.connections.store import Store, default_store
from spokekit.errors import InputError, StoreError

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")

SPELLINGS = [
    "sqlite:///{path}",
    "sqlite+pysqlite:///{path}",
    "SQLite3:///{path}",
    '"sqlite:///{path}"',
    "sqlite:///file:{path}?uri=true",
    "sqlite:///file:{path}",
    "sqlite:///file://{path}?mode=rwc&uri=true",
    "sqlite:///file://localhost{path}?cache=private",
    "sqlite:///some/../{name}",
    "sqlite:///file:{name}?uri=true",
]


@posix
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("there", [False, True])
def test_a_store_file_and_its_journals_are_their_owners_alone(
    spelling: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").mkdir()
    path = tmp_path / "my store.sqlite"
    if there:
        Connections(Store(f"sqlite:///{path}")).add(ConnectionDraft(client_id="Abc"))
        for one in tmp_path.glob("my store.sqlite*"):
            one.chmod(0o644)
    before = os.umask(0o022)
    try:
        monkeypatch.setenv("SPOKEKIT_STORE_URL", spelling.format(path=path, name=path.name))
        store = default_store()
        assert store.path == path and not store.in_memory
        saved = Connections(store)
        assert len(saved.list()) == int(there)
        saved.add(ConnectionDraft(name="Another", client_id="Abc"))
        made = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.glob("*store*")}
    finally:
        os.umask(before)
    assert set(made) == {"my store.sqlite", "my store.sqlite-wal", "my store.sqlite-shm"}
    assert set(made.values()) == {0o600}
    monkeypatch.chdir("/")
    saved.add(ConnectionDraft(name="A third one", client_id="Abc"))
    assert Connections(Store(f"sqlite:///{path}")).get("A third one"), "another working folder is no other store"


@posix
def test_a_store_that_is_opened_for_reading_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Connections(Store(f"sqlite:///file:{tmp_path}/none?mode=ro&uri=true"))
    assert not list(tmp_path.iterdir())


MEMORY = [
    "sqlite://",
    "sqlite:///",
    "sqlite:///:memory:",
    "sqlite+pysqlite:///:memory:",
    "'sqlite:///:memory:'",
    "sqlite:///file::memory:",
    "sqlite:///file::memory:?cache=shared&uri=true",
    "sqlite:///file:spokes?mode=memory&cache=shared&uri=true",
    "sqlite:///file:/spokes?vfs=memdb&uri=true",
]


@pytest.mark.parametrize("address", MEMORY)
def test_a_store_in_memory_is_one_for_all_threads(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPOKEKIT_STORE_URL", address)
    assert names_memory(address)
    Connections(default_store()).add(ConnectionDraft(name="Mine", client_id="Abc"))
    seen: list[str] = []

    def look() -> None:
        seen.extend(connection.name for connection in Connections(default_store()).list())

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == ["Mine"] * 3
    assert default_store().in_memory and "in memory only" in default_store().describe()
    assert not [path for path in tmp_path.iterdir() if path.name != "home"], "no file of a strange name is made"
    monkeypatch.setenv("BINDER_LAUNCH_HOST", "https://mybinder.org/")
    assert home() != tmp_path / "home", "nothing is kept where the store is in memory"


def test_a_file_that_is_named_after_memory_is_a_file() -> None:
    for address in ("sqlite:////data/:memory:.sqlite", "sqlite:////data/memory", "sqlite:///file:/data/x?mode=rw"):
        assert not names_memory(address)


@pytest.mark.parametrize("driver", ["sqlite+aiosqlite", "postgresql+asyncpg", "mysql+aiomysql"])
def test_a_driver_for_event_loops_is_refused(driver: str) -> None:
    with pytest.raises(InputError, match="event loop only"):
        Store(f"{driver}:///x")


# -- the file goes away ------------------------------------------------------------------------------------------------


def rows(store: Store) -> int:
    with store.read() as db:
        return int(db.execute(sa.text("SELECT count(*) FROM connections")).scalar_one())


@posix
@pytest.mark.parametrize("how", ["removed", "renamed", "replaced"])
def test_nothing_is_written_into_a_file_that_is_no_longer_the_store(how: str, tmp_path: Path) -> None:
    path, other = tmp_path / "store", tmp_path / "other"
    store = Store(f"sqlite:///{path}")
    connections = Connections(store)
    connections.add(ConnectionDraft(name="One", client_id="Abc"))
    another = Store(f"sqlite:///{other}")
    Connections(another)
    if how == "removed":
        path.unlink()
    elif how == "renamed":
        path.rename(tmp_path / "elsewhere")
    else:
        other.replace(path)
    with pytest.raises(StoreError, match="was replaced" if how == "replaced" else "was removed or renamed") as told:
        connections.add(ConnectionDraft(name="Two", client_id="Abc"))
    assert told.value.hint
    if how == "replaced":
        connections.add(ConnectionDraft(name="Three", client_id="Abc"))
        assert [c.name for c in connections.list()] == ["Three"], "then the file that is there is used"
    else:
        with pytest.raises(StoreError):
            connections.list()
        assert not path.exists(), "no empty store comes in its place by itself"


@posix
def test_a_file_that_is_replaced_in_the_middle_of_a_transaction_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    store = Store(f"sqlite:///{path}")
    connections = Connections(store)
    one = connections.add(ConnectionDraft(name="One", client_id="Abc"))
    with pytest.raises(StoreError, match="was removed"), store.write() as db:
        db.execute(
            sa.text("UPDATE connections SET name = 'Changed' WHERE connection_id = :id"), {"id": one.connection_id}
        )
        path.unlink()


# -- many who wait -----------------------------------------------------------------------------------------------------


def test_readers_find_a_connection_while_any_number_of_writers_wait(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store", lock_timeout=2)
    Connections(store)
    holder = sqlite3.connect(tmp_path / "store")
    holder.execute("BEGIN IMMEDIATE")
    told: list[str] = []

    def write() -> None:
        try:
            with store.write():
                pass
        except StoreError as error:
            told.append(error.message)

    writers = [threading.Thread(target=write) for _ in range(25)]
    for writer in writers:
        writer.start()
    for _ in range(20):
        assert rows(store) == 0
    for writer in writers:
        writer.join(30)
    holder.close()
    assert len(told) == 25 and all("is held by another program" in words for words in told)


def test_a_pool_that_is_used_up_is_told_as_ours(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store", lock_timeout=0.1)
    Connections(store)
    with pytest.raises(StoreError, match="is held by another program"):
        _all_at_once(store, 20)


def _all_at_once(store: Store, count: int) -> None:
    if count:
        with store.read():
            _all_at_once(store, count - 1)


# -- a home that is not ours alone -------------------------------------------------------------------------------------


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(_home, "_told", set())
    caplog.set_level(logging.WARNING, "spokekit")
    return caplog


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_a_folder_with_other_things_stays_open_and_that_is_said_once(
    home: Path, told: pytest.LogCaptureFixture
) -> None:
    home.mkdir()
    (home / "reports").mkdir()
    home.chmod(0o755)
    Connections(default_store()).add(ConnectionDraft(client_id="Abc"))
    assert _home.home() == home and mode(home) == 0o755
    assert mode(home / "spokekit.sqlite") == 0o600
    (words,) = told.messages
    assert "stays open to others, since it holds other things ('reports')" in words and str(home / "spokekit") in words


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_folder_with_files_of_somebody_else_stays_open(home: Path, told: pytest.LogCaptureFixture) -> None:
    home.mkdir(mode=0o755)
    (home / "snapshots").mkdir()
    os.chown(home / "snapshots", 65534, 65534)
    assert _home.home() == home and mode(home) == 0o755
    assert "a file of somebody else ('snapshots')" in told.messages[0]
    os.chown(home, 65534, 65534)
    assert _home.home() == home and mode(home) == 0o755, "nor is one that belongs to somebody else closed"


@posix
def test_where_others_may_write_a_shared_folder_is_refused(home: Path) -> None:
    home.mkdir()
    (home / "reports").mkdir()
    home.chmod(0o775)
    with pytest.raises(StoreError, match="others may write there") as refused:
        default_store()
    assert "SPOKEKIT_HOME" in str(refused.value.hint)
    assert mode(home) == 0o775 and [path.name for path in home.iterdir()] == ["reports"]


@posix
@pytest.mark.parametrize("there", [[], ["spokekit.sqlite", "vault.json", "snapshots", "lost+found"]])
def test_a_folder_of_ours_is_closed(home: Path, there: list[str], told: pytest.LogCaptureFixture) -> None:
    home.mkdir(mode=0o755)
    for name in there:
        (home / name).touch()
    assert _home.home() == home and mode(home) == 0o700
    assert not told.messages


@posix
def test_a_folder_of_the_system_is_never_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    if not shutil.which("unshare") or os.geteuid():
        pytest.skip("a /srv of this test's own needs root and unshare")
    code = "from spokekit._home import home; import os; print(home(), oct(os.stat('/srv').st_mode)[-3:])"
    script = f'mount -t tmpfs -o mode=0755 none /srv || exit 77; "{sys.executable}" -c "{code}"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env={**os.environ, "SPOKEKIT_HOME": "/srv"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr}")
    assert done.stdout.split() == ["/srv", "755"], done.stderr
    assert "a folder of the system" in done.stderr and "/srv/spokekit" in done.stderr
