"""A token that the store does not take is never lost: sealed in a file beside it, found by the next process."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spokekit._secret import Secret
from spokekit.connections.connection import Connection
from spokekit.connections.store import Store, default_store
from spokekit.errors import ConsentNeeded, StoreError
from spokekit.oauth.grant import choose_site, get_token
from spokekit.oauth.grants import Grant
from spokekit.oauth.receivers import make_receiver
from spokekit.oauth.status import Record
from spokekit.oauth.unsaved import Kept
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, configured, granted, in_threads, until
from tests.oauth.test_refresh import Wire, row
from tests.oauth.test_refresh_stress import works_from_here_on

WORKER = str(Path(__file__).with_name("kept_worker.py"))


def sealed(folder: Path) -> list[Path]:
    return sorted(folder.glob("token-*"))


def filled(site: PracticeSite, connection: Connection, *, reserve: bool, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WORKER, connection.connection_id, str(site.clock.offset), str(int(reserve))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


def locked(place: Place) -> sqlite3.Connection:
    """Hold the store's write lock, as another program does."""
    other = sqlite3.connect(str(place.store.path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


@pytest.fixture
def hasty(home: Path, site: PracticeSite) -> Iterator[Place]:
    """A place on a store that waits for others for a moment only."""
    default_store()
    store = Store(f"sqlite:///{home / 'spokekit.sqlite'}", lock_timeout=0.2)
    yield Place(store, site)
    store.close()


# ------------------------------------------------------------------ the disk is full


def test_a_disk_that_fills_after_the_rotation_leaves_a_sealed_file_that_the_next_process_takes_in(
    small_disk: Path, site: PracticeSite
) -> None:
    place = Place(default_store(), site)
    connection = granted(place, site)
    site.advance(4000)
    worker = filled(site, connection, reserve=True, STAY="1")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "200\n"
    words = worker.stdout.readline()
    (path,) = sealed(small_disk)
    worker.kill()
    _, problems = worker.communicate(timeout=20)
    for told in (words, problems):
        assert "the disk is full" in told and str(path) in told, told
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"eyJ" not in path.read_bytes() and path.read_bytes().startswith(b"sk1.")

    (small_disk / "spokekit.sqlite-filler").unlink()
    site.advance(700)  # the leeway is over
    next_one = Place(Store(place.store.url), site)
    assert next_one.tokens.status(connection).state == "valid"
    assert not sealed(small_disk)
    next_one.tokens.access_token(connection)
    assert site.count("refresh") == 1
    works_from_here_on(next_one, site, connection)
    next_one.store.close()


def test_without_any_room_the_program_stays_until_the_token_is_down(small_disk: Path, site: PracticeSite) -> None:
    place = Place(default_store(), site)
    connection = granted(place, site)
    site.advance(4000)
    worker = filled(site, connection, reserve=False)
    assert worker.stdout is not None and worker.stderr is not None
    assert worker.stdout.readline() == "200\n"
    assert "in this program's memory only" in worker.stdout.readline()
    assert worker.stdout.readline() == "the end\n" and not sealed(small_disk)
    assert worker.poll() is None, "its last line is done, and the token is nowhere but in it"
    (small_disk / "spokekit.sqlite-filler").unlink()
    _, problems = worker.communicate(timeout=60)
    assert worker.returncode == 0, problems
    assert "in this program's memory only" in problems and "has the new token of" in problems
    assert not sealed(small_disk)
    site.advance(700)
    place.tokens.access_token(connection)
    assert site.count("refresh") == 1
    works_from_here_on(place, site, connection)


def test_a_home_that_becomes_read_only_keeps_a_token_in_hand_until_it_is_writable(
    small_disk: Path, site: PracticeSite, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(default_store(), site)
    connection = configured(place, site)
    pair = site.issue_token(scopes=connection.scopes)
    place.store.engine.dispose()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    place.tokens.save_grant(connection, pair)
    assert "in this program's memory only" in caplog.text and not sealed(small_disk)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    until(lambda: "has the new token of" in caplog.text)
    assert place.tokens.access_token(connection) == Secret(pair["access_token"])
    works_from_here_on(place, site, connection)


def test_nothing_is_left_of_the_room_that_was_taken(place: Place, site: PracticeSite, home: Path) -> None:
    connection = granted(place, site)
    site.advance(4000)
    place.tokens.access_token(connection)
    assert not [path.name for path in home.iterdir() if "token" in path.name]


# ------------------------------------------------------------------ the store is locked, or gone


def test_a_first_token_waits_in_its_file_for_a_locked_store(
    hasty: Place, site: PracticeSite, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    connection = configured(hasty, site)
    with closing(locked(hasty)) as other:
        hasty.tokens.save_grant(connection, site.issue_token(scopes=connection.scopes))
        (path,) = sealed(home)
        status = hasty.tokens.status(connection)
        assert status.state == "valid" and status.kept in status.words
        assert "is held by another program" in status.kept and str(path) in status.kept
        hasty.tokens.access_token(connection)
        other.rollback()
    until(lambda: row(hasty, connection).sealed_grant is not None)
    until(lambda: not path.exists())
    assert not hasty.tokens.status(connection).kept
    assert "is kept sealed in" in caplog.text and "The store has the new token" in caplog.text
    works_from_here_on(hasty, site, connection)


def test_a_consent_while_the_store_is_locked_is_not_lost_nor_is_who_gave_it(
    hasty: Place, site: PracticeSite, home: Path
) -> None:
    connection = configured(hasty, site)
    receiver = make_receiver("paste", connection.redirect_uri)
    held: list[sqlite3.Connection] = []

    def person(address: str) -> None:
        receiver.deliver(site.play_browser(address))
        held.append(locked(hasty))

    with pytest.raises(StoreError, match="is kept sealed in") as told:
        get_token(hasty, connection, receiver=receiver, open_browser=person)
    assert "The consent is not lost" in str(told.value.hint) and "nothing was changed" not in str(told.value)
    assert len(sealed(home)) == 1
    held[0].close()
    until(lambda: not sealed(home))
    assert hasty.connection().account_id == site.account_id
    status = choose_site(hasty, connection, site.sites[0].url)
    assert status.state == "valid" and status.account and status.site
    works_from_here_on(hasty, site, connection)


def test_a_store_that_is_away_for_a_while_gets_the_token_when_it_is_back(
    home: Path, site: PracticeSite, tmp_path: Path
) -> None:
    wire = Wire()
    place = Place(default_store(), site, transport=wire)
    connection = granted(place, site)
    site.advance(4000)
    path, away = home / "spokekit.sqlite", tmp_path / "away"

    def take_away() -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("SELECT 1")
        away.mkdir()
        for one in home.glob("spokekit.sqlite*"):
            one.rename(away / one.name)

    wire.afterwards = take_away
    fresh = place.tokens.access_token(connection)
    assert len(sealed(home)) == 1
    for one in away.iterdir():
        one.rename(home / one.name)
    until(lambda: not sealed(home))
    assert place.tokens.access_token(connection) == fresh and site.count("refresh") == 1
    works_from_here_on(place, site, connection)


def test_a_killed_process_leaves_its_file_to_several_that_start_at_once(
    hasty: Place, site: PracticeSite, home: Path
) -> None:
    connection = granted(hasty, site)
    site.advance(4000)
    code = (
        "import json, sys\n"
        "from spokekit.connections.store import Store\n"
        "from spokekit._workspace import Workspace\n"
        f"work = Workspace(Store({str(hasty.store.url)!r}, lock_timeout=0.2))\n"
        f"connection = work.connections.get({connection.connection_id!r})\n"
        "work.tokens.save_grant(connection, json.loads(sys.stdin.readline()))\n"
        "print('kept', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert worker.stdin is not None and worker.stdout is not None
    pair = site.issue_token(scopes=connection.scopes)
    with closing(locked(hasty)):
        worker.stdin.write(json.dumps(pair) + "\n")
        worker.stdin.flush()
        assert worker.stdout.readline() == "kept\n"
        worker.kill()
        worker.communicate()
        assert len(sealed(home)) == 1
    stores = [Store(hasty.store.url) for _ in range(6)]
    # The worker's clock is not the practice site's: its token is as old as it says.
    places = [Place(store, now=lambda: datetime.now(UTC)) for store in stores]
    found = in_threads([lambda t=one.tokens: t.access_token(connection) for one in places])
    assert set(found) == {Secret(pair["access_token"])} and not sealed(home)
    for store in stores:
        store.close()


# ------------------------------------------------------------------ only the newest, only its own


def kept_file(place: Place, site: PracticeSite, connection: Connection, home: Path) -> Path:
    with closing(locked(place)):
        place.tokens.save_grant(connection, site.issue_token(scopes=connection.scopes))
        (path,) = sealed(home)
        shutil.copy(path, home / "copy")
    until(lambda: not path.exists())
    return path


def test_a_file_that_is_put_back_never_takes_the_place_of_something_newer(
    hasty: Place, site: PracticeSite, home: Path
) -> None:
    connection = configured(hasty, site)
    path = kept_file(hasty, site, connection, home)
    for change in (
        lambda: site.advance(4000) or hasty.tokens.access_token(connection),
        lambda: hasty.tokens.save_grant(connection, site.issue_token(scopes=connection.scopes)),
        lambda: hasty.tokens.forget(connection),
    ):
        change()
        before = row(hasty, connection)
        shutil.copy(home / "copy", path)
        for place in (hasty, Place(Store(hasty.store.url), site)):
            place.tokens.status(connection)
            assert row(hasty, connection) == before
        assert not path.exists()


def test_a_file_opens_for_its_own_connection_alone(hasty: Place, site: PracticeSite, home: Path) -> None:
    connection, other = granted(hasty, site), configured(hasty, site, name="Other")
    path = kept_file(hasty, site, connection, home)
    moved = path.with_name(path.name.replace(connection.connection_id, other.connection_id))
    shutil.copy(home / "copy", moved)
    renamed = path.with_name(f"token-{connection.connection_id}.0000.sealed")
    shutil.copy(home / "copy", renamed)
    damaged = path.with_name(f"token-{connection.connection_id}.1111.sealed")
    damaged.write_bytes((home / "copy").read_bytes()[:-40])
    before = row(hasty, connection)
    assert hasty.tokens.status(other).state == "no_token"
    with pytest.raises(ConsentNeeded):
        hasty.tokens.access_token(other)
    assert hasty.tokens.status(connection).state == "valid" and row(hasty, connection) == before
    assert moved.exists() and renamed.exists() and damaged.exists(), "what is not understood is not thrown away"
    hasty.connections.remove(connection.connection_id)
    assert sealed(home) == [moved]


def test_a_new_key_of_the_vault_leaves_the_one_that_a_file_needs(hasty: Place, site: PracticeSite, home: Path) -> None:
    connection = configured(hasty, site)
    path = kept_file(hasty, site, connection, home)
    hasty.connections.edit(connection.connection_id, name="Another name")
    with hasty.store.write() as db:
        from spokekit.connections.connection import credentials

        db.execute(credentials.update().values(sealed_grant=None, generation=0, granted_at=None, state="none"))
    shutil.copy(home / "copy", path)
    hasty.vault.rotate()
    assert hasty.tokens.status(connection).state == "valid"
    works_from_here_on(hasty, site, connection)
    hasty.vault.rotate()
    assert hasty.vault.status().keys == 1


def test_what_was_forgotten_while_it_was_held_does_not_come_back(hasty: Place, site: PracticeSite, home: Path) -> None:
    connection = configured(hasty, site)
    with closing(locked(hasty)):
        hasty.tokens.save_grant(connection, site.issue_token(scopes=connection.scopes))
    hasty.tokens.forget(connection)
    assert not sealed(home) and hasty.tokens.status(connection).state == "no_token"


MOMENTS = st.integers(0, 3).map(lambda n: datetime(2026, 11, 26, tzinfo=UTC) + timedelta(hours=n))


def a_grant(number: int) -> Grant:
    return Grant("c", "app", "https://auth.example", Secret(f"access {number}"), Secret(f"refresh {number}"), 3600)


@given(kept=st.integers(0, 5), of_row=st.integers(0, 5), granted_at=MOMENTS, kept_at=MOMENTS, consent=st.booleans())
def test_a_renewal_goes_in_where_it_follows_and_a_consent_where_it_is_the_latest(
    kept: int, of_row: int, granted_at: datetime, kept_at: datetime, consent: bool
) -> None:
    """The token of generation n in a row is number n; what is kept of generation n follows it."""
    one = Kept(a_grant(kept + 1), "", kept, "", None, None, kept_at, kept_at, kept_at, consent=consent)
    before = Kept(a_grant(kept), "", 0, "", None, None, kept_at, kept_at, kept_at).name
    one = Kept(**{**one.__dict__, "before": before})
    record = Record(sealed_grant=b"x", generation=of_row, granted_at=granted_at)
    how = one.stands_to(record, a_grant(of_row), None)
    if of_row == kept + 1:
        assert how == "there"
    elif consent:
        assert (how == "newer") == (kept_at > granted_at)
    elif of_row > kept:
        assert how == "older"
    elif of_row == kept:
        assert how == "newer"
    else:
        assert (how == "newer") == (granted_at <= kept_at), "a backup was put in the store's place"
    if not consent and how == "newer":
        assert one.stands_to(record, a_grant(of_row), "712020:somebody") == how
        mine = Kept(**{**one.__dict__, "account_id": "712020:me"})
        assert mine.stands_to(record, a_grant(of_row), "712020:somebody") == "older"
    forgotten = Record(sealed_grant=None, generation=kept + 1)
    assert one.stands_to(forgotten, None, None) == "older"
