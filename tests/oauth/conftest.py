"""A file store on the practice site's clock, and a Jupyter server."""

from __future__ import annotations

from pathlib import Path

import pytest

from spokekit.connections.store import Store, default_store
from spokekit.practice import PracticeSite
from tests.oauth.jupyter_server import proxy, running, server  # noqa: F401
from tests.oauth.support import Place


@pytest.fixture
def place(home: Path, site: PracticeSite) -> Place:
    store: Store = default_store()
    return Place(store, site)
