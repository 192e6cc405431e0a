"""Fixtures for running the notebooks: a practice site that remembers every secret it handed out, and a place to run.

The kernels are other processes: they get the practice site's address, a home and Jupyter folders through the
environment, as under ``spokekit lab``; ``SPOKEKIT_UNATTENDED`` makes the notebooks play the person.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))
CHAPTERS = sorted((ROOT / "notebooks" / "training").glob("*.ipynb"))
# The whole way for visitors of Voilà; it is no step of its own.
ONE_PAGE = ROOT / "notebooks" / "one-page.ipynb"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.notebooks)


@dataclass
class Surroundings:
    """What a run of the notebooks needs, and the secrets that went over the wire meanwhile."""

    folder: Path
    env: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict)

    def observe(self, exchange: Any) -> None:
        """Note every secret of an exchange between a kernel and the practice site, by what it is."""
        fields = dict(parse_qsl(exchange.query))
        for name, value in exchange.headers.items():
            if name.lower() == "location":
                fields |= dict(parse_qsl(urlsplit(value).query))
        if exchange.path == "/oauth/token":
            for text in (exchange.request_body, exchange.body):
                fields |= json.loads(text) if text.lstrip().startswith(b"{") else dict(parse_qsl(text.decode()))
        for name in ("code", "state", "access_token", "refresh_token", "client_secret", "code_verifier"):
            if isinstance(fields.get(name), str) and len(fields[name]) >= 8:
                self.secrets[fields[name]] = name


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    """Serve a practice site for one module's kernels, in folders of their own."""
    from spokekit.practice import PracticeSite

    base = tmp_path_factory.mktemp("notebooks")
    folder = base / "work"
    folder.mkdir()
    for path in (*NOTEBOOKS, ONE_PAGE):
        shutil.copy(path, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        redirect = f"http://localhost:{probe.getsockname()[1]}/callback"
    with PracticeSite(strict=True, redirect_uris=[redirect]) as site:
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("SPOKEKIT_", "JUPYTER", "JPY_"))
        }
        env |= {
            "SPOKEKIT_HOME": str(base / "home"),
            "SPOKEKIT_PRACTICE": json.dumps(site.describe()),
            "SPOKEKIT_UNATTENDED": "1",
            "JUPYTER_CONFIG_DIR": str(base / "config"),
            "JUPYTER_DATA_DIR": str(base / "data"),
            "JUPYTER_RUNTIME_DIR": str(base / "runtime"),
            "IPYTHONDIR": str(base / "ipython"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "NO_PROXY": "127.0.0.1,localhost",
            "MPLCONFIGDIR": str(base / "matplotlib"),
            "PYTHONHASHSEED": "0",
            "COLUMNS": "100",
        }
        found = Surroundings(folder, env, {site.client_secret: "client_secret"})
        site.observers.append(found.observe)
        yield found
