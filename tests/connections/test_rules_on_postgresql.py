"""The same rules on PostgreSQL, against a real server: names, one active connection, fixed parents, turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from spokekit.connections.aliases import PARENT_ALIAS_ID
from spokekit.connections.connection import ConnectionDraft, Connections, connections_table
from spokekit.connections.store import Store, store_schema
from spokekit.errors import Conflict, GuardRefused, NotConfigured, NotFound, StoreError
from spokekit.groups.registry import Registry
from tests.oauth.test_postgresql import server  # noqa: F401 - the fixture that starts a real server

CLOUD = "1324a887-45db-1bf4-1e99-ef0ff456d421"


@pytest.fixture
def store(server: str) -> Iterator[Store]:  # noqa: F811 - pytest passes the fixture by this name
    engine = sa.create_engine(server)
    with engine.begin() as db:
        db.execute(sa.text("DROP SCHEMA public CASCADE"))
        db.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    opened = Store(server)
    yield opened
    opened.close()


def draft(name: str) -> ConnectionDraft:
    return ConnectionDraft(name=name, client_id="Abc123")


def in_threads(count: int, work: object) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_the_database_itself_refuses(store: Store) -> None:
    connections = Connections(store)
    first = connections.add(draft("One"))
    connections.add(draft("Two"))
    again = {column.name: getattr(first, column.name, None) for column in connections_table.c}
    again |= {"connection_id": "other", "name": "Three", "name_key": "three", "scopes": "read:me"}
    for statement, constraint in (
        (sa.text("UPDATE aliases SET parent_id = NULL WHERE label = 'Two'"), "parent of an alias never change"),
        (sa.text("DELETE FROM aliases WHERE parent_id IS NULL"), "default alias cannot be removed"),
        (sa.text("UPDATE connections SET alias_id = (SELECT max(alias_id) FROM aliases)"), "stays with its alias"),
        (sa.text("UPDATE connections SET name_key = 'one'"), "uq_connections_name_key"),
        (sa.text("UPDATE credentials SET state = 'fine'"), "ck_credentials_known_state"),
        (connections_table.insert().values(**again), "uq_connections_one_active_per_alias"),
    ):
        with pytest.raises(sa.exc.IntegrityError, match=constraint), store.write() as db:
            db.execute(statement)
    with store.write() as db:
        db.execute(connections_table.insert().values(**again | {"active": False}))
    with pytest.raises(Conflict, match="already has the active connection “One”"):
        connections.edit("other", active=True)


def test_the_services_keep_their_rules(store: Store) -> None:
    connections = Connections(store)
    first, second = connections.add(draft("One")), connections.add(draft("Two"))
    assert connections.rows()[0].connection == first
    assert first.created_at == connections.get("one").created_at
    with pytest.raises(Conflict):
        connections.edit(second.connection_id, name="ONE")
    child = connections.aliases.add("Berlin")
    with pytest.raises(NotConfigured):
        connections.get(child.alias_id)
    saved = connections.set_site(second.connection_id, CLOUD, "zero \x00", "https://x.atlassian.net")
    registry = Registry(store, saved)
    assert registry.add(["a", "b"], by="\x00") == ("a", "b")
    registry.check("a")
    with pytest.raises(GuardRefused):
        registry.check("c")
    assert str(registry.frame()["registered_at"].dtype) == "datetime64[us, UTC]"
    connections.remove("Two")
    with pytest.raises(NotFound):
        registry.add("c")


def test_many_at_once_take_turns(store: Store) -> None:
    outcomes: list[str] = []
    new: list[tuple[str, ...]] = []

    def configure(number: int) -> None:
        other = Store(store.url)
        try:
            Connections(other).add(draft(f"Name {number}"), alias_id=PARENT_ALIAS_ID)
            outcomes.append("saved")
        except Conflict:
            outcomes.append("refused")
        finally:
            other.close()

    in_threads(8, configure)
    assert sorted(outcomes) == ["refused"] * 7 + ["saved"]
    connections = Connections(store)
    in_threads(8, lambda number: connections.add(draft(f"Child {number}")))
    assert len(connections.list()) == 9
    saved = connections.set_site(connections.get().connection_id, CLOUD, "Northwind", "https://x.atlassian.net")
    ids = [f"group-{number}" for number in range(40)]
    registry = Registry(store, saved)
    in_threads(4, lambda number: new.append(registry.add(ids[number * 5 : number * 5 + 25])))
    assert sorted(name for names in new for name in names) == sorted(ids)


def test_a_newer_layout_is_refused(store: Store) -> None:
    Connections(store)
    with store.write() as db:
        db.execute(store_schema.update().values(version=99))
    newer = Store(store.url)
    with pytest.raises(StoreError, match="has layout 99"):
        Connections(newer)
    newer.close()
