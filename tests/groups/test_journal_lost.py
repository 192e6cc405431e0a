"""The store goes away in the middle of an apply: nothing more is sent, and what was done is kept in a file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from spokekit.connections.store import Store
from spokekit.errors import InputError, NotFound
from spokekit.groups import journal_copy
from tests.oauth.test_postgresql import server  # noqa: F401 - the fixture that starts a real server

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.groups.membership import Membership, Result
    from spokekit.practice import PracticeSite

Open = Callable[..., "Membership"]
SPOKEKIT = [sys.executable, "-m", "spokekit", "members"]


def outsiders(site: PracticeSite, count: int) -> list[str]:
    inside = set(site.world.member_ids("marketing"))
    users = site.world.frames(tables=["users"])["users"]
    fit = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active")]["account_id"]
    return [account for account in fit if account not in inside and account != site.account_id][:count]


def _removed(store: Path, _: Path) -> None:
    store.unlink()


def _folder_removed(store: Path, _: Path) -> None:
    shutil.rmtree(store.parent)


def _renamed(store: Path, _: Path) -> None:
    store.rename(store.with_name("moved.sqlite"))


def _overwritten(store: Path, _: Path) -> None:
    with store.open("r+b") as file:
        file.write(os.urandom(store.stat().st_size))


def _overwritten_by_a_backup(store: Path, backup: Path) -> None:
    for end in ("-wal", "-shm"):
        store.with_name(store.name + end).unlink(missing_ok=True)
    shutil.copyfile(backup, store)


def _cut_off(store: Path, _: Path) -> None:
    os.truncate(store, 0)


def _cut_in_half(store: Path, _: Path) -> None:
    os.truncate(store, store.stat().st_size // 8192 * 4096)


def _log_cut_off(store: Path, _: Path) -> None:
    os.truncate(store.with_name(store.name + "-wal"), 0)


def _replaced_by_a_copy(store: Path, backup: Path) -> None:
    backup.replace(store)


def _replaced_by_a_copy_of_now(store: Path, backup: Path) -> None:
    backup.unlink()
    with closing(sqlite3.connect(store)) as one, closing(sqlite3.connect(backup)) as other:
        one.backup(other)
    # A moment later it is old.
    backup.replace(store)


def _rows_deleted(store: Path, _: Path) -> None:
    with closing(sqlite3.connect(store)) as other:
        other.execute("DROP TRIGGER membership_journal_no_delete")
        other.execute("DELETE FROM membership_journal")
        other.commit()


WAYS = (
    _removed,
    _folder_removed,
    _renamed,
    _overwritten,
    _overwritten_by_a_backup,
    _cut_off,
    _cut_in_half,
    _log_cut_off,
    _replaced_by_a_copy,
    _replaced_by_a_copy_of_now,
    _rows_deleted,
)


def interrupted(members: Membership, after: int, act: Callable[[], None]) -> None:
    """Let `act` happen while the change number `after` is under way."""
    count, add = iter(range(1, 1000)), members.site.add

    def adding(group_id: str, account_id: str, **options: Any) -> None:
        add(group_id, account_id, **options)
        if next(count) == after:
            act()

    members.site.add = adding  # type: ignore[method-assign]


def check(result: Result, site: PracticeSite, new: list[str], done: int) -> None:
    """The apply stopped at once, said so, and what it did is told as it is."""
    group = site.world.find_group("marketing").group_id
    assert site.writes == {group: done}, "not one more change went out"
    assert [row.status for row in result.rows] == ["done"] * done + ["not done"] * (len(new) - done)
    assert "Stopped: the journal of this apply is no longer in the store" in result.stopped
    assert result.kept is not None
    assert str(result.kept) in result.words
    assert result.kept.stat().st_mode & 0o077 == 0
    lines = [json.loads(line) for line in result.kept.read_text().splitlines()]
    assert [line["status"] for line in lines[1:]] == [row.status for row in result.rows]
    assert "Bearer" not in result.kept.read_text()


def test_the_store_goes_away_in_the_middle(members: Membership, site: PracticeSite, tmp_path: Path) -> None:
    from spokekit.groups.membership import Membership

    new, group = outsiders(site, 6), site.world.find_group("marketing").group_id
    for way in WAYS:
        path = tmp_path / way.__name__ / "journal.sqlite"
        path.parent.mkdir()
        there = Membership(members.site.spoke, members.registry, Store(f"sqlite:///{path}"), pace=1000)
        backup = tmp_path / "backup.sqlite"
        with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(backup)) as other:
            one.backup(other)
        preview = there.preview(there.plan(new, "add", group="marketing"))
        site.writes.clear()
        interrupted(there, 3, partial(way, path, backup))
        try:
            check(there.apply(preview), site, new, 3)
        except AssertionError as error:
            raise AssertionError(f"when it was {way.__name__.strip('_').replace('_', ' ')}") from error
        there.journal.store.close()
        for account in new[:3]:
            site.world.remove_member(group, account)


def test_what_was_kept_is_taken_into_the_next_journal_and_can_be_resumed_and_undone(
    members: Membership, site: PracticeSite, registered: Workspace, open_members: Open, tmp_path: Path
) -> None:
    store = registered.store.path
    assert store is not None
    before = set(site.world.member_ids("marketing"))
    backup = tmp_path / "backup.sqlite"
    with closing(sqlite3.connect(store)) as one, closing(sqlite3.connect(backup)) as other:
        one.backup(other)
    new = outsiders(site, 4)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    interrupted(members, 2, lambda: _replaced_by_a_copy(store, backup))
    result = members.apply(preview)
    check(result, site, new, 2)
    again = open_members()
    (told,) = again.take_in()
    assert result.apply_id[:8] in told
    assert again.take_in() == ()
    state = again.journal.state(result.apply_id)
    assert [row.status for row in state.rows] == ["done", "done", "not done", "not done"]
    assert state.by == site.account_id
    rest = again.resume()
    assert rest.counts() == {"done": 4}
    undo = again.preview(again.plan_undo())
    again.apply(undo, confirm=undo.confirmation)
    assert set(site.world.member_ids("marketing")) == before


def test_a_store_that_comes_back_learns_what_it_missed(
    members: Membership, site: PracticeSite, registered: Workspace, open_members: Open
) -> None:
    store = registered.store.path
    assert store is not None
    new = outsiders(site, 3)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    interrupted(members, 2, lambda: _renamed(store, store))
    result = members.apply(preview)
    check(result, site, new, 2)
    store.with_name("moved.sqlite").rename(store)
    again = open_members()
    assert [row.status for row in again.journal.state(result.apply_id).rows] == ["done", "unknown", "not done"]
    assert len(again.take_in()) == 1
    assert [row.status for row in again.journal.state(result.apply_id).rows] == ["done", "done", "not done"]


def test_a_file_of_somebody_else_or_a_damaged_one_is_not_taken_in(
    members: Membership, registered: Workspace, tmp_path: Path
) -> None:
    store = registered.store.path
    assert store is not None
    file = store.with_name("spokekit-apply-x.jsonl")
    for content in ("", "{", "[]\n", '{"format": "spokekit apply", "version": 1}\n', "\x00", '"a"\n"b"\n', "1\n"):
        file.write_text(content)
        file.chmod(0o600)
        (told,) = members.take_in()
        assert "nothing in it was used" in told
        assert file.exists()
    file.chmod(0o666)
    with pytest.raises(InputError):
        journal_copy.read(file)
    with pytest.raises(NotFound):
        journal_copy.read(tmp_path / "none")


@pytest.fixture
def on_postgresql(server: str) -> Iterator[Store]:  # noqa: F811
    name = f"lost_{uuid.uuid4().hex}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    store = Store(sa.make_url(server).set(database=name))
    yield store
    store.close()


@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE membership_journal DISABLE TRIGGER USER", "DELETE FROM membership_journal"],
        ["ALTER TABLE membership_journal DISABLE TRIGGER USER", "TRUNCATE membership_journal"],
        ["DROP TABLE membership_journal"],
    ],
    ids=["deleted", "truncated", "dropped"],
)
def test_rows_that_are_gone_on_a_server(
    statements: list[str], members: Membership, site: PracticeSite, on_postgresql: Store
) -> None:
    from spokekit.groups.membership import Membership

    new = outsiders(site, 5)
    preview = members.preview(members.plan(new, "add", group="marketing"))
    there = Membership(members.site.spoke, members.registry, on_postgresql, pace=1000)

    def act() -> None:
        other = sa.create_engine(on_postgresql.url)
        with other.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
        other.dispose()

    interrupted(there, 2, act)
    check(there.apply(preview), site, new, 2)


def test_on_the_command_line(
    members: Membership, site: PracticeSite, registered: Workspace, home: Path, tmp_path: Path
) -> None:
    store = registered.store.path
    assert store is not None
    new = outsiders(site, 12)
    plan = members.save(members.preview(members.plan(new, "add", group="marketing")), tmp_path / "plan.json")
    group = site.world.find_group("marketing").group_id
    site.faults.add("stall:0.1@add")
    env = {**os.environ, "SPOKEKIT_HOME": str(home)}
    running = subprocess.Popen([*SPOKEKIT, "apply", str(plan)], env=env, text=True, stdout=-1, stderr=-1)
    until = time.monotonic() + 60
    while site.writes.get(group, 0) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGSTOP)
    for end in ("", "-wal", "-shm"):
        store.with_name(store.name + end).rename(store.with_name(f"away.sqlite{end}"))
    sent = site.writes[group]
    running.send_signal(signal.SIGCONT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 3, said
    assert "the journal of this apply is no longer in the store" in said
    assert "In the journal as" not in said
    assert site.writes[group] <= sent + 1, "at most the one that was under way when it was stopped"
    assert "spokekit-apply-" in said
