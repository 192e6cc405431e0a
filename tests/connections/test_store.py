"""A store that is damaged, locked, read-only, out of reach or newer than this program says so in words."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import threading
import weakref
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from spokekit.connections.connection import ConnectionDraft, Connections, connections_table
from spokekit.connections.store import SCHEMA_VERSION, Store, default_store, store_schema
from spokekit.errors import InputError, StoreError


def made(path: Path) -> Path:
    store = Store(f"sqlite:///{path}")
    Connections(store).add(ConnectionDraft(client_id="Abc"))
    store.close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    return path


def failing(store: Store) -> StoreError:
    with pytest.raises(StoreError) as caught:
        Connections(store).list()
    error = caught.value
    assert error.hint
    assert error.__cause__ is None
    return error


def test_a_damaged_file(tmp_path: Path) -> None:
    good = made(tmp_path / "good").read_bytes()
    for name, content in {
        "text": b"not a database, and long enough to be looked at" * 40,
        "overwritten": good[:2000] + b"\xff" * (len(good) - 2000),
        "cut": good[: len(good) // 2],
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        error = failing(Store(f"sqlite:///{path}"))
        assert "is damaged: SQLite cannot read it" in error.message
        assert str(path) in error.message
        assert path.read_bytes() == content


def test_a_store_that_another_program_holds(tmp_path: Path) -> None:
    path = made(tmp_path / "held")
    holder = sqlite3.connect(path)
    holder.execute("BEGIN IMMEDIATE")
    store = Store(f"sqlite:///{path}", lock_timeout=0.1)
    assert len(Connections(store).list()) == 1
    with pytest.raises(StoreError, match="is held by another program"):
        Connections(store).add(ConnectionDraft(name="Two", client_id="Abc"))
    holder.rollback()
    holder.close()
    assert Connections(store).add(ConnectionDraft(name="Two", client_id="Abc")).name == "Two"


def test_a_store_that_cannot_be_written_is_still_read(tmp_path: Path) -> None:
    path = made(tmp_path / "readable")
    store = Store(f"sqlite:///file:{path}?mode=ro&uri=true")
    connections = Connections(store)
    assert len(connections.list()) == 1
    with pytest.raises(StoreError, match="it is read-only"):
        connections.edit(connections.get().connection_id, name="Other")


def test_a_full_disk(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store")
    connections = Connections(store)
    with pytest.raises(StoreError, match="the disk is full"), store.write() as db:
        db.exec_driver_sql("PRAGMA max_page_count=1")
        db.execute(sa.text("UPDATE aliases SET retry_policy = hex(randomblob(100000))"))
    assert connections.add(ConnectionDraft(client_id="Abc")).name


def test_a_file_that_was_removed_meanwhile(home: Path) -> None:
    Connections(default_store()).add(ConnectionDraft(client_id="Abc"))
    for path in home.iterdir():
        path.unlink()
    assert Connections(default_store()).list() == ()
    Connections(default_store()).add(ConnectionDraft(client_id="Abc"))
    assert len(Connections(default_store()).list()) == 1


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    assert "cannot be opened" in failing(Store(f"sqlite:///{tmp_path}/nowhere/store")).message


def test_a_database_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg")
    error = failing(Store("postgresql+psycopg://me:planted@127.0.0.1:9/nothing"))
    assert "lets nobody in" in error.message
    assert "planted" not in str(error)


def test_a_home_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPOKEKIT_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="SPOKEKIT_HOME"):
        default_store()
    monkeypatch.setenv("SPOKEKIT_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "spokekit.sqlite").mkdir(parents=True)
    with pytest.raises(StoreError, match="SPOKEKIT_HOME"):
        default_store()


def test_a_newer_layout_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    path = made(tmp_path / "newer")
    raw = sqlite3.connect(path)
    raw.execute("UPDATE store_schema SET version = version + 1")
    raw.execute("DROP TABLE credentials")
    raw.commit()
    error = failing(Store(f"sqlite:///{path}"))
    assert f"has layout {SCHEMA_VERSION + 1}, and this spokekit knows {SCHEMA_VERSION}" in error.message
    assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'credentials'").fetchone() == (0,)
    raw.close()


def test_the_layout_is_noted_once(tmp_path: Path) -> None:
    path = made(tmp_path / "store")
    store = Store(f"sqlite:///{path}")
    Connections(store)
    with store.read() as db:
        assert db.execute(sa.select(store_schema.c.version)).scalars().all() == [SCHEMA_VERSION]


def test_addresses_that_are_none() -> None:
    with pytest.raises(InputError, match="does not begin with the kind of database"):
        Store("nonsense")
    with pytest.raises(StoreError, match="driver that is not installed"):
        Store("mysql+pymysql_missing://localhost/x")


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_the_file_is_its_owners_alone(home: Path) -> None:
    home.mkdir(mode=0o755)
    (home / "spokekit.sqlite").touch(mode=0o644)
    Connections(default_store()).add(ConnectionDraft(client_id="Abc"))
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for path in home.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store")
    Connections(store)
    with pytest.raises(ZeroDivisionError), store.write() as db:
        db.execute(sa.text("UPDATE aliases SET retry_policy = 'x'"))
        _ = 1 / 0
    with store.read() as db:
        assert db.execute(sa.text("SELECT retry_policy FROM aliases")).scalar() != "x"


def test_a_reader_sees_one_state_while_somebody_writes(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store")
    Connections(store)
    done = threading.Event()

    def write() -> None:
        Connections(Store(store.url)).add(ConnectionDraft(client_id="Abc"))
        done.set()

    with store.read() as db:
        count = sa.select(sa.func.count()).select_from(connections_table)
        assert db.execute(count).scalar() == 0
        threading.Thread(target=write).start()
        assert done.wait(30)
        assert db.execute(count).scalar() == 0
    with store.read() as db:
        assert db.execute(count).scalar() == 1


def test_a_store_in_memory_serves_all_threads() -> None:
    store = Store("sqlite://")
    connections = Connections(store)
    threads = [
        threading.Thread(target=connections.add, args=(ConnectionDraft(name=f"Name {n}", client_id="Abc"),))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(connections.list()) == 8
    assert "in memory only" in store.describe()


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///{}"])
def test_a_store_that_goes_away_leaves_no_connection_open(address: str, tmp_path: Path) -> None:
    store, opened = Store(address.format(tmp_path / "store")), []
    sa.event.listen(store.engine, "connect", lambda connection, _: opened.append(connection))
    Connections(store).add(ConnectionDraft(name="One", client_id="Abc"))
    gone = weakref.ref(store)
    del store
    gc.collect()
    assert gone() is None and opened
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")


def test_a_connection_that_is_given_back_after_the_store_was_closed_is_closed_too(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{made(tmp_path / 'store')}")
    with store.read() as using:
        connection = using.connection.dbapi_connection
        assert connection is not None
        store.close()
        assert using.execute(sa.text("SELECT 1")).scalar() == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.cursor()
    assert len(Connections(store).list()) == 1, "who comes later finds the records"


def test_times_without_a_zone_are_refused(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store")
    saved = Connections(store).add(ConnectionDraft(client_id="Abc"))
    assert saved.created_at.tzinfo == UTC
    with pytest.raises((ValueError, sa.exc.StatementError)), store.write() as db:
        db.execute(connections_table.update().values(updated_at=datetime(2026, 1, 1)))  # noqa: DTZ001 - that is the case
