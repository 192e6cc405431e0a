"""What a person has open: composed lazily, quick to import, one for each home."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import spokekit
from spokekit._workspace import Workspace, connect, workspace
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import NotConfigured, NotFound

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite


def test_importing_spokekit_loads_next_to_nothing() -> None:
    code = (
        "import sys, spokekit; assert 'workspace' in dir(spokekit); "
        "heavy = {'pandas', 'sqlalchemy', 'ipywidgets', 'httpx2', 'matplotlib', 'duckdb', 'starlette', 'anyio'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    (line,) = [line for line in done.stderr.splitlines() if line.endswith("| spokekit")]
    assert int(line.split("|")[1]) < 300_000


def test_the_names_of_the_package() -> None:
    assert spokekit.__all__ == sorted(spokekit.__all__)
    for name in spokekit.__all__:
        assert getattr(spokekit, name) is not None
        assert name in dir(spokekit)
    assert spokekit.connect is connect
    assert spokekit.Workspace is Workspace
    assert spokekit.errors.NotFound is NotFound
    assert spokekit.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = spokekit.nonsense


def test_the_package_has_the_workspace_by_a_call(home: Path) -> None:
    assert spokekit.workspace is workspace
    assert spokekit.workspace() is workspace()


def test_one_workspace_for_each_home(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = workspace()
    assert workspace() is first
    first.connections.add(ConnectionDraft(name="Here", client_id="Abc"))
    monkeypatch.setenv("SPOKEKIT_HOME", str(tmp_path / "other"))
    assert workspace() is not first
    assert workspace().connections.list() == ()
    monkeypatch.setenv("SPOKEKIT_HOME", str(home))
    assert workspace() is first
    assert "Here" not in repr(first)


def test_another_store_by_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOKEKIT_STORE_URL", f"sqlite:///{tmp_path}/team.sqlite")
    workspace().connections.add(ConnectionDraft(client_id="Abc"))
    assert (tmp_path / "team.sqlite").exists()
    assert not Path(os.environ["SPOKEKIT_HOME"], "spokekit.sqlite").exists()


def test_a_store_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPOKEKIT_STORE_URL", "sqlite://")
    workspace().connections.add(ConnectionDraft(client_id="Abc"))
    assert len(workspace().connections.list()) == 1


def test_connect_gives_a_spoke(connected: Workspace, site: PracticeSite) -> None:
    name = connected.connection().name
    for spoke in (spokekit.connect(), spokekit.connect(name), connected.spoke(name, in_flight=2)):
        with spoke:
            assert spoke.connection.cloud_id == site.sites[0].cloud_id
            assert len(spoke.look_up_groups(access="user", with_access=False)) > 0


def test_connect_without_a_connection_says_what_is_missing(workspace: Workspace) -> None:
    with pytest.raises(NotConfigured, match="is not configured"):
        spokekit.connect()
    with pytest.raises(NotFound):
        spokekit.connect("nobody")


def test_the_status_of_every_row_in_words(connected: Workspace) -> None:
    connected.connections.add(ConnectionDraft(name="Second", client_id="Abc"))
    connected.aliases.add("Third")
    first, second, third = connected.status()
    assert (first.state, first.needs_consent) == ("valid", False)
    assert first.words.startswith("Token valid until")
    assert second.state == "not_configured"
    assert "no client secret" in second.words
    assert (third.state, third.connection) == ("not_configured", None)
    (one,) = connected.status("Second")
    assert one == second
    connected.tokens.forget(connected.connection())
    assert connected.status()[0].needs_consent


def test_threads_that_ask_at_the_same_time_get_one_vault(home: Path) -> None:
    work = Workspace()
    together = threading.Barrier(8)
    vaults: list[object] = []

    def ask() -> None:
        together.wait(10)
        vaults.append(work.vault)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(vaults) == 8
    assert len(set(map(id, vaults))) == 1


def test_scopes_added_after_the_consent_are_named(connected: Workspace) -> None:
    saved = connected.connection()
    assert "does not cover" not in connected.status()[0].words
    connected.connections.edit(saved.connection_id, scopes=(*saved.scopes, "read:space:confluence", "report:x"))
    words = connected.status()[0].words
    assert "The consent does not cover read:space:confluence, report:x: press Get OAuth Token" in words
    assert words.count("read:space:confluence") == 1, "told once"
