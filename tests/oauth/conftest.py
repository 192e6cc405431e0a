"""A file store on the practice site's clock, and a Jupyter server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
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


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home on a disk of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or not hasattr(os, "geteuid") or os.geteuid():
        pytest.skip("a small disk of this test's own needs root and mount")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m,mode=0700", "none", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr}")
    monkeypatch.setenv("SPOKEKIT_HOME", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
