"""A lesson over the night: the practice site comes back, on its port or on another one, and every screen is right."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spokekit.handover import HandOver
from spokekit.practice import PracticeSite
from spokekit.training.attempts import Attempts
from spokekit.training.course import lesson
from spokekit.training.desk import Desk
from spokekit.training.doer import Doer
from spokekit.training.next_day import put_attempts_right
from spokekit.training.testing import free_ports
from tests.training.test_attempts import _home_is_put_back  # noqa: F401 - a fixture

LESSON = "leavers-with-access"

# What a person does beside the site: commands one after the other, each with its exit code and what it printed.
_BEGINNING = """
import contextlib, io, json, os, sys
from spokekit.cli import main

told, practice = {}, os.environ["SPOKEKIT_HOME"]
# Where the commands work, as in a shell of its own: what one does to its environment is no matter of the next.
place = {"SPOKEKIT_HOME": practice}
def run(name, *arguments):
    os.environ.pop("SPOKEKIT_VAULT", None)
    os.environ.update(place)
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        try:
            main(list(arguments))
        except SystemExit as ended:
            code = ended.code or 0
    told[name] = [code, printed.getvalue() or said.getvalue()]
    return printed.getvalue()

def enter():
    home = os.path.join(practice, "lessons", "leavers-with-access", "1")
    place.update(SPOKEKIT_HOME=home, SPOKEKIT_VAULT="file")
"""
_END = """
sys.stdout.write(json.dumps({**told, "site": json.loads(os.environ["SPOKEKIT_PRACTICE"])}) + "\\n")
"""
_FIRST = """
from spokekit._workspace import workspace
from spokekit.training.attempts import Attempts
from spokekit.training.course import lesson
from spokekit.training.desk import desk_here
from spokekit.training.doer import Doer
from spokekit.training.testing import free_ports
from spokekit.widgets import rehearsal

rehearsal.catch_up(workspace(), rehearsal.practice(), before=4)
run("before", "connections", "list", "--format", "json")
run("begin", "lessons", "begin", "leavers-with-access")
run("own", "connections", "list", "--format", "json")
attempt = Attempts(desk_here()).newest(lesson("leavers-with-access"))
attempt.lesson.solve(Doer(attempt))
enter()
run("check", "lessons", "check", "leavers-with-access")
run("walk", "audit", "walk", "--yes", "--format", "json")
"""
_NEXT = """
run("own", "connections", "list", "--format", "json")
enter()
run("check", "lessons", "check", "leavers-with-access")
run("list", "connections", "list", "--format", "json")
run("token", "token", "status", "--format", "json")
run("walk", "audit", "walk", "--yes", "--format", "json")
run("changes", "audit", "ask", "changes-since", "--format", "json")
run("undo", "members", "undo", "--dry-run", "--format", "json")
from spokekit.widgets import LessonPanel
told["panel"] = LessonPanel("leavers-with-access").status
"""


def day(home: Path, port: int, script: str, redirect: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "spokekit", "practice", "--port", str(port), "--redirect-uri", redirect]
    command += [sys.executable, "-c"]
    env = {**os.environ, "SPOKEKIT_HOME": str(home)}
    ended = subprocess.run([*command, _BEGINNING + script + _END], env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = {"said": ended.stderr, **json.loads(ended.stdout.splitlines()[-1])}
    for name, value in found.items():
        if isinstance(value, list):
            code, printed = value
            assert code == 0, (name, printed)
            found[name] = json.loads(printed) if printed.startswith(("[", "{")) else printed
    return found


def listening_once_it_is_free(port: int) -> socket.socket:
    """Listen on a port: the site of the day before ends a moment after the command that it stood beside."""
    until = time.monotonic() + 20
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def test_a_lesson_goes_on_the_next_day_though_the_site_has_another_port(tmp_path: Path) -> None:
    port = free_ports()
    redirect = f"http://localhost:{port + 1}/callback"
    first = day(tmp_path, port, _FIRST, redirect)
    assert first["before"][0]["state"] == "valid"
    assert first["own"][0]["state"] == "no_token", "the lesson has put the site back, which knows that token no more"
    assert first["check"]["outcome"] == "right"
    with closing(listening_once_it_is_free(port)):
        found = day(tmp_path, port, _NEXT, redirect)
    assert found["site"]["url"] != first["site"]["url"] and f"Port {port} is taken" in found["said"]
    assert found["own"][0]["state"] == "no_token"
    assert found["check"]["outcome"] == "right"
    assert found["list"][0]["url"] == found["site"]["url"]
    assert {found["list"][0]["state"], found["token"][0]["state"]} == {"valid"}
    assert found["changes"] == []
    assert [row["action"] for row in found["undo"]] == ["add", "add"]
    assert found["panel"] == "You are in attempt 1 of this lesson. Go on, or start over."


def test_a_lesson_on_a_site_that_began_anew_is_told_as_such(home: Path, tmp_path: Path) -> None:
    kept, redirects = tmp_path / "site.json", [f"http://localhost:{free_ports()}/callback"]
    with PracticeSite(kept=kept, salt="one", redirect_uris=redirects) as site:
        attempt = Attempts(Desk(site.describe()), home).begin(lesson("licence-is-full"))
        attempt.desk.close()
        before, port = site.url, site.port
    with PracticeSite(kept=kept, port=port, salt="one") as site:
        desk = Desk(site.describe())
        attempt = Attempts(desk, home).newest(lesson("licence-is-full"))
        assert site.url == before and put_attempts_right(home, site.describe(), before) == []
        assert attempt.workspace.status()[0].state == "valid" and attempt.workspace.connection().url == before
        assert attempt.check().outcome == "not attempted", "it is the site of yesterday"
        desk.close()
    with PracticeSite(port=port, salt="two") as site:
        desk = Desk(site.describe())
        attempt = Attempts(desk, home).newest(lesson("licence-is-full"))
        verdict = attempt.check()
        assert verdict.outcome == "cannot check" and "begun anew" in verdict.words
        (told,) = put_attempts_right(home, site.describe(), before)
        assert "does not know the token" in told and "spokekit lessons reset licence-is-full" in told
        assert attempt.workspace.status()[0].state == "no_token"
        desk.close()


@pytest.mark.parametrize("name", ["incomplete-audit"])
def test_what_a_lesson_has_in_store_is_there_the_next_day(name: str, home: Path, tmp_path: Path) -> None:
    kept, redirects = tmp_path / "site.json", [f"http://localhost:{free_ports()}/callback"]
    with PracticeSite(kept=kept, salt="one", redirect_uris=redirects) as site:
        desk = Desk(site.describe())
        Attempts(desk, home).begin(lesson(name))
        desk.close()
        port = site.port
    with PracticeSite(kept=kept, port=port, salt="one") as site:
        desk = Desk(site.describe())
        attempt = Attempts(desk, home).newest(lesson(name))
        Doer(attempt).walk()
        assert attempt.check().turn == "from-an-incomplete-one"
        desk.close()


def test_an_instance_is_as_it_was_the_next_day_and_what_was_written_can_be_undone(home: Path, tmp_path: Path) -> None:
    kept, redirect = tmp_path / "site.json", f"http://localhost:{free_ports()}/callback"

    def site() -> PracticeSite:
        return PracticeSite(kept=kept, salt="mine", redirect_uris=[redirect])

    with site() as first, closing(Desk(first.describe())) as desk:
        attempt = Attempts(desk, home).begin(lesson("instance-after-a-clone"))
        turn = next(turn for turn in attempt.lesson.turns if turn.name == "without-the-groups")
        turn.make(Doer(attempt))
        told, where = attempt.check(), first.url
    with site() as second, closing(Desk(second.describe())) as desk:
        put_attempts_right(home, second.describe(), where)
        attempt = Attempts(desk, home).newest(lesson("instance-after-a-clone"))
        assert attempt.check() == told
        there = second.instance_beside.there()
        over = HandOver(attempt.workspace.store, there.url, desk.sign_in())
        undo = over.preview_undo()
        over.apply(undo, confirm=undo.confirmation)
        assert {row["active"] for row in there.data.rows["http_connection"].values()} == {"false"}
        attempt.lesson.solve(Doer(attempt))
        assert attempt.check().right


def test_a_panel_whose_instance_is_gone_says_that_the_site_was_begun_anew(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spokekit.widgets import LessonPanel

    with PracticeSite(redirect_uris=[f"http://localhost:{free_ports()}/callback"]) as site:
        monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
        with closing(Desk(site.describe())) as desk:
            Attempts(desk, home).begin(lesson("arrived-but-no-token"))
        site.reset()
        panel = LessonPanel("arrived-but-no-token")
        assert "was begun anew" in panel.status and panel._tools.children == ()
        panel._start(again=True)
        panel.settled()
        assert len(panel._tools.children) == 1, panel.status
