"""``spokekit lab``: what it starts stops with it, however it ends, and practice never mixes with the own site."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import httpx2
import psutil
import pytest

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.board.server import BoardSite
from spokekit.connections.connection import ConnectionDraft
from spokekit.connections.store import Store
from spokekit.errors import InputError
from spokekit.practice.instance import RemoteInstance
from tests.recording_proxy import RecordingProxy, recording_proxy


class Running:
    """A started ``spokekit lab``: its process, where JupyterLab answers, and what it said."""

    def __init__(self, process: subprocess.Popen[str], said: Path) -> None:
        self.process = process
        self._said = said
        address = self._wait_for(r"(http://localhost:\d+)/doc/tree/00-start-here\.ipynb\?token=(\w+)")
        self.url, self._token = address.groups()
        self.address = address[0]
        """What it tells people to open; the token is in it."""

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")

    def _wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            if match := re.search(pattern, self.said):
                return match
            time.sleep(0.05)
        raise AssertionError(f"lab did not come up: {self.said}")

    def api(self, method: str, path: str) -> httpx2.Response:
        headers = {"Authorization": f"token {self._token}"}
        return httpx2.request(method, f"{self.url}/api/{path}", headers=headers, timeout=20, trust_env=False)

    def page_settings(self) -> dict[str, Any]:
        page = httpx2.get(f"{self.url}/lab?token={self._token}", timeout=20, trust_env=False, follow_redirects=True)
        match = re.search(
            r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', page.text, re.DOTALL
        )
        assert match is not None
        settings: dict[str, Any] = json.loads(match[1])
        return settings

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


Start = Callable[..., Running]


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    """Give a proxy that nobody may come to: lab, its practice site and its kernels talk on this machine alone."""
    with recording_proxy() as made:
        yield made
    assert made.seen == []


@pytest.fixture
def start(tmp_path: Path, home: Path, proxy: RecordingProxy) -> Iterator[Start]:
    """Start ``spokekit lab`` in folders of its own, behind a proxy; what is left of it is killed after the test."""
    begun: list[tuple[subprocess.Popen[str], IO[str]]] = []
    env = proxy.environment(dict(os.environ))
    env |= {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    env |= {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces")}

    def starter(*arguments: str, **more: str) -> Running:
        said = tmp_path / f"said-{len(begun)}"
        output = said.open("w")
        command = [sys.executable, "-m", "spokekit", "lab", "--no-browser", "--port", str(_free_port()), *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=env | more, stdout=output, stderr=output, text=True)
        begun.append((process, output))
        return Running(process, said)

    yield starter
    for process, output in begun:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        output.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _kernels(family: list[psutil.Process]) -> list[psutil.Process]:
    """Return the kernels; other programs that the server starts for a moment may be gone again when looked at."""
    found = []
    for process in family:
        with suppress(psutil.NoSuchProcess):
            if "ipykernel" in " ".join(process.cmdline()):
                found.append(process)
    return found


def _all_gone(family: list[psutil.Process], seconds: float = 15) -> bool:
    _, alive = psutil.wait_procs(family, timeout=seconds)
    return not alive


@contextmanager
def _practice_home(home: Path) -> Iterator[Workspace]:
    store = Store(f"sqlite:///{home / 'practice' / 'spokekit.sqlite'}")
    yield Workspace(store)
    store.close()


def test_a_day_of_practice_and_the_next(
    start: Start, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start()
    assert (tmp_path / "spokekit-notebooks" / "00-start-here.ipynb").exists()
    assert first.api("GET", "contents/00-start-here.ipynb").status_code == 200
    settings = first.page_settings()
    quiet = "@jupyterlab/apputils-extension:announcements"
    assert quiet in settings["disabledExtensions"], "nothing is asked of anybody but Atlassian"
    assert settings["extensionManager"]["name"] == "read-only"
    kernel = first.api("POST", "kernels")
    assert kernel.status_code == 201
    kept = json.loads((home / "practice" / "site.json").read_text())
    assert httpx2.get(f"{kept['url']}console", trust_env=False).status_code == 403, "it opens by a link"
    family = first.family()
    assert len(family) >= 2, "a practice site and a kernel"
    kernels = _kernels(family)
    told = kernels[0].environ()
    site = json.loads(told["SPOKEKIT_PRACTICE"])
    assert told["SPOKEKIT_HOME"] == str(home / "practice")
    for path in (tmp_path, home):
        for file in path.rglob("*"):
            assert not file.is_file() or site["client_secret"].encode() not in file.read_bytes(), file

    # What notebook 02 does; the master key of the practice home is made by it.
    monkeypatch.setenv("SPOKEKIT_HOME", str(home / "practice"))
    with _practice_home(home) as work:
        draft = ConnectionDraft(url=site["url"], auth_url=site["auth_url"], client_id=site["client_id"])
        connection = work.connections.save(draft)
        work.tokens.set_client_secret(connection, Secret(site["client_secret"]))
        # A token of another practice site than this one.
        never = {"access_token": "never given here", "expires_in": 3600, "scope": "read:me", "token_type": "Bearer"}
        work.tokens.save_grant(connection, never)

    first.process.terminate()
    assert first.process.wait(15) in (0, -signal.SIGTERM)
    assert _all_gone(family)
    monkeypatch.setenv("SPOKEKIT_HOME", str(home))

    # The next day another program has the practice site's port.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", kept["port"]))
        taken.listen()
        second = start()
    assert f"Port {kept['port']} is taken" in second.said
    assert "get a token again (notebook 03) for “Confluence Cloud Spoke Connection”" in second.said
    family = second.family()
    now = json.loads((home / "practice" / "site.json").read_text())
    assert now["client_id"] == kept["client_id"]
    assert now["url"] != kept["url"]
    monkeypatch.setenv("SPOKEKIT_HOME", str(home / "practice"))
    with _practice_home(home) as work:
        moved = work.connection()
        assert moved.url == moved.auth_url == now["url"]
        assert work.tokens.has_client_secret(moved)
        assert work.tokens.status(moved).state == "no_token"

    second.process.kill()
    second.process.wait(10)
    assert _all_gone(family), "a killed lab leaves nothing behind"
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{now['url']}console", trust_env=False)


def test_on_the_own_site_there_is_no_practice_site_and_a_second_practice_lab_is_refused(
    start: Start, home: Path, tmp_path: Path
) -> None:
    # Kernels start in the notebooks' folder: a relative name must mean the same folder there.
    own = start("--own-site", "--folder", "mine", SPOKEKIT_HOME=os.path.relpath(home, home.parent))
    assert "Practice site" not in own.said
    assert not (home / "practice").exists()
    assert own.api("POST", "kernels").status_code == 201
    family = own.family()
    assert len(_kernels(family)) == 2, "the first notebook's and the one that was asked for"
    for kernel in _kernels(family):
        assert "SPOKEKIT_PRACTICE" not in kernel.environ()
        assert kernel.environ()["SPOKEKIT_HOME"] == str(home)

    with BoardSite(tmp_path / "class.sqlite", class_name="Tuesday") as board:
        practising = start("--join", board.url, SPOKEKIT_CLASS_CODE=board.code)
        (learner,) = board.classroom.learners
        assert f"Tuesday, in which you are {learner.pseudonym}" in practising.said
        joined_at, deadline = learner.seen, time.monotonic() + 20
        while learner.seen == joined_at and time.monotonic() < deadline:
            time.sleep(0.05)
        assert learner.seen > joined_at, "the practice site's process reports"
    with pytest.raises(AssertionError, match="Another `spokekit lab` with a practice site is running"):
        start()
    os.kill(practising.process.pid, signal.SIGINT)
    assert practising.process.wait(15) == 0, "Ctrl-C asks no question"
    os.kill(own.process.pid, signal.SIGINT)
    own.process.wait(15)
    assert _all_gone(family)


def test_the_first_notebook_has_its_kernel_at_once_and_an_instance_answers(start: Start, tmp_path: Path) -> None:
    running = start("--own-site", "--instance")
    deadline = time.monotonic() + 20
    while not (sessions := running.api("GET", "sessions").json()) and time.monotonic() < deadline:
        time.sleep(0.05)
    (session,) = sessions
    assert (session["path"], session["kernel"]["name"]) == ("00-start-here.ipynb", "python3")
    # With --instance a practice instance answers beside it, and the notebooks' kernels know where.
    told = _kernels(running.family())[0].environ()
    instance = RemoteInstance.of(told)
    assert instance is not None
    assert f"Instance:      {instance.url}" in running.said
    assert instance.api_key not in running.said
    instance.become_a_clone()
    running.process.terminate()
    running.process.wait(15)
    with pytest.raises(InputError, match="does not answer"):
        instance.become_a_clone()


def test_a_terminal_says_what_is_opened_and_nothing_of_others(start: Start) -> None:
    running = start()
    deadline = time.monotonic() + 20
    while not running.api("GET", "kernels").json() and time.monotonic() < deadline:
        time.sleep(0.05)
    while {k["execution_state"] for k in running.api("GET", "kernels").json()} != {
        "idle"
    } and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(running.process.pid, signal.SIGINT)
    running.process.wait(15)
    begun = (
        "Notebooks:",
        "Copied",
        "Practice site:",
        "Records:",
        "Stop all of it",
        "You are root",
        "Open this address",
        # Whoever else has it on this computer: the practice site comes up all the same.
        "Port 8750 is taken",
    )
    for line in filter(None, map(str.strip, running.said.splitlines())):
        assert line.startswith(begun) or re.fullmatch(r"http://localhost:\d+/doc/tree/00\S+token=\w+", line), line
