"""PostgreSQL: nobody waits without end, readers never wait for writers, and every failure is one of ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from spokekit.connections.connection import ConnectionDraft, Connections
from spokekit.connections.store import Store
from spokekit.errors import StoreError
from tests.oauth.test_postgresql import server  # noqa: F401 - the fixture that starts a real server


@pytest.fixture
def store(server: str) -> Iterator[Store]:  # noqa: F811 - pytest passes the fixture by this name
    engine = sa.create_engine(server)
    with engine.begin() as db:
        db.execute(sa.text("DROP SCHEMA public CASCADE"))
        db.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    opened = Store(server, lock_timeout=1)
    Connections(opened).add(ConnectionDraft(name="One", client_id="Abc"))
    yield opened
    opened.close()


@pytest.fixture
def somebody(store: Store) -> Iterator[sa.Connection]:
    """Another program, which holds the row of a connection and then does nothing."""
    engine = sa.create_engine(store.url)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT * FROM connections FOR UPDATE"))
        yield connection
    engine.dispose()


def change(store: Store) -> None:
    with store.write() as db:
        db.execute(sa.text("UPDATE connections SET url = 'https://example.com/'"))


def test_a_row_that_another_program_holds_is_told_as_on_sqlite(store: Store, somebody: sa.Connection) -> None:
    with pytest.raises(StoreError, match="is held by another program") as told:
        change(store)
    assert "nothing was changed" in str(told.value.hint)
    somebody.rollback()
    change(store)


def test_a_program_that_falls_asleep_with_a_lock_is_cut_off(store: Store) -> None:
    sleeper = Store(store.url, lock_timeout=0.3)
    with pytest.raises(StoreError, match="went away"), sleeper.write() as db:
        db.execute(sa.text("UPDATE connections SET url = 'https://one.example/'"))
        change(store)  # waits, and gets the row once the sleeper is cut off
        db.execute(sa.text("UPDATE connections SET url = 'https://two.example/'"))
    assert Connections(store).get("One").url == "https://example.com/"
    assert Connections(sleeper).get("One").url == "https://example.com/", "the sleeper goes on with a new connection"
    sleeper.close()


def test_readers_find_a_connection_while_any_number_of_writers_wait(store: Store, somebody: sa.Connection) -> None:
    told: list[str] = []

    def write() -> None:
        try:
            change(store)
        except StoreError as error:
            told.append(error.message)

    writers = [threading.Thread(target=write) for _ in range(25)]
    for writer in writers:
        writer.start()
    for _ in range(20):
        assert [c.name for c in Connections(store).list()] == ["One"]
    for writer in writers:
        writer.join(60)
    assert len(told) == 25 and all("is held by another program" in words for words in told)


def test_a_pool_that_is_used_up_is_told_as_ours(server: str, store: Store) -> None:  # noqa: F811
    small = Store(server, lock_timeout=0.1)

    def one_more(left: int) -> None:
        with small.read():
            one_more(left - 1)

    with pytest.raises(StoreError, match="is held by another program"):
        one_more(30)
    small.close()


def test_a_server_that_takes_no_more_connections(store: Store, server: str) -> None:  # noqa: F811
    engine = sa.create_engine(server, pool_size=200)
    taken = []
    with pytest.raises(sa.exc.OperationalError):
        for _ in range(200):
            taken.append(engine.connect())
    other = Store(server)
    with pytest.raises(StoreError, match="takes no more connections"):
        Connections(other)
    for connection in taken:
        connection.close()
    engine.dispose()


def test_a_user_who_may_only_read(store: Store, server: str) -> None:  # noqa: F811
    with store.write() as db:
        db.execute(sa.text("DROP ROLE IF EXISTS reader"))
        db.execute(sa.text("CREATE ROLE reader LOGIN"))
        db.execute(sa.text("GRANT USAGE ON SCHEMA public TO reader"))
        db.execute(sa.text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
    reader = Store(server.replace("spokekit@", "reader@"))
    with pytest.raises(StoreError, match="the database does not allow it"):
        reader.ensure(sa.Table("one_more", sa.MetaData(), sa.Column("one", sa.Integer)))
    assert len(Connections(reader).list()) == 1
    with pytest.raises(StoreError, match="the database does not allow it"):
        change(reader)
    reader.close()
    with store.write() as db:
        db.execute(sa.text("DROP OWNED BY reader"))


def test_a_connection_that_is_cut_in_the_middle(store: Store) -> None:
    with pytest.raises(StoreError, match="went away") as told, store.write() as db:
        number = db.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        engine = sa.create_engine(store.url)
        with engine.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": number})
        engine.dispose()
        time.sleep(0.1)
        db.execute(sa.text("UPDATE connections SET url = 'https://one.example/'"))
    assert told.value.hint
    change(store)


def test_a_connection_that_is_given_back_after_the_store_was_closed_is_closed_too(server: str) -> None:  # noqa: F811
    closed = Store(server)
    using = closed.engine.connect()
    wire = using.connection.dbapi_connection
    assert wire is not None
    closed.close()
    assert using.execute(sa.text("SELECT 1")).scalar() == 1
    using.close()
    assert wire.closed
