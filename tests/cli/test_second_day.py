"""Practice goes on where it was left: over a restart, beside a second one on the same host, and after a kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.connections.connection import Connection, ConnectionDraft
from spokekit.oauth.practice import forget_unknown
from spokekit.practice import PracticeSite

PRACTICE = [sys.executable, "-m", "spokekit", "practice"]
SAYS = "import os, sys; print(os.environ['SPOKEKIT_PRACTICE'], os.environ['SPOKEKIT_HOME'], sep='\\n', flush=True); "


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def beside(home: Path, port: int, code: str = SAYS + "sys.stdin.read()", *options: str) -> Iterator[Any]:
    env = os.environ | {"SPOKEKIT_HOME": str(home)}
    command = [*PRACTICE, "--port", str(port), *options, sys.executable, "-c", code]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        yield process, json.loads(line), Path(process.stdout.readline().strip())
    finally:
        process.kill()
        process.communicate()


def gone(url: str) -> None:
    while True:
        try:
            httpx2.get(url, timeout=5)
        except httpx2.ConnectError:
            return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)


def order(site: dict[str, Any], *orders: dict[str, Any]) -> list[Any]:
    headers = {"X-Practice-Key": site["key"]}
    answer = httpx2.post(f"{site['url']}practice/orders", json={"orders": list(orders)}, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["results"])


def members(site: dict[str, Any], group: str) -> list[str]:
    state = httpx2.get(f"{site['url']}practice/state", headers={"X-Practice-Key": site["key"]}).json()
    return next(one["members"] for one in state["sites"][0]["groups"] if one["name"] == group)


def test_two_on_one_host_both_run_and_a_kill_leaves_nothing_behind(tmp_path: Path) -> None:
    port = free_port()
    with beside(tmp_path / "ann", port) as (ann, first, records):
        assert first["url"] == f"http://127.0.0.1:{port}/" and records == tmp_path / "ann" / "practice"
        with beside(tmp_path / "bob", port) as (_, second, _), beside(tmp_path / "ann", port) as (_, third, beside_it):
            assert len({first["url"], second["url"], third["url"]}) == 3
            assert len({first["client_secret"], second["client_secret"]}) == 2
            assert beside_it == tmp_path / "ann" / "practice-2", "two sites on one home share no records"
            for site in (first, second, third):
                assert order(site, {"do": "kill-access"}) == [None]
        # As a hub does it, to the process that it started.
        ann.send_signal(signal.SIGKILL)
        gone(first["url"])
    assert not (tmp_path / "ann" / "spokekit.sqlite").exists(), "practice has a home of its own"


def test_a_child_of_the_command_does_not_keep_the_site(tmp_path: Path) -> None:
    code = SAYS + "import subprocess; subprocess.Popen(['sleep', '60'], close_fds=False, stdout=-3, stderr=-3)"
    with beside(tmp_path, 0, code) as (process, site, _):
        assert process.wait(60) == 0
        gone(site["url"])


def test_what_was_done_on_the_first_day_is_there_on_the_second(tmp_path: Path) -> None:
    port = free_port()
    with beside(tmp_path, port) as (process, site, records):
        order(site, {"do": "create-group", "name": "made here"})
        who = members(site, "procurement")[0]
        order(site, {"do": "add", "group": "made here", "account": who})
        order(site, {"do": "app", "redirect_uris": ["http://localhost:1/x"]})
        process.kill()
        gone(site["url"])
    for file in records.rglob("*"):
        assert not file.is_file() or site["client_secret"].encode() not in file.read_bytes(), file
    with beside(tmp_path, port) as (_, again, _):
        assert (again["url"], again["client_id"], again["client_secret"]) == (
            site["url"], site["client_id"], site["client_secret"]
        )  # fmt: skip
        assert again["key"] != site["key"] and again["redirect_uris"] == ["http://localhost:1/x"]
        assert members(again, "made here") == [who]
    # The file of another world is another file.
    with beside(tmp_path, port, SAYS + "sys.stdin.read()", "--seed", "2") as (_, other, _):
        assert other["sites"] != site["sites"]


def connected(work: Workspace, site: PracticeSite) -> Connection:
    draft = ConnectionDraft(url=site.url, auth_url=site.auth_url, client_id=site.client_id)
    saved = work.connections.save(draft)
    work.tokens.set_client_secret(saved, Secret(site.client_secret))
    work.tokens.save_grant(saved, site.issue_token())
    return saved


def test_a_token_that_the_site_never_gave_is_forgotten_and_one_that_it_ended_is_not(
    workspace: Workspace, tmp_path: Path
) -> None:
    with PracticeSite(kept=tmp_path / "world.json", salt="one") as site:
        saved = connected(workspace, site)
        assert forget_unknown(workspace.connections, workspace.tokens, site.describe()) == ()
        # A consent that ended is for the person to see.
        site.change_password()
        site.auth.kill_access()
        assert forget_unknown(workspace.connections, workspace.tokens, site.describe()) == ()
        port = site.port
    assert forget_unknown(workspace.connections, workspace.tokens) == (), "nobody answers, so nobody says no"
    with PracticeSite(kept=tmp_path / "world.json", port=port, salt="one"):
        assert forget_unknown(workspace.connections, workspace.tokens) == (), "it is kept over the night"
    with PracticeSite(port=port, salt="two") as fresh:
        assert workspace.tokens.status(saved).state in ("valid", "expired")
        assert forget_unknown(workspace.connections, workspace.tokens, fresh.describe()) == (saved.name,)
        assert workspace.tokens.status(saved).state == "no_token"
        assert workspace.tokens.client_secret(saved).reveal() == fresh.client_secret
        assert forget_unknown(workspace.connections, workspace.tokens, fresh.describe()) == ()


def test_the_guide_and_the_command_line_say_it_at_once(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from spokekit.widgets.guide import Guide

    with PracticeSite() as site:
        saved = connected(workspace, site)
        port = site.port
    with PracticeSite(port=port) as fresh:
        monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(fresh.describe()))
        guide = Guide(2, workspace=workspace)
        assert "does not know the token" in guide.pointer.value and saved.name in guide.pointer.value
        assert 3 not in guide.done
        workspace.tokens.save_grant(saved, fresh.issue_token())
        assert Guide(2, workspace=workspace).pointer.value == ""
