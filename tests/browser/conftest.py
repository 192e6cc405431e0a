"""A real JupyterLab and a headless Chromium for tests, one of each for all of them in a process.

Fixtures
--------
lab
    `Lab`: the server (``lab.base``, ``lab.token``, ``lab.log``), and ``lab.page``, the browser's page with JupyterLab.
open_notebook
    ``open_notebook(path_or_cells, env={...}) -> NotebookPage``. Every notebook gets a folder and a kernel of its own,
    with the test's ``SPOKEKIT_HOME``; it is closed, and its kernel stopped, when the test ends.

Screenshots go to the folder in ``SPOKEKIT_SCREENSHOTS``, or to pytest's temporary folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.jupyterlab_page import Lab, NotebookPage, find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("playwright")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Start Chromium, without anything that would call out."""
    from playwright.sync_api import expect, sync_playwright

    # What is awaited comes, on a slow machine as well: a limit is for what never comes.
    expect.set_options(timeout=20_000)
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine: install one, or name it in SPOKEKIT_CHROMIUM")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=executable,
            headless=True,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield running
        running.close()


@pytest.fixture(scope="package")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start JupyterLab under a base URL like a hub's, with settings and folders of its own."""
    shots = os.environ.get("SPOKEKIT_SCREENSHOTS")
    with Lab(tmp_path_factory.mktemp("lab"), browser, Path(shots) if shots else None) as running:
        yield running


@pytest.fixture
def open_notebook(lab: Lab, home: Path) -> Iterator[Callable[..., NotebookPage]]:
    """Open notebooks that share the test's home."""
    opened: list[NotebookPage] = []

    def opener(source: Any, *, env: dict[str, str] | None = None, **more: Any) -> NotebookPage:
        notebook = lab.open_notebook(source, env={"SPOKEKIT_HOME": str(home), **(env or {})}, **more)
        opened.append(notebook)
        return notebook

    yield opener
    for notebook in opened:
        notebook.close()
    lab.theme("light")
