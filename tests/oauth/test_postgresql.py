"""The lease on PostgreSQL, against a real server that the test starts on a loopback port."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spokekit.connections.store import Store, default_store
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, free_port, granted, in_threads, until
from tests.oauth.test_refresh import Wire
from tests.oauth.test_refresh_stress import go, ready, start, works_from_here_on


def programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def somebody_else() -> list[str]:
    """PostgreSQL refuses to run as root: return what lets a command run as another account."""
    if os.geteuid():
        return []
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    pytest.skip("PostgreSQL does not run as root, and there is no other account")


_control: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {}


@contextmanager
def stopped_by(url: str) -> Iterator[Callable[[], None]]:
    """Give what stops the server at `url` at once, as a power cut does; it runs again afterwards."""
    begin, end = _control[url]
    stopped: list[bool] = []

    def stop() -> None:
        end()
        stopped.append(True)

    yield stop
    if stopped:
        begin()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    where = programs()
    if where is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    become, port = somebody_else(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="spokekit-postgresql-"))
    try:
        if become:
            owner, group = (int(part.split("=")[1]) for part in become[1:3])
            os.chown(folder, owner, group)
        data = str(folder / "data")
        quiet = {"check": True, "capture_output": True, "cwd": folder, "timeout": 60}
        subprocess.run(
            [*become, str(where / "initdb"), "-D", data, "-A", "trust", "-U", "spokekit", "--no-sync", "-E", "UTF8"],
            **quiet,
        )
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        log = str(folder / "log")
        control = [*become, str(where / "pg_ctl"), "-D", data, "-w"]

        def begin() -> None:
            subprocess.run([*control, "-l", log, "-o", options, "start"], **quiet)

        def end() -> None:
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet)

        begin()
        url = f"postgresql+psycopg://spokekit@127.0.0.1:{port}/postgres"
        _control[url] = begin, end
        try:
            yield url
        finally:
            end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shared(server: str, home: Path, site: PracticeSite, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("SPOKEKIT_STORE_URL", server)
    place = Place(default_store(), site)
    for connection in place.connections.list():
        place.connections.remove(connection.connection_id)
    return place


def test_processes_on_one_database_need_one_refresh(shared: Place, site: PracticeSite) -> None:
    connection = granted(shared, site)
    site.advance(4000)
    workers = [start(connection.connection_id, site, seed, cancel=True) for seed in range(4)]
    ready(workers)
    for worker in workers:
        go(worker)
    outcomes = []
    for worker in workers:
        out, problems = worker.communicate(timeout=60)
        assert worker.returncode == 0, problems
        outcomes += json.loads(out)
    assert site.count("refresh") == 1
    assert outcomes.count(200) >= 20 and set(outcomes) <= {200, "CancelledError"}
    works_from_here_on(shared, site, connection)


def test_a_killed_process_frees_the_row_and_the_refresh_is_tried_again(shared: Place, site: PracticeSite) -> None:
    connection = granted(shared, site)
    site.advance(4000)
    worker = start(connection.connection_id, site, 1, cancel=False, slow=0.5)
    ready([worker])
    go(worker)
    deadline = time.monotonic() + 10
    while not site.count("refresh") and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.kill()
    worker.communicate(timeout=10)
    assert shared.tokens._record(connection).refresh_started_at is not None
    shared.tokens.access_token(connection)
    assert site.count("refresh") == 2
    works_from_here_on(shared, site, connection)


def test_writers_of_other_rows_and_readers_do_not_wait(shared: Place, site: PracticeSite) -> None:
    wire = Wire()
    place = Place(shared.store, site, transport=wire)
    slow = granted(place, site)
    site.advance(4000)
    quick = granted(place, site, name="Second")
    wire.delay = 1.0
    refresh = threading.Thread(target=place.tokens.access_token, args=(slow,))
    refresh.start()
    assert wire.under_way.wait(10)
    place.tokens.access_token(quick)
    place.tokens.save_grant(quick, site.issue_token())
    place.tokens.status(slow)
    assert refresh.is_alive(), "they were answered while the refresh was on its way"
    refresh.join()


def test_the_vault_rotates_while_others_refresh(shared: Place, site: PracticeSite) -> None:
    connections = [granted(shared, site, name=f"Connection {n}") for n in range(3)]
    site.advance(4000)
    works = [lambda c=c: Place(shared.store, site).tokens.access_token(c) for c in connections * 2]
    found = in_threads([*works, lambda: shared.vault.rotate(), lambda: Place(shared.store, site).vault.rotate()])
    assert not [one for one in found if isinstance(one, Exception)]
    assert site.count("refresh") == 3
    for connection in connections:
        works_from_here_on(shared, site, connection)


def test_a_server_that_stops_between_the_rotation_and_the_commit_loses_no_token(
    shared: Place, server: str, home: Path, site: PracticeSite
) -> None:
    wire = Wire()
    place = Place(shared.store, site, transport=wire)
    connection = granted(place, site)
    site.advance(4000)
    with stopped_by(server) as stop:
        wire.afterwards = stop
        fresh = place.tokens.access_token(connection)
        (path,) = home.glob("token-*.sealed")
        assert path.stat().st_mode & 0o777 == 0o600
    # Another process; the leeway is over, so nothing but the token in the file works.
    site.advance(700)
    next_one = Place(Store(server), site)
    assert next_one.tokens.access_token(connection) == fresh and site.count("refresh") == 1
    until(lambda: not path.exists())
    works_from_here_on(next_one, site, connection)
    next_one.store.close()


def test_a_server_and_a_home_that_both_fail_leave_the_token_in_hand_until_one_is_back(
    small_disk: Path, shared: Place, server: str, site: PracticeSite, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire()
    place = Place(shared.store, site, transport=wire)
    connection = granted(place, site)
    site.advance(4000)

    def fail() -> None:
        stop()
        for path in small_disk.glob(".token-*"):
            path.unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    with stopped_by(server) as stop:
        wire.afterwards = fail
        fresh = place.tokens.access_token(connection)
        assert not list(small_disk.glob("token-*"))
    until(lambda: "has the new token of" in caplog.text)
    site.advance(700)
    assert place.tokens.access_token(connection) == fresh and site.count("refresh") == 1
    works_from_here_on(place, site, connection)


def test_a_store_that_was_closed_leaves_no_connection_open(server: str) -> None:
    store = Store(server)
    held, later = store.engine.connect(), []
    with held:
        store.close()
        with store.read() as connection:
            later.append(connection.connection.dbapi_connection)
        later.append(held.connection.dbapi_connection)
    assert [one.closed for one in later] == [True, True]
