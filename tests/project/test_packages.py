"""What is built is whole: the wheel runs from its own files, the source archive can be built from."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEM = f"spokekit-{tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']['version']}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build wheel and source archive from what is tracked."""
    folder = tmp_path_factory.mktemp("built")
    run = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_the_wheel_holds_package_notebooks_and_server_settings_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "spokekit").rglob("*.py")}
    wanted |= {f"spokekit/notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    wanted |= {"spokekit/py.typed"}
    assert wanted <= names
    data = f"{STEM}.data/data/etc/jupyter/jupyter_server_config.d/spokekit.json"
    assert data in names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"spokekit", f"{STEM}.dist-info", f"{STEM}.data"}
    assert not [name for name in names if "/docs/" in name], "the site's pages are for the clone"
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_source_archive_holds_what_a_developer_needs(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = {name.split("/", 1)[1] for name in packed.getnames() if "/" in name}
    assert {"pyproject.toml", "README.md", "LICENSE", "tests/conftest.py", "notebooks/00-start-here.ipynb"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".sqlite", ".pyc"))]


def test_the_wheel_alone_runs_the_tour(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(target)
    run = subprocess.run(
        [sys.executable, "-m", "spokekit", "tour"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    assert "confluence-users" in run.stdout
