"""Two visitors of one Voilà: each goes the whole way on one page, and neither leaves anything for the other."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.axe import findings_of_part
from tests.browser.jupyterlab_page import TIED

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from spokekit.practice import PracticeSite

pytest.importorskip("voila")
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
HOWTO = NOTEBOOKS / "docs" / "howto" / "voila.md"
# Seconds after which a kernel that no page is connected to is ended; a page needs less to connect.
LEFT_FOR = 10
# Each page starts a kernel, which takes its time on a busy machine.
SLOW = 20_000


@pytest.fixture
def voila(site: PracticeSite, tmp_path: Path, home: Path) -> Iterator[str]:
    """Serve the shipped notebooks by Voilà on the practice site; gives the address of its pages."""
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks")
    (tmp_path / "tmp").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "PYTEST_"))} | {
        "SPOKEKIT_PRACTICE": json.dumps(site.describe()),
        "TMPDIR": str(tmp_path / "tmp"),
        **{f"JUPYTER_{n.upper()}_DIR": str(tmp_path / n) for n in ("config", "data", "runtime")},
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    command = ["-m", "voila", "notebooks", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    # What the documentation tells to add, with less patience.
    told = re.findall(r" (--\S+?\.cull_\w+)=\d+", HOWTO.read_text(encoding="utf-8"))
    assert len(told) == 2
    command += [f"{option}={1 if option.endswith('interval') else LEFT_FOR}" for option in told]
    # A kernel that is killed cannot remove what it holds; on a slow machine its end takes longer than five seconds.
    command += ["--KernelManager.shutdown_wait_time=60"]
    log = tmp_path / "voila.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [sys.executable, "-c", TIED, *command], cwd=tmp_path, env=env, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            assert running.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/voila/render"
    finally:
        running.send_signal(signal.SIGINT)
        try:
            running.wait(90)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(5)
    assert site.client_secret not in log.read_text() and "code=" not in log.read_text()
    assert not list((tmp_path / "tmp").glob("spokekit-*")), "what a visitor read is removed with the kernel"


def part(page: Page, label: str) -> Locator:
    return page.locator(f'.spokekit[aria-label="{label}"]').first


def test_a_visitor_goes_the_whole_way_and_the_next_one_finds_nothing(
    voila: str, browser: Browser, site: PracticeSite, home: Path, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 1600})
    try:
        callbacks: list[str] = []
        context.on("request", lambda r: callbacks.append(r.url) if r.url.startswith(site.redirect_uris[0]) else None)
        page = context.new_page()
        # A page that begins in the middle says where the whole way is.
        page.goto(f"{voila}/04-add-confluence-groups.ipynb")
        expect(page.locator("body")).to_contain_text(
            "“Get the OAuth token” comes first. The page one-page.ipynb", timeout=SLOW
        )
        said = page.locator("body").inner_text()
        for of_the_owner in ("There was an error", "spokekit connections"):
            assert of_the_owner not in said, "a visitor could not follow it"
        page.get_by_role("link", name="Go the whole way on one page").click()

        form = part(page, "Configure the connection")
        form.get_by_label("OAuth client ID").fill(site.client_id)
        form.get_by_label("OAuth client secret").fill(site.client_secret)
        with context.expect_page() as opened:
            form.get_by_role("button", name="Save and Get OAuth Token", exact=True).click()
        consent = opened.value
        consent.get_by_role("button", name="Accept").click()
        consent.wait_for_url("chrome-error://**")
        consent.close()
        form.get_by_label("Address").fill(callbacks[0])
        form.get_by_label("Address").press("Enter")
        expect(form).to_contain_text("Connected to Northwind Practice", timeout=SLOW)

        picker = part(page, "Add Confluence groups")
        picker.get_by_label("Available", exact=True).select_option(index=0)
        picker.get_by_role("button", name="Add →", exact=True).click()
        picker.get_by_role("button", name="OK", exact=True).click()
        walk = part(page, "Walk the site")
        walk.get_by_role("button", name="What will it cost?").click()
        walk.get_by_role("button", name="Start the walk").click()
        expect(walk).to_contain_text("Complete:", timeout=SLOW)
        width = part(page, "All on one page").evaluate("(e) => e.clientWidth")
        assert width > 0.85 * 1280, "nothing stands beside it, so no part of the page is left empty"
        assert findings_of_part(part(page, "All on one page")) == []
        ask = part(page, "Ask")
        ask.get_by_role("button", name="Ask", exact=True).click()
        expect(ask.locator("table")).to_be_visible(timeout=SLOW)
        with page.expect_download(timeout=SLOW) as taken:
            ask.get_by_role("button", name="Download CSV").click()
        assert taken.value.suggested_filename.endswith(".csv")
        assert b"person" in taken.value.path().read_bytes().splitlines()[0]
        expect(part(page, "Manage members").get_by_label("Members", exact=True).locator("option")).not_to_have_count(
            0, timeout=SLOW
        )
        for secret in (site.client_secret, "code=", "access_token"):
            assert secret not in page.content()

        # What kernels hold so far is the first visitor's; of the page that was left before, it may be gone already.
        held = set((tmp_path / "tmp").glob("spokekit-*"))
        assert held
        # The first visitor's page is still open.
        second = context.new_page()
        second.goto(f"{voila}/one-page.ipynb")
        expect(part(second, "Where you are")).to_contain_text("in memory only", timeout=SLOW)
        expect(part(second, "Configure the connection").get_by_label("OAuth client ID")).to_have_value("")
        assert "done" not in part(second, "Where you are").inner_text()
        # What the first visitor read goes soon after the page; the second one's stays.
        page.close()
        deadline = time.monotonic() + LEFT_FOR + 30
        while held & set((tmp_path / "tmp").glob("spokekit-*")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        # It is the kernel that unfolds this.
        part(second, "Where you are").get_by_role("button", name="Details").click()
        expect(second.get_by_role("button", name="Look again")).to_be_visible(timeout=SLOW)
    finally:
        context.close()
    assert not home.exists() or not list(home.iterdir()), "nothing went into the owner's home"
