"""Every user of a computer can read its command lines: neither state nor token stands on one, however a page opens."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import psutil
import pytest

from spokekit._browse import PrivateBrowser, _snap_folder
from spokekit._secret import Secret
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, configured, free_port

Fake = Callable[[str], Path]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Make a browser that notes with what it was started, what was on every command line, and what the file held."""

    def make(name: str) -> Path:
        program, noted = tmp_path / "bin" / name, tmp_path / "noted.json"
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys, pathlib, urllib.parse, urllib.request\n"
            "lines = [p.read_bytes().decode(errors='replace') for p in pathlib.Path('/proc').glob('[0-9]*/cmdline')]\n"
            "file = next(one for one in sys.argv if one.startswith('file:'))\n"
            "path = urllib.request.url2pathname(urllib.parse.urlsplit(file).path)\n"
            "about = {'argv': sys.argv, 'lines': lines, 'path': path, 'page': open(path).read(),\n"
            "         'modes': [os.stat(path).st_mode, os.stat(os.path.dirname(path)).st_mode]}\n"
            f"made = pathlib.Path({str(noted)!r})\n"
            "made.with_suffix('.part').write_text(json.dumps(about))\n"
            "made.with_suffix('.part').rename(made)\n"
        )
        program.chmod(0o755)
        return noted

    return make


def wait_for(path: Path) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, "the browser was not started"
        time.sleep(0.02)
    noted: dict[str, Any] = json.loads(path.read_text())
    return noted


def leads_to(page: str) -> str:
    refresh = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', page)
    link = re.search(r'href="([^"]*)"', page)
    assert refresh and link and refresh[1] == link[1]
    return html.unescape(link[1])


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[str]]]:
    begun: list[subprocess.Popen[str]] = []
    yield begun
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("firefox", {"BROWSER": "{}"}),
        ("firefox", {"BROWSER": "{} --new-tab %s"}),
        ("odd", {"BROWSER": "/nowhere/browser:{} %s &"}),
        # A desktop's own choice.
        ("xdg-open", {"DISPLAY": ":99"}),
        ("chromium", {"DISPLAY": ":99"}),
    ],
)
def test_the_state_is_on_no_command_line(
    place: Place,
    site: PracticeSite,
    fake: Fake,
    running: list[subprocess.Popen[str]],
    name: str,
    setting: dict[str, str],
    home: Path,
) -> None:
    redirect = f"http://localhost:{free_port()}/callback"
    site.allow_redirect(redirect)
    configured(place, site, redirect_uri=redirect)
    noted = fake(name)
    program = noted.parent / "bin" / name
    env = {key: one for key, one in os.environ.items() if key not in ("BROWSER", "WAYLAND_DISPLAY")}
    env |= {key: one.format(program) for key, one in setting.items()}
    settings = program.with_name("xdg-settings")
    settings.write_text(f"#!/bin/sh\necho {name}.desktop\n")
    settings.chmod(0o755)
    env["PATH"] = f"{program.parent}:{env['PATH']}"
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-m", "spokekit", "token", "get", "--timeout", "60"]
    got = subprocess.Popen(command, env=env, text=True, **pipes)
    running.append(got)
    about = wait_for(noted)
    address = leads_to(about["page"])
    state = parse_qs(urlsplit(address).query)["state"][0]
    assert address.startswith(site.auth_url + "authorize?") and len(state) > 30
    for line in (*about["argv"], *about["lines"]):
        assert state not in unquote(line) and "authorize?" not in unquote(line)
    assert any("file:" in line for line in about["lines"]), "it was looked while the browser ran"
    page = Path(about["path"])
    assert page.is_relative_to(home)
    assert [stat.S_IMODE(mode) for mode in about["modes"]] == [0o600, 0o700]
    if os.geteuid() == 0 and shutil.which("setpriv"):
        other = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "cat", str(page))
        assert subprocess.run(other, capture_output=True, check=False).returncode != 0
    assert httpx2.get(site.play_browser(address)).status_code == 200
    _, told = got.communicate(timeout=30)
    assert got.returncode == 0 and "Token valid until" in told
    assert not page.exists() and "No browser" not in told


def test_the_token_of_jupyterlab_is_on_no_command_line(
    fake: Fake, tmp_path: Path, home: Path, running: list[subprocess.Popen[str]]
) -> None:
    noted = fake("firefox")
    # A person's own setting that would put the address itself on the command line.
    config = tmp_path / "CONFIG"
    config.mkdir()
    (config / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": {"use_redirect_file": False}}))
    runtime = tmp_path / "RUNTIME"
    runtime.mkdir(mode=0o755)
    env = os.environ | {"BROWSER": str(noted.parent / "bin" / "firefox")}
    env |= {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    env |= {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces")}
    command = [sys.executable, "-m", "spokekit", "lab", "--own-site", "--port", str(free_port())]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    lab = subprocess.Popen(command, cwd=tmp_path, env=env, text=True, **pipes)
    running.append(lab)
    about = wait_for(noted)
    address = leads_to(about["page"])
    token = parse_qs(urlsplit(address).query)["token"][0]
    assert urlsplit(address).path == "/doc/tree/00-start-here.ipynb"
    assert httpx2.get(address, follow_redirects=True, trust_env=False).status_code == 200
    family = psutil.Process(lab.pid).children(recursive=True)
    lines = [" ".join(one.cmdline()) for one in (psutil.Process(lab.pid), *family)]
    assert not [line for line in (*about["argv"], *about["lines"], *lines) if token in line]
    for path in runtime.rglob("*"):
        assert not path.is_file() or token not in path.read_text() or not path.stat().st_mode & 0o077, path
    lab.terminate()
    told = lab.communicate(timeout=30)[0]
    assert "Your browser opens now" in told and token in told
    assert not Path(about["path"]).exists(), "it goes with the command"


def test_a_browser_that_keeps_its_starter_waiting_delays_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = tmp_path / "waits"
    waits.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    waits.chmod(0o755)
    monkeypatch.setattr("webbrowser._tryorder", None)
    monkeypatch.setattr("webbrowser._browsers", {})
    monkeypatch.setenv("BROWSER", str(waits))
    with PrivateBrowser() as browser:
        browser.open("http://localhost/?state=x")
        deadline = time.monotonic() + 10
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    os.kill(int((tmp_path / "pid").read_text()), 15)


def test_without_a_browser_or_a_place_for_the_page_it_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    with PrivateBrowser(told.append) as browser:
        browser.open(Secret("http://localhost/?state=x"))
        deadline = time.monotonic() + 10
        while not told:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert told == ["No browser could be opened."]
    (home / "open").rmdir()
    (home / "open").write_text("in the way")
    with PrivateBrowser(told.append) as browser:
        browser.open("http://localhost/?state=x")
    assert "No browser is opened" in told[1] and "state=x" not in told[1]


def test_what_a_killed_process_left_is_taken_away_later(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    browser = PrivateBrowser()
    browser.open("http://localhost/?state=x")
    left = next((home / "open").iterdir())
    os.utime(left, (0, 0))
    with PrivateBrowser() as other:
        other.open("http://localhost/?state=y")
        assert left not in set((home / "open").iterdir())
    assert not list((home / "open").iterdir())


def test_an_address_with_signs_of_html_stays_one_address(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    odd = 'http://localhost/?state=a&b="><script>alert(1)</script>'
    with PrivateBrowser() as browser:
        browser.open(odd)
        page = next((home / "open").iterdir()).read_text()
    assert leads_to(page) == odd and "<script" not in page


def test_a_browser_that_is_a_snap_gets_the_file_where_it_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, does in (("xdg-open", "true"), ("xdg-settings", "echo firefox_firefox.desktop")):
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.delenv("BROWSER", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("webbrowser._tryorder", None)
    monkeypatch.setattr("webbrowser._browsers", {})
    isdir = os.path.isdir
    monkeypatch.setattr("os.path.isdir", lambda path: path == "/snap" or isdir(path))
    assert _snap_folder(None) is None, "its own folder is not there"
    (tmp_path / "snap" / "firefox" / "common").mkdir(parents=True)
    assert _snap_folder(None) == tmp_path / "snap" / "firefox" / "common" / "spokekit"
    (tools / "xdg-settings").write_text("#!/bin/sh\necho org.gnome.Epiphany.desktop\n")
    assert _snap_folder(None) is None
