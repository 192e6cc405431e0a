"""The journal is append-only because the database says so, on SQLite and on PostgreSQL."""

from __future__ import annotations

import csv
import io
import json
import platform
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from spokekit.connections.store import Store
from spokekit.errors import Conflict, NotFound, StoreError
from spokekit.groups import _lease
from spokekit.groups._lease import Lease
from spokekit.groups.journal import APPLY_ENDED, FINISHED, ROW_ENDED, ROW_STARTED, Journal
from spokekit.groups.plan import Plan, Row
from spokekit.groups.site_state import Place
from spokekit.groups.tables import entries_table, leases_table, plans_table
from tests.oauth.test_postgresql import server  # noqa: F401 - the fixture that starts a real server


def a_plan(**more: object) -> Plan:
    rows = (
        Row("g-1", "=Sales", "a-1", "Ada", "add"),
        Row("g-1", "=Sales", "a-2", "Bob", "add", "member", "already so", "Is a member already."),
        Row("g-1", "=Sales", "a-3", "Cleo", "remove"),
    )
    place = Place("alias", "connection", "Ours", "cloud-1", "https://one.atlassian.net")
    values = {"mode": "sync", "only": "", "rows": rows, "ground": {}, "place": place, "by": "me"} | more
    return Plan(made_at=datetime.now(UTC), **values)  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        opened = Store(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    else:
        # A journal cannot be emptied, so each test gets a database of its own.
        url = request.getfixturevalue("server")
        name = f"journal_{uuid.uuid4().hex}"
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        opened = Store(sa.make_url(url).set(database=name))
    yield opened
    opened.close()


def test_what_was_written_is_never_changed(store: Store) -> None:
    journal = Journal(store)
    apply_id = journal.start(a_plan())
    before = journal.entries()
    changes = [
        entries_table.update().values(status="done"),
        entries_table.update().where(entries_table.c.seq == 1).values(account_id="somebody"),
        entries_table.delete(),
        plans_table.update().values(plan="[]"),
        plans_table.delete().where(plans_table.c.apply_id == apply_id),
        sa.text("INSERT INTO membership_plans (apply_id, plan) VALUES (:apply_id, '[]')").bindparams(apply_id=apply_id),
    ]
    if store.is_sqlite:
        changes += [
            sa.text("INSERT OR REPLACE INTO membership_plans (apply_id, plan) VALUES (:i, '[]')").bindparams(
                i=apply_id
            ),
            sa.text("UPDATE OR REPLACE membership_journal SET seq = seq + 1"),
            sa.text(
                "REPLACE INTO membership_journal SELECT seq, at, apply_id, 'forged', alias_id, connection_id,"
                " connection, cloud_id, site, by, mode, fingerprint, undo_of, position, group_id, group_name,"
                " account_id, action, status, reason, message FROM membership_journal"
            ),
        ]
    else:
        changes += [sa.text("TRUNCATE membership_journal"), sa.text("TRUNCATE membership_plans CASCADE")]
    for change in changes:
        with pytest.raises((StoreError, sa.exc.IntegrityError, sa.exc.InternalError)), store.write() as connection:
            connection.execute(change)
    assert journal.entries().equals(before)
    # A second kernel that opens the store finds the same rules.
    again = Journal(Store(store.url))
    with pytest.raises((StoreError, sa.exc.IntegrityError, sa.exc.InternalError)), again.store.write() as connection:
        connection.execute(entries_table.delete())
    again.store.close()


def test_a_row_that_was_begun_and_not_ended_is_unknown(store: Store) -> None:
    journal = Journal(store)
    state = journal.state(journal.start(a_plan()))
    assert [row.status for row in state.rows] == ["not done", "not done"]
    journal.write(state, ROW_STARTED, position=0, row=state.rows[0])
    assert [row.status for row in journal.state(state.apply_id).rows] == ["unknown", "not done"]
    assert journal.state(state.apply_id).sent == {0}
    ended = replace(
        state.rows[0],
        status="done",
        reason="",
        message="Added. Bearer abcdefghijkl eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    )
    journal.write(state, ROW_ENDED, position=0, row=ended)
    assert journal.state(state.apply_id[:6]).rows[0].status == "done"
    assert [found.apply_id for found in journal.unfinished("cloud-1", "alias")] == [state.apply_id]
    assert journal.unfinished("cloud-2", "alias") == ()
    journal.write(state, ROW_ENDED, position=1, row=replace(state.rows[1], status="already so"))
    journal.write(state, APPLY_ENDED, status=FINISHED)
    assert journal.unfinished("cloud-1", "alias") == ()
    assert journal.applies().loc[0, "state"] == "finished"
    with pytest.raises(NotFound):
        journal.state("zzz")
    with pytest.raises(NotFound):
        journal.state("")

    exported = json.loads(journal.to_json())
    assert [entry["event"] for entry in exported][:2] == ["apply_started", "row_started"]
    cells = list(csv.DictReader(io.StringIO(journal.to_csv())))
    assert cells[1]["group"] == "'=Sales", "no spreadsheet runs a group's name"
    for text in (journal.to_csv(), journal.to_json()):
        assert "eyJ" not in text
        assert "abcdefghijkl" not in text
        assert "Ada" not in text, "names belong to their owners: ids are enough"


def test_an_empty_journal_has_its_columns(store: Store) -> None:
    journal = Journal(store)
    assert {"at", "by", "fingerprint", "status"} <= set(journal.entries().columns)
    assert {"apply_id", "done", "state"} <= set(journal.applies().columns)
    assert json.loads(journal.to_json()) == []


def test_a_lease_is_held_by_one_and_dies_with_its_holder(store: Store) -> None:
    journal = Journal(store)
    told: list[str] = []

    def try_it() -> None:
        try:
            with Lease(store, "site"):
                told.append("taken")
        except Conflict:
            told.append("refused")

    with Lease(store, "site") as lease:
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
        lease.check()
        state = journal.state(journal.start(a_plan()))
        journal.write(state, ROW_STARTED, position=0, row=state.rows[0], lease=lease)
        before = len(journal.entries())
        with store.write() as connection:
            connection.execute(leases_table.delete())
        assert not lease.is_set()
        with pytest.raises(Conflict, match="taken this apply over"):
            journal.write(state, ROW_ENDED, position=0, row=state.rows[0], lease=lease)
        assert lease.is_set()
        assert len(journal.entries()) == before, "only the holder writes"
    try_it()
    assert told == ["refused", "taken"]
    # A holder of this machine whose process is gone, one elsewhere that may be alive, and one in another container.
    for holder, outcome in (
        (f"{_lease._node()}:4194399:x", "taken"),
        ("elsewhere:1:x", "refused"),
        (f"{platform.node()} pid:[1]:4194399:x", "refused"),
    ):
        with store.write() as connection:
            connection.execute(leases_table.delete())
            expires = datetime.now(UTC) + _lease.LASTS
            connection.execute(leases_table.insert().values(site_key=lease.key, holder=holder, expires_at=expires))
        try_it()
        assert told[-1] == outcome


def test_of_many_who_want_a_lease_at_once_one_gets_it(store: Store) -> None:
    Journal(store)
    names = [f"{_lease._node()}:4194399:gone", f"{_lease._node()}:4194398:gone"]
    for round_, gone in enumerate((None, *names)):
        if gone:
            # Whoever held it died: all see that at the same moment, and want to take it over.
            with store.write() as connection:
                expires = datetime.now(UTC) + _lease.LASTS
                values = {"site_key": Lease(store, f"site {round_}").key, "holder": gone, "expires_at": expires}
                connection.execute(leases_table.insert().values(**values))
        start, held, told = threading.Barrier(6), threading.Event(), []

        def want(
            start: threading.Barrier = start, held: threading.Event = held, told: list[str] = told, name: int = round_
        ) -> None:
            start.wait()
            try:
                with Lease(store, f"site {name}") as lease:
                    told.append("taken")
                    held.wait(10)
                    lease.check()
            except Conflict:
                told.append("refused")

        threads = [threading.Thread(target=want) for _ in range(6)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 10
        while len(told) < 6 and time.monotonic() < until:
            time.sleep(0.01)
        held.set()
        for thread in threads:
            thread.join(10)
        assert sorted(told) == ["refused"] * 5 + ["taken"]


def test_a_store_that_cannot_be_written_stops_before_the_call(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    store = Store(f"sqlite:///{path}")
    journal = Journal(store)
    state = journal.state(journal.start(a_plan()))
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE membership_journal")
    raw.close()
    with pytest.raises(StoreError):
        journal.write(state, ROW_STARTED, position=0, row=state.rows[0])
    store.close()
