"""A real Jupyter server under a prefix with spokekit's extension, and a log that is searched when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit.oauth.environment import CALLBACK_PATH
from tests.oauth.support import free_port
from tests.recording_proxy import RecordingProxy, recording_proxy

BASE = "/user/someone/"
TOKEN = "the-token-of-the-jupyter-server"

# Every state and code that a test put into an address.
given: list[str] = []


@dataclass
class Server:
    pid: int
    port: int
    runtime: Path
    log: Path

    @property
    def redirect(self) -> str:
        return f"http://localhost:{self.port}{BASE}{CALLBACK_PATH}"

    def get(self, address: str, **more: Any) -> httpx2.Response:
        return httpx2.get(address, timeout=10, **more)


@pytest.fixture(scope="package")
def proxy() -> Iterator[RecordingProxy]:
    """Give a proxy that nobody may come to: the pages of a practice site are fetched from this machine."""
    with recording_proxy() as made:
        yield made
    assert made.seen == []


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory, proxy: RecordingProxy) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    port, log = free_port(), folder / "log"
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SPOKEKIT_", "JPY_"))},
        **{f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")},
        "SPOKEKIT_HOME": str(folder / "home"),
    }
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--debug", "--ip=127.0.0.1"]
    command += [f"--port={port}", f"--ServerApp.base_url={BASE}", "--ServerApp.port_retries=0"]
    command += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=proxy.environment(env), stdout=out, stderr=out, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx2.get(f"http://localhost:{port}{BASE}login", timeout=2)
                break
            except httpx2.TransportError:
                assert process.poll() is None, log.read_text()[-3000:]
                time.sleep(0.1)
        yield Server(process.pid, port, folder / "runtime", log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    # Nothing that is secret reached the log, with every level of it switched on, whatever the tests above did.
    text = log.read_text()
    assert f"{BASE}{CALLBACK_PATH}" in text, "the log was written"
    for secret in given:
        assert secret not in text


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Be a kernel of the running server."""
    monkeypatch.setenv("JPY_PARENT_PID", str(running.pid))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(running.runtime))
    yield running
    for note in (running.runtime / "spokekit-oauth").glob("practice-*"):
        note.unlink()
