"""``spokekit token`` and ``spokekit vault`` as a person runs them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from spokekit.cli import main
from spokekit.connections.store import default_store
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, configured, free_port, granted

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def spokekit(*arguments: str, stdin: io.TextIOBase | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", stdin or io.StringIO(""))
        try:
            main(list(arguments))
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return spokekit


class Typist(io.TextIOBase):
    """Somebody at the keyboard: types lines, the last of which is the callback of the address on the screen."""

    def __init__(
        self, site: PracticeSite, capsys: pytest.CaptureFixture[str], *lines: str, decision: str = "accept"
    ) -> None:
        self.site, self.capsys, self.lines, self.decision = site, capsys, list(lines), decision
        self.address = ""

    def readline(self, *_: object) -> str:
        self.address = self.address or self.capsys.readouterr().out.strip()
        if self.lines:
            return self.lines.pop(0) + "\n"
        return self.site.play_browser(self.address, decision=self.decision) + "\n"

    def isatty(self) -> bool:
        return False


def test_get_without_a_browser_prints_the_address_alone_and_waits(place: Place, site: PracticeSite) -> None:
    redirect = f"http://localhost:{free_port()}/callback"
    site.allow_redirect(redirect)
    configured(place, site, redirect_uri=redirect)
    running = subprocess.Popen(
        [sys.executable, "-m", "spokekit", "token", "get", "--no-browser", "--timeout", "30"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    address = running.stdout.readline().strip()
    assert address.startswith(site.url + "authorize?")
    callback = site.play_browser(address)
    assert httpx2.get(callback).status_code == 200
    out, told = running.communicate(timeout=30)
    assert running.returncode == 0 and out == ""
    assert "Token valid until" in told and parse_qs(urlsplit(callback).query)["code"][0] not in told
    assert place.tokens.status(place.connection()).state == "valid"


def test_get_by_paste(place: Place, site: PracticeSite, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    configured(place, site)
    code, _, told = run("token", "get", "--paste", "--no-browser", stdin=Typist(site, capsys, "not an address"))
    assert code == 0 and "Token valid until" in told
    assert place.tokens.status(place.connection()).state == "valid"


def test_paste_waits_no_longer_than_it_was_told(place: Place, site: PracticeSite) -> None:
    configured(place, site)
    command = [sys.executable, "-m", "spokekit", "token", "get", "--paste", "--no-browser", "--timeout"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    silent = subprocess.Popen([*command, "1"], text=True, **pipes)
    assert silent.wait(timeout=30) == 1, "nobody types, and the input stays open"
    assert "within 1 second." in silent.communicate()[1]
    running = subprocess.Popen([*command, "20"], text=True, **pipes)
    assert running.stdin is not None and running.stdout is not None
    callback = site.play_browser(running.stdout.readline().strip())
    running.stdin.write(f"not an address\n{callback}\n")
    running.stdin.flush()
    assert running.wait(timeout=30) == 0, "an address among lines that come at once is found"
    running.communicate()


@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_an_address_with_a_break_in_it_is_pasted_line_by_line(place: Place, site: PracticeSite, pause: float) -> None:
    configured(place, site)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(
        [sys.executable, "-m", "spokekit", "token", "get", "--paste", "--no-browser", "--timeout", "20"],
        text=True, **pipes,
    )  # fmt: skip
    assert running.stdin is not None and running.stdout is not None
    callback = site.play_browser(running.stdout.readline().strip())
    for line in (callback[:60], callback[60:]):
        running.stdin.write(f"{line}\n")
        running.stdin.flush()
        time.sleep(pause)
    assert running.wait(timeout=30) == 0, running.stderr.read() if running.stderr else ""
    running.communicate()


def test_what_goes_wrong_is_one_message(
    place: Place, site: PracticeSite, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(place, site)
    code, _, told = run("token", "get", "--paste", "--no-browser", stdin=Typist(site, capsys, decision="cancel"))
    assert code == 1 and "The consent was declined" in told and "Next: " in told and "Traceback" not in told
    code, _, told = run("token", "get", "--paste", "--no-browser")
    assert code == 1 and "input ended" in told
    assert run("token", "get", "--timeout", "0")[0] == 2


def test_get_with_several_sites(home: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with PracticeSite(sites=2, strict=True) as site:
        place = Place(default_store(), site)
        configured(place, site)
        get = ("token", "get", "--paste", "--no-browser")
        for more in ([], ["--site", "No such site"]):
            code, _, told = run(*get, *more, stdin=Typist(site, capsys))
            assert code == 1 and site.sites[0].name in told and site.sites[1].name in told
        assert run(*get, "--site", site.sites[1].name, stdin=Typist(site, capsys))[0] == 0
        assert place.connection().cloud_id == site.sites[1].cloud_id


def test_status_forget_and_vault(place: Place, site: PracticeSite, run: Run) -> None:
    connection = granted(place, site)
    listed = json.loads(run("token", "status", "--format", "json")[1])
    assert [(row["connection"], row["state"]) for row in listed] == [(connection.name, "valid")]
    columns = {"connection", "state", "expires_at", "consent_by", "scopes", "words"}
    assert set(listed[0]) == columns | {"site", "account", "account_before"}
    before = json.loads(run("vault", "status", "--format", "json")[1])[0]
    assert before["kind"] == "file"
    code, _, told = run("vault", "rotate")
    assert code == 0 and "2 secrets" in told
    after = json.loads(run("vault", "status", "--format", "json")[1])[0]
    assert after["key_id"] != before["key_id"] and after["keys"] == 1
    assert place.tokens.access_token(connection)
    assert run("token", "forget")[0] == 0
    assert place.tokens.status(connection).state == "no_token"


@pytest.mark.parametrize("damage", ["", "{"])
def test_a_damaged_key_file_is_one_message(place: Place, site: PracticeSite, home: Path, run: Run, damage: str) -> None:
    granted(place, site)
    (home / "vault.json").write_text(damage)
    code, _, told = run("vault", "status")
    assert code == 1 and "is damaged" in told and "Traceback" not in told
    code, shown, _ = run("token", "status", "--format", "json")
    assert code == 0 and json.loads(shown)[0]["state"] == "consent_needed", "the rest still says how things stand"
