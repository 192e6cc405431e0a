"""The rules of aliases and connections, kept by the services and, past them, by the database."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.connections.aliases import PARENT_ALIAS_ID, PARENT_LABEL, Aliases
from spokekit.connections.connection import (
    DEFAULT_NAME,
    Connection,
    ConnectionDraft,
    Connections,
    connections_table,
    credentials,
)
from spokekit.connections.scopes import DEFAULT_SCOPES
from spokekit.connections.store import Store
from spokekit.errors import Conflict, InputError, NotConfigured, NotFound

CLOUD = "1324a887-45db-1bf4-1e99-ef0ff456d421"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path}/store.sqlite")


@pytest.fixture
def connections(store: Store) -> Connections:
    return Connections(store)


def draft(name: str = DEFAULT_NAME, **more: object) -> ConnectionDraft:
    return ConnectionDraft(**{"name": name, "client_id": "Abc123", **more})  # type: ignore[arg-type]


def give_token(
    store: Store, connection: Connection, *, expires: timedelta = timedelta(hours=1), **more: object
) -> None:
    values = {
        "client_secret": b"sealed",
        "sealed_grant": b"sealed",
        "state": "valid",
        "expires_at": datetime.now(UTC) + expires,
    } | more
    with store.write() as db:
        own = credentials.c.connection_id == connection.connection_id
        db.execute(credentials.update().where(own).values(**values))


def credential(store: Store, connection: Connection) -> sa.RowMapping:
    with store.read() as db:
        own = credentials.c.connection_id == connection.connection_id
        return db.execute(sa.select(credentials).where(own)).mappings().one()


# ------------------------------------------------------------------------------------------------- aliases


def test_the_default_alias_is_there_before_anything_else(connections: Connections) -> None:
    (row,) = connections.rows()
    assert (row.alias.alias_id, row.alias.label) == ("sn_conflunce_spoke.Confluence_Cloud", "Confluence Cloud")
    assert row.is_default
    assert not row.configured
    (status,) = Workspace(connections.store).status()
    assert (status.state, status.words) == ("not_configured", "not configured")
    with pytest.raises(NotConfigured, match="“Confluence Cloud” is not configured"):
        connections.get()
    with pytest.raises(Conflict, match="cannot be removed"):
        connections.aliases.remove(PARENT_ALIAS_ID)


def test_the_default_comes_first_and_the_others_from_a_to_z(connections: Connections) -> None:
    for label in ("zebra", "Alpha", "beta"):
        connections.aliases.add(label)
    assert [alias.label for alias in connections.aliases.list()] == [PARENT_LABEL, "Alpha", "beta", "zebra"]
    assert [row.alias.label for row in connections.rows()] == [PARENT_LABEL, "Alpha", "beta", "zebra"]


def test_a_child_copies_what_it_inherits_once(store: Store, connections: Connections) -> None:
    parent = connections.aliases.get(PARENT_ALIAS_ID)
    with store.write() as db:
        db.execute(sa.text("UPDATE aliases SET retry_policy = 'another' WHERE parent_id IS NULL"))
    child = connections.aliases.add("Berlin")
    with store.write() as db:
        db.execute(sa.text("UPDATE aliases SET retry_policy = 'a third' WHERE parent_id IS NULL"))
    child = connections.aliases.get(child.alias_id)
    assert child.parent_id == PARENT_ALIAS_ID
    assert child.retry_policy == "another"
    for field in ("type", "connection_type", "multiple_connections", "configuration_template"):
        assert getattr(child, field) == getattr(parent, field)


def test_ids_of_aliases_are_made_of_their_labels(connections: Connections) -> None:
    add = connections.aliases.add
    assert add("Zürich & Bern").alias_id == "sn_conflunce_spoke.Zurich_Bern"
    assert add("Zurich Bern").alias_id == "sn_conflunce_spoke.Zurich_Bern_2"
    assert add("カンファレンス").alias_id == "sn_conflunce_spoke.Connection"
    assert add("Own", alias_id="x_acme.Own_1").alias_id == "x_acme.Own_1"
    for wrong in ("no dot", "a.b c", "a." + "b" * 200, ""):
        with pytest.raises(InputError, match="cannot be the id of an alias"):
            add("Other", alias_id=wrong)
    with pytest.raises(Conflict, match="already an alias with the id"):
        add("Other", alias_id="x_acme.Own_1")
    with pytest.raises(Conflict, match="already an alias “OWN”"):
        add("OWN")
    with pytest.raises(NotFound, match="Known: Confluence Cloud"):
        connections.aliases.get("nobody")


# ------------------------------------------------------------------------------------------------- connections


def test_the_first_connection_is_the_default_aliases_and_the_next_ones_get_children(connections: Connections) -> None:
    first = connections.add(draft())
    second = connections.add(draft("Berlin"))
    third = connections.add_child(draft("Third"), label="Paris")
    assert connections.get() == first == connections.get(first.connection_id) == connections.get(PARENT_LABEL)
    assert connections.get("BERLIN") == second == connections.get("sn_conflunce_spoke.Berlin")
    assert connections.get("Paris") == third
    assert [row.alias.label for row in connections.rows()] == [PARENT_LABEL, "Berlin", "Paris"]
    assert connections.list() == (first, second, third)
    assert first.scopes == DEFAULT_SCOPES
    assert (first.cloud_id, first.pkce, first.active) == (None, False, True)


def test_configuring_a_named_alias(connections: Connections) -> None:
    connections.aliases.add("Berlin")
    saved = connections.add(draft("One"), alias_id="berlin")
    assert saved.alias_id == "sn_conflunce_spoke.Berlin"
    with pytest.raises(Conflict, match="already has the active connection “One”"):
        connections.add(draft("Two"), alias_id="Berlin")
    with pytest.raises(NotFound):
        connections.add(draft("Two"), alias_id="nowhere")
    assert connections.save(draft("Two", alias_id=PARENT_ALIAS_ID)).alias_id == PARENT_ALIAS_ID


def test_a_child_never_falls_back_to_its_parent(connections: Connections) -> None:
    connections.add(draft())
    child = connections.aliases.add("Berlin")
    for name in (child.alias_id, child.label):
        with pytest.raises(NotConfigured, match="another alias's is never used"):
            connections.get(name)
    own = connections.add(draft("Own"), alias_id=child.alias_id)
    connections.edit(own.connection_id, active=False)
    with pytest.raises(NotConfigured):
        connections.get(child.alias_id)
    assert connections.get("Own").active is False
    assert [row.configured for row in connections.rows()][1:] == [True, False]
    assert [row.words for row in Workspace(connections.store).status()][1:] == ["switched off", "not configured"]


def test_names_are_unique_over_connections_and_aliases(connections: Connections) -> None:
    first = connections.add(draft("One"))
    with pytest.raises(Conflict, match="called “ONE”"):
        connections.add(draft("ONE"))
    connections.aliases.add("Berlin")
    with pytest.raises(Conflict, match="called “berlin”"):
        connections.add_child(draft("berlin"), label="Other")
    with pytest.raises(Conflict, match="already a connection “one”"):
        connections.aliases.add("one")
    second = connections.add_child(draft("Two"))
    with pytest.raises(Conflict):
        connections.edit(second.connection_id, name="one")
    assert connections.edit(first.connection_id, name="ONE").name == "ONE"
    assert [row.alias.label for row in connections.rows()] == [PARENT_LABEL, "Berlin", "Two"]
    assert connections.propose_name() == DEFAULT_NAME
    connections.add(draft(), alias_id="Berlin")
    assert connections.propose_name() == f"{DEFAULT_NAME} 2"


def test_nothing_is_made_when_a_field_is_wrong_or_a_name_is_taken(connections: Connections) -> None:
    connections.add(draft("One"))
    with pytest.raises(InputError, match="OAuth client id: this is empty"):
        connections.add(ConnectionDraft(name="Two"))
    with pytest.raises(Conflict):
        connections.add_child(draft("One"), label="New")
    assert len(connections.rows()) == 1


def test_the_cloud_id_of_the_address_is_taken(connections: Connections) -> None:
    saved = connections.add(draft(url=f"https://api.atlassian.com/ex/confluence/{CLOUD}/"))
    assert (saved.url, saved.cloud_id) == ("https://api.atlassian.com/", CLOUD)
    assert saved.api_base == f"https://api.atlassian.com/ex/confluence/{CLOUD}"
    assert not saved.is_practice


def test_site_and_account_are_noted(connections: Connections) -> None:
    saved = connections.add(draft(url="http://localhost:8750", auth_url=""))
    with pytest.raises(NotConfigured, match="has no site yet"):
        _ = saved.api_base
    connections.set_site(saved.connection_id, CLOUD, "Northwind", "https://northwind.atlassian.net")
    saved = connections.set_account(saved.connection_id, "712020:x", "Ada")
    assert saved.api_base == f"http://localhost:8750/ex/confluence/{CLOUD}"
    assert (saved.site_name, saved.account_name, saved.is_practice) == ("Northwind", "Ada", True)
    assert connections.get() == saved


def test_what_a_server_names_is_kept_or_refused(connections: Connections) -> None:
    saved = connections.add(draft())
    for wrong in ("../../me", "", "a b", "a" * 101, None):
        with pytest.raises(InputError, match="for a cloud id is none"):
            connections.set_site(saved.connection_id, wrong, "Name", "https://x")  # type: ignore[arg-type]
    saved = connections.set_site(saved.connection_id, CLOUD, "zero\x00 lone\ud800", "https://x.atlassian.net")
    assert saved.site_name == "zero\ufffd lone?"
    assert connections.set_account(saved.connection_id, None, "\x00").account_name == "\ufffd"


def test_edit_resets_the_scopes_to_the_defaults_and_hands_the_saved_ones_over(connections: Connections) -> None:
    saved = connections.add(draft(scopes="read:me, offline_access"))
    form, previous = connections.edit_draft(saved.connection_id)
    assert form.scopes == ", ".join(DEFAULT_SCOPES)
    assert previous == ("read:me", "offline_access")
    form.name = "Renamed"
    form.scopes = previous
    again = connections.save(form)
    assert (again.name, again.scopes, again.connection_id) == ("Renamed", previous, saved.connection_id)
    form.scopes = ", ".join(DEFAULT_SCOPES)
    assert connections.save(form).scopes == DEFAULT_SCOPES
    assert connections.edit(saved.connection_id, name="Third").scopes == DEFAULT_SCOPES


def test_edit_changes_what_is_named_and_refuses_the_rest(connections: Connections) -> None:
    saved = connections.add(draft(scopes="read:me"))
    changed = connections.edit(saved.connection_id, client_id="Other", pkce=True)
    assert (changed.client_id, changed.pkce, changed.scopes, changed.name) == ("Other", True, ("read:me",), saved.name)
    assert changed.updated_at >= saved.updated_at
    assert changed.created_at == saved.created_at
    with pytest.raises(Conflict, match="stays with its alias"):
        connections.edit(saved.connection_id, alias_id="x")
    with pytest.raises(InputError, match="no field “colour”"):
        connections.edit(saved.connection_id, colour="red")
    with pytest.raises(InputError, match="either on or off"):
        connections.edit(saved.connection_id, active="no")
    form, _ = connections.edit_draft(saved.connection_id)
    form.alias_id = connections.aliases.add("Berlin").alias_id
    with pytest.raises(Conflict, match="stays with its alias"):
        connections.save(form)


@pytest.mark.parametrize(
    ("change", "keeps_secret", "keeps_token"),
    [
        ({"name": "Other", "scopes": "read:me", "redirect_uri": "http://localhost:9/x", "pkce": True}, True, True),
        ({"client_id": "Other"}, False, False),
        ({"auth_url": "https://login.example.com/"}, False, False),
        ({"url": "https://gateway.example.com/"}, True, False),
    ],
)
def test_secrets_are_not_carried_over_to_another_app_or_server(
    store: Store, connections: Connections, change: dict[str, object], keeps_secret: bool, keeps_token: bool
) -> None:
    saved = connections.add(draft())
    connections.set_site(saved.connection_id, CLOUD, "Northwind", "https://northwind.atlassian.net")
    give_token(store, saved)
    saved = connections.edit(saved.connection_id, **change)
    row = credential(store, saved)
    assert (row["client_secret"] is not None) == keeps_secret
    assert (row["sealed_grant"] is not None) == keeps_token
    assert row["state"] == ("valid" if keeps_token else "none")
    assert row["generation"] == (0 if keeps_token else 1)
    assert (saved.cloud_id == CLOUD) == ("url" not in change)


def test_a_practice_site_may_move_to_another_port(store: Store, connections: Connections) -> None:
    saved = connections.add(draft(url="http://127.0.0.1:8750/", auth_url=""))
    connections.set_site(saved.connection_id, CLOUD, "Northwind", "https://northwind.atlassian.net")
    give_token(store, saved)
    moved = connections.edit(saved.connection_id, url="http://127.0.0.1:8751/", auth_url="http://127.0.0.1:8751/")
    assert credential(store, moved)["client_secret"] is not None
    assert moved.cloud_id == CLOUD


def test_removing(store: Store, connections: Connections) -> None:
    first, second, third = (connections.add(draft(name)) for name in ("One", "Two", "Three"))
    connections.remove("two")
    connections.remove(third.connection_id, keep_alias=True)
    connections.remove(first.connection_id)
    assert [(row.alias.label, row.configured) for row in connections.rows()] == [
        (PARENT_LABEL, False),
        ("Three", False),
    ]
    with store.read() as db:
        assert db.execute(sa.select(credentials)).first() is None
    with pytest.raises(NotFound):
        connections.remove(second.connection_id)
    connections.add(draft("Four"), alias_id="Three")
    connections.aliases.remove("Three")
    assert connections.list() == ()


def test_names_that_are_no_names(connections: Connections) -> None:
    for wrong in ("", "  ", 7):
        with pytest.raises(InputError, match="is a text"):
            connections.get(wrong)  # type: ignore[arg-type]
    connections.add(draft("One"))
    with pytest.raises(NotFound, match="Known connections: “One”"):
        connections.get("Two'; DROP TABLE connections; --")


def test_a_connection_shows_no_secret(store: Store, connections: Connections) -> None:
    saved = connections.add(draft())
    give_token(store, saved, client_secret=b"planted-secret")
    for shown in (connections, saved, connections.rows(), store, Aliases(store), Secret("planted-secret")):
        assert "planted" not in repr(shown)


# ------------------------------------------------------------------------------------------------- past the services


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE aliases SET parent_id = NULL WHERE label = 'Two'", "parent of an alias never change"),
        ("UPDATE aliases SET alias_id = 'x.y' WHERE label = 'Two'", "parent of an alias never change"),
        ("DELETE FROM aliases WHERE parent_id IS NULL", "default alias cannot be removed"),
        ("UPDATE connections SET alias_id = (SELECT max(alias_id) FROM aliases)", "stays with its alias"),
        ("UPDATE connections SET name_key = 'one'", "UNIQUE"),
        ("UPDATE aliases SET label_key = 'two'", "UNIQUE"),
        ("UPDATE credentials SET state = 'fine'", "CHECK"),
        ("INSERT INTO aliases SELECT 'a.b', 'x', 'x', 'a.c', type, connection_type, 0, '', '', created_at FROM aliases"
         " LIMIT 1", "CHECK"),
        ("UPDATE credentials SET connection_id = (SELECT connection_id FROM connections LIMIT 1)", "UNIQUE"),
        ("INSERT INTO credentials (credential_id, connection_id) VALUES ('1', 'nobody')", "FOREIGN KEY"),
    ],
)  # fmt: skip
def test_the_database_itself_refuses(store: Store, connections: Connections, statement: str, words: str) -> None:
    connections.add(draft("One"))
    connections.add(draft("Two"))
    with pytest.raises(sa.exc.IntegrityError, match=words), store.write() as db:
        db.execute(sa.text(statement))


def test_two_active_connections_on_one_alias_are_refused_by_the_database(store: Store, tmp_path: Path) -> None:
    saved = Connections(store).add(draft("One"))
    again = {column.name: getattr(saved, column.name, None) for column in connections_table.c}
    again |= {"connection_id": "other", "name": "Two", "name_key": "two", "scopes": "read:me"}
    with pytest.raises(sa.exc.IntegrityError), store.write() as db:
        db.execute(connections_table.insert().values(**again))
    with store.write() as db:
        db.execute(connections_table.insert().values(**again | {"active": False}))
    with pytest.raises(Conflict, match="already has the active connection “One”"):
        Connections(store).edit("other", active=True)
    raw = sqlite3.connect(tmp_path / "store.sqlite")
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute("UPDATE connections SET active = 1")
    raw.close()


def test_sixteen_threads_on_one_alias_leave_one_connection(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/many.sqlite"
    outcomes: list[str] = []

    def work(number: int) -> None:
        try:
            Connections(Store(url)).add(draft(f"Name {number}"), alias_id=PARENT_ALIAS_ID)
            outcomes.append("saved")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["refused"] * 15 + ["saved"]
    assert len(Connections(Store(url)).list()) == 1
